#!/bin/sh
# Delete Jobs with their pods.
#   cancel.sh NAMESPACE/NAME...
for job in "$@"; do
    kubectl delete job "${job#*/}" --namespace "${job%%/*}" --wait=false
done
