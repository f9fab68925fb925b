"""What the report says of the data: gates, rasterisers, names."""

from dataclasses import replace

import pytest
from stages import render_report

from refvessel.errors import UserError
from refvessel.privacy.name_tables import Name, write_name_table
from refvessel.report.findings import findings
from refvessel.report.page import render_page
from refvessel.report.sections import read_artifacts

GATES = {
    "patients": {"compared": 10, "in_two_splits": 0},
    "identical_pixels": {"compared": 40, "across_splits": 0, "within_a_split": 0},
    "near_duplicates": {"bits": 256, "threshold": 40, "across_splits": 0, "nearest": 104},
    "trained_on": {"listed": 900, "compared": 32, "found": 0},
}
GROUP = {"truths": 7, "dice_mean": {"pillow": 0.9394}, "area_mean": {"pillow": 1.1255}}
SENSITIVITY = {"images": 5, "truths": 7, "by_width": {"all": GROUP, "under 4 px": GROUP}}


@pytest.fixture
def artifacts(usual):
    (evaluation,) = usual.evaluations[:1]
    return read_artifacts(
        evaluation,
        checkpoint=usual.checkpoints[evaluation.model],
        dataset=usual.datasets[evaluation.dataset],
    )


def told(artifacts, **fields) -> dict[str, str]:
    described = replace(artifacts, dataset={"pseudonymised": True} | fields)
    return {finding.text: finding.level for finding in findings(described)}


def test_what_the_gates_compared_is_told(artifacts):
    texts = told(artifacts, gates=GATES)
    for text in (
        "No patient is in two splits (10 compared), and no image (40 compared by their pixels).",
        "The two most similar images of different splits differ in 104 of 256 bits of their perceptual hashes; "
        "40 or less would count as the same image.",
        "None of 32 images outside train, and none of their patients, is in the list of 900 training images.",
    ):
        assert texts[text] == "passed"


def test_what_was_not_compared_is_told(artifacts):
    texts = told(artifacts, gates=GATES | {"near_duplicates": None, "trained_on": None})
    assert texts["Near-duplicates across splits were not looked for."] == "warning"
    assert (
        texts["No list of training images was given, so none was compared with the images evaluated."]
        == "note"
    )
    assert told(artifacts)["Whether patients or images are in two splits was not checked."] == "warning"


def test_other_rasterisers_have_their_rows(artifacts):
    described = replace(artifacts, dataset=artifacts.dataset | {"rasteriser_sensitivity": SENSITIVITY})
    page = render_page([described], [], {artifacts.evaluation.name: []}, {"refvessel": "0"})
    assert "How much the truth depends on who draws it" in page
    assert page.count("0.939 (1.13)") == 2
    assert "under 4 px" in page


def test_a_report_with_an_original_name_is_not_written(usual, tmp_path):
    table = tmp_path / "secret" / "demo.csv"
    patient = usual.inputs["evaluations"][0].model
    write_name_table(table, [Name("patient", "p0123456789", "Saint Nobody"), Name("word", patient, patient)])
    render_report(**usual.inputs, output=tmp_path / "report", name_tables=[table])
    assert (tmp_path / "report/index.html").is_file()
    write_name_table(table, [Name("patient", "p0123456789", "Referring segmentation")])
    with pytest.raises(UserError, match=r"index\.html names the patient p0123456789"):
        render_report(**usual.inputs, output=tmp_path / "other", name_tables=[table])
    assert not (tmp_path / "other").exists()


def test_warnings_of_the_data_set_stand_as_warnings_before_the_first_score(artifacts):
    warned = ("3 regions end without a pixel.", "Nobody says who is who: 40 images, 40 patients <b>.")
    described = replace(artifacts, dataset=artifacts.dataset | {"warnings": list(warned)})
    page = render_page([described], [], {artifacts.evaluation.name: []}, {"refvessel": "0"})
    before_the_scores = page[page.index('<section id="findings">') : page.index('class="number value"')]
    for text in warned:
        shown = text.replace("<", "&lt;").replace(">", "&gt;")
        assert f'<li class="warning"><span class="level">Warning</span> From the dataset: {shown}' in (
            before_the_scores
        )
        assert page.count(f"From the dataset: {shown}") == 1
