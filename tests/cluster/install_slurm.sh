#!/bin/sh
# Install Slurm from Debian's packages; where that cannot be, say so and go on.
if ! command -v apt-get > /dev/null || [ "$(id -u)" != 0 ]; then
    echo "Slurm is not installed: it takes apt-get and root."
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge > /dev/null ||
    echo "Slurm is not installed: apt-get failed."
