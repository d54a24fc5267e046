"""Intervals, tests and ranks against plain loops, scipy, and published tables."""

import numpy as np
import pytest
from scipy import stats

from signxai.common.errors import MissingPackageError, OptionError
from signxai.evidence import statistics


def scores(methods=3, samples=20, seed=0):
    return np.random.default_rng(seed).normal(size=(methods, samples)) + np.arange(methods)[:, None]


def with_gaps():
    values = scores()
    values[1, [2, 5, 7]] = np.nan
    return values


GROUPS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 6])


@pytest.mark.parametrize("values", [scores(), with_gaps()], ids=["whole", "gaps"])
@pytest.mark.parametrize("groups", [None, GROUPS], ids=["samples", "groups"])
def test_a_bootstrap_interval_is_that_of_a_loop_over_draws(values, groups):
    draws, blocks = 300, np.arange(20) if groups is None else groups
    generator = np.random.default_rng(4)
    count = blocks.max() + 1
    times = generator.multinomial(count, np.full(count, 1 / count), size=draws)
    found = statistics.bootstrap_intervals(values, groups, draws, 4)
    for row, own in enumerate(values):
        drawn = []
        for one in times:
            sample = [own[place] for place in range(20) for _ in range(one[blocks[place]]) if not np.isnan(own[place])]
            drawn.append(sum(sample) / len(sample))
        assert found[row] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=1e-12)


def test_a_bootstrap_interval_is_scipys_but_for_its_draws():
    values = scores(samples=60)
    ours = statistics.bootstrap_intervals(values, None, 20_000, 0)
    for own, found in zip(values, ours, strict=True):
        theirs = stats.bootstrap((own,), np.mean, n_resamples=20_000, method="percentile", random_state=np.random.default_rng(0))
        assert found == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def test_many_samples_are_drawn_in_parts_and_give_what_they_give_at_once(monkeypatch):
    whole = statistics.bootstrap_intervals(scores(), None, 50, 0)
    monkeypatch.setattr(statistics, "_TOGETHER", 60)
    assert np.array_equal(statistics.bootstrap_intervals(scores(), None, 50, 0), whole)


def test_groups_that_agree_within_have_wider_intervals_than_their_samples():
    values = scores(1, 7)[:, GROUPS]
    apart, together = (np.ptp(statistics.bootstrap_intervals(values, groups, 2000, 0)) for groups in (None, GROUPS))
    assert together > 1.3 * apart


def test_one_sample_has_no_interval():
    assert np.isnan(statistics.bootstrap_intervals(scores(2, 1), None, 100, 0)).all()
    assert np.isnan(statistics.bootstrap_intervals(scores(2, 3), np.zeros(3, dtype=int), 100, 0)).all()


def test_the_signed_rank_test_leaves_out_zeros_and_gaps():
    differences = np.random.default_rng(1).normal(0.4, 1, 15)
    assert statistics.signed_rank(differences) == stats.wilcoxon(differences).pvalue
    assert statistics.signed_rank(np.concatenate([differences, [0.0, 0.0, np.nan]])) == stats.wilcoxon(differences).pvalue
    assert statistics.signed_rank(np.zeros(5)) == 1.0
    assert np.isnan(statistics.signed_rank(np.full(3, np.nan)))


def test_the_signed_rank_test_is_exact_for_few_samples():
    """All signs alike in n differences: 2 / 2^n."""
    assert [statistics.signed_rank(np.arange(1.0, n + 1)) for n in (1, 5, 8)] == [1.0, 2 / 2**5, 2 / 2**8]


def test_holm_is_its_definition():
    values = np.array([0.004, 0.03, 0.011, 0.2, 0.03])
    expected, floor = {}, 0.0
    for step, place in enumerate(sorted(range(5), key=lambda place: values[place])):
        floor = max(floor, (5 - step) * values[place])
        expected[place] = min(floor, 1.0)
    assert statistics.holm(values).tolist() == pytest.approx([expected[place] for place in range(5)])


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_ranks_and_friedmans_test_are_scipys(better):
    values = scores(4, 12).round(1)
    values[0, :3] = values[1, :3]  # ties
    ranks = statistics.ranks_within(values, better)
    assert np.array_equal(ranks, stats.rankdata(-values if better == "higher" else values, axis=0))
    assert statistics.friedman(ranks) == pytest.approx(stats.friedmanchisquare(*values).pvalue)


def test_blocks_with_a_gap_do_not_count_for_ranks():
    assert statistics.ranks_within(with_gaps(), "higher").shape == (3, 17)
    assert statistics.ranks_within(np.full((3, 4), np.nan), "higher").shape == (3, 0)


def test_friedmans_test_needs_three_methods_and_two_blocks():
    assert np.isnan(statistics.friedman(np.ones((2, 9))))
    assert np.isnan(statistics.friedman(np.ones((3, 1))))
    assert statistics.friedman(np.full((3, 5), 2.0)) == 1.0


DEMSAR = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
"""q of the two-tailed Nemenyi test at 0.05 by the number of methods (Demsar 2006, table 5 a)."""


@pytest.mark.parametrize("methods", DEMSAR)
def test_nemenyis_distance_is_that_of_the_published_table(methods):
    blocks = 14
    expected = DEMSAR[methods] * (methods * (methods + 1) / (6 * blocks)) ** 0.5
    assert statistics.nemenyi_distance(methods, blocks) == pytest.approx(expected, rel=0.001 / DEMSAR[methods])


def test_groups_are_numbered_as_they_come():
    assert statistics.group_numbers(np.array([7, 7, 2]), 3).tolist() == [0, 0, 1]
    for wrong in (["a"], "ab"):
        with pytest.raises(OptionError, match=r"names 1 samples, and x has 2; give one for each|'ab' is no sequence"):
            statistics.group_numbers(wrong, 2)


def test_without_scipy_the_extra_is_named(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name="scipy")

    monkeypatch.setattr(statistics, "import_module", missing)
    with pytest.raises(MissingPackageError, match=r"the package scipy, which is missing: pip install \"signxai\[evidence\]\""):
        statistics.require_statistics()


@pytest.mark.parametrize("groups", [[1.0, float("nan"), float("nan")], np.array([1.0, np.nan, 2.0])])
def test_a_group_that_is_no_number_is_refused(groups):
    with pytest.raises(OptionError, match="sample 1 is nan"):
        statistics.group_numbers(groups, 3)
