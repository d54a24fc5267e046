"""The softmax at the output is taken off wherever it is written; one inside the network stays; the original is untouched."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from comparing import deviation
from networks import CLASSES, drawn, inputs, network, randomized
from signxai import explain
from signxai.torch_signxai.utils import NoSoftmaxWrapper, predict, remove_softmax


class Classifier(nn.Module):
    """A network on (N, 12) with constructor arguments whose output goes through a function."""

    def __init__(self, width, output):
        super().__init__()
        self.fc1, self.fc2, self.output = nn.Linear(12, width), nn.Linear(width, CLASSES), output

    def logits(self, x):
        return self.fc2(F.relu(self.fc1(x)))

    def forward(self, x):
        return self.output(self.logits(x))


class Head(nn.Module):
    """A head with its softmax inside."""

    def __init__(self, softmax):
        super().__init__()
        self.fc, self.softmax = nn.Linear(8, CLASSES), softmax

    def forward(self, x):
        return self.softmax(self.fc(x))


class Renamed(nn.Softmax):
    """A softmax of the user's own class."""


class WithoutArguments(nn.Module):
    """A network whose constructor takes nothing and whose forward ends in a conditional softmax."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, CLASSES)
        self.probabilities = True

    def forward(self, x):
        x = self.fc(x)
        if self.probabilities:
            x = torch.softmax(x, -1)
        return x


class Output:
    """What Hugging Face's models return."""

    def __init__(self, logits):
        self.logits = logits


def body():
    return [nn.Linear(12, 8), nn.ReLU()]


WAYS = {
    "trailing nn.Softmax": lambda: nn.Sequential(*body(), nn.Linear(8, CLASSES), nn.Softmax(dim=1)),
    "trailing nn.Softmax of the last axis": lambda: nn.Sequential(*body(), nn.Linear(8, CLASSES), nn.Softmax(dim=-1)),
    "trailing nn.LogSoftmax": lambda: nn.Sequential(*body(), nn.Linear(8, CLASSES), nn.LogSoftmax(dim=1)),
    "a subclass of nn.Softmax": lambda: nn.Sequential(*body(), nn.Linear(8, CLASSES), Renamed(1)),
    "F.softmax": lambda: Classifier(8, lambda z: F.softmax(z, dim=1)),
    "F.softmax to a type": lambda: Classifier(8, lambda z: F.softmax(z, dim=-1, dtype=torch.float64)),
    "torch.softmax": lambda: Classifier(8, lambda z: torch.softmax(z, 1)),
    "Tensor.softmax": lambda: Classifier(8, lambda z: z.softmax(1)),
    "Tensor.softmax keyword": lambda: Classifier(8, lambda z: z.softmax(dim=-1)),
    "F.log_softmax": lambda: Classifier(8, lambda z: F.log_softmax(z, 1)),
    "torch.log_softmax": lambda: Classifier(8, lambda z: torch.log_softmax(z, 1)),
    "Tensor.log_softmax": lambda: Classifier(8, lambda z: z.log_softmax(1)),
    "nested": lambda: nn.Sequential(nn.Sequential(*body()), nn.Sequential(Head(nn.Softmax(1)))),
    "nested deeper": lambda: nn.Sequential(*body(), nn.ModuleDict({"head": Head(nn.LogSoftmax(1))})["head"]),
    "softmax, then identity": lambda: nn.Sequential(*body(), Head(nn.Softmax(1)), nn.Identity()),
    "softmax, then dropout": lambda: nn.Sequential(*body(), Head(nn.Softmax(1)), nn.Dropout(0.5)),
    "softmax, then a flattening": lambda: nn.Sequential(*body(), Head(nn.Softmax(1)), nn.Flatten()),
    "softmax, then squeeze": lambda: Classifier(8, lambda z: F.softmax(z[:, :, None], dim=1).squeeze(2)),
    "softmax, then view": lambda: Classifier(8, lambda z: F.softmax(z, dim=1).view(-1, CLASSES)),
    "in a class without arguments": WithoutArguments,
    "in a tuple": lambda: Classifier(8, lambda z: (F.softmax(z, dim=1), z.mean())),
    "in .logits": lambda: Classifier(8, lambda z: Output(torch.softmax(z, -1))),
}


def logits_of(model, x):
    """The input of the softmax, caught on its way in."""
    caught = []

    class Catch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if "softmax" in getattr(func, "__name__", ""):
                caught.append(args[0])
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Catch():
        model(x)
    return caught[0].reshape(len(x), CLASSES)


@pytest.mark.parametrize("take_off", [remove_softmax, NoSoftmaxWrapper])
@pytest.mark.parametrize("way", WAYS)
def test_any_way_of_writing_the_final_softmax(way, take_off):
    model, x = randomized(WAYS[way]()), inputs("linear")
    expected = logits_of(model, x)
    bare = take_off(model)
    assert bare is not model
    with torch.no_grad():
        got = bare(x)
        got = got[0] if isinstance(got, tuple) else getattr(got, "logits", got)
    assert deviation(got, expected) == 0


@pytest.mark.parametrize("way", WAYS)
def test_the_original_is_untouched(way):
    model, x = randomized(WAYS[way]()), inputs("linear")
    state = {key: value.clone() for key, value in model.state_dict().items()}
    keys = [list(vars(module)) for module in model.modules()]
    with torch.no_grad():
        before = model(x)
        bare = remove_softmax(model)
        bare(x)
        for parameter in bare.parameters():
            parameter.zero_()
        after = model(x)
    first = [value[0] if isinstance(value, tuple) else getattr(value, "logits", value) for value in (before, after)]
    assert torch.equal(*first)
    assert [list(vars(module)) for module in model.modules()] == keys
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_remove_softmax_is_a_copy_that_trains_apart():
    model = nn.Sequential(*body(), nn.Linear(8, CLASSES), nn.Softmax(1)).train()
    bare = remove_softmax(model)
    assert model.training
    assert {p.data_ptr() for p in bare.parameters()}.isdisjoint(p.data_ptr() for p in model.parameters())


@pytest.mark.parametrize("take_off", [remove_softmax, NoSoftmaxWrapper])
def test_a_model_without_softmax_stays_what_it_is(take_off):
    model, x = network("cnn2d"), inputs("cnn2d")
    with torch.no_grad():
        assert torch.equal(take_off(model)(x), model(x))


@pytest.mark.parametrize("take_off", [remove_softmax, NoSoftmaxWrapper])
def test_taking_it_off_twice_takes_it_off_once(take_off):
    model, x = randomized(WAYS["trailing nn.Softmax"]()), inputs("linear")
    with torch.no_grad():
        assert torch.equal(take_off(take_off(model))(x), take_off(model)(x))


class Attention(nn.Module):
    """A network with softmax inside, and at the output or not; the inner one may have the outer one's very shape."""

    def __init__(self, final):
        super().__init__()
        self.q, self.v, self.fc, self.final = nn.Linear(12, CLASSES), nn.Linear(12, CLASSES), nn.Linear(CLASSES, CLASSES), final

    def forward(self, x):
        x = self.fc(F.softmax(self.q(x), dim=-1) * self.v(x))
        return F.softmax(x, dim=-1) if self.final else x


@pytest.mark.parametrize("take_off", [remove_softmax, NoSoftmaxWrapper])
def test_a_softmax_inside_the_network_stays(take_off):
    model, bare, x = randomized(Attention(True)), randomized(Attention(False)), inputs("linear")
    with torch.no_grad():
        assert torch.equal(take_off(model)(x), bare(x))
        assert torch.equal(take_off(bare)(x), bare(x))


def test_multihead_attention_stays():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.fc = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, CLASSES)

        def forward(self, x):
            return self.fc(self.attention(x, x, x)[0].mean(1))

    model, x = randomized(Net()), inputs("linear").reshape(4, 3, 4)
    with torch.no_grad():
        assert torch.allclose(remove_softmax(model)(x), model(x), atol=1e-14)


NAMES = ["gradient", "integrated_gradients_steps_5", "smoothgrad_samples_3", "guided_backprop", "lrp_z", "lrpsign_epsilon_0_25_std_x",
         "lrp_alpha_2_beta_1", "lrp_epsilon_0_1_x_input"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "in a class without arguments" and "in .logits" not in way])
def test_explain_explains_the_logit_and_not_the_probability(way, name):
    model, x = randomized(WAYS[way]()), inputs("linear")
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    bare = nn.Sequential(linear[0], nn.ReLU(), linear[1])
    with torch.no_grad():
        assert torch.equal(bare(x), logits_of(model, x))
    for relevance in ("one_hot", "logit"):
        expected = explain(bare, x, name, 2, relevance=relevance)
        assert deviation(explain(model, x, name, 2, relevance=relevance), expected) < 1e-12
    if "softmax" in way:
        assert deviation(explain(remove_softmax(model), x, name, 2), explain(bare, x, name, 2)) < 1e-12


def test_explain_takes_the_same_classes_with_and_without_softmax():
    model, x = randomized(WAYS["F.softmax"]()), inputs("linear")
    np.testing.assert_array_equal(explain(model, x, "lrp_z"), explain(remove_softmax(model), x, "lrp_z"))


def test_explain_of_an_attention_network_keeps_its_inner_softmax():
    model, bare, x = randomized(Attention(True)), randomized(Attention(False)), inputs("linear")
    for name in ("gradient", "lrp_epsilon_0_1"):
        assert deviation(explain(model, x, name, 1), explain(bare, x, name, 1)) < 1e-12


def test_predict_gives_the_logits_and_leaves_the_model_alone():
    model, x = randomized(WAYS["trailing nn.Softmax"]()), inputs("linear")
    model.train()
    logits = predict(model, x)
    assert not logits.requires_grad
    assert deviation(logits, logits_of(model.eval(), x)) == 0
    model.train()
    predict(model, x)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("is_training", [True, False])
def test_the_wrapper_is_in_the_mode_of_the_model(is_training):
    net = network("mlp").train(is_training)
    assert NoSoftmaxWrapper(net).training is is_training
    assert net.training is is_training


@pytest.mark.parametrize(
    "name", ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_epsilon_0_25_std_x", "guided_backprop", "gradient"]
)
@pytest.mark.parametrize("last", [nn.Softmax(1), nn.Sigmoid(), nn.Identity()])
def test_a_model_without_its_softmax_has_the_map_of_the_model(name, last):
    net = randomized(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3), last))
    x = drawn(4, 6)
    got, expected = explain(remove_softmax(net), x, name, 1), explain(net, x, name, 1)
    assert abs(got - expected).max() < 1e-12 * abs(expected).max()


@pytest.mark.parametrize("name", ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "gradient", "integrated_gradients_steps_3"])
@pytest.mark.parametrize("last", [nn.Softmax(1), nn.Sigmoid()])
def test_a_model_without_its_softmax_gives_logits_within_another_network(name, last):
    logits = randomized(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)))
    end, x = randomized(nn.Sequential(nn.ReLU(), nn.Linear(3, 2))), drawn(4, 6)
    got = explain(nn.Sequential(remove_softmax(nn.Sequential(logits, last)), end), x, name, 1)
    expected = explain(nn.Sequential(logits, end), x, name, 1)
    assert abs(got - expected).max() < 1e-12 * abs(expected).max()


class ByChance(nn.Module):
    """A sigmoid where the first value is negative, and no more than that."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 3)

    def forward(self, x):
        return torch.sigmoid(self.inner(x)) + F.relu(x[:, :1])


@pytest.mark.parametrize("name", ["lrp_z", "gradient"])
def test_an_activation_by_chance_stays_where_a_softmax_was_removed(name):
    net, x = randomized(ByChance()), -drawn(4, 6).abs()
    got, expected = explain(remove_softmax(net), x, name, 1), explain(net, x, name, 1)
    assert abs(got - expected).max() < 1e-12 * abs(expected).max()
