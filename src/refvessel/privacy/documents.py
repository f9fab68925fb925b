"""The text of PDF documents, their metadata, notes and attachments."""

import io
import logging
from collections.abc import Iterator

from pypdf import PdfReader

from refvessel.privacy.archives import Member
from refvessel.privacy.pieces import Unsearchable

logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def texts_of_pdf(content: bytes) -> list[str]:
    """The text of each page, of its notes, and of the document's metadata.

    Raises Unsearchable where it does not open, is encrypted, or has no text at all, as scans have none.
    """
    reader = _opened(content)
    try:
        pages = [page.extract_text() for page in reader.pages]
        notes = [
            str(note.get_object().get("/Contents", ""))
            for page in reader.pages
            for note in page.annotations or []
        ]
        metadata = [str(value) for value in (reader.metadata or {}).values()]
        fields = [str(field.value or "") for field in (reader.get_fields() or {}).values()]
    # Damaged files make the parser raise nearly anything.
    except Exception as error:
        raise Unsearchable(f"it is a PDF document that cannot be read ({error})") from None
    if not any(page.strip() for page in pages):
        raise Unsearchable("it is a PDF document without text, a scan perhaps")
    return [*pages, *notes, *metadata, *fields]


def attachments_of_pdf(content: bytes) -> Iterator[Member]:
    """The files that a PDF document carries."""
    try:
        for name, files in _opened(content).attachments.items():
            for file in files:
                yield Member(name, name, bytes(file))
    except Exception as error:
        raise Unsearchable(f"it is a PDF document whose attachments cannot be read ({error})") from None


def _opened(content: bytes) -> PdfReader:
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            raise ValueError("it is encrypted")
        len(reader.pages)
    except Exception as error:
        raise Unsearchable(f"it is a PDF document, which is not opened ({error})") from None
    return reader
