"""One machine with several GPUs: a split is divided among them all, and nothing need be said."""

import re

import pytest

from refvessel.jobs import gpus


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
