import pytest

from refvessel.dataset.readers.path_templates import PathTemplate
from refvessel.errors import UserError


@pytest.mark.parametrize(
    ("template", "path", "fields"),
    [
        ("images/{name}.png", "images/a b [1].png", {"name": "a b [1]"}),
        ("images/{name}.png", "Images/a.PNG", {"name": "a"}),
        ("images/{name}.png", "images/deep/a.png", None),
        ("images/{name}.png", "images/a-png", None),
        ("{split}/{name}_{split}.tif", "test/01_test.tif", {"split": "test", "name": "01"}),
        ("{split}/{name}_{split}.tif", "test/01_training.tif", None),
        (r"Image_{child:\d+}{eye:[LR]}.jpg", "Image_01L.jpg", {"child": "01", "eye": "L"}),
        (r"Image_{child:\d+}{eye:[LR]}.jpg", "Image_01X.jpg", None),
        ("annotations.json", "annotations.json", {}),
    ],
)
def test_a_template_matches_whole_paths_and_names_their_parts(template, path, fields):
    assert PathTemplate(template, "images").match(path) == fields


def test_a_template_is_filled_with_values():
    assert (
        PathTemplate(r"{split}/{name:\d+}.png", "x").fill({"split": "test", "name": "7"}, "x") == "test/7.png"
    )


def test_what_is_no_template_is_refused():
    with pytest.raises(UserError, match="The option images must be a path template, not 3"):
        PathTemplate(3, "images")
    with pytest.raises(UserError, match="is not a path template"):
        PathTemplate("{name:[}", "images")


def test_a_value_that_no_name_gives_is_told():
    with pytest.raises(UserError, match=r"uses \{eye\}, which no file name gives; choose from: name"):
        PathTemplate("{eye}", "patient").fill({"name": "7"}, "patient")
