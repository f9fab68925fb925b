"""Each profile is one that Snakemake takes, and plans the demo with what jobs need."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml
from small_demo import ROOT, SNAKEMAKE, write_small_demo

from refvessel.doctor.profile_checks import look_at_profile

PROFILES = sorted(path.name for path in (ROOT / "profiles").iterdir())
OF_CLUSTERS = [name for name in PROFILES if name != "default"]


def require_plugin(profile: str) -> None:
    executor = yaml.safe_load((ROOT / f"profiles/{profile}/profile.yaml").read_text()).get("executor")
    if executor and find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}") is None:
        pytest.skip(f"the extra {executor} is not installed (`make test-slurm` installs it)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_demo(tmp_path_factory.mktemp("profiles") / "run")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_dry_run_works_with_every_profile(profile, folder):
    require_plugin(profile)
    command = [*SNAKEMAKE, "--dry-run", "--workflow-profile", str(ROOT / "profiles" / profile)]
    environment = os.environ | {"TMPDIR": "/tmp"}
    dry = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stdout + dry.stderr
    planned = dict(re.findall(r"^(\w+) +(\d+)$", dry.stdout, re.MULTILINE))
    assert planned["segment_shard"] == "3"
    assert planned["render_report"] == "1"
    (jobs_of_models,) = set(re.findall(r"resources: (.*gpu=1.*)", dry.stdout))
    assert "mem_mb=" in jobs_of_models
    assert "runtime=" in jobs_of_models
    assert not (folder / "results").exists()


@pytest.mark.parametrize("profile", OF_CLUSTERS)
def test_what_a_site_must_set_comes_first_and_every_line_is_explained(profile):
    head, sites_own, same_everywhere = re.split(
        r"^# --- .* -+$", (ROOT / f"profiles/{profile}/profile.yaml").read_text(), flags=re.MULTILINE
    )
    assert f"--workflow-profile profiles/{profile}" in head
    assert "executor:" in same_everywhere
    for part in (sites_own, same_everywhere):
        explained = False
        for line in part.splitlines():
            starts_a_key = re.match(r" {0,2}[\w-]+:", line)
            assert not starts_a_key or "#" in line or explained, line
            explained = line.startswith("#") or (explained and line.startswith(" "))


@pytest.mark.parametrize("profile", OF_CLUSTERS)
def test_the_doctor_reads_every_profile(profile, monkeypatch):
    monkeypatch.setenv("PATH", "")
    findings = look_at_profile(ROOT / "profiles" / profile, with_gpu=True)
    assert findings[-1].state == "failure"  # no scheduler is on this path


def test_slurms_plugin_finds_the_partitions_in_the_profile_itself():
    plugin = pytest.importorskip(
        "snakemake_executor_plugin_slurm.partitions", reason="the extra slurm is not installed"
    )
    file = ROOT / "profiles/slurm/profile.yaml"
    assert yaml.safe_load(file.read_text())["slurm-partition-config"] == file.name
    assert [(each.name, each.limits.max_gpu) for each in plugin.read_partition_file(file)] == [
        ("cpu", 0),
        ("gpu", 4),
    ]


@pytest.mark.parametrize(
    ("commands", "job", "told"),
    [
        (
            {"qstat": "case $1 in --version) echo pbs_version;; *) echo '    job_state = R';; esac"},
            "7",
            "running",
        ),
        (
            {
                "qstat": "case $1 in --version) echo pbs_version;; "
                "*) printf '    job_state = F\\n    Exit_status = 0\\n';; esac"
            },
            "7",
            "success",
        ),
        (
            {
                "qstat": "case $1 in --version) echo pbs_version;; "
                "*) printf '    job_state = F\\n    Exit_status = 271\\n';; esac"
            },
            "7",
            "failed",
        ),
        ({"qstat": "case $1 in -j) exit 0;; *) exit 1;; esac"}, "7", "running"),
        ({"qstat": "exit 1", "qacct": "printf 'failed 0\\nexit_status 0\\n'"}, "7", "success"),
        ({"qstat": "exit 1", "qacct": "printf 'failed 100 : killed\\nexit_status 137\\n'"}, "7", "failed"),
        ({"qstat": "exit 1", "qacct": "exit 1"}, "7", "failed"),
        ({"bjobs": "echo RUN"}, "7", "running"),
        ({"bjobs": "echo DONE"}, "7", "success"),
        ({"bjobs": "echo EXIT"}, "7", "failed"),
    ],
)
def test_what_became_of_a_job_is_read_from_what_schedulers_print(commands, job, told, tmp_path):
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    script = ROOT / "profiles/cluster-generic/status.sh"
    environment = os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([script, job], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{told}\n"


JOBSCRIPT = """#!/bin/sh
# properties = {"rule": "segment_shard", "threads": 4, "resources": {"mem_mb": 3507, "gpu": 2, "runtime": 31}}
snakemake
"""


def test_a_job_of_kubernetes_asks_for_what_the_rule_needs(tmp_path):
    for name, text in (
        ("kubectl", f"#!/bin/sh\ncat > {tmp_path}/created\nprintf ours/refvessel-x7\n"),
        ("job.sh", JOBSCRIPT),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    command = [sys.executable, ROOT / "profiles/kubernetes/submit.py", "job.sh"]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "ours/refvessel-x7\n"
    created = yaml.safe_load((tmp_path / "created").read_text())
    template = yaml.safe_load((ROOT / "profiles/kubernetes/job.yaml").read_text())
    assert created["spec"].pop("activeDeadlineSeconds") == 31 * 60
    (container,) = created["spec"]["template"]["spec"]["containers"]
    limits = {"cpu": 4, "memory": "3507M", "nvidia.com/gpu": 2}
    assert container.pop("resources") == {"requests": limits, "limits": limits}
    assert container.pop("command") == ["bash", str(tmp_path / "job.sh")]
    assert container.pop("workingDir") == str(tmp_path)
    assert created == template


@pytest.mark.parametrize(
    ("kubectl", "told"),
    [
        ("echo 'refvessel-x7 '", "running"),
        ("echo 'refvessel-x7 SuccessCriteriaMet Complete'", "success"),
        ("echo 'refvessel-x7 FailureTarget Failed'", "failed"),
        ("true", "failed"),  # it is gone
        ("exit 1", "running"),  # the cluster does not answer
    ],
)
def test_what_became_of_a_job_of_kubernetes(kubectl, told, tmp_path):
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\n{kubectl}\n")
    (tmp_path / "kubectl").chmod(0o755)
    script = ROOT / "profiles/kubernetes/status.sh"
    environment = os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        [script, "ours/refvessel-x7"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{told}\n"
