"""The user's model is not changed, not even for a moment: other threads may explain it, predict with it or train it meanwhile."""

import functools
import sys
import threading
import time
import types
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from networks import CLASSES, inputs, network, randomized
from signxai import explain, inspect_model
from signxai.common import SignxaiError
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer
from untouched import assert_untouched, state

METHODS = ["gradient", "guided_backprop", "lrp_alpha_2_beta_1", "lrp_epsilon_0_25_std_x", "lrpsign_gamma_0_25", "grad_cam",
           "smoothgrad_samples_3", "integrated_gradients_steps_3", "deconvnet", "zblrp_z"]  # fmt: skip


@pytest.fixture(autouse=True)
def threads_that_take_turns_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


class Written(nn.Module):
    """A network written by hand, that counts its calls and remembers what it saw."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Dropout(0.5)
        self.out = nn.Linear(6, CLASSES)
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        h = F.relu(self.norm(self.conv(x)))
        self.last = h
        return self.out(self.drop(h).mean((2, 3)))


NETWORKS = {"in a row": lambda: network("cnn2d"), "by hand": lambda: randomized(Written())}


@pytest.mark.parametrize("kind", NETWORKS)
def test_eight_threads_give_the_maps_of_one(kind):
    net, x = NETWORKS[kind]().train(), inputs("cnn2d")
    alone = {name: explain(net, x, name, 1) for name in METHODS}
    before = state(net)
    with ThreadPoolExecutor(8) as pool:
        names = [METHODS[i % len(METHODS)] for i in range(8 * 20)]
        maps = list(pool.map(lambda name: explain(net, x, name, 1), names))
    for name, found in zip(names, maps, strict=True):
        assert np.array_equal(found, alone[name]), name
    assert_untouched(net, before)


class Watching(threading.Thread):
    """Looks at the model as often as it can, as another thread would find it."""

    def __init__(self, net):
        super().__init__(daemon=True)
        self.net, self.found, self.is_over = net, set(), threading.Event()

    def run(self):
        while not self.is_over.is_set():
            for module in self.net.modules():
                self.found.add((type(module).__name__, module.training, "forward" in vars(module), len(module._forward_hooks)))
            self.found |= {("parameter", parameter.requires_grad) for parameter in self.net.parameters()}


@pytest.mark.parametrize("kind", NETWORKS)
def test_another_thread_never_sees_a_difference(kind):
    net, x = NETWORKS[kind]().train(), inputs("cnn2d")
    watching = Watching(net)
    watching.start()
    for _ in range(3):
        for name in METHODS:
            explain(net, x, name, 1)
        explain(net, x, "lrp_z", 1, at="0" if kind == "in a row" else "norm")
        inspect_model(net, x, "lrp_z", 1)
    watching.is_over.set()
    watching.join()
    names = {type(module).__name__ for module in net.modules()}
    assert watching.found <= {(name, True, False, 0) for name in names} | {("parameter", True)}


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("kind", NETWORKS)
def test_training_goes_on_beside_explanations(kind):
    net, x = NETWORKS[kind]().train(), inputs("cnn2d")
    is_over = threading.Event()
    errors, maps = [], []

    def explains():
        try:
            while not is_over.is_set():
                maps.append(explain(net, x, METHODS[len(maps) % len(METHODS)], 1))
        except SignxaiError as error:
            errors.append(error)

    thread = threading.Thread(target=explains, daemon=True)
    thread.start()
    optimizer = torch.optim.SGD(net.parameters(), 1e-4)
    labels = torch.zeros(len(x), dtype=torch.long)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.from_numpy(x) if isinstance(x, np.ndarray) else x), labels).backward()
        assert all(parameter.grad is not None for parameter in net.parameters())
        optimizer.step()
    is_over.set()
    thread.join()
    assert errors == []
    assert maps
    assert all(np.isfinite(found).all() for found in maps)
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_25_std_x"])
def test_another_thread_draws_its_random_numbers_as_if_nobody_explained(name):
    net, x = NETWORKS["by hand"](), inputs("cnn2d")
    is_over, drawn = threading.Event(), []

    def draws():
        while not is_over.is_set():
            drawn.append(torch.rand(3))
            time.sleep(0.004)

    torch.manual_seed(0)
    thread = threading.Thread(target=draws, daemon=True)
    thread.start()
    while len(drawn) < 12:  # many explanations lie between two draws
        explain(net, x, name, 1)
    is_over.set()
    thread.join()
    torch.manual_seed(0)
    assert torch.equal(torch.stack(drawn), torch.stack([torch.rand(3) for _ in drawn]))


class Draws(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.out(F.dropout(F.relu(self.conv(x)), 0.5).mean((2, 3)))


def test_threads_that_explain_with_draws_take_turns():
    net, x = randomized(Draws()), inputs("cnn2d")
    names = ["gradient", "lrp_z", "lrp_epsilon_0_25_std_x", "smoothgrad_samples_3"]
    alone = {name: explain(net, x, name, 1, stochastic=True, seed=3) for name in names}
    with ThreadPoolExecutor(4) as pool:
        jobs = [(name, pool.submit(explain, net, x, name, 1, stochastic=True, seed=3)) for name in names * 6]
        for name, job in jobs:
            assert np.array_equal(job.result(), alone[name])


class Back:
    """An object that leads back to the model."""

    def __init__(self, net):
        self.net = net

    def scaled(self, x):
        return self.net.conv(x) * 2


def shifted(net, x):
    return net.conv(x) + 1


WAYS = {
    "a bound method": lambda net: net.conv.forward,
    "a method of the model": lambda net: types.MethodType(shifted, net),
    "a partial": lambda net: functools.partial(shifted, net),
    "a closure": lambda net: lambda x: net.conv(x),
    "a default": lambda net: lambda x, conv=net.conv: conv(x),
    "a list": lambda net: [net.conv][0].__call__,
    "an object": lambda net: Back(net).scaled,
    "a weak reference": lambda net: (lambda reference: lambda x: reference().conv(x))(weakref.ref(net)),
    "a proxy": lambda net: (lambda proxy: lambda x: proxy.conv(x))(weakref.proxy(net)),
    "a dictionary in a closure": lambda net: (lambda table: lambda x: table["conv"][0](x))({"conv": [net.conv]}),
    "a wrapped function": lambda net: functools.wraps(net.conv.forward)(lambda x: net.conv.forward(x)),
}


class Roundabout(nn.Module):
    """A network that gets at its layer by what is kept in an attribute."""

    def __init__(self, way):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, CLASSES)
        self.way = way(self)

    def forward(self, x):
        return self.out(F.relu(self.norm(self.way(x))).mean((2, 3)))


class Direct(nn.Module):
    """The same, by the layer itself."""

    def __init__(self, net, after):
        super().__init__()
        self.conv, self.norm, self.out, self.after = net.conv, net.norm, net.out, after

    def forward(self, x):
        return self.out(F.relu(self.norm(self.after(self.conv(x)))).mean((2, 3)))


REACHED: dict[str, nn.Module] = {}


def by_a_global_name(net):
    REACHED["net"] = net
    return lambda x: REACHED["net"].conv(x)


def through_many_objects(net):
    table = {"conv": net.conv}
    for _ in range(12):
        table = {"inside": table}
    return lambda x: within(table)(x)


def within(table):
    return within(table["inside"]) if "inside" in table else table["conv"]


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "grad_cam", "guided_backprop"])
@pytest.mark.parametrize("way", [by_a_global_name, through_many_objects])
def test_a_module_that_is_reached_in_another_way_is_refused_in_training_mode(way, name):
    net, x = randomized(Roundabout(way)), inputs("cnn2d")
    wanted = explain(Direct(net, lambda h: h).eval(), x, name, 1)
    assert np.allclose(explain(net.eval(), x, name, 1), wanted, rtol=1e-5, atol=1e-7)
    before = state(net.train())
    with pytest.raises(SignxaiError, match=r"by a global name.*call model\.eval\(\)"):
        explain(net, x, name, 1)
    assert_untouched(net, before)


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1"])
@pytest.mark.parametrize("way", WAYS)
def test_whatever_an_attribute_leads_to_is_the_views(way, name):
    net, x = randomized(Roundabout(WAYS[way])).train(), inputs("cnn2d")
    calls = []
    net.conv.register_forward_hook(lambda module, args, output: calls.append(module.training))
    after = {"a method of the model": lambda h: h + 1, "a partial": lambda h: h + 1, "an object": lambda h: h * 2}.get(way, lambda h: h)
    before = state(net)
    found = explain(net, x, name, 1)
    assert_untouched(net, before)
    assert not any(calls)
    assert np.array_equal(found, explain(Direct(net, after), x, name, 1))


class Clipping(nn.Module):
    """A network that keeps its weights within bounds whenever it runs."""

    def __init__(self, write):
        super().__init__()
        self.linear, self.out = nn.Linear(5, 6), nn.Linear(6, CLASSES)
        self.write = write

    def forward(self, x):
        with torch.no_grad():
            self.write(self.linear)
        return self.out(F.relu(self.linear(x)))


WRITES = {
    "clamp_": lambda layer: layer.weight.clamp_(-0.1, 0.1),
    "clamp_ of data": lambda layer: layer.weight.data.clamp_(-0.1, 0.1),
    "assigned data": lambda layer: setattr(layer.weight, "data", layer.weight.data.clamp(-0.1, 0.1)),
    "copy_": lambda layer: layer.weight.copy_(layer.weight.clamp(-0.1, 0.1)),
    "out": lambda layer: torch.clamp(layer.weight, -0.1, 0.1, out=layer.weight),
    "through a view": lambda layer: layer.weight[:3].mul_(0.5),
    "relu_ of F": lambda layer: F.relu(layer.weight, inplace=True),
}


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_1", "smoothgrad_samples_3", "guided_backprop"])
@pytest.mark.parametrize("write", WRITES)
def test_a_network_that_writes_to_its_parameters_writes_to_a_copy(write, name):
    net, x = Clipping(WRITES[write]), torch.randn(3, 5)
    before = state(net)
    if write != "through a view" or name != "smoothgrad_samples_3":  # halved with each point, one would have to say which one is meant
        explain(net, x, name, 1)
    inspect_model(net, x, "lrp_z", 1)
    assert_untouched(net, before)


def test_an_embedding_that_scales_its_rows_down_does_so_in_a_copy():
    net = nn.Sequential(nn.Embedding(10, 4, max_norm=0.5), nn.Flatten(), nn.Linear(12, 3))
    before = state(net)
    explain(net, torch.tensor([[1, 2, 3]]), "lrp_z", 1)
    assert_untouched(net, before)


def test_what_ends_with_a_module_does_not_end_with_its_view():
    ended = []

    class Ending(nn.Linear):
        def __del__(self):
            ended.append(self)

    net = nn.Sequential(Ending(4, 3))
    explain(net, torch.ones(1, 4), "gradient", 1)
    assert not ended


def test_a_zennit_composite_changes_nothing_of_the_model():
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import EpsilonPlus

    net, x = network("cnn2d").train(), inputs("cnn2d")
    watching = Watching(net)
    watching.start()
    analyzer = AdvancedLRPAnalyzer(net, "custom", composite=EpsilonPlus(canonizers=[SequentialMergeBatchNorm()]))
    for _ in range(5):
        analyzer.analyze(x, 1)
    watching.is_over.set()
    watching.join()
    names = {type(module).__name__ for module in net.modules()}
    assert watching.found <= {(name, True, False, 0) for name in names} | {("parameter", True)}
