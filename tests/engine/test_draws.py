"""Networks that draw random numbers in their forward pass: refused with the place, or each sample with the draws of the seed."""

import collections
import datetime
import itertools
import os
import random
import secrets
import time
import uuid
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain, explain_all, inspect_model
from signxai.common import ModelError
from signxai.engine.prediction import predict
from signxai.engine.random_sources import NumPySource, PythonSource, TorchSource

N = 4
X = drawn(N, 8, seed=2)
METHODS = ["gradient", "integrated_gradients", "smoothgrad", "guided_backprop", "lrp_z", "lrp_epsilon_0_25_std_x"]


class Draws(nn.Module):
    """A small network with a part that may draw."""

    def __init__(self, part) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.part, self.head = nn.Linear(8, 8), part, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.part(self.first(x).relu()))


def network(part) -> Draws:
    return Draws(part).double().eval()


def dropout_that_stays_on(y: Tensor) -> Tensor:
    return F.dropout(y, 0.5)


DRAWING = {
    "dropout": dropout_that_stays_on,
    "dropout by keyword": lambda y: F.dropout(y, p=0.3, training=True),
    "alpha_dropout": lambda y: F.alpha_dropout(y, 0.5, True),
    "rand_like": lambda y: y * (torch.rand_like(y) > 0.5),
    "bernoulli": lambda y: y * torch.bernoulli(torch.full_like(y, 0.5)),
    "bernoulli_": lambda y: y * torch.empty_like(y).bernoulli_(0.5),
    "randn": lambda y: (y + torch.randn(y.shape).to(y)).tanh(),
    "normal_": lambda y: y + torch.empty_like(y).normal_(),
    "normal": lambda y: y + torch.normal(torch.zeros_like(y), 1.0),
    "randperm": lambda y: y[:, torch.randperm(8)],
    "randint": lambda y: y[:, torch.randint(0, 8, (8,))],
    "an operator": lambda y: y * torch.ops.aten.rand_like.default(y),
    "layer drop": lambda y: y + y.tanh() if torch.rand(1).item() > 0.2 else y,
    "multinomial": lambda y: y[:, torch.multinomial(torch.ones(8), 8)],
}


@pytest.mark.parametrize("method", ["gradient", "lrp_epsilon_0_1", "integrated_gradients"])
@pytest.mark.parametrize("name", DRAWING)
def test_a_draw_is_refused_with_its_place(name, method):
    with pytest.raises(
        ModelError, match=r"draws random numbers in its forward pass, first by '\w+' in Draws.*test_draws.py:\d+.*stochastic=True"
    ):
        explain(network(DRAWING[name]), X, method, 1)


HALVES = torch.full((8,), 0.5, dtype=torch.float64)


def recurrent(name: str):
    """Two layers with dropout in between that is on."""
    torch.manual_seed(0)
    layer = {"lstm": nn.LSTM, "gru": nn.GRU}.get(name, nn.RNN)(8, 8, 2).double().requires_grad_(False)
    start = torch.zeros(2, N, 8, dtype=torch.float64)
    state = (start, start) if name == "lstm" else start
    return lambda y: getattr(torch, name)(y[None], state, layer._flat_weights, True, 2, 0.5, True, False, False)[0][0]


def attention():
    """Attention with dropout that is on."""
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2).double().requires_grad_(False)
    given = layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.5, layer.out_proj.weight, layer.out_proj.bias
    return lambda y: F.multi_head_attention_forward(y[:, None], y[:, None], y[:, None], 8, 2, *given, training=True)[0][:, 0]


def spread(y: Tensor) -> Tensor:
    return y[:, :, None] * torch.arange(1.0, 9.0).to(y)


BY_NAME = {
    "rand randn": lambda draw: lambda y: y * draw(8).to(y),
    "rand_like randn_like bernoulli poisson": lambda draw: lambda y: y * draw(y.detach().sigmoid()),
    "randint": lambda draw: lambda y: y[:, draw(0, 8, (8,))],
    "randint_like": lambda draw: lambda y: y * draw(y, 9),
    "randperm": lambda draw: lambda y: y[:, draw(8)],
    "multinomial": lambda draw: lambda y: y[:, draw(HALVES, 8)],
    "normal": lambda draw: lambda y: y + draw(torch.zeros_like(y), 1.0),
    "binomial": lambda draw: lambda y: y * draw(8 * torch.ones_like(HALVES), HALVES),
    "bernoulli_ normal_ uniform_ exponential_ log_normal_ cauchy_": lambda draw: lambda y: y + draw(torch.empty_like(y)),
    "geometric_": lambda draw: lambda y: y + draw(torch.empty_like(y), 0.5),
    "random_": lambda draw: lambda y: y + draw(torch.empty_like(y), 9),
    "dropout dropout_ alpha_dropout alpha_dropout_ feature_dropout feature_dropout_": lambda draw: lambda y: draw(y.clone(), 0.5, True),
    "feature_alpha_dropout feature_alpha_dropout_ dropout1d": lambda draw: lambda y: draw(y.clone().view(N, 4, 2), 0.5, True).view(N, 8),
    "dropout2d": lambda draw: lambda y: draw(y.view(N, 4, 2, 1), 0.5, True).view(N, 8),
    "dropout3d": lambda draw: lambda y: draw(y.view(N, 4, 2, 1, 1), 0.5, True).view(N, 8),
    "native_dropout": lambda draw: lambda y: draw(y, 0.5, True)[0],
    "rrelu rrelu_": lambda draw: lambda y: draw(y - 1, 0.1, 0.9, True),
    "gumbel_softmax": lambda draw: lambda y: draw(y),
    "fractional_max_pool2d": lambda draw: lambda y: draw(spread(y).view(N, 1, 8, 8), 2, (5, 5)).flatten(1)[:, :8],
    "fractional_max_pool3d": lambda draw: lambda y: draw(spread(y).view(N, 1, 4, 4, 4), 1, (3, 3, 3)).flatten(1)[:, :8],
    "scaled_dot_product_attention": lambda draw: lambda y: draw(y[None], y[None], y[None], None, 0.5)[0],
    "multi_head_attention_forward": lambda draw: attention(),
    "lstm gru rnn_tanh rnn_relu": lambda draw: recurrent(draw.__name__),
}
NAMED = {
    f"{where.__name__}.{name}": part(getattr(where, name))
    for names, part in BY_NAME.items()
    for name in names.split()
    for where in (torch, F, Tensor)
    if hasattr(where, name)
}


@pytest.mark.parametrize("name", NAMED)
def test_every_function_that_draws_is_named(name):
    with pytest.raises(ModelError, match=rf"draws random numbers in its forward pass, first by '{name.rpartition('.')[2]}' in Draws"):
        explain(network(NAMED[name]), X, "gradient", 1)


def test_a_prediction_is_refused_too():
    with pytest.raises(ModelError, match="draws random numbers"):
        predict(network(dropout_that_stays_on), X)
    with pytest.raises(ModelError, match="draws random numbers"):
        explain(network(dropout_that_stays_on), X, "gradient")
    with pytest.raises(ModelError, match="draws random numbers"):
        inspect_model(network(dropout_that_stays_on), X, "lrp_z", 1)


def initialized_again(y: Tensor) -> Tensor:
    nn.init.kaiming_uniform_(torch.empty(3, 3))
    return y


HARMLESS = {
    "dropout in evaluation mode": lambda y: F.dropout(y, 0.5, training=False),
    "a module's dropout": nn.Dropout(0.5),
    "dropout of nothing": lambda y: F.dropout(y, 0.0),
    "what nobody reads": initialized_again,
    "a fixed generator": lambda y: y + 0 * torch.rand(y.shape, generator=torch.Generator().manual_seed(3)).to(y),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_draw_that_changes_nothing_is_let_pass(name):
    for method in METHODS:
        wanted = explain(network(lambda y: y), X, method, 1)
        assert deviation(explain(network(HARMLESS[name]), X, method, 1), wanted) < 1e-13


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["dropout", "rand_like", "randn", "randperm"])
def test_on_request_each_sample_has_the_draws_of_the_seed(name, method):
    net = network(DRAWING[name])
    batch = explain(net, X, method, 1, stochastic=True)
    for i in range(N):
        np.testing.assert_array_equal(explain(net, X[i : i + 1], method, 1, stochastic=True), batch[i : i + 1])
    np.testing.assert_array_equal(explain(net, X, method, 1, stochastic=True, batch_size=3), batch)
    assert deviation(explain(net, X, method, 1, stochastic=True, seed=1), batch) > 1e-6


def test_each_sample_has_its_own_baseline_where_samples_are_explained_alone():
    net, baseline = network(DRAWING["dropout"]), X.flip(0) * 0.3
    batch = explain(net, X, "integrated_gradients_steps_5", 1, stochastic=True, baseline=baseline)
    for i in range(N):
        alone = explain(net, X[i : i + 1], "integrated_gradients_steps_5", 1, stochastic=True, baseline=baseline[i])
        np.testing.assert_array_equal(alone, batch[i : i + 1])


@pytest.mark.parametrize("method", ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "gradient"])
def test_dropout_that_is_on_is_a_product_with_its_mask(method):
    torch.manual_seed(5)
    mask = F.dropout(torch.ones(1, 8, dtype=torch.float64), 0.5)
    wanted = explain(network(lambda y: y * mask), X, method, 1)
    assert deviation(explain(network(dropout_that_stays_on), X, method, 1, stochastic=True, seed=5), wanted) < 1e-13


def test_the_users_random_numbers_go_on_as_if_nothing_had_been():
    net = network(dropout_that_stays_on)
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    explain(net, X, "lrp_z", stochastic=True)
    with pytest.raises(ModelError):
        explain(net, X, "lrp_z")
    torch.testing.assert_close(torch.rand(3), wanted)


@torch.library.custom_op("signxai_tests::jitter", mutates_args=())
def jitter(y: Tensor) -> Tensor:
    """An operator of somebody's own, in which no mode sees what is drawn."""
    return y + torch.rand_like(y)


jitter.register_autograd(lambda ctx, gradient: gradient)

A_GENERATOR = np.random.default_rng(3)


def scaled(y: Tensor) -> Tensor:
    return y * float(A_GENERATOR.uniform(0.5, 2))


class Sampler:
    """What no module is, and draws."""

    def __init__(self, generator) -> None:
        self.generator = generator

    def __call__(self, y: Tensor) -> Tensor:
        return y * float(self.generator.random())


class OfItsOwn(nn.Module):
    """A module with a generator."""

    def __init__(self, generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, y: Tensor) -> Tensor:
        if isinstance(self.generator, torch.Generator):
            return y * torch.rand(y.shape[1:], generator=self.generator).to(y)
        return y * float(self.generator.uniform(0.5, 2))


class OfItsClass(OfItsOwn):
    """A module whose generator is its class's."""

    generator = np.random.default_rng(4)

    def __init__(self) -> None:
        nn.Module.__init__(self)


def captured():
    generator = np.random.default_rng(1)
    return lambda y: y + float(generator.normal())


def with_a_default(y: Tensor, generator=np.random.default_rng(2)) -> Tensor:  # noqa: B008 (as people write it)
    return y * generator.random()


OTHERS = {
    "NumPy's functions": (lambda: lambda y: y * float(np.random.uniform(0.5, 2)), "NumPy's global generator, before '"),
    "an array of NumPy's": (lambda: lambda y: y + torch.as_tensor(np.random.randn(8)), "NumPy's global generator, before '"),
    "Python's functions": (lambda: lambda y: y * random.uniform(0.5, 2), "Python's global generator, before '"),
    "a function of Python's": (lambda: OfItsFunction(random.random), "Python's global generator, before '"),
    "a function of NumPy's": (lambda: OfItsFunction(np.random.standard_normal), "NumPy's global generator, before '"),
    "a function with arguments": (lambda: OfItsFunction(partial(np.random.normal, 1.0)), "NumPy's global generator, before '"),
    "Python's generator": (lambda: OfItsOwn(random.Random(1)), "a random.Random of its own, before '"),
    "NumPy's generator": (lambda: OfItsOwn(np.random.default_rng(1)), "a numpy.PCG64 of its own, before '"),
    "NumPy's old generator": (lambda: OfItsOwn(np.random.RandomState(1)), "a numpy.RandomState of its own, before '"),
    "another kind of NumPy's": (lambda: OfItsOwn(np.random.RandomState(np.random.PCG64(1))), "a numpy.RandomState of its own, before '"),
    "a generator of the class": (OfItsClass, "a numpy.PCG64 of its own, before '"),
    "torch's generator": (lambda: OfItsOwn(torch.Generator().manual_seed(1)), "'rand' in "),
    "a generator of the file": (lambda: scaled, "a numpy.PCG64 of its own, before '"),
    "a generator of the file, called by another": (lambda: lambda y: scaled(y), "a numpy.PCG64 of its own, before '"),
    "a captured generator": (captured, "a numpy.PCG64 of its own, before '"),
    "a generator of an argument": (lambda: with_a_default, "a numpy.PCG64 of its own, before '"),
    "a generator of an object": (lambda: Sampler(random.Random(2)), "a random.Random of its own, before '"),
    "an operator of one's own": (lambda: torch.ops.signxai_tests.jitter, "torch's global generator, by 'jitter"),
}


class OfItsFunction(nn.Module):
    """A module with a function that draws."""

    def __init__(self, draw) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, y: Tensor) -> Tensor:
        return y * float(self.draw())


@pytest.mark.parametrize("method", ["gradient", "lrp_epsilon_0_1", "integrated_gradients"])
@pytest.mark.parametrize("name", OTHERS)
def test_a_draw_from_any_generator_is_refused_with_its_place(name, method):
    part, place = OTHERS[name]
    with pytest.raises(ModelError, match="draws random numbers in its forward pass, first by ") as caught:
        explain(network(part()), X, method, 1)
    assert place in str(caught.value)
    assert "test_draws.py:" in str(caught.value)


def everywhere() -> list:
    """The states of all global generators, and of those of this file."""
    numpy = np.random.get_state(legacy=False)
    of_numpy = (numpy["state"]["key"].tobytes(), numpy["state"]["pos"], numpy["has_gauss"], numpy["gauss"])
    return [random.getstate(), of_numpy, torch.get_rng_state().tolist(), A_GENERATOR.bit_generator.state]


@pytest.mark.parametrize("name", OTHERS)
def test_on_request_each_sample_has_the_draws_of_the_seed_from_any_generator(name):
    np.random.normal()  # the other one of a pair is kept
    net, before = network(OTHERS[name][0]()), everywhere()
    for method in ("gradient", "integrated_gradients", "guided_backprop" if "operator" in name else "lrp_epsilon_0_1"):
        batch = explain(net, X, method, 1, stochastic=True)
        for i in range(N):
            np.testing.assert_array_equal(explain(net, X[i : i + 1], method, 1, stochastic=True), batch[i : i + 1])
        np.testing.assert_array_equal(explain_all(net, X, [method], 1, stochastic=True)[method], batch)
    if not name.startswith(("an array", "a captured", "an operator")):  # those add: only where ReLUs lie changes
        assert deviation(explain(net, X, "gradient", 1, stochastic=True, seed=1), explain(net, X, "gradient", 1, stochastic=True)) > 1e-6
    with pytest.raises(ModelError):
        explain(net, X, "lrp_z", 1)
    assert everywhere() == before


def test_generators_of_ones_own_come_back_as_they_were():
    generators = [random.Random(1), np.random.default_rng(1), np.random.RandomState(1), torch.Generator().manual_seed(1)]
    generators[2].standard_normal()
    wanted = [random.Random(1), np.random.default_rng(1), np.random.RandomState(1), torch.Generator().manual_seed(1)]
    wanted[2].standard_normal()
    for generator in generators:
        net = network(OfItsOwn(generator))
        explain(net, X, "lrp_z", 1, stochastic=True)
        with pytest.raises(ModelError):
            explain(net, X, "lrp_z", 1)
    for got, other in zip(generators[:3], wanted[:3], strict=True):
        assert [got.uniform(0, 1) for _ in range(3)] == [other.uniform(0, 1) for _ in range(3)]
    assert generators[2].standard_normal() == wanted[2].standard_normal()
    assert torch.equal(torch.rand(3, generator=generators[3]), torch.rand(3, generator=wanted[3]))


@pytest.mark.parametrize("seed", [0, 5])
def test_draws_of_numpy_and_python_are_those_of_the_seed(seed):
    np.random.seed(seed)
    random.seed(seed)
    factor = float(np.random.uniform()) + random.random()
    wanted = explain(network(lambda y: y * factor), X, "gradient", 1)
    drawing = network(lambda y: y * (float(np.random.uniform()) + random.random()))
    assert deviation(explain(drawing, X, "gradient", 1, stochastic=True, seed=seed), wanted) < 1e-13


def in_slots(generator):
    class Slots:
        __slots__ = ("own",)

    held = Slots()
    held.own = generator
    return held


Named = collections.namedtuple("Named", "number made")

HELD = {
    "tuple": (lambda made: (1, made), lambda held: held[1]),
    "tuple with names": (lambda made: Named(1, made), lambda held: held.made),
    "list in a dict": (lambda made: {"a": [made]}, lambda held: held["a"][0]),
    "set": (lambda made: {made}, lambda held: next(iter(held))),
    "frozenset": (lambda made: frozenset([made]), lambda held: next(iter(held))),
    "deque": (lambda made: collections.deque([made]), lambda held: held[0]),
    "slots": (in_slots, lambda held: held.own),
    "partial of a method": (lambda made: partial(made.gauss, 0, 1), lambda held: held.func.__self__),
    "static method": (lambda made: staticmethod(partial(made.gauss, 0, 1)), lambda held: held.func.__self__),
}


@pytest.mark.parametrize("where", ["module", "object", "class", "base of the module", "metaclass"])
@pytest.mark.parametrize("how", HELD)
def test_generators_are_found_in_what_objects_and_classes_hold(how, where):
    hold, find = HELD[how]
    held = hold(random.Random(3))

    if where in ("module", "object") and isinstance(held, staticmethod):
        held = held.__func__
    elif where not in ("module", "object") and isinstance(held, partial):  # Python 3.13 warns of one that is no static method
        held = staticmethod(held)

    def draw(holder):
        found = holder()
        return find(found.__func__ if isinstance(found, staticmethod) else found).random()

    if where == "module":
        part = OfItsFunction(lambda: draw(lambda: part.held))
        part.held = held
    elif where == "base of the module":
        part = type("Inner", (type("Base", (OfItsFunction,), {"held": held}),), {})(lambda: draw(lambda: part.held))
    elif where == "metaclass":
        kind = type("Meta", (type,), {"held": held})("Kind", (), {})
        part = OfItsFunction(lambda: draw(lambda: kind.held))
    else:
        kind = type("Holder", (), {"held": held} if where == "class" else {})
        holder = kind()
        if where == "object":
            holder.held = held
        part = OfItsFunction(lambda: draw(lambda: holder.held))
    net = network(part)
    source = find(part.held if where in ("module", "base of the module") else kind.held if where in ("metaclass", "class") else holder.held)
    before = source.getstate()
    with pytest.raises(ModelError, match="draws random numbers"):
        explain(net, X, "gradient", 1)
    assert source.getstate() == before
    first = explain(net, X, "gradient", 1, stochastic=True, seed=3)
    assert deviation(explain(net, X, "gradient", 1, stochastic=True, seed=3), first) == 0
    assert deviation(explain(net, X, "gradient", 1, stochastic=True, seed=4), first) > 1e-6
    assert source.getstate() == before


@pytest.mark.parametrize("where", ["closure", "default", "global"])
@pytest.mark.parametrize("how", [how for how in HELD if how != "static method"])
def test_generators_are_found_in_what_functions_name(how, where):
    hold, find = HELD[how]
    held = hold(random.Random(3))
    namespace = {"held": held, "find": find}
    exec("def draw():\n    return find(held).random()", namespace)
    function = {
        "closure": lambda: find(held).random(),
        "default": lambda own=held: find(own).random(),
        "global": namespace["draw"],
    }[where]
    before = find(held).getstate()
    with pytest.raises(ModelError, match="draws random numbers"):
        explain(network(OfItsFunction(function)), X, "gradient", 1)
    assert find(held).getstate() == before


class Hidden:
    """A generator out of reach."""

    def __init__(self) -> None:
        self.generators = [[[[[[torch.Generator().manual_seed(0)]]]]]]

    @property
    def generator(self) -> torch.Generator:
        return self.generators[0][0][0][0][0][0]

    def __call__(self, y: Tensor) -> Tensor:
        return y * torch.rand(y.shape, generator=self.generator).to(y)


def test_a_generator_out_of_reach():
    hidden = Hidden()
    net, before = network(hidden), hidden.generator.get_state()
    with pytest.raises(ModelError, match=r"first by 'rand' in Draws"):
        explain(net, X, "gradient", 1)
    assert torch.equal(hidden.generator.get_state(), before)
    with pytest.raises(ModelError, match="that no seed fixes"):
        explain(net, X, "gradient", 1, stochastic=True)


@pytest.mark.parametrize("draw", [random.SystemRandom().random, lambda: secrets.randbelow(1000) / 1000])
def test_what_the_system_draws_is_fixed_by_no_seed(draw):
    with pytest.raises(ModelError, match="that no seed fixes"):
        explain(network(OfItsFunction(draw)), X, "gradient", 1, stochastic=True)


def test_the_systems_own_generator_is_refused():
    with pytest.raises(ModelError, match=r"a random\.SystemRandom of its own"):
        explain(network(OfItsFunction(random.SystemRandom().random)), X, "gradient", 1)


RARE = {
    "below, torch": lambda y: y * 2 if torch.rand(1).item() < 0.01 else y,
    "above, torch": lambda y: y * 2 if torch.rand(1, dtype=torch.float64).item() > 0.99 else y,
    "a normal one": lambda y: y * 2 if torch.randn(1).item() > 2.5 else y,
    "dropout of a layer": lambda y: y * F.dropout(torch.ones(1, 1, dtype=torch.float64), 0.01),
    "a bernoulli one": lambda y: y * (1 + torch.bernoulli(torch.tensor(0.01))),
    "of two layers": lambda y: y * (1 + (torch.rand(2)[1] < 0.01)),
    "below, Python": lambda y: y * 2 if random.random() < 0.01 else y,
    "above, Python": lambda y: y * 2 if random.uniform(0, 1) > 0.99 else y,
    "below, NumPy": lambda y: y * 2 if np.random.rand() < 0.01 else y,
    "above, NumPy": lambda y: y * 2 if np.random.rand() > 0.99 else y,
    "below, a generator": lambda y: y * 2 if A_GENERATOR.random() < 0.01 else y,
    "above, a generator": lambda y: y * 2 if A_GENERATOR.random() > 0.99 else y,
}


@pytest.mark.parametrize("name", RARE)
def test_what_is_drawn_rarely_is_refused_too(name):
    with pytest.raises(ModelError, match="draws random numbers"):
        explain(network(RARE[name]), X, "gradient", 1)


@pytest.mark.parametrize("is_high", [False, True])
def test_extreme_draws_are_extreme_and_end(is_high):
    own = [random.Random(), np.random.RandomState(), torch.Generator(), np.random.default_rng()]
    sources = PythonSource(own[0], ""), NumPySource(own[1], ""), TorchSource(own[2], ""), NumPySource(own[3].bit_generator, "")
    for source in sources:
        source.go_to_end(is_high)
    first = own[0].random(), own[1].rand(), torch.rand(1, generator=own[2]).item(), own[3].random()
    assert all(0.99 < number < 1 if is_high else 0 < number < 0.01 for number in first)
    assert np.isfinite(
        [own[0].normalvariate(0.0, 1.0), own[1].poisson(50), own[1].standard_gamma(2), torch.randn(1, generator=own[2]).item()]
    ).all()


def seeded_in_the_forward(y: Tensor) -> Tensor:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    return y * torch.rand(8).to(y) * float(np.random.rand()) * random.random()


def test_draws_that_the_network_seeds_itself_are_fixed():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    factor, other = torch.rand(8).double(), float(np.random.rand()) * random.random()
    seeded, plain = network(seeded_in_the_forward), network(lambda y: y * factor * other)
    before = everywhere()
    for method in METHODS:
        wanted = explain(plain, X, method, 1, seed=3)
        assert deviation(explain(seeded, X, method, 1, seed=3), wanted) < 1e-12
        assert deviation(explain(seeded, X, method, 1, stochastic=True, seed=3), wanted) < 1e-12
    assert everywhere() == before


class Unruly:
    """An attribute that answers nothing."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise ValueError

    def __getattr__(self, name: str):
        raise KeyError(name)


def test_attributes_of_any_kind_are_looked_at_with_care():
    net, plain = network(lambda y: y), network(lambda y: y)
    net.statistics, net.unruly, net.parts = np.ones(3), Unruly(), [np.ones(2), {"again": net}, ...]
    net.parts.append(net.parts)
    net.part.unset = None
    assert deviation(explain(net, X, "lrp_z", 1), explain(plain, X, "lrp_z", 1)) < 1e-13


def noise_of_no_size(y: Tensor) -> Tensor:
    return y + 0.0 * torch.randn_like(y) + 0.0 * float(np.random.normal()) + 0.0 * random.gauss(0, 1)


def test_draws_of_any_generator_that_change_nothing_are_let_pass():
    noisy, plain = network(noise_of_no_size), network(lambda y: y)
    before = everywhere()
    for method in METHODS:
        assert deviation(explain(noisy, X, method, 1), explain(plain, X, method, 1)) < 1e-13
    assert everywhere() == before


def test_generators_of_accelerators_are_seeded_and_come_back_too(monkeypatch):
    of_device = torch.Generator().manual_seed(11)  # in the place of that of a GPU
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "default_generators", (of_device,))
    net, before = network(lambda y: y * torch.rand(8, generator=torch.cuda.default_generators[0]).to(y)), of_device.get_state()
    batch = explain(net, X, "gradient", 1, stochastic=True, seed=4)
    factor = torch.rand(8, generator=torch.Generator().manual_seed(4)).double()
    assert deviation(batch, explain(network(lambda y: y * factor), X, "gradient", 1)) < 1e-13
    with pytest.raises(ModelError, match="draws random numbers"):
        explain(net, X, "gradient", 1)
    assert torch.equal(of_device.get_state(), before)


class Settings:
    """Holds what a network's code reads by a global name."""

    generator_of_class = np.random.default_rng(6)

    def __init__(self) -> None:
        self.generator = np.random.default_rng(5)
        self.inner = {"deeper": random.Random(5)}

    def __call__(self, y: Tensor) -> Tensor:
        return y * self.generator.random()


SETTINGS, COUNTER = Settings(), itertools.count(1)
TABLE = {"generator": np.random.default_rng(7)}


def moment() -> float:
    return time.perf_counter_ns() % 999_983 / 999_983  # so that two readings are hardly ever the same


def imported_here(y: Tensor) -> Tensor:
    from time import time_ns

    return y * (time_ns() % 9973)


FOUND_IN_OBJECTS = {
    "an attribute": lambda y: y * SETTINGS.generator.random(),
    "of the class": lambda y: y * SETTINGS.generator_of_class.random(),
    "of the class itself": lambda y: y * Settings.generator_of_class.random(),
    "called": lambda y: SETTINGS(y),
    "an attribute of an attribute": lambda y: y * SETTINGS.inner["deeper"].random(),
    "in a table": lambda y: y * TABLE["generator"].random(),
}
UNSEEN = {
    "a generator made each time": lambda y: y * np.random.default_rng().random(),
    "an old one": lambda y: y * np.random.RandomState().rand(),
    "Python's": lambda y: y * random.Random().random(),
    "yes or no": lambda y: y * (1 + (np.random.default_rng().random() > 0.5)),
    "bytes of the system": lambda y: y * os.urandom(1)[0],
    "the clock": lambda y: y * (time.time_ns() % 9973),
    "the clock in another function": lambda y: y * moment(),
    "the clock, imported in the function": imported_here,
    "the time of day": lambda y: y * datetime.datetime.now().microsecond,
    "a name for it all": lambda y: y * (uuid.uuid4().int % 1000),
    "a counter": lambda y: y * next(COUNTER),
}


@pytest.mark.parametrize("method", ["gradient", "lrp_epsilon_0_1", "integrated_gradients"])
@pytest.mark.parametrize("name", FOUND_IN_OBJECTS)
def test_a_generator_in_an_object_of_the_file_is_found(name, method):
    before = SETTINGS.generator.bit_generator.state
    with pytest.raises(ModelError, match=r"draws random numbers in its forward pass, first by a \w+\.\w+ of its own"):
        explain(network(FOUND_IN_OBJECTS[name]), X, method, 1)
    batch = explain(network(FOUND_IN_OBJECTS[name]), X, method, 1, stochastic=True)
    np.testing.assert_array_equal(explain(network(FOUND_IN_OBJECTS[name]), X, method, 1, stochastic=True), batch)
    assert SETTINGS.generator.bit_generator.state == before


def compiled(expression: str, **imported):
    """A function of nothing, as somebody writes it in a file that imports these."""
    exec(f"def read():\n    return {expression}", imported)
    return imported["read"]


@pytest.mark.parametrize("method", ["gradient", "lrp_epsilon_0_1", "integrated_gradients"])
@pytest.mark.parametrize("name", UNSEEN)
def test_what_leaves_no_trace_is_refused(name, method):
    with pytest.raises(ModelError, match=r"is another one each time that it runs, .* its code names "):
        explain(network(UNSEEN[name]), X, method, 1)
    with pytest.raises(ModelError, match="that no seed fixes"):
        explain(network(UNSEEN[name]), X, method, 1, stochastic=True)


@pytest.mark.parametrize("unit", ["", "_ns"])
@pytest.mark.parametrize("clock", ["time", "perf_counter", "monotonic", "process_time", "thread_time"])
def test_what_changes_with_any_clock_is_refused(clock, unit):
    read = compiled("clock()", clock=getattr(time, f"{clock}{unit}"))
    with pytest.raises(ModelError, match=rf"is another one each time that it runs, .* its code names time\.{clock}{unit};"):
        explain(network(lambda y: y * (1 + read())), X, "gradient", 1)


MAKERS = {
    "numpy.random.default_rng": "np.random.default_rng().random()",
    "numpy.random.RandomState": "np.random.RandomState().rand()",
    "numpy.random.SeedSequence": "np.random.SeedSequence().entropy % 9973",
    "random.Random": "random.Random().random()",
    "random.SystemRandom": "random.SystemRandom().random()",
    "os.urandom": "os.urandom(2)[0]",
    "uuid.uuid1": "uuid.uuid1().int % 9973",
    "uuid.uuid4": "uuid.uuid4().int % 9973",
    **{f"numpy.random.{name}": f"np.random.{name}().random_raw() % 9973" for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")},
}
if hasattr(os, "getrandom"):
    MAKERS["os.getrandom"] = "os.getrandom(2)[0]"


@pytest.mark.parametrize("name", MAKERS)
def test_what_any_maker_of_generators_draws_is_refused(name):
    draw = compiled(MAKERS[name], np=np, random=random, os=os, uuid=uuid)
    with pytest.raises(ModelError, match=rf"is another one each time that it runs, .* its code names {name};"):
        explain(network(lambda y: y * (1 + draw())), X, "gradient", 1)


def test_secrets_are_refused():
    with pytest.raises(ModelError, match=r"a random\.SystemRandom of its own"):
        explain(network(lambda y: y * secrets.randbelow(10**6)), X, "gradient", 1)
    with pytest.raises(ModelError):
        explain(network(lambda y: y * secrets.token_bytes(1)[0]), X, "gradient", 1)


def logged(y: Tensor) -> Tensor:
    start = time.perf_counter()
    y = y * float(np.random.default_rng(3).random())
    LOG.append(time.perf_counter() - start)
    return y


LOG: list[float] = []


def test_a_clock_that_is_only_logged_and_a_generator_with_a_seed_are_let_pass():
    factor = float(np.random.default_rng(3).random())
    for method in METHODS:
        wanted = explain(network(lambda y: y * factor), X, method, 1)
        assert deviation(explain(network(logged), X, method, 1), wanted) < 1e-13
        assert deviation(explain(network(logged), X, method, 1, stochastic=True), wanted) < 1e-13


def test_who_names_nothing_of_that_runs_no_more_often():
    calls = []
    explain(network(lambda y: calls.append(1) or y), X, "integrated_gradients", 1, batch_size=1000)
    assert len(calls) == 2  # once together, and one row alone


@pytest.mark.parametrize(
    "steady", [lambda: next(COUNTER), time.perf_counter, time.process_time_ns], ids=["counter", "clock", "time of the process"]
)
def test_who_counts_or_reads_a_clock_runs_twice_more(steady):
    calls = []

    def noted(y: Tensor) -> Tensor:
        calls.append(steady())
        return y

    explain(network(noted), X, "gradient", 1)
    assert len(calls) <= 6  # a draw that may be the same by chance takes 24
    assert len(set(calls)) == len(calls)


class Asked(dict):
    """A table that does something when it is asked what it holds, as one that imports a library's classes when they are needed."""

    def items(self):
        raise AssertionError

    __iter__ = values = keys = __getitem__ = items
    __slots__ = ()


class AskedToo(Asked):
    """The same with attributes of its own."""


LAZY, LAZY_TOO = Asked(a=1), AskedToo(a=1)


class NamesLazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x) if LAZY is not None and LAZY_TOO is not None else x


def test_tables_of_classes_of_their_own_are_not_asked():
    assert explain(NamesLazy(), torch.ones(1, 4), "gradient", 1).shape == (1, 4)
