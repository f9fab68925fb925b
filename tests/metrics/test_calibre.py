import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import skeletonize

from refvessel.geometry import local_widths
from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL, found_by_calibre

EDGES = (0, 4, 6, 8, 12, np.inf)


def shares(mask: np.ndarray, other: np.ndarray) -> list[float]:
    """Pixel by pixel of the skeleton: its width by SciPy's distance transform, whether the other mask has it."""
    widths = 2 * ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    found = [[] for _ in EDGES[1:]]
    for row, column in np.argwhere(skeletonize(mask)):
        (bin_,) = (k for k in range(5) if EDGES[k] <= widths[row, column] < EDGES[k + 1])
        found[bin_].append(other[row, column])
    return [np.mean(each) if each else np.nan for each in found]


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_each_calibre_equals_a_count_along_the_skeleton(bent_vessel, seed):
    for mask, other in (pair := bent_vessel(seed), pair[::-1]):
        lines = skeletonize(mask)
        found = found_by_calibre(local_widths(mask, lines), other[lines])
        np.testing.assert_allclose(found, shares(mask, other), rtol=0, atol=1e-12)


def test_a_missed_thin_branch_is_missed_at_its_calibre_alone():
    truth = np.zeros((60, 90), bool)
    truth[10:30, 5:85] = True  # 20 pixels wide
    truth[45:48, 5:85] = (
        True  # 3 pixels wide, hence the width 4 between the centres of the background around it
    )
    prediction = truth.copy()
    prediction[40:] = False
    lines = skeletonize(truth)
    found = found_by_calibre(local_widths(truth, lines), prediction[lines])
    known = dict(zip(CALIBRE_RECALL, found, strict=True))
    assert known["recall_width_4_to_6"] == 0
    assert known["recall_width_12_or_more"] == 1
    assert len(CALIBRE_PRECISION) == len(CALIBRE_RECALL) == 5


def test_widths_on_an_edge_belong_to_the_calibre_above():
    found = found_by_calibre(np.array([2.0, 4.0, 6.0, 8.0, 12.0]), np.array([True, False, True, False, True]))
    assert found.tolist() == [1, 0, 1, 0, 1]


def test_a_calibre_that_a_mask_has_nowhere_has_no_share():
    assert np.isnan(found_by_calibre(np.zeros(0), np.zeros(0, bool))).all()
