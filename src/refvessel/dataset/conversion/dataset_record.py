"""`dataset.json`: what a conversion made, and what it scaled, clipped and dropped on the way.

Nothing here comes from original names unless these are what the tree publishes.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from refvessel import provenance
from refvessel.dataset.conversion.converted import Converted
from refvessel.dataset.conversion.runs_of_tree import runs_record, warnings_of_runs
from refvessel.dataset.conversion.sensitivity import summarise_redrawn
from refvessel.dataset.patients.splits import STATE_PATIENTS
from refvessel.dataset.regions.polygons import RASTERISER
from refvessel.dataset.regions.rasterisers import opencv_is_installed
from refvessel.files import sha256_of_file
from refvessel.sentences import english

FORMAT_VERSION = 1
_EXAMPLES = 3  # images or patients named in a warning


def dataset_record(
    converted: Sequence[Converted],
    kept: Sequence[Converted],
    ratios: Mapping[str, float],
    gates: Mapping[str, Any],
    *,
    images_not_annotated: int,
    phrases_without_label: Sequence[str] = (),
    runs: Sequence[Converted] | None = None,
) -> dict[str, Any]:
    """Counts, warnings, gates, splits, images, drops and provenance of a conversion, as JSON-like data.

    Args:
        converted: the annotated images.
        kept: those of them with an expression.
        ratios: split -> share of the patients that was asked for.
        gates: what Gates.check said.
        images_not_annotated: how many images have no annotation.
        phrases_without_label: those asked for of which no annotation has a label.
        runs: all images of runs, those that are not annotated too; None where no runs are asked for.
    """
    videos = runs_record(runs or ())
    counts = (
        {}
        if runs is None
        else {"runs": len(videos), "frames": sum(each["frames"] for each in videos.values())}
    )
    splits = _patients_of_splits(kept)
    return {
        "format_version": FORMAT_VERSION,
        "rasteriser": RASTERISER,
        "counts": {**_counts(converted, kept), "images_not_annotated": images_not_annotated, **counts},
        "warnings": _warnings_of_annotations(converted, phrases_without_label)
        + _warnings(kept, splits, ratios)
        + warnings_of_runs(runs or ()),
        "patients_stated": all(item.identity.origin.stated for item in kept),
        "gates": dict(gates),
        "rasteriser_sensitivity": summarise_redrawn(
            [truth for item in kept for truth in item.redrawn], sum(bool(item.redrawn) for item in kept)
        ),
        "phrases": _sorted(_expressions_of_phrases(kept)),
        "splits": splits,
        "images": _images(kept),
        **({} if runs is None else {"runs": videos}),
        "dropped": _dropped(converted),
        "provenance": {"versions": provenance.versions(), "inputs": _inputs(converted)},
    }


def _counts(converted: Sequence[Converted], kept: Sequence[Converted]) -> dict[str, int]:
    interpreted: Counter[str] = Counter()
    for item in converted:
        interpreted.update(item.identity.record.counts)
    return {
        "patients": len({item.identity.patient for item in kept}),
        "images": len(kept),
        "expressions": sum(sum(item.tally.expressions.values()) for item in kept),
        "expressions_empty": sum(item.tally.expressions_empty for item in kept),
        "regions": sum(item.tally.regions for item in converted),
        "regions_left_out": sum(item.tally.regions_left_out for item in converted),
        "regions_ignored": sum(item.tally.regions_ignored for item in converted),
        "regions_clipped": sum(item.tally.regions_clipped for item in converted),
        "regions_without_pixels": sum(item.tally.regions_without_pixels for item in converted),
        "regions_of_the_whole_image": sum(item.tally.regions_of_the_whole_image for item in converted),
        "regions_of_most_of_the_image": sum(item.tally.regions_of_most_of_the_image for item in converted),
        "regions_crossing_themselves": sum(item.tally.regions_crossing_themselves for item in converted),
        "images_scaled": sum(item.tally.scaled for item in converted),
        "images_dropped": len(converted) - len(kept),
        **_sorted(interpreted),
    }


def _expressions_of_phrases(kept: Sequence[Converted]) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for item in kept:
        numbers.update(item.tally.expressions)
    return numbers


def _warnings_of_annotations(
    converted: Sequence[Converted], phrases_without_label: Sequence[str]
) -> list[str]:
    """What the annotators meant, and what the truths do not show."""
    warnings = []
    vanished = [item for item in converted if item.tally.regions_without_pixels]
    if vanished:
        number = sum(item.tally.regions_without_pixels for item in vanished)
        examples = ", ".join(sorted(item.identity.image_id for item in vanished)[:_EXAMPLES])
        warnings.append(
            english(
                "%(n)s annotated regions on %(images)s images have no pixel, being too thin or empty, and are "
                "left out (e.g. on %(examples)s).",
                n=number,
                images=len(vanished),
                examples=examples,
            )
        )
    if whole := sum(item.tally.regions_of_the_whole_image for item in converted):
        warnings.append(
            english(
                "%(n)s annotated regions cover their whole image; look whether their masks show what is meant.",
                n=whole,
            )
        )
    if most := [item for item in converted if item.tally.regions_of_most_of_the_image]:
        examples = ", ".join(sorted(item.identity.image_id for item in most)[:_EXAMPLES])
        warnings.append(
            english(
                "Annotated regions cover more than half of %(images)s (e.g. %(examples)s); look whether their "
                "masks are drawn black on white, which reads as everything but the drawing.",
                images=_number(len(most), "image"),
                examples=examples,
            )
        )
    if other := _counted(converted, "embedded_images_of_another_size"):
        warnings.append(
            english(
                "%(n)s LabelMe files embed an image of another size than the image file, which was used.",
                n=other,
            )
        )
    if useless := _counted(converted, "holes_before_regions"):
        warnings.append(
            english(
                "%(n)s shapes called _background_ come before all others in their file, so they cut nothing.",
                n=useless,
            )
        )
    warnings += [
        english("No annotation has a label of the phrase %(phrase)s.", phrase=repr(phrase))
        for phrase in phrases_without_label
    ]
    return warnings


def _counted(converted: Iterable[Converted], name: str) -> int:
    """How often the readers met with something that they had to interpret."""
    return sum(item.identity.record.counts.get(name, 0) for item in converted)


def _warnings(kept: Sequence[Converted], splits: Mapping[str, Any], ratios: Mapping[str, float]) -> list[str]:
    warnings = []
    if any(item.identity.origin.split is None for item in kept):
        number = len({item.identity.patient for item in kept})
        warnings += [
            english(
                "No patient fell into the split %(split)s (%(n)s in all); check the patient pattern or the "
                "ratios.",
                split=repr(split),
                n=number,
            )
            for split in ratios
            if split not in splits
        ]
    copies = len(kept) - len({item.image.pixels_sha256 for item in kept})
    if copies:
        warnings.append(english("%(n)s images repeat the pixels of another image of their split.", n=copies))
    if crossing := sum(item.tally.regions_crossing_themselves for item in kept):
        warnings.append(
            english(
                "%(n)s regions have an outline that crosses itself; what it encloses twice is outside.",
                n=crossing,
            )
        )
    if burned := _counted(kept, "images_with_burned_in_text"):
        warnings.append(
            english("%(n)s images have text burnt into their pixels, which may name the patient.", n=burned)
        )
    counts = [item.identity.record.counts for item in kept]
    if by_values := sum(each.get("images_windowed_by_their_values", 0) for each in counts):
        warnings.append(
            english(
                "%(n)s images of more than 12 bits state no window; they are shown in the range of the values "
                "in their file.",
                n=by_values,
            )
        )
    if subtracted := sum(each.get("images_meant_to_be_subtracted", 0) for each in counts):
        warnings.append(
            english(
                "%(n)s images are meant to be shown less their mask frame (RecommendedViewingMode SUB); they "
                "are shown as stored.",
                n=subtracted,
            )
        )
    if any(item.redrawn for item in kept) and not opencv_is_installed():
        warnings.append(
            english(
                "OpenCV is not installed, so its rasteriser is not compared; install refvessel[sensitivity]."
            )
        )
    return warnings + _unstated_patients(kept)


def _unstated_patients(kept: Sequence[Converted]) -> list[str]:
    """How many patients names made of the images of which nobody says who is on them, and the largest of these."""
    images = Counter(item.identity.patient for item in kept if not item.identity.origin.stated)
    if not images:
        return []
    largest = sorted(images, key=lambda patient: (-images[patient], patient))[:_EXAMPLES]
    examples = ", ".join(f"{patient} with {_number(images[patient], 'image')}" for patient in largest)
    return [
        english(
            "Nothing says who is on the images: from their names alone, %(images)s became %(patients)s (e.g. "
            "%(examples)s), and every interval rests on that; %(remedy)s.",
            images=_number(images.total(), "image"),
            patients=_number(len(images), "patient"),
            examples=examples,
            remedy=STATE_PATIENTS,
        )
    ]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _patients_of_splits(kept: Iterable[Converted]) -> dict[str, list[str]]:
    patients = defaultdict(set)
    for item in kept:
        patients[item.identity.split].add(item.identity.patient)
    return {split: sorted(patients[split]) for split in sorted(patients)}


def _images(kept: Sequence[Converted]) -> dict[str, dict[str, Any]]:
    """By image_id. `frame` counts a patient's images from 1, in the order of their frame numbers and names.

    The number in the name is not published: it can be a date or a hospital number.
    """
    in_order = sorted(kept, key=lambda item: (item.identity.origin.frame or 0, item.identity.record.name))
    seen: Counter[str] = Counter()
    images = {}
    for item in in_order:
        seen[item.identity.patient] += 1
        images[item.identity.image_id] = {
            "patient": item.identity.patient,
            "frame": seen[item.identity.patient],
            "split": item.identity.split,
            "width": item.image.width,
            "height": item.image.height,
            "pixels_sha256": item.image.pixels_sha256,
        }
    return _sorted(images)


def _dropped(converted: Sequence[Converted]) -> dict[str, str]:
    """Image_id -> why an annotated image is not in the tree."""
    return _sorted(
        {
            item.identity.image_id: "no region with a pixel"
            if item.tally.regions_without_pixels
            else "no region"
            for item in converted
            if not item.tally.expressions
        }
    )


def _inputs(converted: Sequence[Converted]) -> dict[str, dict[str, Any]]:
    """Number and joint hash of the images and of the annotation files, without their names."""
    annotations = set().union(*(item.identity.record.annotation_files for item in converted))
    return {
        "images": _joint_hash([item.source_sha256 for item in converted]),
        "annotations": _joint_hash([sha256_of_file(path) for path in annotations]),
    }


def _joint_hash(hashes: Sequence[str]) -> dict[str, Any]:
    """The SHA-256 of the sorted hexadecimal SHA-256s, which does not depend on names."""
    return {"files": len(hashes), "sha256": hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()}


def _sorted(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(mapping.items()))
