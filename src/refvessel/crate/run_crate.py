"""Writing the crate: RO-Crate 1.1 with the profiles of Workflow Run Crate 0.5.

rocrate writes the metadata and copies the files; it follows no address, so that nothing is fetched.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from refvessel import __version__, artifacts
from refvessel.code import code_hash
from refvessel.crate.crate_parts import (
    CONFIGURATION,
    Input,
    Part,
    Role,
    code,
    inputs,
    names_published,
    outputs,
    versions_stated,
)
from refvessel.errors import UserError
from refvessel.files import atomic_directory, sha256_of_file, write_json
from refvessel.privacy.check import check_privacy
from refvessel.settings.published import published
from refvessel.settings.whole import Settings

_RO_CRATE = "1.1"  # which the profiles build on
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_SNAKEFILE = "Snakefile"
_README = "README.md"
_RUN = "#run"
_STEPS = ".smk"
_NO_LICENCE = "#no-licence"
_KINDS = {".html": "text/html", ".json": "application/json", ".csv": "text/csv", ".md": "text/markdown"}
_KINDS |= {".svg": "image/svg+xml", ".pdf": "application/pdf", ".webp": "image/webp", ".tex": "text/x-tex"}
_KINDS |= {
    _STEPS: "text/plain",
    ".py": "text/x-python",
    ".parquet": "application/vnd.apache.parquet",
    ".jpg": "image/jpeg",
}
_ABOUT = f"""# A run of RefVessel

`ro-crate-metadata.json` says what was run, on what, with which software, and what came of it.

- `report/index.html`: the report; `report/methods.md`: how the numbers came about
- `scores/`, `comparisons/`, `predictions/`: the artifacts that it was made from
- `{CONFIGURATION}`: all settings, without paths
- `{_SNAKEFILE}`, `workflow/`: the steps

Checkpoints and images are not here: their SHA-256 are.
"""
# What the workflow takes and gives, as formal parameters: name of each, and whether it is given to it.
_PARAMETERS: dict[Role, tuple[str, bool]] = {
    "configuration": ("All settings of the run, without paths", True),
    "model": ("Files that a model was made of, and the record of its conversion", True),
    "data": (
        "The record of a data set: patients, images and splits under pseudonyms, hashes of pixels",
        True,
    ),
    "predictions": ("The masks of a model, one row per expression", False),
    "scores": ("Scores of every expression, and their aggregates", False),
    "comparisons": ("Comparisons of models", False),
    "report": ("Pages, tables and figures", False),
}
_GIVEN = tuple(role for role, (_, is_given) in _PARAMETERS.items() if is_given)


def export_crate(
    *,
    settings: Settings,
    workflow: Path,
    output: Path,
    licence: str | None,
    name_tables: Sequence[Path] = (),
    private_log: Path | None = None,
) -> int:
    """Write the crate of a finished run; `output` appears whole or not at all. Returns how many files it holds.

    Args:
        settings: The run's; they say where its results lie.
        workflow: The folder of the Snakefile.
        output: Folder to write.
        licence: An address of the licence of the results; None where none is granted.
        name_tables: Those of the data sets with pseudonyms: all but the workflow's code is searched for the
            original names.
        private_log: Gets which name was found where; only its owner can read it.

    Raises:
        UserError: where the run is not finished, where `output` is there, and where an original name is found.
    """
    output = Path(output)
    if output.exists():
        raise UserError(f"{output} exists; name a folder that does not.")
    results = Path(settings.pathvars.apply("<results>"))
    made, given = outputs(settings, results), inputs(settings, results)
    with atomic_directory(output) as folder:
        write_json(folder / CONFIGURATION, published(settings))
        (folder / _README).write_text(_ABOUT, "utf-8")
        parts = [
            Part(folder / CONFIGURATION, CONFIGURATION, "configuration"),
            Part(folder / _README, _README, "code"),
            *code(workflow),
            *made,
        ]
        ended = _time_of(results / artifacts.OF_REPORT / artifacts.MANIFEST)
        crate = _described(parts, given, ended, licence, versions_stated(settings, results))
        crate.write(folder)
        if name_tables:
            check_privacy(
                folder,
                name_tables,
                accepted=settings.privacy.accepted,
                published=names_published(settings),
                private_log=private_log,
                shown_as=output,
                without_data=[part.path for part in parts if part.role == "code"],
            )
        return sum(path.is_file() for path in folder.rglob("*"))


def _described(
    parts: Sequence[Part], given: Sequence[Input], ended: str, licence: str | None, versions: dict[str, str]
) -> ROCrate:
    """The crate that has `parts` and knows of the inputs `given`; `ended` is the time of the report, ISO 8601."""
    crate = _new_crate(ended, licence)
    parameters = {
        role: crate.add_formal_parameter(
            role, "File", identifier=f"#{role}", description=told, valueRequired=is_given
        )
        for role, (told, is_given) in _PARAMETERS.items()
    }
    files = [(part, _file(crate, part, parameters)) for part in parts]
    scripts = [part.source for part in parts if part.path.endswith(".py")]
    _describe_workflow(crate, parameters, versions, code_hash(*scripts))
    read = [_absent(crate, each) for each in given]
    crate.add_action(
        crate.mainEntity,
        identifier=_RUN,
        object=[*(file for part, file in files if part.role in _GIVEN), *read],
        result=[file for part, file in files if part.role not in (*_GIVEN, "code")],
        properties={
            "name": "A run of the workflow",
            "description": "Snakemake ran all steps from the inputs to the report.",
            "endTime": ended,
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    crate.root_dataset["mentions"] = {"@id": _RUN}
    return crate


def _new_crate(ended: str, licence: str | None) -> ROCrate:
    """A crate without files that says which profiles it follows."""
    crate = ROCrate(version=_RO_CRATE)
    crate.metadata.extra_contexts.append(_TERMS)
    crate.metadata["conformsTo"] = [crate.metadata["conformsTo"], {"@id": _WORKFLOW_CRATE}]
    root = crate.root_dataset
    root["conformsTo"] = [
        _entity(crate, key, "CreativeWork", name=name, version=number)
        for key, (name, number) in _PROFILES.items()
    ]
    root["license"] = _licence(crate, licence)
    crate.name = "Evaluation of Sa2VA on blood-vessel images"
    crate.description = (
        "A run of RefVessel: configuration, code, hashes of what was read, predictions, scores, report."
    )
    crate.datePublished = datetime.fromisoformat(ended)
    return crate


def _describe_workflow(
    crate: ROCrate, parameters: dict[Role, Entity], versions: dict[str, str], code_identity: str
) -> None:
    """What the workflow takes and gives, its version, its code and the software that it needs."""
    workflow = crate.mainEntity
    workflow["input"] = [parameters[role] for role in _GIVEN]
    workflow["output"] = [parameters[role] for role in _PARAMETERS if role not in _GIVEN]
    workflow["conformsTo"] = {"@id": _WORKFLOW_PROFILE}
    workflow["version"] = versions.get("refvessel", __version__)
    workflow["softwareRequirements"] = [
        _entity(crate, f"#{name}", "SoftwareApplication", name=name, version=version)
        for name, version in versions.items()
    ]
    told = {"name": "SHA-256 of the code of all steps", "propertyID": "sha256", "value": code_identity}
    workflow["identifier"] = _entity(crate, "#code", "PropertyValue", **told)


def _file(crate: ROCrate, part: Part, parameters: dict[Role, Entity]) -> Entity:
    properties: dict[str, Any] = {
        "name": part.path,
        "contentSize": str(part.source.stat().st_size),
        "sha256": sha256_of_file(part.source),
    }
    if kind := _KINDS.get(part.source.suffix or _STEPS):
        properties["encodingFormat"] = kind
    if part.path == _SNAKEFILE:
        return crate.add_workflow(
            str(part.source), part.path, main=True, lang="snakemake", properties=properties
        )
    if part.path == _README:
        properties["about"] = {"@id": "./"}
    if part.role in parameters:
        properties["exampleOfWork"] = {"@id": parameters[part.role].id}
    return crate.add_file(str(part.source), part.path, properties=properties)


def _absent(crate: ROCrate, given: Input) -> Entity:
    """A file that is known by its hash: the name of RFC 6920 stands for it wherever it lies."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(given.sha256)).decode().rstrip("=")
    return _entity(
        crate,
        f"ni:///sha-256;{digest}",
        "CreativeWork",
        name=given.name,
        contentSize=str(given.bytes),
        sha256=given.sha256,
    )


def _licence(crate: ROCrate, licence: str | None) -> Entity:
    if licence is None:
        return _entity(
            crate, _NO_LICENCE, "CreativeWork", name="No licence", description="No licence is granted."
        )
    return _entity(crate, licence, "CreativeWork", name=licence)


def _entity(crate: ROCrate, identifier: str, kind: str, **properties: Any) -> Entity:
    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _time_of(path: Path) -> str:
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC).isoformat()
