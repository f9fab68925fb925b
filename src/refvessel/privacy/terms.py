"""What is searched for: original names and numbers, the words in them, and how people spell them.

A term has four characters at least (of Chinese, Japanese or Korean script two). Left out are words in the names of
more than half of the patients, and what is published on purpose: phrases, labels, splits, the data set's name.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import ahocorasick

from refvessel.privacy.name_tables import Name
from refvessel.privacy.normal import IDEOGRAPH, normal_form
from refvessel.privacy.own_text import own_sentences, own_text
from refvessel.privacy.pieces import Piece

_SHORTEST = 4
_SHORTEST_GUESS = 8  # characters; shorter terms occur by chance in bytes that are no text
_FEW_PATIENTS = 4  # among so few, a word in all names may still be a person's
_INSIDE_WORDS = 8  # characters from which on a term with letters is found inside longer words too

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae"})
_STROKES = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "\u0131": "i"})
_KINDS = ("patient", "identifier", "image")  # the order in which a finding names them
# Words of file names that name nobody.
_COMMON = frozenset(
    """
    angio angiogram angiography annotations artery coronary data dataset export frame frames fundus image images
    img label labels mask masks original patient pic picture refcoco retina retinal scan split study test testa
    testb testc train training val validation vessel vessels
    """.split()  # noqa: SIM905 (a list of quoted words does not read)
)


@dataclass(frozen=True)
class _Term:
    """A spelling and the names that it may stand for; `joined`: only where its words are glued, as in test_1."""

    names: tuple[Name, ...]
    joined: bool


@dataclass(frozen=True)
class Hit:
    """A name found in a piece: the term that was found, and what stands around it."""

    name: Name
    term: str
    around: str


class Terms:
    """The names of one or more tables, ready to be found in text.

    `published` are further words that are published on purpose; names under the pseudonyms `accepted` are passed
    over. `searched` and `left_out` are the numbers of original names that have, and have no, term of their own.
    """

    def __init__(
        self,
        tables: Iterable[Iterable[Name]],
        *,
        published: Iterable[str] = (),
        accepted: Collection[str] = (),
    ) -> None:
        self._published = _with_words(published) | _COMMON
        self._accepted = frozenset(accepted)
        self.searched = self.left_out = 0
        found: dict[str, set[Name]] = defaultdict(set)
        self._joined: set[str] = set()
        for table in tables:
            self._add(list(table), found)
        self._automaton = ahocorasick.Automaton()
        for term, names in found.items():
            ordered = tuple(sorted(names, key=lambda name: (_KINDS.index(name.kind), name)))
            self._automaton.add_word(term, (term, _Term(ordered, term in self._joined)))
        self._automaton.make_automaton()

    def find(self, text: str) -> Name | None:
        """The first name found in running text; None where there is none."""
        return next((hit.name for hit in self.hits(Piece("", text))), None)

    def hits(self, piece: Piece) -> Iterator[Hit]:
        """The names in a piece, but for those that the report's own words excuse."""
        for text in piece.text.split("\n") if piece.field is not None else (piece.text,):
            line = normal_form(text)
            for end, spelling, term in self._matches(line):
                start = end - len(spelling) + 1
                name = self._meant(term, spelling, line, start, text, piece)
                if name is not None:
                    yield Hit(name, spelling, line[max(0, start - 40) : end + 41])

    def in_the_report(self) -> tuple[set[Name], set[Name]]:
        """Patients of whose names the report's own sentences hold a word, and those whose whole name they hold.

        A word there says nothing, so that it is passed over; a whole name is found in every report.
        """
        words: set[Name] = set()
        wholes: set[Name] = set()
        for line in map(normal_form, own_sentences()):
            for end, spelling, term in self._matches(line):
                if _stands_alone(line, end - len(spelling) + 1, end, spelling) and not term.joined:
                    found = wholes if " " in spelling else words
                    found |= {
                        name for name in term.names if name.kind == "patient" and not self._is_accepted(name)
                    }
        return words - wholes, wholes

    def _matches(self, line: str) -> Iterator[tuple[int, str, _Term]]:
        if len(self._automaton):  # an empty one refuses to search
            yield from ((end, spelling, term) for end, (spelling, term) in self._automaton.iter(line))

    def _meant(
        self, term: _Term, spelling: str, line: str, start: int, text: str, piece: Piece
    ) -> Name | None:
        end = start + len(spelling)
        if piece.guessed and len(spelling) < _SHORTEST_GUESS:
            return None
        if not _stands_alone(line, start, end - 1, spelling):
            return None
        name = next((name for name in term.names if not self._is_accepted(name)), None)
        if name is None or (term.joined and not _is_glued(spelling, text)):
            return None
        if IDEOGRAPH.search(spelling) and own_text().says_within(line, start, end):
            return None
        if " " not in spelling and own_text().says(line, *_word(line, start, end), piece):
            return None
        return name

    def _is_accepted(self, name: Name) -> bool:
        return name.published in self._accepted or name.published.partition("_")[0] in self._accepted

    def _add(self, table: list[Name], found: dict[str, set[Name]]) -> None:
        published = self._published | _with_words(name.original for name in table if name.kind == "word")
        named = [name for name in table if name.kind != "word"]
        patients = {name.published.partition("_")[0] for name in named}
        used = Counter(
            word for _, word in {(n.published.partition("_")[0], word) for n in named for word in _words(n)}
        )
        common = {word for word, number in used.items() if number > max(len(patients) / 2, _FEW_PATIENTS)}
        for name in named:
            whole = normal_form(_stem(name))
            nobody = {
                *published,
                *(word for word in whole.split() if word.isdecimal() and len(word) < _SHORTEST),
            }
            if set(whole.split()) <= published or not _is_long_enough(whole):
                spellings: set[str] = set()
            else:
                spellings = _spellings(whole)
                if " " in whole and set(whole.split()) <= nobody:
                    spellings = {whole}
                    self._joined.add(whole)
            self.searched += bool(spellings)
            self.left_out += not spellings
            for word in _words(name) - common - published:
                spellings |= _spellings(word)
            for spelling in spellings - published:
                if _is_long_enough(spelling):
                    found[spelling].add(name)


def _spellings(term: str) -> set[str]:
    """How a term may be written: in one word, family name last, without diacritical marks."""
    words = term.split()
    spellings = {term}
    if any(not word.isdecimal() for word in words):
        spellings.add("".join(words))
        if len(words) == 2:
            spellings.add(" ".join(reversed(words)))
    plain = set()
    for spelling in spellings:
        marks = unicodedata.normalize("NFD", spelling.translate(_STROKES))
        plain.add("".join(character for character in marks if not unicodedata.combining(character)))
        plain.add(spelling.translate(_UMLAUTS))
    return {unicodedata.normalize("NFC", spelling) for spelling in spellings | plain}


def _is_long_enough(term: str) -> bool:
    return len(term) + len(IDEOGRAPH.findall(term)) >= _SHORTEST


def _stands_alone(line: str, start: int, end: int, term: str) -> bool:
    """True if a term is a word of its own there, or long enough to be found inside one."""
    inside = (start and line[start - 1] != " ") or line[end + 1 : end + 2] not in ("", " ")
    if not inside or IDEOGRAPH.search(term):
        return True
    return len(term) >= _INSIDE_WORDS and not term.replace(" ", "").isdecimal()


def _is_glued(spelling: str, text: str) -> bool:
    """True if the words of `spelling` are one in `text`: test_1, test-1.png, but not `test 1`."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    pattern = r"(?<![^\W_])" + r"[_\-]?".join(map(re.escape, spelling.split())) + r"(?![^\W_])"
    return re.search(pattern, folded) is not None


def _word(line: str, start: int, end: int) -> tuple[int, int]:
    """The whole word of which `start` to `end` is a part."""
    first = line.rfind(" ", 0, start) + 1
    last = line.find(" ", end)
    return first, len(line) if last < 0 else last


def _with_words(texts: Iterable[str]) -> set[str]:
    phrases = {normal_form(text) for text in texts}
    return phrases | {word for phrase in phrases for word in phrase.split()}


def _stem(name: Name) -> str:
    return PurePosixPath(name.original).stem if name.kind == "image" else name.original


def _words(name: Name) -> set[str]:
    """The words of a name, of an image those of its folders too; of numbers those that are longer than a count."""
    return {
        word for word in normal_form(name.original).split() if not word.isdecimal() or len(word) > _SHORTEST
    }
