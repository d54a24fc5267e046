"""Relevance at several layers comes from one backward pass, and is at each what it is there alone, to the last bit."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zennit.composites
from torch import Tensor, nn

from networks import CLASSES, SHAPES, Counting, Residual, conv, inputs, network, randomized
from signxai import explain, explain_all
from signxai.common import ModelError, OptionError
from signxai.torch_signxai import calculate_relevancemap, calculate_relevancemaps
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer, Analyzer, GradientAnalyzer, LRPAnalyzer

METHODS = ["gradient", "guided_backprop", "deconvnet", "deep_taylor", "lrp_z", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1",
           "lrp_gamma_0_25", "lrpsign_epsilon_0_1", "zblrp_zplus", "lrp_wsquare", "lrp_epsilon_plus_flat"]  # fmt: skip
OF_MANY_GRADIENTS = ["integrated_gradients_steps_5", "smoothgrad_samples_4", "vargrad_samples_4"]


def assert_each_is_as_alone(net, x, method, at, **options):
    together = explain(net, x, method, [0, 1, 2, 3], at=at, **options)
    assert list(together) == at
    for name in at:
        alone = explain(net, x, method, [0, 1, 2, 3], at=name, **options)
        assert type(together[name]) is type(alone)
        assert np.array_equal(np.asarray(together[name]), np.asarray(alone)), name
        assert method.startswith("vargrad") or np.abs(np.asarray(alone)).max() > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("method", [*METHODS, *OF_MANY_GRADIENTS])
def test_each_layer_has_what_it_has_alone(kind, method, dtype):
    net = network(kind)
    assert_each_is_as_alone(net.to(dtype), inputs(kind).to(dtype), method, [str(index) for index in range(len(net))])


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 3}, {"relevance": "logit"}, {"seed": 7}, {"as_tensor": True}, {"batch_size": 1, "relevance": "logit"}],
    ids=str,
)
@pytest.mark.parametrize("method", ["gradient", "guided_backprop", "lrp_gamma_0_25", "lrpsign_epsilon_0_25_std_x", *OF_MANY_GRADIENTS])
def test_each_layer_has_what_it_has_alone_with_every_option(method, options):
    net = randomized(Residual(norm=False))
    assert_each_is_as_alone(net, inputs("cnn2d"), method, ["fc", "conv1", "act[0]", "conv2"], **options)


class Twice(nn.Module):
    """Writes in place, flattens, and executes a module twice, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.flat, self.fc = conv(), nn.ReLU(), nn.Flatten(), nn.Linear(256, CLASSES)
        self.same = self.relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(F.relu_(self.conv(x)) - 0.1)
        return self.fc(self.flat(self.same(x - 0.2)))


AT = ["conv", "relu[0]", "same[1]", "flat", "fc"]


@pytest.mark.parametrize("method", METHODS)
def test_writes_in_place_and_modules_executed_twice_do_not_matter(method):
    assert_each_is_as_alone(randomized(Twice()), inputs("cnn2d"), method, AT)


@pytest.mark.parametrize("method", ["gradient", "lrp_z"])
def test_a_user_may_write_to_what_one_layer_has(method):
    net, x = randomized(Twice()), inputs("cnn2d")
    maps = explain(net, x, method, 1, at=[*AT, "same[0]"])
    before = {name: values.copy() for name, values in maps.items()}
    for name, values in maps.items():
        assert np.array_equal(values, before[name])
        values[:] = 0


@pytest.mark.parametrize("method", ["gradient", "guided_backprop", "lrp_z"])
def test_all_layers_take_one_forward_and_one_backward_pass(method):
    net, passes = Counting(network("cnn2d")), []
    handle = net.net[7].register_full_backward_pre_hook(lambda *_: passes.append(1))
    explain(net, inputs("cnn2d"), method, 1, at=["net.0", "net.1", "net.3"])
    handle.remove()
    assert (len(net.calls), len(passes)) == (1, 1)


class Doubled(Analyzer):
    """A user's method of two backward passes, whose results it writes to."""

    is_one_backward_pass = True

    def attribute(self, batch):
        with_itself = batch.gradient().mul_(batch.gradient())
        return with_itself.add_(1.0)


def test_a_method_of_a_users_own_is_asked_for_each_layer():
    net, x = network("cnn2d"), inputs("cnn2d")
    maps = Doubled(net, at=["0", "5"]).analyze(x, 1)
    gradients = explain(net, x, "gradient", 1, at=["0", "5"])
    for name in ("0", "5"):
        np.testing.assert_array_equal(maps[name], gradients[name] ** 2 + 1)


class Wider(GradientAnalyzer):
    """A user's method that builds on one that knows layers."""

    def attribute(self, batch):
        return super().attribute(batch) * 3


def test_what_a_subclass_changes_counts_at_layers_too():
    net, x = network("cnn2d"), inputs("cnn2d")
    maps, gradients = Wider(net, at=["0", "5"]).analyze(x, 1), explain(net, x, "gradient", 1, at=["0", "5"])
    for name in ("0", "5"):
        np.testing.assert_array_equal(maps[name], gradients[name] * 3)


def test_a_zennit_composite_explains_several_layers():
    net, x = network("cnn2d"), inputs("cnn2d")
    composite = zennit.composites.EpsilonPlus()
    together = AdvancedLRPAnalyzer(net, "custom", composite=composite, at=["1", "4"]).analyze(x, 1)
    for name in ("1", "4"):
        np.testing.assert_array_equal(together[name], AdvancedLRPAnalyzer(net, "custom", composite=composite, at=name).analyze(x, 1))


# What counts as a layer


@pytest.mark.parametrize("method", ["gradient", "lrp_gamma_0_25", *OF_MANY_GRADIENTS])
def test_a_module_is_asked_for_by_itself(method):
    net, x = randomized(Residual(norm=False)), inputs("cnn2d")
    named = explain(net, x, method, 1, at=["conv1", "fc"])
    np.testing.assert_array_equal(explain(net, x, method, 1, at=net.conv1), named["conv1"])
    maps = explain(net, x, method, 1, at=(net.fc, "conv1"))
    assert list(maps) == ["fc", "conv1"]
    for name, values in maps.items():
        np.testing.assert_array_equal(values, named[name])


def test_a_list_of_one_gives_a_dict_of_one():
    net, x = network("mlp"), inputs("mlp")
    assert explain(net, x, "lrp_z", 1, at=["1"]).keys() == explain(net, x, "lrp_z", 1, at=[net[1]]).keys() == {"1"}


def test_a_module_of_a_data_parallel_model_is_named_as_in_the_model_inside():
    net, x = network("cnn2d"), inputs("cnn2d")
    assert list(explain(nn.DataParallel(net), x, "lrp_z", 1, at=[net[2]])) == ["2"]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ([], "list of at least one"),
        ((), "list of at least one"),
        ({"0"}, "a list"),
        (["0", 3], "a list"),
        (["0", "features"], r"no module 'features'.*0, 1, 2"),
        (["0", "0"], "'0' is given twice"),
        (nn.ReLU(), r"not a module of this model.*0, 1, 2"),
        (["0", nn.ReLU()], r"not a module of this model.*0, 1, 2"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["lrp_z", "integrated_gradients", "smoothgrad"])
def test_what_is_no_layer_is_refused(method, at, words):
    with pytest.raises(OptionError, match=words):
        explain(network("cnn2d"), inputs("cnn2d"), method, 1, at=at)


def test_a_name_and_its_module_are_one_layer_given_twice():
    net = network("cnn2d")
    with pytest.raises(OptionError, match="'0' is given twice"):
        explain(net, inputs("cnn2d"), "lrp_z", 1, at=["0", net[0]])


def test_the_layer_at_which_nothing_arrives_is_named():
    net = randomized(Residual())
    with pytest.raises(ModelError, match=r"'conv1'.*batch norm"):
        explain(net, inputs("cnn2d"), "lrp_z", 1, at=["bn1", "conv1", "fc"])


# Every entry


def test_every_entry_gives_the_same_dict():
    net, x = network("cnn2d"), inputs("cnn2d")
    expected = explain(net, x, "lrp_z", 1, at=["0", "4"])
    stacked = calculate_relevancemaps("lrp_z", x, net, 1, at=["0", "4"], relevance="one_hot")
    by_sample = calculate_relevancemap("lrp_z", x[0], net, 1, at=["0", "4"], relevance="one_hot")
    whole = calculate_relevancemap("lrp_z", x, net, 1, batchmode=True, at=["0", "4"], relevance="one_hot")
    all_of_them = explain_all(net, x, ["input_t_gradient", "lrp_z", "gradient"], 1, at=["0", "4"])
    assert all_of_them["input_t_gradient"].shape == x.shape
    analyzed = LRPAnalyzer(net, epsilon=0.0, at=["0", "4"]).analyze(x, 1)
    for name in ("0", "4"):
        for maps in (whole, all_of_them["lrp_z"], analyzed):
            np.testing.assert_array_equal(maps[name], expected[name])
        np.testing.assert_array_equal(all_of_them["gradient"][name], explain(net, x, "gradient", 1, at=name))
        np.testing.assert_allclose(stacked[name], expected[name], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(by_sample[name], expected[name][0], rtol=1e-12, atol=1e-15)


def test_methods_that_share_the_gradient_share_it_at_each_layer():
    net = Counting(network("cnn2d"))
    maps = explain_all(net, inputs("cnn2d"), ["gradient", "gradient_MNISTCNN"], 1, at=["net.0", "net.4"])
    assert len(net.calls) == 1
    for name in ("net.0", "net.4"):
        np.testing.assert_array_equal(maps["gradient"][name], maps["gradient_MNISTCNN"][name])


def test_tensors_are_given_on_demand():
    maps = explain(network("cnn2d"), inputs("cnn2d"), "lrp_z", 1, at=["0", "4"], as_tensor=True)
    assert all(isinstance(values, Tensor) and not values.requires_grad for values in maps.values())


def test_the_model_comes_back_untouched():
    net = network("cnn2d")
    before = {name: dict(vars(module)) for name, module in net.named_modules()}
    for method in ("lrp_z", *OF_MANY_GRADIENTS):
        explain(net, inputs("cnn2d"), method, 1, at=["0", "4"])
        with pytest.raises(OptionError):
            explain(net, inputs("cnn2d"), method, 1, at=["0", "nowhere"])
    assert {name: dict(vars(module)) for name, module in net.named_modules()} == before
    assert not any(module._forward_hooks for module in net.modules())


# Methods of many gradients


def smooth(gated: bool = False) -> nn.Sequential:
    act = nn.SiLU if gated else nn.Tanh
    return randomized(nn.Sequential(conv(3, 4), act(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 10), act(), nn.Linear(10, CLASSES)))


def integrated_by_hand(rest, a: Tensor, b: Tensor, target: int, steps: int) -> np.ndarray:
    """The trapezoidal rule, a point after the other."""
    total = torch.zeros_like(a)
    for k in range(steps):
        point = (b + k / (steps - 1) * (a - b)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(rest(point)[:, target].sum(), point)
        total += gradient * (0.5 if k in (0, steps - 1) else 1.0) / (steps - 1)
    return ((a - b) * total).numpy()


@pytest.mark.parametrize("batch_size", [None, 3, 40])
@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("baseline", [None, 0.3, "batch"])
def test_integrated_gradients_at_a_layer_are_the_integral_along_its_outputs(index, baseline, batch_size):
    net, x = smooth(), inputs("cnn2d")
    baseline = inputs("cnn2d", seed=5) if baseline == "batch" else baseline
    b = torch.zeros_like(x) if baseline is None else baseline * torch.ones_like(x)
    with torch.no_grad():
        ends = net[: index + 1](x), net[: index + 1](b)
    expected = integrated_by_hand(net[index + 1 :], *ends, target=2, steps=9)
    got = explain(net, x, "integrated_gradients_steps_9", 2, at=str(index), baseline=baseline, batch_size=batch_size)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("index", range(6))
def test_integrated_gradients_at_a_layer_sum_to_the_change_of_the_logit(index):
    net, x = smooth(gated=True), inputs("cnn2d")
    with torch.no_grad():
        change = (net(x) - net(torch.full_like(x, 0.1)))[:, 1].numpy()
    r = explain(net, x, "integrated_gradients_steps_1000", 1, at=str(index), baseline=0.1)
    np.testing.assert_allclose(r.reshape(4, -1).sum(1), change, rtol=1e-4)


class Around(nn.Module):
    """A connection goes around the layer, which is executed twice, behind what writes in place and in front of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(12, 6), nn.Linear(6, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        a = self.inner(h)
        a.mul_(2.0)
        return self.last(torch.tanh(self.inner(torch.tanh(a + h)) * h))


@pytest.mark.parametrize("execution", [0, 1])
@pytest.mark.parametrize("kind", ["tensor", "tuple", "list", "named"])
def test_what_goes_around_the_layer_is_that_of_the_sample_as_captum_has_it(kind, execution):
    from captum.attr import LayerIntegratedGradients

    net, x = randomized(Around()), inputs("linear")
    if execution == 0 and kind == "tensor":
        # captum puts the same values into each execution: a twin that has two modules
        twin = randomized(Around())
        twin.other = nn.Linear(6, 6).double()
        twin.other.load_state_dict(net.inner.state_dict())
        twin.forward = lambda x: twin.last(torch.tanh(twin.other(torch.tanh(2 * twin.inner(h := torch.tanh(twin.first(x))) + h)) * h))
        twin.load_state_dict({**net.state_dict(), **{f"other.{k}": v for k, v in net.inner.state_dict().items()}})
        expected = LayerIntegratedGradients(twin, twin.inner).attribute(x, torch.zeros_like(x), target=1, n_steps=60)
        got = explain(net, x, "integrated_gradients_steps_3000", 1, at="inner[0]")
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-4, atol=1e-7)
    wrapped = _returning(net, kind)
    plain = explain(net, x, "integrated_gradients_steps_7", 1, at=f"inner[{execution}]")
    np.testing.assert_array_equal(explain(wrapped, x, "integrated_gradients_steps_7", 1, at=f"inner[{execution}]"), plain)
    h = torch.tanh(net.first(x)).detach()
    with torch.no_grad():
        a, b = (net.inner(torch.tanh(net.first(value))) for value in (x, torch.zeros_like(x)))
        if execution == 1:
            a, b = net.inner(torch.tanh(2 * a + h)), net.inner(torch.tanh(2 * b + torch.tanh(net.first(torch.zeros_like(x)))))
    rest = (lambda t: net.last(torch.tanh(t * h))) if execution else (lambda t: net.last(torch.tanh(net.inner(torch.tanh(2 * t + h)) * h)))
    np.testing.assert_allclose(plain, integrated_by_hand(rest, a, b, 1, 7), rtol=1e-10, atol=1e-14)


class _Returning(nn.Module):
    """A layer that returns more than its output."""

    def __init__(self, inner: nn.Module, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, x: Tensor):
        y = self.inner(x)
        return {"tuple": (None, y, x), "list": [y, x], "named": torch.return_types.max((y, x.argmax(1))), "dict": {"y": y}}[self.kind]


def _returning(net: Around, kind: str) -> nn.Module:
    if kind == "tensor":
        return net
    twin = randomized(Around())
    twin.load_state_dict(net.state_dict())
    twin.inner = _Returning(twin.inner, kind)
    place = 1 if kind == "tuple" else 0

    def forward(x: Tensor) -> Tensor:
        h = torch.tanh(twin.first(x))
        a = twin.inner(h)[place] * 2.0
        return twin.last(torch.tanh(twin.inner(torch.tanh(a + h))[place] * h))

    twin.forward = forward
    return twin


class Tokens(nn.Module):
    """Has its samples on the second axis in between, or not on the first alone."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner, self.fc = kind, nn.Linear(5, 5), nn.Linear(20, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        n, x = len(x), x.transpose(0, 1) if self.kind == "time first" else x.flatten(0, 1)
        x = torch.tanh(self.inner(x if self.kind != "squeezed" or n > 1 else x[:, None])).view(*x.shape)
        x = x.transpose(0, 1) if self.kind == "time first" else x.unflatten(0, (-1, 4))
        return self.fc(x.flatten(1))


@pytest.mark.parametrize("method", OF_MANY_GRADIENTS)
@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_a_layer_whose_samples_are_not_on_its_first_axis_is_refused_by_methods_of_many_gradients(method, batch_size):
    for n in (1, 3, 4):
        with pytest.raises(ModelError, match=r"'inner'.*one row for each sample"):
            explain(randomized(Tokens("time first")), inputs("mlp", n), method, 1, at="inner", batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("method", ["gradient", "lrp_z", "lrp_epsilon_0_25_std_x"])
def test_batches_are_put_together_along_the_axis_of_the_samples(method, batch_size):
    net, x = randomized(Tokens("time first")), inputs("mlp")
    whole = explain(net, x, method, [0, 1, 2, 3], at=["inner", "fc"])
    parts = explain(net, x, method, [0, 1, 2, 3], at=["inner", "fc"], batch_size=batch_size)
    for name, relevance in whole.items():
        np.testing.assert_allclose(parts[name], relevance, rtol=1e-10, atol=1e-14)
    with pytest.raises(ModelError, match=r"'inner'.*not one row for each sample.*leave batch_size= out"):
        explain(randomized(Tokens("rows")), x, method, 1, at="inner", batch_size=batch_size)
    with pytest.raises(ModelError, match=r"'inner'.*shape \(4, 1, 5\) for one sample and \(8, 5\) for two.*leave batch_size= out"):
        explain(randomized(Tokens("squeezed")), x, method, 1, at="inner", batch_size=1)


@pytest.mark.parametrize("batch_size", [None, 3, 7])
def test_a_layer_may_have_several_rows_for_each_sample(batch_size):
    net, x = randomized(Tokens("rows")), inputs("mlp")
    with torch.no_grad():
        a, b = net.inner(x.flatten(0, 1)), net.inner(torch.zeros_like(x).flatten(0, 1))

    def rest(a: Tensor) -> Tensor:
        return net.fc(torch.tanh(a).view(-1, 20))

    got = explain(net, x, "integrated_gradients_steps_7", 1, at="inner", batch_size=batch_size)
    np.testing.assert_allclose(got, integrated_by_hand(rest, a, b, 1, 7), rtol=1e-10, atol=1e-14)
    smoothed = explain(net, x, "smoothgrad_samples_7", 1, at="inner", batch_size=batch_size)
    by_sample = np.concatenate([explain(net, x[i : i + 1], "smoothgrad_samples_7", 1, at="inner") for i in range(4)])
    np.testing.assert_allclose(smoothed, by_sample, rtol=1e-10, atol=1e-14)


def test_integrated_gradients_do_not_put_values_into_a_dict():
    class Wrapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.fc = _Returning(nn.Linear(12, 6), "dict"), nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(F.relu(self.inner(x)["y"]))

    with pytest.raises(ModelError, match=r"dict.*choose a module within it"):
        explain(randomized(Wrapping()), inputs("linear"), "integrated_gradients", 1, at="inner")
    assert explain(randomized(Wrapping()), inputs("linear"), "smoothgrad", 1, at="inner").shape == (4, 6)


def noisy_gradients(net: nn.Sequential, x: Tensor, index: int, target: int, samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    sigma = 0.2 * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    gradients = []
    for _ in range(samples):
        a = net[: index + 1](x + sigma * torch.randn(x.shape[1:], generator=generator)).detach().requires_grad_(True)
        gradients.append(torch.autograd.grad(net[index + 1 :](a)[:, target].sum(), a)[0])
    return torch.stack(gradients)


@pytest.mark.parametrize("batch_size", [None, 3, 9])
@pytest.mark.parametrize("index", range(6))
def test_smoothed_gradients_at_a_layer_are_those_at_noisy_copies_of_the_input(index, batch_size):
    net, x = smooth(), inputs("cnn2d")
    gradients = noisy_gradients(net, x, index, 2, samples=6)
    got = explain(net, x, "smoothgrad_samples_6", 2, at=str(index), batch_size=batch_size)
    np.testing.assert_allclose(got, gradients.mean(0), rtol=1e-6, atol=1e-9)  # the noise is drawn in float32
    got = explain(net, x, "vargrad_samples_6", 2, at=str(index), batch_size=batch_size)
    np.testing.assert_allclose(got, gradients.var(0, unbiased=False), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("method", OF_MANY_GRADIENTS)
@pytest.mark.parametrize("relevance", ["one_hot", "logit"])
def test_a_score_of_the_outputs_is_followed_from_a_layer(method, relevance):
    net, x = smooth(), inputs("cnn2d")
    scores = explain(net, x, method, lambda output: output[:, 1] - output[:, 0], at="4", relevance=relevance)
    if relevance == "one_hot" and method != "vargrad_samples_4":
        np.testing.assert_allclose(scores, explain(net, x, method, 1, at="4") - explain(net, x, method, 0, at="4"), rtol=1e-9, atol=1e-12)
    logit = explain(net, x, method, lambda output: output[:, 1] - output[:, 0], at="4", relevance=relevance, batch_size=2)
    np.testing.assert_allclose(scores, logit, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", OF_MANY_GRADIENTS)
def test_a_user_s_subclass_does_not_take_layers_unless_it_says_so(method):
    from signxai.methods.repeated import IntegratedGradientsAnalyzer

    class Squared(IntegratedGradientsAnalyzer):
        def attribute(self, batch):
            return super().attribute(batch) ** 2

    with pytest.raises(OptionError, match="Squared has no relevance at a layer"):
        Squared(network("cnn2d"), at="0")
    assert "at" not in Squared.options()


@pytest.mark.parametrize("method", ["grad_cam", "guided_grad_cam", "random_uniform", "input_t_gradient"])
def test_other_methods_have_no_relevance_at_layers(method):
    with pytest.raises(OptionError, match="'at' is not an option"):
        explain(network("cnn2d"), inputs("cnn2d"), method, 1, at=["0"])
