"""PNG and JPEG files without a word of metadata, their compressed pixels as they are.

What is kept is what decoding needs, chunk by chunk and segment by segment; all else goes, what follows the end of
the image too. The content has been decoded before; where its parts are out of order all the same, which decoders
forgive, there is nothing to keep.
"""

import re
import struct

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_HEAD = 8  # bytes of a chunk's length and kind
_KEPT_KINDS = ((8, 0), (8, 2))  # depth and colour type: grey, RGB

# Markers of JPEG (ITU-T T.81, table B.1).
_END, _SCAN = 0xD9, 0xDA
_JFIF, _ADOBE, _COMMENT = 0xE0, 0xEE, 0xFE
_APPLICATION = range(0xE0, 0xF0)
# Version 1.1, pixels as wide as high, no thumbnail. That it is there says what the colours are.
_PLAIN_JFIF = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_ADOBE_BYTES = 12  # "Adobe", version, flags, colour transformation
_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)  # with fill bytes in front
# The end of a scan's pixels: a marker that is neither a stuffed FF nor a restart.
_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")


def rewrap_png(content: bytes) -> bytes | None:
    """An 8-bit grey or RGB PNG with its header and pixel chunks only; None for any other file."""
    if not content.startswith(_PNG_SIGNATURE):
        return None
    parts, offset = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while offset + _PNG_HEAD <= len(content):
        length, kind = struct.unpack_from(">I4s", content, offset)
        end = offset + 12 + length  # length, kind, body, checksum
        if kind == b"IEND":
            break
        if kind == b"IHDR" and tuple(content[offset + 16 : offset + 18]) not in _KEPT_KINDS:
            return None
        if kind in (b"IHDR", b"IDAT"):
            parts.append(content[offset:end])
        offset = end
    return b"".join([*parts, _PNG_END])


def rewrap_jpeg(content: bytes) -> bytes | None:
    """A JPEG with its tables, frame and scans only, and what says how its colours are coded; None elsewhere."""
    if not content.startswith(b"\xff\xd8"):
        return None
    parts, offset = [b"\xff\xd8"], 2
    while (found := _MARKER.match(content, offset)) is not None:
        marker, offset = found[1][0], found.end() - 2
        if marker == _END:
            return b"".join([*parts, b"\xff\xd9"])
        if offset + 4 > len(content):
            break
        end = offset + 2 + struct.unpack_from(">H", content, offset + 2)[0]
        body = _kept(marker, content[offset + 4 : end])
        if body is not None:
            parts.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
        if marker == _SCAN:
            after = _AFTER_SCAN.search(content, end)
            if after is None:
                break  # no end
            parts.append(content[end : after.start()])
            end = after.start()
        offset = end
    return None


def _kept(marker: int, body: bytes) -> bytes | None:
    """What stays of a segment's body; None where nothing does."""
    if marker == _JFIF and body.startswith(b"JFIF\0"):
        return _PLAIN_JFIF
    if marker == _ADOBE and body.startswith(b"Adobe"):
        return body[:_ADOBE_BYTES]
    return None if marker in _APPLICATION or marker == _COMMENT else body
