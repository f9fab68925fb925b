"""What is searched for: original names and numbers, and the words in them, in one normal form.

The normal form makes `ZHANG^Wei`, `zhang-wei` and `Zhang_Wei` the same: compatibility characters and case are
folded, whatever is neither letter nor digit becomes one blank, and a point between digits vanishes (0.8153 is
no 8153).

A term has four characters at least; shorter ones, and words that are in the names of more than half of the
patients or that the data publish on purpose (phrases, splits), would be found everywhere and are left out.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

import ahocorasick

from refvessel.privacy.names import Name

_SHORTEST = 4
_FEW_PATIENTS = 4  # among so few, a word in all names may still be a person's
_INSIDE_WORDS = 8  # characters from which on a term with letters is found inside longer words too
# Words of file names that name nobody.
_COMMON = frozenset(
    """
    angio angiogram angiography annotations artery coronary data dataset export frame frames fundus image images
    label labels mask masks original patient refcoco retina retinal study test testa testb testc train training
    validation vessel vessels
    """.split()  # noqa: SIM905 (a list of quoted words does not read)
)


class Terms:
    """The names of one or more tables, ready to be found in text.

    `searched` and `left_out` are the numbers of original names that have, and have no, term of their own.
    """

    def __init__(self, tables: Iterable[Iterable[Name]]) -> None:
        self._automaton = ahocorasick.Automaton()
        self.searched = self.left_out = 0
        for table in tables:
            self._add(list(table))
        self._automaton.make_automaton()

    def find(self, text: str, *, shortest: int = _SHORTEST) -> Name | None:
        """The first name found in `text`, by a term of `shortest` characters or more; None where there is none."""
        if not len(self._automaton):
            return None
        normal = normal_form(text)
        for end, (term, name) in self._automaton.iter(normal):
            start = end - len(term) + 1
            if len(term) < shortest:
                continue
            inside = (start and normal[start - 1] != " ") or normal[end + 1 : end + 2] not in ("", " ")
            if not inside or (len(term) >= _INSIDE_WORDS and not term.isdecimal()):
                return name
        return None

    def _add(self, table: list[Name]) -> None:
        published = {normal_form(name.original) for name in table if name.kind == "word"} | _COMMON
        published |= {word for phrase in published for word in phrase.split()}
        patients = {name.published.partition("_")[0] for name in table if name.kind != "word"}
        used: Counter[str] = Counter()
        for _, word in {(n.published.partition("_")[0], word) for n in table for word in _words(n)}:
            used[word] += 1
        common = {word for word, number in used.items() if number > max(len(patients) / 2, _FEW_PATIENTS)}
        for name in table:
            if name.kind == "word":
                continue
            whole = normal_form(_stem(name))
            terms = ({whole} | (_words(name) - common)) - published
            terms = {term for term in terms if len(term) >= _SHORTEST}
            if whole in terms:
                self.searched += 1
            else:
                self.left_out += 1
            for term in terms:
                self._automaton.add_word(term, (term, name))


def normal_form(text: str) -> str:
    """`text` as it is compared."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=\d)\.(?=\d)", "", folded)).strip(" ")


def _stem(name: Name) -> str:
    return PurePosixPath(name.original).stem if name.kind == "image" else name.original


def _words(name: Name) -> set[str]:
    """The words of a name, of an image those of its folders too."""
    return {
        word for word in normal_form(name.original).split() if not word.isdecimal() or len(word) > _SHORTEST
    }
