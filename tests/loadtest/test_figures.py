"""Percentiles are nearest-rank, and numbers are shown as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.figures import Latencies, latencies, percentile, significant, spread

TIMES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(TIMES, st.floats(0, 1))
def test_a_percentile_is_a_value_that_enough_others_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) <= share * len(values)


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1, 100)])
def test_percentiles_of_one_to_a_hundred(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1], -0.1), ([1], 1.1)])
def test_there_is_no_percentile_of_nothing_or_beyond_all(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, share)


def test_times_are_summed_up() -> None:
    assert latencies([3.0, 1.0, 2.0]) == Latencies(3, 2.0, 3.0, 3.0)
    assert latencies([]) == Latencies(0, 0.0, 0.0, 0.0)


def test_the_spread_is_relative_to_the_median() -> None:
    assert spread([90, 100, 120]) == pytest.approx(0.3)
    assert spread([5]) == 0
    assert spread([0, 0]) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.1234, "0.123"),
        (4.5678, "4.57"),
        (99.95, "100.0"),
        (123.4, "123"),
        (12345, "12,300"),
        (999.6, "1,000"),
    ],
)
def test_figures_have_three_significant_digits_and_no_exponent(value: float, text: str) -> None:
    assert significant(value) == text


@given(st.floats(1e-3, 1e9))
def test_a_shown_figure_is_within_half_a_percent(value: float) -> None:
    assert math.isclose(float(significant(value).replace(",", "")), value, rel_tol=0.0051)
