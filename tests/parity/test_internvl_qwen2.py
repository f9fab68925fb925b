"""The official code's results on the very small model, one case at a time and all in one batch.

Bars: `parity/README.md` in the shared folder.
"""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from plain_loop import plain_answer
from safetensors.torch import load_file

from refvessel.inference.drafts import EXPECTED, Drafts
from refvessel.inference.logits import image_logits
from refvessel.inference.segmenter import Segmenter
from refvessel.model.decoding import Stopping
from refvessel.model.modeling import Sa2VAModel, upsample_logits
from refvessel.model.packing import pack_prompts
from refvessel.model.placement import Spreading
from refvessel.model.processing import Sa2VAProcessor, normalise

PIXELS, STATES, LOGITS, NEAR_ZERO = 1e-6, 5e-6, 2e-4, 1e-3


@dataclass
class Official:
    """The cases and the tensors of the official code."""

    cases: list[dict]
    tensors: dict[str, torch.Tensor]

    def masks(self, case: dict) -> np.ndarray:
        """bool (n, height, width)"""
        packed = self.tensors[f"{case['case']}.masks_packed"].numpy().reshape(case["num_seg"], -1)
        size = case["height"] * case["width"]
        unpacked = np.unpackbits(packed, axis=1)[:, :size]
        return unpacked.reshape(-1, case["height"], case["width"]).astype(bool)


@pytest.fixture(scope="module")
def official(parity):
    return Official(json.loads((parity / "cases.json").read_text()), load_file(parity / "cases.safetensors"))


@pytest.fixture(scope="module")
def model(parity):
    return Sa2VAModel.load(parity, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(parity):
    return Sa2VAProcessor.from_pretrained(parity)


def pytest_generate_tests(metafunc):
    """Case numbers without reading the shared folder at collection, where it may be absent."""
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(11))


def drafts(processor, text):
    return text and Drafts(processor.answer_ids(text), processor.stop_token_ids)


def read(parity, case):
    return Image.open(parity / case["image"])


def test_all_eleven_cases_are_tested(official):
    assert len(official.cases) == 11


def test_pixels_and_prompt_ids_equal_the_official_ones(parity, official, processor, number):
    case = official.cases[number]
    image = processor.process_image(read(parity, case))
    pixels = normalise(image.tiles, torch.float32)
    assert len(pixels) == case["num_tiles"]
    expected = official.tensors[f"{case['case']}.pixel_values_tile0"]
    assert (pixels[0][:, ::16, ::16] - expected).abs().max() <= PIXELS
    assert pixels.mean().item() == pytest.approx(case["pixel_values_mean"], abs=PIXELS)
    ids = processor.prompt_ids(case["prompt"], case["num_tiles"])
    assert len(ids) == case["num_prompt_tokens"]
    assert [each for each in ids if each != processor.image_token_id] == case["text_token_ids"]


@torch.inference_mode()
def test_every_stage_equals_the_official_one(parity, official, model, processor, number):
    case = official.cases[number]
    name = case["case"]
    image = processor.process_image(read(parity, case))
    image_embeds = model.embed_tiles(normalise(image.tiles, torch.float32)).flatten(0, 1)
    assert (image_embeds[::37] - official.tensors[f"{name}.image_embeds"]).abs().max() <= STATES

    ids = processor.prompt_ids(case["prompt"], case["num_tiles"])
    begun = model.read_prompts(pack_prompts([[ids]], []), image_embeds, processor.image_token_id)
    stopping = Stopping(processor.stop_token_ids, 2048)
    (answer,) = model.answers(begun, seg_token_id=processor.seg_token_id, stopping=stopping)
    assert answer.token_ids == case["generated_ids"]
    assert processor.answer_text(answer.token_ids) == case["generated_text"]
    assert len(answer.seg_states) == case["num_seg"]
    if not case["num_seg"]:
        return

    assert (answer.seg_states - official.tensors[f"{name}.seg_hidden_states"]).abs().max() <= STATES
    prompts = model.text_hidden_fcs(answer.seg_states)
    assert (prompts - official.tensors[f"{name}.seg_prompt_embeds"]).abs().max() <= STATES
    features = model.encode_images(normalise(image.whole[None], torch.float32))
    same_image = torch.zeros(case["num_seg"], dtype=torch.int64)
    masks = model.decode_masks(features.of(same_image), answer.seg_states)
    assert (masks.logits - official.tensors[f"{name}.low_res_logits"]).abs().max() <= LOGITS
    assert (masks.iou_scores - official.tensors[f"{name}.iou_scores"]).abs().max() <= STATES

    logits = upsample_logits(masks.logits, 1024, case["height"], case["width"])
    differing = (logits.sigmoid() > 0.5).numpy() != official.masks(case)
    assert np.abs(logits.numpy()[differing]).max(initial=0) <= NEAR_ZERO


@pytest.mark.parametrize(
    "draft",
    [
        EXPECTED,
        None,
        "There is no",
        "Sure, it is [SEG] and [SEG] and",
        "[SEG][SEG]",
        "Sure, [SEG].<|im_end|>",
    ],
)
def test_all_cases_in_one_batch_give_the_official_answers_and_masks_whatever_the_draft(
    parity, official, model, processor, draft
):
    names = sorted({case["image"] for case in official.cases}, reverse=draft is None)
    cases = [[case for case in official.cases if case["image"] == name] for name in names]
    images = [processor.process_image(Image.open(parity / name)) for name in names]
    prompts = [[case["prompt"] for case in mine] for mine in cases]
    answered = Segmenter(model, processor, drafts=drafts(processor, draft)).segment(images, prompts)
    for mine, segmentations in zip(cases, answered, strict=True):
        for case, segmentation in zip(mine, segmentations, strict=True):
            assert segmentation.answer == case["generated_text"]
            assert len(segmentation.masks) == case["num_seg"]
            if case["num_seg"]:
                assert_masks_equal(segmentation.masks, official, case)


def test_the_model_on_the_disk_but_for_sam2_gives_the_official_answers_and_masks(
    parity, official, processor, tmp_path
):
    spreading = Spreading({"cpu": 50 * 10**6}, tmp_path)
    model = Sa2VAModel.load(parity, dtype=torch.float32, spreading=spreading)
    assert "disk" in model.hf_device_map.values()
    for name in sorted({case["image"] for case in official.cases}):
        cases = [case for case in official.cases if case["image"] == name]
        image = processor.process_image(Image.open(parity / name))
        (answered,) = Segmenter(model, processor).segment([image], [[case["prompt"] for case in cases]])
        for case, segmentation in zip(cases, answered, strict=True):
            assert segmentation.answer == case["generated_text"]
            if case["num_seg"]:
                assert_masks_equal(segmentation.masks, official, case)


def assert_masks_equal(masks, official, case):
    """Equal but where the official logit, upsampled, lies within NEAR_ZERO of zero."""
    low = official.tensors[f"{case['case']}.low_res_logits"]
    logits = upsample_logits(low, 1024, case["height"], case["width"]).numpy()
    differing = masks != official.masks(case)
    assert np.abs(logits[differing]).max(initial=0) <= NEAR_ZERO


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masks_are_those_of_the_plain_loop_whatever_the_batch(parity, official, processor, dtype):
    """In float32 but for pixels within NEAR_ZERO of zero, in bfloat16 but for one pixel in a thousand."""
    model = Sa2VAModel.load(parity, dtype=dtype)
    names = sorted({case["image"] for case in official.cases})
    images = {name: processor.process_image(Image.open(parity / name)) for name in names}
    prompts = {name: [case["prompt"] for case in official.cases if case["image"] == name] for name in names}
    plain = {
        (name, prompt): plain_answer(model, processor, images[name], prompt)
        for name in names
        for prompt in prompts[name]
    }
    for size, order in ((1, 1), (4, 1), (99, 1), (99, -1)):
        segmenter = Segmenter(model, processor, drafts=drafts(processor, EXPECTED))
        for start in range(0, len(names), size):
            batch = names[::order][start : start + size]
            answered = segmenter.segment([images[name] for name in batch], [prompts[name] for name in batch])
            for name, segmentations in zip(batch, answered, strict=True):
                for prompt, segmentation in zip(prompts[name], segmentations, strict=True):
                    tokens, masks = plain[name, prompt]
                    assert segmentation.answer == processor.answer_text(tokens)
                    assert segmentation.masks.shape == masks.shape
                    assert_as_equal_as_the_dtype_allows(segmentation, masks, dtype)


def assert_as_equal_as_the_dtype_allows(segmentation, masks, dtype):
    if not len(masks):
        return
    differing = segmentation.masks != masks
    if dtype == torch.bfloat16:
        assert differing.mean() <= 1e-3
    else:
        logits = image_logits(segmentation.logits, height=masks.shape[1], width=masks.shape[2])
        assert np.abs(logits[differing]).max(initial=0) <= NEAR_ZERO
