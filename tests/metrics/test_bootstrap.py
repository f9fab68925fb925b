import numpy as np
import pytest
from scipy import stats

from refvessel.metrics.bootstrap import bca_interval, bootstrap, ratio


def as_columns(*columns) -> np.ndarray:
    return np.array(columns, float).T


@pytest.fixture
def patients() -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of a skewed score of 23 patients."""
    random = np.random.default_rng(3)
    numbers = random.integers(1, 9, 23)
    return random.beta(5, 1, 23) * numbers, numbers.astype(float)


def test_intervals_equal_scipys_bca_on_the_same_draws(patients):
    sums, numbers = patients
    expected = stats.bootstrap(
        (sums, numbers),
        lambda sums, numbers, axis: sums.sum(axis=axis) / numbers.sum(axis=axis),
        paired=True,
        n_resamples=2000,
        method="BCa",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = bca_interval(ratio(as_columns(sums), as_columns(numbers)), 23, draws=2000, seed=0)
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_draw_is_the_statistic_of_the_drawn_patients(patients):
    sums, numbers = patients
    drawn = np.random.default_rng(0).integers(0, 23, (50, 23))
    values = bootstrap(ratio(as_columns(sums), as_columns(numbers)), 23, draws=50)
    expected = [sums[each].sum() / numbers[each].sum() for each in drawn]
    np.testing.assert_allclose(values[:, 0], expected, atol=1e-12)


def test_many_patients_are_drawn_in_pieces_with_the_same_result(patients, monkeypatch):
    statistic = ratio(as_columns(patients[0]), as_columns(patients[1]))
    whole, interval = bootstrap(statistic, 23, draws=100), bca_interval(statistic, 23, draws=100)
    monkeypatch.setattr("refvessel.metrics.bootstrap._WEIGHTS_AT_ONCE", 23 * 7)
    np.testing.assert_allclose(bootstrap(statistic, 23, draws=100), whole, atol=1e-12)
    np.testing.assert_allclose(bca_interval(statistic, 23, draws=100), interval, atol=1e-12)


def test_the_same_seed_gives_the_same_interval_and_another_one_does_not(patients):
    statistic = ratio(as_columns(patients[0]), as_columns(patients[1]))
    first, again, other = (bca_interval(statistic, 23, draws=200, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_statistics_are_intervals_of_their_own(patients):
    sums, numbers = patients
    both = ratio(as_columns(sums, sums**2), as_columns(numbers, numbers))
    alone = ratio(as_columns(sums**2), as_columns(numbers))
    ends, alone_ends = bca_interval(both, 23, draws=200), bca_interval(alone, 23, draws=200)
    assert [end[1] for end in ends] == pytest.approx([end[0] for end in alone_ends], abs=1e-12)


def test_draws_that_leave_a_score_undefined_are_left_out():
    """Two of six patients define it: some draws have neither."""
    sums, numbers = as_columns([3, 1, 0, 0, 0, 0]), as_columns([4, 4, 0, 0, 0, 0])
    assert np.isnan(bootstrap(ratio(sums, numbers), 6, draws=500)).any()
    low, high = bca_interval(ratio(sums, numbers), 6, draws=500)
    assert 0.25 <= low[0] < high[0] <= 0.75


@pytest.mark.parametrize("patients", [2, 5])
def test_a_score_that_never_varies_has_the_interval_of_its_one_value(patients):
    ones = np.full((patients, 1), 0.1)
    low, high = bca_interval(ratio(ones, np.ones_like(ones)), patients, draws=100)
    assert (low[0], high[0]) == pytest.approx((0.1, 0.1))


def test_one_patient_and_an_undefined_score_have_no_interval():
    one = np.ones((1, 1))
    assert np.isnan(bca_interval(ratio(one, one), 1, draws=100)).all()
    nothing = np.zeros((4, 1))
    assert np.isnan(bca_interval(ratio(nothing, nothing), 4, draws=100)).all()


def test_patients_and_not_frames_are_drawn():
    """Ten alike frames a patient: ten times the frames are no more certainty."""
    means = np.random.default_rng(0).random((12, 1))
    few = bca_interval(ratio(means, np.ones_like(means)), 12, draws=500)
    many = bca_interval(ratio(10 * means, np.full_like(means, 10)), 12, draws=500)
    assert np.concatenate(few) == pytest.approx(np.concatenate(many), abs=1e-12)
