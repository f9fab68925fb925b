"""A model's identity is taken from a report only where the report says what its folder holds."""

import pytest

from refvessel.errors import UserError
from refvessel.files import write_json
from refvessel.predictions import hashing
from refvessel.predictions.hashing import hash_beside
from refvessel.predictions.identity import identify, model_identity, require_as_converted
from refvessel.provenance import identity_of_tensors

TENSORS = {"a": {"dtype": "float32", "shape": [1], "sha256": "0" * 64}}


@pytest.mark.parametrize(
    "report",
    [
        [],
        {"identity": identity_of_tensors({}, {}), "tensors": [], "files": {}},
        {"identity": identity_of_tensors({}, {}), "tensors": {}, "files": []},
        {"identity": 5, "tensors": {}, "files": {}},
        {"identity": "0" * 64, "tensors": TENSORS, "files": {}},
        {"identity": identity_of_tensors(TENSORS, {}), "tensors": {"a": "b"}, "files": {}},
        {
            "identity": identity_of_tensors(TENSORS, {}),
            "tensors": TENSORS,
            "files": {"config.json": "1" * 64},
        },
    ],
)
def test_a_report_that_contradicts_itself_names_no_model(report, tmp_path):
    write_json(tmp_path / "conversion.json", report)
    with pytest.raises(UserError, match=r"conversion\.json does not describe a conversion"):
        require_as_converted(tmp_path)


def test_a_consistent_report_is_taken(tmp_path):
    report = {"identity": identity_of_tensors(TENSORS, {}), "tensors": TENSORS, "files": {}}
    write_json(tmp_path / "conversion.json", report)
    assert require_as_converted(tmp_path) == report


def test_files_are_hashed_once_as_long_as_they_do_not_change(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    found = identify(tmp_path)
    assert identify(tmp_path) is found
    first = found.result()
    assert first == model_identity(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert identify(tmp_path).result().sha256 != first.sha256
    write_json(tmp_path / "conversion.json", [])
    with pytest.raises(UserError, match=r"conversion\.json does not describe a conversion"):
        identify(tmp_path).result()


def test_a_process_of_its_own_hashes_alike_and_says_why_it_could_not(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("config.json", "model.safetensors", "empty.safetensors")]
    for path, size in zip(paths, (2, 3 << 20, 0), strict=True):
        path.write_bytes(bytes(range(256)) * (size // 256) or b"{}"[:size])
    monkeypatch.setattr(hashing, "_READ_AT_ONCE", 1000)
    within = hash_beside(paths)
    monkeypatch.setattr(hashing, "_WORTH_A_PROCESS", 0)
    assert hash_beside(paths) == within
    monkeypatch.setattr(hashing.sys, "executable", "false")
    with pytest.raises(UserError, match="could not be hashed"):
        hash_beside(paths)
