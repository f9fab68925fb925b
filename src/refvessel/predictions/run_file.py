"""How a shard was segmented: the file beside it, `NAME.run.json`."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from refvessel.artifacts import RUN_SUFFIX, beside
from refvessel.errors import UserError
from refvessel.files import read_json, write_json

# Settings that change answers. Size of a batch, draft, threads and compilation only round otherwise: that may
# move a pixel whose logit is all but zero, and choose another of SAM2's candidates where two are all but equal:
# `Prediction.lead`.
ANSWER_SETTINGS = ("question", "dtype", "device", "language_weights", "max_new_tokens", "flips", "video")
_ANSWERS_DEPEND_ON = ("model", *ANSWER_SETTINGS, "code", "versions")
# Fields in which all shards of a table agree.
COMMON = (*_ANSWERS_DEPEND_ON, "split")
# Fields in which those whose threshold was tuned must agree with those that it is applied to.
TUNED_FOR = ("model", "question", "flips")


@dataclass(frozen=True)
class Run:
    """How a shard was segmented.

    model: identity of the weights, see `ModelIdentity`.
    model_from: what it was taken from, see there.
    code: hash of the modules that answer.
    versions: of the libraries that compute answers.
    video: of sequences that were segmented with SAM2's memory, the settings of the section `video` that change
        answers, and the SHA-256 of SAM2's own checkpoint where that propagates; None of images.
    The other fields are settings of the configuration's section `inference`.
    """

    model: str
    split: str
    shard: str
    question: str
    dtype: str
    device: str
    language_weights: str | None
    batch_size: int | None
    draft: str | None
    max_new_tokens: int
    flips: bool
    compiled: str
    save_logits: bool
    code: str
    versions: dict[str, str]
    video: dict[str, Any] | None = None
    model_from: str | None = None
    computed_by: list[str] | None = None

    @property
    def identity(self) -> str:
        """SHA-256 over what can change an answer, whatever is asked."""
        return run_identity(asdict(self))


def run_identity(run: Mapping[str, Any]) -> str:
    """The identity of a run of which the fields are known."""
    fields = {key: run.get(key) for key in _ANSWERS_DEPEND_ON}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def without_sam2(video: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a run's field `video`, without the checkpoint that stands there too."""
    return {name: value for name, value in video.items() if name != "sam2"}


def run_file(shard: Path) -> Path:
    """Where the description of a shard's run lies."""
    return beside(shard, RUN_SUFFIX)


def read_run(shard: Path) -> dict[str, Any] | None:
    """The description of a shard's run; None where the shard came without it."""
    path = run_file(shard)
    return read_json(path) if path.exists() else None


def note_paths(shard: Path, paths: Iterable[str]) -> None:
    """Add the paths that computed batches to the description of a shard's run.

    Not how many each did: a killed job's are computed again, and no artifact may tell that.
    """
    run = read_json(run_file(shard))
    run["computed_by"] = sorted({*(run.get("computed_by") or ()), *paths})
    write_json(run_file(shard), run)


def common_run(shards: Sequence[Path]) -> dict[str, Any] | None:
    """The fields in which the shards' runs must agree; None where all shards came without their run.

    Raises UserError where they do not agree.
    """
    runs = [(shard, run) for shard in shards if (run := read_run(shard)) is not None]
    if not runs:
        return None
    (first, common), *others = ((shard, {key: run.get(key) for key in COMMON}) for shard, run in runs)
    for shard, other in others:
        if differing := [key for key in COMMON if other[key] != common[key]]:
            raise UserError(
                f"{shard} differs from {first} in {', '.join(differing)}; give shards of one run."
            )
    return common
