"""Jobs that are killed, preempted, doubled or out of disk leave whole lines, and are resumed to the same shard."""

import json
import re
import shutil
import signal
import time

import pytest
from safetensors.torch import load_file, save_file
from stages import segment_shard

from refvessel.errors import UserError


def without_seconds(shard):
    records = [json.loads(line) for line in shard.read_text().splitlines()]
    return [{key: value for key, value in each.items() if key != "seconds"} for each in records]


@pytest.fixture
def resume(tree, demo_model):
    """A function that completes a shard in this process."""

    def resume(output):
        segment_shard(model=demo_model, dataset=tree, split="test", output=output, batch_size=1)

    return resume


def test_a_killed_job_is_resumed_to_the_same_shard(segmented, segment_job, resume, tmp_path):
    output = tmp_path / "shard.jsonl"
    job = segment_job(output, lines=2)
    job.send_signal(signal.SIGKILL)
    job.wait()
    finished = output.read_bytes()
    assert 0 < finished.count(b"\n") < len(without_seconds(segmented))
    resume(output)
    assert output.read_bytes().startswith(finished)
    assert without_seconds(output) == without_seconds(segmented)


def test_a_preempted_job_ends_soon_with_what_it_finished(segmented, segment_job, resume, tmp_path):
    output = tmp_path / "shard.jsonl"
    job = segment_job(output, forked=False)
    with pytest.raises(UserError, match=r"shard\.jsonl is being written by another job"):
        resume(output)
    job.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    _, told = job.communicate(timeout=60)
    assert time.monotonic() - begin < 10
    assert job.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in told
    kept = without_seconds(output)
    assert 0 < len(kept) < len(without_seconds(segmented))
    assert kept == without_seconds(segmented)[: len(kept)]


def test_a_job_on_a_full_disk_says_so_and_is_resumed_once_there_is_room(
    segmented, segment_job, resume, small_disk
):
    output, filler = small_disk / "shard.jsonl", small_disk / "filler"
    job = segment_job(output)
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(256 * 1024))  # what fits of it stays
    _, told = job.communicate(timeout=60)
    assert job.returncode == 1
    assert re.search(r"refvessel: .*shard.* could not be written.*(make room|free some space)", told)
    assert "Traceback" not in told
    kept = without_seconds(output)
    assert 0 < len(kept) < len(without_seconds(segmented))
    assert kept == without_seconds(segmented)[: len(kept)]
    filler.unlink()
    resume(output)
    assert without_seconds(output) == without_seconds(segmented)


@pytest.mark.parametrize(
    "part", ["sam_mask_decoder.output_upscaling.0.weight", "layers.0.mlp.down_proj.weight"]
)
def test_logits_that_are_not_finite_are_failures_and_not_masks(tree, demo_model, tmp_path, part):
    damaged = shutil.copytree(demo_model, tmp_path / "model")
    (damaged / "conversion.json").unlink()  # which would tell that these are other weights
    (weights,) = damaged.glob("*.safetensors")
    tensors = load_file(weights)
    (name,) = (name for name in tensors if name.endswith(part) and "vision" not in name)
    tensors[name][:] = float("nan")
    save_file(tensors, weights, {"format": "pt"})
    output = tmp_path / "shard.jsonl"
    with pytest.raises(UserError, match=r"6 expressions failed.*not finite"):
        segment_shard(model=damaged, dataset=tree, split="test", output=output)
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert {each["status"] for each in records} == {"failed"}
    assert not any(each["masks"] for each in records)
