"""Images are read in order by other processes, and what goes wrong there is told here."""

import gc
import os
import signal
import time

import pytest
from PIL import Image

from refvessel.cores import usable_cores
from refvessel.errors import UserError
from refvessel.inference.plan import ImageTask
from refvessel.inference.reading import read_images


class Processor:
    """An image becomes its first grey level and the process that read it."""

    def process_image(self, image):
        level = image.getpixel((0, 0))
        if level == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return level, os.getpid()


class Collecting(Processor):
    """Collects garbage before it processes an image."""

    def process_image(self, image):
        gc.collect()
        return super().process_image(image)


class Noting:
    """Notes in a file which process frees it; garbage from the start, as it refers to itself."""

    def __init__(self, file):
        self.file = file
        self.itself = self

    def __del__(self):
        with self.file.open("a") as stream:
            stream.write(f"{os.getpid()}\n")


@pytest.fixture
def tasks(tmp_path, expression):
    """A function that makes an image of each grey level."""

    def make(*levels):
        made = []
        for number, level in enumerate(levels):
            path = tmp_path / f"{number}.png"
            Image.new("L", (4, 4), level).save(path)
            made.append(ImageTask((expression(sent_id=number, height=4, width=4, image_path=path),)))
        return made

    return make


@pytest.mark.parametrize("readers", [1, 3, 99])
def test_images_come_in_order_from_other_processes(tasks, readers):
    with read_images(tasks(*range(10)), Processor(), readers=readers, pinned=False) as images:
        levels, processes = zip(*images, strict=True)
    assert levels == tuple(range(10))
    assert os.getpid() not in processes
    assert len(set(processes)) == min(readers, usable_cores(), 10)


def test_the_processes_end_once_the_last_image_has_come(tasks):
    with read_images(tasks(1, 2, 3), Processor(), readers=2, pinned=False) as images:
        processes = {process for _, process in (next(images) for _ in range(3))}
        until = time.monotonic() + 60
        while living(processes) and time.monotonic() < until:
            time.sleep(0.01)
        assert not living(processes)


def living(processes):
    """Those that have not been waited for, either."""
    return {each for each in processes if os.path.exists(f"/proc/{each}")}  # noqa: PTH110


def test_a_damaged_image_is_an_error_in_its_place(tasks):
    made = tasks(1, 2, 3)
    made[1].expressions[0].image_path.write_bytes(b"not an image")
    with read_images(made, Processor(), readers=2, pinned=False) as images:
        first, second, third = images
    assert (first[0], third[0]) == (1, 3)
    assert isinstance(second, UserError)
    assert "1.png does not open as an image" in str(second)


def test_a_reading_process_that_ends_is_told_of(tasks):
    with (
        pytest.raises(UserError, match="a process that reads images ended"),
        read_images(tasks(1, 13, 2, 3), Processor(), readers=1, pinned=False) as images,
    ):
        list(images)


def test_a_reading_process_that_ends_is_told_of_whatever_is_done_meanwhile(tasks):
    with (
        pytest.raises(UserError, match="a process that reads images ended"),
        read_images(tasks(1, 13, 2, 3), Processor(), readers=1, pinned=False),
    ):
        time.sleep(60)


def test_errors_of_others_pass_through(tasks):
    with (
        pytest.raises(RuntimeError, match="of another"),
        read_images(tasks(1), Processor(), readers=1, pinned=False),
    ):
        raise RuntimeError("of another")


def test_leaving_the_block_ends_the_processes(tasks):
    with read_images(tasks(*range(20)), Processor(), readers=2, pinned=False) as images:
        processes = {next(images)[1], next(images)[1]}
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.usefixtures("freezing")
def test_processes_that_read_free_nothing_they_inherit(tasks, tmp_path):
    """A process forked from one that uses a GPU is aborted when it frees a tensor on it."""
    file = tmp_path / "freed"
    gc.disable()
    try:
        Noting(file)
        with read_images(tasks(1, 2), Collecting(), readers=2, pinned=False) as images:
            list(images)
        gc.collect()
    finally:
        gc.enable()
    assert file.read_text().split() == [str(os.getpid())]
