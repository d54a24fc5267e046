"""Laws of the pictures made from relevance: normalization, colours, overlays."""

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from signxai.common import InputError, OptionError
from signxai.common.visualization import normalize_relevance_map, overlay_heatmap, relevance_to_heatmap

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy

ANY_VALUE = st.floats(allow_nan=True, allow_infinity=True, width=64)
MAPS = arrays.arrays(np.float64, arrays.array_shapes(max_dims=4, max_side=5), elements=ANY_VALUE)
MODERATE = arrays.arrays(np.float64, arrays.array_shapes(max_dims=3, max_side=6), elements=st.floats(-1e6, 1e6).map(lambda v: round(v, 3)))


# normalize_relevance_map


@PATIENT
@given(MAPS, st.sampled_from([0, 50, 99, 100]))
def test_whatever_comes_a_normalized_map_has_its_shape_its_signs_and_lies_in_minus_one_to_one(relevance, percentile):
    normalized = normalize_relevance_map(relevance, percentile)
    assert normalized.shape == relevance.shape
    assert np.all(np.abs(normalized) <= 1)
    finite_sign = np.sign(np.nan_to_num(relevance, nan=0.0))
    assert np.all(np.sign(normalized) * finite_sign >= 0)


@PATIENT
@given(MODERATE, st.sampled_from([2.0, 0.5, 1024.0]))
def test_the_unit_of_relevance_does_not_matter_and_its_sign_does(relevance, unit):
    np.testing.assert_allclose(normalize_relevance_map(unit * relevance), normalize_relevance_map(relevance), atol=1e-12)
    np.testing.assert_array_equal(normalize_relevance_map(-relevance), -normalize_relevance_map(relevance))


def test_the_percentile_of_the_magnitude_becomes_one():
    relevance = np.arange(101.0) * np.where(np.arange(101) % 2, -1, 1)  # the p-th percentile of |R| is p
    assert np.array_equal(normalize_relevance_map(relevance), np.clip(relevance / 99, -1, 1))
    assert np.array_equal(normalize_relevance_map(relevance, percentile=50), np.clip(relevance / 50, -1, 1))
    assert np.array_equal(normalize_relevance_map(relevance, percentile=100), relevance / 100)


def test_where_the_percentile_is_zero_the_maximum_takes_its_place():
    relevance = np.zeros((100, 100))
    relevance[3, 4], relevance[5, 6] = -8.0, 2.0
    normalized = normalize_relevance_map(relevance)
    assert (normalized[3, 4], normalized[5, 6]) == (-1.0, 0.25)
    assert np.count_nonzero(normalized) == 2


def test_all_zero_stays_zero_and_nan_becomes_zero():
    assert not normalize_relevance_map(np.zeros((3, 2))).any()
    assert not normalize_relevance_map(np.full((3, 2), np.nan)).any()
    np.testing.assert_array_equal(normalize_relevance_map([np.nan, 2.0, -1.0], percentile=100), [0.0, 1.0, -0.5])


def test_infinity_does_not_hide_the_rest():
    np.testing.assert_array_equal(normalize_relevance_map([np.inf, -np.inf, 2.0, -1.0], percentile=100), [1.0, -1.0, 1.0, -0.5])


def test_the_map_given_is_left_alone():
    relevance = np.array([np.nan, 3.0, -4.0])
    normalize_relevance_map(relevance)
    relevance_to_heatmap(relevance)
    np.testing.assert_array_equal(relevance, [np.nan, 3.0, -4.0])


@pytest.mark.parametrize("percentile", [-1, 100.5, float("nan")])
def test_a_percentile_outside_0_to_100_is_refused(percentile):
    with pytest.raises(OptionError, match="percentile"):
        normalize_relevance_map([1.0], percentile=percentile)


@pytest.mark.parametrize("function", [normalize_relevance_map, relevance_to_heatmap])
@pytest.mark.parametrize(("relevance", "word"), [(np.zeros((0, 3)), "empty"), ([1j], "complex"), (["a"], "<U1")])
def test_what_is_no_map_is_refused(function, relevance, word):
    with pytest.raises(InputError, match=word):
        function(relevance)


def test_a_tensor_that_tracks_gradients_is_a_map_too():
    relevance = torch.tensor([[1.0, -2.0]], requires_grad=True)
    np.testing.assert_array_equal(normalize_relevance_map(relevance, 100), [[0.5, -1.0]])


# relevance_to_heatmap


def colour(name, position):
    return np.array(matplotlib.colormaps[name](position)[:3])


@PATIENT
@given(MAPS)
def test_colours_are_rgb_in_zero_to_one(relevance):
    for symmetric in (True, False):
        heatmap = relevance_to_heatmap(relevance, symmetric=symmetric)
        assert heatmap.shape == (*relevance.shape, 3)
        assert heatmap.min() >= 0
        assert heatmap.max() <= 1


@pytest.mark.parametrize("cmap", ["seismic", "bwr", "viridis"])
def test_symmetric_puts_zero_in_the_middle_and_the_largest_magnitude_at_an_end(cmap):
    heatmap = relevance_to_heatmap(np.array([[0.0, -4.0], [2.0, np.nan]]), cmap=cmap)
    np.testing.assert_array_equal(heatmap[0, 0], colour(cmap, 0.5))
    np.testing.assert_array_equal(heatmap[0, 1], colour(cmap, 0.0))
    np.testing.assert_array_equal(heatmap[1, 0], colour(cmap, 0.75))
    np.testing.assert_array_equal(heatmap[1, 1], heatmap[0, 0])


def test_a_map_of_zeros_has_the_middle_colour():
    np.testing.assert_array_equal(relevance_to_heatmap(np.zeros(4)), [colour("seismic", 0.5)] * 4)


def test_not_symmetric_spreads_the_minimum_and_the_maximum():
    heatmap = relevance_to_heatmap([1.0, 2.0, 5.0], cmap="viridis", symmetric=False)
    np.testing.assert_array_equal(heatmap, [colour("viridis", position) for position in (0.0, 0.25, 1.0)])


def test_the_colour_map_is_seismic_unless_said_otherwise():
    np.testing.assert_array_equal(relevance_to_heatmap([3.0]), [colour("seismic", 1.0)])


def test_an_unknown_colour_map_is_refused_and_near_ones_are_named():
    with pytest.raises(OptionError, match=r"'seismik'.*seismic"):
        relevance_to_heatmap([1.0], cmap="seismik")


# overlay_heatmap

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
HEATMAP = relevance_to_heatmap(np.random.default_rng(1).normal(size=(6, 8)))


def test_alpha_is_the_weight_of_the_heat_map():
    np.testing.assert_allclose(overlay_heatmap(IMAGE, HEATMAP, alpha=0), IMAGE / 255, atol=1e-15)
    np.testing.assert_allclose(overlay_heatmap(IMAGE, HEATMAP, alpha=1), HEATMAP, atol=1e-15)
    np.testing.assert_allclose(overlay_heatmap(IMAGE, HEATMAP), (IMAGE / 255 + HEATMAP) / 2, atol=1e-15)


@pytest.mark.parametrize(
    "same",
    [IMAGE / 255, (IMAGE / 255).astype(np.float32), IMAGE.transpose(2, 0, 1), torch.from_numpy(IMAGE).permute(2, 0, 1)],
    ids=["float64", "float32", "channels first", "tensor"],
)
def test_every_form_of_an_image_gives_the_same_picture(same):
    np.testing.assert_allclose(overlay_heatmap(same, HEATMAP), overlay_heatmap(IMAGE, HEATMAP), atol=1e-7)


def test_a_gray_image_is_the_one_with_three_equal_channels():
    gray = IMAGE[..., 0]
    expected = overlay_heatmap(np.stack([gray] * 3, axis=-1), HEATMAP)
    for form in (gray, gray[..., None], gray[None], gray / 255):
        np.testing.assert_array_equal(overlay_heatmap(form, HEATMAP), expected)


def test_the_heat_map_is_resized_to_the_image():
    black = np.zeros((40, 60))
    halves = np.zeros((2, 2, 3))
    halves[:, 1, 0] = 1.0  # red on the right
    overlaid = overlay_heatmap(black, halves, alpha=1)
    assert overlaid.shape == (40, 60, 3)
    assert np.all(np.diff(overlaid[:, :, 0], axis=1) >= 0)
    assert (overlaid[:, 0, 0].max(), overlaid[:, -1, 0].min()) == (0.0, 1.0)
    assert 0 < overlaid[20, 29, 0] < 1  # and from one to the other in small steps
    assert not overlaid[:, :, 1:].any()
    np.testing.assert_allclose(overlay_heatmap(black, np.full((7, 5, 3), 0.3), alpha=1), 0.3, atol=1e-7)


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (IMAGE.astype(np.int64), "int64"),
        (IMAGE.astype(np.float64), r"\[0, 1\]"),
        (np.full((4, 4), np.nan), "nan"),
        (np.zeros((4, 4, 4)), "shape"),
        (np.zeros(4), "shape"),
        (np.zeros((0, 4)), "shape"),
    ],
)
def test_what_is_no_image_is_refused(image, word):
    with pytest.raises(InputError, match=word):
        overlay_heatmap(image, HEATMAP)


def test_relevance_itself_is_no_heat_map():
    with pytest.raises(InputError, match="heat map"):
        overlay_heatmap(IMAGE, np.full((6, 8), -1.0))


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_alpha_outside_0_to_1_is_refused(alpha):
    with pytest.raises(OptionError, match="alpha"):
        overlay_heatmap(IMAGE, HEATMAP, alpha=alpha)
