import math

import pytest

from refvessel.report.page import format_number, format_p_value


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3, "3"), (0.12345, "0.123"), (1.0, "1.000"), (None, "\N{EN DASH}"), (math.nan, "\N{EN DASH}")],
)
def test_counts_stay_whole_scores_have_three_decimals_and_what_is_undefined_is_a_dash(value, shown):
    assert format_number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0009, "<0.001"), (0.0, "<0.001"), (0.001, "0.001"), (None, "\N{EN DASH}")]
)
def test_a_p_value_is_never_shown_as_zero(value, shown):
    assert format_p_value(value) == shown
