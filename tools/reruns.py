"""Which rules an edited module reruns, as the table in docs/RERUNS.md.

python tools/reruns.py    # writes the table anew
"""

from pathlib import Path

import refvessel
from refvessel.code import import_closure
from refvessel.inference.run import ANSWERING

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs/RERUNS.md"
SCRIPTS = ROOT / "workflow/scripts"
ANSWERS = "every answer anew"

_HEAD = """# What an edit reruns

A rule carries the hash of its script and of all that this imports of the package, found by following the imports
(`refvessel.code`). A finished answer is used again unless one of the modules in the last column changed: a shard
that is rerun for another reason segments nothing. Made by `python tools/reruns.py`; a test says where it is stale.
"""


def rules_by_module() -> dict[str, list[str]]:
    """Module, as a path from the package -> the rules whose code it is part of, in the order of their names."""
    package = Path(refvessel.__file__).parent
    closures = {script.stem: set(import_closure(script)) for script in sorted(SCRIPTS.glob("*.py"))}
    closures[ANSWERS] = set(import_closure(*ANSWERING))
    return {
        module.relative_to(package).as_posix(): [
            rule for rule, closure in closures.items() if module in closure
        ]
        for module in sorted(package.rglob("*.py"))
    }


def table() -> str:
    """The page: modules that rerun the same rules share a line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for module, rules in rules_by_module().items():
        alike.setdefault(tuple(rules), []).append(module)
    lines = [_line(modules, rules) for rules, modules in sorted(alike.items(), key=lambda item: item[1])]
    return "\n".join(
        [_HEAD, f"| edited module | rules that rerun | {ANSWERS} |", "|---|---|---|", *lines, ""]
    )


def _line(modules: list[str], rules: tuple[str, ...]) -> str:
    rerun = _listed([rule for rule in rules if rule != ANSWERS]) or "none"
    return f"| {_listed(modules)} | {rerun} | {'yes' if ANSWERS in rules else ''} |"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
