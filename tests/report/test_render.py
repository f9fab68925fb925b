import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from stages import render_report

from refvessel import rle
from refvessel.errors import UserError
from refvessel.files import sha256_of_file, write_json
from refvessel.privacy.documents import texts_of_pdf
from refvessel.report.tables import GROUPINGS

SHAPE = (
    *("hd95", "assd", "nsd", "cldice", "skeleton_precision", "skeleton_recall", "cal"),
    *("betti0_error", "betti1_error", "branch_point_error", "end_point_error", "connectivity", "breaks"),
    *("masd", "boundary_iou", "betti0_matching_error", "betti1_matching_error"),
    *(
        f"{what}_width_{width}"
        for what in ("recall", "precision")
        for width in ("under_4", "4_to_6", "6_to_8", "8_to_12", "12_or_more")
    ),
)
BORDER = ("border_brier", "border_nll", "border_ece")
OF_PROBABILITIES = ("auc", "average_precision", "ece", *BORDER)  # undefined without logits
ERRORS = (
    *("hd95", "assd", "masd", "betti0_error", "betti1_error"),
    *("betti0_matching_error", "betti1_matching_error"),
    *("branch_point_error", "end_point_error", "breaks", "ece", *BORDER),
)
OVERLAP = ("dice", "iou", "precision", "recall", "specificity", "accuracy", "mcc")
SCORES = (*OVERLAP, *SHAPE, *OF_PROBABILITIES)


class Page(HTMLParser):
    """A parsed page: its addresses, its tables as rows of text, its elements' counts and all its text."""

    def __init__(self, html: str):
        super().__init__()
        self.addresses: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.tags: list[str] = []
        self.text = ""
        self._cell: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [
            value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")
        ]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag):
        self.text += " "
        if tag in ("td", "th"):
            self.tables[-1][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data):
        self.text += data
        if self._cell is not None:
            self._cell.append(data)

    def table(self, first_heading: str) -> pd.DataFrame:
        """The first table whose first heading is this."""
        rows = next(table for table in self.tables if table[0][0] == first_heading)
        return pd.DataFrame(rows[1:], columns=rows[0]).set_index(first_heading)


def page_of(workspace) -> Page:
    return Page((workspace.root / "report/index.html").read_text("utf-8"))


def rendered(workspace) -> Page:
    render_report(**workspace.inputs, output=workspace.root / "report")
    return page_of(workspace)


def recomputed(cases: pd.DataFrame) -> dict[str, float]:
    """The aggregates of a group of cases from its pixel counts and scores, one formula after the other."""
    tp, fp, fn, tn = (cases[name].sum() for name in ("tp", "fp", "fn", "tn"))
    pooled = {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "accuracy": (tp + tn) / (tp + fp + fn + tn),
        "mcc": (tp * tn - fp * fn) / np.sqrt(float((tp + fp) * (tp + fn)) * float((tn + fp) * (tn + fn))),
    }
    union = cases["tp"] + cases["fp"] + cases["fn"]
    numbers = {
        "n_expressions": len(cases),
        "n_patients": len(set(cases["patient"])),
        "n_failed": sum(cases["status"] == "failed"),
        "n_no_seg": sum(cases["status"] == "no_seg"),
        "n_empty_truth": sum(cases["tp"] + cases["fn"] == 0),
        "n_empty_prediction": sum(cases["tp"] + cases["fp"] == 0),
        "ciou": tp / (tp + fp + fn),
        "giou": np.mean([1 if u == 0 else i / (u + 1e-5) for i, u in zip(cases["tp"], union, strict=True)]),
    }
    for score in SCORES:
        defined = cases[cases[score].notna()]
        if score in pooled:
            numbers[f"{score}_pooled"] = pooled[score]
        by_patient = [group[score].mean() for _, group in defined.groupby("patient")] or [np.nan]
        numbers |= {
            f"{score}_mean": defined[score].mean(),
            f"{score}_patient_mean": np.mean(by_patient),
            f"{score}_n": len(defined),
            f"{score}_n_patients": defined["patient"].nunique(),
        }
    for k in (50, 60, 70, 80, 90):
        numbers[f"pr_at_{k}"] = np.mean(cases["iou"] > k / 100)
    for score in SCORES:
        known, of_patients = cases[score].dropna(), cases.groupby("patient")[score].mean()
        bad_end = "p95" if score in ERRORS else "p5"
        for name, percent in (("q1", 25), ("median", 50), ("q3", 75), (bad_end, int(bad_end[1:]))):
            numbers[f"{score}_{name}"] = np.percentile(known, percent) if len(known) else np.nan
        numbers[f"{score}_worst_patient"] = of_patients.max() if score in ERRORS else of_patients.min()
    empty = cases["tp"] + cases["fn"] == 0
    answered = cases["tp"] + cases["fp"] > 0
    numbers["n_acc"] = np.mean(~answered[empty]) if empty.any() else np.nan
    numbers["t_acc"] = np.mean(answered[~empty]) if (~empty).any() else np.nan
    return numbers


def test_the_report_has_a_page_tables_figures_and_a_manifest(usual):
    files = {
        path.relative_to(usual.root / "report").as_posix() for path in (usual.root / "report").rglob("*.*")
    }
    assert files == {
        "cases.html",
        "index.html",
        "manifest.json",
        "methods.md",
        "tables/breaks.csv",
        "tables/referring.tex",
        *(
            f"tables/{name}.{kind}"
            for name in ("overall", "by_patient", *(f"by_{grouping}" for grouping in GROUPINGS))
            for kind in ("csv", "tex")
        ),
        *(
            f"figures/demo.demo.test.{name}.{kind}"
            for name in (
                "dice_by_phrase",
                "dice_by_patient",
                "subgroups",
                "calibre",
                "agreement",
                "confidence",
            )
            for kind in ("svg", "pdf")
        ),
        "figures/demo.test.task.svg",
        "figures/demo.demo.test.failures.svg",
        "figures/demo.demo.test.overlays_1.svg",
        "figures/demo.demo.test.overlays_2.svg",
    }


def test_the_page_loads_nothing_and_runs_nothing(usual):
    page = page_of(usual)
    assert page.addresses
    for address in page.addresses:
        own = address.startswith("figures/") and (usual.root / "report" / address).is_file()
        assert own or address.startswith(("#", "cases.html"))
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    html = (usual.root / "report/index.html").read_text("utf-8")
    assert "@import" not in html
    assert "url(" not in html


def test_figures_load_nothing(usual):
    for path in (usual.root / "report/figures").glob("*.svg"):
        for element in ElementTree.parse(path).iter():
            for name, value in element.attrib.items():
                if name.endswith(("href", "src")):
                    assert value.startswith(("#", "data:image/png;base64,", "data:image/jpeg;base64,")), path


def test_no_image_is_held_twice_by_a_page_and_its_figures(usual):
    page = page_of(usual)
    shown = [address for address in page.addresses if address.endswith(".svg")]
    assert len(set(shown)) * 2 == len(shown) > 0  # shown, and led to
    assert "base64" not in (usual.root / "report/index.html").read_text("utf-8")


def test_figures_for_print_embed_their_fonts_as_truetype_and_say_what_they_show(usual):
    files = list((usual.root / "report/figures").glob("*.pdf"))
    assert len(files) == 6
    for path in files:
        content = path.read_bytes()
        assert b"/Type3" not in content
        assert b"/FontFile2" in content
        assert b"/ToUnicode" in content
        drawn = ElementTree.parse(path.with_suffix(".svg")).iter("{http://www.w3.org/2000/svg}text")
        words = {word for text in drawn for word in "".join(text.itertext()).split()}
        printed = "".join("".join(texts_of_pdf(content)).split())
        assert words
        assert all(word in printed for word in words)  # some are turned, and run into one another


def test_every_number_of_the_tables_follows_from_the_cases(usual):
    cases = pd.read_parquet(usual.evaluations[0].scores_dir / "cases.parquet")
    groups = {
        "overall": [(None, cases)],
        "by_phrase": list(cases.groupby("phrase")),
        "by_patient": list(cases.groupby("patient")),
    }
    spread = re.compile(r"_(median|q1|q3|p5|p95|worst_patient)$")
    for name, expected in groups.items():
        table = pd.read_csv(usual.root / f"report/tables/{name}.csv")
        assert len(table) == len(expected)
        for row, (group, members) in zip(table.to_dict("records"), expected, strict=True):
            identity = {key: row.pop(key) for key in ("model", "dataset", "split")}
            assert identity == {"model": "demo", "dataset": "demo", "split": "test"}
            assert group is None or row.pop(name.removeprefix("by_")) == group
            ends = {key: row.pop(key) for key in list(row) if key.endswith(("_low", "_high"))}
            numbers = recomputed(members)
            assert row.keys() == numbers.keys()
            assert row == pytest.approx(numbers, abs=1e-12, nan_ok=True)
            aggregates = {
                key
                for key in row
                if not key.startswith("n_e")
                and not re.search(r"_n$|_n_|^n_[fnp]", key)
                and not spread.search(key)
            }
            assert {key.rpartition("_")[0] for key in ends} == (set() if name == "by_patient" else aggregates)
            for key in {key.rpartition("_")[0] for key in ends} - {"n_acc"}:
                low, high = ends[f"{key}_low"], ends[f"{key}_high"]
                assert np.isnan(row[key]) or low <= row[key] <= high


def test_the_page_and_latex_show_the_same_numbers_with_three_decimals(usual):
    cases = pd.read_parquet(usual.evaluations[0].scores_dir / "cases.parquet")
    page = page_of(usual)
    summary = json.loads((usual.evaluations[0].scores_dir / "summary.json").read_text("utf-8"))
    latex = (usual.root / "report/tables/by_phrase.tex").read_text("utf-8").splitlines()
    for phrase, group in cases.groupby("phrase"):
        numbers = recomputed(group)
        row = page.table("Phrase").loc[phrase]
        for heading, name in (
            ("n", "n_expressions"),
            ("Patients", "n_patients"),
            ("Failed", "n_failed"),
            ("Empty answers", "n_empty_prediction"),
            ("Dice mean", "dice_mean"),
            ("Dice patient mean", "dice_patient_mean"),
            ("IoU mean", "iou_mean"),
            ("cIoU", "ciou"),
            ("gIoU", "giou"),
        ):
            shown = str(numbers[name]) if name.startswith("n_") else f"{numbers[name]:.3f}"
            assert row[heading] == shown
        start = next(i for i, line in enumerate(latex) if line.startswith(rf"\raggedright {phrase}"))
        means, below = (line.removesuffix(r" \\").split(" & ")[1:] for line in latex[start : start + 2])
        printed = ("dice", "cldice", "nsd")
        assert means == [str(len(group)), *(f"{numbers[f'{score}_patient_mean']:.3f}" for score in printed)]
        ends = [
            summary["by_phrase"][phrase][f"{score}_patient_mean_{end}"]
            for score in printed
            for end in ("low", "high")
        ]
        assert below[0] == rf"{{\scriptsize ({numbers['n_patients']})}}"
        assert re.findall(r"\d\.\d+", " ".join(below[1:])) == [f"{end:.3f}" for end in ends]
    overall = recomputed(cases)
    shown = page.table("Score")
    for score, name in (("Dice", "dice"), ("IoU", "iou"), ("Recall", "recall")):
        assert shown.loc[score, "mean"] == f"{overall[f'{name}_mean']:.3f}"
        assert shown.loc[score, "n"] == str(overall[f"{name}_n"])
        assert shown.loc[score, "patient mean"] == f"{overall[f'{name}_patient_mean']:.3f}"
        assert shown.loc[score, "pooled"] == f"{overall[f'{name}_pooled']:.3f}"
    for phrase, group in cases.groupby("phrase"):  # the headline
        assert re.search(rf"{phrase}\s+demo\s+{recomputed(group)['dice_patient_mean']:.3f} \(0", page.text)


@pytest.mark.usefixtures("without_figures")
def test_special_characters_of_phrases_and_errors_are_escaped(workspace, make_cases):
    html, latex = '<script>alert("1 & 2")</script>', r"a_b & 50% of $x$ \input{y} #1 {z} ~^"
    cases = make_cases(phrases=(html, latex))
    workspace.add(cases)
    page = rendered(workspace)
    assert "script" not in page.tags
    assert "b" not in page.tags  # of the error's text "out of memory <b>"
    assert {html, latex} == set(page.table("Phrase").index)
    assert "out of memory <b>" in page.text
    table = (workspace.root / "report/tables/by_phrase.tex").read_text("utf-8")
    assert r"a\_b \& 50\% of \$x\$ \textbackslash{}input\{y\} \#1 \{z\} " in table
    assert {html, latex} == set(pd.read_csv(workspace.root / "report/tables/by_phrase.csv")["phrase"])


@pytest.mark.usefixtures("without_figures")
def test_a_phrase_with_unicode_is_shown(workspace, make_cases):
    phrase = "Koronargefäß „RCA“ → distal"
    workspace.add(make_cases(phrases=(phrase, "cathéter")))
    page = rendered(workspace)
    assert phrase in page.table("Phrase").index
    assert phrase in (workspace.root / "report/tables/by_phrase.tex").read_text("utf-8")


def test_the_same_artifacts_give_the_same_bytes(usual, tmp_path):
    render_report(**usual.inputs, output=tmp_path / "again")
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (usual.root / "report", tmp_path / "again")
    )
    assert first == second


def test_the_manifest_names_every_file_with_its_hash_and_its_sources(usual):
    scores = usual.evaluations[0].scores_dir
    report = usual.root / "report"
    outputs = json.loads((report / "manifest.json").read_text("utf-8"))["outputs"]
    files = {path.relative_to(report).as_posix() for path in report.rglob("*.*")}
    assert outputs.keys() == files - {"manifest.json"}
    for name, output in outputs.items():
        assert output["sha256"] == sha256_of_file(report / name)
        assert output["sources"]
    cases_hash = sha256_of_file(scores / "cases.parquet")
    overlays = outputs["figures/demo.demo.test.overlays_1.svg"]["sources"]
    assert overlays.pop("demo.demo.test/cases.parquet") == cases_hash
    assert overlays.pop("demo.demo.test/breaks.parquet") == sha256_of_file(scores / "breaks.parquet")
    images = usual.datasets["demo"] / "glamm_data/images/coco2014/train2014"
    assert len(overlays) == 3
    for name, sha256 in overlays.items():
        assert sha256 == sha256_of_file(images / name.removeprefix("demo/"))
    assert outputs["tables/overall.csv"]["sources"] == {
        "demo.demo.test/summary.json": sha256_of_file(scores / "summary.json")
    }


def test_every_figure_of_the_folder_is_in_the_page_with_its_caption_and_source(usual):
    scores = usual.evaluations[0].scores_dir
    page = page_of(usual)
    shown = {address for address in page.addresses if address.startswith("figures/")}
    figures = list((usual.root / "report/figures").glob("*.svg"))
    assert {f"figures/{path.name}" for path in figures} <= shown
    for path in figures:
        source = (
            "summary.json" if {"confidence", "subgroups"} & set(path.name.split(".")) else "cases.parquet"
        )
        in_print = path.with_suffix(".pdf")
        files = f"figures/{path.name}, " + (f"figures/{in_print.name}, " if in_print.is_file() else "")
        assert f"{files}from demo.demo.test/{source}" in page.text.replace(" ,", ",")
    assert sha256_of_file(scores / "cases.parquet")[:12] in page.text


def test_the_first_page_says_what_was_evaluated_and_what_went_wrong(usual):
    text = " ".join(page_of(usual).text.split())
    assert "10 expressions of 3 patients" in text
    assert "Warning 1 of 10 expressions failed" in text
    assert "Warning 1 of 10 answers (10.0%) contained no [SEG]" in text
    assert "Warning 2 of 10 predictions equal their truth. (equal_to_truth)" in text
    assert "Passed 0 of 10 predictions cover the whole image. (full_image)" in text
    assert "Note 1 of 10 expressions have an empty truth" in text
    assert "Images and patients are shown under pseudonyms." in text
    assert "Model weights " + "ab" * 32 in text
    assert "Training checkpoint iter_9.pth " + "c0" * 32 in text
    assert sha256_of_file(usual.datasets["demo"] / "dataset.json") in text


EMPTY, FULL = np.zeros((48, 48), bool), np.ones((48, 48), bool)


def with_predictions(cases, *predictions):
    """The cases, all answered, with these predictions; the last goes on."""
    predictions = [*predictions, *[predictions[-1]] * (len(cases) - len(predictions))]
    return [
        {**case, "status": "ok", "prediction": prediction}
        for case, prediction in zip(cases, predictions, strict=True)
    ]


@pytest.mark.parametrize(
    ("change", "sentinel", "count"),
    [
        (lambda cases: with_predictions(cases, *(case["truth"] for case in cases)), "equal_to_truth", 9),
        (lambda cases: with_predictions(cases, cases[0]["prediction"]), "equal_across_images", 10),
        (lambda cases: with_predictions(cases, EMPTY), "all_empty", 10),
        (lambda cases: with_predictions(cases, FULL, EMPTY), "full_image", 1),
        (lambda cases: [case | {"status": "no_seg"} for case in cases[:3]] + cases[3:], "no_seg", 4),
        (lambda cases: [case | {"status": "failed"} for case in cases[:4]] + cases[4:], "failures", 4),
        (
            lambda cases: with_predictions(cases, *(np.roll(case["truth"], 1, 0) for case in cases)),
            "altered_truth",
            9,
        ),
    ],
)
@pytest.mark.usefixtures("without_figures")
def test_every_sentinel_is_a_named_finding_in_the_summary_and_on_the_first_page(
    workspace, make_cases, change, sentinel, count
):
    scores = workspace.add(change(make_cases()), max_failures=3)
    summary = json.loads((scores / "summary.json").read_text("utf-8"))
    found = summary["sentinels"][sentinel]
    assert (found["raised"], found["count"]) == (True, count)
    findings = " ".join(Page(first_page(rendered_html(workspace))).text.split())
    assert f"Warning {found['text']} ({sentinel})" in findings


def rendered_html(workspace) -> str:
    render_report(**workspace.inputs, output=workspace.root / "report")
    return (workspace.root / "report/index.html").read_text("utf-8")


def first_page(html: str) -> str:
    return html[html.index('<section id="findings">') : html.index("</section>")]


@pytest.mark.usefixtures("without_figures")
def test_a_foreign_model_and_a_foreign_tree_are_said_to_be_so(workspace, make_cases):
    workspace.add(make_cases(), converted=False, described=False)
    text = " ".join(rendered(workspace).text.split())
    assert "The model folder has no conversion.json" in text
    assert "The dataset has no dataset.json" in text
    assert sha256_of_file(workspace.datasets["demo"] / "ref_seg/refcoco/instances.json") in text


@pytest.mark.usefixtures("without_figures")
def test_original_names_and_earlier_warnings_stand_on_the_first_page(workspace, make_cases):
    cases = make_cases()
    workspace.add(cases)
    description = {"pseudonymised": False, "warnings": ["2 images repeat the pixels of another."]}
    write_json(workspace.datasets["demo"] / "dataset.json", description)
    rescore(workspace)
    text = " ".join(rendered(workspace).text.split())
    assert "Warning The dataset was not pseudonymised" in text
    assert "Warning From the dataset: 2 images repeat the pixels of another." in text


def rescore(workspace) -> None:
    """Make the one evaluation's summary name the dataset.json of now."""
    path = workspace.evaluations[0].scores_dir / "summary.json"
    summary = json.loads(path.read_text("utf-8"))
    summary["provenance"]["dataset"]["sha256"] = sha256_of_file(workspace.datasets["demo"] / "dataset.json")
    write_json(path, summary)


def stored_logits(cases, path):
    """Logits of 48x48 whose sign is the prediction of each answered case."""
    arrays = {
        str(number): np.where(case["prediction"], 2.5, -2.5).astype(np.float16)[None]
        for number, case in enumerate(cases, start=1)
        if case.get("status", "ok") == "ok"
    }
    path.parent.mkdir(parents=True)
    np.savez(path, **arrays)
    return [path]


def test_stored_logits_have_their_scores_and_their_curve(workspace, make_cases):
    cases = make_cases()
    logits = stored_logits(cases, workspace.root / "predictions/logits.npz")
    scores = workspace.add(cases, logits=logits)
    page = rendered(workspace)
    table = pd.read_parquet(scores / "cases.parquet")
    shown = page.table("Score")
    for title, name in (
        ("AUC", "auc"),
        ("Average precision", "average_precision"),
        ("Calibration error (ECE)", "ece"),
    ):
        assert shown.loc[title, "mean"] == f"{table[name].mean():.3f}"
        assert shown.loc[title, "n"] == str(table[name].count()) == "9"  # all but the empty truth
    figure = workspace.root / "report/figures/demo.demo.test.thresholds.svg"
    outputs = json.loads((workspace.root / "report/manifest.json").read_text("utf-8"))["outputs"]
    assert outputs[f"figures/{figure.name}"]["sources"] == {
        "demo.demo.test/thresholds.csv": sha256_of_file(scores / "thresholds.csv")
    }
    assert "no threshold may be chosen for them from this curve" in page.text


@pytest.mark.usefixtures("without_figures")
def test_a_curve_of_other_scores_is_refused(workspace, make_cases):
    cases = make_cases()
    scores = workspace.add(cases, logits=stored_logits(cases, workspace.root / "predictions/logits.npz"))
    curve = (scores / "thresholds.csv").read_text("utf-8")
    (scores / "thresholds.csv").write_text(curve.replace("0.5,10", "0.5,11"), "utf-8")
    with pytest.raises(UserError, match="another thresholds file"):
        render_report(**workspace.inputs, output=workspace.root / "report")
    (scores / "thresholds.csv").unlink()
    with pytest.raises(UserError, match=r"thresholds\.csv does not exist; score again"):
        render_report(**workspace.inputs, output=workspace.root / "report")


def test_without_logits_no_score_of_probabilities_is_shown(usual):
    assert not {"AUC", "Average precision"} & set(page_of(usual).table("Score").index)
    assert "AUC" in page_of(usual).text  # among the definitions


@pytest.mark.usefixtures("without_figures")
def test_other_rasterisers_of_the_truth_are_rows_of_one_table(workspace, make_cases):
    cases = make_cases()
    wider = {
        number: rle.encode(case["truth"] | np.roll(case["truth"], 1, axis=0))
        for number, case in enumerate(cases[:4], start=1)
    }
    scores = workspace.add(cases, redrawn={"pillow": wider})
    page = rendered(workspace)
    summary = json.loads((scores / "summary.json").read_text("utf-8"))["by_rasteriser"]
    shown, table = page.table("Truth by"), pd.read_csv(workspace.root / "report/tables/by_rasteriser.csv")
    assert shown.index.tolist() == table["rasteriser"].tolist() == ["coco", "pillow"]
    assert shown["Dice mean"].tolist() == [f"{summary[name]['dice_mean']:.3f}" for name in ("coco", "pillow")]
    assert shown["n"].tolist() == ["4", "4"]
    assert "over 4 of 10 expressions" in " ".join(page.text.split())
    assert "OpenCV's rasteriser was not compared" in page.text
    assert "pillow" in (workspace.root / "report/tables/by_rasteriser.tex").read_text("utf-8")


def test_where_no_truth_is_of_polygons_this_is_said(usual):
    assert "Not compared: no truth of this split is known to be drawn from polygons." in page_of(usual).text


def test_several_evaluations_stand_side_by_side(workspace, make_cases):
    workspace.add(make_cases()[:2])
    workspace.add(make_cases()[:2], model="other")
    workspace.add(make_cases(phrases=("vein", "artery"))[:2], dataset="retina", split="val")
    page = rendered(workspace)
    compared = page.table("Model")
    assert compared.index.tolist() == ["demo", "other", "demo"]
    assert compared["Dataset"].tolist() == ["demo", "demo", "retina"]
    assert len(pd.read_csv(workspace.root / "report/tables/overall.csv")) == 3
    assert len(list((workspace.root / "report/figures").iterdir())) == 3 * 15 + 2


def test_an_evaluation_of_one_case_is_rendered(workspace, vessel):
    workspace.add(
        [
            {
                "truth": vessel(0),
                "prediction": vessel(2),
                "image_id": "only",
                "phrase": "blood vessel",
                "patient": "P",
            }
        ]
    )
    text = " ".join(rendered(workspace).text.split())
    assert "1 expression of 1 patient" in text
    assert "Warning All expressions are of one patient: no interval can be given." in text
    assert page_of(workspace).table("Score").loc["Dice", "95% interval"] == "\N{EN DASH} to \N{EN DASH}"
    assert "Best: image only, patient P" in text
    assert "Worst: image" not in text


def test_an_evaluation_without_any_vessel_is_rendered(workspace):
    empty = np.zeros((20, 30), bool)
    workspace.add(
        [
            {"truth": empty, "prediction": empty, "image_id": name, "phrase": "blood vessel", "patient": name}
            for name in ("a", "b", "c")
        ]
    )
    page = rendered(workspace)
    assert page.table("Phrase").loc["blood vessel", "Dice mean"] == "1.000"
    assert page.table("Phrase").loc["blood vessel", "cIoU"] == "\N{EN DASH}"
    assert "& -- &" in (workspace.root / "report/tables/referring.tex").read_text("utf-8")
