"""Each default, status, path and list of columns stands once in the sources: in the module that owns it."""

import ast
import itertools
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import refvessel
from refvessel import artifacts
from refvessel.answer_status import Status
from refvessel.dataset.tree import layout
from refvessel.metrics.cases import CASES_SCHEMA
from refvessel.predictions.prediction import COLUMNS
from refvessel.settings.dataset_section import DEFAULT_RATIOS, HASH_BITS
from refvessel.settings.whole import Settings

PACKAGE = Path(refvessel.__file__).parent
ROOT = PACKAGE.parents[1]
DRAWN = ("demo/", "report/")  # what draws has numbers of its own: sizes, colours, places

# Where a number of the settings means something else.
OTHER_NUMBERS = {
    (0.5, "checkpoint/training_config.py"): "a square root: the rank of a stabilised update",
    (0.5, "dataset/conversion/gates.py"): "Dice of the vessels of two images from which on they are one",
    (0.5, "dataset/regions/label_images.py"): "half of a mask's border",
    (0.5, "evaluation/word_check.py"): "IoU of truths up to which they are of different targets",
    (0.5, "inference/sequence_plan.py"): "the cost of an expression",
    (0.5, "jobs/gpus.py"): "a share of a pause",
    (0.5, "jobs/signals.py"): "seconds",
    (0.5, "metrics/bootstrap.py"): "half a draw",
    (0.5, "metrics/connections.py"): "half a pixel",
    (0.5, "metrics/stenosis.py"): "pixels",
    (0.5, "metrics/cross_sections.py"): "pixels, and a weight",
    (0.5, "metrics/grounded_captions.py"): "the IoU and the similarity from which on a pair counts",
    (0.5, "metrics/probability.py"): "the AUC of an order that says nothing",
    (0.5, "metrics/region_detection.py"): "the IoU above which regions match",
    (0.5, "model/configuration.py"): "InternVL's reduction of its patches",
    (0.5, "model/internvl.py"): "a square root: the side of a square",
    (0.5, "model/internvl_inputs.py"): "a square root, and InternVL's rule of which grids have enough pixels",
    (0.5, "model/qwen_configuration.py"): "a square root: the side of a square",
    (0.5, "model/qwen_vision.py"): "a square root: the side of a square",
    (0.5, "model/video_memory.py"): "half of a mask's border, as SAM2 resizes it",
    (0.5, "model/triton_kernels.py"): "a square root: the scale of attention",
    (0.5, "predictions/drawable.py"): "half a pixel",
    (0.5, "predictions/upsampling.py"): "half a pixel",
    (2048, "model/grounded_configuration.py"): "widths of layers of SAM2",
    (2048, "model/qwen_inputs.py"): "units of the largest image of the Qwen-VL families",
    (10_000, "model/qwen_vision.py"): "the base of rotary positions",
    (10_000, "patterns.py"): "a bound of what a pattern may take",
    (10_000, "privacy/archives.py"): "a bound of what an archive may hold",
    (10_000, "settings/inference_section.py"): "the most shards of a split",
    (40, "privacy/terms.py"): "characters around a name that is found",
    (100, "metrics/coco_average_precision.py"): "the predictions of an image that COCO looks at",
    (0.1, "dataset/regions/polygons.py"): "pixels",
    (0.1, "inference/prefetch.py"): "seconds",
    (0.1, "metrics/stenosis.py"): "pixels",
    (0.1, "metrics/subgroups.py"): "a share of an image",
    (0.2, "dataset/images/perceptual_hash.py"): "a share of an image",
    (0.2, "inference/plan.py"): "the cost of an expression",
    (0.2, "jobs/runs.py"): "seconds",
}
# Where a status' word means something else.
OTHER_WORDS = {
    ("no_seg", "metrics/sanity_checks.py"): "the name of a sanity check",
    ("failed", "jobs/progress.py"): "what became of a job",
    ("failed", "jobs/status.py"): "a heading of the table of jobs",
}
# Lists of names that are more than a part of one another by chance.
OTHER_LISTS = {
    "metrics/policy.py": "which scores have no bound: another question than which module computes them",
}


def rooted(path: Path) -> str:
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()


def without_docstrings(tree: ast.AST) -> list[ast.AST]:
    """All nodes but the texts that stand for themselves."""
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node for node in ast.walk(tree) if id(node) not in texts]


@cache
def modules() -> dict[str, list[ast.AST]]:
    """Module -> its nodes; only who runs these tests reads all sources."""
    return {
        rooted(path): without_docstrings(ast.parse(path.read_text("utf-8")))
        for path in sorted([*PACKAGE.rglob("*.py"), *(ROOT / "workflow").rglob("*.py")])
    }


RULES = {rooted(path): path.read_text("utf-8") for path in sorted((ROOT / "workflow").rglob("*.smk"))}


def places_of(value: Any) -> list[str]:
    """The modules, or rules, in which a literal stands, once for each time."""
    kinds = (str,) if isinstance(value, str) else (int, float)
    found = [
        module
        for module, nodes in modules().items()
        for node in nodes
        if isinstance(node, ast.Constant) and type(node.value) in kinds and node.value == value
    ]
    if isinstance(value, str):
        found += [
            rule for rule, text in RULES.items() for _ in re.findall(f"[\"']{re.escape(value)}[\"']", text)
        ]
    return found


def fields(section: type[BaseModel], where: str = "") -> dict[str, Any]:
    """Path of each setting -> its default, of a section and those in it."""
    found: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        found[f"{where}{name}"] = field.default
        for kind in (field.annotation, *inside(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= fields(kind, f"{where}{name}.")
    return found


def inside(kind: Any) -> list[Any]:
    return [each for argument in get_args(kind) for each in (argument, *inside(argument))]


DEFAULTS = fields(Settings)
NUMBERS = sorted(
    {value for value in DEFAULTS.values() if type(value) is int and value > 9}
    | {value for value in DEFAULTS.values() if type(value) is float}
    | {*DEFAULT_RATIOS.values(), HASH_BITS}
    - {256}  # a number of many meanings; `HASH_BITS` alone is imported where bits are counted
)
# One word, such as `phrase` or `refuse`, is a choice; what has other signs in it is a text or a path.
TEXTS = sorted({value for value in DEFAULTS.values() if isinstance(value, str) and not value.isidentifier()})
NAMES = {path.rpartition(".")[2]: value for path, value in DEFAULTS.items()}


def test_the_defaults_that_tell_are_among_those_that_are_looked_for():
    assert {0.1, 0.2, 0.5, 0.7, 40, 56, 2048, 10_000} == set(NUMBERS)
    assert {".refvessel/pseudonym.key", "<results>/logs", "Sure, [SEG].<|im_end|>"} <= set(TEXTS)
    assert any("Please segment" in text for text in TEXTS)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_is_a_default_stands_with_its_owner(number):
    elsewhere = [
        place
        for place in places_of(number)
        if (number, place) not in OTHER_NUMBERS and not place.startswith(DRAWN)
    ]
    assert len(elsewhere) == 1, f"{number} stands in {elsewhere}; import it from its owner"
    assert elsewhere[0].startswith("settings/") or elsewhere[0] == "mask_logits.py"


@pytest.mark.parametrize("place", OTHER_NUMBERS, ids=str)
def test_an_exception_is_still_one(place):
    number, module = place
    assert module in places_of(number), "it is gone; take the exception away, too"


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_a_default_stands_once(text):
    (place,) = places_of(text)
    assert place.startswith("settings/")


def test_no_function_has_a_default_of_its_own_for_a_setting():
    """But for nothing, none and one, which are no choices: `threads: int = 1`, `max_failures: int = 0`."""
    own = [
        (module, parameter.arg, value.value)
        for module, nodes in modules().items()
        for node in nodes
        if isinstance(node, ast.FunctionDef)
        for parameter, value in defaults_of(node.args)
        if isinstance(value, ast.Constant) and value.value not in (None, 0, 1, "")
        if NAMES.get(parameter.arg) == value.value
    ]
    assert not own


def defaults_of(arguments: ast.arguments) -> list[tuple[ast.arg, ast.expr]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    plain = zip(reversed(positional), reversed(arguments.defaults), strict=False)
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [*plain, *((parameter, value) for parameter, value in named if value is not None)]


@pytest.mark.parametrize("status", list(Status))
def test_a_status_is_written_once(status):
    places = [place for place in places_of(str(status)) if (str(status), place) not in OTHER_WORDS]
    assert places == ["answer_status.py"]


def names_of_files() -> list[str]:
    """Of artifacts and of an official tree: names, suffixes, and paths below the folder of results."""
    own = [value for name, value in vars(artifacts).items() if name.isupper() and isinstance(value, str)]
    trees = [layout.INSTANCES, layout.REFS, layout.IMAGES, layout.OUTLINES]
    # A word, such as `report` or `tables`, means other things, too.
    return [*(value for value in own if not value.isidentifier()), *(path.as_posix() for path in trees)]


@pytest.mark.parametrize("name", sorted(set(names_of_files())))
def test_a_file_is_named_once(name):
    owner = "dataset/tree/layout.py" if name.startswith(("ref_seg", "glamm", "outlines")) else "artifacts.py"
    read_elsewhere = {
        artifacts.SHARD_SUFFIX: {"privacy/kinds.py"},  # JSON lines of anybody
        artifacts.DATASET: {"imports/nnunet_folder.py"},  # nnU-Net's file of this name
    }.get(name, set())
    of_two = (artifacts.REPORT, artifacts.OF_SHARDS, artifacts.OF_WORDS, artifacts.OF_FOLDER)
    composed = name in of_two
    places = [place for place in places_of(name) if place not in read_elsewhere]
    assert places == ([] if composed else [owner])


def test_no_rule_spells_a_path_below_the_results():
    spelt = {rule: re.findall(r"<results>/[^\"']*", text) for rule, text in RULES.items()}
    assert not {rule: paths for rule, paths in spelt.items() if paths}


def lists_of_columns() -> list[tuple[str, frozenset[str]]]:
    """Module and names of each list, tuple or set of literals with three columns or more."""
    known = {*COLUMNS, *CASES_SCHEMA.names}
    found = []
    for module, nodes in modules().items():
        for node in nodes:
            if isinstance(node, ast.List | ast.Tuple | ast.Set):
                texts = {each.value for each in node.elts if isinstance(each, ast.Constant)}
                if len(texts & known) >= 3:
                    found.append((module, frozenset(texts & known)))
    return found


def test_no_two_lists_of_columns_share_three_names():
    shared = defaultdict(list)
    for (one, first), (other, second) in itertools.combinations(lists_of_columns(), 2):
        if len(first & second) >= 3 and not {one, other} & OTHER_LISTS.keys():
            shared[one, other].append(sorted(first & second))
    assert not shared, "name the columns in one place and import them"
