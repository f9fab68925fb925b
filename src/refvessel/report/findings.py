"""What a reader must know before the numbers: the first lines of the report."""

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
from refvessel.report.wording import listed, worded, worded_quoted, worded_record

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
        text = worded(
            "%(empty)s of %(n)s expressions have an empty truth: the empty-case policy decides.",
            empty=summary["n_empty_truth"],
            n=n,
        )
        found.append(Finding("note", text))
    found += _of_artefacts(summary.get("truth_artefacts"))
    if summary["n_patients"] == 1:
        text = worded("All expressions are of one patient: no interval can be given.")
        found.append(Finding("warning", text))
    found += _of_few_patients(summary["n_patients"])
    found += [
        Finding("note", worded("cIoU and gIoU: %(difference)s", difference=worded_record(difference)))
        for difference in summary["official"]["differences"]
    ]
    if one.runs:
        found.append(_of_runs(one.runs))
    found.append(_pseudonyms(one))
    found += _of_gates((one.dataset or {}).get("gates"))
    if one.imported is not None:
        found.append(_of_import(one.imported))
    elif one.conversion is None:
        text = worded(
            "The model folder has no conversion.json: it was given as it is, and RefVessel did not convert it."
        )
        found.append(Finding("note", text))
    for text in (one.conversion or {}).get("warnings", []):
        found.append(
            Finding("warning", worded("From the conversion: %(warning)s", warning=worded_quoted(text)))
        )
    return [*found, *_of_dataset(one.dataset)]


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
        Finding("warning", worded("No truth: not scored. Nothing here says how good the masks are.")),
        *_of_first_look(looked_at),
        _pseudonyms(one),
        *_of_dataset(one.dataset),
    ]


def _of_dataset(dataset: dict[str, Any] | None) -> list[Finding]:
    return [
        Finding("warning", worded("From the dataset: %(warning)s", warning=worded_quoted(text)))
        for text in (dataset or {}).get("warnings", [])
    ]


def identities(one: Artifacts) -> list[tuple[str, str]]:
    """What was evaluated, each with its SHA-256: the model's weights, its training checkpoint, the dataset."""
    dataset = worded("Dataset (%(file)s)", file=one.sources["dataset"]["name"])
    if one.imported is not None:
        masks = worded("Imported masks (%(format)s)", format=one.imported["format"])
        return [(masks, str(one.imported["identity"])), (dataset, str(one.sources["dataset"]["sha256"]))]
    inputs = one.conversion["inputs"] if one.conversion else []
    trained = [record for record in inputs if record["layer"] == _TRAINED_LAYER]
    return [
        (worded("Model weights"), one.model_identity or worded("not recorded in the predictions")),
        *(
            (worded("Training checkpoint %(file)s", file=record["name"]), str(record["sha256"]))
            for record in trained
        ),
        (dataset, str(one.sources["dataset"]["sha256"])),
    ]


def checkpoint(one: Artifacts) -> str:
    """What the masks come from, in a few words."""
    if one.imported is not None:
        return worded("imported masks, %(format)s", format=one.imported["format"])
    inputs = one.conversion["inputs"] if one.conversion else []
    trained = [str(record["name"]) for record in inputs if record["layer"] == _TRAINED_LAYER]
    return worded("checkpoint %(files)s", files=", ".join(trained)) if trained else worded("a model folder")


def _of_import(imported: dict[str, Any]) -> Finding:
    """Masks that nothing here made: how they came about is for others to say."""
    missing, scaled = imported["missing_taken_as_empty"], imported["images_scaled"]
    told = [
        worded(
            "Imported: %(n)s files of the form %(format)s; RefVessel did not run what made them, and knows of "
            "them what their SHA-256 say.",
            n=len(imported["files"]),
            format=imported["format"],
        )
    ]
    if answers := imported.get(ANSWERS):
        told.append(
            worded(
                "It answers %(phrases)s alone; what else the data set asks is not in its scores.",
                phrases=listed(answers),
            )
        )
    if missing:
        told.append(worded("%(n)s masks were missing and taken as empty.", n=missing))
    if scaled:
        told.append(worded("Outlines of %(n)s images referred to another size and were scaled.", n=scaled))
    return Finding("warning" if missing else "note", " ".join(told))


def _of_left_out(phrases: dict[str, list[str]]) -> list[Finding]:
    """Phrases on which not all models can be compared."""
    return [
        Finding(
            "note",
            worded(
                "Not compared on %(phrase)r, to which %(models)s had no answer to give.",
                phrase=phrase,
                models=listed(models),
            ),
        )
        for phrase, models in phrases.items()
    ]


def _of_first_look(looked_at: dict[str, int] | None) -> list[Finding]:
    """Where not all patients were looked at, nothing says how the rest would do."""
    if looked_at is None:
        return []
    text = worded(
        "A first look: %(some)s of the split's %(all)s patients; not the whole data set.",
        some=looked_at["patients"],
        all=looked_at["of"],
    )
    return [Finding("warning", text)]


def _of_artefacts(artefacts: dict[str, Any] | None) -> list[Finding]:
    """Specks and pinholes of the truths, which count as vessels and loops; none told by an earlier version."""
    if artefacts is None or not artefacts["n_expressions"]:
        return []
    text = worded(
        "%(specks)s of the truths' %(components)s components have fewer than %(specks_below_pixels)s pixels and "
        "%(pinholes)s of their holes one pixel, in %(n_expressions)s of %(of_expressions)s expressions. They "
        "contribute %(betti0_matching_error_mean).3f to the mean Betti matching error b0 and "
        "%(betti1_matching_error_mean).3f to b1.",
        **artefacts,
    )
    return [Finding("note", text)]


def _of_few_patients(patients: int) -> list[Finding]:
    if not 1 < patients < FEW_PATIENTS:
        return []
    text = worded(
        "%(n)s patients are fewer than %(few)s: every 95%% interval is somewhat too narrow.",
        n=patients,
        few=FEW_PATIENTS,
    )
    return [Finding("note", text)]


def _of_sanity_checks(checks: dict[str, Any]) -> list[Finding]:
    return [
        Finding("warning" if check["raised"] else "passed", f"{worded_record(check)} ({name})")
        for name, check in checks.items()
    ]


def _of_gates(gates: dict[str, Any] | None) -> list[Finding]:
    """What the data set's conversion compared; it would have stopped at a patient or an image in two splits."""
    if gates is None:
        return [Finding("warning", worded("Whether patients or images are in two splits was not checked."))]
    near, trained_on = gates["near_duplicates"], gates["trained_on"]
    text = worded(
        "No patient is in two splits (%(patients)s compared), and no image (%(images)s compared by their pixels).",
        patients=gates["patients"]["compared"],
        images=gates["identical_pixels"]["compared"],
    )
    found = [Finding("passed", text)]
    if near is None:
        found.append(Finding("warning", worded("Near-duplicates across splits were not looked for.")))
    elif near["nearest"] is not None:
        text = worded(
            "The two most similar images of different splits differ in %(nearest)s of %(bits)s bits of their "
            "perceptual hashes; %(threshold)s or less would count as the same image.",
            nearest=near["nearest"],
            bits=near["bits"],
            threshold=near["threshold"],
        )
        found.append(Finding("passed", text))
        if apart := near.get("told_apart_by_vessels"):
            text = worded(
                "%(n)s pairs of images of different splits are as near as that and differ in their vessels.",
                n=apart,
            )
            found.append(Finding("note", text))
    if trained_on is None:
        text = worded("No list of training images was given, so none was compared with the images evaluated.")
        found.append(Finding("note", text))
    else:
        text = worded(
            "None of %(compared)s images outside train, and none of their patients, is in the list of "
            "%(listed)s training images.",
            compared=trained_on["compared"],
            listed=trained_on["listed"],
        )
        found.append(Finding("passed", text))
    return found


def _of_runs(runs: Runs) -> Finding:
    """J&F and how steady the masks of sequences are, beside the truth."""
    names = ("J&F", "consistency", "truth_consistency", "flicker", "truth_flicker")
    means = {name: runs.summary[f"{name}_mean"] for name in names}
    told = {name: worded("undefined") if mean is None else f"{mean:.3f}" for name, mean in means.items()}
    text = worded(
        "%(n)s sequences: J&F %(J_and_F)s; consistency after motion %(consistency)s, of the truth "
        "%(truth_consistency)s; flicker %(flicker)s, of the truth %(truth_flicker)s.",
        n=runs.summary["n_sequences"],
        J_and_F=told.pop("J&F"),
        **told,
    )
    return Finding("note", text)


def _pseudonyms(one: Artifacts | Unscored) -> Finding:
    if one.dataset is None:
        return Finding(
            "warning", worded("The dataset has no dataset.json: whether its names are pseudonyms is unknown.")
        )
    if one.dataset.get("pseudonymised") is True:
        return Finding("passed", worded("Images and patients are shown under pseudonyms."))
    return Finding(
        "warning",
        worded("The dataset was not pseudonymised: image and patient names are the original ones."),
    )
