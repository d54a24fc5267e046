"""Several inputs at once: a signal beside a table, an image beside a mask, arguments that are not explained."""

from __future__ import annotations

import threading
from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from contract import quick
from networks import drawn, randomized
from sentences import is_cam, one_of_each_form, original_names
from signxai import explain, explain_all, inspect_model, parse_method, register_method
from signxai.common.errors import ForwardError, InputError, ModelError, OptionError
from signxai.engine.prediction import predict, remove_softmax
from signxai.methods.analyzer import Analyzer
from untouched import assert_untouched, state

N, CLASSES = 4, 3
ECG, META = drawn(N, 3, 20), drawn(N, 2, seed=5)
NAMES = one_of_each_form(original_names())
DRAWN_BY_SHAPE = ("smoothgrad", "vargrad", "random_uniform")


class EcgAndMeta(nn.Module):
    """A signal (N, 3, T) beside a table (N, 2)."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv, self.table = nn.Conv1d(3, 4, 3, bias=bias), nn.Linear(2, 4, bias=bias)
        self.hidden, self.out = nn.Linear(8, 6, bias=bias), nn.Linear(6, CLASSES, bias=bias)

    def forward(self, ecg: Tensor, meta: Tensor) -> Tensor:
        both = torch.cat([F.relu(self.conv(ecg)).mean(2), F.relu(self.table(meta))], 1)
        return self.out(F.relu(self.hidden(both)))


class Packed(nn.Module):
    """The same network for one tensor in which both lie side by side."""

    def __init__(self, net: EcgAndMeta) -> None:
        super().__init__()
        self.net = net

    def forward(self, both: Tensor) -> Tensor:
        return self.net(both[:, :60].reshape(-1, 3, 20), both[:, 60:])


def net(bias: bool = True) -> EcgAndMeta:
    return randomized(EcgAndMeta(bias))


def side_by_side(maps: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.concatenate([one.reshape(len(one), -1) for one in maps if one is not None], 1)


def same(got: tuple, wanted: tuple, tolerance: float = 1e-12) -> bool:
    """Whether several maps are the same, to the largest value of all."""
    return all((a is None) == (b is None) for a, b in zip(got, wanted, strict=True)) and (
        deviation(side_by_side(got), side_by_side(wanted)) < tolerance
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_method_keeps_the_contract(name):
    model, options = net(), quick(name)
    before = state(model)
    batch = explain(model, (ECG, META), name, 1, **options)
    assert isinstance(batch, tuple)
    assert [one.shape for one in batch if one is not None] == [ECG.shape, META.shape][: 1 if is_cam(name) else 2]
    assert np.isfinite(side_by_side(batch)).all()
    assert np.abs(batch[0]).max() > 0
    for size in (1, 3):
        assert same(explain(model, (ECG, META), name, 1, batch_size=size, **options), batch)
    for i in range(N):
        alone = explain(model, (ECG[i : i + 1], META[i : i + 1]), name, 1, **options)
        assert same(alone, tuple(one if one is None else one[i : i + 1] for one in batch))
    by_key = explain(model, {"ecg": ECG.numpy(), "meta": META.numpy()}, name, 1, **options)
    assert same(tuple(by_key.values()), tuple(one for one in batch if one is not None))
    assert_untouched(model, before)


@pytest.mark.parametrize("name", [name for name in NAMES if not is_cam(name) and parse_method(name).method not in DRAWN_BY_SHAPE])
def test_every_method_gives_what_it_gives_where_both_lie_in_one_tensor(name):
    model, options = net(), quick(name)
    wanted = explain(Packed(model), torch.cat([ECG.flatten(1), META], 1), name, 1, **options)
    assert deviation(side_by_side(explain(model, (ECG, META), name, 1, **options)), wanted) < 1e-12


def test_gradient_times_input_is_lrp_z_over_all_inputs():
    model = net(bias=False)
    by_gradient = explain(model, (ECG, META), "gradient_x_input", 1)
    assert same(explain(model, (ECG, META), "lrp_z", 1, relevance="logit"), by_gradient)
    logits = predict(model, (ECG, META))[:, 1].numpy()
    assert np.abs(side_by_side(by_gradient).sum(1) - logits).max() < 1e-12


def test_integrated_gradients_complete_over_all_inputs():
    model, zero = net(), (0 * ECG, 0 * META)
    for baseline, begin in [(None, zero), (0.5, (zero[0] + 0.5, zero[1] + 0.5)), ((None, 1.0), (zero[0], zero[1] + 1))]:
        maps = explain(model, (ECG, META), "integrated_gradients", 1, steps=2000, baseline=baseline)
        wanted = (predict(model, (ECG, META)) - predict(model, begin))[:, 1].numpy()
        assert np.abs(side_by_side(maps).sum(1) - wanted).max() < 2e-3 * np.abs(wanted).max()
    each = {"ecg": drawn(N, 3, 20, seed=9), "meta": drawn(2, seed=8)}
    by_key = explain(model, {"ecg": ECG, "meta": META}, "integrated_gradients", 1, baseline=each, steps=7)
    both = torch.cat([each["ecg"].flatten(1), each["meta"].expand(N, 2)], 1)
    packed = explain(Packed(model), torch.cat([ECG.flatten(1), META], 1), "integrated_gradients", 1, baseline=both, steps=7)
    assert deviation(side_by_side(tuple(by_key.values())), packed) < 1e-12


def test_the_ledger_holds_over_all_inputs():
    for name in ("lrp_z", "lrp_epsilon_0_1", "lrp_zplus", "lrp_gamma_0_25"):
        report = inspect_model(net(), {"ecg": ECG, "meta": META}, name, 1)
        assert abs(report.unaccounted) < 1e-12
        assert abs(report.relevance_at_input - side_by_side(explain(net(), (ECG, META), name, 1)).sum()) < 1e-12


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_25_std_x", "integrated_gradients", "smoothgrad", "grad_cam_timeseries"])
def test_what_is_not_explained_is_a_constant(name):
    model, options = net(), quick(name)

    class WithMeta(nn.Module):
        def __init__(self, meta: Tensor) -> None:
            super().__init__()
            self.model, self.meta = model, meta

        def forward(self, ecg: Tensor) -> Tensor:
            return self.model(ecg, self.meta.expand(len(ecg), 2))

    wanted = np.concatenate([explain(WithMeta(META[i : i + 1]), ECG[i : i + 1], name, 1, **options) for i in range(N)])
    for size in (None, 1, 3):
        for given in (
            explain(model, (ECG, META), name, 1, explained=0, batch_size=size, **options)[0],
            explain(model, {"meta": META, "ecg": ECG}, name, 1, explained=["ecg"], batch_size=size, **options)["ecg"],
            explain(model, ECG, name, 1, forward_kwargs={"meta": META}, batch_size=size, **options),
            explain(model, (ECG,), name, 1, forward_kwargs={"meta": META.numpy()}, batch_size=size, **options)[0],
        ):
            assert deviation(given, wanted) < 1e-12
    second = explain(model, (ECG, META), name, 1, explained=(0,), **options)[1]
    assert second is None
    assert list(explain(model, {"meta": META, "ecg": ECG}, name, 1, explained="ecg", **options)) == ["ecg"]


class UserWeights(dict):
    """A mapping of one's own."""


class Masked(nn.Module):
    """Takes a mask of some type, a scale for all samples and a flag."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv1d(3, 4, 3, padding=1), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: Tensor | float = 1.0, negate: bool = False) -> Tensor:
        h = F.relu(self.conv(x)) * scale
        if mask is not None:
            h = h * mask.unsqueeze(1)
        return self.out(-h.mean(2) if negate else h.mean(2))


MASK = torch.arange(20) < torch.tensor([20, 12, 5, 17]).unsqueeze(1)


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.uint8, torch.int32])
@pytest.mark.parametrize("name", ["gradient", "lrp_z", "integrated_gradients", "smoothgrad", "lrp_epsilon_0_25_std_x"])
def test_masks_of_any_type_have_no_relevance(name, kind):
    model, options = randomized(Masked()), quick(name)
    got = explain(model, {"x": ECG, "mask": MASK.to(kind)}, name, 1, **options)
    assert list(got) == ["x"]
    positional = explain(model, (ECG, MASK.to(kind)), name, 1, **options)
    assert positional[1] is None
    wanted = explain(model, ECG, name, 1, forward_kwargs={"mask": MASK.double()}, **options)
    assert deviation(got["x"], wanted) < 1e-12
    assert deviation(positional[0], wanted) < 1e-12


def test_what_has_not_a_row_for_each_sample_is_passed_whole():
    model = randomized(Masked())
    wanted = explain(model, 1.0 * ECG, "lrp_z", 1, forward_kwargs={"scale": 2.0, "negate": True})
    for given in (torch.tensor(2.0), np.float64(2.0), torch.full((1, 1, 20), 2.0)):
        assert deviation(explain(model, ECG, "lrp_z", 1, forward_kwargs={"scale": given, "negate": True}), wanted) < 1e-12


def test_any_mapping_is_taken_in_its_order():
    seen = []

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(5, CLASSES)

        def forward(self, **features: Tensor) -> Tensor:
            seen.append(tuple(features))
            return self.out(torch.cat(list(features.values()), 1))

    x = UserDict(zeta=drawn(N, 2), alpha=drawn(N, 1), mid=drawn(N, 2))
    model = randomized(Features())
    maps = explain(model, x, "gradient_x_input", 1)
    assert tuple(maps) == ("zeta", "alpha", "mid")
    assert set(seen) == {("zeta", "alpha", "mid")}
    wanted = explain(model.out, torch.cat(list(x.values()), 1), "gradient_x_input", 1)
    assert deviation(side_by_side(tuple(maps.values())), wanted) < 1e-12


def test_values_of_one_number_per_sample_are_taken():
    class Ages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(3, CLASSES)

        def forward(self, age: Tensor, rest: Tensor) -> Tensor:
            return self.out(torch.cat([age.unsqueeze(1), rest], 1))

    model, age, rest = randomized(Ages()), drawn(N), drawn(N, 2)
    for name in ("gradient_x_input", "lrp_z", "integrated_gradients", "smoothgrad"):
        options = {"noise_level": 0.0} if name == "smoothgrad" else {}
        at_age, at_rest = explain(model, (age, rest), name, 1, **options)
        wanted = explain(model.out, torch.cat([age.unsqueeze(1), rest], 1), "gradient" if name == "smoothgrad" else name, 1)
        assert at_age.shape == (N,)
        assert deviation(np.concatenate([at_age[:, None], at_rest], 1), wanted) < 1e-12


class AnyNames(nn.Module):
    """The same network for inputs of which its forward names none, or one."""

    def __init__(self, net: EcgAndMeta) -> None:
        super().__init__()
        self.net = net

    def forward(self, **inputs: Tensor) -> Tensor:
        return self.net(**inputs)


class OneNamed(AnyNames):
    def forward(self, meta: Tensor, **inputs: Tensor) -> Tensor:
        return self.net(meta=meta, **inputs)


@pytest.mark.parametrize("method", [*DRAWN_BY_SHAPE, "smoothgrad_noise_0_3_samples_7_x_sign"])
@pytest.mark.parametrize("kind", [lambda net: net, AnyNames, OneNamed])
def test_noise_does_not_depend_on_the_order_in_which_inputs_are_named(method, kind):
    model, inputs = kind(net()), {"ecg": ECG, "meta": META}
    turned = dict(reversed(inputs.items()))
    maps, others = explain(model, inputs, method, 1), explain(model, turned, method, 1)
    assert list(others) == list(turned)
    for key, one in maps.items():
        np.testing.assert_allclose(others[key], one, rtol=1e-5, atol=1e-7)
    alone = [explain(model, {key: value[row : row + 1] for key, value in turned.items()}, method, 1)["ecg"] for row in range(N)]
    np.testing.assert_allclose(np.concatenate(alone), maps["ecg"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["smoothgrad", "vargrad"])
def test_noise_of_named_inputs_is_drawn_as_the_model_takes_them(method):
    by_place, by_name = explain(net(), (ECG, META), method, 1), explain(net(), {"meta": META, "ecg": ECG}, method, 1)
    np.testing.assert_allclose(by_name["ecg"], by_place[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(by_name["meta"], by_place[1], rtol=1e-5, atol=1e-7)
    sorted_names = explain(AnyNames(net()), {"meta": META, "ecg": ECG}, method, 1)
    np.testing.assert_allclose(sorted_names["ecg"], by_place[0], rtol=1e-5, atol=1e-7)
    first_named = explain(OneNamed(net()), {"meta": META, "ecg": ECG}, method, 1)
    assert deviation(first_named["ecg"], by_place[0]) > 1e-3


def test_noise_is_in_the_range_of_each_input():
    model = net()
    still = explain(model, (ECG, META), "smoothgrad", 1, noise_level=(0.0, 0.0))
    assert same(still, explain(model, (ECG, META), "gradient", 1))
    one = explain(model, {"ecg": ECG, "meta": META}, "smoothgrad", 1, noise_level={"ecg": 0.3, "meta": 0.0})
    shifted = explain(model, {"ecg": ECG, "meta": META}, "smoothgrad", 1, noise_level={"ecg": 0.3})
    assert same(tuple(one.values()), tuple(shifted.values()))
    seen = []

    class Seen(EcgAndMeta):
        def forward(self, ecg: Tensor, meta: Tensor) -> Tensor:
            seen.append((ecg.detach().clone(), meta.detach().clone()))
            return super().forward(ecg, meta)

    large = (ECG[:1], 1000 * META[:1])
    explain(randomized(Seen()), large, "smoothgrad", 1, num_samples=500)
    signals, tables = (torch.cat(parts)[-500:] for parts in zip(*seen, strict=True))
    for x, points in zip(large, (signals, tables), strict=True):
        spread = (points - x).std() / (x.max() - x.min())
        assert abs(float(spread) - 0.2) < 0.01


def test_thresholds_may_differ_from_input_to_input():
    model = net()
    slopes = explain(model, (ECG, META), "gradient", 1)
    got = explain(model, (ECG, META), "gradient_x_sign_mu", 1, mu=(0.5, -0.2))
    assert same(got, (slopes[0] * np.where(ECG >= 0.5, 1, -1), slopes[1] * np.where(META >= -0.2, 1, -1)))
    assert same(explain(model, (ECG, META), "gradient_x_sign_mu", 1, mu=0.1), explain(model, (ECG, META), "gradient_x_sign_mu_0_1", 1))


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_1", "integrated_gradients", "smoothgrad", "guided_backprop"])
def test_layers_have_what_they_have_where_both_lie_in_one_tensor(name):
    model, options = net(), quick(name)
    if name == "smoothgrad":
        options["noise_level"] = 0.0
    both = torch.cat([ECG.flatten(1), META], 1)
    got = explain(model, (ECG, META), name, 1, at=["hidden", "conv"], **options)
    wanted = explain(Packed(model), both, name, 1, at=["net.hidden", "net.conv"], **options)
    assert deviation(got["hidden"], wanted["net.hidden"]) < 1e-12
    assert deviation(got["conv"], wanted["net.conv"]) < 1e-12


def test_several_methods_give_what_each_gives():
    names = ["gradient", "gradient_x_input", "lrp_z", "integrated_gradients", "grad_cam_timeseries"]
    maps = explain_all(net(), (ECG, META), names)
    for name in names:
        assert same(maps[name], explain(net(), (ECG, META), name))


def test_a_map_of_several_inputs_can_be_differentiated():
    model, both = net(), torch.cat([ECG.flatten(1), META], 1)
    ecg, packed = ECG.clone().requires_grad_(), both.clone().requires_grad_()
    options = {"as_tensor": True, "create_graph": True}
    at_ecg, at_meta = explain(model, (ecg, META), "lrp_epsilon_0_1", 1, **options)
    explain(Packed(model), packed, "lrp_epsilon_0_1", 1, **options).square().sum().backward()
    (at_ecg.square().sum() + at_meta.square().sum()).backward()
    assert deviation(ecg.grad.flatten(1).numpy(), packed.grad[:, :60].numpy()) < 1e-10


@pytest.mark.parametrize("name", ["gradient", "lrp_z", "integrated_gradients", "grad_cam_timeseries"])
def test_inputs_are_left_alone_by_a_network_that_writes_to_them(name):
    class Writes(EcgAndMeta):
        def forward(self, ecg: Tensor, meta: Tensor, mask: Tensor) -> Tensor:
            ecg.mul_(2)
            meta += 1
            mask.zero_()
            return super().forward(ecg, meta)

    x = {"ecg": ECG.clone(), "meta": META.clone(), "mask": torch.ones(N, 2)}
    explain(randomized(Writes()), x, name, 1)
    assert torch.equal(x["ecg"], ECG)
    assert torch.equal(x["meta"], META)
    assert bool(x["mask"].all())
    mask = torch.ones(N, 2)
    explain(randomized(Writes()), (ECG, META), name, 1, forward_kwargs={"mask": mask})
    assert bool(mask.all())


def test_two_images_have_a_cam_each():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.out = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 5, 3), nn.Linear(9, CLASSES)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.out(torch.cat([F.relu(self.left(left)).mean((2, 3)), F.relu(self.right(right)).mean((2, 3))], 1))

    model, left, right = randomized(Pair()), drawn(N, 3, 8, 8), drawn(N, 1, 12, 10)
    for name in ("grad_cam", "guided_grad_cam"):
        maps = explain(model, (left, right), name, 1)
        assert deviation(maps[0], explain(model, (left, right), name, 1, explained=0)[0]) < 1e-12
        assert deviation(maps[1], explain(model, (left, right), name, 1, explained=1)[1]) < 1e-12
        assert maps[0].shape == left.shape
        assert maps[1].shape == right.shape


def test_half_precision_inputs_are_rounded_by_the_model_alone():
    model = net().to(torch.bfloat16)
    maps = explain(model, (ECG, META), "lrp_epsilon_0_1", 1)
    wanted = explain(net().float(), (ECG, META), "lrp_epsilon_0_1", 1)
    assert {one.dtype for one in maps} == {np.dtype(np.float32)}
    assert np.corrcoef(side_by_side(maps).ravel(), side_by_side(wanted).ravel())[0, 1] > 0.99


def test_a_wrapped_model_takes_them_as_well():
    class Probabilities(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, ecg: Tensor, meta: Tensor) -> Tensor:
            return self.net(ecg, meta).softmax(1)

    wanted = explain(net(), (ECG, META), "lrp_epsilon_0_1", 1)
    model = Probabilities().eval()
    assert same(explain(model, (ECG, META), "lrp_epsilon_0_1", 1), wanted)
    assert same(explain(remove_softmax(model), (ECG, META), "lrp_epsilon_0_1", 1), wanted)
    by_key = explain(remove_softmax(model), {"ecg": ECG, "meta": META}, "lrp_epsilon_0_1", 1)
    assert same(tuple(by_key.values()), wanted)
    torch.testing.assert_close(predict(model, {"ecg": ECG, "meta": META}), predict(net(), (ECG, META)))


def test_networks_that_mix_samples_are_refused():
    class Mixes(EcgAndMeta):
        def forward(self, ecg: Tensor, meta: Tensor) -> Tensor:
            return super().forward(ecg - ecg.mean(0), meta)

    with pytest.raises(ModelError, match="mixes the samples of a batch"):
        explain(randomized(Mixes()), (ECG, META), "gradient", 1)
    assert explain(randomized(Mixes()), (ECG[:1], META[:1]), "gradient", 1)[0].shape == (1, 3, 20)


def test_draws_are_those_of_each_sample():
    class Draws(EcgAndMeta):
        def forward(self, ecg: Tensor, meta: Tensor) -> Tensor:
            return super().forward(F.dropout(ecg, 0.5), meta)

    model = randomized(Draws())
    with pytest.raises(ModelError, match="draws random numbers"):
        explain(model, (ECG, META), "gradient", 1)
    batch = explain(model, (ECG, META), "gradient", 1, stochastic=True)
    assert same(explain(model, (ECG[2:3], META[2:3]), "gradient", 1, stochastic=True), tuple(one[2:3] for one in batch))


def test_other_arguments_may_mix_samples_though_none_did_before():
    class Mixes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(2, CLASSES)

        def forward(self, x: Tensor, mixed: bool = False) -> Tensor:
            return self.out((x - x.mean(0)).tanh() if mixed else x)

    model = randomized(Mixes())
    assert np.abs(explain(model, META, "gradient", 1)).max() > 0
    for name in ("gradient", "lrp_z", "integrated_gradients"):
        with pytest.raises(ModelError, match="mixes the samples"):
            explain(model, META, name, 1, forward_kwargs={"mixed": True})


Weights = namedtuple("Weights", ["rows", "power"])


@pytest.mark.parametrize(
    "of",
    [lambda w: Weights(w, 2), lambda w: {"rows": w}, lambda w: [w], lambda w: UserWeights(rows=w)],
    ids=["named", "dict", "list", "own"],
)
def test_rows_in_containers_go_with_their_samples(of):
    def scaled(x: Tensor, weights: object) -> Tensor:
        rows = weights.rows if isinstance(weights, Weights) else weights[0] if isinstance(weights, list) else weights["rows"]
        return x * rows

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(2, CLASSES)

        def forward(self, x: Tensor, weights: object) -> Tensor:
            return self.out(scaled(x, weights))

    weights, model = of(drawn(N, 1)), randomized(Scaled())
    whole = explain(model, META, "gradient", 1, forward_kwargs={"weights": weights})
    assert deviation(explain(model, META, "gradient", 1, forward_kwargs={"weights": weights}, batch_size=1), whole) < 1e-14


def test_what_may_or_may_not_go_with_the_samples_is_refused():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(2, CLASSES)

        def forward(self, x: Tensor, sizes: object) -> Tensor:
            return self.out(x * torch.as_tensor(sizes)[0])

    model = randomized(Cut())
    with pytest.raises(OptionError, match="a list with a number for each of 4 samples"):
        explain(model, META, "gradient", 1, forward_kwargs={"sizes": [4, 2, 1, 3]})
    assert explain(model, META, "gradient", 1, forward_kwargs={"sizes": (4, 2, 1, 3)}).shape == (N, 2)
    assert explain(model, META, "gradient", 1, forward_kwargs={"sizes": [4, 2]}).shape == (N, 2)


def test_an_argument_that_cannot_be_copied_is_refused():
    class Locked:
        def __init__(self) -> None:
            self.lock, self.count = threading.Lock(), 0

        def __call__(self, x: Tensor) -> Tensor:
            self.count += 1
            return x * self.count

    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(2, CLASSES)

        def forward(self, x: Tensor, function: Locked) -> Tensor:
            return self.out(function(x))

    locked = Locked()
    with pytest.raises(OptionError, match="type Locked cannot be copied"):
        explain(randomized(Calls()), META, "gradient", 1, forward_kwargs={"function": locked})
    assert locked.count == 0


def test_a_sparse_argument_is_passed_whole_and_a_sparse_input_is_refused():
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(2, CLASSES)

        def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
            return self.out(neighbours @ x)

    model, neighbours = randomized(Graph()), 2 * torch.eye(N, dtype=torch.float64)
    wanted = explain(model.out, 2 * META, "gradient", 1) * 2
    assert (
        deviation(explain(model, META[:1], "gradient", 1, forward_kwargs={"neighbours": neighbours[:1, :1].to_sparse()}), wanted[:1])
        < 1e-12
    )
    with pytest.raises(InputError, match="the input 0 is sparse"):
        explain(model, (META.to_sparse(),), "gradient", 1)


def test_a_method_of_ones_own_is_given_one_input_at_a_time():
    class Halves(Analyzer):
        def attribute(self, batch):
            return batch.x / 2

    handle = register_method("halves_of_inputs", Halves)
    try:
        with pytest.raises(OptionError, match="explains one input of values at a time"):
            explain(net(), (ECG, META), "halves_of_inputs", 1)
        assert deviation(explain(net(), (ECG, META), "halves_of_inputs", 1, explained=0)[0], ECG.numpy() / 2) == 0
    finally:
        handle.remove()


WRONG = {
    "empty mapping": ({"x": {}}, InputError, "x is an empty dict"),
    "baseline of words": ({"x": (ECG, META), "baseline": (None, "zero")}, OptionError, "baseline of '1'='zero' is no number"),
    "no ids": ({"x": (ECG, META), "baseline_ids": 3}, OptionError, "none of the inputs are token ids"),
    "rows": ({"x": (ECG, META[:2])}, InputError, "the input 1 has 2 rows and the input 0 has 4"),
    "unknown key": ({"x": {"ecg": ECG, "age": META}}, ForwardError, "unexpected keyword argument 'age'"),
    "missing": ({"x": {"ecg": ECG}}, ForwardError, "missing 1 required positional argument: 'meta'"),
    "number as key": ({"x": {0: ECG, 1: META}}, InputError, "the keys of a mapping are the keywords"),
    "nan": ({"x": {"ecg": ECG, "meta": META * np.nan}}, InputError, "the input 'meta' holds NaN"),
    "empty": ({"x": (ECG, META[:, :0])}, InputError, "the input 1 is empty"),
    "complex": ({"x": (ECG, META + 1j)}, InputError, "the input 1 is torch.complex128"),
    "ragged": ({"x": {"ecg": ECG, "meta": [[1.0], [2.0, 3.0]]}}, InputError, "the input 'meta' is not an array"),
    "no values": ({"x": {"flag": True, "none": None}}, InputError, "none of the inputs 'flag', 'none' can be explained"),
    "unknown explained": ({"x": (ECG, META), "explained": "meta"}, OptionError, "there is no input 'meta'; the inputs are 0, 1"),
    "beyond": ({"x": (ECG, META), "explained": 2}, OptionError, "there is no input 2"),
    "number explained": ({"x": (ECG, META), "explained": 0.5}, OptionError, "must be keys or positions"),
    "nested explained": ({"x": (ECG, META), "explained": [[0]]}, OptionError, "must be keys or positions"),
    "none explained": ({"x": (ECG, META), "explained": []}, OptionError, "must be keys or positions"),
    "twice": ({"x": {"ecg": ECG, "meta": META}, "forward_kwargs": {"meta": META}}, OptionError, "gives 'meta', which is an input already"),
    "kwargs": ({"x": ECG, "forward_kwargs": [META]}, OptionError, "must be a dict from keywords"),
    "baseline too long": ({"x": (ECG, META), "baseline": (0, 0, 0)}, OptionError, "baseline= has 3 items for 2 inputs"),
    "baseline of another": ({"x": (ECG, META), "baseline": {"ecg": 0}}, OptionError, "baseline= names 'ecg'"),
    "baseline's shape": ({"x": (ECG, META), "baseline": (None, torch.ones(3))}, OptionError, "baseline of '1' has the shape (3,)"),
    "baseline of one": ({"x": drawn(2, 3, 20), "baseline": {"x": 0}}, OptionError, "x is one tensor"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_said_by_its_key(name):
    options, error, words = WRONG[name]
    model = net()
    before = state(model)
    with pytest.raises(error) as caught:
        explain(model, method_name="integrated_gradients", target_class=1, **options)
    assert words in str(caught.value)
    assert_untouched(model, before)
