"""What a paper cites that shows numbers of a report: the sources of what it reports, and of nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from refvessel.report.compared_models import Comparison
from refvessel.report.sections import Artifacts

_REINKE = (
    "Reinke A, et al. Understanding metric-related pitfalls in image analysis validation. Nature Methods 21(2), "
    "182-194, 2024. doi:10.1038/s41592-023-02150-0"
)
_SHIT = (
    "Shit S, et al. clDice - a novel topology-preserving loss function for tubular structure segmentation. CVPR "
    "2021. doi:10.1109/CVPR46437.2021.01629"
)
_STUCKI = (
    "Stucki N, et al. Topologically faithful image segmentation via induced matching of persistence barcodes. "
    "ICML 2023, PMLR 202, 32698-32727."
)
_GUO = (
    "Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017, PMLR 70, "
    "1321-1330."
)
_RANKED = (
    "Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin 1(6), 80-83, 1945. "
    "doi:10.2307/3001968"
)
# The sources of scores; those of one source may have one beginning.
_OF_SCORES = {
    "dice": "Dice LR. Measures of the amount of ecologic association between species. Ecology 26(3), 297-302, "
    "1945. doi:10.2307/1932409",
    "iou": "Jaccard P. The distribution of the flora in the alpine zone. New Phytologist 11(2), 37-50, 1912. "
    "doi:10.1111/j.1469-8137.1912.tb05611.x",
    "mcc": "Matthews BW. Comparison of the predicted and observed secondary structure of T4 phage lysozyme. "
    "Biochimica et Biophysica Acta 405(2), 442-451, 1975. doi:10.1016/0005-2795(75)90109-9",
    "hd95": _REINKE,
    "masd": _REINKE,
    "nsd": _REINKE,
    "boundary_iou": "Cheng B, Girshick R, Dollár P, Berg AC, Kirillov A. Boundary IoU: improving object-centric "
    "image segmentation evaluation. CVPR 2021, 15334-15342. doi:10.1109/CVPR46437.2021.01508",
    "cldice": _SHIT,
    "skeleton_precision": _SHIT,
    "skeleton_recall": _SHIT,
    "betti0_matching_error": _STUCKI,
    "betti1_matching_error": _STUCKI,
    "cal": "Gegúndez-Arias ME, et al. A function for quality evaluation of retinal vessel segmentations. IEEE "
    "Transactions on Medical Imaging 31(2), 231-239, 2012.",
    "ece": _GUO,
    "border_ece": _GUO,
}
_SA2VA = (
    "Yuan H, et al. Sa2VA: marrying SAM2 with LLaVA for dense grounded understanding of images and videos. "
    "arXiv:2501.04001, 2025."
)
_SAM2 = "Ravi N, et al. SAM 2: segment anything in images and videos. arXiv:2408.00714, 2024."
_SNAKEMAKE = (
    "Mölder F, et al. Sustainable data analysis with Snakemake. F1000Research 10, 33, 2021. "
    "doi:10.12688/f1000research.29032.2"
)
_GIOU = (
    "Liu C, Ding H, Jiang X. GRES: generalized referring expression segmentation. CVPR 2023, 23592-23601. "
    "doi:10.1109/CVPR52729.2023.02259"
)
_BOOTSTRAP = (
    "Efron B. Better bootstrap confidence intervals. Journal of the American Statistical Association 82(397), "
    "171-185, 1987. doi:10.1080/01621459.1987.10478410"
)
_HOLM = (
    "Holm S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6(2), "
    "65-70, 1979."
)
_SIGN_FLIPS = (
    "Phipson B, Smyth GK. Permutation p-values should never be zero: calculating exact p-values when permutations "
    "are randomly drawn. Statistical Applications in Genetics and Molecular Biology 9(1), 39, 2010. "
    "doi:10.2202/1544-6115.1585"
)
_EQUIVALENCE = (
    "Schuirmann DJ. A comparison of the two one-sided tests procedure and the power approach for assessing the "
    "equivalence of average bioavailability. Journal of Pharmacokinetics and Biopharmaceutics 15(6), 657-680, "
    "1987. doi:10.1007/BF01068419"
)
_AGREEMENT = (
    "Bland JM, Altman DG. Statistical methods for assessing agreement between two methods of clinical "
    "measurement. The Lancet 327(8476), 307-310, 1986. doi:10.1016/S0140-6736(86)90837-8"
)
_RISK = (
    "Geifman Y, Uziel G, El-Yaniv R. Bias-reduced uncertainty estimation for deep neural classifiers. ICLR 2019. "
    "arXiv:1805.08206"
)
_PANOPTIC = (
    "Kirillov A, He K, Girshick R, Rother C, Dollár P. Panoptic segmentation. CVPR 2019, 9404-9413. "
    "doi:10.1109/CVPR.2019.00963"
)
_SEQUENCES = (
    "Perazzi F, et al. A benchmark dataset and evaluation methodology for video object segmentation. CVPR 2016, "
    "724-732. doi:10.1109/CVPR.2016.85"
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
