"""What tests of schedulers share; `make test-slurm` installs the plugins beside the virtual environment."""

import copy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def small_demo():
    """A function that writes the demo's configuration without films into a folder, in three shards."""
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())

    def write(folder: Path) -> Path:
        config = copy.deepcopy(demo)
        config["datasets"] = {"demo": config["datasets"]["demo"] | {"pseudonymise": False}}
        config["models"] = {"demo": config["models"]["demo"]}
        for name in ("base_mllm", "sam2", "checkpoint"):
            config["models"]["demo"][name] = str(ROOT / config["models"]["demo"][name])
        config["evaluations"] = [{"model": "demo", "dataset": "demo", "split": "test"}]
        config["inference"].update(shards=3, batch_size=1)  # each answer is on the disk when it is given
        folder.mkdir(parents=True)
        (folder / "my.yaml").write_text(yaml.safe_dump(config))
        return folder

    return write
