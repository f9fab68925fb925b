"""The report's page: HTML that loads nothing but the figures beside it."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment

from refvessel.answer_status import Status
from refvessel.artifacts import CASES_PAGE
from refvessel.metrics.border_calibration import FROM_LOGITS
from refvessel.metrics.comparison import RANK_SHARE
from refvessel.metrics.referring import PR_THRESHOLDS
from refvessel.metrics.spread import bad_end
from refvessel.metrics.verdicts import Verdict
from refvessel.provenance import FileRecord
from refvessel.report.ceiling_words import SHOWN, ceiling_columns, ceiling_sentences
from refvessel.report.compared_models import Comparison
from refvessel.report.costs import Cost
from refvessel.report.external_table import External
from refvessel.report.facts import facts
from refvessel.report.findings import checkpoint, identities, unscored_findings
from refvessel.report.first_screen import splits
from refvessel.report.group_words import GROUPINGS, NAMED_BY_DATA, worded_group
from refvessel.report.methods import versions_of
from refvessel.report.printing import shortened
from refvessel.report.run_told import RunTold
from refvessel.report.score_titles import TITLES, best_value, worded_title
from refvessel.report.scored_runs import TITLES as SEQUENCE_TITLES
from refvessel.report.sections import Artifacts
from refvessel.report.shown_breaks import listed_breaks
from refvessel.report.shown_figure import ShownFigure
from refvessel.report.tables import HEADINGS, RASTERISER_HEADINGS, is_official
from refvessel.report.templating import shown, templates
from refvessel.report.unscored import COLUMNS, Unscored
from refvessel.report.wording import worded, worded_record
from refvessel.sentences import marked

MOST_ROWS = 20  # of a table that grows with patients or phrases; all are in tables/*.csv
_LONGEST_CELL = 200  # characters; tables/*.csv and the cases page have the whole text

_OFFICIAL = {
    "ciou": "cIoU",
    "giou": "gIoU",
    **{f"pr_at_{k}": f"Pr@{k / 100}" for k in PR_THRESHOLDS},
    "n_acc": "N-acc",
    "t_acc": "T-acc",
}
_LEVELS = {"note": marked("Note"), "warning": marked("Warning"), "passed": marked("Passed")}
_VERDICTS = {
    Verdict.SHOWN: marked("shown"),
    Verdict.BELOW_DETECTABLE: marked("below detectable"),
    Verdict.NOT_SHOWN: marked("not shown"),
    Verdict.EQUAL: marked("equal"),
    Verdict.TOO_FEW: marked("too few patients"),
}
_RANK_METHODS = {"mean": marked("mean"), "mean_rank": marked("mean rank"), "tests_won": marked("tests won")}


def render_page(
    evaluations: Sequence[Artifacts],
    comparisons: Sequence[Comparison],
    figures: dict[str, list[ShownFigure]],
    versions: dict[str, str],
    accepted: Sequence[str] = (),
    unscored: Sequence[Unscored] = (),
    external: External | None = None,
    costs: Sequence[Cost] = (),
    run: RunTold | None = None,
) -> str:
    """The page's HTML. All text from artifacts is escaped.

    `figures` has each evaluation's by its name, `accepted` the pseudonyms whose names the search passes over,
    `unscored` the evaluations without truth, `external` the models on other data sets than their own, `costs` what
    the jobs took, `run` how they were started.
    """
    return (
        _environment()
        .get_template("page.html")
        .render(
            evaluations=evaluations,
            comparisons=comparisons,
            splits=splits(evaluations, comparisons),
            most_rows=MOST_ROWS,
            unscored=unscored,
            external=external,
            bad_end=bad_end,
            ceiling_scores=SHOWN,
            unscored_headings=COLUMNS,
            figures=figures,
            headings=HEADINGS,
            patient_headings={
                name: heading
                for name, heading in HEADINGS.items()
                # A patient's own mean is `Dice mean`, and one patient has no interval.
                if name != "n_patients" and not name.startswith("dice_patient_mean")
            },
            rasteriser_headings=RASTERISER_HEADINGS,
            titles=TITLES,
            verdicts=_VERDICTS,
            rank_methods=_RANK_METHODS,
            sequence_titles=SEQUENCE_TITLES,
            of_probabilities=FROM_LOGITS,
            groupings=GROUPINGS,
            named_by_data=NAMED_BY_DATA,
            official=_OFFICIAL,
            policies=_policies(evaluations),
            cases_page=CASES_PAGE,
            versions=versions,
            versions_of_artifacts=versions_of(evaluations),
            run=run,
            accepted=accepted,
            costs=costs,
            failed_status=Status.FAILED,
        )
    )


@cache
def _environment() -> Environment:
    """The templates and what they call; each is compiled once."""
    environment = templates(finalize=shown)
    environment.globals["levels"] = _LEVELS  # of a macro, which sees no variables
    environment.filters |= {
        "number": format_number,
        "to": format_range,
        "source": format_source,
        "score_title": worded_title,
        "worded_group": worded_group,
        "worded_record": worded_record,
        "estimate": format_estimate,
        "percent": format_percent,
        "brief": format_brief,
        "signed_pixels": format_wider_or_narrower,
        "stated": stated,
        "p_value": format_p_value,
        "best": best_value,
        "facts": facts,
        "ceiling_columns": ceiling_columns,
        "ceiling_sentences": ceiling_sentences,
        "listed_breaks": listed_breaks,
        "unscored_findings": unscored_findings,
        "checkpoint": checkpoint,
        "identities": identities,
        "is_official": is_official,
        "rank_shares": format_rank_shares,
    }
    return environment


def format_number(value: Any) -> str:
    """A count as it is, a score with three decimals, a dash for what is undefined."""
    if value is None or value != value:  # NaN differs from itself
        return "\N{EN DASH}"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def format_range(low: Any, high: Any) -> str:
    """Both ends as numbers."""
    return worded("%(low)s to %(high)s", low=format_number(low), high=format_number(high))


def format_source(record: FileRecord) -> str:
    """A file that numbers come from: its name and how its hash begins."""
    return f"{record['name']}, SHA-256 {record['sha256'][:12]}…"


def format_estimate(summary: Mapping[str, Any], name: str) -> str:
    """A number of a summary with its interval in brackets, where it has one."""
    value, low, high = (summary.get(f"{name}{end}") for end in ("", "_low", "_high"))
    mean = format_number(value)
    return mean if low is None or high is None else f"{mean} ({format_range(low, high)})"


def format_percent(share: float | None) -> str:
    """A share in percent, one decimal; a dash for what is undefined."""
    return "\N{EN DASH}" if share is None else f"{100 * share:.1f}%"


def format_brief(text: Any) -> str:
    """The beginning of a text that may be endless; an empty one for none."""
    return "" if text is None else shortened(str(text), _LONGEST_CELL)


def format_wider_or_narrower(pixels: float) -> str:
    """A difference of diameters in words."""
    if pixels < 0:
        return worded("%(pixels).2f px narrower", pixels=-pixels)
    return worded("%(pixels).2f px wider", pixels=pixels)


def stated(summary: Mapping[str, Any], name: str) -> str:
    """A number of a summary; where a mean is over fewer expressions than there are, with how many."""
    number = format_number(summary[name])
    score = name.removesuffix("_mean").removesuffix("_patient")
    n, defined = summary["n_expressions"], summary.get(f"{score}_n")
    return number if defined in (None, n) or not name.endswith("_mean") else f"{number} (n = {defined})"


def format_p_value(value: float | None) -> str:
    """Three decimals as of a number, but never a zero."""
    return "<0.001" if value is not None and value < 0.001 else format_number(value)


def format_rank_shares(row: Mapping[str, Any]) -> str:
    """The share of draws that gives a model each rank, of half a percent or more; a dash where undefined."""
    ranks = range(1, sum(str(name).startswith(RANK_SHARE) for name in row) + 1)
    shares = {rank: 100 * row[f"{RANK_SHARE}{rank}"] for rank in ranks}
    return (
        ", ".join(f"{rank}: {share:.0f}%" for rank, share in shares.items() if share >= 0.5) or "\N{EN DASH}"
    )


def _policies(evaluations: Sequence[Artifacts]) -> list[tuple[dict[str, Any], list[str]]]:
    """Each empty-case policy in force, with the names of the evaluations that used it."""
    policies: list[tuple[dict[str, Any], list[str]]] = []
    for one in evaluations:
        policy = one.summary["settings"]["empty_policy"]
        for known, names in policies:
            if known == policy:
                names.append(one.evaluation.name)
                break
        else:
            policies.append((policy, [one.evaluation.name]))
    return policies
