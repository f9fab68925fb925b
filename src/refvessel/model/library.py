"""Loading transformers by its parts: what a job computes with, without what trains, serves or compiles.

`import transformers` reads the library's thousand files for names, and its models import SciPy's optimisers, the
compiler of PyTorch and its distribution over machines, which take longer than all else that a job loads. The
library asks what is installed before it imports that; in the process of a job it is told that what no job uses is
not there. That apart nothing of it changes: a name of the whole library that is asked for is found.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module, metadata, reload
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, Unpack

_LIBRARY = "transformers"
_OF_ALL_MODELS = tuple(f"{_LIBRARY}.{name}" for name in ("modeling_layers", "generation.utils"))
# What the library asks, and is answered no. It keeps the answers.
_NOT_USED = (
    "is_scipy_available",
    "is_sklearn_available",
    "is_torch_distributed_available",
    "is_torch_flex_attn_available",
    "is_torchvision_available",
)
_SPREADS = "is_accelerate_available"  # asked again by who spreads a model
_COMPILER = "torch._dynamo"
_OF_COMPILER = f"{_COMPILER}._trace_wrapped_higher_order_op"


def load_by_parts() -> None:
    """Let this process load transformers by its parts, from its first import on; the process is a job's own."""
    if _LIBRARY not in sys.modules and not any(isinstance(each, _ByParts) for each in sys.meta_path):
        sys.meta_path.insert(0, _ByParts())


@contextmanager
def imports_kept() -> Iterator[None]:
    """What is imported within lasts as long as the process: it is not searched for what could be freed."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_spreading() -> None:
    """Let transformers spread models over devices, also where it was loaded by its parts."""
    module = import_module(f"{_LIBRARY}.integrations.accelerate")
    if not hasattr(module, "dispatch_model"):
        reload(module)  # whose functions find what they lacked among the module's names


class _ByParts(MetaPathFinder):
    """Finds transformers alone."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """The specification of transformers, with the loader that is here."""
        found = PathFinder.find_spec(fullname, path) if fullname == _LIBRARY else None
        if found is None:
            return None
        return spec_from_file_location(
            fullname,
            found.origin,
            loader=_PartsLoader(),
            submodule_search_locations=found.submodule_search_locations,
        )


class _PartsLoader(Loader):
    """Loads the package without running its `__init__`, and what all models need."""

    def exec_module(self, module: ModuleType) -> None:
        """Make the package ready for imports of its modules."""
        changed: Any = module
        changed.__version__ = metadata.version(_LIBRARY)
        changed.AddedToken = import_module("tokenizers").AddedToken  # which parts ask the whole for
        changed.__getattr__ = _found_in(_LIBRARY)
        changed.models = _bare(f"{_LIBRARY}.models")
        # Of processors, which read the whole library, models take one name, for its types.
        changed.processing_utils = _bare(f"{_LIBRARY}.processing_utils", Unpack=Unpack)
        with _distributions_on_demand():
            utilities: Any = import_module(f"{_LIBRARY}.utils")
        utilities.auto_docstring = _undecorated  # it reads sources, to write the documentation of models
        questions = utilities.import_utils
        _answer_no(questions, *_NOT_USED, _SPREADS)
        with without_compiler():
            for name in _OF_ALL_MODELS:
                import_module(name)
        getattr(questions, _SPREADS).cache_clear()


class _Distributions(dict[str, list[str]]):
    """Import name -> distributions; mostly they are called alike, which is seen without reading all there are."""

    def __init__(self, read: Callable[[], Mapping[str, list[str]]]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, name: str) -> list[str]:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found = self._read().get(name)
            if found is None:
                raise KeyError(name) from None
            return self.setdefault(name, found)
        return self.setdefault(name, [name])


@contextmanager
def _distributions_on_demand() -> Iterator[None]:
    """Who asks within what distributions there are gets a table that reads each when it is looked up.

    Up to its version 5.17, transformers reads all that are installed as soon as it is imported: a second and more.
    """
    changed: Any = metadata
    before = changed.packages_distributions
    changed.packages_distributions = lambda: _Distributions(cache(before))
    try:
        yield
    finally:
        changed.packages_distributions = before


def _answer_no(questions: Any, *names: str) -> None:
    """Let questions be answered by what they ask themselves: whether a package is there, and PyTorch with it."""
    before = questions._is_package_available, questions.is_torch_available
    questions._is_package_available = lambda *_, **__: (False, "N/A")
    questions.is_torch_available = lambda: False
    try:
        for name in names:
            getattr(questions, name)()
    finally:
        questions._is_package_available, questions.is_torch_available = before


@contextmanager
def without_compiler() -> Iterator[None]:
    """PyTorch's compiler is not loaded within where it is only told what not to compile, as on the device `meta`.

    It is told so again afterwards, by whoever loads it.
    """
    if _COMPILER in sys.modules:
        yield
        return
    import torch

    told: list[Any] = []
    in_its_place: dict[str, Any] = {name: ModuleType(name) for name in (_COMPILER, _OF_COMPILER)}
    vars(in_its_place[_COMPILER]).update(
        disable=partial(_noted, told),
        allow_in_graph=_undecorated,
        assume_constant_result=_undecorated,
    )
    in_its_place[_OF_COMPILER].TransformGetItemToIndex = _of_the_compiler
    package: Any = torch
    package._dynamo = in_its_place[_COMPILER]
    sys.modules.update(in_its_place)
    try:
        yield
    finally:
        del package._dynamo
        for name in in_its_place:
            del sys.modules[name]
        for function in told:
            vars(function).pop("__dynamo_disable", None)


def _noted(told: list[Any], function: Any = None, *_: object, **__: object) -> Any:
    """The function, or what decorates one; PyTorch keeps it as what the compiler made of the function."""
    if function is None:
        return _undecorated
    told.append(function)
    return function


def _undecorated(function: Any = None, *_: object, **__: object) -> Any:
    return _undecorated if function is None else function


def _of_the_compiler() -> Any:
    """What masks are made within that nothing here asks for."""
    return import_module(_OF_COMPILER).TransformGetItemToIndex()


def _bare(name: str, **known: object) -> ModuleType:
    """A module that has not run, with the names that are asked of it for certain."""
    module: Any = module_from_spec(_spec(name))
    vars(module).update(known, __getattr__=_found_in(name))
    sys.modules[name] = module
    return module


def _found_in(bare: str) -> Callable[[str], Any]:
    """What finds a name that a bare module lacks: a module of the package, or what the name is once it has run."""

    def find(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if hasattr(sys.modules[bare], "__path__") and find_spec(f"{bare}.{name}") is not None:
            return import_module(f"{bare}.{name}")
        return getattr(_run(bare), name)

    return find


def _run(bare: str) -> ModuleType:
    """The module when it has run; it may have put another into its place."""
    module = sys.modules[bare]
    if vars(module).pop("__getattr__", None) is not None:
        spec = _spec(bare)
        assert spec.loader is not None
        module.__spec__ = spec
        spec.loader.exec_module(module)
        if sys.modules[bare] is not module:  # who holds it sees the other
            vars(module)["__getattr__"] = partial(getattr, sys.modules[bare])
    return sys.modules[bare]


def _spec(name: str) -> ModuleSpec:
    """That of the library itself, or of a module of it."""
    spec = PathFinder.find_spec(name, None if name == _LIBRARY else sys.modules[_LIBRARY].__path__)
    assert spec is not None
    return spec
