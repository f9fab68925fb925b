"""Fixtures that every test may use."""

import faulthandler
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import frozen_objects
import hypothesis
import pytest

gc.disable()  # until everything is imported, which is not searched for what could be freed
# Before anything computes: with models this small, the threads of several workers only wait for each other
# (three times the CPU time). Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No power cut ends a test: what it writes need not reach the disk.
os.fsync = lambda descriptor: None
# Some tests let a forked process abort: pytest's dump of it would look like a failure.
os.register_at_fork(after_in_child=faulthandler.disable)

_ROOT = Path(__file__).resolve().parents[1]
# Rooms of tests/: the longest, and before those that fill the memory those whose many forks copy its tables.
_FIRST = ("workflow", "dataset", "inference", "parity", "report", "demo")


def _room(path: Path) -> str:
    return path.relative_to(_ROOT / "tests").parts[0]


def pytest_configure(config):
    """Every second worker begins with the last files: asserts that one has rewritten, the other need not."""
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")
    if int(worker.removeprefix("gw")) % 2 and config.args == config.getini("testpaths"):
        apart = set(config.getini("norecursedirs"))
        files = (path for path in (_ROOT / "tests").rglob("test_*.py") if not apart.intersection(path.parts))
        config.args[:] = sorted(map(str, files), reverse=True)


def pytest_collection_modifyitems(items):
    """What takes long is begun first, so that no worker is left with it at the end."""
    rank = {room: number for number, room in enumerate(_FIRST)}
    items.sort(key=lambda item: (rank.get(_room(item.path), len(rank)), item.path))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What the imports left stays: collecting garbage among it again and again is a tenth of the time.

    A job in this process would unfreeze it, with what it froze itself for the processes that it forks. That they
    free nothing they inherit matters where there is a GPU, and to the tests that take `freezing`.
    """
    collected = yield
    frozen_objects.freeze_what_is_there()
    gc.enable()
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        gc.freeze = gc.unfreeze = lambda: None
    return collected


@pytest.fixture
def freezing(monkeypatch):
    """Within a test, objects are frozen and unfrozen as ever."""
    for name, function in frozen_objects.FUNCTIONS.items():
        monkeypatch.setattr(gc, name, function)
    yield
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file's tests run in one worker, and all of the workflow's: what they share is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.partition("::")[0]
            return "workflow" if path.startswith("tests/workflow/") else path

    config.option.loadscopereorder = False  # by the number of tests, which says nothing of their cost
    return ByFile(config, log)


# A test's time depends on what else the machine does: no example fails for being slow.
hypothesis.settings.register_profile(
    "without deadline",
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("without deadline")


@pytest.fixture(scope="session")
def shared_if_there() -> Path | None:
    """The folder shared with developers and CI."""
    folder = _ROOT.parent / "shared"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared(shared_if_there: Path | None) -> Path:
    """The same folder; tests that need it skip, saying so, where it is absent."""
    if not shared_if_there:
        pytest.skip("the shared test data shared/ is not beside the project")
    return shared_if_there


@pytest.fixture(scope="session")
def parity(shared: Path) -> Path:
    """The parity cases: the official code's results on a very small model."""
    return shared / "parity" / "internvl_qwen2"


@pytest.fixture(scope="session")
def official_folder() -> Path:
    """A folder as the official conversion writes it; without its weights, but with their names and shapes."""
    return _ROOT / "tests" / "data" / "internvl_qwen2"


@pytest.fixture(scope="session")
def demo_layers() -> dict[str, Path]:
    """The layers of the demo's fine-tuned checkpoint, by the names of `convert_checkpoint`."""
    folder = _ROOT / "data" / "demo"
    (checkpoint,) = folder.glob("iter_*.pth")
    (sam2,) = folder.glob("sam2_*.pt")
    return {"base_mllm": folder / "base_mllm", "sam2": sam2, "checkpoint": checkpoint}


@pytest.fixture(scope="session")
def demo_model(demo_layers, tmp_path_factory) -> Path:
    """The demo's model as a Hugging Face folder, converted in float32."""
    from stages import convert_checkpoint

    folder = tmp_path_factory.mktemp("demo") / "model"
    convert_checkpoint(**demo_layers, pretrained=None, output=folder, dtype="float32")
    return folder


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """An empty file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """Three frames, two expressions each."""
    from stages import convert_dataset

    from refvessel.demo.annotations import write_labelme_folder

    folder = tmp_path_factory.mktemp("tree")
    write_labelme_folder(output=folder / "frames", patients=[0], frames=3)
    convert_dataset(
        format="labelme",
        root=folder / "frames",
        output=folder / "tree",
        phrases={"vessel": "blood vessel", "catheter": "catheter"},
        single_split="test",
        include_empty=True,
        key_file=folder / "secret" / "key",
    )
    return folder / "tree"


@pytest.fixture(scope="session")
def segmented(tree, demo_model, tmp_path_factory) -> Path:
    """The whole split in one shard, image by image, with its logits."""
    from stages import segment_shard

    shard = tmp_path_factory.mktemp("segmented") / "all.jsonl"
    segment_shard(model=demo_model, dataset=tree, split="test", output=shard, batch_size=1, save_logits=True)
    return shard


@pytest.fixture
def run():
    """What a shard was made by."""
    from refvessel.predictions.run_file import Run

    return Run(
        model="m",
        split="test",
        shard="1/1",
        question="?",
        dtype="float32",
        device="cpu",
        language_weights=None,
        batch_size=1,
        draft=None,
        max_new_tokens=9,
        flips=False,
        compiled="no",
        save_logits=False,
        code="c",
        versions={},
    )


def _tables(cases: list[dict]):
    import pandas as pd

    from refvessel import rle

    predictions, truth = [], []
    for number, case in enumerate(cases, start=1):
        height, width = case["truth"].shape
        ids = {
            "image_id": case.get("image_id", f"image{number}"),
            "ref_id": number,
            "sent_id": number,
            "phrase": case.get("phrase", "blood vessel"),
        }
        patient = case.get("patient", "P1")
        truth.append(
            {
                **ids,
                "patient": patient,
                "height": height,
                "width": width,
                "mask": rle.encode(case["truth"]),
                "ignore_mask": rle.encode(case["ignore"]) if "ignore" in case else None,
                "spacing": case.get("spacing"),
            }
        )
        status = case.get("status", "ok")
        found = [rle.encode(case["prediction"])] if status == "ok" else []
        predictions.append(
            {
                **ids,
                "prompt": "<image>\n Please segment it in this image.",
                "answer": "Sure, [SEG]." if status == "ok" else "",
                "num_seg": len(found),
                "status": status,
                "error": "out of memory" if status == "failed" else None,
                "mask": found[0] if found else rle.empty(height, width),
                "masks": found,
                "score": 0.5 if found else None,
                "seconds": 0.25,
            }
        )
    return pd.DataFrame(predictions), pd.DataFrame(truth)


@pytest.fixture(scope="session")
def tables():
    """A function: cases (truth, prediction, and what differs from the usual) -> predictions, truth."""
    return _tables


def _vessel_cases() -> list[dict]:
    import numpy as np

    random = np.random.default_rng(7)

    def case(truth_share: float, flipped: float, **rest) -> dict:
        truth = random.random((24, 32)) < truth_share
        return {"truth": truth, "prediction": truth ^ (random.random(truth.shape) < flipped), **rest}

    return [
        case(0.4, 0.05, patient="P1"),
        case(0.3, 0.20, patient="P1", phrase="catheter"),
        case(0.2, 0.30, patient="P1"),
        case(0.1, 0.0, patient="P2", status="failed"),
        case(0.6, 0.0, patient="P3", status="no_seg", phrase="catheter"),
        case(0.0, 0.1, patient="P3"),
    ]


@pytest.fixture(scope="session")
def make_vessel_cases():
    """A function: the cases of `vessel_cases`, for what is made once of them."""
    return _vessel_cases


@pytest.fixture
def vessel_cases() -> list[dict]:
    """Six expressions of three patients, unequal in frames, size and overlap; one failed, one no_seg."""
    return _vessel_cases()
