"""The whole configuration."""

from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from refvessel.artifacts import PREDICTIONS, REFINED
from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.inference_section import Inference
from refvessel.settings.model_section import Model
from refvessel.settings.privacy_section import Privacy
from refvessel.settings.refinement_section import TUNING_SPLIT, Refinement
from refvessel.settings.scores_section import Scores
from refvessel.settings.section import Distinct, Name, Section, Stated, setting
from refvessel.settings.video_section import Video


class PathVariables(Stated):
    """Snakemake's path variables."""

    results: str = setting("results", "Folder of all outputs.", min_length=1)
    logs: str = setting("<results>/logs", "Folder of the jobs' logs.", min_length=1)
    benchmarks: str = setting("<results>/benchmarks", "Folder of the jobs' times and memory.", min_length=1)
    private_logs: str = setting(
        ".refvessel/logs", "Folder of the logs that may name somebody; nothing publishes it.", min_length=1
    )

    def apply(self, text: str) -> str:
        """A path with the folders that its variables stand for, as Snakemake has it."""
        for name in type(self).model_fields:
            if f"<{name}>" in text:
                text = text.replace(f"<{name}>", self.apply(getattr(self, name)))
        return text


class Evaluation(Section):
    """What is evaluated: a model on a split of a data set."""

    model: Name = setting(..., "A key of `models`.")
    dataset: Name = setting(..., "A key of `datasets`.")
    split: Name = setting(..., "A split of that data set.")


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
    privacy: Privacy = setting(
        Privacy(), "The search for original names, and what the console may say; see docs/PRIVACY.md."
    )

    def evaluated(self, kind: Literal["model", "dataset"]) -> list[str]:
        """The models or data sets that are evaluated, each once."""
        return sorted({getattr(evaluation, kind) for evaluation in self.evaluations})

    def models_on(self, dataset: str, split: str) -> list[str]:
        """The models that are evaluated on a split, in the order of the configuration."""
        where = (dataset, split)
        return [each.model for each in self.evaluations if (each.dataset, each.split) == where]

    def compared_splits(self) -> list[tuple[str, str]]:
        """Data set and split of each split on which several models are evaluated."""
        splits = sorted({(each.dataset, each.split) for each in self.evaluations})
        return [each for each in splits if len(self.models_on(*each)) > 1]

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
