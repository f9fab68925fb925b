"""Masks to COCO's compressed run lengths, made where the masks are: from a GPU, only the text travels.

pycocotools encodes on the host, one mask after the other, and holds Python's lock meanwhile, which the thread
needs that launches the model. The text that a GPU makes is that of pycocotools, byte by byte.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import torch

from refvessel.rle import CONTINUES, DIGIT_BITS, FIRST_CHARACTER, RLE, STORED_WHOLE, encode

_PIXELS_AT_ONCE = 1 << 24  # of several masks; noise takes a GPU some 30 bytes a pixel, and masks of vessels 3


def encode_masks(masks: Sequence[torch.Tensor]) -> list[list[RLE]]:
    """The run lengths of the masks of each answer; the host waits for them.

    Args:
        masks: of each answer, bool (count, width, height): run lengths run down the columns.
    """
    flat = [mask for of_answer in masks for mask in of_answer]
    encoded = iter([rle for some in _portions(flat) for rle in _encoded(some)])
    return [[next(encoded) for _ in of_answer] for of_answer in masks]


def _encoded(masks: Sequence[torch.Tensor]) -> list[RLE]:
    device = masks[0].device
    if device.type != "cuda":
        return [encode(mask.mT.numpy()) for mask in masks]
    with torch.cuda.stream(
        _stream(device)
    ):  # beside the model: waiting for it here is not waiting for the model
        texts = coco_texts(masks)
    return [
        {"size": [mask.shape[1], mask.shape[0]], "counts": text}
        for mask, text in zip(masks, texts, strict=True)
    ]


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The one stream for it: the allocator keeps memory apart for each."""
    return torch.cuda.Stream(device)


def _portions(masks: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Masks that follow each other, as many as may be encoded at once."""
    portion: list[torch.Tensor] = []
    for mask in masks:
        if portion and sum(each.numel() for each in [*portion, mask]) > _PIXELS_AT_ONCE:
            yield portion
            portion = []
        portion.append(mask)
    if portion:
        yield portion


def coco_texts(masks: Sequence[torch.Tensor]) -> list[str]:
    """The `counts` of masks, bool (width, height), on one device and of any sizes."""
    counts, first, last = _runs(masks)
    stored = counts.clone()  # from the fourth run on, the difference to the run before last
    stored[2:] -= counts[:-2]
    for place in range(STORED_WHOLE):
        whole = torch.minimum(first + place, last)
        stored[whole] = counts[whole]
    characters, ends = _digits(stored)
    text = characters.cpu().numpy().tobytes().decode("ascii")
    stops = ends[last].tolist()
    return [text[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def _runs(masks: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The run lengths of all masks, int64 (runs,), background first; and each mask's first and last, (masks,).

    Before each mask stands a pixel of background, and behind it one more, which ends its last run.
    """
    background = masks[0].new_zeros(1)
    pixels = torch.cat([background, *(part for mask in masks for part in (mask.flatten(), background))])
    ends = torch.tensor([mask.numel() + 1 for mask in masks], device=pixels.device).cumsum(0) - 1
    begins = pixels[1:] != pixels[:-1]  # a run begins where a pixel differs from the one before
    begins[ends] = True
    places = begins.nonzero().flatten()
    last = torch.searchsorted(places, ends)
    first = torch.cat([last.new_zeros(1), last[:-1] + 1])
    counts = places.diff(prepend=places.new_full((1,), -1))
    counts[first] -= 1  # the pixel before
    return counts, first, last


def _digits(numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers in COCO's digits, uint8 (characters,), the lowest first; and where each ends, int64 (numbers,)."""
    magnitudes = torch.where(numbers < 0, ~numbers, numbers)
    lengths = torch.ones_like(numbers)
    limit, most = (
        1 << (DIGIT_BITS - 1),
        int(magnitudes.max()),
    )  # the highest bit of the last digit is the sign
    while most >= limit:
        lengths += magnitudes >= limit
        limit <<= DIGIT_BITS
    ends = lengths.cumsum(0)
    starts = ends - lengths
    longest, total = torch.stack([lengths.max(), ends[-1]]).tolist()
    characters = numbers.new_empty(total, dtype=torch.uint8)
    for place in range(longest):
        mine = (lengths - 1).clamp(max=place)  # of a shorter number, its last digit once more
        digits = (numbers >> DIGIT_BITS * mine) & ((1 << DIGIT_BITS) - 1)
        digits += torch.where(mine < lengths - 1, CONTINUES + FIRST_CHARACTER, FIRST_CHARACTER)
        characters[starts + mine] = digits.to(torch.uint8)
    return characters, ends
