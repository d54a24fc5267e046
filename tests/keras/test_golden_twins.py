"""The golden networks as Keras models, channels last: the original package's maps, and those of their PyTorch twins."""

import numpy as np
import pytest
import torch

from comparing import deviation
from golden import GOLDEN_FILES, golden
from sentences import options, original_names
from signxai import explain
from signxai.common import ModelError

keras = pytest.importorskip("keras")
from twins import channels_last, golden_twin, in_float64  # noqa: E402 - imports keras

pytestmark = pytest.mark.slow
FILES = [file + suffix for file in GOLDEN_FILES for suffix in ("", "_nobias")]
STARTS_WITH_THE_LOGIT = ("lrp", "w2lrp", "flatlrp", "guided_backprop", "deconvnet")


def is_alpha_beta_with_bias(file, name):
    """Of which the original counts the bias in both denominators, as signxai and Zennit do not."""
    return not file.endswith("_nobias") and ("alpha" in name or "sequential" in name)


@pytest.fixture(autouse=True)
def in_double_precision():
    with in_float64():
        yield


def start_of(name):
    return "logit" if name.startswith(STARTS_WITH_THE_LOGIT) else "one_hot"


@pytest.mark.parametrize("file", FILES)
def test_the_twin_computes_what_the_golden_network_does(file):
    case = golden(file)
    with torch.no_grad():
        np.testing.assert_allclose(golden_twin(file)(channels_last(case.x)).numpy(), case.model(case.x).numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("file", FILES)
def test_the_original_maps_are_reproduced(file):
    case, twin = golden(file), golden_twin(file)
    x = channels_last(case.x)
    names = [name for name in case.maps if name != "integrated_gradients" and not is_alpha_beta_with_bias(file, name)]
    found = {}
    for name in names:
        wanted = channels_last(torch.from_numpy(case.maps[name])).numpy()
        found[name] = deviation(explain(twin, x, name, case.target, relevance=start_of(name)), wanted)
    assert {name: by for name, by in found.items() if not by < 1e-5} == {}


@pytest.mark.parametrize("file", GOLDEN_FILES)
def test_every_name_gives_the_map_of_the_pytorch_twin(file):
    case, twin = golden(file), golden_twin(file)
    x = channels_last(case.x)
    found = {}
    for name in original_names():
        try:
            wanted = explain(case.model, case.x, name, case.target, **options(name))
        except ModelError as error:  # a network without a convolution has no Grad-CAM, with Keras either
            with pytest.raises(type(error)):
                explain(twin, x, name, case.target, **options(name))
            continue
        found[name] = deviation(explain(twin, x, name, case.target, **options(name)), channels_last(torch.from_numpy(wanted)).numpy())
    assert len(found) > 100
    assert {name: by for name, by in found.items() if not by < 1e-12} == {}
