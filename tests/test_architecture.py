"""Who may know whom: the rooms of the package, and the arrows between them."""

import ast
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import refvessel

PACKAGE = Path(refvessel.__file__).parent

# Modules at the top that every room may know; among themselves they need no order, but no circle either.
FOUNDATION = {
    "answer_status",
    "artifacts",
    "code",
    "cores",
    "errors",
    "files",
    "geometry",
    "image_files",
    "locks",
    "long_json",
    "mask_logits",
    "parallel",
    "parquet_file",
    "patterns",
    "prompts",
    "provenance",
    "rle",
    "safetensors_header",
    "sentences",
    "spreadsheets",
    "temporaries",
    "yaml_text",
}
# What puts a run together: it knows all rooms, and only commands, scripts and rules know it.
ASSEMBLY = {"cli", "crate", "doctor", "outcome", "preflight", "workflow"}
# room -> the rooms it may know. Beyond the plan of the house, and why:
# predictions -> dataset.tree: a prediction answers an expression of a tree; gathering checks that each is there;
# inference -> checkpoint: a folder of a model is an untrusted file, which the room of checkpoints reads;
# dataset.conversion -> privacy: pseudonyms are made with the table of the names that must not be published;
# demo -> dataset.tree: its baseline is tuned on one split of a tree, and looks at the images of another;
# imports -> dataset.readers and regions: masks of others are read as truths are, so that one rule says what is
#   foreground; dataset.patients: their files may be called as images without pseudonyms are; privacy: the table of
#   the names that images had before; predictions: what is imported is a prediction as any;
# report -> privacy: a page that names somebody is not written.
ARROWS = {
    "settings": set(),
    "jobs": set(),
    "metrics": set(),
    "privacy": set(),
    "demo": {"dataset.tree"},
    "model": set(),
    "checkpoint": {"model"},
    "dataset": set(),
    "dataset.images": {"dataset"},
    "dataset.regions": {"dataset"},
    "dataset.tree": {"dataset", "dataset.regions"},
    "dataset.readers": {"dataset", "dataset.images", "dataset.regions", "dataset.tree"},
    "dataset.patients": {"dataset", "dataset.readers"},
    "dataset.conversion": {
        "dataset",
        "dataset.images",
        "dataset.patients",
        "dataset.readers",
        "dataset.regions",
        "dataset.tree",
        "privacy",
    },
    "predictions": {"dataset.tree"},
    "imports": {
        "dataset",
        "dataset.patients",
        "dataset.readers",
        "dataset.regions",
        "dataset.tree",
        "predictions",
        "privacy",
    },
    "inference": {"checkpoint", "dataset.tree", "jobs", "model", "predictions"},
    "evaluation": {"dataset", "dataset.regions", "dataset.tree", "metrics", "predictions"},
    "report": {"dataset.tree", "metrics", "predictions", "privacy"},
}
WITHOUT_TORCH = (
    "dataset",
    "evaluation",
    "imports",
    "metrics",
    "predictions",
    "privacy",
    "report",
    "settings",
)


def dotted(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports_of(module):
    """The import statements of a module, wherever they stand."""
    nodes = ast.walk(ast.parse(MODULES[module].read_bytes()))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


@cache
def imported_by(module):
    """Names of modules of the package that a module imports."""
    found = set()
    for node in imports_of(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module:
            assert node.level == 0, f"{module} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name.removeprefix("refvessel.") in MODULES else node.module for name in names}
    own = {name for name in found if name.split(".")[0] == "refvessel"}
    return {name.removeprefix("refvessel").removeprefix(".") for name in own}


def room_of(module):
    first, *rest = module.split(".")
    if first == "dataset" and len(rest) > 1:
        return f"dataset.{rest[0]}"
    return first


def test_every_module_stands_in_a_known_room():
    assert {room_of(module) for module in MODULES if module} - {"dataset"} <= (
        FOUNDATION | ASSEMBLY | ARROWS.keys()
    )


def test_a_module_imports_only_what_its_room_may_know():
    wrong = {}
    for module in MODULES:
        room = room_of(module)
        if room in ASSEMBLY | {""}:
            continue
        allowed = FOUNDATION | {room, "settings", ""} if room not in FOUNDATION else FOUNDATION | {""}
        known = {room_of(name) for name in imported_by(module)}
        wrong[module] = known - allowed - ARROWS.get(room, set())
    assert {module: rooms for module, rooms in wrong.items() if rooms} == {}


def test_no_import_leads_back_to_where_it_began():
    graph = {module: imported_by(module) & MODULES.keys() - {module, ""} for module in MODULES if module}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_allowed_arrows_have_no_circle():
    TopologicalSorter(ARROWS).prepare()


def test_no_two_modules_bear_one_name():
    names = Counter(path.stem for path in MODULES.values() if not path.stem.startswith("__"))
    names.update(path.parent.name for path in MODULES.values() if path.stem == "__init__")
    assert [name for name, count in names.items() if count > 1] == []


@cache
def heavy_imports(module):
    """Which of the heavy libraries a module imports itself."""
    names = set()
    for node in imports_of(module):
        names |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
    return {name.split(".")[0] for name in names} & {"torch", "transformers", "accelerate"}


def test_what_needs_no_model_needs_no_torch():
    found = []
    for module in MODULES:
        if module.split(".")[0] not in WITHOUT_TORCH:
            continue
        closed, waiting = set(), [module]
        while waiting:
            name = waiting.pop()
            if name in MODULES and name not in closed:
                closed.add(name)
                waiting += imported_by(name)
        heavy = {name: heavy_imports(name) for name in sorted(closed) if heavy_imports(name)}
        found += [f"{module} reaches {name}, which imports {what}" for name, what in heavy.items()]
    assert found == []


def test_modules_are_imported_from_where_they_are_written():
    """The face of a room (its `__init__`) is for users: code hashes follow modules."""
    faces = {name for name, path in MODULES.items() if path.stem == "__init__" and name}
    faces -= {"dataset.readers"}  # where the one list of formats is written
    for module in MODULES.keys() - faces - {"cli.__main__"}:
        through = imported_by(module) & faces
        assert not through, f"{module} imports {through}"
