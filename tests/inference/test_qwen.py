"""The Qwen-VL families through the engine: the answers and masks of transformers' own models, one by one."""

import json

import numpy as np
import pytest
import torch
from library_model import library_model
from PIL import Image
from plain_loop import plain_answer, plain_states
from qwen_folder import ANSWER, FAMILIES, write_qwen_folder

from refvessel.cli import main
from refvessel.demo.angiogram import angiogram
from refvessel.inference.drafts import Drafts
from refvessel.inference.segmenter import Batch, Segmenter
from refvessel.model.decoding import Stopping
from refvessel.model.grounding import upsample_logits
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.normalisation import normalise
from refvessel.model.packing import pack_prompts
from refvessel.model.processing import Sa2VAProcessor
from refvessel.rle import decode

STATES, NEAR_ZERO = 1e-5, 1e-3
PROMPTS = ("<image>\n Please segment the vessel in this image.", "segment <image>?")
SIZES = ((90, 90), (160, 64), (64, 300))


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return write_qwen_folder(tmp_path_factory.mktemp("models") / request.param, request.param)


@pytest.fixture(scope="module")
def model(folder):
    return Sa2VAModel.load(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(folder):
    return Sa2VAProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def images(processor):
    """Angiograms of several shapes, one of them grey."""
    drawn = Image.fromarray(angiogram(7, 1, 1).image)
    resized = [drawn.resize(size) for size in SIZES]
    return [processor.process_image(image) for image in (resized[0].convert("L"), *resized[1:])]


@pytest.fixture(scope="module")
def plain(model, processor, images):
    """The answers of transformers' own model, image by image and prompt by prompt."""
    return [[plain_answer(model, processor, image, prompt) for prompt in PROMPTS] for image in images]


@pytest.mark.parametrize("draft", [ANSWER, None, "Sure, it"])
def test_a_batch_of_many_sizes_and_prompts_is_answered_as_one_by_one(model, processor, images, plain, draft):
    drafts = Drafts(processor.answer_ids(draft), processor.stop_token_ids) if draft else None
    segmenter = Segmenter(model, processor, 12, drafts)
    batch = Batch(images, [PROMPTS] * len(images))
    found = segmenter.segment(batch)
    for image, answers, expected in zip(images, found, plain, strict=True):
        for answer, one in zip(answers, expected, strict=True):
            assert answer.answer == processor.answer_text(one.token_ids)
            assert answer.drafted == (draft == ANSWER)
            assert_masks_equal(answer, one.masks, image)
    states = torch.cat([answer.seg_states for answer in batch.answers])
    alone = torch.cat([answer.seg_states for each in plain for answer in each])
    assert len(states) == len(images) * len(PROMPTS)
    torch.testing.assert_close(states, alone, atol=STATES, rtol=0)
    assert torch.cdist(states, states).fill_diagonal_(1).min() > 10 * STATES  # which depend on what is asked


def assert_masks_equal(answer, masks, image):
    logits = upsample_logits(torch.from_numpy(answer.logits).float(), 256, image.height, image.width)
    differing = answer.masks != masks
    assert np.abs(logits.numpy()[differing]).max(initial=0) <= NEAR_ZERO


@torch.inference_mode()
def test_several_frames_are_the_images_of_one_prompt(model, processor):
    frames = [Image.fromarray(angiogram(7, 1, number).image).resize((120, 90)) for number in (1, 2, 3)]
    view = processor.view_frames(frames)
    ids = processor.prompt_ids(PROMPTS[0], view.layout)
    packed = processor.placed(pack_prompts([[ids]], []), [view.layout])
    (tokens,) = model.read_images([view])
    begun = model.read_prompts(packed, tokens, processor.image_token_id)
    stopping = Stopping(processor.stop_token_ids, 12)
    (answer,) = model.answers(begun, seg_token_id=processor.seg_token_id, stopping=stopping)
    plain_tokens, plain = plain_states(model, processor, view, PROMPTS[0])
    assert answer.token_ids == plain_tokens
    torch.testing.assert_close(answer.seg_states, plain, atol=STATES, rtol=0)

    pixels = normalise(view.tiles, torch.float32, view.statistics)
    (((rows, columns),), *_), merge = view.layout, 2
    given = torch.tensor([ids])
    sequence = torch.cat([given, torch.tensor([answer.token_ids])], dim=1)
    library = library_model(model)
    out = library.model(
        input_ids=sequence,
        mm_token_type_ids=(sequence == processor.image_token_id).int(),
        attention_mask=torch.ones_like(sequence),
        pixel_values=pixels.unsqueeze(2).expand(-1, -1, 2, -1, -1).flatten(1),
        image_grid_thw=torch.tensor([[1, merge * rows, merge * columns]] * len(frames)),
    )
    logits = library.lm_head(out.last_hidden_state[0, given.shape[1] - 1 : -1])
    assert logits.argmax(-1).tolist() == answer.token_ids
    torch.testing.assert_close(model.language.logits(begun.states[0]), logits[:1], atol=STATES, rtol=0)


def test_the_command_line_segments_with_a_qwen_folder_as_the_plain_loop_does(
    folder, model, processor, tree, tmp_path, monkeypatch
):
    output = tmp_path / "shard.jsonl"
    arguments = ["segment", "--model", folder, "--dataset", tree, "--split", "test", "--output", output]
    monkeypatch.setattr("sys.argv", ["refvessel", *map(str, arguments)])
    with pytest.raises(SystemExit, match="0"):
        main()
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert lines
    for line in lines[:1]:
        (path,) = tree.rglob(f"{line['image_id']}.*")
        image = processor.process_image(Image.open(path))
        one = plain_answer(model, processor, image, line["prompt"])
        assert line["answer"] == processor.answer_text(one.token_ids) == ANSWER
        assert np.mean(decode(line["mask"]).astype(bool) != one.masks.any(0)) <= 1e-4
