"""Paragraphs of methods for a paper, in Markdown: every number in them comes from the report's artifacts."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from refvessel.dataset.tree.stated_facts import FIRST_LOOK
from refvessel.metrics.border_calibration import FROM_LOGITS
from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL
from refvessel.report.ceiling_words import ceiling_sentences
from refvessel.report.compared_models import Comparison
from refvessel.report.findings import checkpoint
from refvessel.report.first_screen import splits
from refvessel.report.plain_words import non_inferiority_sentences, verdict_sentences
from refvessel.report.printing import printable, shortened
from refvessel.report.references import references
from refvessel.report.score_titles import TITLES
from refvessel.report.sections import Artifacts
from refvessel.report.templating import templates
from refvessel.report.unscored import Unscored

_LONGEST = 120  # characters of a phrase or name
_MOST = 8  # phrases that are named
_TITLES = {
    **TITLES,
    **dict.fromkeys(CALIBRE_RECALL, "recall by vessel width"),
    **dict.fromkeys(CALIBRE_PRECISION, "precision by vessel width"),
}
_EMPTINESS = {
    "both_empty": "truth and prediction are empty",
    "truth_empty": "the truth alone is empty",
    "prediction_empty": "the prediction alone is empty",
}
_SIGN = re.compile(r"([\\`*_{}\[\]#|~$@])")


def methods_text(
    evaluations: Sequence[Artifacts], comparisons: Sequence[Comparison], unscored: Sequence[Unscored] = ()
) -> str:
    """The Markdown; texts of others are escaped, and every paragraph is one line.

    `unscored` are the evaluations without truth, which are told to have no scores.
    """
    environment = templates(finalize=_shown)
    environment.filters |= {
        "quoted": quoted,
        "listed": listed,
        "plural": plural,
        "percent_of": percent_of,
        "policy": policy_sentences,
        "ceiling": ceiling_sentences,
        "reported": reported_scores,
        "checkpoint": checkpoint,
        "verdicts": verdict_sentences,
        "non_inferiority": non_inferiority_sentences,
    }
    versions = {name: listed(each) for name, each in versions_of(evaluations).items()}
    text = environment.get_template("paragraphs.md").render(
        splits=splits(evaluations, comparisons),
        unscored=unscored,
        titles=TITLES,
        first_look=FIRST_LOOK,
        most=_MOST,
        versions=versions,
        references=references(evaluations, comparisons, versions.get("refvessel", "")),
    )
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text)]
    parted = "\n\n".join(block for block in blocks if block)
    return re.sub(r"^(- .*)\n(?=\n- )", r"\1", parted, flags=re.MULTILINE) + "\n"


def escaped(text: str) -> str:
    """A text of others as Markdown that shows it, and is neither markup, HTML nor a link."""
    shown = _SIGN.sub(r"\\\1", printable(text))
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown.replace("://", r":\//").replace("www.", r"www\.")


def quoted(text: str) -> str:
    """A phrase or question in quotation marks, at most 120 characters of it."""
    return f"“{shortened(text, _LONGEST)}”"


def listed(words: Sequence[str]) -> str:
    """Words in a row, `and` before the last."""
    *some, last = words
    return f"{', '.join(some)} and {last}" if some else last


def plural(number: int, word: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def percent_of(share: float) -> str:
    """A share as a percentage without needless decimals."""
    return f"{100 * share:g}%"


def reported_scores(summary: Mapping[str, Any]) -> list[str]:
    """The titles of the scores that a summary defines, those by vessel width as one."""
    return list(dict.fromkeys(_TITLES[score] for score in TITLES if summary.get(f"{score}_n")))


def policy_sentences(summary: Mapping[str, Any]) -> list[str]:
    """What the reported scores are where a mask is empty: one sentence for each kind of emptiness."""
    policy = summary["settings"]["empty_policy"]
    scores = [score for score in policy if summary.get(f"{score}_n") and score not in FROM_LOGITS]
    return [_policy_sentence(policy, scores, kind, when) for kind, when in _EMPTINESS.items()]


def versions_of(evaluations: Sequence[Artifacts]) -> dict[str, list[str]]:
    """Name of each software -> its versions, of the jobs that segmented and of those that scored."""
    found: dict[str, set[str]] = {}
    for one in evaluations:
        segmented = (one.made_from.get("run") or {}).get("versions", {})
        for versions in (one.summary["provenance"]["versions"], segmented):
            for name, version in versions.items():
                found.setdefault(name, set()).add(version)
    return {name: sorted(versions) for name, versions in found.items()}


def _policy_sentence(policy: Mapping[str, Any], scores: Sequence[str], kind: str, when: str) -> str:
    values: dict[str, list[str]] = {}
    for score in scores:
        values.setdefault(_value(policy[score][kind]), []).append(_TITLES[score])
    told = [f"{value} for {listed(list(dict.fromkeys(titles)))}" for value, titles in values.items()]
    return f"Where {when}, a score is {'; '.join(told)}."


def _value(value: float | str | None) -> str:
    if value is None:
        return "undefined and left out of means"
    if isinstance(value, str):
        return {"formula": "what its formula gives", "diagonal": "the image's diagonal"}[value]
    return f"{value:g}"


def _shown(value: Any) -> Any:
    """What an expression of the template gives: markup is ours, text may be of others."""
    return Markup(escaped(value)) if isinstance(value, str) and not hasattr(value, "__html__") else value
