"""The doctor says the truth: of this machine, of a full disk, of a site's partitions, of a configuration."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from refvessel.cli.app import app
from refvessel.doctor import machine_checks
from refvessel.doctor.examination import examine
from refvessel.doctor.finding import Finding, table
from refvessel.doctor.machine_checks import look_at_disk, look_at_folders, look_at_gpus, look_at_memory
from refvessel.doctor.profile_checks import look_at_profile
from refvessel.errors import UserError
from refvessel.jobs import slurm
from refvessel.settings.inference_section import Inference

ROOT = Path(__file__).resolve().parents[1]
CUDA = Inference(device="cuda")
SINFO = "cpu|up|1-00:00:00|4|(null)\nold|down|30:00|1|(null)\ngpu|up|12:00:00|2|gpu:a100:4(S:0-1)\n"


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(machine_checks, "usable_gpus", lambda: [])
    monkeypatch.setattr(machine_checks, "_gpus_of_the_driver", lambda: [])


@pytest.fixture
def site(monkeypatch):
    """A Slurm that answers."""
    answers = {"sinfo": SINFO, "sacctmgr": "heart\nlab\nheart\n"}
    monkeypatch.setattr(slurm, "_answer", lambda *command: answers[command[0]])
    monkeypatch.setattr("refvessel.doctor.profile_checks.metadata.version", lambda name: "2.8.0")


@pytest.fixture
def profile(tmp_path):
    """A function that writes a profile of Slurm with these partitions."""

    def write(partitions, **resources):
        content = {"executor": "slurm", "partitions": partitions, "default-resources": resources}
        (tmp_path / "profile.yaml").write_text(yaml.safe_dump(content))
        return tmp_path

    return write


def failures(findings):
    return [each.told for each in findings if each.state == "failure"]


def test_the_command_ends_with_status_0_where_all_is_well_and_with_1_where_a_run_would_fail(tmp_path):
    command = [sys.executable, "-m", "refvessel.cli", "doctor"]
    well = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert well.returncode == 0, well.stdout + well.stderr
    assert len(well.stdout.splitlines()) == 5
    assert "failure" not in well.stdout
    (tmp_path / "profile.yaml").write_text("executor: nowhere\n")
    ill = subprocess.run(
        [*command, "--profile", "."], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ill.returncode == 1, ill.stdout + ill.stderr
    assert "snakemake-executor-plugin-nowhere is not installed" in ill.stdout.splitlines()[-1]


def test_a_machine_without_gpu_is_well_unless_one_is_asked_for(no_gpu):
    assert look_at_gpus(None) == Finding("GPUs", "fine", "none here: models run on the CPU, slowly")
    assert look_at_gpus(CUDA).state == "failure"


@pytest.mark.parametrize(
    ("usable", "inference", "state", "told"),
    [
        (["0", "1"], None, "fine", "2 that models can use (H with 9 MiB, driver 5)"),
        (["0", "1"], Inference(gpus_per_job=4), "failure", "fewer than gpus_per_job, 4"),
        ([], None, "warning", "H with 9 MiB, driver 5, but none can be used"),
        ([], CUDA, "failure", "H with 9 MiB, driver 5, but none can be used"),
    ],
)
def test_gpus_that_cannot_be_used_are_told(monkeypatch, usable, inference, state, told):
    monkeypatch.setattr(machine_checks, "usable_gpus", lambda: usable)
    monkeypatch.setattr(machine_checks, "_gpus_of_the_driver", lambda: ["H with 9 MiB, driver 5"])
    found = look_at_gpus(inference)
    assert found.state == state
    assert told in found.told


def test_a_full_disk_is_told_twice_as_too_small_and_as_not_to_be_written(small_disk):
    (small_disk / "all").write_bytes(b"0" * 200_000)
    results = small_disk / "results"
    assert "0.0 GB free" in look_at_disk(results, 0).told
    assert look_at_disk(results, 0).state == "failure"
    assert "No space left on device" in look_at_folders(results).told
    assert not results.exists()


def test_a_disk_too_small_for_models_and_data_is_told(tmp_path):
    assert look_at_disk(tmp_path / "results", 1).state == "fine"
    assert look_at_disk(tmp_path / "results", 1e12).state == "failure"


def test_memory_is_compared_with_what_is_free_and_with_what_a_scheduler_gave(monkeypatch, tmp_path):
    assert look_at_memory(10).state == "fine"
    (tmp_path / "memory.max").write_text("2000000\n")
    monkeypatch.setattr(machine_checks, "_CGROUP_LIMITS", (str(tmp_path / "memory.max"),))
    assert look_at_memory(10).state == "failure"


def test_partitions_that_are_right_are_well(site, profile):
    stated = {"cpu": {"max_runtime": 1440}, "gpu": {"max_runtime": 720, "max_gpu": 4}}
    assert failures(look_at_profile(profile(stated, slurm_account="lab"), with_gpu=True)) == []


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"gpus": {"max_runtime": 60, "max_gpu": 1}}, "'gpus' is none of Slurm's, which are cpu, gpu, old"),
        (
            {"gpu": {"max_runtime": 721, "max_gpu": 1}},
            "'gpu' allows 720 minutes, fewer than max_runtime, 721",
        ),
        ({"gpu": {"max_runtime": 60, "max_gpu": 9}}, "'gpu' has 8 GPUs, fewer than max_gpu, 9"),
        ({"gpu": {"max_gpu": 1}}, "'gpu' states no max_runtime"),
        ({"old": {"max_runtime": 10}}, "'old' takes no jobs"),
        ({"cpu": {"max_runtime": 10}}, "none has GPUs"),
        ({"gpu": {"max_runtime": 60, "max_gpu": "many"}}, "'gpu' states 'many' as max_gpu; give a number"),
        ({"gpu": None}, "'gpu' states no limits"),
        (["gpu"], "partitions is no mapping"),
        ({}, "the profile names none"),
    ],
)
def test_a_wrong_partition_is_told(site, profile, stated, told):
    (sentence,) = failures(look_at_profile(profile(stated), with_gpu=True))
    assert told in sentence


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ({"slurm_partition": "gpu", "slurm_account": "lab"}, []),
        (["slurm_partition=gpu", "mem_mb=attempt * 2000"], []),
        (
            ["slurm_partition=gpus", "slurm_account=lab"],
            ["'gpus' is none of Slurm's, which are cpu, gpu, old; correct the name"],
        ),
        ({"slurm_partition": "cpu"}, ["'cpu' has no GPUs; name another, or set inference.device: cpu"]),
    ],
)
def test_one_partition_for_all_jobs_is_looked_at_too(site, tmp_path, resources, told):
    (tmp_path / "profile.yaml").write_text(
        yaml.safe_dump({"executor": "slurm", "default-resources": resources})
    )
    assert failures(look_at_profile(tmp_path, with_gpu=True)) == told


def test_partitions_may_stand_in_a_file_that_the_profile_names(site, tmp_path):
    (tmp_path / "profile.yaml").write_text("executor: slurm\nslurm-partition-config: ours.yaml\n")
    assert failures(look_at_profile(tmp_path, with_gpu=True)) == [
        "slurm-partition-config (ours.yaml) names no file; correct the path"
    ]
    (tmp_path / "ours.yaml").write_text("partitions: {gpu: {max_runtime: 60, max_gpu: 8}}")
    assert failures(look_at_profile(tmp_path, with_gpu=True)) == []


def test_the_command_tells_of_a_missing_gpu_a_full_disk_and_a_wrong_partition(
    small_disk, tmp_path, monkeypatch, capsys
):
    for name, told in {"sinfo": SINFO, "sacctmgr": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf '{told}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["inference"]["device"] = "cuda"
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    (small_disk / "all").write_bytes(b"0" * 200_000)
    (tmp_path / "profile.yaml").write_text(
        "executor: slurm\npartitions: {gpus: {max_runtime: 60, max_gpu: 8}}\n"
    )
    monkeypatch.chdir(ROOT)
    arguments = ["doctor", "--config", str(tmp_path / "my.yaml"), "--results", str(small_disk / "results")]
    for more, subject, told in (
        ([], "GPUs", "none, and inference.device is 'cuda'"),
        ([], "disk", "0.0 GB free"),
        (["--profile", str(tmp_path)], "partitions", "'gpus' is none of Slurm's, which are cpu, gpu, old"),
    ):
        assert app([*arguments, *more], standalone_mode=False) == 1
        shown = capsys.readouterr().out
        assert re.search(rf"^failure +{subject} +{re.escape(told)}", shown, re.MULTILINE)
        assert ("but this machine shows no GPU" in shown) is (
            not more
        )  # where jobs run elsewhere, it needs none


def test_a_wrong_account_is_told(site, profile):
    stated = profile({"gpu": {"max_runtime": 60, "max_gpu": 1}}, slurm_account="hart")
    assert failures(look_at_profile(stated, with_gpu=True)) == [
        "'hart' is not yours, which are heart, lab; correct it"
    ]


def test_a_machine_without_slurm_says_so(profile, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "sinfo is not on the path; log in where jobs are submitted" in failures(
        look_at_profile(profile({"cpu": {}}), with_gpu=False)
    )


def test_commands_of_another_scheduler_are_looked_for(tmp_path):
    (tmp_path / "profile.yaml").write_text(
        "executor: cluster-generic\ncluster-generic-submit-cmd: qsub-of-nobody -q x\n"
        "cluster-generic-cancel-cmd: sh\n"
    )
    told = failures(look_at_profile(tmp_path, with_gpu=False))[-1]
    assert told.startswith("qsub-of-nobody (cluster-generic-submit-cmd) not on the path")


def test_a_profile_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"names no folder with profile\.yaml"):
        look_at_profile(tmp_path / "nowhere", with_gpu=False)


def test_a_wrong_configuration_is_told_with_the_rest(tmp_path, no_gpu):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["models"]["demo"]["sam2"] = "nowhere.pt"
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    findings = examine(config=tmp_path / "my.yaml", profile=None, results=tmp_path / "results")
    assert any("nowhere.pt" in sentence for sentence in failures(findings))


def test_a_configuration_whose_data_the_workflow_makes_is_well(no_gpu, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    for results in (None, tmp_path):
        found = examine(config=Path("config.yaml"), profile=None, results=results)
        assert [each.state for each in found if each.subject == "configuration"] == ["fine"]


def test_failures_come_last_where_the_eye_falls():
    shown = table([Finding("a", "failure", "x"), Finding("bb", "fine", "y"), Finding("c", "warning", "z")])
    assert [line.split() for line in shown.splitlines()] == [
        ["fine", "bb", "y"],
        ["warning", "c", "z"],
        ["failure", "a", "x"],
    ]
