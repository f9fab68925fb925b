#!/usr/bin/env python3
"""Create the Job of Kubernetes that one of Snakemake's jobs becomes, and print its name.

submit.py JOBSCRIPT    # as Snakemake's generic plugin calls it; what the job needs stands in the script
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).with_name("job.yaml")
GPU = "nvidia.com/gpu"


def properties_of(jobscript: str) -> dict[str, Any]:
    """What Snakemake says of a job at the head of its script: threads, resources and more."""
    (stated,) = re.findall(r"^# properties = (.*)$", jobscript, re.MULTILINE)
    return json.loads(stated)


def manifest(template: dict[str, Any], jobscript: Path, folder: Path) -> dict[str, Any]:
    """The Job: the template with the command, working directory, memory, cores, GPUs and time of one job."""
    job = properties_of(jobscript.read_text("utf-8"))
    resources = job["resources"]
    limits = {"cpu": job["threads"], "memory": f"{resources['mem_mb']}M"}
    if resources.get("gpu"):
        limits[GPU] = resources["gpu"]
    template["spec"]["activeDeadlineSeconds"] = resources["runtime"] * 60
    (container,) = template["spec"]["template"]["spec"]["containers"]
    container |= {
        "command": ["bash", str(jobscript)],
        "workingDir": str(folder),
        "resources": {"requests": limits, "limits": limits},
    }
    return template


def main() -> None:
    """Create it with kubectl."""
    job = manifest(yaml.safe_load(TEMPLATE.read_text("utf-8")), Path(sys.argv[-1]).absolute(), Path.cwd())
    created = subprocess.run(
        ["kubectl", "create", "--filename=-", "--output=jsonpath={.metadata.namespace}/{.metadata.name}"],
        input=json.dumps(job),
        env=os.environ,
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    )
    print(created.stdout)


if __name__ == "__main__":
    main()
