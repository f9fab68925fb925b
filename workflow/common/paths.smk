# Where things lie: paths below the results, and input functions that know some of their names.
import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from refvessel import artifacts
from refvessel.code import code_hash

# As they are here: elsewhere in a workflow of which this is a module, others hold.
PATHVARS = workflow.pathvars

# Of what sees original names: beside the key and the names, outside everything that is published.
PRIVATE_LOGS = PATHVARS.apply("<private_logs>")


def at(*parts, **names):
    """A path below the results, of which some names are known."""
    return filled(os.path.join("<results>", *parts), **names)


def filled(path, **names):
    """A path of which some names are known."""
    for wildcard, name in names.items():
        path = path.replace(f"{{{wildcard}}}", name)
    return path


def knowing(function, places):
    """An input function of a rule in whose wildcards these are missing, since they are known."""
    return lambda wildcards: function(
        SimpleNamespace(**dict(wildcards.items()) | places)
    )


def any_of(names):
    """A pattern of these names."""
    return "|".join(names) or "(?!)"


def below_results(path):
    """Whether a path lies there, where the workflow may make it, or a default storage hold it."""
    return path.resolve().is_relative_to(RESULTS.resolve())


def is_there(file):
    """Whether a file is in the default storage or, without one, on the disk."""
    return file.storage_object.exists() if file.is_storage else os.path.exists(file)


@cache
def code_of(rule):
    """The hash of a rule's script and of all that it imports of the package."""
    return code_hash(Path(workflow.source_path(f"../scripts/{rule}.py")))
