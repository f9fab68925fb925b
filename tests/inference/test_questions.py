"""Several questions about the same images are answered in one job, each as if it had been asked alone."""

import json

import numpy as np
import pytest

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.inference import completing
from refvessel.inference.run import segment_questions
from refvessel.inference.segmenter import Segmenter
from refvessel.inference.sheets import Wanted
from refvessel.model.hiera import ImageEncoder
from refvessel.predictions.gather import gather_predictions
from refvessel.predictions.logits_file import logits_file, read_logits
from refvessel.predictions.prediction import read_shard
from refvessel.settings.inference_section import Inference
from refvessel.settings.words_section import Words

OFFICIAL = "<image>\n Please segment {phrase} in this image."
QUESTIONS = {
    "official": OFFICIAL,
    "short": "<image>{phrase}",
    "before": "Please segment {phrase}: <image>",  # nothing but a few words in common with the others
}
WORDS = Words.model_validate({"absent": ["bone", "vein"], "paraphrases": {}, "translations": {}, "images": 1})
SETTINGS = Inference.model_validate({"batch_size": 2, "save_logits": True})


def segment(model, tree, outputs, **options):
    segment_questions(
        model=model,
        dataset=tree,
        split="test",
        wanted=[Wanted(*each) for each in outputs],
        settings=options.pop("settings", SETTINGS),
        **options,
    )


@pytest.fixture(scope="module")
def encoded():
    """How many images were encoded by SAM2, and how many prompts were read, by a job that takes note."""
    seen = {"images": 0, "prompts": 0}
    patch = pytest.MonkeyPatch()
    look, encode = ImageEncoder.look, Segmenter.encode

    def noting_images(encoder, images):
        seen["images"] += len(images)
        return look(encoder, images)

    def noting_prompts(segmenter, batch):
        seen["prompts"] += sum(map(len, batch.prompts))
        return encode(segmenter, batch)

    patch.setattr(ImageEncoder, "look", noting_images)
    patch.setattr(Segmenter, "encode", noting_prompts)
    yield seen
    patch.undo()


@pytest.fixture(scope="module")
def together(tree, demo_model, tmp_path_factory, encoded):
    """All questions in one job, and its answers."""
    folder = tmp_path_factory.mktemp("together")
    encoded.update(images=0, prompts=0)
    outputs = [(question, folder / f"{name}.jsonl") for name, question in QUESTIONS.items()]
    outputs.append((OFFICIAL, folder / "words.jsonl", WORDS))
    segment(demo_model, tree, outputs, answers=folder / "answers")
    assert encoded == {
        "images": 3,
        "prompts": 3 * 2 * 3 + 2,
    }  # every image once, for all that is asked about it
    return folder


@pytest.mark.parametrize("name", ["official", "before"])
def test_each_question_is_answered_as_if_it_were_asked_alone(together, tree, demo_model, tmp_path, name):
    alone = tmp_path / "alone.jsonl"
    segment(demo_model, tree, [(QUESTIONS[name], alone)])
    shard = together / f"{name}.jsonl"
    for mine, theirs in zip(read_shard(shard), read_shard(alone), strict=True):
        assert (mine.sent_id, mine.prompt, mine.answer, mine.identity) == (
            theirs.sent_id,
            theirs.prompt,
            theirs.answer,
            theirs.identity,
        )
    stored = dict(read_logits(logits_file(alone)))
    for sent_id, logits in read_logits(logits_file(shard)):
        np.testing.assert_allclose(logits, stored[sent_id], rtol=2e-3, atol=2e-2)  # in half precision
    gather_predictions(shards=[shard], dataset=tree, split="test", output=tmp_path / "table.parquet")


def test_other_words_are_asked_besides_under_numbers_of_their_own(together, tree):
    records = read_shard(together / "words.jsonl")
    assert [(each.sent_id, each.phrase) for each in records] == [(0, "bone"), (1, "vein")]
    assert len({each.image_id for each in records}) == 1
    assert records[0].prompt == OFFICIAL.replace("{phrase}", "bone")
    assert not logits_file(together / "words.jsonl").exists()
    assert len(read_expressions(tree, "test")) == len(read_shard(together / "official.jsonl"))


def test_a_killed_job_asks_only_what_nobody_answered(together, tree, demo_model, tmp_path, encoded):
    outputs = []
    for (name, question), lines in zip(QUESTIONS.items(), (6, 0, 3), strict=True):
        shard = tmp_path / f"{name}.jsonl"
        kept = (together / f"{name}.jsonl").read_text().splitlines(keepends=True)
        shard.write_text("".join(kept[:lines]))
        outputs.append((question, shard))
    encoded.update(images=0, prompts=0)
    segment(demo_model, tree, outputs, settings=SETTINGS.model_copy(update={"save_logits": False}))
    assert encoded == {"images": 3, "prompts": 6 + 3}
    for name in QUESTIONS:
        assert _answers(tmp_path / f"{name}.jsonl") == _answers(together / f"{name}.jsonl")


def test_answers_of_a_job_with_other_questions_are_used_again(
    together, tree, demo_model, tmp_path, monkeypatch
):
    monkeypatch.setattr(completing, "device_at_work", None)  # nothing is loaded
    # One question under two names is one, too.
    outputs = [(QUESTIONS["short"], tmp_path / "a.jsonl"), (QUESTIONS["short"], tmp_path / "b.jsonl")]
    segment(demo_model, tree, outputs, answers=together / "answers")
    expected = (together / "short.jsonl").read_bytes()
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes() == expected


def _answers(shard):
    return [(each["sent_id"], each["answer"]) for each in map(json.loads, shard.read_text().splitlines())]
