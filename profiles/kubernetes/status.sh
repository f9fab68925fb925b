#!/bin/sh
# What became of a Job: prints running, success or failed, as Snakemake asks.
#   status.sh NAMESPACE/NAME
found=$(kubectl get job "${1#*/}" --namespace "${1%%/*}" --ignore-not-found \
    --output 'jsonpath={.metadata.name} {.status.conditions[?(@.status=="True")].type}') || {
    echo running # the cluster does not answer at present
    exit
}
case $found in
    *Complete*) echo success ;;
    *Failed* | '') echo failed ;;
    *) echo running ;;
esac
