"""A shard of a spread or quantised model: its settings, its masks, and what it leaves behind."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from stages import segment_shard

from refvessel.errors import UserError
from refvessel.inference.devices import memory_for_weights
from refvessel.predictions.logits_file import logits_file, read_logits
from refvessel.predictions.run_file import read_run
from refvessel.settings.memory import stated_memory

WHOLE = {"device_map": None, "max_memory": None, "gpus_per_job": 1, "device": None, "compiled": False}
SMALL = {"cpu": "10.2MB"}  # SAM2 and a little of the rest


def records(shard):
    lines = [json.loads(line) for line in shard.read_text().splitlines()]
    return [{key: value for key, value in each.items() if key != "seconds"} for each in lines]


def segment(model, tree, output, **settings):
    segment_shard(model=model, dataset=tree, split="test", output=output, batch_size=1, **settings)


@pytest.mark.parametrize(
    ("settings", "memory"),
    [
        ({}, None),
        ({"gpus_per_job": 2, "device": "cpu"}, None),
        ({"device_map": "auto"}, {}),
        ({"gpus_per_job": 2, "device": "cuda"}, {}),
        ({"gpus_per_job": 2}, {}),
        (
            {"device_map": "auto", "max_memory": {0: "1.5GiB", "cpu": "40 GB"}},
            {0: 3 * 2**29, "cpu": 40 * 10**9},
        ),
        ({"device_map": "auto", "max_memory": {"0": "512KiB"}}, {0: 2**19}),
        ({"gpus_per_job": 2, "max_memory": {1: "7B"}}, {1: 7}),
        ({"device_map": "auto", "device": "cpu", "max_memory": {"cpu": "2TiB"}}, {"cpu": 2**41}),
    ],
)
def test_a_model_is_spread_where_it_is_asked_for_or_several_gpus_are_taken(settings, memory):
    assert stated_memory(**(WHOLE | settings)) == memory


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"device_map": "balanced"}, "device_map is 'balanced'; give auto"),
        ({"max_memory": {0: "1GiB"}}, "set device_map: auto"),
        ({"device_map": "auto", "max_memory": {1: "1GiB"}}, "names 1, but the job has 0, cpu; name one"),
        ({"device_map": "auto", "max_memory": {"disk": "1GiB"}}, "names 'disk'"),
        (
            {"device_map": "auto", "device": "cpu", "max_memory": {0: "1GiB"}},
            "names 0, but the job has cpu; name",
        ),
        ({"device_map": "auto", "max_memory": {"cpu": "40"}}, "cpu is '40', which is no size; write it like"),
        ({"device_map": "auto", "max_memory": {"cpu": 40}}, "cpu is 40, which is no size"),
        ({"device_map": "auto", "max_memory": {0: "-1GiB"}}, "0 is '-1GiB', which is no size"),
        ({"device_map": "auto", "compiled": True}, "compiled needs the whole model on one GPU"),
        ({"gpus_per_job": 2, "compiled": True}, "compiled needs the whole model on one GPU"),
    ],
)
def test_settings_that_cannot_be_are_named(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        stated_memory(**(WHOLE | settings))


def test_weights_may_take_what_is_stated_but_not_more_than_is_free(monkeypatch):
    free = {0: 10 * 10**9, 1: 20 * 10**9}
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda gpu: (free[gpu], 80 * 10**9))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 30 * 10**9}))
    stated = {0: 5 * 10**9, "cpu": 50 * 10**9}
    memory = memory_for_weights(torch.device("cuda"), stated)
    assert memory == {0: 5 * 10**9, 1: 18 * 10**9, "cpu": 30 * 10**9}
    assert list(memory) == [0, 1, "cpu"]
    assert memory_for_weights(torch.device("cpu"), {}) == {"cpu": 27 * 10**9}


@pytest.mark.parametrize("memory", [SMALL, {"cpu": "10.6MB"}])
def test_a_model_partly_on_disk_segments_as_one_in_memory_and_leaves_nothing(
    segmented, tree, demo_model, tmp_path, memory
):
    output = tmp_path / "shard.jsonl"
    segment(demo_model, tree, output, device="cpu", device_map="auto", max_memory=memory)
    assert records(output) == records(segmented)
    assert "disk" in json.loads(output.with_suffix(".progress.json").read_text())["device"]
    assert not offload_folder(output).exists()


def offload_folder(output: Path) -> Path:
    return output.with_name(f".{output.name}.offload")


def test_what_a_preempted_job_offloaded_goes_with_it_and_what_a_killed_one_left_goes_next(
    segment_job, tree, demo_model, segmented, tmp_path
):
    output = tmp_path / "shard.jsonl"
    options = ("--device", "cpu", "--device-map", "auto", "--max-memory", f"cpu={SMALL['cpu']}")
    job = segment_job(output, 1, *options)
    assert list(offload_folder(output).iterdir())
    job.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    job.communicate(timeout=60)
    assert time.monotonic() - begin < 10
    assert job.returncode == 128 + signal.SIGTERM
    assert not offload_folder(output).exists()

    output = tmp_path / "killed.jsonl"
    job = segment_job(output, 1, *options)
    job.kill()
    job.wait()
    assert list(offload_folder(output).iterdir())
    segment(demo_model, tree, output, device="cpu", device_map="auto", max_memory=SMALL)
    assert records(output) == records(segmented)
    assert not offload_folder(output).exists()


def test_a_disk_without_room_for_what_is_offloaded_is_an_error(tree, demo_model, small_disk):
    with pytest.raises(UserError, match=r"offload needs 0\.00 GB but its disk has 0\.00 GB free"):
        segment(
            demo_model,
            tree,
            small_disk / "shard.jsonl",
            device="cpu",
            device_map="auto",
            max_memory=SMALL,
            language_weights="int8",
        )
    assert not offload_folder(small_disk / "shard.jsonl").exists()


def test_memory_for_less_than_sam2_and_a_layer_is_an_error(tree, demo_model, tmp_path):
    with pytest.raises(UserError, match=r"max_memory leaves .* of the CPU to the weights, but .* are needed"):
        segment(
            demo_model,
            tree,
            tmp_path / "shard.jsonl",
            device="cpu",
            device_map="auto",
            max_memory={"cpu": "1MB"},
        )


@pytest.mark.parametrize(("kind", "least", "most"), [("int8", 0.005, 0.2), ("float8", 0.02, 0.8)])
def test_quantised_weights_are_recorded_and_change_logits_a_little(
    segmented, tree, demo_model, tmp_path, kind, least, most
):
    output = tmp_path / "shard.jsonl"
    segment(demo_model, tree, output, language_weights=kind, save_logits=True)
    assert read_run(output)["language_weights"] == kind
    assert read_run(segmented)["language_weights"] is None
    exact, found = (dict(read_logits(logits_file(each))) for each in (segmented, output))
    changes = [np.abs(found[sent_id].astype(float) - exact[sent_id]).max() for sent_id in exact]
    assert least < max(changes) < most  # of logits that go to 30


def test_a_shard_is_not_continued_with_other_weights(tree, demo_model, segmented):
    with pytest.raises(UserError, match="differs in language_weights"):
        segment(demo_model, tree, segmented, save_logits=True, language_weights="int8")
