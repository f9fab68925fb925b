#!/bin/sh
# What became of a job of LSF, PBS or SGE: prints running, success or failed, as Snakemake asks.
#   status.sh ID
id=$1

lsf() {
    case $(bjobs -noheader -o stat "$id" 2>/dev/null) in
        DONE) echo success ;;
        EXIT | ZOMBI | '') echo failed ;;
        *) echo running ;;
    esac
}

pbs() { # -x knows jobs that have ended
    found=$(qstat -x -f "$id" 2>/dev/null)
    case $(printf '%s\n' "$found" | sed -n 's/.*job_state = //p') in
        F | X | C) printf '%s\n' "$found" | grep -q 'Exit_status = 0$' && echo success || echo failed ;;
        '') echo failed ;;
        *) echo running ;;
    esac
}

sge() { # what qstat does not know any more, its accounting does
    if qstat -j "$id" >/dev/null 2>&1; then
        echo running
    else
        qacct -j "$id" 2>/dev/null |
            awk '$1 == "failed" || $1 == "exit_status" { seen += 1; wrong += $2 != 0 }
                 END { print (seen == 2 && !wrong) ? "success" : "failed" }'
    fi
}

if command -v bjobs >/dev/null; then
    lsf
elif qstat --version 2>/dev/null | grep -qi pbs; then
    pbs
else
    sge
fi
