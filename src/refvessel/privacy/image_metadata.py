"""What an image file says beside its pixels: comments, EXIF, tags, text chunks, of every page."""

import io
import re
from collections.abc import Iterator

from PIL import ExifTags, Image, ImageSequence, UnidentifiedImageError

from refvessel.image_files import identify
from refvessel.privacy.pieces import Unsearchable

_OF_JFIF = frozenset(
    {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
)  # numbers that every JPEG file has

_START_OF_IMAGE, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # the others stand inside of scans


def texts_of_image(content: bytes) -> list[str] | None:
    """The texts of an image's metadata; None where the bytes are no image, Unsearchable where it is damaged."""
    texts: list[str] = []
    try:
        image = identify(io.BytesIO(content))
        for page in ImageSequence.Iterator(image):
            page.load()  # text may follow the pixels
            texts += _metadata(page)
    except UnidentifiedImageError:
        return None
    # Damaged files make Pillow's decoders raise nearly anything.
    except Exception as error:
        raise Unsearchable(f"it is an image that does not open ({error})") from None
    return texts


def _metadata(image: Image.Image) -> Iterator[str]:
    """The texts of an image, or of one page of it."""
    for key, value in image.info.items():
        if key in _OF_JFIF:
            continue
        yield from (str(key), *_plain(value))
    exif = image.getexif()
    for tags in (exif, *(exif.get_ifd(directory) for directory in ExifTags.IFD)):
        for value in tags.values():
            yield from _plain(value)
    for value in dict(getattr(image, "tag_v2", {})).values():
        yield from _plain(value)
    for _, body in getattr(image, "applist", []):  # JPEG's segments, each comment
        yield from _plain(body)


def _plain(value: object) -> Iterator[str]:
    if isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
        yield value.decode("utf-16-le", "replace")
    else:
        text = str(value)
        yield text
        # Pillow reads tags byte by byte, programs write UTF-8 into them.
        yield text.encode("latin-1", "replace").decode("utf-8", "replace")


def without_scans(content: bytes) -> bytes:
    """A JPEG file that opens, without its scans: entropy-coded pixels hold no text, and a report has thousands.

    All else stays: segments, comments, and what stands behind the image. Other files stay as they are.
    """
    if not content.startswith(_START_OF_IMAGE):
        return content
    kept, start, place = [], 0, len(_START_OF_IMAGE)
    while (found := _MARKER.match(content, place)) and content[found.end() - 1] != _END_OF_IMAGE:
        segment = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
        if content[found.end() - 1] != _START_OF_SCAN:
            place = segment
            continue
        kept.append(content[start:segment])
        behind = _MARKER.search(content, segment)
        start = place = len(content) if behind is None else behind.start()
    return b"".join(kept) + content[start:]
