"""Images through the conversion, some at a time: read, check, draw the truth, write."""

import gc
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from refvessel.dataset.identities import Identified
from refvessel.dataset.images import clean_image
from refvessel.dataset.outlines import Outlines, outlines_of_regions, outlines_of_truths
from refvessel.dataset.problems import Problems
from refvessel.dataset.sensitivity import Redrawn, redraw, sampled
from refvessel.dataset.spool import Place, Spool, pack
from refvessel.dataset.tree import IMAGES
from refvessel.dataset.truths import Tally, TruthRule, draw_truths, regions_of_phrases
from refvessel.masks import RLE

_WORTH_PROCESSES = 64  # images; starting processes for fewer takes longer than they do
_IMAGES_AT_A_TIME = 8  # given to a process


@dataclass(frozen=True, slots=True)
class Converted:
    """One annotated image after conversion. Its image is in the tree, unless no phrase has a truth on it."""

    identity: Identified
    drawn: Place  # of its DrawnTruths in the spool
    tally: Tally
    suffix: str  # of the image's file in the tree
    width: int
    height: int
    pixels_sha256: str  # see CleanImage
    perceptual_hashes: bytes  # see CleanImage
    file_sha256: str  # of the encoded image as it was found
    redrawn: Sequence[Redrawn]  # the truths by other rasterisers, for the images of the sample


@dataclass(frozen=True)
class DrawnTruths:
    """What was drawn on an image, too much to be kept in memory for all."""

    by_phrase: dict[str, list[RLE]]  # one truth an expression
    ignore: RLE | None  # pixels that no score looks at
    outlines: dict[str, list[Outlines]]  # by phrase, of each truth that was drawn from polygons alone


def convert_images(
    identities: Sequence[Identified],
    phrases: Mapping[str, str],
    tree: Path,
    spool: Spool,
    problems: Problems,
    *,
    rule: TruthRule,
    hashed: bool,
    jobs: int | None,
) -> list[Converted]:
    """Convert the images in `jobs` processes, in order; report what is wrong, until there are enough problems.

    `hashed` says whether their perceptual hashes are wanted.

    No process holds more than one image, or the truths of more than a few, in memory.
    """
    (tree / IMAGES).mkdir(parents=True)
    sample = sampled(identity.image_id for identity in identities)
    convert = partial(_convert_image, phrases=phrases, tree=tree, rule=rule, hashed=hashed, sample=sample)
    converted = []
    with _processes(jobs, len(identities)) as apply:
        results = apply(convert, identities)
        progress = tqdm(results, "converting images", len(identities), unit="image", disable=None)
        for identity, result in zip(identities, progress, strict=True):
            if isinstance(result, Problems):
                for sentence in result.sentences:
                    problems.add(sentence)
            else:
                drawn = spool.append(result.pop("drawn"))
                converted.append(Converted(identity, drawn, **result))
            if problems.enough:
                break
    return converted


@contextmanager
def _processes(jobs: int | None, images: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` in this process for few images, else in `jobs` (None: one a core), in the order of its input."""
    jobs = len(os.sched_getaffinity(0)) if jobs is None else jobs
    if jobs == 1 or images < _WORTH_PROCESSES:
        yield map
        return
    # Forked, since other ways of starting run the calling script again, which Snakemake's are not made for.
    # What is there already is kept out of garbage collections, in which each process would copy all of it.
    gc.collect()
    gc.freeze()
    try:
        with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
            try:
                yield partial(pool.map, chunksize=_IMAGES_AT_A_TIME)
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        gc.unfreeze()


def _write(path: Path, content: bytes) -> None:
    """Write a file that is synced later: its way to the disk begins now, while others are computed."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        if hasattr(os, "posix_fadvise"):  # on Linux
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _convert_image(
    identity: Identified,
    *,
    phrases: Mapping[str, str],
    tree: Path,
    rule: TruthRule,
    hashed: bool,
    sample: Set[str],
) -> dict[str, Any] | Problems:
    """The fields of Converted except the identity, which need not travel; or what is wrong with the image."""
    record = identity.record
    problems = Problems()
    with problems.collect():
        content = record.load(record.path)
        image = clean_image(
            content, record.stated_size, str(record.path), upright=record.upright, hashed=hashed
        )
        size = (image.width, image.height)
        regions = record.all_regions(problems)
        truths = draw_truths(record, regions, phrases, size, rule, problems)
    if problems.sentences:
        return problems
    asked_for = regions_of_phrases(regions, phrases)
    outlines = outlines_of_regions(asked_for, phrases, size, record.stated_size)
    if truths.by_phrase:
        _write(tree / IMAGES / f"{identity.image_id}{image.suffix}", image.content)
    return {
        "drawn": pack(
            DrawnTruths(truths.by_phrase, truths.ignore, outlines_of_truths(outlines, truths, rule.target))
        ),
        "tally": truths.tally,
        "suffix": image.suffix,
        "width": image.width,
        "height": image.height,
        "pixels_sha256": image.pixels_sha256,
        "perceptual_hashes": image.perceptual_hashes,
        "file_sha256": hashlib.sha256(content).hexdigest(),
        "redrawn": redraw(outlines, truths) if identity.image_id in sample else [],
    }
