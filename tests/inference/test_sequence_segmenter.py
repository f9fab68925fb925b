"""Sequences through a model: the same masks as transformers' own session makes, frame by frame."""

import weakref

import numpy as np
import pytest
import torch
from plain_video import plain_logits
from transformers import Sam2VideoInferenceSession
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

EXPRESSIONS = {"0": "vessel", "1": "which catheter?"}


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
    number = shown[-1] % 2
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


@torch.inference_mode()
def own_session(sam2, frames, given, features):
    """Logits of each frame by transformers' own session, whose tracked frames are SAM2's own, blanking and all.

    Args:
        sam2: as it was before fine-tuning.
        frames: normalised, each (3, size, size).
        given: place -> FrameMasks of one object, which are remembered as they are.
        features: place -> the coarse features of these frames.
    """
    session = Sam2VideoInferenceSession(dtype=torch.float32)
    session.obj_id_to_idx(1)
    for frame in frames:
        session.add_new_frame(frame)
    for place, masks in given.items():
        square = torch.nn.functional.interpolate(masks.logits[None], size=(SIDE, SIDE), mode="bilinear")
        there = torch.ones(1, 1)
        memory, positions = sam2._encode_new_memory(
            features[place].flatten(2).permute(2, 0, 1), square, there, False
        )
        output = {
            "pred_masks": masks.logits[None],
            "object_pointer": masks.pointer[:, None],
            "object_score_logits": there,
            "maskmem_features": memory,
            "maskmem_pos_enc": positions,
        }
        session.store_output(0, place, output_value=output)
    return {
        place: sam2(session, frame_idx=place).pred_masks[0, 0]
        for place in range(len(frames))
        if place not in given
    }


@pytest.fixture
def original(folder, model, tmp_path):
    """SAM2 before fine-tuning; it shares the image encoder with the model."""
    path = write_sam2(folder, tmp_path / "sam2.pt", seed=1)
    sam2 = original_sam2(model.grounding_encoder, read_sam2_tensors(path), "sam2.pt")
    assert sam2.vision_encoder is model.grounding_encoder.vision_encoder
    return sam2


@pytest.mark.parametrize("there", [True, False], ids=["there", "absent"])
def test_sa2va_i_propagates_the_masks_as_sam2_itself_does(model, processor, tasks, segment, original, there):
    task, shown = tasks["short"], (0, 4, 8)
    with torch.no_grad():
        original.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(30.0 if there else -30.0)
    narrow = original.mask_decoder.conv_s0, original.mask_decoder.conv_s1
    memory = VideoMemory(original, model.image_encoder.narrowed(narrow), blanks=True)
    group = SequenceGroup((task,), shown)
    (official,), (improved,) = segment(group), segment(group, original=memory)
    frames = normalised(model, processor, task)
    given, coarse = {}, {}
    for place in shown:  # drawn at SAM2's size, and so nearly the official ones
        before, after = (decode(answer[0].masks[place].mask) for answer in (official, improved))
        assert (before != after).mean() < 0.2
        with torch.inference_mode():
            features = memory.encode(frames[place][None])
            given[place] = memory.given(features, torch.from_numpy(before)[None].bool())
        coarse[place] = features.coarse
        assert_close(improved[0].masks[place].logits, given[place].logits[0].numpy())
    expected = own_session(original, frames, given, coarse)
    assert sorted(improved[0].masks) == sorted([*expected, *shown])
    for place, logits in expected.items():
        mask = improved[0].masks[place]
        assert_close(mask.logits, logits.numpy())
        assert there or not decode(mask.mask).any()
        before = official[0].masks[place].logits
        assert np.abs(before - mask.logits).max() > 0.02 * np.abs(before).max()


def test_the_official_propagation_draws_what_sam2_takes_for_absent(model, tasks, segment, monkeypatch):
    group = SequenceGroup((tasks["short"],), (0, 1, 2))
    (there,) = segment(group)
    head = model.grounding_encoder.mask_decoder.pred_obj_score_head.proj_out
    monkeypatch.setitem(head._parameters, "bias", torch.nn.Parameter(torch.full_like(head.bias, -30.0)))
    (absent,) = segment(group)
    for place, mask in absent[0].masks.items():
        assert np.abs(mask.logits).max() < 100
        if place in group.shown:
            assert mask.mask == there[0].masks[place].mask
        else:  # later frames are told that it was not there
            assert not np.array_equal(mask.logits, there[0].masks[place].logits)


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
