"""How alike maps are: ranks, and the structural similarity of windows, against plain loops."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from networks import inputs, network
from refusals import raises
from signxai import evidence, explain
from signxai.common.errors import OptionError
from signxai.evidence.similarities import average_ranks, similarity_of
from signxai.evidence.structural_similarity import structural_similarity


def window_index(a: np.ndarray, b: np.ndarray) -> float:
    """Wang's index of one window of two maps, by sums over its places."""
    shape, weights = a.shape, {}
    for place in itertools.product(*map(range, shape)):
        distance = sum((own - (size - 1) / 2) ** 2 for own, size in zip(place, shape, strict=True))
        weights[place] = math.exp(-distance / (2 * 1.5**2))
    total = sum(weights.values())
    mean_a, mean_b = (sum(weights[place] * own[place] for place in weights) / total for own in (a, b))
    covariances = [
        sum(weights[place] * (x[place] - mean_x) * (y[place] - mean_y) for place in weights) / total
        for x, mean_x, y, mean_y in ((a, mean_a, a, mean_a), (b, mean_b, b, mean_b), (a, mean_a, b, mean_b))
    ]
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mean_a * mean_b + c1) * (2 * covariances[2] + c2)
    return alike / ((mean_a**2 + mean_b**2 + c1) * (covariances[0] + covariances[1] + c2))


def plain_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over the windows of all channels (C, ...)."""
    sizes = [min(11, size) for size in a.shape[1:]]
    found = []
    for channel in range(len(a)):
        for start in itertools.product(*(range(length - size + 1) for length, size in zip(a.shape[1:], sizes, strict=True))):
            window = tuple(slice(first, first + size) for first, size in zip(start, sizes, strict=True))
            found.append(window_index(a[channel][window], b[channel][window]))
    return float(np.mean(found))


@pytest.mark.parametrize("shape", [(2, 14), (2, 13, 12), (1, 7, 12), (3, 5), (1, 3, 4, 5)], ids=str)
def test_structural_similarity_is_that_of_plain_loops(shape):
    draws = np.random.default_rng(0)
    a = draws.random((3, *shape))
    b = np.stack([(a[0] + 0.1 * draws.random(shape)) / 1.1, 1 - a[1], draws.random(shape)])
    wanted = [plain_ssim(*pair) for pair in zip(a, b, strict=True)]
    found = structural_similarity(a.reshape(3, -1), b.reshape(3, -1), [shape])
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert found[0] > 0.9
    assert found[1] < -0.5


@pytest.mark.parametrize("kind", ["cnn1d", "cnn2d", "cnn3d"])
def test_randomization_by_structural_similarity(kind):
    net, x, maps = network(kind), inputs(kind, 2), []
    layers = [name for name, module in net.named_modules() if list(module.parameters(recurse=False))][-1:]

    def noted(model, x, target):
        maps.append(explain(model, x, "gradient", target))
        return maps[-1]

    signed, sizes = (evidence.mprt(net, x, noted, 0, layers=layers, similarity=name) for name in ("ssim", "ssim_of_magnitudes"))
    one, other = (np.stack([own / np.abs(own).max() for own in each]) for each in maps[:2])
    close = {"rtol": 0, "atol": 1e-12}
    np.testing.assert_allclose(signed, [plain_ssim((a + 1) / 2, (b + 1) / 2) for a, b in zip(one, other, strict=True)], **close)
    np.testing.assert_allclose(sizes, [plain_ssim(np.abs(a), np.abs(b)) for a, b in zip(one, other, strict=True)], **close)


def test_the_sign_of_a_map_is_seen_but_where_magnitudes_are_asked_for():
    maps = np.random.default_rng(0).normal(size=(3, 2, 20)).reshape(3, -1)
    assert (similarity_of("ssim", [(2, 20)])(maps, -maps) < -0.5).all()
    np.testing.assert_array_equal(similarity_of("ssim_of_magnitudes", [(2, 20)])(maps, -maps), 1)


@pytest.mark.parametrize("name", ["spearman", "pearson", "spearman_of_magnitudes", "ssim", "ssim_of_magnitudes"])
def test_a_map_is_as_alike_to_itself_as_can_be_whatever_it_was_compared_with_before(name):
    maps, others = np.random.default_rng(0).normal(size=(2, 3, 24))
    maps[1], alike = 0.0, similarity_of(name, [(2, 12)])
    before = alike(maps, others)
    assert (before < 0.9).all()
    np.testing.assert_allclose(alike(maps, maps), 1)
    np.testing.assert_array_equal(alike(maps, others), before)
    np.testing.assert_allclose(alike(others, maps), before, atol=1e-12)
    np.testing.assert_allclose(alike(3 * maps, others), before, atol=1e-12)


def test_windows_of_a_list_of_numbers_are_refused():
    net, x = network("linear"), inputs("linear", 2)
    with raises(OptionError, "ssim", "windows", "spearman"):
        evidence.random_logit(net, x, "gradient", 0, similarity="ssim")


@pytest.mark.parametrize("scale", [1.0, 1.1, -1.0, 1e-40, 1e300])
def test_ranks_are_scipys_of_single_and_of_double_precision_with_ties_and_signed_zeros(scale):
    values = np.random.default_rng(0).normal(size=(5, 400)).astype(np.float32).astype(float) * scale
    values[:3, ::7], values[:3, ::14], values[1, ::3], values[4] = 0.0, -0.0, 2 * scale, 2 * scale
    np.testing.assert_array_equal(average_ranks(values), stats.rankdata(values, axis=1))
    np.testing.assert_array_equal(average_ranks(values.T), stats.rankdata(values.T, axis=1))


def test_ranks_of_many_rows_and_of_none():
    values = np.random.default_rng(0).integers(-9, 9, size=(70, 2000)).astype(float)
    np.testing.assert_array_equal(average_ranks(values), stats.rankdata(values, axis=1))
    assert average_ranks(np.empty((3, 0))).shape == (3, 0)
