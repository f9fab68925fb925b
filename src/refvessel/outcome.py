"""What a run came to, in a few lines for its console."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from refvessel.artifacts import OF_DATASET, OF_MASKS, OF_SCORES, REPORT, SUMMARY
from refvessel.dataset.tree.stated_facts import has_truth
from refvessel.metrics.summary_file import read_summary


def describe_outcome(results: Path, evaluations: Iterable[Mapping[str, str]]) -> str:
    """Dice with its interval per evaluation and phrase, failures, and where the report is.

    Args:
        results: folder of the run's outputs.
        evaluations: model, dataset and split of each; those without scores are left out.
    """
    lines = []
    for each in evaluations:
        summary = results / OF_SCORES.format(**each) / SUMMARY
        masks = results / OF_MASKS.format(**each)
        if masks.is_dir() and not has_truth(results / OF_DATASET.format(**each)):
            lines.append(f"{each['model']} on {each['dataset']}, {each['split']}: no truth; masks: {masks}")
        elif summary.is_file():
            lines += _lines(f"{each['model']} on {each['dataset']}, {each['split']}", read_summary(summary))
    report = results / REPORT
    if report.is_file():
        lines.append(f"Report: {report.absolute()}")
    return "\n".join(lines)


def _lines(name: str, summary: Mapping[str, Any]) -> list[str]:
    everyone = summary.get("first_look_of_n_patients")
    some = "" if everyone is None else f" (a first look: not all {everyone})"
    head = (
        f"{name}: {summary['n_expressions']} expressions of {summary['n_patients']} patients{some}, "
        f"{summary['n_failed']} failed; Dice, mean over patients (95% interval):"
    )
    rows = {"all": summary} if len(summary["by_phrase"]) > 1 else {}
    rows |= summary["by_phrase"]
    width = max(map(len, rows))
    return [head, *(f"  {label.ljust(width)}  {_dice(row)}" for label, row in rows.items())]


def _dice(summary: Mapping[str, Any]) -> str:
    mean, low, high = (summary.get(f"dice_patient_mean{end}") for end in ("", "_low", "_high"))
    if mean is None:
        return "undefined"
    interval = "no interval: too few patients" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return f"{mean:.3f} ({interval})"
