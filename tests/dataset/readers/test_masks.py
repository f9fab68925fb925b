import numpy as np
import pytest
from PIL import Image

from refvessel import rle
from refvessel.dataset.problems import Problems
from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

ANYONE = "(?P<patient>.+)"  # every image shows another patient
SHAPE = (30, 40)


def rings() -> np.ndarray:
    """Labels 0, 1 and 2: a loop with a hole, and a one-pixel branch."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:20, 5:20] = 1
    labels[9:15, 9:15] = 0
    labels[25, 2:38] = 2
    return labels


def add(source, name: str, mask: Image.Image) -> None:
    source.image(f"images/{name.rsplit('.', 1)[0]}.png")
    path = source.root / "masks" / name
    path.parent.mkdir(exist_ok=True)
    mask.save(path)


def truths(record) -> dict[str, np.ndarray]:
    problems = Problems()
    found = {
        region.label: rle.decode(region.draw((40, 30), record.stated_size).mask)
        for region in record.all_regions(problems)
    }
    problems.raise_any()
    return found


def palette(labels: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(labels, "P")
    image.putpalette(colours)
    return image


BINARY = (rings() == 1).astype(np.uint8)
TWO_VALUED = {
    "p1.png": Image.fromarray(BINARY * 255),
    "p1.gif": Image.fromarray(BINARY * 255),
    "p1.bmp": Image.fromarray(BINARY * 255),
    "p1.tif": Image.fromarray(BINARY * 255),
    "p1.tiff": Image.fromarray(BINARY.astype(np.uint16) * 65535),
    "ones/p1.png": Image.fromarray(BINARY),
    "bits/p1.png": Image.fromarray(BINARY.astype(bool)),
    "palette/p1.png": palette(BINARY, [0, 0, 0, 255, 255, 255]),
    "inverse palette/p1.png": palette(1 - BINARY, [255, 255, 255, 0, 0, 0]),
    "rgb/p1.png": Image.fromarray(BINARY * 255).convert("RGB"),
    "alpha/p1.png": Image.fromarray(BINARY * 255).convert("RGBA"),
}


@pytest.mark.parametrize("kind", TWO_VALUED)
def test_a_two_valued_mask_is_read_right_in_every_form(source, read, kind):
    add(source, kind.rpartition("/")[2], TWO_VALUED[kind])
    (record,) = read("masks")
    assert np.array_equal(truths(record)["vessel"], BINARY)


def test_values_name_labels_and_holes_stay(source, read):
    add(source, "p1.png", Image.fromarray(rings()))
    (record,) = read("masks", labels={1: "artery", 2: "catheter"})
    found = truths(record)
    assert np.array_equal(found["artery"], rings() == 1)
    assert np.array_equal(found["catheter"], rings() == 2)


def test_labels_of_a_palette_image_are_its_indices(source, read):
    add(source, "p1.png", palette(rings(), [0, 0, 0, 200, 10, 10, 10, 200, 10]))
    (record,) = read("masks", labels={1: "artery", 2: "catheter"})
    assert np.array_equal(truths(record)["catheter"], rings() == 2)


def test_labels_of_16_bits_are_not_cut(source, read):
    add(source, "p1.png", Image.fromarray(np.where(rings() == 1, 257, 0).astype(np.uint16)))
    (record,) = read("masks", labels={257: "artery", 1: "catheter"})
    assert np.array_equal(truths(record)["artery"], rings() == 1)
    assert "catheter" not in truths(record)


def test_a_grey_mask_needs_a_threshold_which_belongs_to_the_foreground(source, read):
    grey = np.full(SHAPE, 127, np.uint8)
    grey[3, 4:9], grey[0, 0] = 128, 200
    add(source, "p1.png", Image.fromarray(grey))
    (record,) = read("masks")
    with pytest.raises(UserError, match=r"p1\.png has 3 grey levels beside black; give a threshold"):
        truths(record)
    (record,) = read("masks", threshold=128)
    assert np.array_equal(truths(record)["vessel"], grey >= 128)


def test_files_may_name_labels(source, read):
    source.image("images/p1.png")
    (source.root / "masks").mkdir()
    for label in ("artery", "catheter"):
        Image.fromarray(BINARY * 255).save(source.root / "masks" / f"p1_{label}.png")
    (record,) = read("masks", masks="masks/{name}_{label}.png")
    assert sorted(truths(record)) == ["artery", "catheter"]


def test_an_image_without_a_mask_is_not_annotated(source, read):
    add(source, "p1.png", Image.fromarray(BINARY))
    source.image("images/p2.png")
    assert [record.annotation is None for record in read("masks")] == [False, True]


def test_an_empty_mask_is_an_annotation_without_a_region(source, convert):
    add(source, "p1.png", Image.fromarray(np.zeros(SHAPE, np.uint8)))
    add(source, "p2.png", Image.fromarray(BINARY))
    assert convert("masks", include_empty=True)["counts"]["expressions_empty"] == 1


def test_a_mask_of_the_whole_image_is_a_warning(source, convert):
    add(source, "p1.png", Image.fromarray(np.full(SHAPE, 255, np.uint8)))
    add(source, "p2.png", Image.fromarray(BINARY))
    assert convert("masks", patient_pattern=ANYONE)["warnings"] == [
        "1 annotated regions cover their whole image; look whether their masks show what is meant."
    ]


def test_a_mask_drawn_black_on_white_is_a_warning(source, convert):
    add(source, "p1.png", Image.fromarray(np.where(BINARY, 0, 255).astype(np.uint8)))
    add(source, "p2.png", Image.fromarray(BINARY))
    summary = convert("masks", patient_pattern=ANYONE)
    assert summary["counts"]["regions_of_most_of_the_image"] == 1
    assert [warning for warning in summary["warnings"] if "black on white" in warning]


def test_an_exif_orientation_is_that_of_the_mask(source, convert, tmp_path):
    add(source, "p1.png", Image.fromarray(BINARY * 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    upright = Image.open(source.root / "images/p1.png")
    upright.rotate(90, expand=True).save(source.root / "images/p1.png", exif=exif)
    convert("masks", pseudonymise=False)
    (written,) = (tmp_path / "tree/glamm_data/images/coco2014/train2014").iterdir()
    assert Image.open(written).size == (40, 30)


@pytest.mark.parametrize(
    ("spoil", "options", "reason"),
    [
        (lambda s: s.image("masks/p9.png"), {}, r"p9\.png: no image matches this mask"),
        (lambda s: s.image("masks/p1.bmp"), {}, r"p1\.bmp and .*p1\.png belong to one image"),
        (lambda s: None, {"masks": "{folder}/{name}.{suffix}"}, "matches both images and masks"),
        (lambda s: None, {"field_of_view": "view/{name}.png"}, r"p1\.png has no field-of-view mask"),
        (
            lambda s: s.image("masks/p1.png", (20, 30)),
            {"threshold": 1},
            "of 20 x 30 pixels, the image of 40 x 30",
        ),
        (
            lambda s: (s.root / "masks/p1.png").write_bytes(b""),
            {},
            r"masks/p1\.png does not open as an image",
        ),
        (
            lambda s: None,
            {"labels": {3: "artery"}},
            r"masks/p1\.png has the value 1, which labels does not name",
        ),
        (lambda s: None, {"threshold": 9}, "reaches only 1, the threshold is 9"),
        (
            lambda s: Image.fromarray(np.dstack([BINARY, BINARY * 9, BINARY])).save(s.root / "masks/p1.png"),
            {},
            r"p1\.png is a mask in colours",
        ),
        (
            lambda s: Image.fromarray(BINARY.astype(np.float32)).save(s.root / "masks/p1.png", "TIFF"),
            {},
            "pixels of the kind 'F'",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(source, convert, tmp_path, spoil, options, reason):
    add(source, "p1.png", Image.fromarray(BINARY))
    spoil(source)
    with pytest.raises(UserError, match=reason) as caught:
        convert("masks", options=options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("linked", ["images/p1.png", "masks/p1.png"])
def test_a_symlink_out_of_the_root_is_refused(source, read, tmp_path, linked):
    add(source, "p1.png", Image.fromarray(BINARY))
    (source.root / linked).rename(tmp_path / "outside.png")
    (source.root / linked).symlink_to(tmp_path / "outside.png")
    with pytest.raises(UserError, match="leads out of"):
        read("masks")
