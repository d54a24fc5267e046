"""The original package's own maps are reproduced, by ``explain`` and by the original package's calls."""

import numpy as np
import pytest
import torch

from comparing import deviation
from golden import GOLDEN_FILES, golden
from sentences import one_of_each_form
from signxai import explain
from signxai.torch_signxai import calculate_relevancemap, calculate_relevancemaps

TOLERANCE = 1e-5
STARTS_WITH_THE_LOGIT = ("lrp", "w2lrp", "flatlrp", "guided_backprop", "deconvnet")
NAMES = sorted(set(golden("mlp").maps) - {"integrated_gradients"})
FORMS = one_of_each_form(NAMES)


def has_alpha_beta(name):
    return "alpha" in name or "sequential" in name


# with biases, the original counts the bias of alpha-beta in both denominators; signxai does what Zennit does
CASES = [(file + "_nobias", name) for file in GOLDEN_FILES for name in NAMES]
CASES += [(file, name) for file in GOLDEN_FILES for name in NAMES if not has_alpha_beta(name)]


def test_all_deterministic_names_are_here():
    assert len(NAMES) == 114


@pytest.mark.parametrize("file", [file + suffix for file in GOLDEN_FILES for suffix in ("", "_nobias")])
def test_the_golden_network_is_rebuilt(file):
    with torch.no_grad():
        assert deviation(golden(file).model(golden(file).x), golden(file).logits) < TOLERANCE


@pytest.mark.parametrize(("file", "name"), CASES)
def test_explain_gives_the_original_map(file, name):
    case = golden(file)
    relevance = "logit" if name.startswith(STARTS_WITH_THE_LOGIT) else "one_hot"
    assert deviation(explain(case.model, case.x, name, case.target, relevance=relevance), case.maps[name]) < TOLERANCE


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, name in CASES if name in FORMS])
def test_calculate_relevancemap_gives_the_original_map(file, name):
    case = golden(file)
    one = calculate_relevancemap(name, case.x[0], case.model, neuron_selection=case.target)
    batch = calculate_relevancemap(name, case.x, case.model, neuron_selection=case.target, batchmode=True)
    assert one.shape == case.x.shape[1:]
    scale = np.abs(case.maps[name]).max()
    assert np.abs(one - case.maps[name][0]).max() < TOLERANCE * scale
    assert deviation(batch, case.maps[name]) < TOLERANCE


@pytest.mark.parametrize("file", [file + suffix for file in GOLDEN_FILES for suffix in ("", "_nobias")])
def test_integrated_gradients_is_as_close_as_another_quadrature_can_be(file):
    case = golden(file)
    assert deviation(explain(case.model, case.x, "integrated_gradients", case.target), case.maps["integrated_gradients"]) < 2e-2


def test_calculate_relevancemaps_gives_the_map_of_each_method():
    case = golden("ecg_cnn")
    names = ["gradient", "guided_backprop", "lrpsign_epsilon_0_25_std_x"]
    maps = calculate_relevancemaps(names, case.x[1], case.model, neuron_selection=case.target)
    assert list(maps) == names
    for name in names:
        expected = calculate_relevancemap(name, case.x[1], case.model, neuron_selection=case.target)
        np.testing.assert_array_equal(maps[name], expected)


def test_calculate_relevancemap_takes_the_predicted_class_by_itself():
    case = golden("image_cnn")
    predicted = int(case.logits[1].argmax())
    expected = calculate_relevancemap("lrp_z", case.x[1], case.model, neuron_selection=predicted)
    np.testing.assert_array_equal(calculate_relevancemap("lrp_z", case.x[1], case.model), expected)
