"""What a pass carries out as a whole inside an nn.Sequential gives what its modules give one by one, and leaves no trace."""

import copy
import threading
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from comparing import assert_same_map
from networks import CLASSES, OneByOne, drawn, randomized
from signxai import explain
from signxai.common import ForwardError
from signxai.engine.fused.runs import Run, plan_of

METHODS = [
    *("gradient", "integrated_gradients", "guided_backprop", "grad_cam", "lrp_z", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x"),
    *("lrpsign_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "w2lrp_zplus", "flatlrp_zplus", "zblrp_zplus"),
    *("lrp_sequential_composite_b", "lrp_epsilon_gamma_box", "deep_taylor"),
]


def _in_place() -> nn.ReLU:
    return nn.ReLU(inplace=True)


NETWORKS = {
    "with batch norms": lambda: [
        *(nn.Conv1d(3, 5, 3, padding=1), nn.BatchNorm1d(5), nn.ReLU(), nn.Conv1d(5, 6, 3, stride=2), nn.BatchNorm1d(6), nn.ReLU()),
        *(nn.Dropout(), nn.Conv1d(6, 6, 2, groups=2, bias=False), _in_place(), nn.AdaptiveAvgPool1d(3), nn.Flatten()),
        *(nn.Linear(18, 9), nn.BatchNorm1d(9, affine=False), nn.ReLU(), nn.Dropout(), nn.Linear(9, CLASSES)),
    ],
    "with all it may meet": lambda: [
        *(nn.Conv1d(3, 5, 3, padding="same", bias=False), nn.Identity(), nn.BatchNorm1d(5), nn.BatchNorm1d(5), nn.ReLU()),
        *(nn.Conv1d(5, 5, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.Conv1d(5, 5, 3, dilation=2), nn.ReLU(), nn.ReLU()),
        *(nn.Sequential(nn.Conv1d(5, 5, 1), nn.ReLU(), nn.Conv1d(5, 6, 1)), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2)),
        *(nn.Conv1d(6, 6, 1), nn.Tanh(), nn.Flatten(), nn.Linear(36, CLASSES), nn.ReLU()),
    ],
    "of two axes": lambda: [
        *(nn.Unflatten(1, (3, 1)), nn.Conv2d(3, 4, (1, 3)), nn.ReLU(), nn.AdaptiveAvgPool2d((None, 5)), nn.Conv2d(4, 4, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(2), nn.Conv1d(4, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, CLASSES)),
        nn.BatchNorm1d(CLASSES),
    ],
    "of linear layers": lambda: [nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(24, CLASSES)],
}


def pair(name: str) -> tuple[nn.Sequential, OneByOne, torch.Tensor]:
    net = randomized(nn.Sequential(*NETWORKS[name]()))
    return net, OneByOne(copy.deepcopy(net)), drawn(4, 3, 16)


def runs_in(net: nn.Sequential, is_network: bool = False) -> list[list[str]]:
    return [[type(module).__name__ for module in step.modules] for step in plan_of(net, is_network) or () if isinstance(step, Run)]


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize(("name", "method"), [pair for pair in product(NETWORKS, METHODS) if pair != ("of linear layers", "grad_cam")])
def test_a_run_gives_what_its_modules_give(name, method):
    net, one_by_one, x = pair(name)
    options = {"steps": 5} if method == "integrated_gradients" else {}
    options |= {"low": -3.0, "high": 3.0} if method.startswith("zblrp") or method.endswith("box") else {}
    expected = explain(one_by_one, x, method, [0, 1, 2, 3], **options)
    np.testing.assert_allclose(explain(net, x, method, [0, 1, 2, 3], **options), expected, rtol=1e-12, atol=1e-12 * abs(expected).max())


def test_runs_are_found():
    net = pair("with batch norms")[0]
    everything = [type(module).__name__ for module in net]
    assert runs_in(net) == [everything[:-1]]
    assert runs_in(net, is_network=True) == [everything]
    assert runs_in(nn.Sequential(nn.Flatten(), *net[:-1]).eval()) == [everything[:-1]]
    assert runs_in(pair("with all it may meet")[0]) == [["Conv1d", "ReLU"], ["Linear", "ReLU"]]
    assert runs_in(nn.Sequential(nn.Conv1d(3, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval()) == [["Conv1d", "ReLU"]]


def test_a_batch_norm_behind_the_sequential_makes_one_layer_with_its_last():
    class Normed(nn.Module):
        def __init__(self, steps):
            super().__init__()
            self.steps, self.norm = steps, nn.BatchNorm1d(CLASSES)

        def forward(self, x):
            return self.norm(self.steps(x))

    net, _, x = pair("with batch norms")
    normed = randomized(Normed(net))
    other = copy.deepcopy(normed)
    other.steps = OneByOne(other.steps)
    for method in ("lrp_alpha_2_beta_1", "lrp_epsilon_0_1"):
        np.testing.assert_allclose(explain(normed, x, method, 1), explain(other, x, method, 1), rtol=1e-11, atol=1e-14)


def test_a_module_with_a_hook_is_called():
    net, one_by_one, x = pair("with batch norms")
    seen = []
    for model in (net, one_by_one):
        model.get_submodule("2").register_forward_hook(lambda module, args, output: seen.append(output.shape) or 2 * output)
    np.testing.assert_allclose(explain(net, x, "lrp_zplus", 1), explain(one_by_one, x, "lrp_zplus", 1), rtol=1e-11, atol=1e-14)
    assert [shape for shape in seen if shape[0] > 1] == [(4, 5, 16)] * 2


def test_a_hook_on_all_modules_is_called():
    net, _, x = pair("of linear layers")
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: seen.append(type(module).__name__))
    explain(net, x[:1], "lrp_z", 1)
    handle.remove()
    assert seen.count("ReLU") == 2


def test_another_function_mode_sees_every_operation():
    class Seeing(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    class Watched(nn.Sequential):
        def __call__(self, x):
            with Seeing():
                return super().__call__(x)

    net, _, x = pair("of linear layers")
    seen = []
    explain(nn.Sequential(Watched(*net)), x[:1], "lrp_z", 1)
    assert seen.count(torch.relu) + seen.count(F.relu) == 2


def test_a_sequential_with_a_forward_of_its_own_runs_that():
    class Doubled(nn.Sequential):
        def forward(self, x):
            return 2 * super().forward(x)

    net, one_by_one, x = pair("of linear layers")
    doubled = Doubled(*net)
    np.testing.assert_allclose(explain(doubled, x, "gradient", 1), 2 * explain(one_by_one, x, "gradient", 1), rtol=1e-12)


def test_a_module_used_twice_in_a_row():
    shared = [nn.Linear(6, 6), nn.ReLU()]
    net = randomized(nn.Sequential(*shared, *shared, nn.Linear(6, CLASSES)))
    x = drawn(3, 6, seed=2)
    for method in ("lrp_z", "lrp_gamma_0_25"):
        np.testing.assert_allclose(explain(net, x, method, 1), explain(OneByOne(net), x, method, 1), rtol=1e-11, atol=1e-14)


def test_what_is_read_off_inside_of_a_run_is_the_same():
    net, one_by_one, x = pair("with batch norms")
    for place in ("2", "5", "8", "13"):
        inside = explain(net, x, "lrp_alpha_2_beta_1", 2, at=place)
        np.testing.assert_allclose(inside, explain(one_by_one, x, "lrp_alpha_2_beta_1", 2, at=place), rtol=1e-11, atol=1e-14)


def test_a_batch_norm_for_other_axes_is_refused_as_the_network_refuses_it():
    net = nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14, CLASSES)).double().eval()
    with pytest.raises(ForwardError, match="expected 4D input"):
        explain(net, pair("with batch norms")[2], "lrp_z", 1)


def test_no_forward_stays_behind_after_an_error():
    net, _, x = pair("with batch norms")
    with pytest.raises(ValueError, match="failed"):
        explain(net, x[:, :2], "lrp_z", 1)
    explain(net, x, "lrp_z", 1)
    assert not any("forward" in module.__dict__ for module in net.modules())


def test_threads_may_explain_one_model_at_the_same_time():
    net, one_by_one, x = pair("with batch norms")
    methods = ["lrp_epsilon_0_25_std_x", "lrp_gamma_0_25", "lrp_zplus", "gradient"]
    expected = {method: explain(one_by_one, x, method, 1) for method in methods}
    wrong = []

    def work(method):
        for _ in range(15):
            if not np.allclose(explain(net, x, method, 1), expected[method], rtol=1e-9, atol=1e-12):
                wrong.append(method)

    threads = [threading.Thread(target=work, args=(method,)) for method in methods]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not any("forward" in module.__dict__ for module in net.modules())


@pytest.mark.parametrize(
    "method", ["gradient", "lrp_z", "lrp_gamma_0_25", "lrp_epsilon_0_25_std_x", "guided_backprop", "integrated_gradients_steps_3"]
)
@pytest.mark.parametrize(
    "places", [((0, "weight"),), ((0, "bias"),), ((1, "weight"), (1, "running_var")), ((1, "running_mean"), (4, "weight"))]
)
def test_an_attribute_in_front_of_a_parameter_or_buffer_is_what_counts(places, method):
    """As Zennit 1.0 leaves them behind its canonizers, and as others put computed weights in the place of parameters."""

    def made():
        layers = [nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(20, CLASSES)]
        return randomized(nn.Sequential(*layers)).requires_grad_(False)

    hidden, written, x = made(), made(), drawn(2, 3, 7)
    for index, name in places:
        value = getattr(hidden[index], name).detach() * 1.5 + 0.25
        hidden[index].__dict__[name] = value
        getattr(written[index], name).data.copy_(value)
    assert_same_map(written, hidden, x, method)
