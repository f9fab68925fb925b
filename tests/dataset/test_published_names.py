"""What of the original names is where: nothing in a tree, everything beside the key."""

import stat
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from stages import convert_dataset

from refvessel.errors import UserError
from refvessel.privacy.check import check_privacy
from refvessel.privacy.name_tables import Name, read_name_table

pytestmark = pytest.mark.usefixtures("converted_here")

TRIANGLE = [[2, 2], [20, 4], [8, 25]]


def test_no_original_name_is_anywhere_in_a_pseudonymised_tree(source, convert, tmp_path, bytes_of):
    secret = "zhangwei20190304"
    annotation = source.labelme(f"ward 7/{secret}_0815.png", description=secret, flags={secret: True})
    text = PngImagePlugin.PngInfo()
    text.add_text("PatientName", secret)
    image = annotation.with_suffix(".png")
    Image.open(image).save(image, pnginfo=text)
    source.image(f"{secret}_0816.png")
    source.labelme(f"{secret}_0817.png", [])
    convert()
    everything = b"".join(
        name.encode() + b"\0" + content for name, content in bytes_of(tmp_path / "tree").items()
    )
    for original in (secret, "ward", "0815", "0816", "0817", str(source.root)):
        assert original.encode() not in everything
    assert secret.encode() in image.read_bytes()  # the search can find it


def test_a_key_gives_the_same_pseudonyms_again_and_another_key_others(source, convert, tmp_path):
    source.labelme("p1_01.png")
    first = convert(key_file=tmp_path / "a" / "key")
    assert list(convert(key_file=tmp_path / "a" / "key")["images"]) == list(first["images"])
    assert list(convert(key_file=tmp_path / "b" / "key")["images"]) != list(first["images"])


def test_the_key_lies_by_default_in_a_private_file_of_the_working_folder(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source.labelme("p1_01.png")
    convert_dataset(format="labelme", root=source.root, output=tmp_path / "tree", single_split="test")
    assert stat.S_IMODE(Path(".refvessel/pseudonym.key").stat().st_mode) == 0o600


def test_the_way_back_to_the_names_lies_beside_the_key_and_is_private(source, convert, tmp_path):
    source.labelme("ward 7/Zhang_01.png")
    summary = convert(phrases={"vessel": "blood vessel"})
    table = tmp_path / "key" / "names" / f"tree-{summary['name_table']}.csv"
    ((image_id, image),) = summary["images"].items()
    assert set(read_name_table(table)) == {
        Name("image", image_id, "ward 7/Zhang_01.png"),
        Name("patient", image["patient"], "Zhang"),
        Name("word", "blood vessel", "blood vessel"),
        Name("word", "test", "test"),
        Name("word", "tree", "tree"),
        Name("word", "vessel", "vessel"),
    }
    assert stat.S_IMODE(table.parent.stat().st_mode) == 0o700
    check_privacy(tmp_path / "tree", [table])
    with pytest.raises(UserError, match="names the"):
        check_privacy(source.root, [table])
    convert(pseudonymise=False)
    assert not table.exists()


def test_without_pseudonyms_no_key_is_made(source, convert, tmp_path):
    source.labelme("p1_01.png")
    convert(pseudonymise=False)
    assert not (tmp_path / "key").exists()
