#!/bin/sh
# What became of a job of PBS, SGE or LSF: prints running, success or failed, as Snakemake asks.
#   status.sh ID
id=$1

if command -v bjobs >/dev/null; then # LSF; the id may be the sentence of bsub
    id=$(printf '%s' "$id" | sed -n 's/.*<\([0-9]*\)>.*/\1/p;t;p' | head -n 1)
    case $(bjobs -noheader -o stat "$id" 2>/dev/null) in
        DONE) echo success ;;
        EXIT | ZOMBI | '') echo failed ;;
        *) echo running ;;
    esac
elif qstat --version 2>/dev/null | grep -qi pbs; then # PBS Pro, OpenPBS; -x knows jobs that have ended
    found=$(qstat -x -f "$id" 2>/dev/null)
    state=$(printf '%s\n' "$found" | sed -n 's/.*job_state = //p')
    code=$(printf '%s\n' "$found" | sed -n 's/.*Exit_status = //p')
    case $state in
        F | X | C) [ "$code" = 0 ] && echo success || echo failed ;;
        '') echo failed ;;
        *) echo running ;;
    esac
else # SGE; what qstat does not know any more, its accounting does
    if qstat -j "$id" >/dev/null 2>&1; then
        echo running
    else
        code=$(qacct -j "$id" 2>/dev/null | awk '$1 == "exit_status" { code = $2 } $1 == "failed" { why = $2 } END { if (NR) print code + why }')
        [ "$code" = 0 ] && echo success || echo failed
    fi
fi
