"""What only a GPU can show: that CUDA sees what was claimed, and that its short memory is got over."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from refvessel.dataset.tree import Expression
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.inference.segmenter import Segmentation
from refvessel.masks import empty

pytestmark = pytest.mark.skipif(not torch.cuda.device_count(), reason="there is no GPU here")

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

    def segment(self, images, prompts):
        filled = torch.empty(len(images) * GIB, dtype=torch.uint8, device="cuda")
        answer = Segmentation("[SEG]", np.ones((1, 8, 8), bool), [0.5], np.ones((1, 2, 2), np.float16))
        assert len(filled) >= GIB
        return [[answer for _ in mine] for mine in prompts]


class Processor:
    def process_image(self, image):
        return image


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    expression = Expression(
        image_id="a",
        ref_id=0,
        sent_id=0,
        phrase="vessel",
        patient="p",
        height=8,
        width=8,
        truth=empty(8, 8),
        image_path=tmp_path / "a.png",
    )
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2.5 * GIB / total)
    try:
        predictor = Predictor(Greedy(), Processor(), "{phrase}", 8)
        predicted = predictor.predict([ImageTask((expression,))] * 8)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [record.status for record, _ in predicted] == ["ok"] * 8
    assert predictor.batch_size.images == 2
