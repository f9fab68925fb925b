"""The whole configuration."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from refvessel.artifacts import PREDICTIONS, REFINED
from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.entrants import (
    Entrant,
    Entry,
    asked_together,
    chosen_entrant,
    entrants_of,
    imported_entrant,
)
from refvessel.settings.inference_section import Inference, Question
from refvessel.settings.model_kinds import kinds_of
from refvessel.settings.model_section import Model
from refvessel.settings.privacy_section import Privacy
from refvessel.settings.refinement_section import TUNING_SPLIT, Refinement
from refvessel.settings.report_section import Report
from refvessel.settings.scores_section import Scores
from refvessel.settings.section import Distinct, Name, Section, Stated, setting
from refvessel.settings.video_section import Video
from refvessel.settings.words_section import Words


class PathVariables(Stated):
    """Snakemake's path variables."""

    results: str = setting("results", "Folder of all outputs.", min_length=1)
    logs: str = setting("<results>/logs", "Folder of the jobs' logs.", min_length=1)
    benchmarks: str = setting("<results>/benchmarks", "Folder of the jobs' times and memory.", min_length=1)
    private_logs: str = setting(
        ".refvessel/logs", "Folder of the logs that may name somebody; nothing publishes it.", min_length=1
    )
    image: str = setting(
        "refvessel.sif",
        "Image in which jobs run with `--software-deployment-method apptainer`: a file, or an address as docker://….",
        min_length=1,
    )

    def apply(self, text: str) -> str:
        """A path with the folders that its variables stand for, as Snakemake has it."""
        for name in type(self).model_fields:
            if f"<{name}>" in text:
                text = text.replace(f"<{name}>", self.apply(getattr(self, name)))
        return text


class Evaluation(Section):
    """What is evaluated: a model on a split of a data set, asked in one way or in several."""

    model: Name = setting(..., "A key of `models`.")
    dataset: Name = setting(..., "A key of `datasets`.")
    split: Name = setting(..., "A split of that data set.")
    segmented: Literal["video"] | None = setting(
        None,
        "video segments the frames of a sequence with SAM2's memory, and is compared as MODEL-video; null "
        "segments each frame alone.",
        alias="as",
    )
    questions: dict[Name, Question] = setting(
        {},
        "Prompts by a name of your choice, each compared as MODEL-NAME; one run asks them all and reads each "
        "image once. Without any, the prompt is that of inference.question, or of the section video.",
    )
    choose: Literal["val"] | None = setting(
        None,
        f"Choose among the questions on the split `{TUNING_SPLIT}`, by Dice (mean over patients), and evaluate "
        "the chosen one alone, as MODEL-chosen.",
    )
    words: Words | bool = setting(
        False,
        "Ask for absent targets, too, and for those of the data set in other words, to find out whether the model "
        "reads the words; true takes the defaults of all its keys.",
    )

    @model_validator(mode="after")
    def _has_a_choice(self) -> Self:
        if self.choose and len(self.questions) < 2:
            raise ValueError(
                f"choose is {self.choose!r}, and there are no two questions; state them, or leave it out"
            )
        if self.words and self.segmented:
            raise ValueError("words is asked about images alone; leave it out where as is stated")
        if self.choose == self.split:
            raise ValueError(
                f"split is {self.split!r}, on which the question is chosen; evaluate another split, or leave "
                "choose out"
            )
        return self

    @property
    def asked_besides(self) -> Words | None:
        """What is asked to find out whether the model reads the words, if anything."""
        return (Words() if self.words else None) if isinstance(self.words, bool) else self.words

    def candidates(self, question: str) -> tuple[Entrant, ...]:
        """The model asked in each of the ways that are stated; `question` is asked where none is."""
        return entrants_of(self.model, self.questions, question, self.segmented or "image")

    def entrants(self, question: str) -> tuple[Entrant, ...]:
        """What is compared with others: the candidates, or the one that is chosen among them."""
        candidates = self.candidates(question)
        return (chosen_entrant(candidates),) if self.choose else candidates


class Settings(Section):
    """Configuration of RefVessel."""

    pathvars: PathVariables = setting(PathVariables(), "Snakemake's path variables.")
    models: Annotated[dict[Name, Model], Field(min_length=1)] = setting(
        ..., "Models by a name of your choice, which stands in paths and tables."
    )
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)] = setting(
        ..., "Data sets by a name of your choice."
    )
    evaluations: Annotated[tuple[Evaluation, ...], Strict(False), Distinct] = setting(
        ..., "What is evaluated; each is a section of the report.", min_length=1
    )
    inference: Inference = setting(Inference(), "How the models are run.")
    video: Video = setting(Video(), "How sequences are segmented with SAM2's memory.")
    refinement: Refinement = setting(
        Refinement(),
        "What becomes of the gathered masks before they are scored, without looking at the evaluated truth.",
    )
    scores: Scores = setting(Scores(), "How predictions are scored.")
    report: Report = setting(Report(), "How the report is written.")
    privacy: Privacy = setting(
        Privacy(), "The search for original names, and what the console may say; see docs/PRIVACY.md."
    )

    def evaluated(self, kind: Literal["model", "dataset"]) -> list[str]:
        """The models or data sets that are evaluated, each once."""
        return sorted({getattr(evaluation, kind) for evaluation in self.evaluations})

    def entries(self) -> list[Entry]:
        """What is compared, on which split of which data set, in the order of the configuration."""
        return [
            Entry(entrant, evaluation.dataset, evaluation.split, evaluation.asked_besides)
            for evaluation in self.evaluations
            for entrant in self._entrants(evaluation)
        ]

    def scored_entries(self) -> list[Entry]:
        """Those on data with truth."""
        return [each for each in self.entries() if self.datasets[each.dataset].has_truth]

    def unscored_entries(self) -> list[Entry]:
        """Those on data without, whose masks are drawn instead."""
        return [each for each in self.entries() if not self.datasets[each.dataset].has_truth]

    def entrants(self) -> dict[str, Entrant]:
        """All that predicts, by name: what is compared, and those among whose questions one is chosen."""
        return {entrant.name: entrant for _, entrant in self._named()}

    def entrants_on(self, dataset: str, split: str) -> list[str]:
        """The names of what is compared on a split, in the order of the configuration."""
        return [
            each.entrant.name for each in self.entries() if (each.dataset, each.split) == (dataset, split)
        ]

    def compared_splits(self) -> list[tuple[str, str]]:
        """Data set and split of each split on which there are several to compare."""
        splits = sorted({(each.dataset, each.split) for each in self.scored_entries()})
        return [each for each in splits if len(self.entrants_on(*each)) > 1]

    def groups_on(self, dataset: str, split: str) -> dict[str, str]:
        """What is compared on a split -> its group, of trainings of one method that are asked in the same way."""
        compared = [each.entrant for each in self.entries() if (each.dataset, each.split) == (dataset, split)]
        groups = {each: self.models[each.model].group for each in compared}
        return {each.name: f"{group}{each.way}" for each, group in groups.items() if group}

    def homes(self) -> dict[str, str]:
        """What is scored on the data set that its model was trained for -> that data set, where it is stated."""
        scored = [(each.entrant, each.dataset) for each in self.scored_entries()]
        at_home = {each.name: home for each, home in scored if self.models[each.model].home == home}
        return dict(sorted(at_home.items()))

    def away_from_home(self) -> bool:
        """Whether any model is scored on another data set than its home."""
        homes = self.homes()
        return any(
            homes.get(each.entrant.name, each.dataset) != each.dataset for each in self.scored_entries()
        )

    def asked_together(self) -> list[list[Entry]]:
        """What one job asks, of one model or of several, also on the split on which something is settled."""
        entries = self.entries()
        settled = [
            Entry(each, entry.dataset, TUNING_SPLIT) for entry in entries for each in entry.entrant.candidates
        ]
        if isinstance(self.refinement.threshold, str):
            settled += [Entry(entry.entrant, entry.dataset, TUNING_SPLIT) for entry in entries]
        kinds = kinds_of(self.models) if self.inference.together else {}
        return asked_together([*entries, *settled], kinds)

    def scored_table(self) -> str:
        """The name of the table that is scored: the refined one where anything is refined."""
        return PREDICTIONS if self.refinement == Refinement() else REFINED

    @model_validator(mode="after")
    def _evaluates_what_is_described(self) -> Self:
        for number, evaluation in enumerate(self.evaluations):
            where = f"evaluations.{number}"
            if evaluation.model not in self.models:
                raise ValueError(f"{where}.model is {evaluation.model!r}, which models does not describe")
            if evaluation.dataset not in self.datasets:
                raise ValueError(
                    f"{where}.dataset is {evaluation.dataset!r}, which datasets does not describe"
                )
            for key in ("choose", "words"):
                if getattr(evaluation, key) and not self.datasets[evaluation.dataset].has_truth:
                    raise ValueError(
                        f"{where}.{key} needs the truth, and datasets.{evaluation.dataset} has none; leave it out"
                    )
        return self

    @model_validator(mode="after")
    def _models_are_evaluated_at_home(self) -> Self:
        for name, model in self.models.items():
            if model.home and model.home not in self.datasets:
                raise ValueError(f"models.{name}.home is {model.home!r}, which datasets does not describe")
        scored = {(each.entrant.model, each.dataset) for each in self.scored_entries()}
        for name, _ in sorted(scored):
            home = self.models[name].home
            if home and (name, home) not in scored:
                raise ValueError(
                    f"models.{name}.home is {home!r}, on which it is not scored; evaluate it there, too, or leave "
                    "home out"
                )
        return self

    @model_validator(mode="after")
    def _asks_nothing_of_imports(self) -> Self:
        for number, evaluation in enumerate(self.evaluations):
            if not self.models[evaluation.model].is_imported:
                continue
            name = f"models.{evaluation.model}"
            for key, stated in (
                ("as", evaluation.segmented),
                ("questions", evaluation.questions),
                ("choose", evaluation.choose),
                ("words", evaluation.words),
            ):
                if stated:
                    raise ValueError(
                        f"evaluations.{number}.{key} asks a model, but {name} is imported and answers nothing; "
                        "leave it out"
                    )
        return self

    @model_validator(mode="after")
    def _segments_runs_as_videos(self) -> Self:
        for number, evaluation in enumerate(self.evaluations):
            if not evaluation.segmented:
                continue
            if self.datasets[evaluation.dataset].runs is None:
                raise ValueError(
                    f"evaluations.{number}.as is {evaluation.segmented!r}, but datasets.{evaluation.dataset} has "
                    "no runs; say in its sequences how they are recognised"
                )
            if self.video.propagation == "sa2va-i" and self.models[evaluation.model].sam2 is None:
                raise ValueError(
                    f"video.propagation is {self.video.propagation!r}, which takes SAM2's own checkpoint; give "
                    f"models.{evaluation.model}.sam2"
                )
        return self

    @model_validator(mode="after")
    def _entrants_have_names_of_their_own(self) -> Self:
        known: dict[str, tuple[int, Entrant]] = {}
        for number, entrant in self._named():
            where, name = f"evaluations.{number}", entrant.name
            if name != entrant.model and name in self.models:
                raise ValueError(
                    f"{where} asks the model {entrant.model!r} in a way that would be called {name!r}, as another "
                    "of the models is; rename one"
                )
            first, other = known.setdefault(name, (number, entrant))
            if other != entrant:
                raise ValueError(
                    f"evaluations.{first} and {where} ask in two ways that would both be called {name!r} "
                    f"({_described(other)}; {_described(entrant)}); rename a question"
                )
        places = [tuple(each.places.values()) for each in self.entries()]
        for name, dataset, split in places:
            if places.count((name, dataset, split)) > 1:
                raise ValueError(
                    f"evaluations name {name!r} on the split {split!r} of {dataset!r} twice; name it once"
                )
        return self

    def _named(self) -> Iterator[tuple[int, Entrant]]:
        """Every entrant with the number of the evaluation that has it."""
        for number, evaluation in enumerate(self.evaluations):
            candidates = evaluation.candidates(self._question(evaluation)) if evaluation.choose else ()
            for entrant in dict.fromkeys([*self._entrants(evaluation), *candidates]):
                yield number, entrant

    def _entrants(self, evaluation: Evaluation) -> tuple[Entrant, ...]:
        """What an evaluation compares with others."""
        if self.models[evaluation.model].is_imported:
            return (imported_entrant(evaluation.model),)
        return evaluation.entrants(self._question(evaluation))

    def _question(self, evaluation: Evaluation) -> str:
        """What is asked where an evaluation states no question."""
        return self.video.phrase_question if evaluation.segmented else self.inference.question

    @model_validator(mode="after")
    def _settles_nothing_without_truth(self) -> Self:
        for number, evaluation in enumerate(self.evaluations):
            settled = "refinement.threshold" if isinstance(self.refinement.threshold, str) else None
            settled = f"evaluations.{number}.choose" if evaluation.choose else settled
            if settled and not self.datasets[evaluation.dataset].has_truth:
                raise ValueError(
                    f"{settled} is settled on the split {TUNING_SPLIT!r} of {evaluation.dataset!r}, which has no "
                    "truth; state a number or one question, or leave that evaluation out"
                )
        return self

    @model_validator(mode="after")
    def _has_a_fair_threshold(self) -> Self:
        threshold = self.refinement.threshold
        if threshold != MODEL_THRESHOLD and not self.inference.save_logits:
            raise ValueError(
                f"refinement.threshold is {threshold!r}, which needs stored logits; set inference.save_logits"
            )
        for number, evaluation in enumerate(self.evaluations):
            if isinstance(threshold, str) and evaluation.split == TUNING_SPLIT:
                raise ValueError(
                    f"evaluations.{number}.split is {TUNING_SPLIT!r}, on which refinement.threshold is tuned; "
                    "evaluate another split or give a number"
                )
        return self


def _described(entrant: Entrant) -> str:
    """How an entrant asks, for a sentence on two of one name."""
    asks = repr(entrant.question) if entrant.question else "a chosen question"
    return f"{entrant.model!r} asks {asks}, by {entrant.kind}"
