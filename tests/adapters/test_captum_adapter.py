"""Every method as an attribution of Captum's, and the classes that take the place of Captum's own."""

import copy
import importlib.util
import pickle
import sys
import warnings
from functools import partial

import pytest
import torch
from captum import attr
from captum.attr import NoiseTunnel
from captum.metrics import infidelity, sensitivity_max
from torch import nn

from signxai import explain
from signxai.adapters import captum as adapter
from signxai.adapters.captum import SignxaiAttribution
from signxai.common import InputError, MethodNameError, MissingPackageError, ModelError, OptionError, TargetError
from signxai.targets import contrast
from untouched import assert_untouched, state

METHODS = [
    "gradient",
    "gradient_x_sign_mu_0_3",
    "integrated_gradients_steps_7",
    "smoothgrad_noise_0_3_samples_5_x_input",
    "vargrad_samples_5",
    "guided_backprop",
    "deconvnet",
    "grad_cam",
    "lrp_z",
    "lrpsign_epsilon_0_25_std_x",
    "zblrp_sequential_composite_a",
    "deep_taylor",
    "random_uniform",
]


class TwoInputs(nn.Module):
    """Two inputs, a row of weights for each sample, and a switch."""

    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))
        self.values = nn.Linear(5, 4)

    def forward(self, image, values, weights=None, is_squared=False):
        logits = self.image(image).relu() + self.values(values)
        logits = logits if weights is None else logits * weights
        return logits**2 if is_squared else logits


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 4)).double().eval()


@pytest.fixture(scope="module")
def two():
    torch.manual_seed(2)
    model = TwoInputs().double().eval()
    model.image[3].bias.data += 1
    return model


@pytest.fixture
def x():
    return torch.randn(3, 2, 4, 4).double()


@pytest.fixture
def pair():
    return torch.randn(3, 1, 4, 4).double(), torch.randn(3, 5).double()


def grouped(net, x):
    """The same with another axis at the end: (N, 2, 2)."""
    return net(x).unflatten(1, (2, 2))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_gives_what_explain_gives(net, x, name):
    attribution = SignxaiAttribution(net, name)
    assert isinstance(attribution, attr.Attribution)
    assert torch.equal(attribution.attribute(x, target=2), explain(net, x, name, 2, as_tensor=True))


@pytest.mark.parametrize("name", ["gradient_x_sign", "integrated_gradients_steps_5", "lrp_epsilon_0_25", "random_uniform"])
def test_of_several_inputs_each_has_its_map(two, pair, name):
    maps = SignxaiAttribution(two, name).attribute(pair, target=1)
    expected = explain(two, pair, name, 1, as_tensor=True)
    assert isinstance(maps, tuple)
    assert all(torch.equal(one, other) for one, other in zip(maps, expected, strict=True))


@pytest.mark.parametrize(
    ("target", "same"),
    [
        (torch.tensor(3), 3),
        (torch.tensor([3]), 3),
        (torch.tensor([0, 3, 1]), [0, 3, 1]),
        ([0, 3, 1], [0, 3, 1]),
        (contrast(0, 2), contrast(0, 2)),
    ],
)
def test_targets_of_classes(net, x, target, same):
    assert torch.equal(SignxaiAttribution(net, "lrp_z").attribute(x, target), explain(net, x, "lrp_z", same, as_tensor=True))


@pytest.mark.parametrize(("target", "classes"), [((1, 0), [2, 2, 2]), ([(0, 1), (1, 1), (0, 0)], [1, 3, 0])])
def test_targets_of_outputs_with_more_axes(net, x, target, classes):
    maps = SignxaiAttribution(partial(grouped, net), "lrp_z").attribute(x, target)
    torch.testing.assert_close(maps, explain(net, x, "lrp_z", classes, as_tensor=True), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_an_output_of_one_value_needs_no_target(net, x, shape):
    maps = SignxaiAttribution(lambda x: net(x)[:, 1].reshape(len(x), *shape), "lrp_z").attribute(x)
    torch.testing.assert_close(maps, explain(net, x, "lrp_z", 1, as_tensor=True), rtol=1e-12, atol=1e-12)


def test_without_a_target_nothing_is_guessed(net, x):
    with pytest.raises(TargetError, match=r"\(3, 4\): say by target="):
        SignxaiAttribution(net, "gradient").attribute(x)


@pytest.mark.parametrize("target", [4, -1, (1, 1), (0, 1, 2), [0, 1], torch.tensor(1.0)])
def test_a_wrong_target_is_an_error_and_leaves_the_model_as_it_was(net, x, target):
    before = state(net)
    for cls in (partial(SignxaiAttribution, method_name="lrp_z"), adapter.GuidedBackprop):
        with pytest.raises(TargetError):
            cls(net).attribute(x, target=target)
    assert_untouched(net, before)


class TestForwardFunctions:
    @pytest.mark.parametrize("name", ["gradient", "lrpsign_epsilon_0_25_std_x", "guided_backprop", "grad_cam", "smoothgrad_samples_3"])
    def test_a_function_is_explained_as_the_module_that_it_calls(self, net, x, name):
        expected = explain(net, x, name, 2, as_tensor=True)
        for function in (net.forward, lambda x: net(x), partial(nn.Sequential.forward, net)):
            torch.testing.assert_close(SignxaiAttribution(function, name).attribute(x, 2), expected, rtol=1e-12, atol=1e-12)

    def test_another_method_of_a_module_runs_on_what_is_borrowed(self):
        """In evaluation mode, so that dropout draws nothing."""

        class Scored(nn.Sequential):
            def score(self, x):
                return -self(x)

        model = Scored(nn.Dropout(0.5), nn.Linear(3, 2)).train()
        maps = SignxaiAttribution(model.score, "gradient").attribute(torch.ones(2, 3), 1)
        assert torch.equal(maps, -model[1].weight[1].detach().expand(2, 3))
        assert model.training

    def test_a_layer_has_its_name_where_the_function_is_of_a_module(self, net, x):
        expected = explain(net, x, "grad_cam", 2, layer="0", as_tensor=True)
        for function in (net, net.forward):
            assert torch.equal(SignxaiAttribution(function, "grad_cam", layer="0").attribute(x, 2), expected)
            assert torch.equal(SignxaiAttribution(function, "grad_cam", layer=net[0]).attribute(x, 2), expected)

    def test_a_function_s_layers_have_no_names(self, net, x):
        with pytest.raises(OptionError, match="has no module '0'"):
            SignxaiAttribution(lambda x: net(x), "grad_cam", layer="0").attribute(x, 2)

    def test_what_is_no_function_is_refused(self):
        with pytest.raises(ModelError, match=r"forward_func is int; give a torch\.nn\.Module"):
            SignxaiAttribution(3, "gradient")

    def test_torchscript_is_refused_also_in_place_of_captum_s_classes(self, net, x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # later versions of torch deprecate it
            traced = torch.jit.trace(net, x)
        for attribution in (partial(SignxaiAttribution, method_name="gradient"), adapter.Saliency):
            with pytest.raises(ModelError, match="TorchScript"):
                attribution(traced)


class TestFurtherArguments:
    @pytest.mark.parametrize("name", ["lrp_epsilon_0_25", "integrated_gradients_steps_5"])
    def test_tensors_go_with_their_samples_and_the_rest_is_passed_whole(self, two, pair, name):
        weights = torch.rand(3, 4).double() + 0.5
        maps = SignxaiAttribution(two, name, batch_size=2).attribute(pair, [0, 1, 2], (weights, True))
        expected = explain(two, pair, name, [0, 1, 2], as_tensor=True, forward_kwargs={"weights": weights, "is_squared": True})
        for one, other in zip(maps, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)

    def test_a_tensor_without_a_row_for_each_sample_is_passed_whole(self, two, pair):
        weights = torch.rand(4).double()
        maps = SignxaiAttribution(two, "gradient").attribute(pair, 1, weights)
        torch.testing.assert_close(maps[1], two.values.weight[1].expand(3, 5) * weights[1], rtol=1e-12, atol=1e-12)

    def test_a_value_that_is_no_tensor_needs_no_tuple(self, net, x):
        maps = SignxaiAttribution(lambda x, factor: factor * net(x), "gradient").attribute(x, 2, 3.0)
        torch.testing.assert_close(maps, 3 * explain(net, x, "gradient", 2, as_tensor=True), rtol=1e-12, atol=1e-12)


class TestBaselines:
    @pytest.mark.parametrize("baselines", [0.5, torch.full((1, 2, 4, 4), 0.5), torch.full((3, 2, 4, 4), 0.5)])
    def test_of_one_input(self, net, x, baselines):
        maps = SignxaiAttribution(net, "integrated_gradients").attribute(x, 2, baselines=baselines)
        expected = explain(net, x, "integrated_gradients", 2, baseline=0.5, as_tensor=True)
        torch.testing.assert_close(maps, expected, rtol=1e-12, atol=1e-12)

    def test_of_each_of_several_inputs_beside_further_arguments(self, two, pair):
        weights = torch.ones(3, 4).double()
        baselines = (0.5, torch.full((1, 5), -0.25))
        maps = SignxaiAttribution(two, "integrated_gradients").attribute(pair, 1, weights, baselines=baselines)
        expected = explain(two, pair, "integrated_gradients", 1, baseline=baselines, as_tensor=True)
        for one, other in zip(maps, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)

    def test_wrong_ones_are_errors(self, net, x, two, pair):
        with pytest.raises(OptionError, match="baselines= has 1 items for 2 inputs"):
            SignxaiAttribution(two, "integrated_gradients").attribute(pair, 1, baselines=0.5)
        with pytest.raises(OptionError, match="a baseline is given twice"):
            SignxaiAttribution(net, "integrated_gradients", baseline=0.1).attribute(x, 1, baselines=0.5)
        with pytest.raises(OptionError, match="baseline"):
            SignxaiAttribution(net, "gradient").attribute(x, 1, baselines=0.5)


class TestErrors:
    def test_names_and_options_are_read_at_once(self, net):
        with pytest.raises(MethodNameError, match="banana"):
            SignxaiAttribution(net, "banana")
        with pytest.raises(OptionError, match="epsilon"):
            SignxaiAttribution(net, "gradient", epsilon=0.1)

    @pytest.mark.parametrize("name", ["as_tensor", "at", "create_graph", "explained", "forward_kwargs"])
    def test_options_that_captum_s_calls_take_the_place_of(self, net, name):
        with pytest.raises(OptionError, match=f"{name}= is no option here"):
            SignxaiAttribution(net, "gradient", **{name: None})

    @pytest.mark.parametrize(
        ("inputs", "came"),
        [
            ((), "tuple"),
            ([1.0], "list"),
            ((torch.ones(1, 2), 3), "int"),
            (torch.tensor(1.0), "without a batch axis"),
            ((torch.ones(1, 2), torch.ones(1, 2).bool()), "booleans, .* additional_forward_args"),
        ],
    )
    def test_inputs_are_tensors(self, net, inputs, came):
        with pytest.raises(InputError, match=came):
            SignxaiAttribution(net, "gradient").attribute(inputs, 0)

    def test_there_are_no_futures(self, net):
        with pytest.raises(NotImplementedError, match="SignxaiAttribution has no attribute_future"):
            SignxaiAttribution(net, "gradient").attribute_future()

    def test_without_captum_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "captum.attr", None)
        spec = importlib.util.spec_from_file_location("without_captum", adapter.__file__)
        with pytest.raises(
            MissingPackageError, match=r"needs the package captum, which is missing: pip install \"signxai\[captum\]\""
        ) as found:
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        assert isinstance(found.value, ImportError)
        assert found.value.name == "captum"


def test_the_model_and_the_inputs_are_left_as_they_were(two, pair):
    two.train()
    two.values.weight.requires_grad_(False)
    two.values.bias.grad = torch.ones(4).double()
    pair[0].requires_grad_()
    pair[0].grad = torch.ones_like(pair[0])
    before = state(two)
    for name in ("lrp_z", "guided_backprop", "integrated_gradients"):
        SignxaiAttribution(two, name).attribute(pair, 1, (torch.ones(3, 4).double(), True))
    for cls in (adapter.Saliency, adapter.GuidedBackprop, adapter.IntegratedGradients):
        cls(two).attribute(pair, target=1)
    assert_untouched(two, before)
    assert [one.requires_grad for one in pair] == [True, False]
    assert torch.equal(pair[0].grad, torch.ones_like(pair[0]))
    two.values.weight.requires_grad_(True)
    two.values.bias.grad = None
    two.eval()


def test_types_are_those_of_the_inputs(net, x):
    for given in (x.float(), x.half()):
        assert SignxaiAttribution(net, "gradient").attribute(given, 2).dtype == given.dtype


def test_an_attribution_can_be_copied_and_pickled(net, x):
    attribution = SignxaiAttribution(net, "integrated_gradients", steps=3)
    expected = attribution.attribute(x, 2)
    for other in (copy.deepcopy(attribution), pickle.loads(pickle.dumps(attribution))):
        assert torch.equal(other.attribute(x, 2), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gradient", False), ("gradient_x_input", True), ("gradient_x_sign", False), ("lrp_z", True), ("integrated_gradients", True)],
)
def test_whether_a_map_is_of_contributions(net, name, expected):
    assert SignxaiAttribution(net, name).multiplies_by_inputs is expected


class TestCaptumsMetrics:
    def test_the_noise_tunnel_is_the_mean_over_noisy_copies(self, net, x):
        attribution = SignxaiAttribution(net, "lrpsign_epsilon_0_25_std_x")
        torch.manual_seed(5)
        maps = NoiseTunnel(attribution).attribute(x, nt_samples=4, stdevs=0.3, target=[0, 1, 2])
        torch.manual_seed(5)
        noisy = x.repeat_interleave(4, dim=0) + torch.normal(0, torch.tensor(0.3).expand(12, 2, 4, 4))
        each = explain(net, noisy, "lrpsign_epsilon_0_25_std_x", [0] * 4 + [1] * 4 + [2] * 4, as_tensor=True)
        torch.testing.assert_close(maps, each.view(3, 4, 2, 4, 4).mean(1), rtol=1e-12, atol=1e-12)

    def test_the_noise_tunnel_repeats_further_arguments_and_baselines(self, two, pair):
        weights = torch.rand(3, 4).double()
        tunnel = NoiseTunnel(SignxaiAttribution(two, "integrated_gradients_steps_3"))
        maps = tunnel.attribute(pair, nt_samples=2, stdevs=1e-12, target=1, additional_forward_args=weights, baselines=(0.5, 0.25))
        expected = explain(
            two, pair, "integrated_gradients_steps_3", 1, as_tensor=True, baseline=(0.5, 0.25), forward_kwargs={"weights": weights}
        )
        for one, other in zip(maps, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)

    def test_infidelity_is_the_mean_squared_difference(self, net, x):
        maps = SignxaiAttribution(net, "lrp_z", relevance="logit").attribute(x, 2)
        torch.manual_seed(3)
        change = torch.randn(3, 2, 4, 4).double() / 10
        expected = ((change * maps).flatten(1).sum(1) - (net(x) - net(x - change))[:, 2]) ** 2
        found = infidelity(net, lambda x: (change, x - change), x, maps, target=2, n_perturb_samples=1)
        torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("most", [None, 3])
    def test_sensitivity_max_is_the_largest_change_of_the_map(self, net, x, most):
        attribution = SignxaiAttribution(net, "lrp_epsilon_0_25")
        found = sensitivity_max(
            attribution.attribute, x, lambda x: x + 0.1, n_perturb_samples=2, max_examples_per_batch=most, target=[0, 1, 2]
        )
        before, after = (explain(net, one, "lrp_epsilon_0_25", [0, 1, 2], as_tensor=True) for one in (x, x + 0.1))
        expected = (after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


ENDS = {
    "logits": lambda x: x,
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
    "sigmoid": lambda x: x.sigmoid(),
    "by_hand": lambda x: x.exp() / x.exp().sum(1, keepdim=True),
}


class TestInPlaceOfCaptums:
    """In float64, on networks with softmax, sigmoid and none, as modules and written by hand."""

    @staticmethod
    def theirs(cls, model, *args, **kwargs):
        """Captum's own map; it warns of what it changes for the time being."""
        with pytest.warns(UserWarning, match="require gradients|backward hooks"):
            return getattr(attr, cls)(model).attribute(*args, **kwargs)

    @pytest.mark.parametrize("end", ENDS)
    @pytest.mark.parametrize("cls", ["Saliency", "InputXGradient"])
    def test_of_the_output_as_it_is(self, net, x, cls, end):
        def function(x):
            return ENDS[end](net(x))

        ours = getattr(adapter, cls)(function).attribute(x, target=[0, 2, 3])
        torch.testing.assert_close(ours, self.theirs(cls, function, x, target=[0, 2, 3]), rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("cls", ["GuidedBackprop", "Deconvolution"])
    @pytest.mark.parametrize("end", [[], [nn.Softmax(1)]])
    def test_of_modules(self, net, x, cls, end):
        model = nn.Sequential(*net, *end)
        ours = getattr(adapter, cls)(model).attribute(x, target=torch.tensor([0, 2, 3]))
        torch.testing.assert_close(ours, self.theirs(cls, model, x, target=torch.tensor([0, 2, 3])), rtol=1e-12, atol=1e-12)

    def test_of_several_inputs_and_further_arguments(self, two, pair):
        further = (torch.rand(3, 4).double(), True)
        ours = adapter.Saliency(two).attribute(pair, 1, False, further)
        for one, other in zip(ours, self.theirs("Saliency", two, pair, 1, False, further), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("method", ["gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"])
    @pytest.mark.parametrize(("multiplies", "most"), [(True, None), (False, 4)])
    def test_integrated_gradients_by_each_rule(self, net, x, method, multiplies, most):
        """Captum rounds the weights to float32."""
        function = lambda x: net(x).softmax(1)  # noqa: E731
        arguments = {"baselines": 0.25, "target": [0, 2, 3], "n_steps": 6, "method": method}
        ours, delta = adapter.IntegratedGradients(function, multiplies).attribute(
            x, internal_batch_size=most, return_convergence_delta=True, **arguments
        )
        theirs, their_delta = attr.IntegratedGradients(function, multiplies).attribute(x, return_convergence_delta=True, **arguments)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(delta, their_delta, rtol=1e-5, atol=1e-7)

    def test_no_more_points_run_at_once_than_is_asked_for(self, net, x):
        rows = []

        def function(x):
            rows.append(len(x))
            return net(x)

        adapter.IntegratedGradients(function).attribute(x, target=1, n_steps=10, internal_batch_size=4)
        assert max(rows) <= 4

    def test_gauss_and_legendre_integrate_polynomials_exactly(self):
        """n points do those of degree 2n - 1: the gradient of x**6 with three points."""
        x = torch.tensor([[0.5, -2.0]]).double()
        for steps, is_exact in ((2, False), (3, True)):
            maps = adapter.IntegratedGradients(lambda x: (x**6).sum(1)).attribute(x, n_steps=steps)
            assert torch.allclose(maps, x**6, rtol=1e-12, atol=0) is is_exact

    @pytest.mark.parametrize(
        ("arguments", "message"), [({"method": "simpson"}, "no rule"), ({"n_steps": 1, "method": "riemann_left"}, "2")]
    )
    def test_wrong_rules_are_errors(self, net, x, arguments, message):
        with pytest.raises(OptionError, match=message):
            adapter.IntegratedGradients(net).attribute(x, target=1, **arguments)

    def test_captum_knows_them_as_gradient_methods_with_their_properties(self, net):
        for cls, multiplies, has_delta in (
            ("Saliency", False, False),
            ("InputXGradient", True, False),
            ("GuidedBackprop", False, False),
            ("Deconvolution", False, False),
            ("IntegratedGradients", True, True),
        ):
            ours, theirs = getattr(adapter, cls)(net), getattr(attr, cls)(net)
            assert isinstance(ours, attr.GradientAttribution)
            assert ours.get_name() == theirs.get_name()
            assert (ours.multiplies_by_inputs, ours.has_convergence_delta()) == (multiplies, has_delta)
            assert (theirs.multiplies_by_inputs, theirs.has_convergence_delta()) == (multiplies, has_delta)

    def test_relus_count_however_they_are_written(self):
        """Captum's changes modules alone."""

        class Functional(nn.Sequential):
            def forward(self, x):
                return self[2](self[1](self[0](x)).relu())

        model = Functional(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)).double()
        as_modules = nn.Sequential(*model[:2], nn.ReLU(), model[2])
        x = torch.randn(2, 3).double()
        ours = adapter.GuidedBackprop(model).attribute(x, 1)
        torch.testing.assert_close(ours, self.theirs("GuidedBackprop", as_modules, x, 1), rtol=1e-12, atol=1e-12)

    def test_captum_s_lrp_is_another_formula_but_on_plain_networks(self):
        """There a batch norm is a layer of its own; here it is one with the layer before."""
        plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Conv2d(4, 1, 1)).double()
        with_norm = nn.Sequential(plain[0], nn.BatchNorm2d(3), *plain[1:]).double().eval()
        with_norm[1].running_mean += 0.5
        x = torch.randn(2, 2, 4, 4).double()
        for model, is_same in ((plain, True), (with_norm, False)):
            ours = SignxaiAttribution(model, "lrp_epsilon_0_000000001", relevance="logit").attribute(x, (0, 0, 0))
            theirs = self.theirs("LRP", model, x, target=(0, 0, 0))
            assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12) is is_same
