"""LabelMe files in one folder and their images in another."""

import pytest

from refvessel.errors import UserError

TRIANGLE = [[2, 2], [20, 4], [8, 25]]


def annotate(source, annotation: str, image: str = "p1_1.png") -> None:
    """A LabelMe file at `annotation`, whose image is called `image` there."""
    source.labelme(annotation.replace(".json", ".png"), image=False, imagePath=image)


def images(read, **options) -> list[str]:
    return [record.name for record in read("labelme", **options) if record.annotation is not None]


@pytest.mark.parametrize(
    ("annotation", "image"),
    [
        ("json/p1_1.json", "images/p1_1.png"),
        ("labels/p1/p1_1.json", "images/p1/p1_1.png"),
        ("train/json/p1_1.json", "train/images/p1_1.png"),
        ("json/train/p1_1.json", "images/train/p1_1.png"),
        ("p1_1.json", "images/p1_1.png"),
        ("json/p1_1.json", "p1_1.png"),
    ],
)
def test_the_folder_of_the_images_lies_beside_that_of_the_annotations(source, read, annotation, image):
    source.image(image)
    source.image(f"elsewhere/deep/down/{image}")
    annotate(source, annotation)
    assert images(read) == [image]


def test_each_split_has_its_own_images(source, read):
    for split in ("train", "test"):
        source.image(f"{split}/images/p1_1.png")
        annotate(source, f"{split}/json/p1_1.json")
    assert images(read) == ["test/images/p1_1.png", "train/images/p1_1.png"]


def test_an_image_path_of_another_machine_gives_the_name(source, read):
    source.image("images/p1_1.png")
    annotate(source, "json/p1_1.json", r"C:\data\anna\p1_1.png")
    assert images(read) == ["images/p1_1.png"]


def test_images_beside_the_annotation_are_not_looked_for_elsewhere(source, read):
    """Frames of two patients have the same names; where one is absent, another's must not take its place."""
    source.labelme("p1/0001.png")
    annotate(source, "p1/0002.json", "0002.png")
    source.image("p2/0002.png")
    with pytest.raises(UserError, match=r"p1/0002\.json: the image '0002\.png' does not exist"):
        read("labelme")


def test_a_folder_with_annotations_of_its_own_holds_images_of_no_other(source, read):
    annotate(source, "p1/0001.json", "0001.png")
    source.labelme("p2/0002.png")
    source.image("p2/0001.png")
    with pytest.raises(UserError, match=r"p1/0001\.json: the image '0001\.png' does not exist"):
        read("labelme")


def test_several_folders_of_images_need_the_option(source, read):
    for folder in ("images", "filtered"):
        source.image(f"{folder}/p1_1.png")
    annotate(source, "json/p1_1.json")
    with pytest.raises(
        UserError, match=r"filtered/p1_1\.png or .*images/p1_1\.png; name the folder .* option images"
    ):
        read("labelme")
    assert images(read, images="filtered") == ["filtered/p1_1.png"]
    assert images(read, images="images") == ["images/p1_1.png"]


@pytest.mark.parametrize(
    "image", ["a/b/images/p1_1.png", "a/b/images/p1/p1_1.png", "a/b/images/json/p1/p1_1.png"]
)
def test_the_option_names_the_folder_and_the_annotation_what_lies_below(source, read, image):
    source.image(image)
    annotate(source, "json/p1/p1_1.json")
    assert images(read, images="a/b/images") == [image]


def test_the_option_wins_over_what_lies_beside(source, read):
    source.labelme("p1_1.png")
    source.image("raw/p1_1.png")
    assert images(read, images="raw") == ["raw/p1_1.png"]


@pytest.mark.parametrize(
    ("folder", "reason"), [("nowhere", "has no folder 'nowhere'"), ("../outside", "leads out of")]
)
def test_an_unusable_option_is_named(source, read, folder, reason):
    source.labelme("p1_1.png")
    (source.root.parent / "outside").mkdir()
    with pytest.raises(UserError, match=rf"^The option images.*{reason}"):
        read("labelme", images=folder)
