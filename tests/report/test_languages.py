"""The report in English and Chinese: one catalogue, in which nothing is missing, and no text beside it."""

import ast
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import translations
from babel.messages.pofile import read_po
from jinja2 import nodes
from stages import render_report

import refvessel
from refvessel.dataset.patients.splits import STATE_PATIENTS
from refvessel.files import read_json, write_json
from refvessel.privacy.check import check_privacy
from refvessel.privacy.name_tables import Name, write_name_table
from refvessel.provenance import file_record
from refvessel.report import all_figures, evaluation_figures, wording
from refvessel.report.group_words import worded_group
from refvessel.report.templating import TEMPLATES, templates
from refvessel.report.wording import (
    TRANSLATIONS,
    worded,
    worded_n,
    worded_quoted,
    worded_record,
    written_in,
)
from refvessel.sentences import english, sentence

PACKAGE = Path(refvessel.__file__).parent
LANGUAGES = sorted(path.stem for path in TRANSLATIONS.glob("*.po"))
# What is called so in every language: scores, files, statistics.
NAMES = frozenset(
    """
    ap aurc assd cal ciou cldice csv dice ece giou hd icc index iou json masd nsd parquet pq pr px
    refvessel sha sub summary svg acc
    """.split()  # noqa: SIM905
)
READ_ALOUD = frozenset({"alt", "title", "aria-label", "placeholder"})
PLACEHOLDER = re.compile(r"%\((\w+)\)[^A-Za-z%]*[A-Za-z]")
WORD = re.compile(r"[A-Za-z]{2,}")
FILE_OR_HASH = re.compile(r"[\w/.]+\.(?:csv|json|parquet)|[0-9a-f]{12}…")


class Visible(HTMLParser):
    """What of a page is read: `texts`, without those that quote files."""

    def __init__(self, markup):
        super().__init__()
        self.texts, self._quoting = [], []
        self.feed(markup)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        quotes = given.get("class") in ("facts", "hash", "identity", "source") or tag in ("style", "script")
        if quotes or self._quoting:
            self._quoting.append(tag)
        if tag in ("meta", "input", "img", "br", "link") and self._quoting:
            self._quoting.pop()
        if not self._quoting:
            self.texts += [value or "" for name, value in attributes if name in READ_ALOUD]

    def handle_endtag(self, tag):
        if self._quoting:
            self._quoting.pop()

    def handle_data(self, data):
        if not self._quoting and data.strip():
            self.texts.append(data)


def unknown_words(texts, known=frozenset()):
    words = {word.casefold() for text in texts for word in WORD.findall(FILE_OR_HASH.sub("", text))}
    return sorted(words - NAMES - known)


def forms(message):
    return message if isinstance(message, tuple) else (message,)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_has_a_translation_with_the_same_placeholders(language):
    path = TRANSLATIONS / f"{language}.po"
    assert path.read_bytes() == translations.updated(language), "stale; run `make generate`"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    wrong = [
        message.id
        for message in catalogue
        if message.id
        and (
            message.fuzzy
            or not all(forms(message.string))
            or {name for each in forms(message.id) for name in PLACEHOLDER.findall(each)}
            != set(PLACEHOLDER.findall(forms(message.string)[0]))
            or set(re.findall(r"<\w+>", forms(message.id)[0]))
            != set(re.findall(r"<\w+>", forms(message.string)[0]))
        )
    ]
    assert wrong == []


def test_templates_show_no_text_that_is_not_marked():
    environment = templates()
    for path in TEMPLATES.glob("*.html"):
        tree = environment.parse(path.read_text("utf-8"))
        data = "".join(node.data for node in tree.find_all(nodes.TemplateData))
        assert unknown_words(Visible(data).texts) == [], path.name
        for call in tree.find_all(nodes.Call):
            if getattr(call.node, "name", "") == "_":  # what it returns is not escaped
                assert isinstance(call.args[0], nodes.Const), path.name


def test_scripts_say_nothing_that_is_not_marked():
    for path in TEMPLATES.glob("*.js"):
        code = re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", path.read_text("utf-8"), flags=re.DOTALL)
        code = re.sub(r'worded\(\s*"[^"]*"', "", code)
        for literal in re.findall(r'"([^"]*)"|`([^`]*)`', code):
            text = re.sub(r"\$\{.*?\}", "", "".join(literal))
            assert not re.search(r"[A-Za-z]{2,} [a-z]{2,}|^[A-Z][a-z]+$", text) or is_code(text), text


def is_code(text):
    """Selectors, keys of the keyboard and what a directive says."""
    return text == "use strict" or bool(
        re.search(r"[#.\[]|^(Arrow|Page)?(Up|Down|Left|Right|Home|End|Enter)$", text)
    )


MARKS = {"marked", "worded", "worded_n"}
# Modules whose English text stays: labels within figures, tables, methods.md, what stops a report, names of files.
ENGLISH_ALONE = frozenset(
    """
    agreement_figures case_gallery curves difference_figures drawing figures overlays panels
    sequence_figures subgroup_figures unscored tables paper_tables latex small_fonts methods references
    """.split()  # noqa: SIM905
)


LABELS = {"lost vessel", ", mean over patients"}  # within figures


def unmarked(tree):
    """Sentences of a module that neither a mark, an error nor a docstring holds."""
    spoken = {
        id(inner)
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") in MARKS | {"UserError", "read_parquet"}
        )
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for inner in ast.walk(node)
    }
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spoken
    ]
    return [text for text in found if re.search(r"[a-z]{2,} [a-z]{2,}", text)]


def test_modules_of_the_report_say_nothing_that_is_not_marked():
    for path in (PACKAGE / "report").glob("*.py"):
        if path.stem not in ENGLISH_ALONE:
            assert set(unmarked(ast.parse(path.read_text("utf-8")))) <= LABELS, path.name


class Pseudo:
    """A language in which every message says itself, in brackets that leave its values outside."""

    def get(self, _, message):
        parts = re.split(r"(%\(\w+\)[^A-Za-z%]*[A-Za-z]|<[^>]*>)", message)
        return "".join(each if number % 2 or not each else f"⟦{each}⟧" for number, each in enumerate(parts))


@pytest.fixture(scope="module")
def workspace(usual, tmp_path_factory):
    """Two models, compared, that say nearly all that a report can say."""
    workspace = usual.copied(tmp_path_factory.mktemp("languages") / "results")
    (one,) = workspace.evaluations
    scores = shutil.copytree(one.scores_dir, workspace.root / "scores/second")
    workspace.evaluations.append(replace(one, model="second", scores_dir=scores))
    workspace.checkpoints["second"] = workspace.checkpoints["demo"]
    workspace.compare(non_inferiority={"dice": 0.05}, groups={"demo": "method", "second": "method"})
    tree = workspace.datasets["demo"]
    gates = {
        "patients": {"compared": 10},
        "identical_pixels": {"compared": 40},
        "near_duplicates": {"bits": 256, "threshold": 40, "nearest": 104, "told_apart_by_vessels": 2},
        "trained_on": {"listed": 900, "compared": 32},
    }
    group = {"truths": 7, "dice_mean": {"pillow": 0.9394}, "area_mean": {"pillow": 1.1255}}
    described = read_json(tree / "dataset.json") | {
        "gates": gates,
        "rasteriser_sensitivity": {"images": 5, "truths": 7, "by_width": {"all": group, "under 4 px": group}},
    }
    write_json(tree / "dataset.json", described)
    for one in workspace.evaluations:
        summary = read_json(one.scores_dir / "summary.json")
        summary["provenance"]["dataset"] = file_record(tree / "dataset.json")
        summary["by_rasteriser"] = {"coco": dict(summary), "pillow": dict(summary)}
        write_json(one.scores_dir / "summary.json", summary)
    return workspace


CAPTIONS = {"draw_sequences"}  # which words them; the others draw
PROPER_NAMES = frozenset(
    """
    arias auc bca betti brier cheng cohen cvpr el fn fp gegundez geifman holm icml ieee kendall kirillov
    iclr logits matthews mcc nll opencv sa sensitivity stucki tmi tn tp va wilcoxon scores
    centre line tolerance
    """.split()  # noqa: SIM905
)
# What the made-up artifacts call things, and the names of checks.
DATA = frozenset(
    """
    demo second test blood vessel catheter image pa pb pc failed ok no seg out of memory coco pillow
    method iter pth failures all empty full equal to truth across images altered undrawable between sent
    id and formula diagonal
    """.split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def undrawn():
    """Captions without their figures, whose labels are English."""

    def touch(*given, **_):
        for path in given:
            if isinstance(path, Path):
                path.touch()
        return []

    with pytest.MonkeyPatch.context() as patch:
        for module in (all_figures, evaluation_figures):
            for name in vars(module):
                if name.startswith("draw_") and name not in CAPTIONS:
                    patch.setattr(module, name, touch)
        yield


@pytest.fixture(scope="module")
def reports(workspace, undrawn, tmp_path_factory):
    """The folder of the report in each language."""
    folders = {language: tmp_path_factory.mktemp(language) / "report" for language in ("en", "zh")}
    for language, folder in folders.items():
        render_report(**workspace.inputs, output=folder, language=language)
    return folders


def texts_of(folder, name="index.html"):
    return Visible((folder / name).read_text("utf-8")).texts


def test_all_that_a_page_says_comes_from_the_catalogue(workspace, undrawn, tmp_path, monkeypatch):
    monkeypatch.setattr(wording, "_messages", lambda _: Pseudo())
    render_report(**workspace.inputs, output=tmp_path / "report")
    for name in ("index.html", "cases.html"):
        texts = texts_of(tmp_path / "report", name)
        assert any("⟦" in text for text in texts)
        assert unknown_words([re.sub("⟦[^⟧]*⟧", " ", text) for text in texts], DATA) == [], name


def test_a_report_in_chinese_has_the_same_numbers(reports):
    found = {
        language: Counter(re.findall(r"\d+(?:[.,]\d+)*", " ".join(texts_of(folder))))
        for language, folder in reports.items()
    }
    assert found["zh"] == found["en"]
    assert len(found["zh"]) > 100


def test_it_says_no_english_word_but_names(reports):
    assert unknown_words(texts_of(reports["zh"]), DATA | PROPER_NAMES) == []
    assert "名患者" in " ".join(texts_of(reports["zh"]))


def test_its_pages_and_scripts_are_chinese(reports):
    for name in ("index.html", "cases.html"):
        assert '<html lang="zh-Hans">' in (reports["zh"] / name).read_text("utf-8")
        assert '<html lang="en">' in (reports["en"] / name).read_text("utf-8")
    assert '"truth":"真值"' in (reports["zh"] / "cases.html").read_text("utf-8")
    assert '<script type="application/json" id="messages">{}</script>' in (
        reports["en"] / "cases.html"
    ).read_text("utf-8")


def test_its_tables_are_those_of_the_english_report(reports):
    tables = {
        language: {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}
        for language, folder in reports.items()
    }
    assert tables["zh"] == tables["en"]


def test_its_own_words_are_nobodys_names(reports, tmp_path):
    words = ["平均精确率", "指代表达", "置信区间", "patients", "expressions", "答", "患者"]
    names = tmp_path / "names"
    write_name_table(names / "a.csv", [Name("patient", f"p{n:010x}", word) for n, word in enumerate(words)])
    check_privacy(reports["zh"], [names / "a.csv"])


def test_a_sentence_of_an_artifact_is_said_in_the_reports_language():
    kinds = [sentence("%(change)s: %(n)s", change=sentence("with noise"), n=2)]
    record = sentence(
        "%(altered)s of %(n)s predictions are their truth with noise, shifted, dilated or eroded (%(changes)s; "
        "%(cases)s).",
        altered=2,
        n=9,
        changes=kinds,
        cases="sent_id 1, 2",
    )
    assert record["text"].startswith("2 of 9 predictions")
    assert "(with noise: 2; sent_id 1, 2)" in record["text"]
    assert worded_record(record) == record["text"]
    with written_in("zh"):
        said = worded_record(record)
        assert said.startswith("9 个预测中有 2 个是由真值加噪声、平移、膨胀或腐蚀得到的")
        assert "加噪声\uff1a2\uff1bsent_id 1, 2" in said
        assert worded_record({"text": "Written by an earlier version."}) == "Written by an earlier version."


def test_one_and_many_are_told_apart_where_the_language_does():
    forms_of = ("%(n)s patient", "%(n)s patients")
    assert [worded_n(*forms_of, n) for n in (1, 2)] == ["1 patient", "2 patients"]
    with written_in("zh"):
        assert [worded_n(*forms_of, n) for n in (1, 2)] == ["1 名患者", "2 名患者"]
        assert worded("A text that nobody has translated.") == "A text that nobody has translated."
    assert worded("no vessel") == "no vessel"


@pytest.mark.parametrize(
    ("label", "said"),
    [("under 2 px", "小于 2 px"), ("2 px to 4 px", "2 px 至 4 px"), ("3 or more", "3 及以上"), ("2", "2")],
)
def test_groups_of_a_summary_are_named_in_the_reports_language(label, said):
    with written_in("zh"):
        assert worded_group(label) == said
    assert worded_group(label) == label


def test_warnings_of_conversions_are_said_in_the_reports_language():
    stored = english(
        "Nothing says who is on the images: from their names alone, %(images)s became %(patients)s (e.g. "
        "%(examples)s), and every interval rests on that; %(remedy)s.",
        images="4 images",
        patients="1 patient",
        examples="p1 with 4 images",
        remedy=STATE_PATIENTS,
    )
    assert worded_quoted(stored) == stored
    with written_in("zh"):
        said = worded_quoted(stored)
        assert "4 幅图像被归为 1 名患者" in said
        assert "请设置 patient_pattern" in said
        assert "p1 with 4 images" in said
        assert worded_quoted("Nobody knows this sentence.") == "Nobody knows this sentence."
