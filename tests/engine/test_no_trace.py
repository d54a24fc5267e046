"""The model is borrowed: after any call, also one that raises, nothing about it has changed."""

import collections
import contextlib
import copy
import dataclasses
import gc
import types

import numpy as np
import pytest
import torch
import zennit.composites
from torch import nn
from zennit.canonizers import SequentialMergeBatchNorm

from networks import CLASSES, SHAPES, Residual, inputs, network, randomized
from sentences import is_cam, one_of_each_form, options
from signxai import explain, list_methods
from signxai.common import ForwardError, SignxaiError
from signxai.engine.prediction import NoSoftmaxWrapper, remove_softmax
from signxai.torch_signxai import calculate_relevancemap
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer, GradCAMAnalyzer
from untouched import assert_untouched, state

# one name of each family: what differs in the others is a number
FAMILIES = ["gradient", "gradient_x_sign_mu_0_5", "integrated_gradients_steps_3", "smoothgrad_samples_3", "vargrad_samples_3",
            "guided_backprop", "deconvnet", "grad_cam", "guided_grad_cam", "random_uniform", "deep_taylor", "lrp_z",
            "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrpsign_epsilon_0_1", "zblrp_z", "w2lrp_zplus",
            "flatlrp_sequential_composite_a", "lrp_epsilon_gamma_box"]  # fmt: skip


def in_every_mode(model):
    """The model half in train mode, half frozen, with some gradients already there, and a hook of its owner's."""
    for i, module in enumerate(model.modules()):
        module.training = i % 2 == 0
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    for i, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(i % 2 == 0)
        if i % 3 == 0:
            parameter.grad = torch.ones_like(parameter)
    next(model.children()).register_forward_hook(lambda module, args, output: None)
    return model


@pytest.mark.parametrize("name", one_of_each_form(list_methods()))
@pytest.mark.parametrize("kind", ["cnn2d", "mlp"])
def test_every_method_leaves_the_model_as_it_was(kind, name):
    net, x = in_every_mode(network(kind)), inputs(kind)
    before = state(net)
    if is_cam(name) and kind == "mlp":
        with pytest.raises(SignxaiError):
            explain(net, x, name, 1)
    else:
        explain(net, x, name, 1, **options(name))
    assert_untouched(net, before)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_of_torchs_own_layers_stays_as_it_was(name):
    net = in_every_mode(network("cnn2d"))
    next(net.children())._forward_hooks.clear()
    before = state(net)
    explain(net, inputs("cnn2d"), name, 1, **options(name))
    with pytest.raises(SignxaiError):
        explain(net, inputs("cnn2d")[:, :1], name, 1, **options(name))
    assert_untouched(net, before)


def writes_to_buffers(module, *_):
    module[1].num_batches_tracked += 1
    module[1].note = "seen"


OTHER_CODE = {
    "a hook": lambda net: net.register_forward_hook(writes_to_buffers),
    "a hook in front": lambda net: net.register_forward_pre_hook(writes_to_buffers),
    "a forward of its own": lambda net: setattr(net[0], "forward", lambda x: (writes_to_buffers(net), type(net[0]).forward(net[0], x))[1]),
    "a layer's method replaced": lambda net: setattr(
        net[0], "_conv_forward", lambda *args: (writes_to_buffers(net), type(net[0])._conv_forward(net[0], *args))[1]
    ),
}


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_1", "integrated_gradients_steps_3"])
@pytest.mark.parametrize("change", OTHER_CODE)
def test_what_other_code_changes_in_torchs_own_layers_is_undone(change, name):
    net = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, CLASSES)))
    OTHER_CODE[change](net)
    explain(net, inputs("cnn2d"), name, 1)
    assert net[1].num_batches_tracked == 0
    assert not hasattr(net[1], "note")


def test_what_a_target_changes_is_undone():
    net = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, CLASSES)))
    explain(net, inputs("cnn2d"), "gradient", lambda output: (writes_to_buffers(net), output[:, 1])[1])
    assert net[1].num_batches_tracked == 0
    assert not hasattr(net[1], "note")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("relu", ["module", "inplace module", "F.relu inplace"])
@pytest.mark.parametrize("add", ["+", "+=", "module"])
def test_a_residual_network_stays_as_it_was(add, relu, name):
    net = in_every_mode(randomized(Residual(add, relu)))
    before = state(net)
    explain(net, inputs("cnn2d"), name, 1)
    assert_untouched(net, before)


def test_train_mode_is_explained_in_eval_mode_and_statistics_do_not_move():
    net, x = randomized(Residual()), inputs("cnn2d")
    expected = explain(net, x, "lrp_z", 1)
    net.train()
    np.testing.assert_array_equal(explain(net, x, "lrp_z", 1), expected)
    assert all(module.training for module in net.modules())


class Hoarder(nn.Module):
    """A network that keeps things on itself in forward: attributes, a buffer, a count, a list."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(144, CLASSES)
        self.register_buffer("calls", torch.zeros(()))
        self.features, self.seen, self.count = None, [], 0

    def forward(self, x):
        self.features = self.conv(x)
        self.late = self.features.relu()
        self.calls += 1
        self.calls.data += 1
        self.count += 1
        self.conv.stored = self.late
        return self.fc(self.late.flatten(1))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_module_stores_on_itself_in_forward_is_undone(name):
    net = randomized(Hoarder())
    net.calls = torch.zeros(())  # never written to before
    keys = [list(vars(module)) for module in net.modules()]
    explain(net, inputs("cnn2d"), name, 1)
    assert [list(vars(module)) for module in net.modules()] == keys
    assert net.features is None
    assert net.count == 0
    assert net.calls.item() == 0
    assert copy.deepcopy(net) is not None


class Graph(nn.Module):
    """A network with a sparse buffer, as graph networks have it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("adjacency", torch.eye(12, dtype=torch.float64).to_sparse())
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x):
        return self.fc(x.relu())


def test_a_sparse_buffer_stays():
    net = randomized(Graph())
    buffer, before = net.adjacency, net.adjacency.to_dense().clone()
    explain(net, torch.randn(2, 12), "lrp_z", 1)
    assert net.adjacency is buffer
    assert torch.equal(net.adjacency.to_dense(), before)


class Replaces(nn.Module):
    """A network whose forward puts another tensor in the place of a buffer and of a parameter."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, CLASSES)
        self.register_buffer("average", torch.zeros(CLASSES))

    def forward(self, x):
        self.average = 0.9 * self.average + 0.1 * torch.ones_like(self.average)
        self.fc.bias = nn.Parameter(self.fc.bias.detach() + 1)
        return self.fc(x)


@pytest.mark.parametrize("name", ["gradient", "smoothgrad_samples_3", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "random_uniform"])
def test_buffers_and_parameters_that_forward_replaces_come_back(name):
    net = randomized(Replaces())
    before = state(net)
    explain(net, inputs("linear"), name, 1)
    assert_untouched(net, before)


class Boom(RuntimeError):
    """The exception that tests inject."""


class BreaksBackward(torch.autograd.Function):
    """The identity, whose backward raises."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        raise Boom("in backward")


class Bomb(nn.Module):
    """The identity, or after ``fuse`` calls an exception, in forward or in backward."""

    def __init__(self, when, fuse=0):
        super().__init__()
        self.when, self.fuse = when, fuse

    def forward(self, x):
        if self.when == "forward":
            raise Boom("in forward")
        return BreaksBackward.apply(x)


def mined(kind, position, when):
    layers = list(network(kind))
    return in_every_mode(nn.Sequential(*layers[:position], Bomb(when), *layers[position:]))


POSITIONS = [(kind, position) for kind in ("cnn2d", "cnn1d", "mlp") for position in range(len(network(kind)) + 1)]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "random_uniform"])
@pytest.mark.parametrize(("kind", "position"), POSITIONS)
def test_the_model_comes_back_after_an_exception_in_forward_at_any_layer(kind, position, name):
    net = mined(kind, position, "forward")
    before = state(net)
    with pytest.raises(SignxaiError) as caught:
        explain(net, inputs(kind), name, 1)
    if not (is_cam(name) and kind == "mlp"):
        assert isinstance(caught.value, ForwardError)
        assert isinstance(caught.value.__cause__, Boom)
        assert "in forward" in str(caught.value)
    assert_untouched(net, before)


@pytest.mark.filterwarnings("ignore::signxai.engine.relevance.UnknownOperationWarning")  # of the bomb
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "random_uniform"])
@pytest.mark.parametrize(("kind", "position"), POSITIONS)
def test_the_model_comes_back_after_an_exception_in_backward_at_any_layer(kind, position, name):
    net = mined(kind, position, "backward")
    before = state(net)
    with contextlib.suppress(Boom, SignxaiError):  # a CAM's backward need not reach the bomb
        explain(net, inputs(kind), name, 1)
    assert_untouched(net, before)


@pytest.mark.filterwarnings("ignore::signxai.engine.relevance.UnknownOperationWarning")  # of the bomb
@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "guided_backprop", "integrated_gradients"])
def test_an_exception_in_backward_is_not_swallowed(name):
    with pytest.raises((Boom, SignxaiError)) as caught:
        explain(mined("cnn2d", 3, "backward"), inputs("cnn2d"), name, 1)
    assert isinstance(caught.value, Boom) or isinstance(caught.value.__cause__, Boom)


class TensorHookBomb(nn.Module):
    """Raises from a tensor hook in backward."""

    def forward(self, x):
        def explode(grad):
            raise Boom("in a tensor hook")

        if x.requires_grad:
            x.register_hook(explode)
        return x * 1.0


def test_the_model_comes_back_after_an_exception_in_a_tensor_hook():
    net = nn.Sequential(*list(network("cnn2d"))[:2], TensorHookBomb(), *list(network("cnn2d"))[2:])
    before = state(net)
    with pytest.raises((Boom, SignxaiError)):
        explain(net, inputs("cnn2d"), "gradient", 1)
    assert_untouched(net, before)


@pytest.mark.parametrize("when", [None, "forward", "backward"])
@pytest.mark.parametrize(
    "composite",
    [
        lambda: zennit.composites.EpsilonPlusFlat(canonizers=[SequentialMergeBatchNorm()]),
        lambda: zennit.composites.EpsilonGammaBox(-3.0, 3.0, canonizers=[SequentialMergeBatchNorm()]),
    ],
)
def test_a_custom_composite_with_canonizers_leaves_the_model_as_it_was(composite, when):
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()]
    net = randomized(nn.Sequential(*layers, *([Bomb(when)] if when else []), nn.Flatten(), nn.Linear(64, CLASSES)))
    before = state(net)
    analyzer = AdvancedLRPAnalyzer(net, rule_type="custom", composite=composite())
    if when:
        with pytest.raises((SignxaiError, Boom)):
            analyzer.analyze(inputs("cnn2d"), 1)
    else:
        analyzer.analyze(inputs("cnn2d"), 1)
    assert_untouched(net, before)


MISTAKES = [
    {"target_class": 4},
    {"target_class": 2.7},
    {"method_name": "lrp_banana_7"},
    {"method_name": "lrp_epsilon_0_1", "epsilon": 1.0},
    {"x": torch.full((1, 3, 8, 8), float("nan"))},
    {"x": torch.zeros(3, 8, 8)},
    {"x": torch.zeros(1, 5, 8, 8)},
    {"method_name": "grad_cam", "layer": "nowhere"},
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_model_comes_back_after_the_users_mistake(mistake):
    net = in_every_mode(network("cnn2d"))
    before = state(net)
    with pytest.raises(SignxaiError):
        explain(net, **{"x": inputs("cnn2d"), "method_name": "lrp_z", **mistake})
    assert_untouched(net, before)


@pytest.mark.parametrize("kind", SHAPES)
def test_other_doors_leave_the_model_as_it_was(kind):
    net, x = in_every_mode(nn.Sequential(network(kind), nn.Softmax(1))), inputs(kind)
    before = state(net)
    explain(net, x, "lrp_z", 1)
    calculate_relevancemap("lrp_z", x[0], net, neuron_selection=1)
    remove_softmax(net)(x)
    NoSoftmaxWrapper(net)(x)
    if kind.startswith("cnn"):
        GradCAMAnalyzer(net).analyze(x, 1)
    assert_untouched(net, before)


def test_the_model_still_trains_after_an_explanation():
    net, x = network("cnn2d"), inputs("cnn2d")
    net.train()
    for name in FAMILIES:
        explain(net, x, name, 1)
    net(x).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_explaining_inside_no_grad_and_inference_mode_works_and_leaves_the_mode_alone():
    net, x = network("cnn2d"), inputs("cnn2d")
    expected = explain(net, x, "lrpsign_epsilon_0_1", 1)
    with torch.no_grad():
        np.testing.assert_array_equal(explain(net, x, "lrpsign_epsilon_0_1", 1), expected)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        np.testing.assert_array_equal(explain(net, x.clone(), "lrpsign_epsilon_0_1", 1), expected)
        assert torch.is_inference_mode_enabled()


def test_a_model_explained_in_a_hook_of_its_own_keeps_the_hook_working():
    net, x, seen = network("cnn2d"), inputs("cnn2d"), []
    net[0].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    explain(net, x, "lrp_z", 1)
    net(x)
    assert len(seen) >= 1


@dataclasses.dataclass
class Record:
    """What a network may keep."""

    seen: list
    count: int = 0


class Scores(nn.Module):
    """A network that keeps things in containers in forward."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, CLASSES)
        self.log, self.cache, self.deep = ["first"], {"first": 1}, {"k": {"j": [], "t": ([],)}}
        self.names, self.last, self.raw = {"first"}, collections.deque(["first"], 3), bytearray(b"ab")
        self.ordered, self.by_name, self.counts = collections.OrderedDict(a=1), collections.defaultdict(list), collections.Counter("aab")
        self.also_log, self.namespace, self.record = self.log, types.SimpleNamespace(n=0, log=self.log), Record([])
        self.array, self.cycle = np.zeros(3), []
        self.cycle.append(self.cycle)
        self.fc.log = self.log

    def forward(self, x):
        h = self.fc(x.relu())
        self.log.append(h)
        assert self.also_log is self.log is self.namespace.log is self.fc.log
        assert self.cycle[0] is self.cycle
        self.cycle.append(h)
        self.cache["h"] = h
        self.deep["k"]["j"].append(h)
        self.deep["k"]["t"][0].append(h)
        self.names.add("more")
        self.last.append(h)
        self.raw.append(1)
        self.ordered["b"] = h
        self.by_name["new"].append(h)
        self.counts["a"] += 1
        assert self.counts == {"a": 3, "b": 1}
        assert self.last.maxlen == 3
        self.namespace.n += 1
        self.record.count += 1
        self.record.seen.append(h)
        self.array[0] += 1
        return h


def kept_in(net):
    return {name: repr(value) for name, value in vars(net).items() if not name.startswith("_")}


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_module_puts_into_its_containers_in_forward_is_undone(name):
    net = randomized(Scores())
    before, values = kept_in(net), dict(vars(net))
    if is_cam(name):
        with pytest.raises(SignxaiError):
            explain(net, inputs("linear"), name, 1)
    else:
        explain(net, inputs("linear"), name, 1, **options(name))
    assert kept_in(net) == before
    assert all(vars(net)[key] is value for key, value in values.items())


def test_what_containers_lead_to_is_that_of_the_view():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, CLASSES)
            self.steps = [torch.relu, self.fc, self]
            self.table = {self.fc: "layer", "fc": [self.fc], "weight": {"w": self.fc.weight}}
            self.all = {self.fc}

        def forward(self, x):
            assert self.steps[1] is self.fc
            assert self.steps[2] is self
            assert next(iter(self.table)) is self.fc is self.table["fc"][0]
            assert self.table[self.fc] == "layer"
            assert self.table["weight"]["w"] is self.fc.weight
            assert self.fc in self.all
            self.steps.append(x)
            return self.steps[1](self.steps[0](x))

    net = randomized(Listed())
    steps = list(net.steps)
    expected = explain(nn.Sequential(nn.ReLU(), net.fc), inputs("linear"), "lrp_z", 1)
    np.testing.assert_allclose(explain(net, inputs("linear"), "lrp_z", 1), expected, rtol=1e-12)
    assert net.steps == steps


def test_arrays_of_a_view_share_memory_as_those_of_the_model_do():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.large, self.whole = nn.Linear(12, CLASSES), np.zeros(1 << 20), np.zeros((4, 2))
            self.part, self.turned = self.whole[1:], self.whole.T[::-1]
            self.fixed = np.ones(2)
            self.fixed.flags.writeable = False

        def forward(self, x):
            assert self.large is net.large
            assert self.fixed is net.fixed
            self.part[0, 0] += 1
            assert self.whole[1, 0] == 1 == self.turned[1, 1] == self.whole.sum()
            return self.fc(x)

    net = randomized(Reads())
    explain(net, inputs("linear"), "gradient", 1)
    assert net.whole.sum() == 0


def test_the_end_of_a_view_ends_nothing_that_objects_of_the_model_hold():
    ended = []

    class Holder:
        def __init__(self, log):
            self.log = log

        def __del__(self):
            ended.append(self)

    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.log = nn.Linear(12, CLASSES), []
            self.holder = Holder(self.log)

        def forward(self, x):
            assert self.holder.log is self.log
            assert isinstance(self.holder, Holder)
            return self.fc(x)

    net = randomized(Holds())
    explain(net, inputs("linear"), "gradient", 1)
    gc.collect()
    assert not ended


class Rows(list):
    """A list of lists, of a class of the user's own."""


class Table(dict):
    """The same of a dict."""


@pytest.mark.parametrize("held", [lambda one: Rows([[one]]), lambda one: Table({0: [one]}), lambda one: Rows([Table({0: one})])])
def test_layers_in_containers_within_a_users_own_container_run_as_the_views(held):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
            self.rows = held(self.one)

        def forward(self, x):
            return self.rows[0][0](x)

    net, x = Net().train(), torch.ones(2, 4)
    kept = net.rows
    np.testing.assert_array_equal(explain(net, x, "gradient", 1), explain(net.one, x, "gradient", 1))
    assert net.rows is kept
    assert kept[0][0] is net.one
    assert net.one[1].training
