"""Which table of original names belongs to which tree."""

import shutil

import pytest

from refvessel.errors import UserError
from refvessel.files import read_json, write_json
from refvessel.privacy.check import check_privacy
from refvessel.privacy.name_tables import stated_identities, table_of_tree

pytestmark = pytest.mark.usefixtures("converted_here")


@pytest.fixture
def key(tmp_path):
    return tmp_path / "key" / "pseudonym.key"


@pytest.fixture
def two(source, convert, tmp_path, key):
    """Two trees of one name with different patients, in two folders of results."""
    source.labelme("Oyelaran_1.png")
    first = tmp_path / "one" / "angio"
    convert(output=first, key_file=key)
    shutil.rmtree(source.root)
    source.labelme("Bergström_1.png")
    second = tmp_path / "two" / "angio"
    convert(output=second, key_file=key)
    return first, second


def test_data_sets_of_one_name_have_tables_of_their_own(two, key, tmp_path):
    tables = [table_of_tree(tree, key) for tree in two]
    assert tables[0] != tables[1]
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "a.txt").write_text("by Oyelaran")
    check_privacy(tmp_path / "report", [tables[1]])
    with pytest.raises(UserError, match="names the"):
        check_privacy(tmp_path / "report", [tables[0]])


def test_the_same_data_have_the_same_table_and_a_tree_says_nothing_of_its_place(two, key, tmp_path):
    moved = tmp_path / "three" / "renamed"
    shutil.copytree(two[0], moved)
    assert table_of_tree(moved, key) == table_of_tree(two[0], key)
    assert str(tmp_path) not in (moved / "dataset.json").read_text()
    assert stated_identities(tmp_path / "three") == {
        read_json(moved / "dataset.json")["name_table"]: moved / "dataset.json"
    }


def test_a_table_of_other_data_is_refused(two, key):
    first, second = (table_of_tree(tree, key) for tree in two)
    shutil.copy(second, first)
    with pytest.raises(UserError, match="is the name table of other data than"):
        table_of_tree(two[0], key)
    first.unlink()
    with pytest.raises(UserError, match="does not exist; convert the data set again"):
        table_of_tree(two[0], key)


def test_a_table_of_an_older_version_is_used_where_it_has_the_names(two, key):
    described = read_json(two[0] / "dataset.json")
    table = table_of_tree(two[0], key).rename(key.parent / "names" / "angio.csv")
    del described["name_table"]
    write_json(two[0] / "dataset.json", described)
    assert table_of_tree(two[0], key) == table
    shutil.copy(table_of_tree(two[1], key), table)
    with pytest.raises(UserError, match="of other data"):
        table_of_tree(two[0], key)


def test_names_that_the_report_itself_says_are_told_at_conversion(source, convert, capsys):
    source.labelme("Best^Ina_1.png")
    source.labelme("Oyelaran_1.png")
    summary = convert(patient_pattern=r"(?P<patient>.+)_\d+$")
    (warning,) = [text for text in summary["warnings"] if "search for original names" in text]
    assert "the names of 1 patients" in warning
    assert "Best" not in warning
    told = capsys.readouterr().err
    patients = {image["patient"] for image in summary["images"].values()}
    assert any(f"In the report's own sentences: {patient}" in told for patient in patients)
