"""Random networks: drawn from where their weights come from, layer by layer that the decision depends on, by the seed alone."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from networks import drawn, randomized
from refusals import raises
from signxai import certify, compare_methods, evidence
from signxai.common.errors import ModelError
from signxai.evidence import random_models
from signxai.evidence.explaining import Explaining
from signxai.evidence.layers_in_use import layers_in_use

# --- weights that are computed -----------------------------------------------------------------------------------------------


def with_hooks(name):
    def wrap(layer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch wants its successor to be used
            return getattr(nn.utils, name)(layer)

    return wrap


def pruned(layer):
    return prune.l1_unstructured(layer, "weight", 0.25)


class Doubled(nn.Module):
    """A parametrization without an inverse, and with a parameter of its own."""

    def __init__(self, rows):
        super().__init__()
        self.shift = nn.Parameter(torch.arange(rows).double()[:, None] / rows - 0.5)

    def forward(self, weight):
        return 2 * weight + self.shift


def doubled(layer):
    nn.utils.parametrize.register_parametrization(layer, "weight", Doubled(layer.out_features), unsafe=True)
    return layer


COMPUTED = {
    "weight_norm by hooks": with_hooks("weight_norm"),
    "spectral_norm by hooks": with_hooks("spectral_norm"),
    "pruning": pruned,
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "of another": doubled,
}


def computed_weight(layer):
    layer(drawn(1, layer.in_features))
    return layer.weight.detach().clone()


def run_with(layer, has_run):
    """Hooks leave a weight with a graph, one without, or that of the beginning."""
    if has_run is not None:
        with torch.set_grad_enabled(has_run):
            layer(drawn(1, layer.in_features))
    return layer


@pytest.mark.parametrize("has_run", [None, True, False])
@pytest.mark.parametrize("name", COMPUTED)
def test_a_random_layer_has_a_fresh_weight_wherever_that_is_computed_from(name, has_run):
    layer = run_with(COMPUTED[name](randomized(nn.Linear(5, 3))).eval(), has_run)
    before, plain = computed_weight(layer), nn.Linear(5, 3).double()
    layer = random_models.copied(run_with(layer, has_run))
    random_models.randomized(layer, 7)
    random_models.randomized(plain, 7)
    after, fresh = computed_weight(layer), plain.weight.detach()
    assert not torch.allclose(before, after, atol=0.01)
    assert after.abs().mean() > 0.05
    if name.startswith("weight_norm"):
        torch.testing.assert_close(after, fresh)
    if name.startswith("spectral_norm"):
        torch.testing.assert_close(after, fresh / torch.linalg.matrix_norm(fresh, 2), rtol=1e-3, atol=1e-4)
    if name == "orthogonal":
        torch.testing.assert_close(after @ after.T, torch.eye(3).double())
    if name == "pruning":
        torch.testing.assert_close(after, torch.where(before != 0, fresh, 0.0))


@pytest.mark.parametrize("name", COMPUTED)
def test_a_map_does_not_survive_random_weights_that_are_computed(name):
    net = nn.Sequential(COMPUTED[name](randomized(nn.Linear(12, 9), 1)), nn.ReLU(), COMPUTED[name](randomized(nn.Linear(9, 3), 2)))
    curve = evidence.randomization_curve(net, drawn(4, 12), "gradient", 0)
    assert curve.layers == ("2", "0")
    assert np.abs(curve.similarities[:, -1]).mean() < 0.6
    checks = certify(net, drawn(1, 12), "gradient", 0, srg=False).checks
    assert "all 2 layers" in checks["random_all_layers"].sentence


@pytest.mark.parametrize(
    "generator", [lambda size: np.random.standard_normal(size), lambda size: [random.gauss(0, 1) for _ in range(size)]]
)
def test_layers_that_draw_from_other_generators_are_drawn_by_the_seed(generator):
    class Drawing(nn.Linear):
        def reset_parameters(self):
            nn.init.zeros_(self.bias)
            with torch.no_grad():
                self.weight.copy_(torch.as_tensor(generator(self.weight.numel())).reshape(self.weight.shape))

    net, x = nn.Sequential(Drawing(6, 5), nn.ReLU(), Drawing(5, 3)).double(), drawn(3, 6)
    before = np.random.get_state()[1].tolist(), random.getstate()
    one, two, other = (evidence.mprt(net, x, "gradient", 0, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


# --- layers that nothing depends on ------------------------------------------------------------------------------------------


class Headed(nn.Module):
    """A network with heads whose output is not explained; ``heads`` says which are there."""

    def __init__(self, heads=()):
        super().__init__()
        self.unused = nn.Linear(4, 3) if "unused" in heads else None
        self.first = nn.Linear(5, 4)
        self.auxiliary = nn.Linear(4, 2) if "auxiliary" in heads else None
        self.last = nn.Linear(4, 3)
        self.gate = nn.Linear(4, 1) if "gate" in heads else None

    def forward(self, x):
        hidden = self.first(x).relu()
        found = {"logits": self.last(hidden)}
        if self.auxiliary is not None:
            found["auxiliary"] = self.auxiliary(hidden)
        if self.gate is not None:
            found["logits"] = found["logits"] * (2 + self.gate(hidden.detach()).sign().detach())
        return found


def of_one_seed(heads=()):
    net, plain = Headed(heads).double(), randomized(Headed())
    net.load_state_dict(plain.state_dict(), strict=False)
    return net


@pytest.mark.parametrize("heads", [("unused",), ("auxiliary",), ("unused", "auxiliary")])
def test_layers_on_which_nothing_depends_change_no_number(heads):
    net, plain, x = of_one_seed(heads), of_one_seed(), drawn(3, 5)
    for order in ("top_down", "bottom_up", "independent"):
        np.testing.assert_array_equal(*(evidence.mprt(one, x, "gradient", 0, order=order) for one in (net, plain)))
    np.testing.assert_array_equal(*(evidence.smprt(one, x, "gradient", 0, smoothed=2) for one in (net, plain)))
    np.testing.assert_array_equal(*(evidence.emprt(one, x, "gradient", 0) for one in (net, plain)))
    assert certify(net, x, "gradient", 0, srg=False).to_dict() == certify(plain, x, "gradient", 0, srg=False).to_dict()


def test_a_layer_without_a_gradient_counts_where_the_output_depends_on_it():
    curve = evidence.randomization_curve(of_one_seed(("gate",)), drawn(8, 5), "gradient", 0)
    assert curve.layers == ("gate", "last", "first")


# --- random networks that say nothing ----------------------------------------------------------------------------------------


class ZeroedLinear(nn.Linear):
    """A head that starts at zero."""

    def reset_parameters(self):
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def headed_by_zeros():
    return randomized(nn.Sequential(nn.Linear(6, 12), nn.ReLU(), ZeroedLinear(12, 3)))


@pytest.mark.parametrize("method", ["gradient", "guided_backprop"])
def test_of_a_random_network_that_computes_nothing_nothing_is_said(method):
    net, x = headed_by_zeros(), drawn(3, 6)
    checks = certify(net, x[:1], method, 0, srg=False).checks
    for name in ("random_last_layer", "random_all_layers"):
        assert (checks[name].passed, checks[name].value) == (None, None)
        assert "constant" in checks[name].sentence
    assert np.isnan(evidence.mprt(net, x, method, 0)).all()
    assert np.isnan(evidence.smprt(net, x, method, 0, order="top_down", smoothed=2)).all()
    assert np.isnan(evidence.emprt(net, x, method, 0)).all()
    first = evidence.randomization_curve(net, x, method, 0, layers=["0"]).similarities[:, 0]
    np.testing.assert_array_equal(evidence.mprt(net, x, method, 0, order="bottom_up"), first)


def test_a_comparison_leaves_out_what_a_random_network_does_not_say():
    compared = compare_methods(headed_by_zeros(), drawn(3, 6), ["gradient"], target_class=0, metrics=["mprt"])
    assert compared.row("gradient", "mprt").samples == 0


class Restoring(nn.Linear):
    """A layer that writes its weight anew in each forward, from what is no parameter."""

    def __init__(self, *sizes):
        super().__init__(*sizes, bias=False)
        self.kept = [randomized(nn.Linear(*sizes)).weight.detach().float()]

    def forward(self, x):
        return nn.functional.linear(x, self.kept[0] + 0 * self.weight)


def test_a_network_that_does_not_compute_with_its_parameters_is_refused():
    net, x = nn.Sequential(Restoring(6, 5), nn.ReLU(), Restoring(5, 3)), drawn(3, 6).float()
    for order in ("top_down", "bottom_up", "independent"):
        with raises(ModelError, "computes what it did", "'0'", "'2'"):
            evidence.mprt(net, x, "gradient", 0, order=order)
    with raises(ModelError, "computes what it did"):
        evidence.emprt(net, x, "gradient", 0)
    checks = certify(net, x[:1], "gradient", 0, srg=False).checks
    for name in ("random_last_layer", "random_all_layers"):
        assert checks[name].passed is None
        assert "computes what it did" in checks[name].sentence


def test_layers_are_found_without_a_run_for_each():
    runs = []

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            blocks = [part for _ in range(5) for part in (nn.Conv1d(3, 3, 3, padding=1, bias=False), nn.BatchNorm1d(3), nn.ReLU())]
            self.net = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(24, 2))

        def forward(self, x):
            runs.append(len(x))
            return self.net(x)

    explaining = Explaining(Counted().eval(), torch.randn(2, 3, 8), "gradient", 0, {})
    assert len(layers_in_use(explaining, [0])) == 11
    assert len(runs) <= 3
