"""Comparing models on several data sets with their home: `external.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refvessel.errors import UserError
from refvessel.evaluation.comparing import require_known_score
from refvessel.files import write_json
from refvessel.metrics.bootstrap import CONFIDENCE, SEED
from refvessel.metrics.cases import read_cases
from refvessel.metrics.external_validation import Place, external_matrix
from refvessel.metrics.policy import DISTANCES
from refvessel.provenance import file_record, versions
from refvessel.settings.scores_section import Scores


def compare_datasets(
    *, cases: Mapping[Place, Path], homes: Mapping[str, str], output: Path, settings: Scores
) -> dict[str, Any]:
    """Write by how much models drop on other data sets than the one that each was trained for; return the same.

    Args:
        cases: the cases.parquet of each model on each split.
        homes: model -> the data set that it was trained for, which is among those of `cases`.
        output: file to write.
        settings: `compared` are the scores, `bootstrap_draws` those over patients.

    Distances in pixels on one data set and in mm on another do not compare; such a score is left out, and the file
    says so. Raises UserError, before anything is written, for a home on which its model was not scored and for an
    unknown score.
    """
    for score in settings.compared:
        require_known_score(score)
    for model, home in homes.items():
        if not any((place.model, place.dataset) == (model, home) for place in cases):
            raise UserError(f"{model} is at home on {home}, of which no cases are given; add them.")
    tables, units = {}, {}
    for place, path in cases.items():
        tables[place], made_from = read_cases(path, settings.compared)
        units[place] = made_from["settings"]["distance_unit"]
    scores = [score for score in settings.compared if score not in DISTANCES or len(set(units.values())) == 1]
    content = {
        "left_out": sorted(set(settings.compared) - set(scores)),
        "homes": dict(homes),
        "settings": {
            "scores": scores,
            "bootstrap": {"draws": settings.bootstrap_draws, "seed": SEED, "confidence": CONFIDENCE},
        },
        "matrix": external_matrix(tables, homes, scores, settings.bootstrap_draws),
        "provenance": {
            "versions": versions(),
            "cases": [{**place._asdict(), **file_record(path)} for place, path in cases.items()],
        },
    }
    write_json(Path(output), content)
    return content
