"""The demo, run by Snakemake in a folder of its own."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from known_stages import stages_computed_once
from snakemakes import run_snakemake

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workflow:
    """The project's workflow over a working directory."""

    directory: Path

    def arguments(self, *more: str) -> list[str]:
        profile = ["--workflow-profile", str(ROOT / "profiles/default")]
        return ["--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *profile, *more]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *self.arguments(*arguments)]

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return run_snakemake(self.arguments(*arguments), cwd=self.directory)

    @property
    def results(self) -> Path:
        return self.directory / "results"


@pytest.fixture(scope="session", autouse=True)
def trunk_computed_once() -> Iterator[None]:
    """All jobs in forks of this process share what SAM2's trunk makes of an image; those started anew do not."""
    with TemporaryDirectory() as folder, stages_computed_once(Path(folder)):
        yield


@pytest.fixture(scope="session")
def start():
    """A function that gives a directory the project's own configuration, changed; unless the whole is asked for,
    Sa2VA on angiograms alone. Fewer draws and redrawn truths than there do for what tests look at.
    """

    def start(directory: Path, change=lambda config: None, *, whole: bool = False) -> Workflow:
        config = yaml.safe_load((ROOT / "config.yaml").read_text())
        if not whole:
            del config["datasets"]["films"], config["models"]["vesselness"], config["models"]["annotator"]
            config["evaluations"] = [{"model": "demo", "dataset": "demo", "split": "test"}]
        layers = config["models"]["demo"]
        for name in ("base_mllm", "sam2", "checkpoint"):
            layers[name] = str(ROOT / layers[name])
        config["inference"]["shards"] = 2  # whatever the machine has
        config["scores"].update(bootstrap_draws=1000, ceiling_sample=8)  # seconds less for each scoring
        change(config)
        directory.mkdir(exist_ok=True)
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        return Workflow(directory)

    return start


@pytest.fixture(scope="session")
def demo(start, tmp_path_factory) -> Workflow:
    """The whole demo, finished."""
    workflow = start(tmp_path_factory.mktemp("demo"), whole=True)
    finished = workflow.run()
    assert finished.returncode == 0, finished.stderr
    return workflow
