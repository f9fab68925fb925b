"""What a spool was given comes back, and nothing of it stays on the disk."""

from refvessel.dataset.conversion.spool import Spool, pack

VALUES = [{"mask": "x" * 1000}, [], ("a", 1.5), None]


def test_values_come_back_in_any_order_between_others(tmp_path):
    spool = Spool(tmp_path)
    places = [spool.append(pack(value)) for value in VALUES]
    assert [spool.read(place) for place in reversed(places)] == VALUES[::-1]
    later = spool.append(pack("later"))
    assert spool.read(places[0]) == VALUES[0]
    assert spool.read(later) == "later"


def test_the_folder_shows_no_file(tmp_path):
    Spool(tmp_path).append(pack(VALUES))
    assert list(tmp_path.iterdir()) == []
