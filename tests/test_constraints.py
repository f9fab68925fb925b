"""constraints.txt is one version of each library, with which RefVessel and all its extras can be installed."""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PINS = {
    canonicalize_name(name): version.strip()
    for name, _, version in (
        line.partition("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    )
    if version
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EVERYTHING = [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())]
IMPORTED = re.compile(
    r"^( *)(?:import (\w+)[.\w]*(?: as \w+)?(?:  #.*)?$|from (\w+)[.\w]* import )", re.MULTILINE
)
# Where `make` puts what the tests of clusters, stores and browsers alone find.
APART = [str(Path(sys.prefix) / name) for name in ("cluster", "store", "browser")]


@pytest.fixture(scope="module")
def installed() -> dict[str, list[Requirement]]:
    """What each library of the pinned version that is here says it needs."""
    found = {}
    for each in metadata.distributions(path=[*sys.path, *APART]):
        name = canonicalize_name(each.name)
        if PINS.get(name) == each.version:
            found[name] = [Requirement(text) for text in each.requires or ()]
    return found


def requirements(
    installed: Mapping[str, list[Requirement]], stated: Iterable[str]
) -> Iterator[tuple[str, Requirement]]:
    """What is stated, what that needs, and so on, and who needs it."""
    waiting = [("refvessel", Requirement(text)) for text in stated]
    looked_at = set()
    while waiting:
        who, requirement = waiting.pop()
        yield who, requirement
        for extra in ("", *requirement.extras):
            key = canonicalize_name(requirement.name), extra
            if key not in looked_at:
                looked_at.add(key)
                waiting += [
                    (requirement.name, each)
                    for each in installed.get(key[0], ())
                    if each.marker is None or each.marker.evaluate({"extra": extra})
                ]


def contradictions(pins: Mapping[str, str], installed: Mapping[str, list[Requirement]]) -> set[str]:
    """Who needs what, where that is not pinned or in a version that will not do."""
    return {
        f"{who} needs {each.name}{each.specifier}, and {pinned or 'nothing'} is pinned"
        for who, each in requirements(installed, EVERYTHING)
        if not (pinned := pins.get(canonicalize_name(each.name)))
        or not each.specifier.contains(pinned, prereleases=True)
    }


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="what is needed differs by version of Python")
def test_whatever_is_installed_together_fits_the_pinned_versions(installed):
    assert contradictions(PINS, installed) == set()


def test_a_bare_installation_has_what_the_package_imports_and_within_functions_perhaps_an_extra(installed):
    always = {canonicalize_name(each.name) for _, each in requirements(installed, PROJECT["dependencies"])}
    with_extras = {canonicalize_name(each.name) for _, each in requirements(installed, EVERYTHING)}
    who_has = metadata.packages_distributions()
    ours = {"refvessel", "triton", *sys.stdlib_module_names}  # Triton comes with PyTorch for GPUs
    undeclared = set()
    for path in (ROOT / "src").rglob("*.py"):
        for indented, name, other in IMPORTED.findall(path.read_text("utf-8")):
            owners = {canonicalize_name(owner) for owner in who_has.get(name or other, ())}
            if (name or other) not in ours and not owners & (with_extras if indented else always):
                undeclared.add(f"{path.relative_to(ROOT)} imports {name or other}")
    assert undeclared == set()


def test_make_asks_pip_about_all_extras_together():
    (asked,) = re.findall(r"^EVERYTHING := \[(.+)\]$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert sorted(asked.split(",")) == sorted(PROJECT["optional-dependencies"])


def test_a_pin_that_somebody_cannot_use_is_noticed(installed):
    (told,) = contradictions(PINS | {"snakemake-storage-plugin-s3": "9.0"}, installed)
    assert told == "refvessel needs snakemake-storage-plugin-s3<1,>=0.3.6, and 9.0 is pinned"
    assert any(each.startswith("pandas needs") for each in contradictions(PINS | {"numpy": "1.0"}, installed))
