import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from refvessel.dataset.gates import NEAR_DUPLICATES
from refvessel.dataset.likeness import BITS, near_pairs, perceptual_hash


def distance(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


def noisy(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image) + np.random.default_rng(0).normal(0, 8, image.size[::-1])
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


COPIES = {
    "jpeg": as_jpeg,
    "noise": noisy,
    "half the size": lambda image: image.resize((256, 256)),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "brightness": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
}


@pytest.fixture(scope="module")
def frames(shared):
    paths = sorted((shared / "vessels/arcade_stenosis/images").glob("*.png"))
    return [Image.open(path).convert("L") for path in paths]


def test_real_angiograms_are_far_apart(frames):
    hashes = [perceptual_hash(image) for image in frames]
    pairs, nearest = near_pairs(hashes, [str(number) for number in range(len(hashes))], NEAR_DUPLICATES)
    assert pairs == []
    assert nearest > 1.5 * NEAR_DUPLICATES


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_a_real_angiogram_is_near(frames, copy):
    for image in frames[::6]:
        assert distance(perceptual_hash(image), perceptual_hash(COPIES[copy](image))) <= NEAR_DUPLICATES


@given(
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.sampled_from("ab")), min_size=1),
    st.integers(0, 150),
)
def test_pairs_are_those_of_comparing_each_with_each(images, threshold):
    hashes, groups = zip(*images, strict=True)
    expected = {
        (i, j): distance(hashes[i], hashes[j])
        for i in range(len(images))
        for j in range(i)
        if groups[i] != groups[j]
    }
    pairs, nearest = near_pairs(hashes, groups, threshold)
    assert nearest == min(expected.values(), default=None)
    assert {(max(i, j), min(i, j)): d for i, j, d in pairs} == {
        pair: d for pair, d in expected.items() if d <= threshold
    }


def test_blocks_meet_each_other(monkeypatch):
    monkeypatch.setattr("refvessel.dataset.likeness._BLOCK", 3)
    hashes = [bytes([number]) * (BITS // 8) for number in range(11)]
    pairs, _ = near_pairs(hashes, [str(number) for number in range(11)], BITS)
    assert sorted(pair[:2] for pair in pairs) == [(i, j) for i in range(11) for j in range(i + 1, 11)]
