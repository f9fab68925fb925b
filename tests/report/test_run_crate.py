"""The crate of a finished run, against what its profiles require, read as plain JSON."""

import hashlib
import json
import re
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from refvessel.cli import app
from refvessel.cli.run_command import workflow_folder
from refvessel.crate.run_crate import export_crate
from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.privacy.name_tables import Name, write_name_table
from refvessel.settings.checked import checked_config

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
}


def settings_of(results: Path):
    return checked_config(
        {
            "pathvars": {"results": str(results)},
            "models": {"demo": {"folder": str(results.parent / "Mueller_Hans" / "model")}},
            "datasets": {
                "demo": {
                    "format": "masks",
                    "root": str(results.parent / "Mueller_Hans"),
                    "phrases": {"vessel": "blood vessel", "catheter": "catheter"},
                    "single_split": "test",
                }
            },
            "evaluations": [{"model": "demo", "dataset": "demo", "split": "test"}],
        }
    )


@pytest.fixture(scope="module")
def finished(usual, tmp_path_factory):
    """A copy of the results of a finished run; a model's conversion states what it was made of."""
    return usual.copied(tmp_path_factory.mktemp("finished") / "results").root


@pytest.fixture(scope="module")
def crate(finished, tmp_path_factory):
    """The folder of its crate, written where no address can be reached."""
    output = tmp_path_factory.mktemp("crate") / "crate"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", None)
        patch.setattr(socket, "socket", None)
        export_crate(
            settings=settings_of(finished),
            workflow=workflow_folder(),
            output=output,
            licence="https://spdx.org/licenses/CC-BY-4.0",
        )
    return output


@pytest.fixture(scope="module")
def entities(crate):
    """Each entity of the metadata by its @id."""
    content = json.loads((crate / "ro-crate-metadata.json").read_text("utf-8"))
    assert content["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        "https://w3id.org/ro/terms/workflow-run/context",
    ]
    found = {entity["@id"]: entity for entity in content["@graph"]}
    assert len(found) == len(content["@graph"])
    return found


def ids(value) -> set[str]:
    return {each["@id"] for each in (value if isinstance(value, list) else [value])}


def types(entity) -> set[str]:
    kinds = entity["@type"]
    return set(kinds) if isinstance(kinds, list) else {kinds}


def test_the_root_has_what_ro_crate_and_the_profiles_require(entities):
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert types(descriptor) == {"CreativeWork"}
    assert ids(descriptor["about"]) == {"./"}
    assert "https://w3id.org/ro/crate/1.1" in ids(descriptor["conformsTo"])
    assert types(root) == {"Dataset"}
    assert ids(root["conformsTo"]) == PROFILES
    assert all(types(entities[profile]) == {"CreativeWork"} for profile in PROFILES)
    assert root["name"]
    assert root["description"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", root["datePublished"])
    assert ids(root["license"]) == {"https://spdx.org/licenses/CC-BY-4.0"}
    assert ids(root["mentions"]) == {"#run"}


def test_every_file_is_described_with_its_hash_and_size(crate, entities):
    files = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    described = {name for name in ids(entities["./"]["hasPart"]) if "File" in types(entities[name])}
    assert described == files - {"ro-crate-metadata.json"}
    for name in described:
        entity = entities[name]
        assert entity["sha256"] == sha256_of_file(crate / name)
        assert int(entity["contentSize"]) == (crate / name).stat().st_size
        assert entity["encodingFormat"]
    assert {
        *(
            "Snakefile",
            "configuration.json",
            "report/index.html",
            "report/methods.md",
            "report/tables/overall.tex",
        ),
        *("scores/demo/demo/test/cases.parquet", "scores/demo/demo/test/summary.json"),
        *("predictions/demo/demo/test/predictions.parquet", "datasets/demo/dataset.json"),
        "workflow/rules/report.smk",
    } <= described


def test_the_workflow_and_its_run_are_what_the_profiles_require(entities):
    (main,) = ids(entities["./"]["mainEntity"])
    workflow, run = entities[main], entities["#run"]
    assert types(workflow) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    language = entities[next(iter(ids(workflow["programmingLanguage"])))]
    assert types(language) == {"ComputerLanguage"}
    assert language["name"] == "Snakemake"
    assert types(run) == {"CreateAction"}
    assert ids(run["instrument"]) == {main}
    assert run["endTime"] == entities["./"]["datePublished"]
    assert run["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert {"configuration.json", "datasets/demo/dataset.json"} <= ids(run["object"])
    assert {"report/index.html", "scores/demo/demo/test/cases.parquet"} <= ids(run["result"])
    for way, files in (("input", run["object"]), ("output", run["result"])):
        for name in ids(workflow[way]):
            parameter = entities[name]
            assert types(parameter) == {"FormalParameter"}
            assert parameter["additionalType"] == "File"
            assert ids(parameter["conformsTo"]) == {
                "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
            }
        given = [entities[name] for name in ids(files)]
        assert all(
            ids(each["exampleOfWork"]) <= ids(workflow[way]) for each in given if "File" in types(each)
        )
    software = {
        entities[name]["name"]: entities[name]["version"] for name in ids(workflow["softwareRequirements"])
    }
    assert software["refvessel"] == workflow["version"]
    assert re.fullmatch("[0-9a-f]{64}", entities["#code"]["value"])


def test_what_is_not_in_the_crate_is_named_by_its_hash(entities):
    absent = [entity for name, entity in entities.items() if name.startswith("ni:///sha-256;")]
    assert [(each["name"], each["sha256"]) for each in absent] == [("iter_9.pth", "c0" * 32)]
    assert absent[0]["@id"] in ids(entities["#run"]["object"])


def test_every_reference_leads_to_an_entity_or_is_an_address(entities):
    def references(value):
        if isinstance(value, dict):
            yield from [value["@id"]] if value.keys() == {"@id"} else []
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    for entity in entities.values():
        for name in references({key: value for key, value in entity.items() if key != "@id"}):
            assert name in entities or name.startswith("https://"), name


def test_no_path_and_no_name_of_a_path_is_in_the_crate(crate, finished):
    configuration = json.loads((crate / "configuration.json").read_text("utf-8"))
    assert configuration["datasets"]["demo"]["root"] == "path, not published"
    assert configuration["scores"]["nsd_tolerance"] == 2
    for path in crate.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"Mueller" not in content, path
            assert str(finished).encode() not in content, path


def test_a_crate_that_names_a_patient_does_not_appear(finished, tmp_path):
    table, log = tmp_path / "secret/names/demo.csv", tmp_path / "secret/logs/crate.log"
    write_name_table(table, [Name("patient", "p0123456789", "Catheter^Ina")])
    given = {"workflow": workflow_folder(), "output": tmp_path / "crate", "licence": None}
    with pytest.raises(UserError, match="names the patient p0123456789") as refused:
        export_crate(settings=settings_of(finished), **given, name_tables=[table], private_log=log)
    assert not (tmp_path / "crate").exists()
    assert "atheter" not in str(refused.value)
    assert "Catheter^Ina" in log.read_text("utf-8")
    write_name_table(table, [Name("patient", "p0123456789", "Nobody^Wildcards")])  # words of the code
    export_crate(settings=settings_of(finished), **given, name_tables=[table])


def test_an_unfinished_or_changed_run_has_no_crate(usual, tmp_path):
    results = usual.copied(tmp_path / "results").root
    given = {"workflow": workflow_folder(), "licence": None, "output": tmp_path / "crate"}

    def refused() -> str:
        with pytest.raises(UserError) as caught:
            export_crate(settings=settings_of(results), **given)
        assert not (tmp_path / "crate").exists()
        return str(caught.value)

    methods = results / "report/methods.md"
    methods.write_text("Dice 1.000", "utf-8")
    assert refused() == f"{methods} is not the file that manifest.json describes; render the report again."
    methods.unlink()
    assert refused() == f"{methods} does not exist; run the workflow to its end before its crate is made."
    (results / "report/manifest.json").unlink()
    assert "manifest.json does not exist; run the workflow to its end" in refused()
    with pytest.raises(UserError, match="exists; name a folder that does not"):
        export_crate(settings=settings_of(results), **(given | {"output": results}))


def test_the_command_writes_the_same_crate(crate, finished, tmp_path):
    config = tmp_path / "my.yaml"
    config.write_text(json.dumps(settings_of(finished).given(), default=str), "utf-8")
    words = ["export-crate", "--config", str(config), "--output", str(tmp_path / "crate")]
    words += ["--licence", "https://spdx.org/licenses/CC-BY-4.0"]
    words += ["--set", "datasets.demo.pseudonymise=false"]
    ran = CliRunner().invoke(app, words, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output

    def content(folder: Path) -> dict[str, str]:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        return {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name.count("/")}

    assert content(tmp_path / "crate") == content(crate)
    assert ran.output == f"{tmp_path / 'crate'}: {len([p for p in crate.rglob('*') if p.is_file()])} files.\n"
