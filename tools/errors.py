"""The page of all error messages, docs/errors.md, found in the sources of the package.

python tools/errors.py    # writes the page anew
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import refvessel

PAGE = Path(__file__).resolve().parents[1] / "docs/errors.md"

_HEAD = """# Error messages

Every sentence with which RefVessel refuses something, by the part that says it. `…` stands for a file, a field or
a value of yours. Each names its own remedy; [Troubleshooting](troubleshooting.md) says more about those that are
met often. Made by `python tools/errors.py`; a test says where it is stale.
"""

# Part of the package -> the stage at which a user meets it.
_STAGES = {
    "": "Configuration, files and commands",
    "settings": "Configuration, files and commands",
    "cli": "Configuration, files and commands",
    "checkpoint": "Converting a checkpoint",
    "dataset": "Converting data",
    "model": "Loading a model",
    "inference": "Segmenting",
    "jobs": "Segmenting",
    "predictions": "Predictions: gathering, refining",
    "evaluation": "Scoring and comparing",
    "metrics": "Scoring and comparing",
    "privacy": "Privacy",
    "report": "Report",
}


def errors_page() -> str:
    """The page as Markdown: by stage, the sentences in alphabetical order."""
    told: dict[str, set[str]] = {stage: set() for stage in _STAGES.values()}
    package = Path(refvessel.__file__).parent
    for module in sorted(package.rglob("*.py")):
        room = module.relative_to(package).parts[0]
        stage = _STAGES.get(room if room != module.name else "", "Configuration, files and commands")
        told[stage].update(sentences(module))
    sections = [
        "\n".join([f"## {stage}", "", *(f"- {each}" for each in sorted(all_told, key=str.lower)), ""])
        for stage, all_told in told.items()
        if all_told
    ]
    return "\n".join([_HEAD, *sections])


def sentences(module: Path) -> Iterator[str]:
    """The texts of a module's `UserError`s, as far as they are written where it is raised."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UserError":
            text = "".join(text_of(each) for each in node.args)
            if len(text.replace("…", "").strip()) > len("config: ."):
                yield _as_markdown(text)


def text_of(node: ast.AST) -> str:
    """The text of a literal, with `…` for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(each) for each in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"


def _as_markdown(text: str) -> str:
    """One line, in which nothing is markup."""
    line = " ".join(text.split())
    return "".join(f"\\{each}" if each in "\\`*_{}[]<>#|" else each for each in line)


if __name__ == "__main__":
    PAGE.write_text(errors_page(), "utf-8")
