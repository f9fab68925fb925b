"""The Conda environments, envs/, from constraints.txt: what a rule needs, in the tested versions.

python tools/environments.py    # writes them anew

Conda brings Python; the libraries are the very wheels that are tested, pinned down to what they need themselves.
The two differ in the build of PyTorch: the one for CUDA pins the CUDA libraries that it needs.
"""

import re
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import refvessel

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "envs"
PYTHON = "3.11"
PIP = "26"

# Environment -> what it is for, and where its PyTorch comes from besides the package index.
KINDS = {
    "cpu": ("All rules, but for models on GPUs", "https://download.pytorch.org/whl/cpu"),
    "cuda": ("Rules that run models", None),
}


def environments() -> dict[Path, str]:
    """Path of each file -> what it must say."""
    return {FOLDER / f"{kind}.yaml": _environment(*told) for kind, told in KINDS.items()}


def _environment(use: str, index: str | None) -> str:
    packages = [f"refvessel=={refvessel.__version__}", *pinned()]
    options = [f"--extra-index-url {index}"] if index else []
    lines = [
        f"# {use}; made from constraints.txt by tools/environments.py.",
        "# For `--software-deployment-method conda`; a local .venv or an image needs none of it.",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python ={PYTHON}",
        f"  - pip ={PIP}",
        "  - pip:",
        *(f"      - {each}" for each in [*options, *packages]),
    ]
    return "\n".join(lines) + "\n"


def pinned() -> list[str]:
    """The lines of constraints.txt that RefVessel needs, without its extras."""
    lines = re.findall(r"^[\w.-]+==\S+$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    needed = _needed("refvessel")
    return [line for line in lines if canonicalize_name(line.partition("==")[0]) in needed]


@cache
def _needed(package: str) -> set[str]:
    """What an installed package needs, and what that needs, by canonical name."""
    waiting, found = [(package, "")], set()
    while waiting:
        name, extra = waiting.pop()
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            for each in ("", *requirement.extras):
                if (needed := (canonicalize_name(requirement.name), each)) not in found:
                    found.add(needed)
                    waiting.append(needed)
    return {name for name, _ in found}


if __name__ == "__main__":
    for path, text in environments().items():
        path.write_text(text, "utf-8")
