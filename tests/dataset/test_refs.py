import io
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from refvessel.dataset.refs import read_refs, write_refs
from refvessel.errors import UserError

REFS = [
    {"ref_id": 1, "split": "test", "sentences": [{"sent": "blood vessel", "tokens": ["blood", "vessel"]}]}
]


def test_what_is_written_is_read_by_us_and_by_plain_pickle(tmp_path):
    path = tmp_path / "refs(unc).p"
    write_refs(path, REFS)
    assert read_refs(path) == REFS
    assert pickle.loads(path.read_bytes()) == REFS
    assert path.read_bytes()[:2] == b"\x80\x02"  # protocol 2


def test_equal_refs_give_equal_bytes_whatever_objects_they_are_made_of(tmp_path):
    write_refs(tmp_path / "a", [{"split": "".join(["te", "st"]), "raw": "".join(["te", "st"])}])
    split = "test"
    write_refs(tmp_path / "b", [{"split": split, "raw": split}])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(tmp_path, protocol):
    (tmp_path / "refs").write_bytes(pickle.dumps([*REFS, {"numbers": (1, 2.5, None, True)}], protocol))
    assert read_refs(tmp_path / "refs")[0] == REFS[0]


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_pickle_that_names_code_runs_nothing(tmp_path):
    (tmp_path / "refs").write_bytes(pickle.dumps([Bomb(tmp_path / "exploded")]))
    with pytest.raises(UserError, match="not a pickle of plain data"):
        read_refs(tmp_path / "refs")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("value", [OrderedDict(a=1), np.int64(1), {1, 2}, io.BytesIO()])
def test_only_plain_containers_numbers_and_text_are_read(tmp_path, value):
    (tmp_path / "refs").write_bytes(pickle.dumps([value], 2))
    with pytest.raises(UserError, match="it names "):
        read_refs(tmp_path / "refs")


@pytest.mark.parametrize("content", [b"", b"\x80", b"nonsense", pickle.dumps(REFS)[:-20], b"(lp0\nI1x\na."])
def test_damaged_bytes_are_refused(tmp_path, content):
    (tmp_path / "refs").write_bytes(content)
    with pytest.raises(UserError, match="not a pickle of plain data"):
        read_refs(tmp_path / "refs")


def test_another_container_is_refused(tmp_path):
    (tmp_path / "refs").write_bytes(pickle.dumps({"refs": REFS}))
    with pytest.raises(UserError, match="holds dict, not a list"):
        read_refs(tmp_path / "refs")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="refs does not exist"):
        read_refs(tmp_path / "refs")
