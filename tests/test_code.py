"""What a rule reruns for follows from what its script imports, wherever the import stands."""

from pathlib import Path

import pytest
import reruns

import refvessel
from refvessel.code import code_hash, import_closure

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(refvessel.__file__).parent
BEFORE_SCORES = {"convert_checkpoint", "segment_shard", reruns.ANSWERS}


def names(*sources):
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in import_closure(*sources)
        if path.is_relative_to(PACKAGE)
    }


def script(tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "from refvessel.rle import encode",
        "import refvessel.rle",
        "from refvessel import rle",
        "def late():\n    from refvessel.rle import encode",
        "from importlib import import_module\nimport_module('refvessel.rle')",
    ],
)
def test_an_import_is_found_in_every_form(tmp_path, text):
    assert {"rle.py", "__init__.py"} <= names(script(tmp_path, text))


def test_imports_of_imports_are_followed(tmp_path):
    found = names(script(tmp_path, "from refvessel.predictions.gather import gather_predictions"))
    assert {"predictions/__init__.py", "predictions/prediction.py", "rle.py", "errors.py"} <= found


def test_a_registry_brings_all_its_modules():
    found = names("refvessel.dataset.readers.formats")
    assert {f"dataset/readers/{name}.py" for name in ("coco", "dicom", "labelme", "masks")} <= found


def test_files_beside_the_code_belong_to_it():
    assert "report/templates/page.html" in names("refvessel.report.page")


def test_an_edit_changes_the_hash_of_those_that_import_it_and_of_no_other(tmp_path):
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("from refvessel.rle import encode")
    other.write_text("from refvessel.errors import UserError")
    before = code_hash(one), code_hash(other)
    one.write_text("from refvessel.rle import encode  # another comment")
    assert code_hash(one) != before[0]
    assert code_hash(other) == before[1]


def test_a_module_that_is_none_is_an_error():
    with pytest.raises(ValueError, match=r"no module of the package is called refvessel\.nothing"):
        import_closure("refvessel.nothing")


@pytest.mark.parametrize(
    "edited",
    [
        "predictions/gather.py",
        "predictions/table.py",
        "predictions/refinement.py",
        "predictions/postprocessing.py",
        "predictions/upsampling.py",
        *(
            f"{room}/{path.name}"
            for room in ("evaluation", "report", "metrics")
            for path in sorted((PACKAGE / room).glob("*.py"))
        ),
    ],
)
def test_what_comes_after_inference_reruns_neither_it_nor_conversion(edited):
    assert not BEFORE_SCORES & set(reruns.rules_by_module()[edited])


def test_a_page_for_readers_is_up_to_date():
    assert reruns.TABLE.read_text("utf-8") == reruns.table(), "run python tools/reruns.py"


def test_each_rule_has_the_hash_of_its_own_script():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    for path in reruns.SCRIPTS.glob("*.py"):
        assert f'code=code_of("{path.stem}")' in rules
