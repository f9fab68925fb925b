"""Whatever goes wrong in a batch, each of its expressions has a record, and only what fails is failed."""

import gc
import weakref
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from refvessel.errors import UserError
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor, rehearse_in_turn
from refvessel.inference.segmenter import Segmentation
from refvessel.rle import empty, encode

SIDE = 8


class Processor:
    """Images as they are."""

    def process_image(self, image):
        return image


@dataclass
class Model:
    """A segmenter with room for `images` and `prompts` at once, to which the phrase `bad` is what `ill` says."""

    images: int = 99
    prompts: int = 99
    ill: Exception | None = None
    score: float = 0.5
    tried: list[int] = field(default_factory=list)

    def segment(self, batch):
        self.tried.append(len(batch.images))
        if len(batch.images) > self.images or sum(map(len, batch.prompts)) > self.prompts:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if self.ill and any("bad" in prompt for mine in batch.prompts for prompt in mine):
            raise self.ill
        return self.responses(batch)

    def responses(self, batch):
        return [[self.respond(prompt) for prompt in mine] for mine in batch.prompts]

    def respond(self, prompt):
        masks, logits = [encode(np.ones((SIDE, SIDE), bool))], np.ones((1, 2, 2), np.float16)
        return Segmentation(prompt, masks, [float("nan") if "bad" in prompt else self.score], logits)


@pytest.fixture
def images(tmp_path, expression):
    """A function that makes images out of the phrases asked about each."""

    def make(*phrases):
        tasks = []
        for image, mine in enumerate(phrases):
            path = tmp_path / f"{image}.png"
            Image.new("RGB", (SIDE, SIDE)).save(path)
            asked = [
                expression(sent_id=image * 100 + number, phrase=phrase, image_path=path)
                for number, phrase in enumerate(mine)
            ]
            tasks.append(ImageTask(tuple(asked)))
        return tasks

    return make


def predict(model, tasks, batch_size=8):
    return [record for record, _ in Predictor(model, Processor(), "{phrase}", batch_size).predict(tasks)]


def statuses(predictions):
    return {prediction.sent_id: prediction.status for prediction in predictions}


@pytest.mark.parametrize(
    "ill",
    [
        ArithmeticError("the mask logits are not finite"),
        RuntimeError("CUDA error: something"),
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError("Unable to allocate 1 GiB"),
        None,  # but its predicted IoU is not a number
    ],
)
def test_an_expression_that_fails_fails_alone(images, ill):
    tasks = images(["a", "b"], ["a", "bad", "c"], ["a"])
    predictions = predict(Model(ill=ill), tasks)
    assert [each.sent_id for each in predictions] == [0, 1, 100, 101, 102, 200]
    assert [sent_id for sent_id, status in statuses(predictions).items() if status != "ok"] == [101]
    (failed,) = (each for each in predictions if each.status == "failed")
    assert failed.error == (
        f"{type(ill).__name__}: {ill}" if ill else "ArithmeticError: the predicted IoU is not finite"
    )
    assert (failed.mask, failed.masks, failed.score) == (empty(SIDE, SIDE), [], None)


def test_an_error_of_our_own_is_not_a_failed_expression(images):
    with pytest.raises(TypeError):
        predict(Model(ill=TypeError("a bug")), images(["bad"]))


def test_a_damaged_image_fails_alone(images):
    tasks = images(["a"], ["a", "b"], ["a"])
    tasks[1].expressions[0].image_path.write_bytes(b"not an image")
    predictions = predict(Model(), tasks)
    assert statuses(predictions) == {0: "ok", 100: "failed", 101: "failed", 200: "ok"}


def test_short_memory_halves_the_batch_and_is_remembered(images):
    model = Model(images=2)
    predictor = Predictor(model, Processor(), "{phrase}", 8)
    tasks = images(*[["a"]] * 8)
    assert {record.status for record, _ in predictor.predict(tasks)} == {"ok"}
    assert model.tried == [8, 4, 2, 2, 2, 2]
    predictor.predict(tasks)
    assert model.tried[6:] == [2, 2, 2, 2]


def test_expressions_of_one_image_that_do_not_fit_together_are_run_apart(images):
    predictions = predict(Model(prompts=1), images(["a", "b", "c"]))
    assert statuses(predictions) == {0: "ok", 1: "ok", 2: "ok"}


def test_flips_look_four_times_at_every_image(images):
    model = Model()
    predictor = Predictor(model, Processor(), "{phrase}", 8, flips=True)
    assert [record.status for record, _ in predictor.predict(images(["a"], ["a", "b"]))] == ["ok"] * 3
    assert model.tried == [2] * 4


class Tensors(list):
    """What fills the memory."""


def test_the_tensors_of_an_attempt_are_released_before_the_next(images):
    """An error keeps the frames that it went through, and with them what filled the memory."""
    held = []

    class Greedy(Model):
        def segment(self, batch):
            assert not any(reference() is not None for reference in held)
            tensors = Tensors()
            held.append(weakref.ref(tensors))
            return super().segment(batch)

    gc.disable()
    try:
        assert set(statuses(predict(Greedy(images=1), images(*[["a"]] * 4))).values()) == {"ok"}
    finally:
        gc.enable()
    assert len(held) > 4


@dataclass
class InStages(Model):
    """The same in stages; `ending` ends with `error` at the phrase `bad`, and at more than `room` images."""

    ending: str = ""
    error: Exception | None = None
    room: int = 99
    stages: list[tuple[str, int]] = field(default_factory=list)

    def encode(self, batch):
        self.stage("encode", batch)
        batch.prefill = Tensors()

    def decode(self, batch):
        self.stage("decode", batch)
        batch.let_go()
        batch.masks = Tensors()

    def collect(self, batch):
        self.stage("collect", batch)
        return self.responses(batch)

    def respond(self, prompt):
        return super().respond(prompt.replace("bad", "good"))

    def stage(self, name, batch):
        self.stages.append((name, len(batch.prompts)))
        is_bad = any("bad" in mine for mine in batch.prompts)
        if name == self.ending and (len(batch.prompts) > self.room or is_bad):
            raise type(self.error)(*self.error.args)


def predict_all(predictor, tasks):
    """The records of batches of the predictor's size, their images read before."""
    size = predictor.batch_size
    batches = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    opened = iter([Image.open(task.expressions[0].image_path) for task in tasks])
    predicted = list(predictor.predict_all(batches, opened))
    assert [len(each) for each in predicted] == [len(batch) for batch in batches]
    return [record for each in predicted for record, _ in each]


def test_a_batch_is_encoded_before_the_one_before_is_decoded(images):
    model = InStages()
    records = predict_all(Predictor(model, Processor(), "{phrase}", 2), images(*[["a"]] * 5))
    assert [record.sent_id for record in records] == [0, 100, 200, 300, 400]
    assert [stage for stage in model.stages if stage[0] != "collect"] == [
        ("encode", 2),
        ("encode", 2),
        ("decode", 2),
        ("encode", 1),
        ("decode", 2),
        ("decode", 1),
    ]
    assert not model.tried


@pytest.mark.parametrize("ending", ["encode", "decode", "collect"])
@pytest.mark.parametrize(
    "error", [ArithmeticError("not finite"), RuntimeError("CUDA error"), torch.OutOfMemoryError("of memory")]
)
def test_a_batch_that_fails_in_any_stage_is_tried_again_and_no_other(images, ending, error):
    model = InStages(ending=ending, error=error)
    tasks = images(["a"], ["a"], ["a"], ["bad"], ["a"], ["a"])
    records = predict_all(Predictor(model, Processor(), "{phrase}", 2), tasks)
    assert statuses(records) == dict.fromkeys([0, 100, 200, 300, 400, 500], "ok")
    assert sum(model.tried) == 2


def test_memory_that_is_short_for_a_batch_encoded_beside_another_makes_later_ones_smaller(images):
    model = InStages(ending="encode", error=torch.OutOfMemoryError("CUDA out of memory."), room=2)
    predictor = Predictor(model, Processor(), "{phrase}", 4)
    records = predict_all(predictor, images(*[["a"]] * 12))
    assert [record.sent_id for record in records] == [*range(0, 1200, 100)]
    assert predictor.batch_size == 2
    assert [size for stage, size in model.stages if stage == "encode"] == [4, 2, 2, 2, 2]
    assert model.tried == [2, 2]


A_READER_ENDED = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")


def test_a_reading_process_that_ended_while_masks_arrive_is_no_failure_of_a_batch(images):
    model = InStages(ending="collect", error=A_READER_ENDED)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        predict_all(Predictor(model, Processor(), "{phrase}", 1), images(["bad"]))
    assert not model.tried


def test_a_reading_process_that_ended_is_no_failure_of_an_expression(images):
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        predict(Model(ill=A_READER_ENDED), images(["bad"]))


def test_an_image_that_did_not_open_fails_alone_among_those_read_before(images):
    tasks = images(["a"], ["a", "b"], ["a"])
    tasks[1].expressions[0].image_path.write_bytes(b"not an image")
    opened = iter(
        [Image.new("L", (SIDE, SIDE)), UserError("1.png does not open"), Image.new("L", (SIDE, SIDE))]
    )
    predictor = Predictor(InStages(), Processor(), "{phrase}", 3)
    (predicted,) = predictor.predict_all([tasks], opened)
    assert statuses(record for record, _ in predicted) == {0: "ok", 100: "failed", 101: "failed", 200: "ok"}


def test_the_tensors_of_a_batch_that_was_encoded_are_released_before_it_is_tried_again(images):
    held = []

    class Greedy(InStages):
        def encode(self, batch):
            super().encode(batch)
            held.append(weakref.ref(batch.prefill))

        def segment(self, batch):
            assert held[0]() is None
            return super().segment(batch)

    model = Greedy(ending="decode", error=RuntimeError("CUDA error"))
    gc.disable()
    try:
        records = predict_all(Predictor(model, Processor(), "{phrase}", 1), images(["bad"], ["a"], ["a"]))
    finally:
        gc.enable()
    assert statuses(records) == {0: "ok", 100: "ok", 200: "ok"}
    assert len(held) == 3


@dataclass
class Cramped(InStages):
    """A segmenter with so much `memory`; an encoded batch holds 3 of it, and a stage takes more for its time."""

    memory: int = 10
    encoding: int = 8
    decoding: int = 8
    encoded: list[weakref.ref] = field(default_factory=list)

    def encode(self, batch):
        self.take(self.encoding)
        super().encode(batch)
        self.encoded.append(weakref.ref(batch.prefill))

    def decode(self, batch):
        self.take(self.decoding - 3)
        super().decode(batch)

    def segment(self, batch):
        self.take(max(self.encoding, self.decoding))
        return super().segment(batch)

    def take(self, peak):
        held = 3 * sum(reference() is not None for reference in self.encoded)
        if held + peak > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize(("encoding", "decoding"), [(8, 8), (6, 8), (4, 9), (4, 5)])
def test_what_fits_alone_is_segmented_though_no_two_fit(images, encoding, decoding):
    model = Cramped(encoding=encoding, decoding=decoding)
    records = predict_all(Predictor(model, Processor(), "{phrase}", 1), images(*[["a"]] * 6))
    assert statuses(records) == dict.fromkeys(range(0, 600, 100), "ok")


def test_nothing_is_encoded_beside_a_batch_with_a_damaged_image(images):
    class Alone(Cramped):
        def segment(self, batch):
            assert not any(reference() is not None for reference in self.encoded)
            return super().segment(batch)

    tasks = images(["a"], ["a"], ["a"], ["a"])
    tasks[1].expressions[0].image_path.write_bytes(b"not an image")
    good = Image.new("L", (SIDE, SIDE))
    opened = iter([good, UserError("1.png does not open"), good, good])
    predicted = Predictor(Alone(memory=99), Processor(), "{phrase}", 2).predict_all(
        [tasks[:2], tasks[2:]], opened
    )
    records = [record for batch in predicted for record, _ in batch]
    assert statuses(records) == {0: "ok", 100: "failed", 200: "ok", 300: "ok"}


def test_a_rehearsal_takes_what_two_batches_at_once_do(images):
    task, *_ = images(["a"])
    fits, does_not = Cramped(memory=11), Cramped(memory=10)
    rehearse_in_turn([Predictor(fits, Processor(), "{phrase}", 1)], [task])
    with pytest.raises(torch.OutOfMemoryError):
        rehearse_in_turn([Predictor(does_not, Processor(), "{phrase}", 1)], [task])
