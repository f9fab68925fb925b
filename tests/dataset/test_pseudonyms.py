import hashlib
import hmac
import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from refvessel.dataset.patients.pseudonyms import OriginalNames, Pseudonyms, read_or_create_key
from refvessel.errors import UserError


def test_a_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "private" / "pseudonym.key"
    key = read_or_create_key(path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_or_create_key(path) == key
    assert [entry.name for entry in path.parent.iterdir()] == ["pseudonym.key"]


def test_jobs_that_start_together_share_one_key(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: read_or_create_key(tmp_path / "key"), range(32)))
    assert len(set(keys)) == 1


def test_a_key_that_others_can_read_is_refused(tmp_path):
    read_or_create_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(UserError, match="can be read by others"):
        read_or_create_key(tmp_path / "key")


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, b"0" * 63])
def test_a_file_that_holds_no_key_is_refused(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UserError, match="does not hold a key of 64 hexadecimal digits"):
        read_or_create_key(path)


def test_pseudonyms_are_keyed_hashes():
    names = Pseudonyms(b"k" * 32)
    digest = hmac.new(b"k" * 32, b"patient\0zhang", hashlib.sha256).hexdigest()
    assert names.patient("zhang") == f"p{digest[:10]}"
    assert re.fullmatch(r"p[0-9a-f]{10}_[0-9a-f]{10}", names.image("a/zhang_1.png", "zhang"))
    assert names.image("a/zhang_1.png", "zhang").startswith(names.patient("zhang"))


def test_another_key_or_name_is_another_pseudonym():
    names, others = Pseudonyms(b"k" * 32), Pseudonyms(b"l" * 32)
    assert names.patient("zhang") != others.patient("zhang")
    assert names.image("a.png", "zhang") != names.image("a.jpg", "zhang")


def test_original_names_are_made_safe_for_files():
    names = OriginalNames()
    assert names.image("a/b/p1_01.png", "p1") == "a__b__p1_01"
    assert names.image("Müller [2] (3).v1.png", "x") == "Müller__2___3_.v1"
    assert names.patient("p 1") == "p 1"
