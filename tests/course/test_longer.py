"""What chapters 7 and 7b read from the stored runs."""

import pytest
from matplotlib import pyplot as plt

from rope_lib.course import longer, results
from rope_lib.scaling import Linear


@pytest.fixture(autouse=True)
def closes_figures():
    yield
    plt.close("all")


def test_the_mean_loss_is_the_mean_over_all_stored_passages():
    runs = results.load("real_length")["runs"]
    assert len(runs) == 16
    losses = [run["ways"]["plain"]["32768"]["loss"] for run in runs]
    assert longer.mean_loss("ways", "plain", "32768") == pytest.approx(sum(losses) / len(losses))


def test_a_gap_is_the_difference_of_means_within_its_interval():
    mean, low, high = longer.gap("ways", "YaRN", "32768")
    apart = longer.mean_loss("ways", "YaRN", "32768") - longer.mean_loss("ways", "plain", "2048")
    assert mean == pytest.approx(apart)
    assert low < mean < high
    _, wider_low, wider_high = longer.gap("ways", "YaRN", "32768", comparisons=13)
    assert wider_low < low < high < wider_high


def test_what_it_is_compared_with_has_not_risen():
    assert longer.rise("ways", "plain", "2048") == "+0.00 (+0.00 to +0.00)"


def test_a_fall_has_a_true_minus():
    assert longer.rise("ways", "plain", "8192").startswith("−0.01 (−0.04 to +")


def test_a_small_model_is_compared_with_its_own_training():
    runs = results.load("length_controls")["runs"]
    for encoding in ("rope", "rope_frozen"):
        assert longer.small_rise(encoding, "plain", "256") == "+0.00 (+0.00 to +0.00)"
        above = [
            run["losses"]["2048"] - run["losses"]["256"]
            for run in runs
            if run["encoding"] == encoding and run["way"] == "plain"
        ]
        assert len(above) == 5
        assert longer.small_rise(encoding, "plain", "2048").startswith(f"+{sum(above) / 5:.2f} (+")


def test_beyond_the_sum_is_what_only_both_causes_together_cost():
    extra, words = longer.small_beyond_sum("2048")
    ways = ("plain", "fast_pairs_clamped", "slow_pairs_clamped", "clamped")
    runs = results.load("length_controls")["runs"]
    both, unseen, aliases, neither = (
        results.select(runs, encoding="rope", way=way, seed=3)[0]["losses"]["2048"] for way in ways
    )
    assert extra[3] == pytest.approx((both - neither) - (unseen - neither) - (aliases - neither))
    assert words.startswith(f"+{sum(extra) / 5:.2f} (+")


def test_each_distance_within_the_text_has_its_loss():
    assert longer.distances() == [700, 1500, 3000, 6000, 12_000, 28_000]
    assert len(longer.digit_losses("plain", "8192")) == 4  # the others are not in the text
    mean, low, high = longer.digit_losses("plain", "8192")[0]
    runs = results.load("real_length")["runs"]
    nearest = [run["ways"]["plain"]["8192"]["digit_loss"][0] for run in runs]
    assert low < mean < high
    assert mean == pytest.approx(sum(nearest) / len(nearest))


def test_numbers_are_counted_by_distance():
    assert longer.numbers_found("ways", "YaRN", "32768") == [15, 2, 2, 1, 3, 0]
    assert len(longer.numbers_found("pairs", "slow pairs clamped", "8192")) == 4


def test_how_many_more_were_found_is_the_difference_of_the_counts():
    case, other = (("ways", way, "32768") for way in ("clamped, log n", "YaRN"))
    more, low, high = longer.found_more(case, other)
    counts = [sum(longer.numbers_found(*each)[2:]) for each in (case, other)]
    assert more == pytest.approx(counts[0] - counts[1])
    assert low < more < high


def test_what_a_digit_costs_more_is_the_difference_of_the_means():
    case, other = (("ways", way, "32768") for way in ("YaRN", "window and first"))
    more = longer.digits_more(case, other)
    ours, theirs = (longer.digit_losses(way, length, part) for part, way, length in (case, other))
    means = [a[0] - b[0] for a, b in zip(ours[2:], theirs[2:], strict=True)]
    assert [each.split()[0] for each in more] == [f"{x:+.2f}".replace("-", "−") for x in means]


def test_loss_and_recall_have_a_row_for_each_case():
    fig = longer.draw_recall({"YaRN": ("ways", "YaRN"), "slow": ("pairs", "slow pairs clamped")})
    assert [len(ax.patches) for ax in fig.axes] == [0, 2, 2]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["YaRN", "slow"]


def test_a_panel_for_each_length_and_a_row_for_each_case():
    fig = longer.draw_gaps({"plain": ("ways", "plain"), "YaRN": ("ways", "YaRN")}, ("2048", "8192"))
    assert [ax.get_title(loc="left") or ax.get_title() for ax in fig.axes] == [
        "2,048 tokens",
        "8,192 tokens",
    ]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["plain", "YaRN"]


def test_rings_reach_as_far_as_the_text():
    fig = longer.draw_rings({"short": (Linear(1.0), 8192), "long": (Linear(1.0), 16_384)})
    short, long = ([len(line.get_xdata()) for line in ax.lines] for ax in fig.axes)
    assert len(short) == len(long) == 3 * len(longer.SHOWN_PAIRS)
