"""methods.md, as an independent reader of Markdown shows it."""

import json
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from refvessel import __version__
from refvessel.report.compared_models import read_comparison
from refvessel.report.methods import methods_text
from refvessel.report.sections import read_artifacts
from refvessel.yaml_text import parse_yaml

OURS = {"h1", "h2", "p", "strong", "ul", "li"}


def shown(markdown: str) -> tuple[str, set[str]]:
    """What a reader sees, and the elements of the page."""
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(markdown)
    text = re.sub(r"<[^>]*>", "", html)
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, sign)
    return text, set(re.findall(r"</?([a-z0-9]+)", html))


@pytest.fixture(scope="module")
def artifacts(usual):
    (one,) = usual.evaluations
    return read_artifacts(one, checkpoint=usual.checkpoints["demo"], dataset=usual.datasets["demo"])


def test_the_methods_of_a_report_say_what_its_artifacts_say(usual, artifacts):
    text, elements = shown((usual.root / "report/methods.md").read_text("utf-8"))
    summary = artifacts.summary
    draws = summary["settings"]["bootstrap"]["draws"]
    assert elements <= OURS
    for told in (
        "demo was evaluated on the split test of the data set demo: 10 expressions (a phrase and an image "
        "each) in 5 images of 3 patients.",
        "The truth of 1 expression was empty.",
        "demo failed on 1 expression, answered 1 without a mask token and 2 with an empty mask",
        "It is checkpoint iter_9.pth (SHA-256 of the weights abababababab…).",
        f"95% intervals are from a BCa bootstrap over patients with {draws} draws (seed 0).",
        f"numpy {summary['provenance']['versions']['numpy']}",
        "Whether patients or images are in two splits was not checked.",
    ):
        assert told in text, told


def test_what_is_recorded_of_conversion_data_inference_and_refinement_is_told(artifacts):
    run = {
        **artifacts.summary["provenance"]["predictions"]["made_from"]["run"],
        **{
            "question": "<image>\n Find {phrase}.",
            "dtype": "bfloat16",
            "device": "cuda",
            "max_new_tokens": 77,
        },
        **{"language_weights": "int8", "flips": True, "versions": {"torch": "9.8"}},
    }
    tuned = {"split": "val", "n_patients": 13}
    refinement = {"threshold": 0.25, "tuned": tuned, "smallest_component": 31, "smallest_hole": 17}
    made_from = {"run": run, "refinement": refinement}
    provenance = artifacts.summary["provenance"]
    summary = artifacts.summary | {"provenance": provenance | {"predictions": {"made_from": made_from}}}
    counts = {"images": 44, "expressions": 88, "patients": 11, "images_dropped": 6}
    gates = {
        "patients": {"compared": 19},
        "identical_pixels": {"compared": 43},
        "near_duplicates": {"nearest": 98, "bits": 256, "threshold": 56},
        "trained_on": {"compared": 29, "listed": 23},
    }
    dataset = {
        "source_format": "labelme",
        "counts": counts,
        "gates": gates,
        "splits": {"test": ["a"], "val": ["b", "c"]},
    }
    conversion = {
        **{"identity": "", "inputs": [], "parameters": 8_123_456_789, "dtype": "bfloat16"},
        **{"layers": {"base_mllm": {}, "sam2": {}}, "training": {"llm_lora": {"rank": 128, "alpha": 256.0}}},
    }
    one = replace(artifacts, summary=summary, dataset=dataset, conversion=conversion)
    text, _ = shown(methods_text([one], []))
    for told in (
        "labelme into 44 images with 88 expressions of 11 patients; 6 images had to be dropped.",
        "test 1 patient, val 2 patients.",
        "No patient (19 compared) and no image (43 compared by their pixels)",
        "98 of 256 bits of their perceptual hashes, where 56 or less",
        "None of 29 images was among 23 training images.",
        "merged base mllm, sam2 into 8,123,456,789 parameters, stored in bfloat16",
        "LoRA had rank 128 and alpha 256.",
        "Each phrase was asked as “<image> Find {phrase}.”.",
        "in bfloat16 on cuda with the language model's weights in int8, with at most 77 new tokens",
        "averaged with that of the mirrored image",
        "cut at a logit of 0.25, tuned on the split val (13 patients)",
        "components below 31 and holes below 17 pixels",
        " and 9.8",  # of torch, beside that of the job that scored
    ):
        assert told in text, told


def test_a_phrase_is_shown_as_it_is_and_is_no_markup(artifacts):
    phrase = (
        "<script>f(1)</script> [a](http://x) ![i](www.b.c) `c` **d** _e_ ~~f~~ # &lt; $g$ |h| @i \\ \u202e"
    )
    groups = {phrase: artifacts.summary["by_phrase"]["catheter"], "x" * 10_000: {"n_expressions": 3}}
    text, elements = shown(
        methods_text([replace(artifacts, summary=artifacts.summary | {"by_phrase": groups})], [])
    )
    assert elements <= OURS
    assert f"“{phrase[:-1]}\\u202e” (5 expressions); “{'x' * 119}…” (3 expressions)." in text


def test_what_is_cited_is_what_is_reported(artifacts, compared_once):
    cited = methods_text([artifacts], []).partition("## To cite")[2]
    lines = [line for line in cited.splitlines() if line]
    assert all(line.startswith("- ") for line in lines)
    assert len(set(lines)) == len(lines)
    for source in ("Sa2VA", "SAM 2", "clDice", "Betti", "Boundary IoU", "Efron", "Mölder"):
        assert source.casefold() in cited.replace("persistence barcodes", "Betti").casefold()
    assert not re.search(
        "Holm|Guo|Panoptic|Perazzi", cited
    )  # nothing is compared, no logits, regions or videos
    without = {
        name: 0 if name.startswith("cal_") and name.endswith("_n") else value
        for name, value in artifacts.summary.items()
    }
    assert "Gegúndez" in cited
    assert "Gegúndez" not in methods_text([replace(artifacts, summary=without)], [])
    both = [
        read_artifacts(
            one, checkpoint=compared_once.checkpoints[one.model], dataset=compared_once.datasets["demo"]
        )
        for one in compared_once.evaluations
    ]
    compared = methods_text(both, [read_comparison(compared_once.comparisons[0], both)])
    assert "Holm S." in compared
    assert "after Holm's correction over 3 tests" in compared
    assert "equally good within the declared margin of 0.9 Dice" in compared


def test_refvessel_is_cited_as_its_citation_file_says(artifacts, pytestconfig):
    citation = parse_yaml((pytestconfig.rootpath / "CITATION.cff").read_text("utf-8"), "CITATION.cff")
    (author,) = citation["authors"]
    reference = f"- {author['name']}. {citation['title']}, version {__version__}. Software"
    assert f"{reference}, {citation['license']} licence." in methods_text([artifacts], []).splitlines()
    assert json.dumps(citation["version"]) == f'"{__version__}"'
