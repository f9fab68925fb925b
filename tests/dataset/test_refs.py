import io
import pickle
import resource
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from refvessel.dataset.tree.refs import read_refs, stored_refs, write_refs
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


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_list_left_on_the_disk_has_the_same_items(tmp_path, protocol):
    shared = {"sent": "Gefäß", "tokens": ["a", "b"]}
    refs = [
        {"ref_id": n, "split": "test", "sentences": [shared], "pair": (n, None, 0.5)} for n in range(2500)
    ]
    (tmp_path / "refs").write_bytes(pickle.dumps(refs, protocol))
    stored = stored_refs(tmp_path / "refs")
    assert not isinstance(stored, list)
    assert list(stored) == read_refs(tmp_path / "refs")
    assert (len(stored), stored[-1]["ref_id"], len(stored[3:5])) == (2500, 2499, 2)


def test_a_list_that_refers_back_too_far_is_read_whole(tmp_path):
    late = {"sent": "late"}
    refs = [late, *([n] for n in range(140_000)), late]
    (tmp_path / "refs").write_bytes(pickle.dumps(refs, 2))
    assert stored_refs(tmp_path / "refs") == refs


def test_what_is_no_list_of_plain_data_is_refused_in_the_same_words(tmp_path):
    for number, value in enumerate(({"a": [1, 2]}, [[1], Bomb(tmp_path / "exploded")], ([1, 2],))):
        (tmp_path / "refs").write_bytes(pickle.dumps(value)[: -1 if number == 2 else None])
        told = []
        for read in (read_refs, stored_refs):
            with pytest.raises(UserError) as refused:
                read(tmp_path / "refs")
            told.append(str(refused.value))
        assert told[0] == told[1]
    assert not (tmp_path / "exploded").exists()


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


NESTED = 300_000
BOUNDLESS = {
    "deep key": b"\x80\x02})" + b"\x85" * NESTED + b"Ns.",
    "deep list": b"\x80\x02" + b"]" * NESTED + b"a" * (NESTED - 1) + b".",
    "list beyond what JSON nests": b"\x80\x02" + b"]" * 300 + b"a" * 299 + b".",
    "itself": b"\x80\x02]q\0h\0a.",
    "memo bomb": b"\x80\x02]q\0"
    + b"".join(b"]q%c(h%ch%ce" % (number + 1, number, number) for number in range(50))
    + b".",
    "memo index": b"\x80\x02]r\xff\xff\xff\x7f.",
    "nine bytes of 32 GB": b"\x96" + (1 << 35).to_bytes(8, "little") + b".",
    "frame of 32 GB": b"\x80\x04\x95" + (1 << 35).to_bytes(8, "little") + b"].",
    "number of 100,000 digits": b"\x80\x02](L" + b"9" * 100_000 + b"L\ne.",
    "number of 40,000 bytes": b"\x80\x02]\x8b" + (40_000).to_bytes(4, "little") + b"\x7f" * 40_000 + b"a.",
    "half a character": b"\x80\x02]X\x03\0\0\0\xed\xa0\x80a.",
}


@pytest.mark.parametrize("content", BOUNDLESS.values(), ids=BOUNDLESS.keys())
def test_small_files_do_not_cost_memory_time_or_the_process(tmp_path, content):
    (tmp_path / "refs").write_bytes(content)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(UserError, match=f"^{tmp_path / 'refs'}.* is not "):
        read_refs(tmp_path / "refs")
    assert time.monotonic() - start < 30  # of which 3 are the bound, on a machine with nothing else to do
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_what_occurs_often_is_read(tmp_path):
    refs = [{"ref_id": number, "tokens": ["blood", "vessel"] * 10} for number in range(2000)]
    shared = [refs[0]] * 1000
    (tmp_path / "refs").write_bytes(pickle.dumps(refs + shared, 4))
    assert read_refs(tmp_path / "refs") == refs + shared
