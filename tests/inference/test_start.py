"""What a job does not load, though the libraries that it uses would."""

import subprocess
import sys
from importlib import metadata

import pytest

from refvessel.model.library import _Distributions, _distributions_on_demand

# What trains, compiles, distributes or serves models, what reads tables, and what plots.
LEFT_OUT = {
    "accelerate",
    "matplotlib",
    "pandas",
    "peft",
    "pyarrow",
    "scipy",
    "skimage",
    "sklearn",
    "sympy",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "transformers.models.qwen3_vl.modeling_qwen3_vl",
    "transformers.trainer",
}
JOB = f"""
import sys
from refvessel.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
import refvessel.inference.sequence_run
print("loaded:", *({LEFT_OUT!r} & sys.modules.keys()))
import transformers
print("whole:", transformers.BertConfig().model_type)
"""


def test_a_job_loads_parts_of_its_libraries_and_whoever_asks_gets_the_rest(tree, demo_model, tmp_path):
    job = [sys.executable, "-c", JOB, "segment", "--model", str(demo_model)]
    job += ["--dataset", str(tree), "--split", "test", "--output", str(tmp_path / "shard.jsonl")]
    told = subprocess.run(job, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    assert told == ["loaded:", "whole: bert"]


def test_distributions_are_looked_up_one_by_one_and_all_read_only_for_one_that_is_called_otherwise():
    reads = []

    def read():
        reads.append(1)
        return {"PIL": ["pillow"]}

    found = _Distributions(read)
    assert found["numpy"] == ["numpy"]
    assert not reads
    assert found["PIL"] == ["pillow"]
    with pytest.raises(KeyError, match="unheard_of"):
        found["unheard_of"]
    assert {**found} == {"numpy": ["numpy"], "PIL": ["pillow"]}
    before = metadata.packages_distributions
    with _distributions_on_demand():
        assert metadata.packages_distributions()["numpy"] == ["numpy"]
    assert metadata.packages_distributions is before
