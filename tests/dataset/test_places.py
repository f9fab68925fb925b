"""Where the data, the tree and the key may lie, and what becomes of what is there already."""

import pytest

from refvessel.dataset.tree.layout import IMAGES, INSTANCES
from refvessel.errors import UserError

TRIANGLE = [[2, 2], [20, 4], [8, 25]]


def test_an_older_tree_is_replaced_whole(source, convert, tmp_path):
    source.labelme("p1_01.png")
    convert(pseudonymise=False)
    (source.root / "p1_01.png").unlink()
    (source.root / "p1_01.json").unlink()
    source.labelme("p2_01.png")
    convert(pseudonymise=False)
    assert [path.name for path in (tmp_path / "tree" / IMAGES).iterdir()] == ["p2_01.png"]


def test_the_output_may_not_lie_beside_the_names(source, convert, tmp_path):
    source.labelme("p1_01.png")
    with pytest.raises(UserError, match="give the key a folder of its own"):
        convert(key_file=tmp_path / "key", output=tmp_path / "results" / "tree")


def test_a_missing_root_is_named(source, convert):
    source.root.rmdir()
    with pytest.raises(UserError, match="source is not a folder"):
        convert()


@pytest.mark.parametrize("place", ["source/tree", "source", "."])
def test_output_and_data_may_not_lie_in_one_another(source, convert, tmp_path, place):
    source.labelme("p1_01.png")
    with pytest.raises(UserError, match="lie in one another"):
        convert(output=tmp_path / place)
    assert (source.root / "p1_01.png").exists()


def test_the_key_may_not_lie_in_the_output(source, convert, tmp_path):
    source.labelme("p1_01.png")
    with pytest.raises(UserError, match="keep it out"):
        convert(key_file=tmp_path / "tree" / "key")


@pytest.mark.parametrize("stranger", ["thesis.tex", "ref_seg/refcoco/refs(unc).p"])
def test_a_folder_that_is_no_tree_of_ours_is_never_replaced(source, convert, tmp_path, stranger):
    source.labelme("p1_01.png")
    path = tmp_path / "tree" / stranger
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(UserError, match="no tree of RefVessel's"):
        convert()
    assert path.read_text() == "precious"


def test_empty_folders_made_beforehand_are_no_obstacle(source, convert, tmp_path):
    (tmp_path / "tree" / INSTANCES).parent.mkdir(parents=True)
    source.labelme("p1_01.png")
    convert()
    assert (tmp_path / "tree" / INSTANCES).is_file()


def test_an_output_that_is_a_file_is_refused(source, convert, tmp_path):
    source.labelme("p1_01.png")
    (tmp_path / "tree").write_text("precious")
    with pytest.raises(UserError, match="is a file"):
        convert()


def test_a_failed_run_leaves_the_older_tree_as_it_was(source, convert, tmp_path, bytes_of):
    source.labelme("p1_01.png")
    convert()
    before = bytes_of(tmp_path / "tree")
    source.labelme("p2_01.png", [("vessel", TRIANGLE[:2])])
    with pytest.raises(UserError, match="fewer than three"):
        convert()
    assert bytes_of(tmp_path / "tree") == before
