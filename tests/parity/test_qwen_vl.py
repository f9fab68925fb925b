"""The official code's results on the Qwen-VL families: `tests/data/qwen_vl`, whose README has the bars.

SAM2's weights, and the logits and masks that it computes, lie in the shared folder: few tests need them, each of
many cases.
"""

import json
import shutil
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from refvessel.inference.drafts import Drafts
from refvessel.inference.segmenter import Batch, Segmenter
from refvessel.model.grounding import upsample_logits
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.official_tensors import official_shapes
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference

DATA = Path(__file__).resolve().parents[1] / "data" / "qwen_vl"
PIXELS, STATES, LOGITS, NEAR_ZERO = 1e-6, 1e-5, 2e-4, 1e-3
FAMILIES = ("qwen2_5_vl", "qwen3_vl")
DRAFTS = pytest.mark.parametrize("draft", [Inference().draft, "There is no is"])
ALIKE_IN_HALF = 1e-3  # share of pixels that may differ in float16


@pytest.fixture(scope="module", params=FAMILIES)
def official(request):
    """The folder of a family's cases, and the cases; no logits and masks among their tensors."""
    folder = DATA / request.param
    return folder, json.loads((folder / "cases.json").read_text()), load_file(folder / "cases.safetensors")


@pytest.fixture(scope="module")
def official_masks(official, shared):
    """The tensors of the family's cases, with logits and masks."""
    return load_file(shared / "parity" / official[0].name / "cases.safetensors")


@pytest.fixture(scope="module")
def folder(official, shared_if_there, tmp_path_factory):
    """The whole model. SAM2 is that of the InternVL cases; where it is absent, zeros, which no answer sees."""
    theirs, *_ = official
    copy = tmp_path_factory.mktemp("parity") / theirs.name
    names = shutil.ignore_patterns("*.safetensors", "cases.json")
    shutil.copytree(theirs, copy, ignore=names)
    if shared_if_there:
        whole = load_file(shared_if_there / "parity/internvl_qwen2/model.safetensors")
    else:
        shapes = official_shapes(json.loads((theirs / "config.json").read_text()))
        whole = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    sam2 = {name: tensor for name, tensor in whole.items() if name.startswith("grounding_encoder.")}
    rest = load_file(theirs / "model_without_grounding_encoder.safetensors")
    save_file(rest | sam2, copy / "model.safetensors")
    return copy


@pytest.fixture(scope="module")
def model(folder):
    return Sa2VAModel.load(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(folder):
    return Sa2VAProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def read(official, processor):
    """Each image as the encoders read it, by its path in the folder."""
    return cache(lambda path: processor.process_image(Image.open(official[0] / path)))


@pytest.fixture(scope="module")
def alone(official, shared, model, processor, read):
    """Each case by itself, without a draft: what was segmented."""
    segmenter = Segmenter(model, processor, Inference().max_new_tokens)
    found = {}
    for case in official[1]:
        ((found[case["case"]],),) = segmenter.segment(Batch([read(case["image"])], [[case["prompt"]]]))
    return found


def in_one_batch(cases):
    """The cases image by image, their images' paths, and the prompts of each."""
    paths = sorted({case["image"] for case in cases})
    ordered = [[case for case in cases if case["image"] == path] for path in paths]
    return [*chain(*ordered)], paths, [[case["prompt"] for case in mine] for mine in ordered]


def test_pixels_and_prompts_are_the_official_ones(official, model, processor, read, assert_within):
    _, cases, tensors = official
    for case in cases:
        view = read(case["image"]).view
        pixels = model.pixels([view.tiles], torch.float32, view.statistics)
        values = pixels.unsqueeze(2).expand(-1, -1, 2, -1, -1).flatten(1)  # of two equal frames
        rows = tensors[f"{case['case']}.pixel_values_rows"]
        assert_within(PIXELS, f"pixels of {case['case']}", values[::101], rows)
        assert values.mean().item() == pytest.approx(case["pixel_values_mean"], abs=PIXELS)
        ((rows, columns),) = view.layout[0]
        assert [[1, 2 * rows, 2 * columns]] == case["image_grid_thw"]
        ids = processor.prompt_ids(case["prompt"], view.layout)
        assert len(ids) == case["num_prompt_tokens"]
        assert [each for each in ids if each != processor.image_token_id] == case["text_token_ids"]


@torch.inference_mode()
def test_the_answer_to_one_case_after_the_other_is_the_official_one(
    official, model, processor, read, assert_within
):
    _, cases, tensors = official
    segmenter = Segmenter(model, processor, Inference().max_new_tokens)
    for case in cases:
        ((answer,),) = segmenter.answer([read(case["image"]).view], [[case["prompt"]]])
        assert answer.token_ids == case["generated_ids"]
        assert segmenter.text_of(answer) == case["generated_text"]
        assert_states_official(answer, case, tensors, assert_within)
        if case["num_seg"]:
            prompts = model.text_hidden_fcs(answer.seg_states)
            expected = tensors[f"{case['case']}.seg_prompt_embeds"]
            assert_within(STATES, f"prompts of {case['case']}", prompts, expected)


@DRAFTS
def test_all_answers_in_one_batch_are_the_official_ones_whatever_the_draft(
    official, model, processor, read, draft, assert_within
):
    _, cases, tensors = official
    flat, paths, prompts = in_one_batch(cases)
    segmenter = Segmenter(model, processor, Inference().max_new_tokens, drafts_of(processor, draft))
    grouped = segmenter.answer([read(path).view for path in paths], prompts)
    for case, answer in zip(flat, chain(*grouped), strict=True):
        assert answer.token_ids == case["generated_ids"]
        assert_states_official(answer, case, tensors, assert_within)


def drafts_of(processor, draft):
    return Drafts(processor.answer_ids(draft), processor.stop_token_ids)


def assert_states_official(answer, case, tensors, assert_within):
    assert len(answer.seg_states) == case["num_seg"]
    if case["num_seg"]:
        expected = tensors[f"{case['case']}.seg_hidden_states"]
        assert_within(STATES, f"states of {case['case']}", answer.seg_states, expected)


def test_the_masks_of_one_case_after_the_other_are_the_official_ones(official, official_masks, alone):
    for case in official[1]:
        segmentation = alone[case["case"]]
        assert segmentation.answer == case["generated_text"]
        assert len(segmentation.masks) == case["num_seg"]
        if case["num_seg"]:
            assert_masks_equal(segmentation.masks, official_masks, case)


@DRAFTS
def test_all_masks_in_one_batch_are_the_official_ones_whatever_the_draft(
    official, official_masks, model, processor, read, draft, assert_within
):
    flat, paths, prompts = in_one_batch(official[1])
    batch = Batch([read(path) for path in paths], prompts)
    segmenter = Segmenter(model, processor, Inference().max_new_tokens, drafts_of(processor, draft))
    segmentations = [*chain(*segmenter.segment(batch))]
    for case, answer, segmentation in zip(flat, batch.answers, segmentations, strict=True):
        assert answer.token_ids == case["generated_ids"]
        assert_states_official(answer, case, official_masks, assert_within)
        if case["num_seg"]:
            logits = torch.from_numpy(segmentation.logits).float()  # rounded to half precision
            low = official_masks[f"{case['case']}.low_res_logits"]
            torch.testing.assert_close(logits, low, atol=LOGITS, rtol=1e-3)
            assert_masks_equal(segmentation.masks, official_masks, case)


def test_in_float16_sam2_stays_exact_and_masks_are_those_of_float32(
    official, folder, model, processor, read, alone
):
    half = Sa2VAModel.load(folder, dtype=torch.float16)
    assert (half.dtype, half.grounding_dtype) == (torch.float16, torch.float32)
    for name, tensor in half.grounding_encoder.state_dict().items():
        assert torch.equal(tensor, model.grounding_encoder.state_dict()[name])
    segmenter = Segmenter(half, processor, Inference().max_new_tokens)
    for case in official[1]:
        ((found,),) = segmenter.segment(Batch([read(case["image"])], [[case["prompt"]]]))
        exact = alone[case["case"]]
        assert found.answer == exact.answer
        if case["num_seg"]:
            assert np.mean(found.masks != exact.masks) <= ALIKE_IN_HALF


def assert_masks_equal(masks, tensors, case):
    """Equal but where the official logit, upsampled, lies within NEAR_ZERO of zero."""
    packed = tensors[f"{case['case']}.masks_packed"].numpy().reshape(case["num_seg"], -1)
    official = np.unpackbits(packed, axis=1)[:, : case["height"] * case["width"]]
    official = official.reshape(-1, case["height"], case["width"]).astype(bool)
    low = tensors[f"{case['case']}.low_res_logits"]
    logits = upsample_logits(low, 1024, case["height"], case["width"]).numpy()
    assert np.abs(logits[masks != official]).max(initial=0) <= NEAR_ZERO
