"""The functions of the stages, called with a section's keys: tests state only what matters."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from refvessel.settings.checked import checked_section
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.inference_section import Inference
from refvessel.settings.model_section import Model
from refvessel.settings.privacy_section import Privacy
from refvessel.settings.refinement_section import Refinement
from refvessel.settings.scores_section import Scores
from refvessel.settings.section import Section


def _stage(module: str, name: str, kind: type[Section], where: str) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        values = {key: arguments.pop(key) for key in [*arguments] if key in kind.model_fields}
        settings = checked_section(kind, values, where=(where,))
        return getattr(import_module(f"refvessel.{module}"), name)(settings=settings, **arguments)

    call.__name__ = name
    return call


convert_checkpoint = _stage("checkpoint.convert", "convert_checkpoint", Model, "model")
convert_dataset = _stage("dataset.conversion.annotate", "convert_dataset", Dataset, "dataset")
segment_shard = _stage("inference.run", "segment_shard", Inference, "inference")
refine_predictions = _stage("predictions.refinement", "refine_predictions", Refinement, "refinement")
choose_question = _stage("evaluation.choosing", "choose_question", Scores, "scores")
export_pairs = _stage("evaluation.preference_pairs", "export_pairs", Scores, "scores")
tune_threshold = _stage("evaluation.tuning", "tune_threshold", Scores, "scores")


def score_cases(*arguments: Any, **options: Any) -> Any:
    """With the distances that the settings have."""
    from refvessel.evaluation import judging

    names = ("nsd_tolerance", "boundary_distance", "centre_line_tolerance")
    own = {name: getattr(Scores(), name) for name in names}
    return judging.score_cases(*arguments, **(own | options))


score = _stage("evaluation.scoring", "score", Scores, "scores")
score_split = _stage("evaluation.split_scoring", "score_split", Scores, "scores")
score_sequences = _stage("evaluation.sequence_scoring", "score_sequences", Scores, "scores")
compare_sequences = _stage("evaluation.sequence_comparing", "compare_sequences", Scores, "scores")
compare_models = _stage("evaluation.comparing", "compare_models", Scores, "scores")
render_report = _stage("report.render", "render_report", Privacy, "privacy")
