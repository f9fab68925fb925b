"""Who may be on an image of which nothing but the name is known.

A name is searched for clues: the word or number that opens it, a number in brackets, the folders above. Images
that share a clue become one patient, and so do their other images: frames and runs of a person stay together, at
the price that people who share a clue do so too. What numbers everything (`IMG_0012`, `frame_3`, `17`), says which
vessel or view is shown, or was added by a program that exported the image is no clue.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

UNNAMED = "(unnamed)"  # the patient of all images whose names hold no clue

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FILE_TYPES = r"(?:png|jpe?g|jfif|tiff?|bmp|gif|webp|dcm|dicom)"
# What programs add to names: hashes in front (Label Studio, Labelbox), hashes and the former suffix behind
# (Roboflow), the number of a copy (Windows, macOS).
_ADDED = re.compile(
    rf"^(?:(?:{_UUID}|[0-9a-f]{{16,64}})[-_]|(?!{_UUID})[0-9a-f]{{8}}-)(?=.)"
    rf"|[._]rf(?:[._][0-9a-z]{{8,}})?$|[_.-]{_FILE_TYPES}$|[ _-]*\(\d{{1,3}}\)$|[ _-]+copy(?: ?\d+)?$",
    re.IGNORECASE,
)
_NUMBER_IN_BRACKETS = re.compile(r"[(\[{](\d{4,})[)\]}]")
_BETWEEN_BLOCKS = re.compile(r"[^\w\s^']+|_+")
_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_RANDOM = re.compile(r"(?=.*\d)(?=.*[a-z])(?:[0-9a-f]{8,}|[0-9a-z]{18,})", re.IGNORECASE)
_SIDE = re.compile(r"(?<=\d)(?:l|r|od|os)$")  # of a child's eye in `01L`
_NUMBERED_WORD = re.compile(r"([^\W\d_]+)(\d+)")
_LAST_NUMBER = re.compile(r"(?:^|[\W_]|frame|img|f)(\d{1,9})$", re.IGNORECASE)
_CODE_AND_FRAME = re.compile(r"^([a-z]{1,3}\d+)(?:[a-z]{1,5}\d+)+$")  # `p1f3`, `p01s2f3`
_PERSON = re.compile(
    r"(?:p|pt|pat|patient|subj|subject|case|mrn)[\s_]*\d|\d{4}"
)  # clues that surely are a person's
_LONG_NUMBER = re.compile(r"\d{7,}")  # longer than a frame's
_LAST = "\U0010ffff"
_CODE_LETTERS = 3  # of `p07`, `abc12`: longer words name something that is numbered

# A number behind one of these is a person's.
_PEOPLE = frozenset("case id participant pat patient person pt subj subject".split())  # noqa: SIM905
# A number behind one of these, alone, is a case's: public sets number theirs like that (ARCADE's `test_1`).
_SETS = frozenset("eval holdout test testing train training val valid validation".split())  # noqa: SIM905
_NOBODY = _SETS | frozenset(
    """
    ai all angio angiogram angiograms angiography annotated annotation annotations ap aug augmented cag cam capture
    cath cau caudal channel cine clip coco color colour copy coronary cra cranial crop cropped data dataset db dcm
    dicom ds dsa dsc em end export exported f fr frame frames fundus grey gray gt hd i im image images img imgs
    input inputs jpeg jpegimages jpg label labelme labels lad lao lat lateral lca lcx left lmca macula mask masks
    nasal new od old om orig original os output pa pda photo photos pic picture pictures png post pre prediction
    preprocessed processed ra raw rao rca record resized result results retina retinal right roi run scan
    scans screenshot seg segmentation seq sequence ser serie series shot slice slices snapshot stack t temporal
    baseline diag followup flip hflip lm lima plv postop preop ramus rima rot rpl svg vflip
    tif tiff tmp v video videos vessel vessels view views vis x xa xray z
    """.split()  # noqa: SIM905 (a list of quoted words does not read)
)


def likely_patients(names: Iterable[str]) -> dict[str, str]:
    """Relative path of an image -> a name for its likely patient, the same for all images that share a clue.

    Folders that all images lie in say nothing and are left out.
    """
    names = list(names)
    shared = _shared_folders(names)
    above: dict[str, str] = {}

    def head(clue: str) -> str:
        while (parent := above.setdefault(clue, clue)) != clue:
            above[clue] = clue = above[parent]
        return clue

    clues_of = {name: sorted(clues(name, folders_left_out=shared)) for name in names}
    links_of = _links(clues_of)
    for name, (first, *others) in clues_of.items():
        for other in (*others, *links_of[name]):
            low, high = sorted((head(first), head(other)))
            above[high] = low
    heads = {name: head(found[0]) for name, found in clues_of.items()}
    written = {clue: _as_written(clue, name) for name, clue in sorted(heads.items(), reverse=True)}
    return {name: written[clue] for name, clue in heads.items()}


def clues(name: str, *, folders_left_out: int = 0) -> set[str]:
    """What may identify the patient of the image with this relative path; {UNNAMED} where nothing does."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    found = _clues_of_stem(plain_stem(path.name))
    for folder in path.parts[folders_left_out:-1]:
        found |= _clues_of_folder(folder)
    return found or {UNNAMED}


def plain_stem(file_name: str) -> str:
    """A file's name without its suffix and without what exporting programs added to it."""
    stem, before = unquote(PurePosixPath(file_name).stem), ""
    while stem != before:
        stem, before = _ADDED.sub("", stem) or stem, stem
    return stem


def last_number(name: str) -> int | None:
    """The number at the end of an image's name, likely its frame's; None where there is none."""
    match = _LAST_NUMBER.search(plain_stem(PurePosixPath(name).name))
    return None if match is None else int(match[1])


def _links(clues_of: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """What else images of one person may share, name by name: further words and long numbers of the file's name.

    A name may open with a visit, an accession or a segment (`E1011_wang`, `D1_wang`), which clues cannot know.
    What all names have says nothing, nor does what follows a person's code (`p07_stenosis`).
    """
    found = {
        name: set()
        if clues == [UNNAMED] or any(_PERSON.match(clue) for clue in clues)
        else _further(plain_stem(PurePosixPath(unicodedata.normalize("NFC", name)).name))
        for name, clues in clues_of.items()
    }
    of_all = set.intersection(*found.values()) if found else set()
    # Sorted behind all clues, so that patients are called by these.
    return {name: {f"{_LAST}{link}" for link in links - of_all} for name, links in found.items()}


def _further(stem: str) -> set[str]:
    """The names that may be somebody's, their words joined (`wang lihua` is `wanglihua` too), and long numbers."""
    found = set()
    for block in _blocks(stem):
        words = [word for word in block if _may_name_somebody(word)]
        found |= {"".join(words)} if all(map(str.isalpha, words)) else {_whole_name(words[0], [])}
        found |= {word for word in block if _LONG_NUMBER.fullmatch(word) and not _DATE.match(word)}
    return found - {""}


def _as_written(clue: str, name: str) -> str:
    """The clue in the letters of the name, where it stands there."""
    start = name.casefold().find(clue)
    found = name[start : start + len(clue)] if start >= 0 else clue
    return found if found.casefold() == clue else clue


def _shared_folders(names: list[str]) -> int:
    """How many folders, from the top, all paths have in common."""
    levels = zip(*(PurePosixPath(name).parts[:-1] for name in names), strict=False)
    number = 0
    for level in levels:
        if len(set(level)) > 1:
            break
        number += 1
    return number


def _clues_of_folder(folder: str) -> set[str]:
    if folder.isdecimal() and not _DATE.fullmatch(folder):
        return {folder}
    return _clues_of_stem(folder)


def _clues_of_stem(stem: str) -> set[str]:
    found = set(_NUMBER_IN_BRACKETS.findall(stem))
    words = [word for block in _blocks(stem) for word in block]
    numbers = [word for word in words if word.isdecimal() and not _DATE.fullmatch(word)]
    if len(words) == 2 and len(numbers) == 1:
        (other,) = set(words) - set(numbers) or words[:1]
        if other in _SETS:
            return {f"{other} {int(numbers[0])}"}
    word = _first_word(stem)
    if word is not None:
        found.add(word)
    # A number in front is a patient's, unless it is the only one: that may as well be a frame's.
    if words and words[0] in numbers and (len(numbers) > 1 or word is not None):
        found.add(numbers[0])
    return found


def _blocks(stem: str) -> list[list[str]]:
    """The words between separators; letters and digits that blanks, `^` and apostrophes divide share a block."""
    known = re.sub(_UUID, "_", stem, flags=re.IGNORECASE)
    blocks = [re.split(r"[\s^']+", block.strip(" ^'")) for block in _BETWEEN_BLOCKS.split(known.casefold())]
    split = [[part for word in block for part in _unnumbered(word)] for block in blocks]
    return [block for block in split if block]


def _unnumbered(word: str) -> list[str]:
    """`img0012` and `test1` as two words, `p07` as one, without the side of the eye behind."""
    word = _SIDE.sub("", word)
    match = _NUMBERED_WORD.fullmatch(word)
    known = match and (match[1] in _NOBODY or match[1] in _PEOPLE)
    return [match[1], match[2]] if match and known else [word] if word else []


def _first_word(stem: str) -> str | None:
    """The first word that may name somebody, with what belongs to it: `p07`, `zhang wei`, `patient 7`."""
    blocks = _blocks(stem)
    for number, block in enumerate(blocks):
        for index, word in enumerate(block):
            if word in _PEOPLE:
                following = [*block[index + 1 :], *(word for later in blocks[number + 1 :] for word in later)]
                return f"{word} {following[0]}" if following else word
            if _may_name_somebody(word):
                return _whole_name(word, block[index + 1 :])
    return None


def _may_name_somebody(word: str) -> bool:
    one_letter = len(word) == 1 and word.isascii()
    return not (word.isdecimal() or one_letter or word in _NOBODY or _RANDOM.fullmatch(word))


def _whole_name(word: str, after: list[str]) -> str:
    """A word and what of its block belongs to it: the other words of `zhang wei 2`, the number of `p07` alone."""
    if not word.isalpha():
        word = _CODE_AND_FRAME.sub(r"\1", word)
        match = _NUMBERED_WORD.fullmatch(word)
        return match[1] if match and (len(match[1]) > _CODE_LETTERS or not word.isascii()) else word
    words = [word]
    for other in after:
        if not other.isalpha() or other in _NOBODY:
            break
        words.append(other)
    return " ".join(words)
