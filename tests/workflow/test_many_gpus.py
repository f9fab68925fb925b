"""One machine with several GPUs: a split is divided among them all, and nothing need be said."""

import re
import tempfile
import time
from itertools import chain
from pathlib import Path

import pytest
import yaml
from snakemakes import run_snakemake

from refvessel.demo.annotations import write_labelme_folder
from refvessel.jobs import gpus
from refvessel.predictions.run_file import run_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def planned(start, tmp_path, monkeypatch):
    """A function that plans the demo on a machine of so many GPUs: what is told, and the number of shards."""

    def planned(found: int, **inference) -> tuple[str, int]:
        monkeypatch.setattr(gpus, "usable_gpus", lambda: [str(gpu) for gpu in range(found)])
        workflow = start(tmp_path / "run", lambda config: config["inference"].update(inference))
        dry = workflow.run("--dry-run", "--cores", "16")
        assert dry.returncode == 0, dry.stderr
        told = dry.stdout + dry.stderr
        (count,) = set(re.findall(r"^segment_shard +(\d+)$", told, re.MULTILINE))  # told twice
        return told, int(count)

    return planned


def test_each_gpu_gets_a_shard_where_none_is_stated(planned):
    told, shards = planned(4, shards=None)
    assert "GPUs found: 4. Shards segmented at once: 4 at most." in told
    assert shards == 4


def test_jobs_of_two_gpus_are_half_as_many_at_once_and_a_stated_number_of_shards_is_taken(planned):
    told, shards = planned(4, shards=7, gpus_per_job=2)
    assert "GPUs found: 4. Shards segmented at once: 2 at most." in told
    assert shards == 7


@pytest.mark.parametrize(("found", "stated", "cores"), [(4, None, 4), (1, None, 8), (1, 3, 3), (0, None, 1)])
def test_where_no_cores_are_stated_eight_feed_a_gpu_and_one_computes_on_the_cpu(
    planned, found, stated, cores
):
    told, _ = planned(found, threads=stated)
    said = re.findall(r"^rule segment_shard:\n((?: .*\n)+)", told, re.MULTILINE)
    threads = {re.search(r" threads: (\d+)|$", each)[1] or "1" for each in said}  # one is not said
    assert threads == {str(cores)}


def test_one_gpu_and_the_cpu_get_a_single_shard(planned):
    assert planned(1, shards=None)[1] == planned(0, shards=None)[1] == 1


SHARDS = [f"results/predictions/mine/mine/test/shards/{number}-of-4.jsonl" for number in (1, 2, 3, 4)]


@pytest.fixture
def segmented(tmp_path, monkeypatch):
    """A function that segments four shards on two GPUs that are none, of which some are broken.

    A job holds its GPU until as many hold one as can. It gives the GPUs that were claimed, in that order, and
    those that finished a shard.
    """
    write_labelme_folder(output=tmp_path / "frames", patients=[0], frames=4)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    config = {
        "models": {"mine": {"folder": "model"}},
        "datasets": {"mine": {"format": "labelme", "root": "frames", "single_split": "test"}},
        "evaluations": [{"model": "mine", "dataset": "mine", "split": "test"}],
        "inference": {"shards": 4},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    claims, finished = tmp_path / "claims", tmp_path / "finished"

    def segmented(broken: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
        def segment(*, models, **_) -> None:
            """What `segment_series` does where GPUs are, in a job of its own."""
            with gpus.claimed_gpus(1, lambda: None) as (gpu,):
                with claims.open("a") as lines:
                    lines.write(f"{gpu}\n")
                if gpu in broken:
                    raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
                place = sum(1 for _ in claims.open())
                while not broken and sum(1 for _ in claims.open()) < place + place % 2:
                    time.sleep(0.01)
                with finished.open("a") as lines:
                    lines.write(f"{gpu}\n")
            for each in chain.from_iterable(models.values()):
                each.output.write_text("")
                run_file(each.output).write_text("{}")

        monkeypatch.setattr(
            "refvessel.checkpoint.link.link_checkpoint", lambda folder, output: output.mkdir()
        )
        monkeypatch.setattr("refvessel.checkpoint.conversion_record.summary", str)
        monkeypatch.setattr("refvessel.predictions.identity.identify", lambda folder: None)
        monkeypatch.setattr("refvessel.inference.run.segment_series", segment)
        monkeypatch.setattr(gpus, "usable_gpus", lambda: ["0", "1"])
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        done = run_snakemake(["--snakefile", str(ROOT / "Snakefile"), "--cores", "8", *SHARDS], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert all((tmp_path / shard).exists() for shard in SHARDS)
        return claims.read_text().split(), finished.read_text().split()

    return segmented


def test_all_gpus_work_at_once_and_have_as_much_to_do(segmented):
    claimed, finished = segmented()
    assert [sorted(claimed[:2]), sorted(claimed[2:])] == [["0", "1"], ["0", "1"]]
    assert sorted(finished) == ["0", "0", "1", "1"]


def test_the_shard_of_a_gpu_that_fails_goes_to_another_and_the_others_never_there(segmented):
    claimed, finished = segmented(broken=("0",))
    assert sorted(claimed) == ["0", "1", "1", "1", "1"]
    assert finished == ["1", "1", "1", "1"]
