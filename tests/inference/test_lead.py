"""How close the choice among SAM2's candidates was, from the model's IoU scores to the record."""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.loader import open_image
from refvessel.inference.prediction_records import answered, failed
from refvessel.inference.segmenter import Batch, Segmentation, Segmenter
from refvessel.model.grounding import Masks
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.predictions.prediction import Prediction, read_shard
from refvessel.rle import encode
from refvessel.settings.inference_section import Inference

from plain_loop import plain_answer  # isort: skip
from stages import segment_shard

FLOAT32 = 1e-5  # what rounding may change of a predicted IoU


@pytest.fixture(scope="module")
def model(demo_model):
    return Sa2VAModel.load(demo_model, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(demo_model):
    return Sa2VAProcessor.from_pretrained(demo_model)


def leads_of_the_plain_loop(model, image, states):
    """One state at a time: the first of its candidates' predicted IoUs less the second."""
    features = model.encode_images(model.normalise(image.whole[None], torch.float32))
    leads = []
    for state in states:
        _, scores = model.decode_all_masks(features, state[None])
        best, second, *_ = sorted(scores[0].tolist(), reverse=True)
        leads.append(best - second)
    return leads


@torch.inference_mode()
def test_a_shards_leads_are_those_of_the_models_iou_scores(segmented, tree, model, processor):
    expressions = {each.sent_id: each for each in read_expressions(tree, "test")}
    records = read_shard(segmented)
    for record in records:
        image = processor.process_image(open_image(expressions[record.sent_id]))
        states = plain_answer(model, processor, image, record.prompt).seg_states
        assert record.lead == pytest.approx(min(leads_of_the_plain_loop(model, image, states)), abs=FLOAT32)
    assert len({record.lead for record in records}) == len(records)


@torch.inference_mode()
def test_the_leads_of_a_batch_belong_to_their_masks(tree, model, processor, monkeypatch):
    """Three [SEG] in one answer, none in another, with scores that are told apart by where they stand."""
    scores = torch.tensor([[0.9, 0.2, 0.5], [0.3, 0.25, 0.29], [0.1, 0.8, 0.7]])
    expressions = read_expressions(tree, "test")[:2]
    images = [processor.process_image(open_image(each)) for each in expressions]
    answers = model.answers

    def three_and_none(prefilled, **options):
        first, second = answers(prefilled, **options)
        object.__setattr__(first, "seg_states", first.seg_states[:1].expand(3, -1))
        object.__setattr__(second, "seg_states", second.seg_states[:0])
        return [first, second]

    decode = model.decode_masks
    monkeypatch.setattr(model, "answers", three_and_none)
    monkeypatch.setattr(
        model,
        "decode_masks",
        lambda features, states, images: Masks(decode(features, states, images).logits, scores),
    )
    prompts = [[f"<image>\n Please segment {each.phrase} in this image."] for each in expressions]
    (three,), (none,) = Segmenter(model, processor, Inference().max_new_tokens).segment(
        Batch(images, prompts)
    )
    assert three.leads == pytest.approx([0.4, 0.01, 0.1], abs=1e-6)
    assert three.scores == pytest.approx([0.9, 0.3, 0.8])
    assert none.leads == []
    assert answered(expressions[0], "?", three).lead == pytest.approx(0.01, abs=1e-6)
    assert answered(expressions[1], "?", none).lead is None


def test_one_candidate_alone_and_a_failure_have_no_lead(expression, tmp_path):
    asked = expression(sent_id=1, image_path=tmp_path / "a.png")
    alone = Segmentation("[SEG]", [encode(np.ones((8, 8), bool))], [0.5], np.ones((1, 2, 2), np.float16))
    assert answered(asked, "?", alone).lead is None
    assert failed(asked, "?", "out of memory").lead is None


def test_with_flips_the_lead_is_the_smallest_over_the_views(tree, demo_model, segmented, tmp_path):
    segment_shard(
        model=demo_model,
        dataset=tree,
        split="test",
        output=tmp_path / "flips.jsonl",
        batch_size=1,
        flips=True,
    )
    plain = {each.sent_id: each for each in read_shard(segmented)}
    for record in read_shard(tmp_path / "flips.jsonl"):
        assert 0 <= record.lead <= plain[record.sent_id].lead + FLOAT32


def test_a_shard_of_before_is_read_without_leads(segmented, tmp_path):
    lines = [json.loads(line) for line in segmented.read_text().splitlines()]
    assert [*lines[0]] == [field.name for field in fields(Prediction)]
    before = tmp_path / "before.jsonl"
    before.write_text(
        "".join(
            json.dumps({key: value for key, value in line.items() if key != "lead"}) + "\n" for line in lines
        )
    )
    assert [each.lead for each in read_shard(before)] == [None] * len(lines)
