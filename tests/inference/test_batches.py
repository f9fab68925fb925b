"""Batches hold every image once, and only images of equal numbers of tiles."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refvessel.inference.batches import bytes_of_image, fitting_batch_size, form_batches
from refvessel.inference.plan import ImageTask
from refvessel.model.internvl_inputs import tile_grid


@pytest.fixture(scope="module")
def task(expression):
    """A function that makes the task of an image of this size."""

    def make(number, width, height):
        path = Path(f"image{number:03d}.png")
        asked = (expression(sent_id=number, height=height, width=width, image_path=path),)
        columns, rows = tile_grid(width, height)
        return ImageTask(asked, columns * rows + (columns * rows > 1))

    return make


SIZES = st.lists(st.sampled_from([(512, 512), (800, 800), (640, 480), (1024, 768), (448, 448)]), max_size=30)


@given(sizes=SIZES, size=st.integers(1, 8))
def test_every_image_is_in_one_batch_with_images_of_as_many_tiles(task, sizes, size):
    tasks = [task(number, *each) for number, each in enumerate(sizes)]
    batches = form_batches(tasks, size)
    assert sorted(each.image_id for batch in batches for each in batch) == [each.image_id for each in tasks]
    assert all(len({each.tiles for each in batch}) == 1 for batch in batches)
    assert all(len(batch) <= size for batch in batches)
    for tiles in {each.tiles for each in tasks}:  # no batch is smaller than it need be
        assert sum(batch[0].tiles == tiles and len(batch) < size for batch in batches) <= 1


def test_images_of_as_many_tiles_keep_their_order(task):
    batches = form_batches([task(0, 800, 800), task(1, 512, 512), task(2, 800, 800)], 4)
    assert [[each.image_id for each in batch] for batch in batches] == [
        ["image001"],
        ["image000", "image002"],
    ]


def test_the_cpu_is_not_asked_for_its_memory(task):
    assert fitting_batch_size([task(0, 512, 512)], lambda batch: 1 / 0, torch.device("cpu"), flips=False) == 4


def test_an_image_takes_more_memory_the_more_is_asked_of_it(task, expression):
    small, large = task(0, 512, 512), task(1, 1600, 1600)
    asked = tuple(expression(sent_id=number, image_path=Path("image.png")) for number in range(4))
    several = ImageTask(asked, small.tiles)
    weights = 16_000_000_000
    least = bytes_of_image(small, weights)
    assert least > 491 << 20  # what was seen
    assert bytes_of_image(several, weights) > least
    assert bytes_of_image(large, weights) > least
    assert bytes_of_image(small, 4 * weights) > 3 * least
