"""The demo in small, for tests of schedulers and stores: one data set without films, three shards."""

import copy
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
# It does not outlive a test that is killed.
SNAKEMAKE = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "snakemake"]
SNAKEMAKE += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "my.yaml"]

_DEMO = yaml.safe_load((ROOT / "config.yaml").read_text())


def write_small_demo(folder: Path, root: str = _DEMO["datasets"]["demo"]["root"]) -> Path:
    """Make a folder with `my.yaml`; the folder of the data may be another than the workflow makes."""
    config = copy.deepcopy(_DEMO)
    config["datasets"] = {"demo": config["datasets"]["demo"] | {"root": root, "pseudonymise": False}}
    config["models"] = {"demo": config["models"]["demo"]}
    for name in ("base_mllm", "sam2", "checkpoint"):
        config["models"]["demo"][name] = str(ROOT / config["models"]["demo"][name])
    config["evaluations"] = [{"model": "demo", "dataset": "demo", "split": "test"}]
    # Each answer is on the disk when it is given.
    config["inference"].update(shards=3, batch_size=1, threads=1)
    config["scores"].update(bootstrap_draws=100, ceiling_sample=0)  # what is scored is tested elsewhere
    folder.mkdir(parents=True)
    (folder / "my.yaml").write_text(yaml.safe_dump(config))
    return folder
