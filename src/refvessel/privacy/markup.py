"""The text nodes and the telling attributes of HTML, SVG and other XML; never its layout, styles or paths."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from refvessel.privacy.pieces import COUNT, HEADER, Piece
from refvessel.privacy.values import pieces_of_json

# Elements within a line of text: a name may run through them. All others end a text node.
_INLINE = frozenset(
    """
    b big em font i mark s small strong sub sup tspan u wbr
    t r rpr sz color rfont family scheme vertalign strike text:span
    """.split()  # noqa: SIM905
)
_OF_OFFICE = re.compile(
    r"[wa]:(?!p$|br$|tab$|cr$|tc$)"
)  # runs and their looks; paragraphs and cells end a node
# Attributes that say how something looks, or where it lies.
_LAYOUT = frozenset(
    """
    class style lang xml:lang scope charset rel type role width height viewbox preserveaspectratio d points
    transform x y x1 y1 x2 y2 cx cy r rx ry dx dy offset fill stroke opacity clip-path clippathunits font-family
    font-size text-anchor version baseprofile colspan rowspan align valign media http-equiv
    """.split()  # noqa: SIM905
)
_CELLS = frozenset({"td", "th", "dd", "dt"})
_OF_STYLES = re.compile(r"/\*.*?\*/|\"[^\"]*\"|'[^']*'", re.DOTALL)  # where a style sheet holds text


def pieces_of_markup(text: str, where: str) -> Iterator[Piece]:
    """Running text and cells of a page, a figure or another XML document, one piece each."""
    parser = _Parser(where)
    parser.feed(text)
    parser.close()
    parser.end_of_text()
    yield from parser.pieces


class _Parser(HTMLParser):
    """Collects pieces; tolerates anything, expands nothing but characters."""

    def __init__(self, where: str) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[Piece] = []
        self._where = where
        self._text: list[str] = []
        self._field: str | None = None  # of the cell that is open
        self._term = ""  # the last <dt>: the name of the next <dd>
        self._in_figure = False
        self._in_style = False
        self._in_json = False  # data of a page's scripts
        self._in_term = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, dict(attrs))
        if _is_inline(tag):
            return
        self.end_of_text()
        self._in_figure |= tag == "svg"
        self._in_style = tag == "style"
        self._in_json = tag == "script" and (dict(attrs).get("type") or "").endswith("json")
        self._in_term = tag == "dt"
        if tag in _CELLS:
            self._field = self._name_of_cell(tag, dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, dict(attrs))
        if not _is_inline(tag):
            self.end_of_text()

    def handle_endtag(self, tag: str) -> None:
        if _is_inline(tag):
            return
        self.end_of_text()
        self._in_style = self._in_json = self._in_term = False
        if tag in _CELLS:
            self._field = None
        if tag == "svg":
            self._in_figure = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self._text.append("\n".join(_OF_STYLES.findall(data)))
        else:
            self._text.append(data)

    def handle_comment(self, data: str) -> None:
        self._add(data, None)

    def handle_pi(self, data: str) -> None:
        if not data.startswith("xml "):  # its own version and encoding
            self._add(data, None)

    def handle_decl(self, decl: str) -> None:
        self._add(decl, None)

    def unknown_decl(self, data: str) -> None:
        self._add(data, None)

    def end_of_text(self) -> None:
        """Close the text node that is open."""
        text = "".join(self._text)
        self._text.clear()
        if self._in_json and (found := pieces_of_json(text, self._where)) is not None:
            self.pieces += found
            return
        if self._in_term:
            self._term = text.strip()
        self._add(text, self._field)

    def _attributes(self, tag: str, attributes: dict[str, str | None]) -> None:
        for name, value in attributes.items():
            if value and not (
                name in _LAYOUT or name.startswith("xmlns") or self._is_reference(tag, name, value)
            ):
                self._add(value, None)

    def _is_reference(self, tag: str, name: str, value: str) -> bool:
        """True if an attribute ties the parts of a figure together: ids such as patch_2, and links to them."""
        in_figure = self._in_figure or tag == "svg"
        return in_figure and (name == "id" or (name in ("href", "xlink:href") and value.startswith("#")))

    def _name_of_cell(self, tag: str, attributes: dict[str, str | None]) -> str | None:
        classes = (attributes.get("class") or "").split()
        if tag == "dt" or (tag == "th" and (attributes.get("scope") == "col" or "title" in classes)):
            return HEADER
        if "number" in classes:
            return COUNT
        return self._term if tag == "dd" else ""

    def _add(self, text: str, field: str | None) -> None:
        if text.strip():
            self.pieces.append(Piece(self._where, text.replace("\n", " "), field))


def _is_inline(tag: str) -> bool:
    return tag in _INLINE or _OF_OFFICE.match(tag) is not None
