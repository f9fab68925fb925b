"""When a model is compiled: at once, never, or where it pays, beside the work that it is for.

PyTorch's compiler holds Python's lock for tens of seconds, without which a GPU gets nothing to do. So a process of
its own compiles first, over a batch like those to come, while the model works uncompiled; what it made lies where
the compilers look for it, and the model's own turn is short.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from refvessel.inference.batches import has_room
from refvessel.inference.devices import choose_dtype
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.inference.preparing import LikeBatch
from refvessel.settings.inference_section import Inference

# Seconds on an H200 with InternVL3-8B's shapes: what compiled blocks save of an image, and how long the model
# stands still until it computes by blocks that another process has compiled.
SAVED_PER_IMAGE, STANDSTILL = 0.25e-3, 15.0
_AT_LEAST = 2.0  # times the standstill that has to be saved, since jobs differ


def pays(images: int) -> bool:
    """Whether so many images are worth it."""
    return images * SAVED_PER_IMAGE > STANDSTILL * _AT_LEAST


class BesideWork:
    """Compiles a model while it works, once, as soon as it pays; without kernels from elsewhere it never does.

    Args:
        like: a batch of those to come.
        compile_model: compiles the model, between two batches.
        has_room: whether the GPU has room for another batch.
        command: the process that prepares.
    """

    def __init__(
        self,
        like: LikeBatch,
        compile_model: Callable[[], None],
        has_room: Callable[[], bool] = lambda: True,
        command: tuple[str, ...] = (sys.executable, "-m", "refvessel.inference.preparing"),
    ) -> None:
        self._like = like
        self._compile_model = compile_model
        self._has_room = has_room
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._told = tempfile.TemporaryFile("w+")  # noqa: SIM115 (`close` does)
        self._over = False

    def advance(self, images: int) -> None:
        """So many images are left: begin, or go on, where it pays."""
        if self._over or not pays(images):
            return
        if self._process is None:
            if not self._has_room():
                return
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=self._told,
                stderr=self._told,
                text=True,
            )
            assert self._process.stdin is not None
            with suppress(BrokenPipeError), self._process.stdin as stdin:  # its status tells
                stdin.write(self._like.to_line())
        elif (status := self._process.poll()) is not None:
            self._over = True
            if status:
                self._told.seek(0)
                last = self._told.read().strip().rpartition("\n")[2]
                print(f"The model stays uncompiled: {last or f'status {status}'}.", file=sys.stderr)
            else:
                self._compile_model()

    def close(self) -> None:
        """End what has not ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._told.close()


@contextmanager
def compiled_where_it_pays(
    predictors: Sequence[Predictor],
    batches: Sequence[Sequence[Sequence[ImageTask]]],
    folder: Path,
    settings: Inference,
    device: torch.device,
) -> Iterator[Callable[[int], None]]:
    """A function that is told now and then how many images are left.

    Args:
        predictors: of models of one kind.
        batches: of each.
        folder: official Hugging Face folder of the first model.
        settings: how they are run.
        device: where.
    """
    size = predictors[0].batch_size
    full = next((batch for batch in batches[0] if len(batch) >= size), None)
    whole = settings.weights_memory(device.type) is None
    if settings.compiled != "auto" or device.type != "cuda" or not whole or full is None:
        yield lambda _: None
        return
    task = full[0]

    def compile_models() -> None:
        for predictor in predictors:
            predictor.compile()

    beside = BesideWork(
        LikeBatch(
            model=str(folder),
            size=(task.expressions[0].height, task.expressions[0].width),
            prompts=tuple(predictors[0].prompts(task)),
            images=size,
            dtype=str(choose_dtype(settings.dtype, device)).removeprefix("torch."),
            draft=settings.draft,
            language_weights=settings.language_weights,
        ),
        compile_models,
        lambda: has_room(task, size),
    )
    try:
        yield beside.advance
    finally:
        beside.close()
