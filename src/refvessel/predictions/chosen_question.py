"""The file that says which question was chosen among several, as those read it who ask it."""

from pathlib import Path

from refvessel.errors import UserError
from refvessel.files import read_json


def read_chosen_question(path: Path) -> str:
    """The question that a file of `choose_question` names; raises UserError where it names none."""
    content = read_json(path)
    try:
        return str(content["question"])
    except (KeyError, TypeError):
        raise UserError(f"{path} names no question; choose it again.") from None
