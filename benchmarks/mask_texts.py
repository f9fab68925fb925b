"""What encoding masks costs the host: by pycocotools, as before, and where the masks are.

    PYTHONPATH=src python benchmarks/mask_texts.py [--masks 256] [--side 512] [--repeat 5]

Masks of noise, as a model of random weights draws them, and of vessels. Told are milliseconds per mask: the time
of the thread that encodes, which on the host is how long it holds Python's lock, and the time by the clock; and
beside them those of a line of JSON of a mask, which the thread makes that writes.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from refvessel.answer_status import Status
from refvessel.demo.angiogram import angiogram
from refvessel.inference.mask_texts import coco_texts, encode_masks
from refvessel.model.transfer import Arriving
from refvessel.predictions.prediction import Prediction
from refvessel.rle import RLE, encode


def noise(count: int, side: int, device: str) -> torch.Tensor:
    """Masks as upsampled from random logits, bool (count, width, height)."""
    logits = torch.randn(count, 1, 256, 256, generator=torch.Generator().manual_seed(0)).to(device)
    return (functional.interpolate(logits, (side, side), mode="bilinear")[:, 0] > 0).mT.contiguous()


def vessels(count: int, side: int, device: str) -> torch.Tensor:
    """Masks of the demo's vessels, likewise."""
    drawn = [_drawn(number, side) for number in range(min(count, 8))]
    masks = np.stack([drawn[number % len(drawn)] for number in range(count)])
    return torch.from_numpy(masks).to(device).mT.contiguous()


def _drawn(patient: int, side: int) -> np.ndarray:
    """All that the demo draws of a frame, bool (height, width)."""
    picture = angiogram(7, patient, 1)
    mask = Image.new("1", picture.image.shape[1::-1])
    for polygons in picture.polygons.values():
        for polygon in polygons:
            ImageDraw.Draw(mask).polygon([tuple(point) for point in polygon.tolist()], fill=1)
    return np.asarray(mask.resize((side, side)))


def as_before(masks: torch.Tensor) -> list[RLE]:
    """All pixels to the host, and encoded there."""
    (there,) = Arriving(masks).wait()
    return [encode(mask) for mask in there.mT.numpy()]


def here(masks: torch.Tensor) -> list[RLE]:
    """As the engine encodes them."""
    (encoded,) = encode_masks([masks])
    return encoded


def line(mask: RLE) -> str:
    """That of a prediction of one mask."""
    return Prediction(
        *("p1_1.png", 1, 1, "blood vessel", "<image>\n Please segment blood vessel in this image."),
        *("Sure, [SEG].<|im_end|>", 1, Status.OK, None, mask, [mask], 0.5, 0.01),
    ).to_line()


def milliseconds(work: Callable[[], object], count: int, repeat: int) -> str:
    """Of the thread and by the clock, per mask: the medians of some calls."""
    work()
    took = []
    for _ in range(repeat):
        begin = time.thread_time(), time.perf_counter()
        work()
        took.append((time.thread_time() - begin[0], time.perf_counter() - begin[1]))
    of_thread, by_clock = np.median(took, axis=0) * 1e3 / count
    return f"{of_thread:.3f} | {by_clock:.3f}"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--masks", type=int, default=256)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=5)
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{asked.masks} masks of {asked.side}x{asked.side} on {device}\n")
    print("| masks | by | thread, ms a mask | clock, ms a mask |\n|---|---|---|---|")
    for name, draw in (("noise", noise), ("vessels", vessels)):
        masks = draw(asked.masks, asked.side, device)
        expected = as_before(masks)
        assert here(masks) == expected
        assert coco_texts([*masks]) == [each["counts"] for each in expected]
        ways = {
            "the host": partial(as_before, masks),
            "encode_masks": partial(here, masks),
            "JSON": lambda expected=expected: list(map(line, expected)),
        }
        for by, work in ways.items():
            print(f"| {name} | {by} | {milliseconds(work, asked.masks, asked.repeat)} |")


if __name__ == "__main__":
    main()
