"""The hash of the code that makes an artifact: a module or script, and all of the package that it imports."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
_NAME = _PACKAGE.name


def code_hash(*sources: Path | str) -> str:
    """SHA-256 over the import closure of scripts (paths) and modules (dotted names), for Snakemake's `params`.

    Snakemake does not notice an edited module; a parameter that carries this hash does.
    """
    digest = hashlib.sha256()
    for path in import_closure(*sources):
        name = path.relative_to(_PACKAGE).as_posix() if path.is_relative_to(_PACKAGE) else path.name
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def import_closure(*sources: Path | str) -> list[Path]:
    """The sources, what they import of this package, directly or not, and the files beside it that are no code.

    Imports inside functions count, and so do the modules that `import_module` is given: of a name that begins
    with a package and ends with a variable, all modules of that package.
    """
    waiting = [each if isinstance(each, Path) else _file_of_known(each) for each in sources]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported_by(path)
    resources = {each for path in found for each in _resources(path.parent)}
    return sorted(found | resources)


@cache
def _imported_by(path: Path) -> tuple[Path, ...]:
    source = path.read_bytes()
    nodes = (ast.walk if b"import_module" in source else _statements)(ast.parse(source))
    names = {name for node in nodes for name in _names(node)}
    with_packages = {
        ".".join(parts[:end]) for parts in map(_split, names) for end in range(1, len(parts) + 1)
    }
    files = map(_file_of, with_packages)
    return tuple(sorted(file for file in files if file is not None))


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements, in whichever block they stand: a twentieth of the nodes that a tree has."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for blocks in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, blocks, ())


def _split(name: str) -> list[str]:
    return name.split(".")


def _names(node: ast.AST) -> Iterator[str]:
    """Dotted names that a statement or call may import; some may name no module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and _called(node) == "import_module":
        yield from _names_of_text(node.args[0])


def _called(node: ast.Call) -> str | None:
    return getattr(node.func, "id", None) or getattr(node.func, "attr", None)


def _names_of_text(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.Constant):
        yield str(argument.value)
    elif isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
        package = str(argument.values[0].value).rstrip(".")
        folder = _file_of(package)
        if folder is not None:
            yield from (f"{package}.{path.stem}" for path in folder.parent.glob("*.py"))


def _file_of_known(name: str) -> Path:
    path = _file_of(name)
    if path is None:
        raise ValueError(f"no module of the package is called {name}")
    return path


def _file_of(name: str) -> Path | None:
    first, *rest = name.split(".")
    if first != _NAME:
        return None
    place = _PACKAGE.joinpath(*rest)
    if (place / "__init__.py").is_file():
        return place / "__init__.py"
    return place.with_suffix(".py") if rest and place.with_suffix(".py").is_file() else None


@cache
def _resources(folder: Path) -> tuple[Path, ...]:
    """Files of a package that are no code, as templates, also in folders below that are no packages."""
    if not folder.is_relative_to(_PACKAGE):
        return ()
    entries = [each for each in folder.iterdir() if each.name != "__pycache__"]
    files = [each for each in entries if each.is_file() and each.suffix not in (".py", ".pyc")]
    below = [each for each in entries if each.is_dir() and not (each / "__init__.py").exists()]
    return (*files, *(file for each in below for file in each.rglob("*") if file.is_file()))
