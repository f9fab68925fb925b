"""A model's identity is taken from a report only where the report says what its folder holds."""

import pytest

from refvessel.errors import UserError
from refvessel.files import write_json
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
