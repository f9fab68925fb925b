"""Whatever goes wrong in a batch, each of its expressions has a record, and only what fails is failed."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.inference.segmenter import Segmentation
from refvessel.masks import empty

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

    def segment(self, images, prompts):
        self.tried.append(len(images))
        if len(images) > self.images or sum(map(len, prompts)) > self.prompts:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if self.ill and any("bad" in prompt for mine in prompts for prompt in mine):
            raise self.ill
        return [[self.answer(prompt) for prompt in mine] for mine in prompts]

    def answer(self, prompt):
        masks, logits = np.ones((1, SIDE, SIDE), bool), np.ones((1, 2, 2), np.float16)
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


def test_the_tensors_of_an_attempt_are_released_before_the_next(images):
    """An error keeps the frames that it went through, and with them what filled the memory."""
    import gc
    import weakref

    class Tensors(np.ndarray):
        pass

    held = []

    class Greedy(Model):
        def segment(self, images, prompts):
            assert not any(reference() is not None for reference in held)
            tensors = np.zeros(1).view(Tensors)
            held.append(weakref.ref(tensors))
            return super().segment(images, prompts)

    gc.disable()
    try:
        assert set(statuses(predict(Greedy(images=1), images(*[["a"]] * 4))).values()) == {"ok"}
    finally:
        gc.enable()
    assert len(held) > 4
