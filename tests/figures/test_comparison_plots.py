"""Figures of comparisons: what they show, where it lies, and that long names fit."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from boxes import laid_out, within
from signxai.figures import comparison_plots
from signxai.figures.comparison_plots import CurvePanel, RankPanel, agreement_figure, comparison_figure, curves_figure, ranks_figure
from signxai.figures.inline_svg import inline_svg

LONG = "lrpsign_alpha_1_beta_0_epsilon_0_25_std_x_mu_0_5"
NAMES = ("gradient", LONG, "random_uniform", "a$b_c", "lrp_z")
MEANS = np.array([2.1, 1.2, 4.6, 2.4, 4.7])
PLACES = np.linspace(0, 1, 6)


def curves(orders=("most", "least")):
    means = np.linspace(0, 1, 5)[:, None] * (1 - PLACES)
    bands = {
        order: (means * sign, np.stack([means * sign - 0.1, means * sign + 0.1], axis=2))
        for order, sign in zip(orders, (1, -1), strict=False)
    }
    return CurvePanel("srg", NAMES, PLACES, bands, "share of the units", "logit")


def whole():
    agreement = np.eye(5) * 2 - 1
    return comparison_figure(
        [curves(), curves(("",))], NAMES, agreement, [RankPanel("srg: mean ranks", NAMES, MEANS, 1.0)], note="PARTIAL: 3 of 9"
    )


def texts_of(figure):
    """All texts that are seen, with their boxes."""
    from matplotlib.text import Text

    found = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return [(text.get_text(), text.get_window_extent()) for text in found]


def test_nothing_overlaps_or_leaves_the_page():
    figure = laid_out(whole())
    texts = texts_of(figure)
    assert [name for name, box in texts if not within(box, figure.bbox)] == []
    assert [(one, other) for (one, a), (other, b) in itertools.combinations(texts, 2) if a.overlaps(b)] == []
    said = [name.strip() for name, _ in texts]
    assert said.count(LONG) == 2
    assert "PARTIAL: 3 of 9" in said
    assert f"{LONG}  1.20" in said
    assert {"share of the units", "logit", "most relevant first", "least relevant first", "critical difference 1.00"} <= set(said)


@pytest.mark.parametrize("methods", [2, 3, 12])
def test_any_number_of_methods_can_be_ranked(methods):
    names = [f"method_{place}" for place in range(methods)]
    means = np.linspace(1, methods, methods)
    figure = laid_out(ranks_figure(RankPanel("mean ranks", names, means, 1.5)))
    texts = texts_of(figure)
    assert [(one, other) for (one, a), (other, b) in itertools.combinations(texts, 2) if a.overlaps(b)] == []
    assert sum(name.strip().startswith("method_") or "  method_" in name for name, _ in texts) == methods


def test_a_bar_joins_those_within_less_than_the_distance():
    """Those of Demsar 2006, figure 1 a: two sets that overlap."""
    means = np.array([1.964, 2.0, 2.893, 3.143])
    assert comparison_plots._cliques(means, 1.25) == [(0, 3)]
    assert comparison_plots._cliques(means, 1.0) == [(0, 2), (2, 3)]
    assert comparison_plots._cliques(means, 0.01) == []
    figure = ranks_figure(RankPanel("", ("a", "b", "c", "d"), means, 1.0))
    bars = [line for line in figure.axes[0].lines if line.get_linewidth() > 3]
    assert [tuple(np.round(line.get_xdata(), 2)) for line in bars] == [(1.94, 2.91), (2.87, 3.16)]


def test_each_is_drawn_into_axes_that_are_given():
    figure = Figure()
    one, two, three = figure.subplots(3)
    for drawn in (
        curves_figure(curves(), axes=one),
        agreement_figure(NAMES, np.eye(5), axes=two),
        ranks_figure(RankPanel("t", NAMES, MEANS, 1.0), axes=three),
    ):
        assert drawn is figure
    assert len(one.lines) == 10
    assert len(two.texts) == 25
    assert len(three.texts) >= 10
    assert ranks_figure(RankPanel("t", NAMES, MEANS, 1.0), axes=Figure().subfigures(1, 2)[0].subplots()).__class__ is Figure


def test_what_is_not_there_is_a_dash_or_left_out():
    agreement = np.full((2, 2), np.nan)
    figure = laid_out(agreement_figure(("a", "b"), agreement))
    assert [text.get_text() for text in figure.axes[0].texts] == ["–"] * 4


def test_a_figure_in_a_page_has_the_ink_of_the_page():
    element = inline_svg(whole(), "all & more")
    assert element.startswith("<svg")
    assert 'aria-label="all &amp; more"' in element
    assert "currentColor" in element
    assert "#000000" not in element
    assert "<!DOCTYPE" not in element
