"""The phrases that all compared models answer: a network that knows vessels alone is compared on vessels."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from refvessel.errors import UserError
from refvessel.predictions.answered import answered_phrases


def answered_of_cases(made_from: Mapping[str, Any]) -> Collection[str] | None:
    """The phrases that the model of a table of cases answers, None where it answers all."""
    predictions = made_from.get("predictions") or {}
    return answered_phrases(predictions.get("made_from") or {})


def with_shared_phrases(
    tables: Mapping[str, pd.DataFrame], answered: Mapping[str, Collection[str] | None]
) -> tuple[dict[str, pd.DataFrame], dict[str, list[str]]]:
    """The tables with those phrases alone that every model answers, and who does not answer each of the others.

    Args:
        tables: by model, with a column `phrase`.
        answered: by model, the phrases that it answers; None: all.

    Raises:
        UserError: where no phrase is answered by all.
    """
    asked = dict.fromkeys(phrase for table in tables.values() for phrase in table["phrase"])
    silent = {
        phrase: [model for model, known in answered.items() if known is not None and phrase not in known]
        for phrase in asked
    }
    left_out = {phrase: models for phrase, models in silent.items() if models}
    if asked and len(left_out) == len(asked):
        raise UserError(
            f"No phrase is answered by all of {', '.join(tables)}; compare models that answer the same."
        )
    shared = {name: table[~table["phrase"].isin(left_out)] for name, table in tables.items()}
    return {name: table.reset_index(drop=True) for name, table in shared.items()}, left_out
