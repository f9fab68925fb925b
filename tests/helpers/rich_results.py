"""Results that fill every section of a report, with numbers that stand nowhere else."""

import json
import os
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from made_up_runs import run_of, write_layout
from stages import compare_sequences, score_sequences

from refvessel.artifacts import CASES, OF_SCORES, VIDEO_CASES
from refvessel.dataset.tree.stated_facts import FirstLook
from refvessel.files import sha256_of_file, write_json
from refvessel.metrics.label_ceiling import CEILING_SCORES

FILMS, UNSEEN = "films", "unseen"  # data sets: of runs, and of images without truth
FRAMES, PATIENTS = 3, ("PA", "PB", "PC")  # of each run, and of all, one each
_CONVERSION = {
    "dtype": "bfloat16",
    "parameters": 5_432_101,
    "layers": {"base_mllm": {"tensors": 91}, "sam2": {"tensors": 342}},
    "training": {"llm_lora": {"rank": 8, "alpha": 16.0}},
    "warnings": ["17 tensors were taken from the base model."],
}
_RUN = {
    "dtype": "float32",
    "device": "cuda",
    "max_new_tokens": 2048,
    "video": {"propagation": "memory", "frames": 5},
    "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
}
_REFINEMENT = {
    "threshold": 0.25,
    "smallest_component": 21,
    "smallest_hole": 13,
    "tuned": {"split": "val", "n_patients": 14},
}
_DAY = 1_612_325_000  # in 2021
_IMPORTED = {
    "format": "png",
    "identity": "1d" * 32,
    "missing_taken_as_empty": 2,
    "images_scaled": 7,
    "files": [{"image_id": "image0", "bytes": 4711, "sha256": "2e" * 32}],
}


def add_sections(workspace: Any, make_cases: Any, vessel: Any, stored_logits: Any) -> None:
    """Add runs of two models, one with logits and a chosen question, images without truth, and what jobs took."""
    frames = [
        frame for shake, patient in enumerate(PATIENTS) for frame in run_of(vessel, patient, shake, FRAMES)
    ]
    for number, frame in enumerate(frames):  # areas and lengths are others than the truth's
        wider = frame["prediction"] | np.roll(frame["prediction"], number % 4, axis=0)
        wider[:, : 5 * (number % 3)] = False
        frame["prediction"] = wider
    options = {"dataset": FILMS, "looked_at": FirstLook(2, 41)}
    logits = stored_logits(frames, workspace.root / "logits/films.npz")
    workspace.add(frames, **options, logits=logits)
    shifted = [frame | {"prediction": np.roll(frame["prediction"], 1, axis=0)} for frame in frames]
    workspace.add(shifted, model="other", **options)
    tree, cases = workspace.datasets[FILMS], {}
    write_layout(tree, frames)
    for one in workspace.evaluations[-2:]:
        table = one.scores_dir / CASES
        score_sequences(cases=table, dataset=tree, split="test", output=one.scores_dir, bootstrap_draws=100)
        cases[one.model] = one.scores_dir / VIDEO_CASES
    compare_sequences(cases=cases, output=workspace.compare(FILMS), bootstrap_draws=100)
    workspace.evaluations[-2] = replace(workspace.evaluations[-2], choice=_choice(workspace.root))
    workspace.add_unscored(make_cases(("blood vessel", "guide wire")), dataset=UNSEEN)
    workspace.benchmarks = workspace.root / "benchmarks"
    for number, job in enumerate(("convert/demo", "infer/demo/films/test/1-of-1"), start=1):
        path = workspace.benchmarks / f"{job}.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(
            f"s\th:m:s\tmax_rss\tcpu_time\n{7200 * number}\t2:00:00\t{512.5 * number}\t{3700 * number}\n"
        )
        os.utime(path, (_DAY + number, _DAY + number))


def enrich_results(root: Path) -> None:
    """Add to the artifacts below a folder what only larger runs have."""
    number = count(1)

    def measured(*names: str) -> dict[str, Any]:
        return {name: round(0.1 + 0.00371 * next(number), 5) for name in names} | {
            "n_expressions": 5 + next(number)
        }

    def drawn() -> dict[str, Any]:
        return {"scores": measured(*CEILING_SCORES), "n_expressions": 5 + next(number)}

    def asked() -> dict[str, Any]:
        return measured("mean", "low", "high") | {"n": 3 + next(number), "n_patients": 4 + next(number)}

    for path in root.rglob("conversion.json"):
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | _CONVERSION), "utf-8")
    renamed: dict[str, str] = {}
    for path in root.rglob("dataset.json"):
        before = sha256_of_file(path)
        widths = {"all": {"truths": 41, "dice_mean": {"pillow": 0.931}, "area_mean": {"pillow": 1.12}}}
        gates = {
            "patients": {"compared": 19},
            "identical_pixels": {"compared": 43},
            "near_duplicates": {"nearest": 98, "bits": 256, "threshold": 56, "told_apart_by_vessels": 6},
            "trained_on": {"compared": 29, "listed": 23},
        }
        more = {
            "counts": {"images": 44, "expressions": 88, "patients": 11, "images_dropped": 6},
            "rasteriser_sensitivity": {"truths": 41, "images": 37, "by_width": widths},
            "gates": gates,
            "warnings": ["31 outlines cross themselves."],
        }
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | more), "utf-8")
        renamed[before] = sha256_of_file(path)
    imported = root / OF_SCORES.format(model="other", dataset=FILMS, split="test")
    for path in root.rglob("summary.json"):
        summary = json.loads(path.read_text("utf-8"))
        ceiling = drawn() | {"basis": "corners moved", "share": measured(*CEILING_SCORES)}
        ceiling |= {"by_vessel_width": {"thin": drawn()}, "drawings": {"pillow": drawn()}}
        groups = summary["by_phrase"]
        regions = measured(*("f1", "f1_low", "f1_high", "pq", "pq_low", "pq_high", "AP", "AP50", "AP75"))
        regions |= {"n_truths": 71, "n_predictions": 72, "n_images": 73, "n_matched": 74}
        summary |= {"ceiling": ceiling, "regions": regions}
        summary |= {"by_rasteriser": {"coco": groups.get("catheter", groups["blood vessel"])}}
        summary |= {"near_ties": {"n": 3, "of": 17, "below": 0.0001}, "first_look_of_n_patients": 77}
        made_from = summary["provenance"]["predictions"]["made_from"]
        made_from["run"] |= _RUN
        made_from["refinement"] = _REFINEMENT
        if path.parent == imported:
            made_from["imported"] = _IMPORTED
        text = json.dumps(summary)
        for before, after in renamed.items():
            text = text.replace(before, after)
        path.write_text(text, "utf-8")
        kinds = {
            kind: {
                "dice_change": asked(),
                "masks": asked(),
                "by_words": [{"phrase": "vein", "words": kind} | said],
            }
            for kind in ("paraphrases", "translations")
            if (said := measured("dice_change", "masks") | {"n": 3 + next(number)})
        }
        words = {
            "predictions": summary["provenance"]["predictions"],
            "settings": {"different_targets_below_iou": 0.5},
            "swapped": {name: asked() for name in ("masks", "truths", "own", "other")},
            "absent": {"n_acc": asked(), "as_shown": asked()},
            "sentinels": {
                "same_mask": {
                    "raised": False,
                    "count": 4,
                    "text": "4 of 9 masks are the same for other words.",
                }
            },
            **kinds,
        }
        path.with_name("words.json").write_text(json.dumps(words), "utf-8")


def _choice(root: Path) -> Path:
    """The file of a question that was chosen among two."""
    path = root / "questions/demo/films.json"
    path.parent.mkdir(parents=True)
    scored = {
        "n_expressions": 9,
        "n_patients": 3,
        "dice_patient_mean_low": 0.27,
        "dice_patient_mean_high": 0.76,
    }
    candidates = [
        {"name": name, "question": question, "dice_patient_mean": mean, **scored}
        for name, question, mean in (("short", "What?", 0.625), ("long", "Please?", 0.375))
    ]
    write_json(
        path, {"question": "What?", "name": "short", "run": {"split": "val"}, "candidates": candidates}
    )
    return path
