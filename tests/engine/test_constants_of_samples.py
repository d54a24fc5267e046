"""A batch is its samples one by one, whatever constants it comes with: what one sample's are says nothing of another's."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain

N, T, C = 3, 4, 5
FRONT, BIAS, HEAD = drawn(C, C, seed=1), drawn(C, seed=2), drawn(3, C, seed=3)
METHODS = ["lrp_z", "lrp_epsilon_0_25", "lrp_alpha_2_beta_1", "lrp_epsilon_0_25_std_x", "zblrp_z", "lrpsign_z", "lrp_z_cp"]
PLACES = {
    "added": lambda y, k: y + k,
    "added in front": lambda y, k: k + y,
    "subtracted": lambda y, k: k - y,
    "multiplied": lambda y, k: y * k,
    "divided": lambda y, k: y / (k.abs() + 1),
    "in place": lambda y, k: y.add_(k),
    "one number each": lambda y, k: y + k[:, :1],
    "of what it gives": lambda y, k: y * k.exp() + k.tanh(),
    "addcmul": lambda y, k: torch.addcmul(k, y, k),
    "lerp": lambda y, k: torch.lerp(y, k, 0.3),
    "where": lambda y, k: torch.where(k > 0, y, 0.0),
}


class Beside(nn.Module):
    """A network with a constant beside its input."""

    def __init__(self, join) -> None:
        super().__init__()
        self.join = join

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return F.linear(self.join(F.linear(x, FRONT.to(x), BIAS.to(x)), k).relu(), HEAD.to(x))


@pytest.mark.parametrize("given", ["forward_kwargs", "explained"])
@pytest.mark.parametrize("place", PLACES)
def test_a_constant_beside_a_layer_belongs_to_its_sample(place, given):
    model, x, k = Beside(PLACES[place]), drawn(N, C, seed=4), drawn(N, C, seed=5)

    def maps(rows: slice, name: str):
        if given == "explained":
            return explain(model, {"x": x[rows], "k": k[rows]}, name, 1, explained="x")["x"]
        return explain(model, x[rows], name, 1, forward_kwargs={"k": k[rows]})

    for name in METHODS[:-1]:
        whole = maps(slice(None), name)
        assert [deviation(maps(slice(i, i + 1), name), whole[i : i + 1]) < 1e-12 for i in range(N)] == [True] * N, name


def values(y: Tensor) -> Tensor:
    return F.linear(y, FRONT.to(y).flip(0))


def exponentials(y: Tensor) -> Tensor:
    return (F.linear(y, FRONT.to(y)) @ y.mT).exp()


def weighed_from(y: Tensor, k: Tensor) -> Tensor:
    w, v, total = F.softmax(exponentials(y).log(), -1), values(y), k[:, :, None].expand_as(y)
    for i in range(T):
        total = total + w[..., i : i + 1] * v[:, i : i + 1]
    return total


def kept_from_zero(y: Tensor, k: Tensor) -> Tensor:
    e = exponentials(y)
    return (e @ values(y)) / (e.sum(-1, keepdim=True) + 1e-9)


def softly_masked(y: Tensor, k: Tensor) -> Tensor:
    e = exponentials(y) * k[:, None]
    return (e @ values(y)) / e.sum(-1, keepdim=True)


def softly_masked_first(y: Tensor, k: Tensor) -> Tensor:
    e = exponentials(y) * k[:, None]
    return (e / e.sum(-1, keepdim=True)) @ values(y)


class Mixing(nn.Module):
    """Attention, with a constant for each sample and position."""

    def __init__(self, mix) -> None:
        super().__init__()
        self.mix = mix

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return F.linear(self.mix(x, k).relu().mean(1), HEAD.to(x))


KINDS = torch.tensor([[1, 1, 1, 0], [0.5, 0.2, 0.7, 1.3], [0, 0, 0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("mix", [weighed_from, kept_from_zero, softly_masked, softly_masked_first])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_a_sample_is_masked_by_or_starts_from_says_nothing_of_another(mix, dtype):
    """Of the first it is a mask, of the second it is weights, of the third most is 0."""
    model, x, k = Mixing(mix), drawn(N, T, C, seed=6), KINDS
    x = (x * torch.tensor([1.0, 3.0, 0.2], dtype=torch.float64)[:, None, None]).to(dtype)
    for name in METHODS:
        whole = explain(model, x, name, 1, forward_kwargs={"k": k.to(dtype)})
        for i in range(N):
            alone = explain(model, x[i : i + 1], name, 1, forward_kwargs={"k": k[i : i + 1].to(dtype)})
            assert deviation(alone, whole[i : i + 1]) < (1e-11 if dtype == torch.float64 else 1e-4), (name, i)


@pytest.mark.parametrize("other", [F.relu, torch.abs, F.silu, lambda s: s.clamp(min=-3.0), lambda s: s - s.amax(-1, keepdim=True)],
                         ids=["relu", "abs", "silu", "clamp", "less a maximum"])  # fmt: skip
def test_exponents_that_agree_for_one_sample_are_not_one(other):
    model = Mixing(lambda y, k: (other(y).exp() / y.exp().sum(-1, keepdim=True)) * values(y))
    x, given = drawn(N, T, C, seed=6), {"forward_kwargs": {"k": drawn(N, T, seed=7)}}
    x[0] = x[0].abs()
    for name in METHODS:
        alone = explain(model, x[:1], name, 1, forward_kwargs={"k": given["forward_kwargs"]["k"][:1]})
        assert deviation(alone, explain(model, x, name, 1, **given)[:1]) < 1e-11, name


@pytest.mark.parametrize("name", METHODS)
def test_weights_that_are_no_mask_are_part_of_the_softmax(name):
    """``exp(s) k / sum(exp(s) k)`` is the softmax of ``s + log k``, and its scores share as those of any."""
    model, other = Mixing(softly_masked), Mixing(lambda y, k: F.softmax(exponentials(y).log() + k.log()[:, None], -1) @ values(y))
    x, k = drawn(N, T, C, seed=6), drawn(N, T, seed=7).abs() + 0.1
    given = {"forward_kwargs": {"k": k}}
    assert deviation(explain(model, x, name, 1, **given), explain(other, x, name, 1, **given)) < 1e-11


@pytest.mark.parametrize(
    "pool",
    [
        lambda s, v: (F.softmax(s, 1)[..., None] * v).sum(1),
        lambda s, v: (s.exp()[..., None] * v).sum(1) / s.exp().sum(1, keepdim=True),
        lambda s, v: sum(F.softmax(s, 1)[:, i : i + 1] * v[:, i] for i in range(v.shape[1])),
        lambda s, v: sum(s.exp()[:, i : i + 1] * v[:, i] for i in range(v.shape[1])) / s.exp().sum(1, keepdim=True),
    ],
    ids=["summed", "divided behind", "a loop", "a loop, divided behind"],
)
def test_one_position_is_pooled_as_it_is_among_padding(pool):
    class Pooling(nn.Module):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            s = x.mean(-1).masked_fill(mask == 0, -1e4)
            return F.linear(pool(s, values(x)), HEAD.to(x))

    x, mask = drawn(1, T, C, seed=8), torch.tensor([[1, 0, 0, 0]])
    for name in ("lrp_z", "lrp_epsilon_0_25"):
        padded = explain(Pooling(), x, name, 1, forward_kwargs={"mask": mask})
        alone = explain(Pooling(), x[:, :1], name, 1, forward_kwargs={"mask": mask[:, :1]})
        assert deviation(alone, padded[:, :1]) < 1e-11


@pytest.mark.parametrize("method", METHODS[:-1])
def test_one_number_beside_the_input_is_every_sample_s(method):
    model = Beside(lambda y, k: torch.sigmoid(y.flip(-1)) * (1 / (k + torch.exp(-y))))
    other = Beside(lambda y, k: torch.sigmoid(y.flip(-1)) * (1 / (1 + torch.exp(-y))))
    x, given = drawn(N, C, seed=4), {"k": torch.ones((), dtype=torch.float64)}
    expected = explain(other, x, method, 1, forward_kwargs=given)
    assert deviation(explain(model, x, method, 1, forward_kwargs=given), expected) < 1e-12
