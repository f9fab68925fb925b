"""Every number that a report shows is one of its artifacts: change these, and it changes."""

import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from altered_artifacts import alter_results, altered
from drawn_figures import drawn_by_matplotlib, drawn_in_svg, is_constant
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from rich_results import add_sections, enrich_results
from shown_numbers import Shown, numbers_of, sentences, skeleton, unseen, untraced
from stages import render_report

from refvessel import rle
from refvessel.report import render
from refvessel.report.run_told import RunTold

FIGURES = {}  # what matplotlib draws, by report and name of the figure


@pytest.fixture(scope="module")
def both(compared_once, make_cases, vessel, tmp_path_factory):
    """The folders of two reports: of artifacts, and of the same with every number changed.

    Matplotlib's figures are not written: what they draw is kept in FIGURES.
    """
    folders, configuration = [], {"inference": {"threads": 4, "batch_size": 16}, "evaluations": []}
    runs = {
        "as they are": RunTold("snakemake --cores 2 --configfile …", configuration),
        "altered": RunTold("snakemake --cores 8 --configfile …", altered(configuration)),
    }
    whole = compared_once.copied(tmp_path_factory.mktemp("traced") / "results")
    add_sections(whole, make_cases, vessel, stored_logits)
    enrich_results(whole.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureCanvasSVG, "print_svg", lambda self, target, **_: target.write("<svg/>"))
        patch.setattr(FigureCanvasPdf, "print_pdf", keep_what_is_drawn)
        for name in ("as they are", "altered"):
            workspace = whole.copied(tmp_path_factory.mktemp("traced") / "results")
            if name == "altered":
                alter_results(workspace.root)
                ours = render.versions()
                patch.setattr(
                    render, "versions", lambda ours=ours: {key: f"9{each}" for key, each in ours.items()}
                )
                patch.setattr(render.metadata, "version", lambda _: "9.9.9")
            render_report(**workspace.inputs, output=workspace.root / "report", run=runs[name])
            folders.append(workspace.root / "report")
    return folders


def keep_what_is_drawn(canvas, path, **_) -> None:
    """In place of writing a PDF."""
    Path(path).write_bytes(b"%PDF")
    FIGURES.setdefault(Path(path).stem, []).append(drawn_by_matplotlib(canvas.figure))


def stored_logits(cases, path):
    """Logits of the cases, each pixel's another one."""
    chance = np.random.default_rng(3)
    path.parent.mkdir(parents=True)
    arrays = {
        str(number): (np.where(case["prediction"], 1, -1) + chance.normal(size=case["truth"].shape))
        for number, case in enumerate(cases, start=1)
    }
    np.savez(path, **{key: each.astype(np.float16)[None] for key, each in arrays.items()})
    return [path]


def test_every_number_of_the_page(both):
    before, after = (Shown((folder / "index.html").read_text("utf-8")).numbers for folder in both)
    assert untraced(before, after) == []
    assert {place.partition(": ")[2] for place in unseen(before, after)} == {
        "of the # of # expression with a vessel",  # no truth is empty any more
    }
    assert sum(map(len, before.values())) > 1500


def test_every_number_of_the_methods(both):
    texts = [(folder / "methods.md").read_text("utf-8").partition("## To cite") for folder in both]
    before, after = ({}, {})
    for text, found in zip(texts, (before, after), strict=True):
        for paragraph in text[0].split("\n\n"):
            for sentence in sentences(paragraph):
                found.setdefault(skeleton(sentence), []).extend(numbers_of(sentence))
    assert untraced(before, after) == []
    assert unseen(before, after) == set()
    assert sum(map(len, before.values())) > 60
    cited = ["- The RefVessel authors. RefVessel, version 9"]
    assert texts[1][2].splitlines()[2].startswith(cited[0])


def test_every_number_of_the_tables_for_papers(both):
    names = sorted(path.name for path in (both[0] / "tables").glob("*.tex"))
    assert len(names) == 11
    for name in names:
        before, after = {}, {}
        for folder, found in zip(both, (before, after), strict=True):
            latex = (
                (folder / "tables" / name)
                .read_text("utf-8")
                .replace("$-$", "-")
                .replace("{", " ")
                .replace("}", " ")
            )
            row, columns = "", []
            for line in latex.partition("\\caption")[2].partition("\\bottomrule")[0].splitlines():
                cells = line.split(" & ")
                if len(cells) > 1 and not columns:
                    columns = cells
                elif len(cells) > 1:
                    row = cells[0] if "raggedright" in cells[0] else row
                    for column, cell in zip(columns[1:], cells[1:], strict=True):
                        found.setdefault(f"{name} | [] {row} | {column}", []).extend(numbers_of(cell))
                elif not line.startswith("\\"):
                    for sentence in sentences(line):
                        found.setdefault(skeleton(sentence), []).extend(numbers_of(sentence))
        assert untraced(before, after) == [], name
        assert unseen(before, after) == set(), name


def test_every_number_of_the_tables(both):
    names = sorted(path.name for path in (both[0] / "tables").glob("*.csv"))
    assert len(names) == 17
    for name in names:
        before, after = (pd.read_csv(folder / "tables" / name) for folder in both)
        assert list(before) == list(after)
        numbers = before.select_dtypes("number").columns
        assert len(numbers)
        for column in numbers.difference(["ref_id", "sent_id", "expression"]):
            pairs = zip(before[column].tolist(), after[column].tolist(), strict=False)
            assert not [
                one for one, other in pairs if one == other and not (one == 0 and "rank_" in column)
            ], (name, column)


def test_every_number_of_the_cases(both):
    """Scores, frames, masks and breaks of each case, as the page of cases has them."""
    before, after = (cases_of(folder / "cases.html") for folder in both)
    assert set(after.index.get_level_values("evaluation")) == {0, 1, 2, 3, 4}
    compared = defaultdict(int)
    for case, row in after.iterrows():
        was = before.loc[case] if case in before.index else None  # of what is seen for the first time
        for name in (*COLUMNS, *(name for name in after.columns if name.startswith("score "))):
            if was is not None and was[name] not in (None, -1):
                compared[name] += 1
                assert was[name] != row[name], (case, name)
        breaks = [] if was is None else [each["details"].get("breaks", []) for each in (was, row)]
        for one, other in zip(*breaks, strict=False):
            assert not [i for i in (0, 1, 3) if one[i] == other[i]]
            compared["breaks"] += 1
        assert was is None or len(breaks[1]) == 2 * len(breaks[0])
    assert min(compared[name] for name in (*COLUMNS, "score dice", "score auc", "breaks")) >= 6, compared


COLUMNS = ("frame", "truth", "prediction", "picture")


def cases_of(page) -> pd.DataFrame:
    """What the page holds of each case, by the number of its evaluation and its sent_id; masks as run lengths."""
    found = re.findall(
        r'<script type="application/json" id="([^"]*)">(.*?)</script>', page.read_text("utf-8"), re.DOTALL
    )
    blocks = {name: json.loads(text) for name, text in found}
    table = blocks["table"]
    columns = table["columns"]
    details = [each for name in blocks if name.startswith("details-") for each in blocks[name]]
    masks = [each["counts"] for name in blocks if name.startswith("masks-") for each in blocks[name]]
    shown = {
        "frame": columns["frame"],
        "picture": [table["pictures"][number] for number in columns["picture"]],
        "details": details,
        **{
            name: [filled(masks[number]) if number >= 0 else None for number in columns[name]]
            for name in ("truth", "prediction")
        },
        **{f"score {name}": columns[name] for name in table["scores"]},
    }
    places = pd.MultiIndex.from_arrays(
        [columns["evaluation"], columns["sent_id"]], names=["evaluation", "sent_id"]
    )
    return pd.DataFrame(shown, index=places, dtype=object)


def filled(counts: str) -> str | None:
    """Run lengths of a mask that has foreground."""
    return counts if rle.area({"size": [48, 48], "counts": counts}) else None


OF_ALL = {"agreement", "calibre", "confidence", "dice_by_patient", "dice_by_phrase", "overlays", "subgroups"}
OF_SOME = {"border", "examples", "failures", "sequence", "sequence.time", "thresholds"}
OF_SEVERAL = {"differences", "external", "task"}


def test_everything_that_figures_draw(both):
    """Points, lines and words of matplotlib's; pictures, outlines, marks and words of those with images."""
    with_images = sorted({path.stem for path in (both[0] / "figures").glob("*.svg")} - FIGURES.keys())
    drawn = FIGURES | {
        name: [drawn_in_svg(folder / f"figures/{name}.svg") for folder in both] for name in with_images
    }
    assert {re.sub(r".*\.test\.|_\d", "", name) for name in drawn} == OF_ALL | OF_SOME | OF_SEVERAL
    for name, (before, after) in drawn.items():
        pairs = [
            (place, *pair)
            for place in before.keys() & after.keys()
            for pair in zip(before[place], after[place], strict=False)
        ]
        assert pairs, name
        still = [f"{place}: {one}" for place, one, other in pairs if one == other]
        assert [each for each in still if not is_constant(f"{name} | {each}")] == []
    for path in (both[0] / "figures").glob("*.webp"):
        assert path.read_bytes() != (both[1] / "figures" / path.name).read_bytes()


def test_a_number_that_stays_is_noticed(both):
    """One of a sentence and one of a cell, as if they were written into a template."""
    html, altered = ((folder / "index.html").read_text("utf-8") for folder in both)
    found = Shown(html).numbers
    told, cell = r"<figcaption>[^<]*J&amp;F \d\.\d+ over (\d+) frames", r'<td class="number">(\d\.\d+)</td>'
    for pattern in (told, cell):
        number, place = re.search(pattern, html)[1], re.search(pattern, altered)
        fixed = altered[: place.start(1)] + number + altered[place.end(1) :]
        (noticed,) = {each.rpartition(": ")[2] for each in untraced(found, Shown(fixed).numbers)}
        assert noticed == number
