"""Tiles, prompts and pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from refvessel.errors import UserError
from refvessel.model.internvl_inputs import tile_grid
from refvessel.model.normalisation import normalise
from refvessel.model.processing import Sa2VAProcessor


@pytest.fixture(scope="module")
def processor(demo_model):
    return Sa2VAProcessor.from_pretrained(demo_model)


@pytest.mark.parametrize(
    ("width", "height", "tiles"), [(512, 512, 1), (800, 800, 5), (1024, 768, 13), (640, 480, 13)]
)
def test_an_image_has_the_documented_number_of_tiles(processor, width, height, tiles):
    image = processor.process_image(Image.new("RGB", (width, height)))
    assert image.view.tiles.shape == (tiles, 3, 448, 448)
    assert image.whole.shape == (3, 1024, 1024)
    assert (image.height, image.width) == (height, width)


@pytest.mark.parametrize("size", [(512, 512), (800, 600)])
def test_one_channel_of_a_grey_image_stands_for_three_equal_ones(processor, size):
    noise = np.random.default_rng(0).integers(0, 256, size[::-1], np.uint8)
    grey = processor.process_image(Image.fromarray(noise))
    colours = processor.process_image(Image.fromarray(noise).convert("RGB"))
    for one, three in ((grey.view.tiles, colours.view.tiles), (grey.whole, colours.whole)):
        assert (one.shape[-3], three.shape[-3]) == (1, 3)
        assert torch.equal(one.expand_as(three), three)
        assert torch.equal(normalise(one, torch.float32), normalise(three, torch.float32))


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_no_grid_is_closer_to_the_images_aspect_than_the_chosen(width, height):
    columns, rows = tile_grid(width, height)
    ratio = width / height
    best = min(abs(ratio - i / j) for i in range(1, 13) for j in range(1, 13) if i * j <= 12)
    assert columns * rows <= 12
    assert abs(ratio - columns / rows) == best


def test_tiles_are_cut_row_by_row_and_the_whole_image_comes_last(processor):
    image = np.zeros((448, 896, 3), np.uint8)
    image[:, 448:] = 255
    tiles = processor.process_image(Image.fromarray(image)).view.tiles
    assert len(tiles) == 3
    assert tiles[0, :, :, :400].max() == 0
    assert tiles[1, :, :, 50:].min() == 255
    assert tiles[2, :, :, :200].max() == 0
    assert tiles[2, :, :, 250:].min() == 255


def test_pixels_are_normalised_by_imagenets_statistics():
    pixels = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (pixels.numpy().transpose(0, 2, 3, 1) / 255.0 - mean) / deviation
    found = normalise(pixels, torch.float32).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("question", ["blood vessel", "<image> <image> vessel"])
def test_a_prompt_without_exactly_one_image_is_refused(processor, question):
    with pytest.raises(UserError, match="exactly once"):
        processor.prompt_ids(question, processor.layout(448, 448))


def test_an_answer_ends_at_the_templates_stop_word(processor):
    assert processor.answer_text(sorted(processor.stop_token_ids)) == "<|im_end|><|endoftext|>"
