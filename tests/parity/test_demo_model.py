"""The official code's results on the demo's own model: stage by stage, and in batches of any order and draft.

`tests/data/demo_model/README.md` tells how the official results were made and where the bars come from. Masks
alone prove little of this model: its decoder is a switch between two phrases, and most wrong states change no
pixel. So states and logits are compared too, and probes, which are states near the switch. The cases of frames
wait for a model that answers about videos.
"""

import hashlib
import json
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from stages import convert_checkpoint

from refvessel.model.decoding import Answer, Stopping
from refvessel.model.grounding import upsample_logits
from refvessel.model.image_tokens import ImageTokens
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.normalisation import normalise
from refvessel.model.packing import pack_prompts
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference

EXPECTED = Inference().draft

DATA = Path(__file__).resolve().parents[1] / "data" / "demo_model"
PIXELS, STATES, LOGITS, PROBE_LOGITS, NEAR_ZERO = 1e-6, 5e-6, 2e-4, 1e-3, 1e-3
CASES = json.loads((DATA / "cases.json").read_text("utf-8"))
OF_TEXT = [case for case in CASES if "name" not in case]
OF_IMAGES = [case for case in CASES if "image" in case and "prompt" in case]
PROBES = [case for case in CASES if "between" in case]
NAMES = sorted({case["name"] for case in OF_IMAGES})


def cases_of(name: str) -> list[dict]:
    """The cases of one image, in order."""
    return [case for case in OF_IMAGES if case["name"] == name]


def case_id(case: dict) -> str:
    return case["case"]


@pytest.fixture(scope="module")
def official():
    """The official tensors; those that begin with `float32.` are of the conversion in float32."""
    return load_file(DATA / "cases.safetensors")


@pytest.fixture(scope="module")
def model(demo_model):
    return Sa2VAModel.load(demo_model, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(demo_model):
    return Sa2VAProcessor.from_pretrained(demo_model)


@pytest.fixture(scope="module")
def rounded_model(demo_layers, tmp_path_factory):
    """The conversion in bfloat16, of which the probes are."""
    folder = tmp_path_factory.mktemp("rounded") / "model"
    convert_checkpoint(**demo_layers, pretrained=None, output=folder)
    return Sa2VAModel.load(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def images(processor):
    """Each image as the encoders read it, by its name."""
    return cache(lambda name: processor.process_image(Image.open(DATA / "images" / f"{name}.png")))


def assert_masks_equal(masks: np.ndarray, files: list[str], logits: torch.Tensor) -> None:
    """Masks (n, height, width) are the official ones but where the upsampled logit is NEAR_ZERO."""
    expected = np.array([np.array(Image.open(DATA / file)) for file in files]) > 0
    assert masks.shape == expected.shape
    upsampled = upsample_logits(logits, 1024, *expected.shape[1:]).numpy()
    farthest = np.abs(upsampled[masks != expected]).max(initial=0)
    assert farthest <= NEAR_ZERO, f"masks differ where the logit is {farthest:.1e}"


def sha256(pixels: torch.Tensor) -> str:
    """Of uint8 (..., channels, height, width), one channel standing for three."""
    return hashlib.sha256(pixels.expand(*pixels.shape[:-3], 3, -1, -1).numpy().tobytes()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_the_official_ones_to_the_bit_and_normalised_within_the_bar(
    images, official, assert_within, name
):
    for case in cases_of(name):
        assert len(images(name).view.tiles) == case["num_tiles"]
        assert sha256(images(name).view.tiles) == case["tiles_sha256"]
        if "whole_sha256" in case:
            assert sha256(images(name).whole) == case["whole_sha256"]
    pixels = normalise(images(name).view.tiles, torch.float32)
    assert_within(PIXELS, "pixels", pixels[0][:, ::32, ::32], official[f"{name}.pixel_values_tile0"])
    assert pixels.double().mean().item() == pytest.approx(case["pixel_values_mean"], abs=PIXELS)
    assert pixels.double().std().item() == pytest.approx(case["pixel_values_std"], abs=PIXELS)


def test_prompts_have_the_official_token_ids(processor):
    for case in OF_IMAGES:
        ids = processor.prompt_ids(case["prompt"], (((16, 16),) * case["num_tiles"],))
        assert len(ids) == case["num_prompt_tokens"]
        assert [each for each in ids if each != processor.image_token_id] == case["text_token_ids"]


def read_alone(
    model: Sa2VAModel, processor: Sa2VAProcessor, ids: list[int], image_embeds: torch.Tensor
) -> Answer:
    """The answer to one prompt, without a draft."""
    begun = model.read_prompts(pack_prompts([[ids]], []), ImageTokens(image_embeds), processor.image_token_id)
    stopping = Stopping(processor.stop_token_ids, 2048)
    (answer,) = model.answers(begun, seg_token_id=processor.seg_token_id, stopping=stopping)
    return answer


@pytest.mark.parametrize("case", OF_TEXT, ids=case_id)
@torch.inference_mode()
def test_an_answer_to_text_alone_is_the_official_one(model, processor, case):
    answer = read_alone(model, processor, case["text_token_ids"], torch.zeros(0, 64))
    assert answer.token_ids == case["generated_ids"]
    assert processor.answer_text(answer.token_ids) == case["generated_text"]


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_every_stage_of_one_prompt_after_the_other_is_the_official_one(
    model, processor, images, official, assert_within, name
):
    image = images(name)
    embeds = model.vision.embed_tiles(normalise(image.view.tiles, torch.float32)).flatten(0, 1)
    assert_within(STATES, "image tokens", embeds[::37], official[f"float32.{name}.image_embeds"])
    features = model.encode_images(normalise(image.whole[None], torch.float32))
    for case in cases_of(name):
        key = f"float32.{case['case']}"
        ids = processor.prompt_ids(case["prompt"], (((16, 16),) * case["num_tiles"],))
        answer = read_alone(model, processor, ids, embeds)
        assert answer.token_ids == case["generated_ids"]
        assert processor.answer_text(answer.token_ids) == case["generated_text"]
        assert len(answer.seg_states) == case["num_seg"]
        if not case["num_seg"]:
            continue
        assert_within(STATES, "[SEG] states", answer.seg_states, official[f"{key}.seg_hidden_states"])
        prompts = model.text_hidden_fcs(answer.seg_states)
        assert_within(STATES, "prompt embeddings", prompts, official[f"{key}.seg_prompt_embeds"])
        masks = model.decode_masks(features, answer.seg_states)
        assert_within(LOGITS, "logits", masks.logits[:, ::16, ::16], official[f"{key}.low_res_logits"])
        assert_within(STATES, "predicted IoUs", masks.iou_scores, official[f"{key}.iou_scores"])
        upsampled = upsample_logits(masks.logits, 1024, image.height, image.width)
        assert_masks_equal((upsampled > 0).numpy(), case["float32"]["masks"], masks.logits)


@pytest.mark.parametrize(
    ("names", "draft"),
    [
        ([name for name in NAMES if name != "wide640x480"], EXPECTED),
        (["wide640x480", "tiny96", "f4"], None),
        (["tiny96", "f4", "sq800"], "Sure, [SEG].........<|im_end|>"),
        (["sq800", "f4", "tiny96"], "Sure,  catheter."),
        (["f4", "tiny96"], "[SEG][SEG]"),
    ],
    ids=["expected", "backwards and none", "longer", "of another kind", "wrong at once"],
)
def test_a_batch_of_any_order_and_draft_has_the_official_states_logits_and_masks(
    model, processor, images, official, segment, assert_within, names, draft
):
    step = -1 if draft is None else 1
    cases = [cases_of(name)[::step] for name in names]
    prompts = [[case["prompt"] for case in mine] for mine in cases]
    batch = segment(model, processor, [images(name) for name in names], prompts, draft)
    at = 0
    for case, segmentation in zip(chain.from_iterable(cases), batch.segmentations, strict=True):
        assert segmentation.answer == case["generated_text"]
        assert len(segmentation.masks) == len(segmentation.logits) == case["num_seg"]
        if not case["num_seg"]:
            continue
        key, mine = f"float32.{case['case']}", slice(at, at := at + case["num_seg"])
        assert_within(STATES, "[SEG] states", batch.states[mine], official[f"{key}.seg_hidden_states"])
        logits, scores = batch.masks.logits[mine], batch.masks.iou_scores[mine]
        assert_within(LOGITS, "logits", logits[:, ::16, ::16], official[f"{key}.low_res_logits"])
        assert_within(STATES, "predicted IoUs", scores, official[f"{key}.iou_scores"])
        assert segmentation.scores == scores.amax(-1).tolist()
        _, second, best = np.sort(official[f"{key}.iou_scores"].numpy(), axis=-1).T
        assert segmentation.leads == pytest.approx(best - second, abs=2 * STATES)
        assert np.array_equal(segmentation.logits, logits.half().numpy())
        assert_masks_equal(segmentation.masks, case["float32"]["masks"], logits)
    assert at == len(batch.states)


@pytest.mark.parametrize("backwards", [False, True])
def test_probes_among_other_answers_have_the_official_logits(
    rounded_model, processor, images, official, segment, assert_within, backwards
):
    """States near the switch stand for what the language model said: several an answer, in two images of three.

    Of two that follow each other, some logit differs by 4 or more.
    """
    names, probes = ["f1", "tiny96", "sq800"], {case["name"]: case["case"] for case in PROBES}

    def probed(what: str, name: str) -> torch.Tensor:
        rows = official[f"{probes[name]}.{what}"]
        return rows.flip(0) if backwards else rows

    if backwards:
        names.reverse()
    states = [probed("seg_hidden_states", name) if name in probes else torch.zeros(0, 64) for name in names]
    answers = rounded_model.answers

    def say(begun, **options):
        said = answers(begun, **options)
        return [replace(answer, seg_states=mine) for answer, mine in zip(said, states, strict=True)]

    prompts = [[cases_of(name)[0]["prompt"]] for name in names]
    with mock.patch.object(rounded_model, "answers", say):
        batch = segment(rounded_model, processor, [images(name) for name in names], prompts)
    for what, found in (
        ("low_res_logits", batch.masks.logits[:, ::4, ::4]),
        ("iou_scores", batch.masks.iou_scores),
    ):
        expected = torch.cat([probed(what, name) for name in names if name in probes])
        assert_within(PROBE_LOGITS, f"{what} of probes", found, expected)
    assert [len(each.masks) for each in batch.segmentations] == [len(mine) for mine in states]
    handed = np.concatenate([each.logits for each in batch.segmentations])
    assert np.array_equal(handed, batch.masks.logits.half().numpy())
