"""The figure of a summary shows its sums, as shares of all relevance, and the waves where they are."""

from types import SimpleNamespace

import numpy as np
import pytest

from boxes import laid_out
from signxai.common import InputError, OptionError
from signxai.figures.summary_plots import plot_summary

SIGNAL, MAP = np.random.default_rng(0).normal(size=(2, 2, 600))
BY_LEAD = np.stack([np.maximum(MAP, 0).sum(axis=1), np.minimum(MAP, 0).sum(axis=1)], axis=-1)
BY_PART, BY_BEAT = (np.random.default_rng(count).normal(size=(count, 2)) for count in (5, 3))
PART = np.repeat([4, 0, 4, 1, 2, 3, 4], [50, 20, 20, 30, 60, 60, 360])
FOUND = SimpleNamespace(
    lead_names=("V1", "MLII"),
    beats=SimpleNamespace(positions=np.array([1100, 1300, 1500]), symbols=("N", "V", "?")),
    sampling_rate=100.0,
    start=1000,
    part=PART,
    by_lead=lambda: BY_LEAD,
    by_beat=lambda: BY_BEAT,
    by_part=lambda: BY_PART,
)


def test_bars_are_the_sums_as_shares_of_all_relevance():
    strip, beats, parts, leads = plot_summary(SIGNAL, MAP, FOUND, title="made_up $x$")
    per_cent = 100 / np.abs(MAP).sum()
    for axes, sums in ((parts, BY_PART), (leads, BY_LEAD)):
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], per_cent * sums.T.ravel())
    np.testing.assert_allclose([bar.get_height() for bar in beats.patches], per_cent * BY_BEAT.T.ravel())
    assert [label.get_text() for label in leads.get_yticklabels()] == ["V1", "MLII"]
    assert [text.get_text() for text in beats.texts] == ["N", "V", ""]
    laid_out(strip.figure)


def test_relevance_of_beats_beside_the_strip_is_said():
    assert plot_summary(SIGNAL, MAP, FOUND)[1].get_title(loc="right") == ""
    before = SimpleNamespace(**{**vars(FOUND), "start": 1101})
    share = 100 * np.abs(BY_BEAT[0]).sum() / np.abs(MAP).sum()
    assert plot_summary(SIGNAL, MAP, before)[1].get_title(loc="right").startswith(f"{share:.1f} % are of beats")


def test_the_strip_is_the_limb_lead_with_its_waves_shaded():
    strip = plot_summary(SIGNAL, MAP, FOUND)[0]
    assert strip.get_ylabel() == "MLII (mV)"
    np.testing.assert_allclose(strip.lines[-1].get_xydata(), np.stack([10 + np.arange(600) / 100, SIGNAL[1]], axis=1))
    extents = [patch.get_extents().transformed(strip.transData.inverted()) for patch in strip.patches]
    spans = [(extent.x0, extent.x1) for extent in extents]
    np.testing.assert_allclose(spans, [(10.495, 10.695), (10.895, 11.195), (11.195, 11.795), (11.795, 12.395)])


@pytest.mark.parametrize(("lead", "row"), [(None, 1), ("V1", 0), (0, 0), ("MLII", 1), (1, 1)])
def test_the_strip_is_the_lead_that_one_asks_for_and_says_which(lead, row):
    strip = plot_summary(SIGNAL, MAP, FOUND, lead=lead)[0]
    np.testing.assert_array_equal(strip.lines[-1].get_ydata(), SIGNAL[row])
    assert strip.get_title(loc="left") == f"lead {FOUND.lead_names[row]}"


@pytest.mark.parametrize("lead", ["V2", 2, -1, True])
def test_a_lead_that_is_not_there_is_refused(lead):
    with pytest.raises(OptionError, match="V1, MLII"):
        plot_summary(SIGNAL, MAP, FOUND, lead=lead)


def test_what_does_not_fit_the_summary_is_refused():
    for signal, relevance in ((SIGNAL[:, 1:], MAP[:, 1:]), (SIGNAL, MAP[:1]), (SIGNAL[:1], MAP[:1])):
        with pytest.raises(InputError, match="a summary of 2 leads and 600 samples"):
            plot_summary(signal, relevance, FOUND)


def test_a_map_that_the_summary_is_not_of_is_refused():
    broken = np.array(MAP)
    broken[0, 7] = np.nan
    for relevance, words in ((2 * MAP, "of another map"), (MAP[::-1], "of another map"), (broken, "NaN")):
        with pytest.raises(InputError, match=words):
            plot_summary(SIGNAL, relevance, FOUND)
    plot_summary(SIGNAL, MAP.astype(np.float32), FOUND)


@pytest.mark.parametrize(("is_turned", "below", "above"), [(False, "lowers", "raises"), (True, "raises", "lowers")])
def test_bars_and_colours_of_slopes_say_what_larger_values_do(is_turned, below, above):
    strip, _, parts, leads = plot_summary(SIGNAL, MAP, FOUND, is_turned=is_turned, method="gradient")
    assert [text.get_text().split(" (")[0] for text in strip.get_legend().texts][-2:] == [below, above]
    for axes in (parts, leads):
        left, right = axes.get_xlabel().split("(")[0].split("|")
        assert (left.strip(), right.strip()) == (below, above)
        assert "relevance" not in axes.get_xlabel()
    laid_out(strip.figure)


@pytest.mark.parametrize("is_turned", [False, True])
def test_what_bars_and_colours_say_is_exchanged_where_signs_are_turned(is_turned):
    strip, beats, parts, leads = plot_summary(SIGNAL, MAP, FOUND, is_turned=is_turned)
    above, below = (np.array(bars[0].get_facecolor()) for bars in beats.containers)
    legend = strip.get_legend()
    said = {text.get_text().split(" (")[0]: patch.get_facecolor() for text, patch in zip(legend.texts, legend.get_patches(), strict=True)}
    np.testing.assert_array_equal(said["speaks against" if is_turned else "speaks for"], above)
    np.testing.assert_array_equal(said["speaks for" if is_turned else "speaks against"], below)
    for axes in (parts, leads):
        left, right = axes.get_xlabel().split("(")[0].split("|")
        assert (left.strip(), right.strip()) == (("for", "against") if is_turned else ("against", "for"))
        assert ("signs turned" in axes.get_xlabel()) == is_turned
    laid_out(strip.figure)
