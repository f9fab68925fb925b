"""Images through the conversion, some at a time: read, check, draw the truth, write."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from refvessel.cores import usable_cores
from refvessel.dataset.conversion.outlines_of_truths import outlines_of_regions, outlines_of_truths
from refvessel.dataset.conversion.sensitivity import Redrawn, redraw
from refvessel.dataset.conversion.spool import Place, Spool, pack
from refvessel.dataset.conversion.truths import (
    Tally,
    TruthRule,
    draw_ignored,
    draw_truths,
    regions_of_phrases,
)
from refvessel.dataset.conversion.workers import Ended, map_in_processes
from refvessel.dataset.images.pixels import ImageFacts, clean_image
from refvessel.dataset.patients.identities import Identified
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record
from refvessel.dataset.regions.polygons import Outlines
from refvessel.dataset.regions.rasterisers import sampled
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.ref_vos_writing import frame_file
from refvessel.files import link_or_copy
from refvessel.rle import RLE

SECONDS_PER_IMAGE = 300.0  # the largest image that opens takes a minute


@dataclass(frozen=True, slots=True)
class Converted:
    """One image after conversion, annotated or a frame of a run.

    It is in the tree, among the images unless no phrase has a truth on it.
    """

    identity: Identified
    image: ImageFacts
    tally: Tally
    truths: Place  # of its Truths in the spool
    source_sha256: str  # of the encoded image as it was found
    redrawn: Sequence[Redrawn]  # the truths by other rasterisers, for the images of the sample

    @property
    def file_name(self) -> str:
        """The image's, in the tree's folder of images."""
        return f"{self.identity.image_id}{self.image.suffix}"

    def film_file(self, tree: Path) -> Path | None:
        """Where the image of a frame lies among those of its run; None where it is of none."""
        return _film_file(tree, self.identity, self.image.suffix)


class Truths(NamedTuple):
    """What was drawn on an image, which is too much to be kept in memory for all."""

    by_phrase: dict[str, list[RLE]]  # one mask per expression
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
    threads: int | None,
) -> list[Converted]:
    """Convert the images in `threads` processes, in order; report what is wrong, until there are enough problems.

    `hashed` says whether their perceptual hashes are wanted.

    No process holds more than one image, or the truths of more than a few, in memory.
    """
    (tree / IMAGES).mkdir(parents=True)
    sample = sampled(identity.image_id for identity in identities)
    convert = partial(_convert_image, phrases=phrases, tree=tree, rule=rule, hashed=hashed, sample=sample)
    converted: list[Converted] = []
    threads = usable_cores() if threads is None else threads
    with closing(
        map_in_processes(convert, identities, threads=threads, seconds=SECONDS_PER_IMAGE)
    ) as results:
        progress = tqdm(results, "converting images", len(identities), unit="image", disable=None)
        for identity, result in zip(identities, progress, strict=True):
            if isinstance(result, Problems):
                for sentence in result.sentences:
                    problems.add(sentence)
            elif isinstance(result, Ended):
                problems.add(_sentence(result, identity.record))
            else:
                truths, complete = result
                converted.append(complete(identity=identity, truths=spool.append(truths)))
            if problems.enough:
                break
    return converted


def _sentence(ended: Ended, record: Record) -> str:
    return (
        f"{record.path}: its process {ended.reason}, decoding it or drawing its annotation ({record.where}); "
        "replace the image or redraw its outlines."
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file that is synced later: its way to the disk begins now, while others are computed."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        if hasattr(os, "posix_fadvise"):  # on Linux
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _film_file(tree: Path, identity: Identified, suffix: str) -> Path | None:
    if identity.place is None:
        return None
    return frame_file(tree, identity.split, identity.place.video, identity.place.index, suffix)


def _place(tree: Path, identity: Identified, suffix: str, content: bytes, *, annotated: bool) -> None:
    """Write an image where it is asked for, alone or in its run; of both places it fills one on the disk."""
    image, film = tree / IMAGES / f"{identity.image_id}{suffix}", _film_file(tree, identity, suffix)
    if film is not None:
        film.parent.mkdir(parents=True, exist_ok=True)
        _write(film, content)
    if annotated and film is not None:
        link_or_copy(film, image)
    elif annotated:
        _write(image, content)


def _convert_image(
    identity: Identified,
    *,
    phrases: Mapping[str, str],
    tree: Path,
    rule: TruthRule,
    hashed: bool,
    sample: Set[str],
) -> tuple[bytes, Callable[..., Converted]] | Problems:
    """The image's packed Truths, and Converted but for its identity, which need not travel, and their place.

    Or what is wrong with the image.
    """
    record = identity.record
    problems = Problems()
    with problems.collect():
        content = record.load(record.path)
        clean, image = clean_image(
            content, record.stated_size, str(record.path), upright=record.upright, hashed=hashed
        )
        size = (image.width, image.height)
        regions = record.all_regions(problems)
        # A frame of a run that nobody annotated shows nothing, and does not say that nothing is there.
        asked = rule if record.annotation is not None else replace(rule, include_empty=False)
        truths, tally = draw_truths(record, regions, phrases, size, asked, problems)
        ignore = draw_ignored(record, regions, size, rule, problems)
    if problems.sentences:
        return problems
    asked_for = regions_of_phrases(regions, phrases)
    outlines = outlines_of_regions(asked_for, phrases, size, record.stated_size)
    _place(tree, identity, image.suffix, clean, annotated=bool(truths))
    packed = pack(Truths(truths, ignore, outlines_of_truths(outlines, truths, rule.target)))
    return packed, partial(
        Converted,
        image=image,
        tally=tally,
        source_sha256=hashlib.sha256(content).hexdigest(),
        redrawn=redraw(outlines, truths) if identity.image_id in sample else [],
    )
