"""Whether the tests of the scores notice when one of their conventions is changed.

    python benchmarks/mutation_check.py [--cores 2]

Each mutant changes one convention in a copy of the sources: counts swapped, another empty case, pooled for
mean. The tests named with it run against the copy, as `mutants.py` says. Prints a Markdown table and ends with
status 1 if a mutant survives.
"""

import argparse
import sys

from mutants import Mutant, check

LIBRARIES = (
    *("cc3d", "hypothesis.extra.numpy", "medpy.metric.binary", "monai.metrics", "pandas", "pyarrow.parquet"),
    *("pycocotools.cocoeval", "scipy.stats", "skimage.measure", "skimage.morphology", "sklearn.metrics"),
    *("statsmodels.stats.multitest", "torchmetrics.functional.classification"),
    "torchmetrics.functional.segmentation",
)


def mutant(convention: str, module: str, tests: str, *changes: tuple[str, str]) -> Mutant:
    """A mutant of refvessel.metrics.`module`, checked by the tests of these names."""
    files = tuple(f"tests/metrics/test_{name}.py" for name in tests.split())
    return Mutant(convention, f"metrics/{module}", files, changes)


MUTANTS = (
    mutant(
        "FP and FN swapped", "overlap", "overlap", ('"fp": fp, "fn": fn, "tn"', '"fp": fn, "fn": fp, "tn"')
    ),
    mutant(
        "Dice counts TP once below",
        "overlap",
        "overlap",
        ('"dice": 2 * tp + fp + fn', '"dice": tp + fp + fn'),
    ),
    mutant("IoU is Dice", "overlap", "overlap", ('"iou": tp + fp + fn', '"iou": 2 * tp + fp + fn')),
    mutant("precision is recall", "overlap", "overlap", ('"precision": tp + fp', '"precision": tp + fn')),
    mutant(
        "specificity of the foreground", "overlap", "overlap", ('"specificity": tn}', '"specificity": tp}')
    ),
    mutant(
        "overlap without the policy",
        "overlap",
        "overlap",
        ("apply_policy(values, policy[score], truth_pixels=tp + fn, predicted_pixels=tp + fp)", "values"),
    ),
    mutant(
        "empty means either is empty",
        "policy",
        "overlap",
        ('"both_empty": truth_empty & prediction_empty', '"both_empty": truth_empty | prediction_empty'),
    ),
    mutant(
        "empty truth and empty prediction swapped",
        "policy",
        "overlap",
        ("truth_pixels == 0, predicted_pixels == 0", "predicted_pixels == 0, truth_pixels == 0"),
    ),
    mutant(
        "recall of an empty truth is 0",
        "policy",
        "overlap",
        (
            '_OF_THE_TRUTH = {"both_empty": 1.0, "truth_empty": None',
            '_OF_THE_TRUTH = {"both_empty": 1.0, "truth_empty": 0.0',
        ),
    ),
    mutant(
        "both empty scores 0",
        "policy",
        "overlap",
        ('_NOTHING_RIGHT = {"both_empty": 1.0', '_NOTHING_RIGHT = {"both_empty": 0.0'),
    ),
    mutant(
        "a missed vessel has no HD95",
        "policy",
        "shape",
        (
            '"truth_empty": DIAGONAL, "prediction_empty": DIAGONAL',
            '"truth_empty": DIAGONAL, "prediction_empty": None',
        ),
    ),
    mutant("Pr@k is lax", "referring", "summary", ('cases["iou"] > percent', 'cases["iou"] >= percent')),
    mutant(
        "gIoU without the official 1e-5",
        "referring",
        "summary",
        ("above / (below + _SMOOTHING)", "above / below"),
    ),
    mutant(
        "an empty union counts 0 in gIoU",
        "referring",
        "summary",
        ("(below + _SMOOTHING), 1.0)", "(below + _SMOOTHING), 0.0)"),
    ),
    mutant(
        "N-acc over expressions with a target",
        "referring",
        "summary",
        ("(~answered).astype(float).where(~has_target)", "(~answered).astype(float).where(has_target)"),
    ),
    mutant(
        "T-acc over all expressions",
        "referring",
        "summary",
        ("answered.astype(float).where(has_target)", "answered.astype(float)"),
    ),
    mutant(
        "patient mean is the mean over frames",
        "summary",
        "summary",
        ('(sums / ns).fillna(0).add_suffix("_patient_mean")', 'sums.add_suffix("_patient_mean")'),
        ('(ns > 0).astype(float).add_suffix("_patient_mean")', 'ns.add_suffix("_patient_mean")'),
    ),
    mutant(
        "mean over frames is the patient mean",
        "summary",
        "summary",
        ('sums.add_suffix("_mean")', '(sums / ns).fillna(0).add_suffix("_mean")'),
        ('ns.add_suffix("_mean")', '(ns > 0).astype(float).add_suffix("_mean")'),
    ),
    mutant(
        "pooled is the mean",
        "summary",
        "summary",
        ("estimates.assign(**pooled)", 'estimates.assign(**{n: estimates[n[:-6] + "mean"] for n in pooled})'),
    ),
    mutant(
        "cIoU is pooled Dice",
        "summary",
        "summary",
        ('above["iou"].rename("ciou")', 'above["dice"].rename("ciou")'),
    ),
    mutant(
        "failed counted as without [SEG]",
        "summary",
        "summary",
        ('cases["status"] == "failed"', 'cases["status"] == "no_seg"'),
    ),
    mutant(
        "failed expressions left out",
        "score",
        "score summary",
        (
            "paired = pair_expressions(predictions, truth)",
            "paired = pair_expressions(predictions, truth).query(\"status != 'failed'\")",
        ),
        (
            "score_pairs(pair_expressions(predictions, truth)",
            "score_pairs(pair_expressions(predictions, truth).query(\"status != 'failed'\")",
        ),
    ),
    mutant(
        "ignored pixels count in TN",
        "score",
        "shape",
        ('paired["scored_pixels"]', 'paired["height"] * paired["width"]'),
    ),
    mutant(
        "only the ignored pixels are scored",
        "pairing",
        "shape",
        ("& ~masks.decode(out)", "& masks.decode(out)"),
    ),
    mutant(
        "another size is accepted",
        "pairing",
        "score",
        ("if (height, width) != (row.height, row.width)", "if False"),
    ),
    mutant(
        "HD is the maximum",
        "surface",
        "surface",
        (
            "np.percentile(from_prediction, 95), np.percentile(from_truth, 95)",
            "from_prediction.max(), from_truth.max()",
        ),
    ),
    mutant(
        "HD95 is the smaller direction",
        "surface",
        "surface",
        ("float(max(np.percentile", "float(min(np.percentile"),
    ),
    mutant(
        "HD95 pools both directions",
        "surface",
        "surface",
        ("max(np.percentile(from_prediction, 95), np.percentile(from_truth, 95))", "np.percentile(both, 95)"),
    ),
    mutant(
        "ASSD averages the two directions",
        "surface",
        "surface",
        ("float(both.mean())", "float((from_prediction.mean() + from_truth.mean()) / 2)"),
    ),
    mutant("NSD is strict", "surface", "surface", ("both <= tolerance", "both < tolerance")),
    mutant(
        "the image's edge is no surface",
        "surface",
        "surface",
        ("padded = np.pad(mask, 1)", 'padded = np.pad(mask, 1, mode="edge")'),
    ),
    mutant(
        "row and column spacing swapped",
        "surface",
        "surface",
        ("positions(surface(mask)) * spacing", "positions(surface(mask)) * spacing[::-1]"),
    ),
    mutant("the tolerance is in mm", "shape", "shape", ("tolerance=tolerance * side", "tolerance=tolerance")),
    mutant("cropped to the truth", "shape", "shape", ("either = first | second", "either = second")),
    mutant(
        "the width is the radius",
        "shape",
        "shape",
        ("return 2 * float(distances.mean())", "return float(distances.mean())"),
    ),
    mutant(
        "components are 4-connected",
        "topology",
        "topology",
        ("components = _components(mask, connectivity=8)", "components = _components(mask, connectivity=4)"),
    ),
    mutant(
        "background is 8-connected",
        "topology",
        "topology",
        ("_components(~np.pad(mask, 1), connectivity=4)", "_components(~np.pad(mask, 1), connectivity=8)"),
    ),
    mutant(
        "the outside is a hole",
        "topology",
        "topology",
        ("components, background - 1", "components, background"),
    ),
    mutant(
        "skeleton precision and recall swapped",
        "topology",
        "topology",
        ("_share(prediction.skeleton, truth.mask)", "_share(truth.skeleton, prediction.mask)"),
        (
            "recall = _share(truth.skeleton, prediction.mask)",
            "recall = _share(prediction.skeleton, truth.mask)",
        ),
    ),
    mutant(
        "clDice is the arithmetic mean",
        "topology",
        "topology",
        ("return 2 * first * second / (first + second)", "return (first + second) / 2"),
    ),
    mutant("CAL allows three pixels", "topology", "topology", ("_CAL_RADIUS = 2", "_CAL_RADIUS = 3")),
    mutant(
        "CAL without connectivity", "topology", "topology", ("connectivity * area * length", "area * length")
    ),
    mutant(
        "CAL's components over predicted pixels",
        "topology",
        "topology",
        ("/ _pixels(truth.mask)", "/ max(1, _pixels(prediction.mask))"),
    ),
    mutant(
        "a branch needs four runs",
        "topology",
        "topology",
        ("runs >= 3], columns[runs >= 3]", "runs >= 4], columns[runs >= 4]"),
    ),
    mutant("the bias is not corrected", "bootstrap", "bootstrap", ("bias = ndtri(", "bias = 0 * ndtri(")),
    mutant("the acceleration is left out", "bootstrap", "bootstrap", ("1 - acceleration * z", "1")),
    mutant(
        "90% intervals", "bootstrap", "bootstrap", ("ndtri((1 - CONFIDENCE) / 2)", "ndtri(1 - CONFIDENCE)")
    ),
    mutant("the seed is ignored", "bootstrap", "bootstrap", ("default_rng(seed)", "default_rng(0)")),
    mutant(
        "frames are tested, not patients",
        "comparison",
        "comparison",
        ('.groupby(level="patient").mean()', ".reset_index(drop=True)"),
    ),
    mutant(
        "Wilcoxon is one-sided",
        "comparison",
        "comparison",
        ("stats.wilcoxon(differences)", 'stats.wilcoxon(differences, alternative="greater")'),
    ),
    mutant("Bonferroni for Holm", "comparison", "comparison", ('method="holm"', 'method="bonferroni"')),
    mutant(
        "Holm within each score",
        "comparison",
        "comparison",
        ("tested = [row for row in rows if", "tested = [row for row in rows[:3] if"),
    ),
    mutant(
        "a large distance is good",
        "comparison",
        "comparison",
        ("sign = 1 if score in ERRORS else -1", "sign = -1"),
    ),
    mutant(
        "another truth is compared",
        "compare",
        "compare",
        ("(one.loc[common] != two.loc[common])", "(one.loc[common] != one.loc[common])"),
    ),
    mutant(
        "failures allowed are a finding",
        "sentinels",
        "sentinels",
        ("failed > max_failures", "failed >= max_failures"),
    ),
    mutant(
        "empty answers are copies of the truth",
        "sentinels",
        "sentinels",
        ('answered = cases[cases["predicted_pixels"] > 0]', "answered = cases"),
    ),
    mutant("thresholds are lax", "probability", "probability", ('side="left"', 'side="right"')),
    mutant(
        "ties in an arbitrary order",
        "probability",
        "probability",
        ("np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)", "np.arange(len(scores))"),
    ),
    mutant(
        "AUC by rectangles",
        "probability",
        "probability",
        ("(found[1:] + found[:-1])).sum() / 2", "found[1:]).sum()"),
    ),
    mutant(
        "average precision by trapezoids",
        "probability",
        "probability",
        (
            "(np.diff(found) * precision).sum()",
            "(np.diff(found) * (precision + np.append(1, precision[:-1])) / 2).sum()",
        ),
    ),
    mutant("ten bins of calibration", "probability", "probability", ("_BINS = 15", "_BINS = 10")),
    mutant(
        "calibration with its sign",
        "probability",
        "probability",
        ("np.abs(gaps).sum()", "gaps.sum()"),
    ),
    mutant(
        "only the ignored pixels have probabilities",
        "probability",
        "probability",
        ("slice(None) if ignored is None else ~ignored", "slice(None) if ignored is None else ignored"),
    ),
    mutant(
        "an empty prediction has no AUC",
        "policy",
        "probability_cases",
        (
            '_OF_PROBABILITIES = {"both_empty": None, "truth_empty": None, "prediction_empty": FORMULA}',
            '_OF_PROBABILITIES = {"both_empty": None, "truth_empty": None, "prediction_empty": None}',
        ),
    ),
    mutant(
        "several masks count as their mean",
        "probability_cases",
        "probability_cases",
        (".max(axis=0)", ".mean(axis=0)"),
    ),
    mutant(
        "unanswered expressions are full masks",
        "probability_cases",
        "probability_cases",
        ("at_thresholds[:, 2:]", "at_thresholds[:, :2]"),
    ),
    mutant(
        "unanswered expressions leave the curve",
        "probability_cases",
        "probability_cases",
        ("at_thresholds[:, 2:] = foreground, row.scored_pixels - foreground", "pass"),
    ),
    mutant(
        "probabilities ignore the ignored",
        "probability_cases",
        "probability_cases",
        ('None if row["ignore_mask"] is None else', "None if True else"),
    ),
    mutant(
        "incomplete logits are accepted",
        "probability_cases",
        "probability_cases",
        ('("have no stored logits", with_masks - set(stored))', '("have no stored logits", set())'),
    ),
    mutant(
        "the curve's mean is pooled",
        "probability_cases",
        "probability_cases",
        (
            'pd.DataFrame([each.mean() for each in scores]).add_suffix("_mean")',
            'overlap_scores(pooled, policy).add_suffix("_mean")',
        ),
    ),
    mutant(
        "logits are stretched to the corners",
        "logits",
        "logits",
        (
            "scale * (np.arange(after, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)",
            "np.float32((before - 1) / max(after - 1, 1)) * np.arange(after, dtype=np.float32)",
        ),
    ),
    mutant(
        "logits go straight to the image",
        "logits",
        "logits",
        (
            "_interpolation(_SCALE * side, length) @ _interpolation(side, _SCALE * side)",
            "_interpolation(side, length)",
        ),
    ),
    mutant(
        "rows and columns of logits swapped",
        "logits",
        "logits",
        ("(columns @ (rows @ each).T).T", "columns @ (rows @ each).T"),
    ),
    mutant(
        "predictions are paired by position",
        "pairing",
        "score",
        (
            'predictions[columns], on="sent_id"',
            'predictions[columns].assign(sent_id=np.sort(predictions["sent_id"])), on="sent_id"',
        ),
        ("import pandas as pd", "import numpy as np\nimport pandas as pd"),
    ),
    mutant(
        "a missing prediction is left out",
        "pairing",
        "score",
        ('_refuse("without a prediction", set(truth["sent_id"]) - set(predictions["sent_id"]))', "pass"),
    ),
    mutant(
        "other rasterisers score the truth itself",
        "score",
        "score",
        ('drawn.assign(mask=drawn["sent_id"].map(by_sent_id))', "drawn"),
    ),
    mutant(
        "rasterisers on other expressions than the truth",
        "score",
        "score",
        ('cases[cases["sent_id"].isin(by_sent_id)]', "cases"),
    ),
    mutant(
        "patients are counted as expressions",
        "summary",
        "summary",
        (
            'cases["patient"].groupby(groups, observed=True).nunique()',
            'cases["patient"].groupby(groups, observed=True).size()',
        ),
    ),
    mutant(
        "a width belongs to the group below its edge",
        "subgroups",
        "subgroups",
        ('side="right"', 'side="left"'),
    ),
    mutant(
        "draws are of the frames' number",
        "comparison",
        "comparison",
        ("weights @ differences / n", "weights @ differences / (n - 1)"),
    ),
    mutant(
        "Cohen's d by the population's deviation",
        "comparison",
        "comparison",
        ("np.maximum(n - 1, 1)", "np.maximum(n, 1)"),
    ),
    mutant(
        "models are compared where either has a score",
        "comparison",
        "comparison",
        ("index=patients).dropna()", 'index=patients).dropna(how="all")'),
    ),
    mutant(
        "other cases are compared",
        "compare",
        "compare",
        ("sorted(ids[0] - ids[1])", "[]"),
        ("sorted(ids[1] - ids[0])", "[]"),
    ),
    mutant(
        "models are paired by position",
        "compare",
        "compare",
        ('table.sort_values("sent_id", ignore_index=True)', "table"),
    ),
    mutant(
        "frames of one image are copies of each other",
        "sentinels",
        "sentinels",
        ('["image_id"].nunique()', '["image_id"].size()'),
    ),
    mutant(
        "COCO results of empty answers",
        "coco_results",
        "coco_results",
        (
            "        if masks.area(row.mask):\n            image_id, category_id",
            "        if True:\n            image_id, category_id",
        ),
    ),
)


def main() -> int:
    """Run all mutants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    cores = parser.parse_args().cores
    everything = sorted({file for one in MUTANTS for file in one.tests})
    said = check(MUTANTS, all_tests=everything, needed=["tests/metrics"], libraries=LIBRARIES, cores=cores)
    print("| convention changed | module | caught |\n|---|---|---|")
    for one, failure in zip(MUTANTS, said, strict=True):
        print(f"| {one.mistake} | {one.module.removeprefix('metrics/')} | {'yes' if failure else 'no'} |")
    print(f"\n{len(MUTANTS) - said.count(None)} of {len(MUTANTS)} mutants caught")
    return int(None in said)


if __name__ == "__main__":
    sys.exit(main())
