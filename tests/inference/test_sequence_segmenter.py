"""Sequences through a model: the same masks as transformers' own session makes, frame by frame."""

import weakref

import numpy as np
import pytest
import torch
from plain_video import plain_logits
from video_model import SIDE, write_layout, write_model, write_sam2

from refvessel.checkpoint.sam2_tensors import read_sam2_tensors
from refvessel.dataset.tree.loader import read_pixels
from refvessel.dataset.tree.ref_vos import read_ref_vos
from refvessel.inference.frame_reading import read_groups
from refvessel.inference.official_masks import official_masks
from refvessel.inference.segmenter import Segmenter
from refvessel.inference.sequence_plan import SequenceGroup
from refvessel.inference.sequence_segmenter import SequenceSegmenter
from refvessel.inference.sequence_tasks import tasks_of_layout
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.original_sam2 import original_sam2
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.video_memory import VideoMemory
from refvessel.rle import decode

EXPRESSIONS = {"0": "vessel", "1": "a catheter", "2": "which vessel?"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder):
    return Sa2VAModel.load(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(folder):
    return Sa2VAProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    root = write_layout(tmp_path_factory.mktemp("layout"), {"long": 26, "short": 9, "tiny": 3}, EXPRESSIONS)
    return {task.name: task for task in tasks_of_layout(read_ref_vos(root))}


@pytest.fixture
def segment(model, processor):
    """A function that segments one group, with prompts that are the phrases."""

    def segment(group, *, original=None, ahead=1):
        segmenter = SequenceSegmenter(
            model,
            Segmenter(model, processor, 16),
            original=original,
            encoded_ahead=ahead,
            keep_logits=True,
        )
        prompts = [[f"<image>{each.text}" for each in task.expressions] for task in group.tasks]
        with read_groups([group], processor, readers=0, pinned=False) as frames:
            return segmenter.segment(group, prompts, frames)

    return segment


def normalised(model, processor, task):
    """All frames, (frames, 3, size, size)."""
    images = [read_pixels(path) for path in task.files.paths]
    return model.pixels([processor.whole(image)[None] for image in images], torch.float32)


def states_of(model, processor, task, shown):
    """The state of each expression's [SEG]."""
    view = processor.view_frames([read_pixels(task.files.paths[place]) for place in shown])
    prompts = [[f"<image>{each.text}" for each in task.expressions]]
    (answers,) = Segmenter(model, processor, 16).answer([view], prompts)
    return [each.seg_states[0] for each in answers]


@pytest.mark.parametrize("shown", [(0, 1, 2, 3, 4), (0, 7, 19), (5, 6)])
def test_each_object_gets_the_masks_of_transformers_own_session(model, processor, tasks, segment, shown):
    task = tasks["long"]
    (answers,) = segment(SequenceGroup((task,), shown), ahead=4)
    frames = normalised(model, processor, task)
    number = shown[-1] % 3
    plain = dict(plain_logits(model, frames, states_of(model, processor, task, shown)[number], shown))
    expected = torch.stack([plain[place] for place in range(task.length)])
    found = answers[number].masks
    assert sorted(found) == list(range(task.length))
    logits = np.stack([found[place].logits for place in range(task.length)])
    assert_close(logits, expected.numpy())
    masks = official_masks(expected, height=60, width=90).numpy()
    mine = np.stack([decode(found[place].mask) for place in range(task.length)])
    assert (mine != masks).mean() < 1e-4


def assert_close(found, expected):
    """Of logits, one of which at least was stored in half precision."""
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_sequences_side_by_side_get_the_masks_that_each_gets_alone(tasks, segment):
    alone = {name: segment(SequenceGroup((tasks[name],), (0, 1, 2)))[0] for name in ("long", "short", "tiny")}
    together = segment(SequenceGroup(tuple(tasks.values()), (0, 1, 2)), ahead=7)
    for name, answers in zip(tasks, together, strict=True):
        for found, expected in zip(answers, alone[name], strict=True):
            assert found.masks.keys() == expected.masks.keys()
            for place, mask in found.masks.items():
                assert_close(mask.logits, expected.masks[place].logits)


def test_frames_are_let_go_whatever_the_length(model, processor, tasks, segment, monkeypatch):
    alive: weakref.WeakSet = weakref.WeakSet()
    most = {}
    whole = processor.whole

    def noted(image):
        pixels = whole(image)
        alive.add(pixels)
        most[name] = max(most.get(name, 0), len(alive))
        return pixels

    monkeypatch.setattr(processor, "whole", noted)
    for name in ("short", "long"):
        segment(SequenceGroup((tasks[name],), (0, 1, 2)))
    assert most["long"] == most["short"] <= 6


def test_sa2va_i_propagates_the_masks_with_sam2s_own_weights(folder, model, tasks, segment, tmp_path):
    task, shown = tasks["short"], (0, 4, 8)
    path = write_sam2(folder, tmp_path / "sam2.pt", seed=1)
    sam2 = original_sam2(model.grounding_encoder, read_sam2_tensors(path), "sam2.pt")
    assert sam2.vision_encoder is model.grounding_encoder.vision_encoder
    narrow = sam2.mask_decoder.conv_s0, sam2.mask_decoder.conv_s1
    original = VideoMemory(sam2, model.image_encoder.narrowed(narrow))
    group = SequenceGroup((task,), shown)
    (official,), (improved,) = segment(group), segment(group, original=original)
    for place in shown:  # drawn at SAM2's size, and so nearly the official ones
        before, after = (decode(answer[0].masks[place].mask) for answer in (official, improved))
        assert (before != after).mean() < 0.2
        assert np.abs(improved[0].masks[place].logits).max() <= 10.01
    others = [place for place in range(task.length) if place not in shown]
    for place in others:
        before, after = (answer[0].masks[place].logits for answer in (official, improved))
        assert np.abs(before - after).max() > 0.02 * np.abs(before).max()
    assert sorted(improved[0].masks) == list(range(task.length))


def test_a_mask_that_is_given_is_remembered_as_sam2_does(model):
    sam2, memory = model.grounding_encoder, VideoMemory(model.grounding_encoder, model.image_encoder)
    torch.manual_seed(0)
    with torch.inference_mode():
        features = memory.encode(torch.randn(2, 3, SIDE, SIDE))
        mask = torch.zeros(2, 40, 50, dtype=torch.bool)
        mask[0, 10:30, 5:40] = True
        given = memory.given(features, mask)
        square = torch.nn.functional.interpolate(
            mask[:1, None].float(), size=SIDE, mode="bilinear", antialias=True
        )
        dense = sam2.prompt_encoder.mask_embed(sam2.mask_downsample((square >= 0.5).float()))
        empty = sam2.prompt_encoder.not_a_point_embed.weight
        _, _, tokens, _ = sam2.mask_decoder(  # SAM2's single mask, whose token is the first
            image_embeddings=features.coarse[:1],
            image_positional_embeddings=sam2.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=torch.cat([empty, empty])[None, None],
            dense_prompt_embeddings=dense,
            multimask_output=False,
            high_resolution_features=[each[:1] for each in features.high_resolution],
        )
        pointer = sam2.object_pointer_proj(tokens[:, 0, 0])
    assert torch.allclose(given.pointer[:1], pointer, atol=1e-5)
    assert torch.equal(given.pointer[1:], sam2.no_object_pointer)  # nothing is drawn
    assert torch.allclose(given.logits[1], torch.tensor(-10.0))
    assert given.logits[0].max() == pytest.approx(10)
