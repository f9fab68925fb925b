"""Every command reads the configuration: a file, single values over it, options over these."""

import pytest
import typer
import yaml
from typer.testing import CliRunner

from refvessel.cli.section_options import Options, with_sections
from refvessel.errors import UserError
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.inference_section import Inference


@pytest.fixture
def chosen(tmp_path):
    """A function that gives the sections which a command line chooses, with this configuration in a file."""
    datasets = {name: {"format": "labelme", "root": f"<results>/{name}"} for name in ("a", "b")}
    content = {
        "pathvars": {"results": "out"},
        "models": {"m": {"folder": "model"}},
        "datasets": datasets,
        "evaluations": [{"model": "m", "dataset": "a", "split": "test"}],
        "inference": {"flips": True, "threads": 3},
    }
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump(content))

    def run(section, *words, file=file):
        app, seen = typer.Typer(), []
        flags = {"phrases": "--phrase", "splits": "--split"} if section is Dataset else {}
        key = "datasets" if section is Dataset else "inference"

        @app.command()
        @with_sections(settings=Options(section, key, named=section is Dataset, flags=flags))
        def command(settings: section) -> None:
            seen.append(settings)

        words = [*(["--config", str(file)] if file else []), *words]
        ran = CliRunner().invoke(app, words, catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        return seen[0]

    return run


def test_without_anything_the_defaults_are_the_settings(chosen):
    assert chosen(Inference, file=None) == Inference()


def test_a_file_is_overridden_by_single_values_and_these_by_options(chosen):
    assert chosen(Inference).threads == 3
    settings = chosen(Inference, "--set", "inference.threads=5", "--set", "inference.flips=false")
    assert (settings.threads, settings.flips) == (5, False)
    settings = chosen(Inference, "--set", "inference={threads: 5, draft: null}", "--threads", "7")
    assert (settings.threads, settings.draft, settings.flips) == (7, None, True)
    assert chosen(Inference, "--no-flips").flips is False


def test_a_section_is_chosen_by_its_name(chosen):
    assert str(chosen(Dataset, "--name", "b").root) == "out/b"
    with pytest.raises(UserError, match="datasets has a, b; choose one with --name"):
        chosen(Dataset)
    with pytest.raises(UserError, match=r"my\.yaml has no datasets\.c; --name may be a, b"):
        chosen(Dataset, "--name", "c")


def test_pairs_are_typed_as_in_a_file(chosen):
    words = [
        "--format",
        "masks",
        "--root",
        "data",
        "--phrase",
        "1=2",
        "--phrase",
        "x=null",
        "--split",
        "val=0.4",
    ]
    settings = chosen(Dataset, *words, "--split", "test=0.6", file=None)
    assert settings.phrases == {"1": "2", "x": None}
    assert settings.splits == {"val": 0.4, "test": 0.6}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "inference.flip=true"], "inference has the unknown key 'flip'; known are shards"),
        (["--set", "inference.flips=perhaps"], "inference.flips: 'perhaps' is not of type 'boolean'"),
        (["--set", "scores.nsd_tolerance=1"], "this command reads inference; leave it out"),
        (["--question", "vessel?"], "inference.question: 'vessel\\?' must hold <image>"),
        (["--set", "inference"], "is not of the form NAME=VALUE"),
    ],
)
def test_what_cannot_be_is_one_sentence(chosen, words, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        chosen(Inference, *words, file=None)
    assert "\n" not in str(error.value)
