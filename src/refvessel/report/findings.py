"""What a reader must know before the numbers: the first lines of the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from refvessel.dataset.tree.stated_facts import FIRST_LOOK
from refvessel.metrics.bootstrap import FEW_PATIENTS
from refvessel.predictions.answered import ANSWERS
from refvessel.report.compared_models import Comparison
from refvessel.report.plain_words import non_inferiority_sentences, verdict_sentences
from refvessel.report.scored_runs import Runs
from refvessel.report.sections import Artifacts
from refvessel.report.unscored import Unscored

_TRAINED_LAYER = "trained"  # as conversion.json names the layer of the fine-tuned checkpoint


@dataclass(frozen=True)
class Finding:
    """One sentence; a `warning` weakens the numbers, what has `passed` was checked and is in order."""

    level: Literal["note", "warning", "passed"]
    text: str


def findings(one: Artifacts) -> list[Finding]:
    """The findings of one evaluation, in the order shown."""
    summary = one.summary
    n = summary["n_expressions"]
    found = _of_first_look(summary["settings"].get(FIRST_LOOK))
    found += _of_sanity_checks(summary["sentinels"] | (one.words or {}).get("sentinels", {}))
    if summary["n_empty_truth"]:
        text = f"{summary['n_empty_truth']} of {n} expressions have an empty truth: the empty-case policy decides."
        found.append(Finding("note", text))
    found += _of_artefacts(summary.get("truth_artefacts"))
    if summary["n_patients"] == 1:
        found.append(Finding("warning", "All expressions are of one patient: no interval can be given."))
    found += _of_few_patients(summary["n_patients"])
    found += [
        Finding("note", f"cIoU and gIoU: {difference['text']}")
        for difference in summary["official"]["differences"]
    ]
    if one.runs:
        found.append(_of_runs(one.runs))
    found.append(_pseudonyms(one))
    found += _of_gates((one.dataset or {}).get("gates"))
    if one.imported is not None:
        found.append(_of_import(one.imported))
    elif one.conversion is None:
        text = "The model folder has no conversion.json: it was given as it is, and RefVessel did not convert it."
        found.append(Finding("note", text))
    for source, document in (("conversion", one.conversion), ("dataset", one.dataset)):
        for text in (document or {}).get("warnings", []):
            found.append(Finding("warning", f"From the {source}: {text}"))
    return found


def comparison_findings(one: Comparison) -> list[Finding]:
    """The findings of the models of one split."""
    looked_at = one.content["settings"].get(FIRST_LOOK)
    return [
        *_of_first_look(looked_at),
        *_of_left_out(one.content["phrases_left_out"]),
        *(Finding("note", text) for text in verdict_sentences(one.content)),
        *(Finding("note", text) for text in non_inferiority_sentences(one.content["non_inferiority"])),
        *_of_few_patients(one.content["n_patients"]),
        *_of_sanity_checks(one.content["sentinels"]),
    ]


def unscored_findings(one: Unscored) -> list[Finding]:
    """The findings of an evaluation without truth."""
    looked_at = None if one.looked_at is None else one.looked_at._asdict()
    return [
        Finding("warning", "No truth: not scored. Nothing here says how good the masks are."),
        *_of_first_look(looked_at),
        _pseudonyms(one),
        *(Finding("warning", f"From the dataset: {text}") for text in one.dataset.get("warnings", [])),
    ]


def identities(one: Artifacts) -> list[tuple[str, str]]:
    """What was evaluated, each with its SHA-256: the model's weights, its training checkpoint, the dataset."""
    if one.imported is not None:
        model = [(f"Imported masks ({one.imported['format']})", str(one.imported["identity"]))]
        return [
            *model,
            (f"Dataset ({one.sources['dataset']['name']})", str(one.sources["dataset"]["sha256"])),
        ]
    inputs = one.conversion["inputs"] if one.conversion else []
    trained = [record for record in inputs if record["layer"] == _TRAINED_LAYER]
    return [
        ("Model weights", one.model_identity or "not recorded in the predictions"),
        *((f"Training checkpoint {record['name']}", str(record["sha256"])) for record in trained),
        (f"Dataset ({one.sources['dataset']['name']})", str(one.sources["dataset"]["sha256"])),
    ]


def checkpoint(one: Artifacts) -> str:
    """What the masks come from, in a few words."""
    if one.imported is not None:
        return f"imported masks, {one.imported['format']}"
    inputs = one.conversion["inputs"] if one.conversion else []
    trained = [str(record["name"]) for record in inputs if record["layer"] == _TRAINED_LAYER]
    return f"checkpoint {', '.join(trained)}" if trained else "a model folder"


def _of_import(imported: dict[str, Any]) -> Finding:
    """Masks that nothing here made: how they came about is for others to say."""
    missing, scaled = imported["missing_taken_as_empty"], imported["images_scaled"]
    text = (
        f"Imported: {len(imported['files'])} files of the form {imported['format']}; RefVessel did not run what "
        "made them, and knows of them what their SHA-256 say."
    )
    if answers := imported.get(ANSWERS):
        text += f" It answers {_listed(answers)} alone; what else the data set asks is not in its scores."
    if missing:
        text += f" {missing} masks were missing and taken as empty."
    if scaled:
        text += f" Outlines of {scaled} images referred to another size and were scaled."
    return Finding("warning" if missing else "note", text)


def _of_left_out(phrases: dict[str, list[str]]) -> list[Finding]:
    """Phrases on which not all models can be compared."""
    return [
        Finding("note", f"Not compared on {phrase!r}, to which {_listed(models)} had no answer to give.")
        for phrase, models in phrases.items()
    ]


def _listed(words: Sequence[str]) -> str:
    """Words in a row, `and` before the last."""
    *some, last = words
    return f"{', '.join(some)} and {last}" if some else last


def _of_first_look(looked_at: dict[str, int] | None) -> list[Finding]:
    """Where not all patients were looked at, nothing says how the rest would do."""
    if looked_at is None:
        return []
    some, everyone = looked_at["patients"], looked_at["of"]
    text = f"A first look: {some} of the split's {everyone} patients; not the whole data set."
    return [Finding("warning", text)]


def _of_artefacts(artefacts: dict[str, Any] | None) -> list[Finding]:
    """Specks and pinholes of the truths, which count as vessels and loops; none told by an earlier version."""
    if artefacts is None or not artefacts["n_expressions"]:
        return []
    text = (
        f"{artefacts['specks']} of the truths' {artefacts['components']} components have fewer than "
        f"{artefacts['specks_below_pixels']} pixels and {artefacts['pinholes']} of their holes one pixel, in "
        f"{artefacts['n_expressions']} of {artefacts['of_expressions']} expressions. They contribute "
        f"{artefacts['betti0_matching_error_mean']:.3f} to the mean Betti matching error b0 and "
        f"{artefacts['betti1_matching_error_mean']:.3f} to b1."
    )
    return [Finding("note", text)]


def _of_few_patients(patients: int) -> list[Finding]:
    if not 1 < patients < FEW_PATIENTS:
        return []
    text = f"{patients} patients are fewer than {FEW_PATIENTS}: every 95% interval is somewhat too narrow."
    return [Finding("note", text)]


def _of_sanity_checks(checks: dict[str, Any]) -> list[Finding]:
    return [
        Finding("warning" if check["raised"] else "passed", f"{check['text']} ({name})")
        for name, check in checks.items()
    ]


def _of_gates(gates: dict[str, Any] | None) -> list[Finding]:
    """What the data set's conversion compared; it would have stopped at a patient or an image in two splits."""
    if gates is None:
        return [Finding("warning", "Whether patients or images are in two splits was not checked.")]
    near, trained_on = gates["near_duplicates"], gates["trained_on"]
    text = (
        f"No patient is in two splits ({gates['patients']['compared']} compared), and no image "
        f"({gates['identical_pixels']['compared']} compared by their pixels)."
    )
    found = [Finding("passed", text)]
    if near is None:
        found.append(Finding("warning", "Near-duplicates across splits were not looked for."))
    elif near["nearest"] is not None:
        text = (
            f"The two most similar images of different splits differ in {near['nearest']} of {near['bits']} bits "
            f"of their perceptual hashes; {near['threshold']} or less would count as the same image."
        )
        found.append(Finding("passed", text))
        if apart := near.get("told_apart_by_vessels"):
            text = f"{apart} pairs of images of different splits are as near as that and differ in their vessels."
            found.append(Finding("note", text))
    if trained_on is None:
        text = "No list of training images was given, so none was compared with the images evaluated."
        found.append(Finding("note", text))
    else:
        text = (
            f"None of {trained_on['compared']} images outside train, and none of their patients, is in the list "
            f"of {trained_on['listed']} training images."
        )
        found.append(Finding("passed", text))
    return found


def _of_runs(runs: Runs) -> Finding:
    """J&F and how steady the masks of sequences are, beside the truth."""
    names = ("J&F", "consistency", "truth_consistency", "flicker", "truth_flicker")
    means = {name: runs.summary[f"{name}_mean"] for name in names}
    told = {name: "undefined" if mean is None else f"{mean:.3f}" for name, mean in means.items()}
    text = (
        f"{runs.summary['n_sequences']} sequences: J&F {told['J&F']}; consistency after motion "
        f"{told['consistency']}, of the truth {told['truth_consistency']}; flicker {told['flicker']}, "
        f"of the truth {told['truth_flicker']}."
    )
    return Finding("note", text)


def _pseudonyms(one: Artifacts | Unscored) -> Finding:
    if one.dataset is None:
        return Finding(
            "warning", "The dataset has no dataset.json: whether its names are pseudonyms is unknown."
        )
    if one.dataset.get("pseudonymised") is True:
        return Finding("passed", "Images and patients are shown under pseudonyms.")
    return Finding(
        "warning", "The dataset was not pseudonymised: image and patient names are the original ones."
    )
