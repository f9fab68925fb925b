"""The cases page: every case, or of very many a sample, in a table, each in a viewer.

One file that loads nothing but its pictures.
"""

import base64
import hashlib
import io
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from refvessel.artifacts import CASES_PAGE, PAGE, PICTURES
from refvessel.report.cases_data import CasesData, cases_data, shown_cases
from refvessel.report.overlays import image_path, read_image
from refvessel.report.sections import Artifacts
from refvessel.report.templating import TEMPLATES, templates
from refvessel.report.unscored import Unscored
from refvessel.report.wording import messages_of_scripts

_SCRIPTS = (
    "cases_words.js",
    "cases_masks.js",
    "cases_table.js",
    "cases_sequence.js",
    "cases_viewer.js",
    "cases.js",
)  # in the order in which they run
_STYLE = "cases.css"
_MOST_INLINED = 64  # pictures
_LONGEST_SIDE = 1024  # pixels of a picture
_JPEG_QUALITY = 80
_THREADS = 2
_CONSONANTS = str.maketrans("0123456789", "bcdfghjklm")
# What would end or hide a script element, whatever its type.
_MARKUP = re.compile(r"<(?=[/!sS?])")


def write_cases_page(
    evaluations: Sequence[Artifacts | Unscored], folder: Path
) -> dict[str, list[tuple[str, Path]]]:
    """Write cases.html and its pictures below `folder`; by each file's path there the images that it holds.

    An image is its data set's key and its file.

    Up to 64 pictures stand in the page itself, more lie beside it in `pictures/`, reduced to at most 1024 pixels.
    The same artifacts give the same bytes. Raises UserError where an image is missing, does not open or has
    another size than its masks.
    """
    (folder / PICTURES).mkdir()
    data = cases_data(evaluations)
    shown = _shown_images(evaluations)
    images = [(dataset, image_path(shown[dataset, name][0], name)) for dataset, name in data.images]
    beside = len(images) > _MOST_INLINED
    files = [f"{PICTURES}/{_letters(number)}.jpg" if beside else None for number in range(len(images))]

    def placed(key: tuple[str, str], file: str | None) -> str:
        picture = _jpeg(*shown[key])
        if file is None:
            return f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"
        (folder / file).write_bytes(picture)
        return file

    with ThreadPoolExecutor(_THREADS) as threads:  # decoding and encoding leave the interpreter
        places = list(threads.map(placed, data.images, files))
    written = {CASES_PAGE: [] if beside else images}
    written |= {file: [image] for file, image in zip(files, images, strict=True) if file is not None}
    (folder / CASES_PAGE).write_text(_render(data, places, _sampled(evaluations)), "utf-8")
    return written


def _shown_images(
    evaluations: Sequence[Artifacts | Unscored],
) -> dict[tuple[str, str], tuple[dict[str, Path], dict[Any, Any]]]:
    """By data set and image_id: the files of its evaluation, and a case of it."""
    shown: dict[tuple[str, str], tuple[dict[str, Path], dict[Any, Any]]] = {}
    for one in evaluations:
        sizes = shown_cases(one)[["image_id", "height", "width"]].drop_duplicates("image_id")
        for case in sizes.to_dict("records"):
            shown.setdefault((one.evaluation.dataset, case["image_id"]), (one.images, case))
    return shown


def _jpeg(images: dict[str, Path], case: dict[Any, Any]) -> bytes:
    content = io.BytesIO()
    image = read_image(images, case, _LONGEST_SIDE)
    bands = [band.tobytes() for band in image.split()]
    if all(band == bands[0] for band in bands):
        image = image.getchannel(0)
    image.save(content, "JPEG", quality=_JPEG_QUALITY)
    return content.getvalue()


def _letters(number: int) -> str:
    """A number as letters that make no word: digits could be somebody's number, and the search would find them."""
    return f"{number:06d}".translate(_CONSONANTS)


def _sampled(evaluations: Sequence[Artifacts | Unscored]) -> list[tuple[str, dict[str, int]]]:
    """Name of each evaluation of which not all cases are shown, and how many."""
    scored = (one for one in evaluations if isinstance(one, Artifacts))
    return [(one.evaluation.name, one.sampled) for one in scored if one.sampled]


def _render(data: CasesData, places: Sequence[str], sampled: Sequence[tuple[str, dict[str, int]]]) -> str:
    script = "".join((TEMPLATES / name).read_text("utf-8") for name in _SCRIPTS)
    style = (TEMPLATES / _STYLE).read_text("utf-8")
    blocks: dict[str, Any] = {"messages": messages_of_scripts(), "table": data.table | {"pictures": places}}
    blocks |= {f"masks-{number}": chunk for number, chunk in enumerate(data.masks)}
    blocks |= {f"details-{number}": chunk for number, chunk in enumerate(data.details)}
    return _template().render(
        page=PAGE,
        sampled=sampled,
        script=script,
        style=style,
        script_hash=_source_hash(script),
        style_hash=_source_hash(style),
        blocks={name: _as_json(block) for name, block in blocks.items()},
    )


@cache
def _template() -> Any:
    return templates().get_template("cases_page.html")


def _source_hash(text: str) -> str:
    """What a content security policy calls an element's text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def _as_json(value: Any) -> str:
    """JSON that no text in it can leave the script element by; run lengths stay as they are."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _MARKUP.sub(r"\\u003c", text)
