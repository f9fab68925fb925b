import io
import re
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

import refvessel
from refvessel.errors import UserError
from refvessel.image_files import decode, decode_file, identify, size_of_file

GREY = np.random.default_rng(1).integers(0, 256, (30, 40), np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(depth: int, colours: int, pixel: bytes) -> bytes:
    """A PNG of one pixel, chunk by chunk: Pillow writes none of 16 bits in colours."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 1, 1, depth, colours, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" + pixel)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_in_planes() -> bytes:
    """A little-endian TIFF of one RGB pixel of 16 bits, a strip per colour."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 3, 206), (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 3, 218), (284, 3, 1, 2)]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    body = (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0")
    return body + struct.pack("<3H3I3I3H", 16, 16, 16, 230, 232, 234, 2, 2, 2, 1, 1, 1)


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_the_formats_of_data_open_under_any_name(form, tmp_path):
    path = tmp_path / "p1.png"
    path.write_bytes(encoded(Image.fromarray(GREY), form))
    assert decode_file(path).size == size_of_file(path) == (40, 30)


@pytest.mark.parametrize("form", ["ICO", "ICNS", "TGA", "PCX", "SGI", "JPEG2000", "DDS", "PDF", "EPS", "IM"])
def test_other_formats_do_not_open(form, tmp_path):
    content = encoded(Image.fromarray(np.dstack([GREY] * 3)), form)
    with pytest.raises(UserError, match=r"^p1\.png does not open as an image \(no known format\); .*PNG"):
        decode(content, "p1.png")
    with pytest.raises(UnidentifiedImageError):
        identify(io.BytesIO(content))
    path = tmp_path / "p1.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match="does not open as an image"):
        size_of_file(path)


def test_no_program_is_started_for_postscript(monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **_: started.append(arguments))
    monkeypatch.setattr(subprocess, "check_call", lambda *arguments, **_: started.append(arguments))
    with pytest.raises(UserError, match="no known format"):
        decode(EPS, "p1.png")
    assert not started


def test_images_are_opened_in_one_place():
    root = Path(refvessel.__file__).parent
    opening = re.compile(r"Image\.open\(|\bimread\(|imageio")
    found = [path.name for path in root.rglob("*.py") if opening.search(path.read_text("utf-8"))]
    assert found == ["image_files.py"]


@pytest.mark.parametrize(
    "content",
    [
        png(16, 2, struct.pack(">3H", 1, 1, 1)),
        png(16, 4, struct.pack(">2H", 1, 65535)),
        png(16, 6, struct.pack(">4H", 1, 1, 1, 65535)),
        b"P6 1 1 65535\n" + struct.pack(">3H", 1, 1, 1),
        tiff_in_planes(),
    ],
    ids=["rgb", "grey and alpha", "rgba", "ppm", "planes of a tiff"],
)
def test_colours_of_16_bits_are_refused_since_half_of_them_would_be_cut(content):
    with pytest.raises(UserError, match=r"^a\.png has several channels of more than 8 bits.*16-bit grey\.$"):
        decode(content, "a.png")


def test_one_channel_of_16_bits_is_whole():
    assert np.asarray(decode(png(16, 0, struct.pack(">H", 1)), "a.png")).tolist() == [[1]]


@pytest.mark.parametrize(
    ("pointer", "system"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-LFS"),
        (b"/annex/objects/MD5E-s9--0.png\n", "git-annex"),
    ],
)
def test_a_pointer_to_an_image_that_was_not_fetched_is_named(pointer, system):
    with pytest.raises(UserError, match=rf"a\.png is a pointer of {system}, not the file itself"):
        decode(pointer, "a.png")
