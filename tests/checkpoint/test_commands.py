"""The commands about checkpoints, as a user types them."""

import json
import sys

import pytest

from refvessel import cli


@pytest.fixture
def refvessel(monkeypatch, capsys):
    """Run a command line; returns the exit status, what is printed, and what is printed as an error."""

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["refvessel", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


def convert_words(layers, output, *more):
    layers_of = {"base-mllm": layers.base_mllm, "sam2": layers.sam2, "checkpoint": layers.checkpoint}
    words = [word for name, path in layers_of.items() for word in (f"--{name}", path)]
    return ["convert-checkpoint", *words, "--output", output, *more]


def test_a_conversion_is_proved_on_screen(layers, refvessel, tmp_path):
    status, shown, _ = refvessel(*convert_words(layers, tmp_path / "out"))
    report = json.loads((tmp_path / "out/conversion.json").read_text())
    assert status == 0
    lines = shown.splitlines()
    assert lines[0] == "503 tensors, 12,477,634 parameters, bfloat16"
    assert lines[1] == f"identity {report['identity']}"
    assert lines[2] == "from base_mllm 62, lora_merged 21, sam2 277, trained 143"
    norms = sorted(entry.get("lora_delta_norm", 0) for entry in report["tensors"].values())
    assert f" to {norms[-1]:.3g} (" in lines[3]
    assert lines[4] == "339 of 503 tensors equal the base (67.4%)"
    assert len(lines) == 5


def test_overrides_reach_the_conversion_and_warnings_the_screen(layers, refvessel, tmp_path):
    overrides = ("--override", "template=qwen_chat", "--override", "llm_lora.lora_alpha=32")
    _, shown, _ = refvessel(*convert_words(layers, tmp_path / "out", *overrides))
    training = json.loads((tmp_path / "out/conversion.json").read_text())["training"]
    assert training["template"] == "qwen_chat"
    assert training["llm_lora"]["alpha"] == 32
    assert [line.startswith("Warning: ") for line in shown.splitlines()[-2:]] == [True, True]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--override", "template"), "NAME=VALUE"),
        (("--override", "special_tokens=["), "is not valid YAML"),
        (("--override", "template=a", "--override", "template.b=c"), "cannot be read"),
        (("--override", "llm_lora.rank=3"), "overrides.llm_lora has the unknown key 'rank'"),
        (("--override", "llm_lora=3"), "overrides.llm_lora: 3 is not of type 'object'"),
        (("--leave-out", "nothing*"), "matches 'nothing*'"),
    ],
)
def test_options_that_cannot_be_used_are_one_sentence(words, reason, layers, refvessel, tmp_path):
    status, _, error = refvessel(*convert_words(layers, tmp_path / "out", *words))
    assert status == 1
    assert error.startswith("refvessel: ")
    assert reason in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_folders_are_linked_compared_and_inspected(layers, refvessel, tmp_path):
    layers.convert(tmp_path / "a")
    _, linked, _ = refvessel("link-checkpoint", "--folder", tmp_path / "a", "--output", tmp_path / "b")
    assert "from official 503" in linked
    _, compared, _ = refvessel("compare-checkpoints", tmp_path / "a", tmp_path / "b")
    assert compared == "0 of 503 tensors differ: the checkpoints hold the same.\n"
    _, inspected, _ = refvessel("inspect", tmp_path / "b")
    assert "Hugging Face folder, 503 tensors, 12,477,634 parameters" in inspected
    status, _, error = refvessel("inspect", tmp_path / "absent")
    assert (status, error) == (1, f"refvessel: {tmp_path}/absent does not exist; check the path.\n")
