"""``rope_lib.course.whole``: what scalings find in texts that they read themselves."""

import pytest

from rope_lib.course import results, whole


def test_numbers_are_counted_by_distance():
    runs = [run for run in results.load("real_whole")["runs"] if run["way"] == "plain"]
    assert whole.distances() == [500, 2000, 6000, 11000]
    assert whole.numbers_found("plain", 2, "itself") == [
        sum(run["found"][i] for run in runs) for i in range(4)
    ]


def test_both_readings_ask_for_the_same_texts():
    windows = [
        [each["window"] for each in whole.answers("YaRN", 4, cache)] for cache in whole.CACHES
    ]
    assert sorted(windows[0]) == sorted(windows[1]) == list(range(16))


def test_the_difference_is_that_of_the_counts():
    one, other = ("YaRN", 2, "itself"), ("YaRN", 4, "plain RoPE")
    more, low, high = whole.found_more(one, other)
    counts = [sum(whole.numbers_found(*which)[-2:]) for which in (one, other)]
    assert more == pytest.approx(counts[0] - counts[1])
    assert low < more < high
    assert whole.found_more(one, other, comparisons=3)[1] < low


def test_another_cache_is_refused():
    with pytest.raises(ValueError, match="cache must be"):
        whole.answers("YaRN", 2, "YaRN")
