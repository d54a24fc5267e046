"""Models that return more than one tensor: the one that is meant is explained, or an error names all of them."""

from collections import namedtuple

import pytest
import torch
from torch import Tensor, nn

from comparing import deviation
from networks import CLASSES, drawn
from signxai import explain, explain_all, inspect_model
from signxai.common import InputError, ModelError, OptionError
from signxai.torch_signxai.methods.zennit_impl import GradientAnalyzer
from signxai.torch_signxai.utils import predict, remove_softmax

N = 3
X = drawn(N, 2, 8, 8, seed=3)
METHODS = ["gradient", "integrated_gradients", "smoothgrad", "guided_backprop", "grad_cam", "lrp_z", "lrpsign_epsilon_0_25_std_x"]
Pair = namedtuple("Pair", ["features", "scores"])


class Returns(nn.Module):
    """A small network that returns what a function makes of its feature map, its features and its logits."""

    def __init__(self, returned=lambda m, f, z: z) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.returned = nn.Conv2d(2, 4, 3), nn.Linear(4, 3), returned

    def forward(self, x: Tensor):
        feature_map = self.conv(x).relu()
        features = feature_map.mean((2, 3))
        return self.returned(feature_map, features, self.head(features))


def network(returned=lambda m, f, z: z) -> Returns:
    return Returns(returned).double().eval()


UNSURE = {
    "features and logits": lambda m, f, z: (f, z),
    "logits and features": lambda m, f, z: (z, f),
    "a feature map and logits": lambda m, f, z: [m, z],
    "a dict": lambda m, f, z: {"features": f, "scores": z},
    "a named tuple": lambda m, f, z: Pair(f, z),
}
SURE = {
    "logits and a feature map": lambda m, f, z: (z, m),
    "a loss and logits": lambda m, f, z: (z.mean(), z),
    "logits and a nest": lambda m, f, z: (z, (f, f)),
    "named logits": lambda m, f, z: {"features": f, "logits": z},
    "one in a dict": lambda m, f, z: {"scores": z},
    "logits and indices": lambda m, f, z: (z, z.argmax(1)),
    "two heads": lambda m, f, z: (z, 2 * z),
    "two heads by name": lambda m, f, z: {"out": z, "aux": 2 * z},
}


@pytest.mark.parametrize("name", UNSURE)
def test_several_that_may_be_meant_are_named(name):
    with pytest.raises(ModelError, match=r"several tensors.*\(3, 4.*\(3, 3\)|several tensors.*\(3, 3\).*\(3, 4") as caught:
        explain(network(UNSURE[name]), X, "gradient", 1)
    assert "output=lambda returned: returned[" in str(caught.value)
    with pytest.raises(ModelError, match="several tensors"):
        predict(network(UNSURE[name]), X)
    with pytest.raises(ModelError, match="several tensors"):
        remove_softmax(network(UNSURE[name]))(X)


PICKED = {
    "features and logits": lambda returned: returned[1],
    "logits and features": lambda returned: returned[0],
    "a feature map and logits": lambda returned: returned[1],
    "a dict": lambda returned: returned["scores"],
    "a named tuple": lambda returned: returned.scores,
}


@pytest.mark.parametrize("target", [1, None, [0, 2, 1]])
@pytest.mark.parametrize("name", UNSURE)
def test_output_says_which_one(name, target):
    got = explain_all(network(UNSURE[name]), X, METHODS, target, output=PICKED[name])
    wanted = explain_all(network(), X, METHODS, target)
    assert {method: by for method in METHODS if not (by := deviation(got[method], wanted[method])) < 1e-13} == {}


@pytest.mark.parametrize("name", SURE)
def test_the_one_that_alone_is_meant(name):
    got, wanted = explain_all(network(SURE[name]), X, METHODS, 1), explain_all(network(), X, METHODS, 1)
    assert {method: by for method in METHODS if not (by := deviation(got[method], wanted[method])) < 1e-13} == {}


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_states_of_a_recurrent_layer_are_not_meant_whatever_the_batch(samples):
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(6, 5, num_layers=2, batch_first=True), nn.Linear(5, 3)

        def forward(self, x: Tensor):
            steps, state = self.rnn(x)
            return self.head(steps), state

    assert explain(Recurrent().double(), drawn(samples, 7, 6), "gradient", (2, 1)).shape == (samples, 7, 6)


@pytest.mark.parametrize("samples", [1, 2])
def test_the_first_is_meant_whatever_the_batch(samples):
    class Score(nn.Module):
        """One number for each sample, and features that are no output."""

        def __init__(self, is_alone: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.features, self.head, self.is_alone = nn.Linear(6, 5), nn.Linear(5, 1), is_alone

        def forward(self, x: Tensor):
            features = self.features(x).relu()
            score = self.head(features).squeeze(1)
            return score if self.is_alone else (score, features)

    x = drawn(samples, 6)
    alone, beside = (explain(Score(is_alone).double(), x, "gradient") for is_alone in (True, False))
    assert deviation(beside, alone) < 1e-13


def test_what_output_computes_is_part_of_the_network():
    def difference(returned):
        return (returned[1][:, :1] - returned[1][:, 1:2]).sigmoid()

    class Difference(Returns):
        def forward(self, x: Tensor) -> Tensor:
            z = super().forward(x)
            return z[:, :1] - z[:, 1:2]

    net, wanted = network(UNSURE["features and logits"]), Difference().double().eval()
    for method in METHODS:
        assert deviation(explain(net, X, method, 0, output=difference), explain(wanted, X, method, 0)) < 1e-13
    assert inspect_model(net, X, "lrp_z", 0, output=difference).relevance_at_output == N


def test_output_goes_with_predictions_and_wrappers():
    net, pick = network(UNSURE["a dict"]), PICKED["a dict"]
    torch.testing.assert_close(predict(net, X, output=pick), network()(X).detach())
    torch.testing.assert_close(remove_softmax(net, pick)(X), network()(X))
    assert GradientAnalyzer(net, output=pick).analyze(X, 1).shape == X.shape


def test_an_output_that_is_no_function_or_gives_no_tensor_is_refused():
    with pytest.raises(OptionError, match="must be a function"):
        explain(network(), X, "gradient", 1, output="logits")
    with pytest.raises(ModelError, match="turn what the model returns into a tensor"):
        explain(network(UNSURE["a dict"]), X, "gradient", 1, output=lambda returned: returned["scores"].tolist())


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, CLASSES)

    def forward(self, x):
        return {"scores": self.a(x)}


def test_an_error_in_the_users_function_says_so():
    with pytest.raises(ModelError, match=r"output= failed on the dict with 'scores'.*KeyError"):
        explain(Several(), torch.randn(2, 4), "gradient", 0, output=lambda returned: returned["logits"])


def test_what_is_no_module_is_named_with_what_to_do():
    with pytest.raises(ModelError, match="the class Several; make an instance"):
        explain(Several, torch.randn(2, 4), "gradient", 0)


def test_an_input_without_values():
    with pytest.raises(InputError, match="meta device"):
        explain(nn.Linear(4, 2), torch.randn(1, 4, device="meta"), "gradient", 0)
