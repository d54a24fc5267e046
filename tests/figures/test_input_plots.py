"""Figures of several inputs: what each panel says, one scale for all inputs of a sample, and nothing that overlaps."""

import itertools
from functools import cache

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection

import signxai
from boxes import assert_nothing_overlaps, laid_out
from processes import loaded
from signxai.common import InputError
from signxai.figures.input_plots import InputsSample, check_inputs, inputs_figure

RANDOM = np.random.default_rng(0)
SHAPES = {"ecg": (2, 50), "image": (3, 8, 12), "meta": (3,), "ids": (7,), "mask": (50,)}
WITH_RELEVANCE = [name for name in SHAPES if name != "mask"]


def inputs():
    x = {name: RANDOM.normal(size=shape) for name, shape in SHAPES.items()}
    return x | {"ids": RANDOM.integers(0, 30000, 7), "mask": np.ones(50, dtype=bool)}


def relevance(names=WITH_RELEVANCE, **shapes):
    return {name: RANDOM.normal(size=shape) for name, shape in {**SHAPES, **shapes}.items() if name in names}


def notes(figure):
    """What stands above the panels: a title of one line, and below one of a map what it says of the input."""
    return [text.get_text() for text in figure.texts if text.get_text()]


def axes_titled(figure, title):
    """The axes below a title, the nearest from above."""
    [text] = [text for text in figure.texts if text.get_text() == title]
    x, y = text.get_position()
    below = [axes for axes in figure.axes if axes.get_position().x0 <= x <= axes.get_position().x1 and axes.get_position().y1 <= y]
    return max(below, key=lambda axes: axes.get_position().y1)


# What the figures say


def test_the_share_of_an_input_is_that_of_the_absolute_relevance():
    maps = relevance()
    said = notes(inputs_figure(InputsSample(inputs(), {"lrp_z": maps})))
    total = sum(np.abs(values).sum() for values in maps.values())
    for name, values in maps.items():
        assert f"lrp_z\n{name}: {100 * np.abs(values).sum() / total:.1f} % of all |R|" in said


def test_each_method_has_shares_of_its_own_and_says_what_it_says_nothing_of():
    maps = {"lrp_z": relevance(), "grad_cam": relevance(["image"])}
    said = notes(inputs_figure(InputsSample(inputs(), maps)))
    assert "grad_cam\nimage: 100.0 % of all |R|" in said
    assert "grad_cam\nmeta" in said
    assert [name for name in SHAPES if name in said] == WITH_RELEVANCE  # a panel of the input itself


def test_an_input_without_relevance_is_named_and_not_drawn():
    figure = inputs_figure(InputsSample(inputs(), {"lrp_z": relevance()}, "patient 3"))
    assert "patient 3; without relevance: mask" in notes(figure)
    assert "mask" not in notes(figure)


def test_relevance_of_zero_everywhere_is_said():
    zeros = {"meta": np.zeros(3)}
    assert "lrp_z\nmeta: relevance is 0 everywhere" in notes(inputs_figure(InputsSample({"meta": np.ones(3)}, {"lrp_z": zeros})))


def test_numbers_have_their_names_their_values_and_their_relevance_beside_the_bars():
    x, maps = {"meta": np.array([63.0, 1.0, 27.4])}, {"meta": np.array([3.2, -1.4, 0.02])}
    figure = inputs_figure(InputsSample(x, {"lrp_z": maps}), names={"meta": ["age", "sex", "bmi"]})
    of_input, of_map = axes_titled(figure, "meta"), axes_titled(figure, "lrp_z\nmeta: 100.0 % of all |R|")
    for axes in (of_input, of_map):
        assert [label.get_text() for label in axes.get_yticklabels()] == ["age", "sex", "bmi"]
    assert [text.get_text() for text in of_input.texts] == ["63", "1", "27.4"]
    assert [text.get_text() for text in of_map.texts] == ["3.2", "-1.4", "0.02"]
    assert [bar.get_width() for bar in of_map.patches] == pytest.approx([3.2, -1.4, 0.02])


@pytest.mark.parametrize("names", [{}, {"ids": ["[CLS]", "a", "fine", "film", ",", "no", "[SEP]"]}])
def test_token_ids_stand_in_cells_by_themselves_or_by_name(names):
    x = inputs()
    figure = inputs_figure(InputsSample(x, {"lrp_z": relevance(["ids"])}), names=names)
    written = [text.get_text().strip() for text in axes_titled(figure, "ids").texts]
    assert written == names.get("ids", [str(number) for number in x["ids"]])


def test_leads_have_names_and_time_its_unit():
    figure = inputs_figure(InputsSample(inputs(), {"lrp_z": relevance()}), names={"ecg": ["I", "II"]}, sampling_rates={"ecg": 100.0})
    rows = [axes for axes in figure.axes if axes.get_ylabel() in ("I", "II")]
    assert len(rows) == 4
    assert {axes.get_xlabel() for axes in rows} == {"", "time from the start (s)"}
    assert rows[0].lines[0].get_xdata()[-1] == pytest.approx(0.49)


# What the figures show


def shown(figure, name):
    """The coloured values of an input, each brought to [-1, 1], and the colours of the bars of `meta`."""
    [title] = [text for text in notes(figure) if text.startswith(f"lrp_z\n{name}: ")]
    axes = axes_titled(figure, title)
    if name == "image":
        return np.asarray(axes.images[0].get_array())
    if name == "meta":
        return np.array([bar.get_facecolor() for bar in axes.patches])
    [line] = [item for item in axes.collections if isinstance(item, LineCollection)]
    return np.asarray(line.get_array())


@pytest.mark.parametrize("one_scale", [True, False])
@pytest.mark.parametrize("percentile", [99, 100, 60])
def test_all_inputs_of_a_sample_are_on_one_scale_or_each_on_its_own(one_scale, percentile):
    maps = relevance(["ecg", "image", "meta"], ecg=(1, 50))
    x = inputs() | {"ecg": RANDOM.normal(size=(1, 50))}
    figure = inputs_figure(InputsSample(x, {"lrp_z": maps}), one_scale=one_scale, percentile=percentile, cmap="bwr")
    coloured = {"ecg": maps["ecg"], "image": maps["image"].sum(axis=0), "meta": maps["meta"]}
    together = np.percentile(np.abs(np.concatenate([values.ravel() for values in coloured.values()])), percentile)
    ends = {name: together if one_scale else np.percentile(np.abs(values), percentile) for name, values in coloured.items()}
    expected = {name: np.clip(values / ends[name], -1, 1) for name, values in coloured.items()}
    np.testing.assert_allclose(shown(figure, "image"), expected["image"])
    np.testing.assert_allclose(np.sort(shown(figure, "ecg")), np.sort(expected["ecg"][0]))
    np.testing.assert_allclose(shown(figure, "meta"), matplotlib.colormaps["bwr"]((expected["meta"] + 1) / 2))


def test_an_image_may_have_its_channels_first_or_last():
    values, x = RANDOM.normal(size=(3, 8, 12)), RANDOM.random((3, 8, 12))
    first = inputs_figure(InputsSample({"image": x}, {"lrp_z": {"image": values}}))
    moved = {"image": np.moveaxis(values, 0, -1)}
    last = inputs_figure(InputsSample({"image": np.moveaxis(x, 0, -1)}, {"lrp_z": moved}))
    np.testing.assert_allclose(shown(first, "image"), shown(last, "image"))
    pictures = [np.asarray(axes_titled(figure, "image").images[0].get_array()) for figure in (first, last)]
    np.testing.assert_array_equal(*pictures)
    np.testing.assert_allclose(pictures[0], np.moveaxis(x, 0, -1))


def test_a_picture_may_be_given_for_what_was_made_of_it():
    picture = RANDOM.random((8, 12, 3))
    sample = InputsSample({"image": RANDOM.normal(size=(3, 8, 12))}, {"lrp_z": relevance(["image"])}, pictures={"image": picture})
    np.testing.assert_allclose(axes_titled(inputs_figure(sample), "image").images[0].get_array(), picture)


def test_long_lists_are_traces_and_many_rows_a_matrix():
    x = {"long": RANDOM.normal(size=200), "matrix": RANDOM.normal(size=(64, 20))}
    maps = {name: RANDOM.normal(size=values.shape) for name, values in x.items()}
    figure = inputs_figure(InputsSample(x, {"lrp_z": maps}))
    assert len(axes_titled(figure, "long").lines) == 1
    assert axes_titled(figure, "matrix").images[0].get_array().shape[:2] == (64, 20)


def test_more_methods_than_fit_side_by_side_have_the_inputs_beside_them_again():
    figure = inputs_figure(InputsSample(inputs(), {f"method_{number}": relevance() for number in range(6)}))
    for name in WITH_RELEVANCE:
        assert notes(figure).count(name) == 2
        columns = [text.get_position()[0] for text in figure.texts if text.get_text() == name]
        assert columns[0] == columns[1]


# Of a batch, as `explain` takes and gives it


class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = torch.nn.Linear(5, 2), torch.nn.Linear(3, 2)

    def forward(self, a, b):
        return self.one(a) + self.other(b)


def test_a_sample_of_what_explain_gave():
    x = {"a": torch.randn(4, 5), "b": torch.randn(4, 3)}
    by_name = signxai.explain(Two(), x, "gradient_x_input", 0)
    by_place = signxai.explain(Two(), tuple(x.values()), "gradient_x_input", 0)
    of_all = signxai.explain_all(Two(), x, ["gradient_x_input", "lrp_z"], 0)
    one = InputsSample.of_batch(x, by_name, row=2, heading="third")
    other = InputsSample.of_batch(tuple(x.values()), by_place, row=2)
    third = InputsSample.of_batch(x, of_all, row=2)
    np.testing.assert_array_equal(one.maps["relevance"]["b"], by_name["b"][2])
    np.testing.assert_array_equal(other.maps["relevance"]["input_1"], by_name["b"][2])
    np.testing.assert_array_equal(third.maps["lrp_z"]["a"], of_all["lrp_z"]["a"][2])
    np.testing.assert_array_equal(one.x["a"], x["a"][2])
    assert one.heading == "third"
    assert "input_0" in notes(inputs_figure(other))


# How they look


def long_names():
    names = {"meta": ["age at the time of the recording", "sex", "body mass index (kg/m²)"], "ecg": ["I", "aVR"]}
    maps = {"lrpsign_epsilon_0_6_std_x_mu_0_3_x_input_x_sign_mu_neg_0_5": relevance(), "grad_cam": relevance(["image"])}
    return inputs_figure([InputsSample(inputs(), maps, "a.npz: " + "a very long name of a class " * 9)] * 2, names=names)


def test_all_inputs_stand_in_the_same_columns():
    figure = long_names()
    places = {text.get_text(): round(text.get_position()[0], 6) for text in figure.texts}
    assert places["ecg"] == places["image"] == places["meta"] == places["ids"]


FIGURES = {
    "all kinds": lambda: inputs_figure(InputsSample(inputs(), {"lrp_z": relevance()}, "in.npz: predicted class 1 (logit 0.50)")),
    "six methods": lambda: inputs_figure(InputsSample(inputs(), {f"method_{number}": relevance() for number in range(6)})),
    "long names": long_names,
    "many tokens": lambda: inputs_figure(
        InputsSample(
            {"ids": np.arange(10000, 10300), "meta": np.ones(2)}, {"lrp_z": relevance(ids=(300,), meta=(2,), names=["ids", "meta"])}
        )
    ),
    "bars of both signs": lambda: inputs_figure(
        InputsSample({"meta": np.arange(24) * 1e6}, {"lrp_z": {"meta": RANDOM.normal(size=24) * 1e-7}, "lrp_w": {"meta": -np.arange(24.0)}})
    ),
    "one number": lambda: inputs_figure(InputsSample({"age": np.array(63.0)}, {"lrp_z": {"age": np.array(0.5)}})),
}


@cache
def figure_called(name):
    """One figure for all tests that only look at it."""
    return laid_out(FIGURES[name]())


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_overlaps_and_nothing_leaves_the_page(name):
    figure = figure_called(name)
    assert_nothing_overlaps(figure)
    panels = [axes.get_tightbbox().padded(-1) for axes in figure.axes if not axes.lines]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(panels, 2))  # with the names beside them


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_too_small_to_read(name):
    assert min(text.get_fontsize() for text in figure_called(name).findobj(matplotlib.text.Text) if text.get_text()) >= 9


def test_pyplot_and_its_global_state_stay_out_of_it():
    drawing = "inputs_figure(InputsSample({'a': np.ones(3)}, {'gradient': {'a': np.ones(3)}}))"
    assert loaded(f"import numpy as np; from signxai.figures.input_plots import *; {drawing}", "matplotlib.pyplot") == []


# Mistakes


@pytest.mark.parametrize(
    ("x", "maps", "words"),
    [
        ({"a": np.ones(3)}, {}, "no input has relevance.*a"),
        ({"a": np.ones(3)}, {"a": np.ones(4)}, r"'a'.*\(3,\).*\(4,\)"),
        ({"a": np.ones(3)}, {"b": np.ones(3)}, "'b'.*none of the inputs a"),
        ({"a": np.ones((2, 3, 4, 5))}, {"a": np.ones((2, 3, 4, 5))}, r"'a'.*\(2, 3, 4, 5\)"),
        ({"a": np.ones((0, 5))}, {"a": np.ones((0, 5))}, r"'a'.*\(0, 5\)"),
        ({"a": np.ones(3, dtype=complex)}, {"a": np.ones(3)}, "'a'.*complex"),
    ],
)
def test_what_does_not_fit_is_refused(x, maps, words):
    with pytest.raises(InputError, match=words):
        inputs_figure(InputsSample(x, {"lrp_z": maps}))


@pytest.mark.parametrize(("name", "count"), [("meta", "3 numbers"), ("ecg", "2 leads"), ("ids", "7 tokens")])
def test_another_number_of_names_is_refused(name, count):
    with pytest.raises(InputError, match=f"1 names for the {count} of '{name}'"):
        check_inputs(inputs(), {name: ["I"]})


def test_no_sample_is_refused():
    with pytest.raises(InputError, match="at least one"):
        inputs_figure([])


@pytest.mark.parametrize(
    ("x", "found", "row", "words"),
    [
        ({"a": np.ones((2, 3))}, {"a": np.ones((2, 3))}, 2, r"row=2: 'a' of shape \(2, 3\)"),
        ({"a": np.ones((2, 3))}, {"b": np.ones((2, 3))}, 0, "'b'.*none of the inputs a"),
        (np.ones((2, 3)), {"a": np.ones((2, 3))}, 0, "ndarray"),
        ({"a": np.ones((2, 3))}, np.ones((2, 3)), 0, "ndarray"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(x, found, row, words):
    with pytest.raises(InputError, match=words):
        InputsSample.of_batch(x, found, row)
