"""What stands first on the page: what was evaluated, how well it did, and what a reader must know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refvessel.report.compared_models import Comparison
from refvessel.report.findings import Finding, comparison_findings, findings
from refvessel.report.plain_words import verdict_sentence
from refvessel.report.sections import Artifacts, file_stem
from refvessel.report.tables import is_official
from refvessel.report.wording import worded, worded_n

MOST_PHRASES = 8  # of the headline; all stand in the tables


@dataclass(frozen=True)
class Headline:
    """The scores of a model on a phrase, None for all together; `summary` is that of the phrase.

    is_official: whether cIoU is what the official evaluator gives.
    """

    phrase: str | None
    model: str
    summary: Mapping[str, Any]
    is_official: bool

    @classmethod
    def of(cls, one: Artifacts, phrase: str | None, summary: Mapping[str, Any]) -> "Headline":
        """A model's scores on a phrase."""
        return cls(phrase, one.evaluation.model, summary, is_official(one.summary))


@dataclass(frozen=True)
class Split:
    """A split with the evaluations of its models and, where there are several, their comparison."""

    dataset: str
    split: str
    evaluations: list[Artifacts]
    comparison: Comparison | None

    @property
    def name(self) -> str:
        """`dataset.split`: unique, as keys have no dot."""
        return f"{self.dataset}.{self.split}"

    @property
    def file_stem(self) -> str:
        """What the names of its figures begin with."""
        return file_stem(self.name)

    @property
    def numbers(self) -> dict[str, int]:
        """Patients, images and expressions."""
        cases = self.evaluations[0].cases
        return {
            "patients": int(cases["patient"].nunique()),
            "images": int(cases["image_id"].nunique()),
            "expressions": len(cases),
        }

    @property
    def dropped(self) -> int | None:
        """The images that the conversion dropped; None where unknown."""
        counts: dict[str, int] = (self.evaluations[0].dataset or {}).get("counts", {})
        return counts.get("images_dropped")

    @property
    def described(self) -> str:
        """How much was evaluated."""
        numbers = self.numbers
        told = worded(
            "%(expressions)s of %(patients)s, %(images)s",
            expressions=worded_n("%(n)s expression", "%(n)s expressions", numbers["expressions"]),
            patients=worded_n("%(n)s patient", "%(n)s patients", numbers["patients"]),
            images=worded_n("%(n)s image", "%(n)s images", numbers["images"]),
        )
        if self.dropped is None:
            return told
        return worded("%(evaluated)s, %(n)s dropped in conversion", evaluated=told, n=self.dropped)

    @property
    def first_look_of(self) -> int | None:
        """The patients of the whole split, where not all were looked at."""
        found: int | None = self.evaluations[0].summary.get("first_look_of_n_patients")
        return found

    @property
    def phrases_not_shown(self) -> int:
        """How many phrases have no headline."""
        return max(0, len(self._phrases) - MOST_PHRASES)

    @property
    def headlines(self) -> list[Headline]:
        """The scores of each model on all phrases together and on each of those that are asked most often."""
        asked = self._phrases
        most = sorted(asked, key=lambda phrase: (-asked[phrase], phrase))[:MOST_PHRASES]
        together = [Headline.of(one, None, one.summary) for one in self.evaluations]
        of_phrases = [
            Headline.of(one, phrase, one.summary["by_phrase"][phrase])
            for phrase in sorted(most)
            for one in self.evaluations
            if phrase in one.summary["by_phrase"]
        ]
        return of_phrases if len(asked) == 1 else [*together, *of_phrases]

    @property
    def _phrases(self) -> dict[str, int]:
        """Phrase -> how many expressions ask for it."""
        return {
            phrase: group["n_expressions"]
            for one in self.evaluations
            for phrase, group in one.summary["by_phrase"].items()
        }

    @property
    def verdict(self) -> str | None:
        """What the comparison says of the best model and the next by the first score compared."""
        if self.comparison is None:
            return None
        tests = [row for row in self.comparison.content["tests"] if row["verdict"] is not None]
        if not tests:
            return None
        ranking = self.comparison.ranking
        best = ranking[ranking["score"] == tests[0]["score"]]["model"].head(2).tolist()
        rows = [
            row
            for row in tests
            if row["score"] == tests[0]["score"] and {row["first"], row["second"]} == set(best)
        ]
        return verdict_sentence(rows[0], len(tests)) if rows else None

    @property
    def warnings(self) -> list[Finding]:
        """What weakens the numbers."""
        return [each for each in self._findings if each.level == "warning"]

    @property
    def notes(self) -> list[Finding]:
        """What a reader should know besides."""
        return [each for each in self._findings if each.level == "note" and each.text != self.verdict]

    @property
    def passed(self) -> list[Finding]:
        """What was checked and found in order."""
        return [each for each in self._findings if each.level == "passed"]

    @property
    def _findings(self) -> list[Finding]:
        """Of all models; what holds for each of them is said once, what holds for some names them."""
        said: dict[Finding, list[str]] = {}
        for one in self.evaluations:
            for finding in dict.fromkeys(findings(one)):
                said.setdefault(finding, []).append(one.evaluation.model)
        everyone = len(self.evaluations)
        told = [
            each
            if len(models) == everyone
            else Finding(
                each.level, worded("%(models)s: %(finding)s", models=", ".join(models), finding=each.text)
            )
            for each, models in said.items()
        ]
        if self.comparison is not None:
            told += [each for each in comparison_findings(self.comparison) if each not in told]
        return told


def evaluated_on(evaluations: Sequence[Artifacts], dataset: str, split: str) -> list[Artifacts]:
    """The evaluations of a split."""
    return [one for one in evaluations if (one.evaluation.dataset, one.evaluation.split) == (dataset, split)]


def splits(evaluations: Sequence[Artifacts], comparisons: Sequence[Comparison]) -> list[Split]:
    """The splits in the order in which evaluations name them."""
    compared = {(one.dataset, one.split): one for one in comparisons}
    places = dict.fromkeys((one.evaluation.dataset, one.evaluation.split) for one in evaluations)
    return [Split(*place, evaluated_on(evaluations, *place), compared.get(place)) for place in places]
