"""What only GPUs can show: that CUDA sees what was claimed, that short memory is got over, that models spread."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from refvessel.errors import UserError
from refvessel.inference.mask_texts import encode_masks
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.inference.segmenter import Segmentation
from refvessel.model.modeling import Sa2VAModel
from refvessel.rle import decode, encode

if not torch.cuda.device_count():
    pytest.skip("there is no GPU here", allow_module_level=True)

GIB = 2**30

HIDES_ALL_GPUS_BEFORE_THE_MODEL_IS_LOADED = """
import os, torch
from refvessel.inference import run
from refvessel.inference.devices import choose_device, choose_dtype
device = choose_device(None)
assert device.type == "cuda" and choose_dtype(None, device) == torch.bfloat16
os.environ["CUDA_VISIBLE_DEVICES"] = ""
assert not torch.cuda.is_available()
"""


def test_cuda_is_not_begun_before_gpus_are_claimed():
    subprocess.run([sys.executable, "-c", HIDES_ALL_GPUS_BEFORE_THE_MODEL_IS_LOADED], check=True)


class Greedy:
    """A segmenter that needs a GiB an image."""

    def segment(self, batch):
        filled = torch.empty(len(batch.images) * GIB, dtype=torch.uint8, device="cuda")
        answer = Segmentation("[SEG]", [encode(np.ones((8, 8), bool))], [0.5], np.ones((1, 2, 2), np.float16))
        assert len(filled) >= GIB
        return [[answer for _ in mine] for mine in batch.prompts]


class Processor:
    def process_image(self, image):
        return image


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tmp_path, expression):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    task = ImageTask((expression(sent_id=0, image_path=tmp_path / "a.png"),))
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2.5 * GIB / total)
    try:
        predictor = Predictor(Greedy(), Processor(), "{phrase}", 8)
        predicted = predictor.predict([task] * 8)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [record.status for record, _ in predicted] == ["ok"] * 8
    assert predictor.batch_size == 2


@pytest.fixture(scope="module")
def segment(tree, demo_model, tmp_path_factory):
    """A function that segments the tree in a process of its own; its masks, and where the model's parts lay."""

    def segment(*options: str) -> tuple[list[np.ndarray], str]:
        output = tmp_path_factory.mktemp("shard") / "shard.jsonl"
        command = [sys.executable, "-m", "refvessel.cli", "segment", "--split", "test", "--dtype", "float32"]
        command += ["--model", str(demo_model), "--dataset", str(tree), "--output", str(output), *options]
        subprocess.run(command, check=True, env=os.environ | {"NVIDIA_TF32_OVERRIDE": "0"})
        masks = [decode(json.loads(line)["mask"]) for line in output.read_text().splitlines()]
        return masks, json.loads(output.with_suffix(".progress.json").read_text())["device"]

    return segment


@pytest.fixture(scope="module")
def on_one_gpu(segment):
    masks, device = segment()
    assert all(mask.any() for mask in masks)
    assert "spread" not in device
    return masks


def assert_equal_but_for_rounding(masks, others):
    for one, other in zip(masks, others, strict=True):
        assert (one != other).mean() < 1e-4  # pixels whose logit is zero but for rounding


def test_a_compiled_model_gives_the_same_masks(segment, on_one_gpu):
    masks, _ = segment("--compiled", "yes", "--batch-size", "2")
    assert_equal_but_for_rounding(masks, on_one_gpu)


def test_a_gpu_gives_the_masks_of_the_cpu(segment, on_one_gpu):
    masks, device = segment("--device", "cpu")
    assert device == "cpu"
    assert_equal_but_for_rounding(on_one_gpu, masks)


@pytest.mark.parametrize("options", [(), ("--compiled", "yes", "--batch-size", "2")])
def test_bfloat16_changes_a_pixel_in_a_thousand_at_most_whichever_path_computes(segment, on_one_gpu, options):
    masks, _ = segment("--dtype", "bfloat16", *options)
    for one, other in zip(masks, on_one_gpu, strict=True):
        assert (one != other).mean() < 1e-3


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs here")
@pytest.mark.parametrize("memory", [(), ("--max-memory", "1=800KB")])
def test_a_model_spread_over_two_gpus_gives_the_same_masks_as_on_one(segment, on_one_gpu, memory):
    masks, device = segment("--gpus-per-job", "2", *memory)
    assert "spread over 0, 1" in device
    assert_equal_but_for_rounding(masks, on_one_gpu)


@pytest.mark.parametrize("memory", ["cpu=10GiB", "cpu=600KB"])
def test_a_model_partly_off_the_gpu_gives_the_same_masks_as_on_it(segment, on_one_gpu, memory):
    options = ("--device-map", "auto", "--max-memory", "0=10.3MB", "--max-memory", memory)
    masks, device = segment(*options)
    assert "spread over 0, cpu" in device
    assert_equal_but_for_rounding(masks, on_one_gpu)


def test_more_weights_than_the_gpu_holds_are_an_error_with_its_remedy(demo_model):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(UserError, match="do not fit into the memory of cuda; set device_map: auto"):
            Sa2VAModel.load(demo_model, dtype=torch.float32, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_gpu_writes_masks_as_the_host_does():
    masks = (
        torch.rand(3, 300, 200, generator=torch.Generator().manual_seed(0))
        < torch.tensor([0.5, 0, 1])[:, None, None]
    )
    assert encode_masks([masks[:2].cuda(), masks[2:].cuda()]) == encode_masks([masks[:2], masks[2:]])
