"""A name is found in the forms in which people publish by accident: encodings, documents, binary files."""

import base64
import io
import json
import pickle
import urllib.parse
import zipfile
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
from matplotlib.figure import Figure
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from refvessel.errors import UserError
from refvessel.privacy.check import check_privacy
from refvessel.privacy.name_tables import Name, write_name_table

NAME, NUMBER = "Marit Oyelaran", "60417"
TEXT = f"seen by {NAME}, twice"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "secret" / "names" / "angio.csv"
    names = [
        Name("patient", "p0123456789", "Oyelaran^Marit"),
        Name("patient", "p1111111111", "Björk"),
        Name("patient", "p2222222222", "欧阳娜"),
        Name("patient", "p3333333333", "Best^Ina"),
        Name("image", "p0123456789_aaaaaaaaaa", f"{NUMBER}/Oyelaran_001.png"),
    ]
    write_name_table(path, names)
    return path


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    return folder


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


def in_parquet(**columns) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def in_parquet_twice(text: str) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array([text])], names=["x", "x"]), stream)
    return stream.getvalue()


def in_array(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, names=array)
    return stream.getvalue()


def in_pdf(text: str, **metadata) -> bytes:
    stream = io.BytesIO()
    figure = Figure(figsize=(4, 2))
    figure.text(0.1, 0.5, text)
    figure.savefig(stream, format="pdf", metadata=metadata)
    return stream.getvalue()


def in_dicom() -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.PatientName = "Bj^Oyelaran"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def in_docx(runs: str) -> bytes:
    body = f'<w:document xmlns:w="w"><w:body><w:p>{runs}</w:p></w:body></w:document>'
    return zipped(word__document=b"") if not runs else zipped(**{"word/document.xml": body.encode()})


SPLIT_RUNS = "".join(
    f"<w:r><w:rPr><w:b/></w:rPr><w:t>{part}</w:t></w:r>" for part in ("by Oyel", "ar", "an, twice")
)
SHARED = "<sst><si><r><t>Oye</t></r><r><rPr><b/></rPr><t>laran</t></r></si></sst>"
LONG = f"{'nothing at all. ' * 12}{TEXT}"
PLANTED = {
    "other case": ("a.html", f"<p>{NAME.swapcase()}</p>"),
    "separators": ("a.csv", "image,dice\noyelaran__marit/07,0.5\n"),
    "one word": ("a.txt", "maritoyelaran.png"),
    "family name last": ("a.txt", "MARIT.OYELARAN"),
    "tags in the name": ("a.html", "<p>Oye<b>la</b>ran</p>"),
    "soft hyphens": ("a.html", "<p>Oye&shy;la&#8203;ran</p>"),
    "attribute": ("a.html", '<img alt="Oyelaran, left" src="data:,">'),
    "comment": ("a.html", "<!-- of Oyelaran --><p>0.9</p>"),
    "style's comment": ("a.html", "<style>/* for Oyelaran */ p{color:red}</style>"),
    "script": ("a.html", f"<script>const rows = [{json.dumps(TEXT)}]</script>"),
    "title of a figure": ("a.svg", "<svg><title>Oyelaran</title></svg>"),
    "comment of a figure": ("a.svg", "<svg><!-- Oyelaran --><path d='M0 0'/></svg>"),
    "url": ("a.html", f'<a href="?who={urllib.parse.quote("Björk")}">1</a>'),
    "url twice": ("a.txt", urllib.parse.quote(urllib.parse.quote("Björk"))),
    "entities": ("a.html", "<p>&#79;yelar&#x61;n</p>"),
    "entities in text": ("a.csv", "who\nBj&ouml;rk\n"),
    "json escapes": ("a.json", '{"who": "\\u004fyelaran"}'),
    "latex accents": ("a.tex", r"Bj{\"o}rk & 0.5 \\"),
    "latex line breaks": ("a.tex", r"vessel & Oye\allowbreak{}lar\-an \\"),
    "without umlauts": ("a.txt", "Bjoerk"),
    "without marks": ("a.txt", "Bjork"),
    "quoted printable": ("a.eml", "Subject: Bj=C3=B6rk"),
    "base64": ("a.json", json.dumps({"source": base64.b64encode(NAME.encode()).decode()})),
    "base64 unpadded": ("a.txt", base64.urlsafe_b64encode(TEXT.encode()).decode().rstrip("=")),
    "base64 wrapped": ("a.txt", base64.encodebytes(LONG.encode()).decode()),
    "base64 of utf-16": ("a.txt", base64.b64encode(NAME.encode("utf-16-le")).decode()),
    "base64 in a path": ("a.txt", f"/data/{base64.urlsafe_b64encode(NAME.encode()).decode()}/1.png"),
    "base64 in a cell": ("a.csv", f"a,b\n1,{base64.b64encode(NAME.encode()).decode()}\n"),
    "hexadecimal": ("a.txt", NAME.encode().hex()),
    "cell": ("a.csv", "id,dice\n60417,0.5\n"),
    "cell as a float": ("a.csv", "id,dice\n60417.0,0.5\n"),
    "number in text": ("a.html", "<p>No. 60417/2, two frames</p>"),
    "number as json": ("a.json", '{"mrn": 60417}'),
    "key": ("a.json", '{"by_patient": {"Oyelaran": {"n": 1}}}'),
    "json in json": ("a.json", json.dumps({"meta": json.dumps({"who": "Oyelaran"})})),
    "json lines": ("a.jsonl", '{"a": 1}\n{"who": "Oyelaran"}\n'),
    "chinese": ("a.txt", "患者欧阳娜的造影"),
    "chinese in a name": ("欧阳娜(12)_1.csv", ""),
    "own word in a cell": ("a.csv", "patient,dice\nBest,0.5\n"),
    "own word in a page's cell": ("a.html", "<table><tr><td>0.9</td><td>Best</td></tr></table>"),
    "own word in a note": ("a.html", "<p>seen by Best, 2019</p>"),
    "utf-16": ("a.txt", TEXT.encode("utf-16")),
    "utf-16 big-endian without mark": ("a.txt", TEXT.encode("utf-16-be")),
    "utf-32": ("a.txt", TEXT.encode("utf-32")),
    "utf-32 without mark": ("a.txt", TEXT.encode("utf-32-le")),
    "zlib": ("a.z", zlib.compress(TEXT.encode())),
    "zlib inside": ("a.bin", b"\0\1\2\xff" * 9 + zlib.compress(TEXT.encode()) + b"\0\xfe"),
    "zip of utf-16": ("a.zip", zipped(a=TEXT.encode("utf-16"))),
    "zip behind something": ("a.bin", b"\0\1\xff" * 50 + zipped(a=TEXT.encode())),
    "parquet": ("a.parquet", in_parquet(note=["nothing", "Oyelaran_001"])),
    "parquet of json": ("a.parquet", in_parquet(note=[json.dumps({"who": {"family": "Oyelaran"}})])),
    "parquet of bytes": ("a.parquet", in_parquet(note=[b"Oyelaran"])),
    "parquet of lists": ("a.parquet", in_parquet(note=[["a", "Oyelaran"]])),
    "parquet of numbers": ("a.parquet", in_parquet(mrn=[1, 60417])),
    "parquet with two columns of one name": ("a.parquet", in_parquet_twice("Oyelaran")),
    "zip of parquet": ("a.zip", zipped(a=in_parquet(note=[NAME]))),
    "short name in a pickle": ("refs(unc).p", pickle.dumps([{"file": "Björk"}], 2)),
    "long name in a pickle": ("refs(unc).p", pickle.dumps({"file": "Oyelaran_1.png"}, 2)),
    "array": ("a.npz", in_array(np.array(["nothing", "Björk"]))),
    "array of objects": ("a.npz", in_array(np.array([{"who": "Oyelaran, left"}], object))),
    "dicom": ("a.dcm", in_dicom()),
    "short name in bytes": ("a.bin", b"\0\xff\xfe\1" + "image of Björk, 1".encode() + b"\0\2\x80"),
    "utf-16 in bytes": ("a.bin", b"\0\xff\xfe\1\xff" + " Marit ".encode("utf-16-le") * 2 + b"\xd8\xd8\2"),
    "word document": ("a.docx", in_docx(f"<w:r><w:t>{TEXT}</w:t></w:r>")),
    "word document in runs": ("a.docx", in_docx(SPLIT_RUNS)),
    "spreadsheet": ("a.xlsx", zipped(**{"xl/sharedStrings.xml": SHARED.encode()})),
    "author of a document": (
        "a.docx",
        zipped(**{"docProps/core.xml": b"<c><dc:creator>Oyelaran</dc:creator></c>"}),
    ),
    "pdf": ("a.pdf", in_pdf(TEXT)),
    "author of a pdf": ("a.pdf", in_pdf("nothing", Author=NAME)),
    "base64 as file name": (base64.urlsafe_b64encode(NAME.encode()).decode() + ".json", "{}"),
    "decomposed file name": ("Bjo\u0308rk.csv", ""),
}


@pytest.mark.parametrize("place", PLANTED)
def test_a_name_is_found_and_not_repeated(published, table, tmp_path, place):
    name, content = PLANTED[place]
    (published / name).write_bytes(content.encode() if isinstance(content, str) else content)
    log = tmp_path / "secret" / "logs" / "check.log"
    with pytest.raises(UserError, match="names the") as caught:
        check_privacy(published, [table], private_log=log)
    told = str(caught.value).casefold().replace(str(published).casefold(), "")
    for word in ("marit", "oyelaran", "björk", "欧阳娜", "60417"):
        assert word not in told
    assert str(log) in str(caught.value)
    assert log.stat().st_mode & 0o077 == 0
    assert any(word in log.read_text() for word in ("Oyelaran", "Björk", "欧阳娜", NUMBER, "Best"))


HARMLESS = {
    "decimals": ("a.html", "<p>Dice 0.60417 of 0.5, 1.60417e-05</p>"),
    "colours and layout": (
        "a.html",
        '<html lang="en"><style>.x{color:#604170}</style><p class="best">1</p></html>',
    ),
    "paths": ("a.svg", '<svg><path d="M60417 1000L60.417 2"/><g id="best_1"/></svg>'),
    "counts": ("a.html", '<table><tr><td class="number">60417</td></tr></table>'),
    "a column that counts": ("a.csv", "n_expressions,truth_pixels\n60417,60417\n"),
    "a key that counts": ("a.json", '{"width": 60417, "files": 60417}'),
    "running numbers": ("a.json", '{"annotations": [{"id": 60417, "image_id": 60417}]}'),
    "hashes": ("a.json", json.dumps({"sha256": "60417" * 12})),
    "two cells": ("a.csv", "a,b\nIna,x\nOye,laran\n"),
    "cells side by side": ("a.html", "<table><tr><td>Oye</td><td>laran</td></tr></table>"),
    "the report's sentence": ("a.html", "<figcaption>Best: image p1_2, patient p1, Dice 0.5.</figcaption>"),
    "pixels": ("a.npz", in_array(np.random.default_rng(1).integers(0, 256, 99_999, np.uint8))),
    "weights": ("a.bin", np.random.default_rng(2).bytes(300_000)),
}


@pytest.mark.parametrize("place", HARMLESS)
def test_what_names_nobody_passes(published, table, place):
    name, content = HARMLESS[place]
    (published / name).write_bytes(content.encode() if isinstance(content, str) else content)
    check_privacy(published, [table])


def test_a_table_of_counts_written_by_pandas_passes(published, table):
    frame = pd.DataFrame({"model": ["a"], "n_patients": [60417], "dice_mean": [0.60417]})
    (published / "a.tex").write_text(frame.to_latex(index=False, float_format="%.3f"))
    check_privacy(published, [table])


def test_a_finding_is_accepted_by_its_pseudonym(published, table):
    (published / "a.txt").write_text("by Oyelaran")
    check_privacy(published, [table], accepted=["p0123456789"])
    with pytest.raises(UserError, match=r"privacy\.accepted: \[p0123456789\]"):
        check_privacy(published, [table], accepted=["p1111111111"])


def test_what_is_published_on_purpose_is_no_finding(published, table):
    (published / "a.html").write_text("<td>Oyelaran</td>")
    check_privacy(published, [table], published=["oyelaran"])


def test_glued_names_of_common_words_are_found_and_their_words_are_not(tmp_path, published):
    table = tmp_path / "names" / "arcade.csv"
    write_name_table(table, [Name("image", "p1_1", "test_1.png"), Name("patient", "p1", "test_1")])
    (published / "a.html").write_text("<p>split test 1 of 2</p>")
    check_privacy(published, [table])
    (published / "a.csv").write_text("image\ntest_1.png\n")
    with pytest.raises(UserError, match="names the patient p1"):
        check_privacy(published, [table])


def test_a_scan_and_an_encrypted_archive_cannot_be_searched(published, table):
    (published / "a.pdf").write_bytes(in_pdf(""))
    with pytest.raises(UserError, match="PDF document without text"):
        check_privacy(published, [table])
