"""`outlines.npz`: the polygons that truths were drawn from, by which scores show what another rasteriser changes.

ref_id      int64 (refs,): the refs whose truth was drawn from polygons alone, or is empty; ascending
polygons    int64 (refs,): how many polygons each has
points      int64 (polygons,): how many points each polygon has
xy          float64 (points, 2): their columns (x, y), in pixels of the image
"""

import shutil
import tempfile
import zipfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from refvessel.dataset.regions.polygons import Outlines
from refvessel.errors import UserError

_ARRAYS = ("ref_id", "polygons", "points", "xy")


@contextmanager
def outlines_file(path: Path) -> Iterator[Callable[[int, Outlines], None]]:
    """A function that adds the polygons of a ref, in ascending order of ref_id, to the file at `path`.

    Without any polygon there is no file. The polygons of one ref at a time are in memory.
    """
    refs, polygons, points = array("q"), array("q"), array("q")
    with tempfile.TemporaryFile(dir=path.parent) as xy:

        def add(ref_id: int, outlines: Outlines) -> None:
            refs.append(ref_id)
            polygons.append(len(outlines))
            points.extend(len(polygon) for polygon in outlines)
            xy.writelines(np.ascontiguousarray(polygon, "<f8").tobytes() for polygon in outlines)

        yield add
        xy.seek(0)
        if points:
            with zipfile.ZipFile(path, "w") as archive:
                for name, numbers in zip(_ARRAYS[:-1], (refs, polygons, points), strict=True):
                    with _member(archive, name) as member:
                        np.lib.format.write_array(member, np.asarray(numbers), allow_pickle=False)
                with _member(archive, _ARRAYS[-1]) as member:
                    header = {"descr": "<f8", "fortran_order": False, "shape": (sum(points), 2)}
                    np.lib.format.write_array_header_1_0(member, header)
                    shutil.copyfileobj(xy, member)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # Unlike np.savez, which writes the time of day: the same polygons give the same bytes.
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def read_outlines(path: Path) -> dict[int, Outlines]:
    """The polygons by ref_id, nothing where there is no file; raises UserError where it is damaged."""
    if not Path(path).is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            refs, polygons, points, xy = (arrays[name] for name in _ARRAYS)
        if polygons.sum() != len(points) or points.sum() != len(xy) or xy.shape[1:] != (2,):
            raise ValueError("its arrays do not fit one another")
        each = iter(np.split(xy, points.cumsum()[:-1]))
        return {
            int(ref_id): [next(each) for _ in range(number)]
            for ref_id, number in zip(refs, polygons, strict=True)
        }
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a file of outlines ({error}); convert the dataset again.") from None
