"""What a paper cites that shows numbers of a report: the sources of what it reports, and of nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from refvessel.report.compared_models import Comparison
from refvessel.report.sections import Artifacts

_REINKE = (
    "Reinke A, et al. Understanding metric-related pitfalls in image analysis validation. Nature "
    "Methods 21, 2024."
)
_SHIT = (
    "Shit S, et al. clDice: a novel topology-preserving loss function for tubular structure "
    "segmentation. CVPR 2021."
)
_STUCKI = (
    "Stucki N, et al. Topologically faithful image segmentation via induced matching of persistence barcodes. "
    "ICML 2023."
)
_GUO = "Guo C, et al. On calibration of modern neural networks. ICML 2017."
_RANKED = "Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin 1(6), 1945."
# The sources of scores; those of one source may have one beginning.
_OF_SCORES = {
    "dice": "Dice LR. Measures of the amount of ecologic association between species. Ecology 26(3), 1945.",
    "iou": "Jaccard P. The distribution of the flora in the alpine zone. New Phytologist 11(2), 1912.",
    "mcc": "Matthews BW. Comparison of the predicted and observed secondary structure of T4 phage lysozyme. "
    "Biochimica et Biophysica Acta 405(2), 1975.",
    "hd95": _REINKE,
    "masd": _REINKE,
    "nsd": _REINKE,
    "boundary_iou": "Cheng B, et al. Boundary IoU: improving object-centric image segmentation evaluation. CVPR "
    "2021.",
    "cldice": _SHIT,
    "skeleton_precision": _SHIT,
    "skeleton_recall": _SHIT,
    "betti0_matching_error": _STUCKI,
    "betti1_matching_error": _STUCKI,
    "cal": "Gegundez-Arias ME, et al. A function for quality evaluation of retinal vessel segmentations. IEEE "
    "Transactions on Medical Imaging 31(2), 2012.",
    "ece": _GUO,
    "border_ece": _GUO,
}
_SA2VA = (
    "Yuan H, et al. Sa2VA: marrying SAM2 with LLaVA for dense grounded understanding of images and videos. "
    "arXiv:2501.04001, 2025."
)
_SAM2 = "Ravi N, et al. SAM 2: segment anything in images and videos. arXiv:2408.00714, 2024."
_SNAKEMAKE = "Mölder F, et al. Sustainable data analysis with Snakemake. F1000Research 10, 2021."
_GIOU = "Liu C, Ding H, Jiang X. GRES: generalized referring expression segmentation. CVPR 2023."
_BOOTSTRAP = (
    "Efron B. Better bootstrap confidence intervals. Journal of the American Statistical "
    "Association 82(397), 1987."
)
_HOLM = (
    "Holm S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of "
    "Statistics 6(2), 1979."
)
_SIGN_FLIPS = (
    "Phipson B, Smyth GK. Permutation p-values should never be zero. Statistical Applications in Genetics and "
    "Molecular Biology 9(1), 2010."
)
_EQUIVALENCE = (
    "Schuirmann DJ. A comparison of the two one-sided tests procedure and the power approach for assessing the "
    "equivalence of average bioavailability. Journal of Pharmacokinetics and Biopharmaceutics 15(6), 1987."
)
_AGREEMENT = (
    "Bland JM, Altman DG. Statistical methods for assessing agreement between two methods of "
    "clinical measurement. "
    "The Lancet 327, 1986."
)
_RISK = "Geifman Y, El-Yaniv R. Selective classification for deep neural networks. NeurIPS 2017."
_PANOPTIC = "Kirillov A, et al. Panoptic segmentation. CVPR 2019."
_SEQUENCES = (
    "Perazzi F, et al. A benchmark dataset and evaluation methodology for video object "
    "segmentation. CVPR 2016."
)


def references(
    evaluations: Sequence[Artifacts], comparisons: Sequence[Comparison], version: str
) -> list[str]:
    """The references of a report, RefVessel first.

    Args:
        evaluations: Those of the report; a score that none of them defines is not cited.
        comparisons: Those of the report.
        version: RefVessel's, as the artifacts state it.
    """
    cited = [f"The RefVessel authors. RefVessel, version {version}. Software, MIT licence."]
    if any(one.imported is None for one in evaluations):
        cited += [_SA2VA, _SAM2]
    summaries = [one.summary for one in evaluations]
    cited += [
        source for score, source in _OF_SCORES.items() if any(_reported(each, score) for each in summaries)
    ]
    cited += [_GIOU, _BOOTSTRAP] if summaries else []
    told = {
        _AGREEMENT: any(each["diameters"]["n"] for each in summaries),
        _RISK: any("confidence" in each for each in summaries),
        _PANOPTIC: any("regions" in each for each in summaries),
        _SEQUENCES: any(one.runs for one in evaluations),
        **dict.fromkeys((_SIGN_FLIPS, _RANKED, _HOLM), bool(comparisons)),
        _EQUIVALENCE: any(one.content["non_inferiority"] for one in comparisons),
        _SNAKEMAKE: True,
    }
    return list(dict.fromkeys([*cited, *(source for source, is_told in told.items() if is_told)]))


def _reported(summary: Mapping[str, Any], score: str) -> bool:
    return bool(summary.get(f"{score}_n"))
