"""A planted name is found wherever it can be published, and what nobody planted is not."""

import base64
import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from refvessel import rle
from refvessel.errors import UserError
from refvessel.privacy.check import check_privacy
from refvessel.privacy.image_metadata import without_scans
from refvessel.privacy.name_tables import Name, write_name_table

NAME = "Zhang Wei"
PIXELS = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "secret" / "names" / "demo.csv"
    names = [
        Name("patient", "p0123456789", "Zhang_Wei"),
        Name("image", "p0123456789_aaaaaaaaaa", "ward 7/Zhang_Wei-20190304.png"),
        Name("identifier", "p0123456789", "81537"),
        Name("patient", "p9876543210", "Müller^Änne"),
        Name("patient", "p5555555555", "07"),
        Name("patient", "p6666666666", "test"),
        Name("word", "test", "test"),
        Name("word", "blood vessel", "blood vessel"),
    ]
    write_name_table(path, names)
    return path


@pytest.fixture
def published(tmp_path) -> Path:
    folder = tmp_path / "report"
    folder.mkdir()
    return folder


def as_png(text: str, *, compressed: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", text, zip=compressed)
    return saved("PNG", pnginfo=info)


def saved(form: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, form, **options)
    return buffer.getvalue()


def as_zip(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def as_tar(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def as_parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer)
    return buffer.getvalue()


def as_metadata() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(
        pa.table({"a": [1]}).replace_schema_metadata({"refvessel": json.dumps({"who": NAME})}), buffer
    )
    return buffer.getvalue()


def exif(name: str | bytes = NAME) -> Image.Exif:
    tags = Image.Exif()
    tags[0x013B] = name  # artist
    return tags


def two_comments(first: str, second: str) -> bytes:
    content = saved("JPEG", comment=second.encode())
    return content[:2] + b"\xff\xfe" + (len(first) + 2).to_bytes(2) + first.encode() + content[2:]


def comment_between_scans(text: str) -> bytes:
    content = saved("JPEG", progressive=True)
    second = content.rindex(b"\xff\xda")
    return content[:second] + b"\xff\xfe" + (len(text) + 2).to_bytes(2) + text.encode() + content[second:]


def two_pages(first: str, second: str) -> bytes:
    buffer = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer, new=True) as pages:
        for text in (first, second):
            Image.fromarray(PIXELS).save(pages, "TIFF", description=text)
            pages.newFrame()
        return buffer.getvalue()


EMBEDDED = base64.b64encode(b"<svg><text>" + NAME.encode() + b"</text></svg>" + bytes(80)).decode()
PLANTED = {
    "html": ("index.html", f"<p>{NAME}</p>".encode()),
    "html entities": ("index.html", b"<p>Zhang&#32;&#87;ei M&uuml;ller</p>"),
    "html umlauts": ("index.html", b"<p>M&uuml;ller &Auml;nne</p>"),
    "embedded in html": ("index.html", f'<img src="data:image/svg+xml;base64,{EMBEDDED}">'.encode()),
    "csv": ("cases.csv", b"image,dice\nzhang_wei_f01,0.5\n"),
    "tex": ("cases.tex", rb"Zhang\_Wei & 0.5"),
    "json escapes": ("a.json", json.dumps({"who": "Müller Änne"}).encode()),
    "url": ("a.txt", b"file://Zhang%20Wei/1.png"),
    "svg": ("figure.svg", f"<svg><title>{NAME.upper()}</title></svg>".encode()),
    "number": ("cases.csv", b"id,dice\n81537,0.5\n"),
    "word alone": ("a.txt", "seen by Müller, 2019".encode()),
    "utf-16": ("a.txt", NAME.encode("utf-16")),
    "parquet": ("cases.parquet", as_parquet(patient=["a", NAME])),
    "parquet column": ("cases.parquet", as_parquet(**{NAME: [1]})),
    "parquet metadata": ("cases.parquet", as_metadata()),
    "png text": ("a.png", as_png(NAME)),
    "png compressed text": ("a.png", as_png(NAME, compressed=True)),
    "png exif": ("a.png", saved("PNG", exif=exif())),
    "behind a png": ("a.png", saved("PNG") + b"Zhang_Wei-20190304"),
    "jpeg comment": ("a.jpg", saved("JPEG", comment=NAME.encode())),
    "jpeg exif": ("a.jpg", saved("JPEG", exif=exif())),
    "jpeg exif in utf-8": ("a.jpg", saved("JPEG", exif=exif("Müller".encode()))),
    "png text in utf-8": ("a.png", as_png("Müller".encode().decode("latin-1"))),
    "gif comment": ("a.gif", saved("GIF", comment=NAME.encode())),
    "tiff tag": ("a.tif", saved("TIFF", description=NAME)),
    "csv of windows": ("cases.csv", "image;who\r\n1;Müller\r\n".encode("cp1252")),
    "first of two jpeg comments": ("a.jpg", two_comments("Wei Zhang", "nothing")),
    "between two scans of a jpeg": ("a.jpg", comment_between_scans("Wei Zhang")),
    "behind a jpeg": ("a.jpg", saved("JPEG") + b"Zhang_Wei-20190304"),
    "second page of a tiff": ("a.tif", two_pages("nothing", "Wei Zhang")),
    "zip": ("report.zip", as_zip("index.html", NAME.encode())),
    "zip member": ("report.zip", as_zip("Zhang_Wei.html", b"")),
    "zip in zip": ("report.zip", as_zip("inner.zip", as_zip("a.png", as_png(NAME)))),
    "gzip": ("a.txt.gz", gzip.compress(NAME.encode())),
    "tar": ("a.tar.gz", as_tar("a.txt", NAME.encode())),
    "tar member": ("a.tar.gz", as_tar("Zhang_Wei.txt", b"")),
    "binary": ("a.bin", b"\x80\x81\0" + b"Zhang_Wei-20190304" + b"\0\xff"),
    "file name": ("Zhang-Wei.txt", b""),
    "folder name": ("Zhang_Wei/a.txt", b""),
}


@pytest.mark.parametrize("place", PLANTED)
def test_a_planted_name_is_found_and_not_repeated(published, table, place):
    name, content = PLANTED[place]
    (published / name).parent.mkdir(exist_ok=True)
    (published / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        check_privacy(published, [table])
    told = str(caught.value).casefold()
    assert "names the" in told
    for word in ("zhang", "wei", "müller", "81537"):
        assert word not in told.replace(str(published).casefold(), "")


def test_several_processes_find_what_one_finds(published, table):
    for number in range(40):
        (published / f"{number:02d}.txt").write_text(NAME if number % 19 == 0 else "nothing")
    messages = set()
    for threads in (1, 2):
        with pytest.raises(UserError) as caught:
            check_privacy(published, [table], threads=threads)
        messages.add(str(caught.value))
    (message,) = messages
    assert all(f"{number:02d}.txt names" in message for number in (0, 19, 38))


@pytest.mark.parametrize("progressive", [False, True])
def test_of_a_jpeg_all_but_its_pixels_is_searched(progressive):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", comment=b"a comment", progressive=progressive)
    content = buffer.getvalue()
    kept = without_scans(content + b"behind it")
    assert kept.endswith(b"\xff\xd9behind it")
    assert b"a comment" in kept
    assert len(kept) < len(content) / 3
    assert without_scans(saved("PNG")) == saved("PNG")


@pytest.mark.parametrize(
    "spelling",
    [
        "MÜLLER ÄNNE",
        "Mu\u0308ller A\u0308nne",
        "müller-änne",
        "Müller.Änne",
        "Müller%20%C3%84nne",
        "\N{FULLWIDTH LATIN CAPITAL LETTER M}üller",
        "Änne, Müller",
    ],
)
@pytest.mark.parametrize("place", ["text", "name", "zip member", "png text"])
def test_a_name_is_found_in_every_spelling(published, table, spelling, place):
    if place == "name":
        (published / f"{spelling}.csv").write_text("")
    elif place == "text":
        (published / "a.csv").write_text(f"who\n{spelling}\n")
    elif place == "zip member":
        (published / "a.zip").write_bytes(as_zip(f"{spelling}.csv", b""))
    else:
        info = PngImagePlugin.PngInfo()
        info.add_itxt("Comment", spelling)
        (published / "a.png").write_bytes(saved("PNG", pnginfo=info))
    with pytest.raises(UserError, match="names the"):
        check_privacy(published, [table])


def test_a_link_to_a_name_is_found(published, table):
    (published / "a.png").symlink_to("/data/Zhang_Wei/1.png")
    with pytest.raises(UserError, match=r"a\.png, its target names the \w+ p0123456789"):
        check_privacy(published, [table])


def test_what_names_nobody_passes(published, table):
    """Pseudonyms, numbers that only look like one, run lengths, short and common names, images."""
    encoded = rle.encode(np.random.default_rng(2).integers(0, 2, (300, 300)))
    (published / "index.html").write_text(
        "<p>split test, patient p0123456789, blood vessel, Dice 0.81537, 07</p>"
    )
    (published / "cases.csv").write_text(
        f'id,mask\n1,"{json.dumps(encoded).replace(chr(34), chr(34) * 2)}"\n'
    )
    (published / "cases.json").write_text(json.dumps({"mask": json.dumps(encoded), "sha256": "81537" * 12}))
    (published / "cases.parquet").write_bytes(as_parquet(mask=[json.dumps(encoded)], dice=[0.81537]))
    (published / "a.png").write_bytes(as_png("nothing"))
    (published / "report.zip").write_bytes(as_zip("a.html", b"nothing"))
    checked = check_privacy(published, [table])
    assert (checked.files, checked.names, checked.names_left_out) == (6, 4, 2)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.zip", as_zip("a.txt", b"nothing")[:-10], "zip archive that does not open"),
        ("a.gz", gzip.compress(b"nothing")[:-6], "compressed and does not open"),
        ("a.parquet", b"PAR1 nothing", "Parquet file that does not open"),
        ("a.png", saved("PNG")[:200], "image that does not open"),
        ("a.pdf", b"%PDF-1.7\nnothing", "PDF document, which is not opened"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c nothing", "7z archive, which is not opened"),
    ],
    ids=["zip", "gzip", "parquet", "png", "pdf", "7z"],
)
def test_what_cannot_be_searched_is_told(published, table, name, content, reason):
    (published / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} cannot be searched: it is .*{reason}|{reason}"):
        check_privacy(published, [table])


def test_no_more_than_twenty_places_are_told(published, table):
    for number in range(30):
        (published / f"{number}.txt").write_text(NAME)
    with pytest.raises(UserError) as caught:
        check_privacy(published, [table])
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("30 places")
    assert (len(lines), lines[-1]) == (22, "- and 10 more.")


def test_a_missing_folder_or_table_is_named(published, table):
    with pytest.raises(UserError, match="gone is not a folder"):
        check_privacy(published / "gone", [table])
    with pytest.raises(UserError, match=r"gone\.csv does not exist; convert the data set again"):
        check_privacy(published, [table.with_name("gone.csv")])


def test_without_names_there_is_nothing_to_find(published):
    (published / "a.txt").write_text(NAME)
    assert check_privacy(published, []).names == 0
