"""Images through the conversion, some at a time: read, check, draw the truth, write."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from refvessel.dataset.identities import Identified
from refvessel.dataset.images import clean_image
from refvessel.dataset.problems import Problems
from refvessel.dataset.sensitivity import Redrawn, redraw, sampled
from refvessel.dataset.tree import IMAGES
from refvessel.dataset.truths import Truths, draw_truths


@dataclass(frozen=True)
class Converted:
    """One annotated image after conversion. Its PNG is in the tree, unless no phrase has a truth on it."""

    identity: Identified
    truths: Truths
    width: int
    height: int
    pixels_sha256: str  # see CleanImage
    perceptual_hash: bytes  # see CleanImage
    file_sha256: str  # of the encoded image as it was found
    redrawn: Sequence[Redrawn]  # the truths by other rasterisers, for the images of the sample


def convert_images(
    identities: Sequence[Identified],
    phrases: Mapping[str, str],
    tree: Path,
    problems: Problems,
    *,
    target: str,
    include_empty: bool,
    jobs: int | None,
) -> list[Converted]:
    """Convert the images in `jobs` threads, in order; report those that fail, until there are enough problems.

    Threads do, since decoding, hashing and encoding run outside Python's lock; no more than `jobs` images are in
    memory at a time.
    """
    (tree / IMAGES).mkdir(parents=True)
    sample = sampled(identity.image_id for identity in identities)
    converted = []
    threads = ThreadPoolExecutor(jobs)
    try:
        futures = [
            threads.submit(
                _convert_image, identity, phrases, tree, target, include_empty, identity.image_id in sample
            )
            for identity in identities
        ]
        for future in tqdm(futures, desc="converting images", unit="image", disable=None):
            with problems.collect():
                converted.append(future.result())
            if problems.enough:
                break
    finally:
        threads.shutdown(cancel_futures=True)
    return converted


def _convert_image(
    identity: Identified,
    phrases: Mapping[str, str],
    tree: Path,
    target: str,
    include_empty: bool,
    sample: bool,
) -> Converted:
    record = identity.record
    content = record.load(record.path)
    image = clean_image(content, record.stated_size, str(record.path))
    size = (image.width, image.height)
    truths = draw_truths(record, phrases, size, target=target, empty=include_empty)
    if truths.by_phrase:
        (tree / IMAGES / f"{identity.image_id}.png").write_bytes(image.png)
    return Converted(
        identity,
        truths,
        image.width,
        image.height,
        image.pixels_sha256,
        image.perceptual_hash,
        hashlib.sha256(content).hexdigest(),
        redraw(record, phrases, size, truths) if sample else [],
    )
