"""Whether the tests of the scores notice when one of their conventions is changed.

    python benchmarks/mutation_check.py [--threads 2] [--only WORDS]

Each mutant changes one convention in a copy of the sources: counts swapped, another empty case, pooled for
mean. The tests named with it run against the copy, as `mutants.py` says.
"""

import sys

from mutants import Mutant, main

LIBRARIES = (
    *("cc3d", "hypothesis.extra.numpy", "medpy.metric.binary", "monai.metrics", "pandas", "pyarrow.parquet"),
    *("pycocotools.cocoeval", "pydantic", "scipy.stats", "skimage.measure", "skimage.morphology"),
    *("sklearn.metrics", "statsmodels.stats.multitest", "torchmetrics.functional.classification"),
    "torchmetrics.functional.segmentation",
)
NEEDED = (
    *("tests/evaluation", "tests/helpers", "tests/metrics", "tests/predictions"),
    "tests/data/betti_matching.json",
)

ANSWERED = "status != 'failed'"


def mutant(convention: str, module: str, tests: str, *changes: tuple[str, str]) -> Mutant:
    """A mutant of refvessel.`module`, checked by tests of these names: room/file or room/file::test."""
    return Mutant(convention, module, tuple(map(_as_pytest_has_it, tests.split())), changes)


def _as_pytest_has_it(name: str) -> str:
    room, _, rest = name.partition("/")
    file, *test = rest.split("::")
    return "::".join([f"tests/{room}/test_{file}.py", *test])


MUTANTS = (
    mutant(
        "FP and FN swapped",
        "metrics/overlap",
        "metrics/overlap",
        ('"fp": fp, "fn": fn, "tn"', '"fp": fn, "fn": fp, "tn"'),
    ),
    mutant(
        "Dice counts TP once below",
        "metrics/overlap",
        "metrics/overlap",
        ('"dice": 2 * tp + fp + fn', '"dice": tp + fp + fn'),
    ),
    mutant(
        "IoU is Dice",
        "metrics/overlap",
        "metrics/overlap",
        ('"iou": tp + fp + fn', '"iou": 2 * tp + fp + fn'),
    ),
    mutant(
        "precision is recall",
        "metrics/overlap",
        "metrics/overlap",
        ('"precision": tp + fp', '"precision": tp + fn'),
    ),
    mutant(
        "specificity of the foreground",
        "metrics/overlap",
        "metrics/overlap",
        ('"specificity": tn,', '"specificity": tp,'),
    ),
    mutant(
        "overlap without the policy",
        "metrics/overlap",
        "metrics/overlap",
        (
            "apply_policy(\n            values[score], policy[score], truth_pixels=truth_pixels, "
            "predicted_pixels=predicted_pixels\n        )",
            "values[score]",
        ),
    ),
    mutant(
        "empty means either is empty",
        "metrics/policy",
        "metrics/overlap",
        ('"both_empty": truth_empty & prediction_empty', '"both_empty": truth_empty | prediction_empty'),
    ),
    mutant(
        "empty truth and empty prediction swapped",
        "metrics/policy",
        "metrics/overlap",
        ("truth_pixels == 0, predicted_pixels == 0", "predicted_pixels == 0, truth_pixels == 0"),
    ),
    mutant(
        "recall of an empty truth is 0",
        "metrics/policy",
        "metrics/overlap",
        (
            '_OF_THE_TRUTH: dict[str, Cell] = {"both_empty": 1.0, "truth_empty": None',
            '_OF_THE_TRUTH: dict[str, Cell] = {"both_empty": 1.0, "truth_empty": 0.0',
        ),
    ),
    mutant(
        "both empty scores 0",
        "metrics/policy",
        "metrics/overlap",
        (
            '_NOTHING_RIGHT: dict[str, Cell] = {"both_empty": 1.0',
            '_NOTHING_RIGHT: dict[str, Cell] = {"both_empty": 0.0',
        ),
    ),
    mutant(
        "a missed vessel has no HD95",
        "metrics/policy",
        "metrics/shape",
        (
            '"truth_empty": DIAGONAL, "prediction_empty": DIAGONAL',
            '"truth_empty": DIAGONAL, "prediction_empty": None',
        ),
    ),
    mutant(
        "Pr@k is lax",
        "metrics/referring",
        "metrics/summary",
        ("iou > percent", "iou >= percent"),
    ),
    mutant(
        "gIoU without the official 1e-5",
        "metrics/referring",
        "metrics/summary",
        ("above / (below + SMOOTHING)", "above / below"),
    ),
    mutant(
        "an empty union counts 0 in gIoU",
        "metrics/referring",
        "metrics/summary",
        ("(below + SMOOTHING), 1.0)", "(below + SMOOTHING), 0.0)"),
    ),
    mutant(
        "N-acc over expressions with a target",
        "metrics/referring",
        "metrics/summary",
        ("truth > 0, np.nan, predicted == 0", "truth == 0, np.nan, predicted == 0"),
    ),
    mutant(
        "T-acc over all expressions",
        "metrics/referring",
        "metrics/summary",
        ("np.where(truth > 0, predicted > 0, np.nan)", "(predicted > 0).astype(float)"),
    ),
    mutant(
        "patient mean is the mean over frames",
        "metrics/summary",
        "metrics/summary",
        ("sums / np.maximum(ns, 1),\n", "sums,\n"),
        ("(ns > 0).astype(np.float64),\n", "ns,\n"),
    ),
    mutant(
        "mean over frames is the patient mean",
        "metrics/summary",
        "metrics/summary",
        (
            "for score in scores], sums, ns)",
            "for score in scores], sums / np.maximum(ns, 1), (ns > 0) * 1.0)",
        ),
    ),
    mutant(
        "pooled is the mean",
        "metrics/summary",
        "metrics/summary",
        (
            "**_pooled(cases, _adding_up(group), policy),",
            "**{n: estimates.T[terms.names.index(n[:-6] + 'mean')] for n in terms.names if 'pooled' in n},",
        ),
    ),
    mutant(
        "cIoU is pooled Dice",
        "metrics/summary",
        "metrics/summary",
        ('(["ciou"], ratios_above["iou"]', '(["ciou"], ratios_above["dice"]'),
    ),
    mutant(
        "failed counted as without [SEG]",
        "metrics/summary",
        "metrics/summary",
        ('cases["status"] == Status.FAILED', 'cases["status"] == Status.NO_SEG'),
    ),
    mutant(
        "failed expressions left out",
        "evaluation/parts",
        "evaluation/scoring",
        (
            "paired = pair_expressions(predictions, truth)",
            f"paired = pair_expressions(predictions, truth).query({ANSWERED!r}).reset_index(drop=True)",
        ),
    ),
    mutant(
        "failed expressions left out of the table of cases",
        "evaluation/judging",
        "metrics/summary",
        (
            "judge_pairs(pair_expressions(predictions, truth)",
            f"judge_pairs(pair_expressions(predictions, truth).query({ANSWERED!r}).reset_index(drop=True)",
        ),
    ),
    mutant(
        "ignored pixels count in TN",
        "evaluation/judging",
        "metrics/shape",
        ('paired["scored_pixels"]', 'paired["height"] * paired["width"]'),
    ),
    mutant(
        "only the ignored pixels are scored",
        "evaluation/pairing",
        "metrics/shape",
        ("& ~rle.decode(out)", "& rle.decode(out)"),
    ),
    mutant(
        "another size than the image's is accepted where both masks have it",
        "evaluation/pairing",
        "evaluation/scoring",
        ("if (height, width) != (row.height, row.width)", 'if (height, width) != tuple(row.mask["size"])'),
    ),
    mutant(
        "HD is the maximum",
        "metrics/surface",
        "metrics/surface",
        (
            "np.percentile(from_prediction, 95), np.percentile(from_truth, 95)",
            "from_prediction.max(), from_truth.max()",
        ),
    ),
    mutant(
        "HD95 is the smaller direction",
        "metrics/surface",
        "metrics/surface",
        ("float(max(np.percentile", "float(min(np.percentile"),
    ),
    mutant(
        "HD95 pools both directions",
        "metrics/surface",
        "metrics/surface",
        ("max(np.percentile(from_prediction, 95), np.percentile(from_truth, 95))", "np.percentile(both, 95)"),
    ),
    mutant(
        "ASSD averages the two directions",
        "metrics/surface",
        "metrics/surface",
        ("float(both.mean())", "float((from_prediction.mean() + from_truth.mean()) / 2)"),
    ),
    mutant("NSD is strict", "metrics/surface", "metrics/surface", ("both <= tolerance", "both < tolerance")),
    mutant(
        "the image's edge is no surface",
        "geometry",
        "metrics/surface",
        ("padded = np.pad(mask, 1)", 'padded = np.pad(mask, 1, mode="edge")'),
    ),
    mutant(
        "row and column spacing swapped",
        "metrics/surface",
        "metrics/surface",
        ("positions(surface(mask)) * spacing", "positions(surface(mask)) * spacing[::-1]"),
    ),
    mutant(
        "the tolerance is in mm",
        "metrics/shape",
        "metrics/shape",
        ("tolerance=tolerance * side", "tolerance=tolerance"),
    ),
    mutant(
        "cropped to the truth",
        "metrics/shape",
        "metrics/shape",
        ("box = box_around(predicted | true)", "box = box_around(true)"),
    ),
    mutant(
        "the width is the radius",
        "geometry",
        "metrics/shape",
        ("return 2 * nearest_distances(", "return nearest_distances("),
    ),
    mutant(
        "components are 4-connected",
        "metrics/topology",
        "metrics/topology",
        ("ndimage.label(mask, _EIGHT_NEIGHBOURS)", "ndimage.label(mask)"),
    ),
    mutant(
        "background is 8-connected",
        "metrics/topology",
        "metrics/topology",
        ("(~np.pad(mask, 1), connectivity=4)", "(~np.pad(mask, 1), connectivity=8)"),
    ),
    mutant(
        "the outside is a hole",
        "metrics/topology",
        "metrics/topology",
        ("int(self.background.max()) - 1", "int(self.background.max())"),
    ),
    mutant(
        "skeleton precision and recall swapped",
        "metrics/topology",
        "metrics/topology",
        ("_share(prediction.skeleton, truth.mask)", "_share(truth.skeleton, prediction.mask)"),
        (
            "recall = _share(truth.skeleton, prediction.mask)",
            "recall = _share(prediction.skeleton, truth.mask)",
        ),
    ),
    mutant(
        "clDice is the arithmetic mean",
        "metrics/topology",
        "metrics/topology",
        ("return 2 * first * second / (first + second)", "return (first + second) / 2"),
    ),
    mutant(
        "CAL allows three pixels",
        "metrics/topology",
        "metrics/topology",
        ("_CAL_RADIUS = 2", "_CAL_RADIUS = 3"),
    ),
    mutant(
        "CAL without connectivity",
        "metrics/topology",
        "metrics/topology",
        ("connectivity * area * length", "area * length"),
    ),
    mutant(
        "CAL's components over predicted pixels",
        "metrics/topology",
        "metrics/topology",
        ("/ _pixels(truth.mask)", "/ max(1, _pixels(prediction.mask))"),
    ),
    mutant(
        "a branch needs four runs",
        "metrics/topology",
        "metrics/topology",
        ("runs >= 3], columns[runs >= 3]", "runs >= 4], columns[runs >= 4]"),
    ),
    mutant(
        "accuracy of the foreground",
        "metrics/overlap",
        "metrics/overlap",
        ('"accuracy": tp + tn,', '"accuracy": tp,'),
    ),
    mutant(
        "MCC without the false ones",
        "metrics/overlap",
        "metrics/overlap",
        ("np.divide(tp * tn - fp * fn, scale", "np.divide(tp * tn, scale"),
    ),
    mutant(
        "MASD pools both directions",
        "metrics/surface",
        "metrics/surface",
        ("(from_prediction.mean() + from_truth.mean()) / 2", "both.mean()"),
    ),
    mutant(
        "the boundary is a pixel wider",
        "metrics/boundary_iou",
        "metrics/boundary_iou",
        ("mask & ~_eroded(mask, distance)", "mask & ~_eroded(mask, distance + 1)"),
    ),
    mutant(
        "the image's edge is no boundary",
        "metrics/boundary_iou",
        "metrics/boundary_iou",
        ("padded = np.pad(mask, distance)", 'padded = np.pad(mask, distance, mode="edge")'),
    ),
    mutant(
        "a component that is found by chance matches",
        "metrics/betti_matching",
        "metrics/betti_matching",
        ("of_either.all(axis=0)", "of_either.any(axis=0)"),
    ),
    mutant(
        "matched in one direction",
        "metrics/betti_matching",
        "metrics/betti_matching",
        ("components - 2 * _matched", "components - _matched"),
    ),
    mutant(
        "holes are followed to what is filled first",
        "metrics/betti_matching",
        "metrics/betti_matching",
        ("followed[holes] = filled_last", "followed[holes[::-1]] = filled_last[::-1]"),
    ),
    mutant(
        "the outside answers a hole",
        "metrics/betti_matching",
        "metrics/betti_matching",
        ("    followed[labels.outside] = 0\n", ""),
    ),
    mutant(
        "a width on an edge belongs to the calibre below",
        "metrics/calibre",
        "metrics/calibre",
        ('widths, side="right")', 'widths, side="left")'),
    ),
    mutant(
        "calibres of what is found",
        "metrics/calibre",
        "metrics/calibre",
        ("pixels = np.bincount(calibre,", "pixels = np.bincount(calibre[found],"),
    ),
    mutant(
        "recall by calibre is precision",
        "metrics/shape",
        "metrics/shape",
        ("predicted[true_topology.skeleton]", "true[true_topology.skeleton]"),
    ),
    mutant(
        "a speck may have ten pixels",
        "metrics/artefacts",
        "metrics/artefacts",
        ("minlength=1) < SPECK", "minlength=1) <= SPECK"),
    ),
    mutant(
        "pinholes stay",
        "metrics/artefacts",
        "metrics/artefacts",
        (") | pinholes[in_holes]", ")"),
    ),
    mutant(
        "the border is inside the vessel alone",
        "metrics/border_calibration",
        "metrics/border_calibration",
        (" | (background & near(vessel, distance))", ""),
    ),
    mutant(
        "ignored pixels are background near the border",
        "metrics/border_calibration",
        "metrics/border_calibration",
        ("truth & counted, ~truth & counted", "truth & counted, ~truth"),
    ),
    mutant(
        "the NLL is of the foreground",
        "metrics/border_calibration",
        "metrics/border_calibration",
        ("-np.log(of_the_truth.clip", "-np.log(scores.clip"),
    ),
    mutant(
        "the least confident come first",
        "metrics/confidence",
        "metrics/confidence",
        ("np.argsort(-confidence", "np.argsort(confidence"),
    ),
    mutant(
        "failed cases leave the AURC",
        "metrics/confidence",
        "metrics/confidence",
        ('known = cases[cases["dice"].notna()]', 'known = cases[cases["predicted_iou"].notna()]'),
    ),
    mutant(
        "equally confident cases come as they stand",
        "metrics/confidence",
        "metrics/confidence",
        ("np.bincount(tied, weights=risk) / np.bincount(tied))[tied]", "risk)"),
    ),
    mutant(
        "an IoU of a half matches",
        "metrics/region_detection",
        "metrics/region_detection",
        ("ious > MATCHED_ABOVE", "ious >= MATCHED_ABOVE"),
    ),
    mutant(
        "F1 of regions is pooled",
        "metrics/region_detection",
        "metrics/region_detection",
        (
            'rows.groupby(["patient", "image_id"])',
            'rows.assign(image_id="").groupby(["patient", "image_id"])',
        ),
    ),
    mutant(
        "PQ counts false regions whole",
        "metrics/region_detection",
        "metrics/region_detection",
        (".to_numpy(float)[:, None] / 2", ".to_numpy(float)[:, None]"),
    ),
    mutant(
        "one answer to two expressions is two regions",
        "evaluation/found_regions",
        "evaluation/found_regions",
        ("predictions=_distinct(mask for mask, _ in answered)", "predictions=[mask for mask, _ in answered]"),
    ),
    mutant(
        "the bias is not corrected",
        "metrics/bootstrap",
        "metrics/bootstrap",
        ("bias = ndtri(", "bias = 0 * ndtri("),
    ),
    mutant(
        "the acceleration is left out",
        "metrics/bootstrap",
        "metrics/bootstrap",
        ("1 - acceleration * z", "1"),
    ),
    mutant(
        "90% intervals",
        "metrics/bootstrap",
        "metrics/bootstrap",
        ("ndtri((1 - CONFIDENCE) / 2)", "ndtri(1 - CONFIDENCE)"),
    ),
    mutant(
        "the seed is ignored",
        "metrics/bootstrap",
        "metrics/bootstrap",
        ("default_rng(seed)", "default_rng(0)"),
    ),
    mutant(
        "frames are tested, not patients",
        "metrics/comparison",
        "metrics/comparison",
        ('.groupby(level="patient").mean()', ".reset_index(drop=True)"),
    ),
    mutant(
        "Wilcoxon is one-sided",
        "metrics/comparison",
        "metrics/comparison",
        ("stats.wilcoxon(differences)", 'stats.wilcoxon(differences, alternative="greater")'),
    ),
    mutant(
        "Bonferroni for Holm",
        "metrics/comparison",
        "metrics/comparison",
        ('method="holm"', 'method="bonferroni"'),
    ),
    mutant(
        "Holm within each score",
        "metrics/comparison",
        "metrics/comparison",
        (
            'multipletests([row[f"{test}_p"] for row in tested], method="holm")[1] if tested else []',
            'np.concatenate([multipletests([row[f"{test}_p"] for row in tested[first : first + 3]], '
            'method="holm")[1] for first in range(0, len(tested), 3)]) if tested else []',
        ),
    ),
    mutant(
        "a large distance is good",
        "metrics/comparison",
        "metrics/comparison",
        ("sign = 1 if score in ERRORS else -1", "sign = -1"),
    ),
    mutant(
        "another truth is compared",
        "evaluation/comparing",
        "evaluation/comparing",
        ("(one.loc[common] != two.loc[common])", "(one.loc[common] != one.loc[common])"),
    ),
    mutant(
        "failures allowed are a finding",
        "metrics/sanity_checks",
        "metrics/sanity_checks",
        ("failed > max_failures", "failed >= max_failures"),
    ),
    mutant(
        "empty answers are copies of the truth",
        "metrics/sanity_checks",
        "metrics/sanity_checks",
        ('answered = cases[cases["predicted_pixels"] > 0]', "answered = cases"),
    ),
    mutant(
        "thresholds are lax", "metrics/probability", "metrics/probability", ('side="left"', 'side="right"')
    ),
    mutant(
        "ties in an arbitrary order",
        "metrics/probability",
        "metrics/probability",
        ("np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)", "np.arange(len(scores))"),
    ),
    mutant(
        "AUC by rectangles",
        "metrics/probability",
        "metrics/probability",
        ("(found[1:] + found[:-1])).sum() / 2", "found[1:]).sum()"),
    ),
    mutant(
        "average precision by trapezoids",
        "metrics/probability",
        "metrics/probability",
        (
            "(np.diff(found) * precision).sum()",
            "(np.diff(found) * (precision + np.append(1, precision[:-1])) / 2).sum()",
        ),
    ),
    mutant(
        "ten bins of calibration", "metrics/probability", "metrics/probability", ("BINS = 15", "BINS = 10")
    ),
    mutant(
        "calibration with its sign",
        "metrics/probability",
        "metrics/probability",
        ("np.abs(gaps).sum()", "gaps.sum()"),
    ),
    mutant(
        "only the ignored pixels have probabilities",
        "metrics/probability",
        "metrics/probability",
        ("slice(None) if ignored is None else ~ignored", "slice(None) if ignored is None else ignored"),
    ),
    mutant(
        "an empty prediction has no AUC",
        "metrics/policy",
        "evaluation/probability_cases",
        (
            '{"both_empty": None, "truth_empty": None, "prediction_empty": FORMULA}',
            '{"both_empty": None, "truth_empty": None, "prediction_empty": None}',
        ),
    ),
    mutant(
        "several masks count as their mean",
        "evaluation/probability_cases",
        "evaluation/probability_cases",
        (".max(axis=0)", ".mean(axis=0)"),
    ),
    mutant(
        "a crossing lies between a pixel and the one before",
        "predictions/drawable",
        "predictions/drawable",
        ("for each in (np.floor, np.ceil)", "for each in (np.floor, np.floor)"),
    ),
    mutant(
        "rows share their cells",
        "predictions/drawable",
        "predictions/drawable",
        (" - row * (side + mask.shape[1])", ""),
    ),
    mutant(
        "columns may change as often as they like",
        "predictions/drawable",
        "predictions/drawable",
        ("_impossible_rows(np.ascontiguousarray(mask.T), side)", "0"),
    ),
    mutant(
        "a union of masks is one mask",
        "evaluation/forgery",
        "evaluation/forgery::test_a_union_of_masks_need_not_be_drawable_itself",
        ("if len(parts) > 1 and rle.union(parts) == predicted:", "if False:"),
    ),
    mutant(
        "masks are looked at that are not the prediction's",
        "evaluation/forgery",
        "evaluation/forgery::test_a_union_of_masks_need_not_be_drawable_itself",
        (" and rle.union(parts) == predicted", ""),
    ),
    mutant(
        "shifts the other way",
        "metrics/altered_truth",
        "metrics/altered_truth",
        ("rows=-y, columns=-x", "rows=y, columns=x"),
    ),
    mutant(
        "noise hides a shift",
        "metrics/altered_truth",
        "metrics/altered_truth",
        ("    cleaned.ravel()[places[is_single]] ^= True\n", ""),
    ),
    mutant(
        "noise is wherever a prediction differs",
        "metrics/altered_truth",
        "metrics/altered_truth",
        ("is_away = ~_others(_around(truth, places, 1)).any(axis=1)", "is_away = places >= 0"),
    ),
    mutant(
        "errors along a boundary are noise",
        "metrics/altered_truth",
        "metrics/altered_truth",
        ("standing_out.mean() < _LEAST_STANDING_OUT", "standing_out.mean() < 0"),
    ),
    mutant(
        "ignored pixels tell of the truth",
        "metrics/altered_truth",
        "metrics/altered_truth",
        ("kept &= ~ignored", "pass"),
    ),
    mutant(
        "the worse mask is chosen",
        "evaluation/preference_pairs",
        "evaluation/preference_pairs",
        ("chosen = max(defined", "chosen = min(defined"),
    ),
    mutant(
        "more errors are better",
        "evaluation/preference_pairs",
        "evaluation/preference_pairs",
        ("worse - better if name in ERRORS else better - worse", "better - worse"),
    ),
    mutant(
        "a failed answer is rejected",
        "evaluation/preference_pairs",
        "evaluation/preference_pairs",
        ("if row.status != Status.FAILED:", "if True:"),
    ),
    mutant(
        "unanswered expressions are full masks",
        "evaluation/probability_cases",
        "evaluation/probability_cases",
        ("at_thresholds[:, 2:]", "at_thresholds[:, :2]"),
    ),
    mutant(
        "unanswered expressions leave the curve",
        "evaluation/probability_cases",
        "evaluation/probability_cases",
        ("at_thresholds[:, 2:] = foreground, row.scored_pixels - foreground", "pass"),
    ),
    mutant(
        "probabilities ignore the ignored",
        "evaluation/probability_cases",
        "evaluation/probability_cases",
        ("None if ignored is None else rle.decode(ignored)", "None if True else rle.decode(ignored)"),
    ),
    mutant(
        "incomplete logits are accepted",
        "evaluation/probability_cases",
        "evaluation/probability_cases",
        ('("have no stored logits", with_masks - set(stored))', '("have no stored logits", set())'),
    ),
    mutant(
        "the curve's mean is pooled",
        "evaluation/probability_cases",
        "evaluation/probability_cases",
        (
            'pd.DataFrame([each.mean() for each in scores]).add_suffix("_mean")',
            'overlap_scores(pooled, policy).add_suffix("_mean")',
        ),
    ),
    mutant(
        "logits are stretched to the corners",
        "predictions/upsampling",
        "predictions/upsampling::test_logits_come_to_any_image_size_as_by_torch",
        (
            "scale * (np.arange(after) + 0.5) - 0.5",
            "(before - 1) / max(after - 1, 1) * np.arange(after)",
        ),
    ),
    mutant(
        "logits go straight to the image",
        "predictions/upsampling",
        "predictions/upsampling::test_logits_come_to_any_image_size_as_by_torch",
        (
            "_interpolation(LOGITS_SCALE * side, length) @ _interpolation(side, LOGITS_SCALE * side)",
            "_interpolation(side, length)",
        ),
    ),
    mutant(
        "rows and columns of logits swapped",
        "predictions/upsampling",
        "predictions/upsampling::test_logits_come_to_any_image_size_as_by_torch",
        ("(columns @ (rows @ each).T).T", "columns @ (rows @ each).T"),
    ),
    mutant(
        "predictions are paired by position",
        "evaluation/pairing",
        "evaluation/scoring::test_expressions_of_one_phrase_are_paired_by_their_number",
        (
            'predictions[list(PREDICTED)], on="sent_id"',
            'predictions[list(PREDICTED)].assign(sent_id=np.sort(predictions["sent_id"])), on="sent_id"',
        ),
    ),
    mutant(
        "a missing prediction is left out",
        "evaluation/pairing",
        "evaluation/scoring",
        ('_refuse("without a prediction", np.setdiff1d(truth, predictions))', "pass"),
    ),
    mutant(
        "other rasterisers score the truth itself",
        "evaluation/redrawn_scores",
        "evaluation/scoring",
        ('drawn.assign(mask=drawn["sent_id"].map(by_sent_id))', "drawn"),
    ),
    mutant(
        "rasterisers on other expressions than the truth",
        "evaluation/redrawn_scores",
        "evaluation/scoring",
        ('cases[cases["sent_id"].isin(by_sent_id)]', "cases"),
    ),
    mutant(
        "patients are counted as expressions",
        "metrics/summary",
        "metrics/summary",
        ('"n_patients": np.bincount(terms.group)', '"n_patients": np.bincount(group)'),
    ),
    mutant(
        "a width belongs to the group below its edge",
        "metrics/subgroups",
        "metrics/subgroups",
        ('side="right"', 'side="left"'),
    ),
    mutant(
        "draws are of the frames' number",
        "metrics/comparison",
        "metrics/comparison",
        ("weights @ differences / n", "weights @ differences / (n - 1)"),
    ),
    mutant(
        "Cohen's d by the population's deviation",
        "metrics/comparison",
        "metrics/comparison",
        ("np.maximum(n - 1, 1)", "np.maximum(n, 1)"),
    ),
    mutant(
        "models are compared where either has a score",
        "metrics/comparison",
        "metrics/comparison",
        ("index=patients).dropna()", 'index=patients).dropna(how="all")'),
    ),
    mutant(
        "other cases are compared",
        "evaluation/comparing",
        "evaluation/comparing::test_as_many_other_cases_are_refused",
        ("sorted(ids[0] - ids[1])", "[]"),
        ("sorted(ids[1] - ids[0])", "[]"),
    ),
    mutant(
        "models are paired by position",
        "evaluation/comparing",
        "evaluation/comparing",
        ('table.sort_values("sent_id", ignore_index=True)', "table"),
    ),
    mutant(
        "frames of one image are copies of each other",
        "metrics/sanity_checks",
        "metrics/sanity_checks",
        ('["image_id"].nunique()', '["image_id"].size()'),
    ),
    mutant(
        "cuts are healed by bridges through the background",
        "metrics/connections",
        "metrics/breaks",
        ("ndimage.label(prediction & near,", "ndimage.label(prediction,"),
    ),
    mutant(
        "pieces of a prediction are 4-connected",
        "metrics/connections",
        "metrics/breaks",
        ("np.ones((3, 3), bool))  # SciPy, as `Labels` says", "None)"),
    ),
    mutant(
        "a vessel is answered by its neighbour's pixels",
        "metrics/connections",
        "metrics/breaks",
        ("& (distance <= nearest[beside] + _NEAREST)", ""),
    ),
    mutant(
        "the tolerance of the centre line is its square's",
        "metrics/connections",
        "metrics/breaks",
        ("order = order[far[order] <= tolerance]", "order = order[far[order] <= 1]"),
    ),
    mutant(
        "connectivity of the largest tree alone",
        "metrics/breaks",
        "metrics/breaks",
        ("(found.piece == main[lines.tree])", "(found.piece == 0)"),
    ),
    mutant(
        "missed tips are breaks",
        "metrics/breaks",
        "metrics/breaks",
        ("return bool(away.min() <= spur)", "return True"),
        (
            "            if not going_on:\n                return False",
            "            if not going_on:\n                return True",
        ),
    ),
    mutant(
        "missed branches are no breaks",
        "metrics/breaks",
        "metrics/breaks",
        ("and self._is_branch(node)", "and False"),
    ),
    mutant(
        "the loss behind a break is its piece alone",
        "metrics/breaks",
        "metrics/breaks",
        ("self._behind[parent] += self._behind[node]", "pass"),
    ),
    mutant(
        "the calibre is the radius",
        "metrics/breaks",
        "metrics/breaks",
        ("2 * float(lines.radius[place])", "float(lines.radius[place])"),
    ),
    mutant(
        "lengths are counted in pixels",
        "metrics/centre_lines",
        "metrics/breaks",
        ("np.hypot(down, right)))", "1.0))"),
    ),
    mutant(
        "breaks of an empty prediction are none",
        "metrics/policy",
        "metrics/shape",
        (
            '"breaks": {"both_empty": 0.0, "truth_empty": None, "prediction_empty": FORMULA}',
            '"breaks": {"both_empty": 0.0, "truth_empty": None, "prediction_empty": 0.0}',
        ),
    ),
    mutant(
        "places of breaks are those of the box",
        "metrics/shape",
        "metrics/shape",
        ("row=found.row + int(rows), column=found.column + int(columns)", "row=found.row"),
    ),
    mutant(
        "the difference of diameters is true minus predicted",
        "metrics/diameters",
        "metrics/diameters",
        ("predicted[matched] - true[matched]", "true[matched] - predicted[matched]"),
    ),
    mutant(
        "diameters at branch points count",
        "metrics/cross_sections",
        "metrics/diameters",
        ("(lines.degree > 2, 2)", "(lines.degree > 2, 0)"),
    ),
    mutant(
        "walls of logits lie at pixels",
        "metrics/cross_sections",
        "metrics/diameters",
        ("    return first / (first - beyond)", "    return 0 * first + 0.5"),
    ),
    mutant(
        "walls are straight lines",
        "metrics/smooth_walls",
        "metrics/diameters",
        ("_DIAMETER = 2.0 ", "_DIAMETER = 3e9 "),
    ),
    mutant(
        "walls follow every step of the raster",
        "metrics/smooth_walls",
        "metrics/smooth_walls",
        ("_MARGIN = 0.03 ", "_MARGIN = 0.5 "),
    ),
    mutant(
        "the walls of one vessel bend those of the next",
        "metrics/smooth_walls",
        "metrics/smooth_walls",
        ("joined[1:] & joined[:-1]", "np.ones(len(joined) - 1)"),
    ),
    mutant(
        "the diameter of a vessel bends as its course does",
        "metrics/smooth_walls",
        "metrics/smooth_walls",
        ("_COURSE = 0.05 ", "_COURSE = 2.0 "),
    ),
    mutant(
        "the bottoms of narrowings are rounded off",
        "metrics/smooth_walls",
        "metrics/smooth_walls",
        (" / np.sqrt(1 + bent**2)", ""),
    ),
    mutant(
        "walls are followed no farther than they are measured",
        "metrics/cross_sections",
        "metrics/smooth_walls",
        ("followed &= away > enough / 2", "followed &= away > enough"),
    ),
    mutant(
        "the reference of a stenosis is the mean diameter",
        "metrics/stenosis",
        "metrics/diameters",
        ("return diameters - residual[vessel, best]", "return 0 * diameters + diameters.mean()"),
    ),
    mutant(
        "narrow places are in the reference of a stenosis",
        "metrics/stenosis",
        "metrics/diameters",
        ("_NARROW = 2 * _NOISE", "_NARROW = 200 * _NOISE"),
    ),
    mutant(
        "a vessel beside is in the reference of a stenosis",
        "metrics/stenosis",
        "metrics/diameters",
        ("_WIDE = 4 * _NOISE", "_WIDE = 400 * _NOISE"),
    ),
    mutant(
        "limits of agreement without what lies between expressions",
        "metrics/diameter_summary",
        "metrics/diameters",
        ("(sd**2 + (bias - mean) ** 2)", "(sd**2)"),
    ),
    mutant(
        "bias is the mean of the expressions' biases",
        "metrics/diameter_summary",
        "metrics/diameters",
        ('{"above": n * bias, "below": n}', '{"above": bias, "below": np.ones_like(n)}'),
    ),
    mutant(
        "vessels end at the image's border",
        "evaluation/label_drawings",
        "evaluation/label_ceiling",
        ("ndimage.binary_erosion(mask, border_value=1)", "ndimage.binary_erosion(mask)"),
    ),
    mutant(
        "corners move in one direction",
        "evaluation/label_drawings",
        "evaluation/label_ceiling",
        ("random.uniform(-pixel, pixel, polygon.shape)", "random.uniform(0, pixel, polygon.shape)"),
    ),
    mutant(
        "the ceiling is one pixel off although there are corners",
        "metrics/label_ceiling",
        "evaluation/label_ceiling",
        ("return (JITTERED,) if JITTERED in drawn else", "return"),
    ),
    mutant(
        "every way of drawing is judged by every score",
        "evaluation/redrawn_scores",
        "evaluation/label_ceiling",
        ("whole = name in basis_of(drawn_again)", "whole = True"),
    ),
    mutant(
        "the share is of the difference",
        "metrics/label_ceiling",
        "evaluation/label_ceiling",
        ("plain(mean / ceiling)", "plain(ceiling / mean)"),
    ),
    mutant(
        "COCO results of empty answers",
        "evaluation/coco_results",
        "evaluation/coco_results",
        (
            "        if rle.area(row.mask):\n            image_id, category_id",
            "        if True:\n            image_id, category_id",
        ),
    ),
)


if __name__ == "__main__":
    sys.exit(main(__doc__, MUTANTS, needed=NEEDED, libraries=LIBRARIES))
