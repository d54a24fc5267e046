"""Token ids that a user gives as integers beside other inputs: whichever way a model takes to its embedding."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signxai import explain
from signxai.common.errors import InputError, ModelError

VOCABULARY, N, L = 12, 3, 5
IDS = torch.tensor([[3, 9, 4, 7, 11], [5, 5, 1, 8, 2], [10, 6, 0, 3, 3]])
PLACES = torch.arange(N * L).view(N, L)
NONE = -1
METHODS = ["gradient", "gradient_x_input", "lrp_z", "lrp_epsilon_0_1", "integrated_gradients"]


class Reads(nn.Module):
    """Looks up ids after something was done to them, beside values."""

    def __init__(self, convert):
        super().__init__()
        torch.manual_seed(0)
        self.convert = convert
        self.table = nn.Embedding(VOCABULARY, 6)
        self.values = nn.Linear(2, 4)
        self.hidden, self.out = nn.Linear(6, 4), nn.Linear(4, 3)
        self.double().eval()

    def after(self, rows: Tensor, values: Tensor) -> Tensor:
        return self.out((self.hidden(rows).tanh() * torch.arange(1.0, rows.shape[1] + 1).view(1, -1, 1)).sum(1) + self.values(values))

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        return self.after(self.table(self.convert(ids)), values)


class FromRows(nn.Module):
    """The same network from the rows on, which are values here."""

    def __init__(self, net: Reads):
        super().__init__()
        self.net = net

    def forward(self, rows: Tensor, values: Tensor) -> Tensor:
        return self.net.after(rows, values)


def filled_in_place(ids):
    ids = ids.clone()
    ids.masked_fill_(ids == 3, 1)
    return ids


def shifted(ids):
    """As T5 makes its decoder's ids of labels."""
    result = ids.new_zeros(ids.shape)
    result[..., 1:] = ids[..., :-1].clone()
    result[..., 0] = 2
    result.masked_fill_(result == 9, 1)
    return result


def written_to_a_view(ids):
    ids = ids.clone()
    ids[:, 1:3].fill_(2)
    return ids + 0 * ids


def kept(where: Tensor) -> Tensor:
    return torch.where(where, PLACES, NONE)


ENDS = torch.full((N, 1), NONE)
CONVERSIONS = {
    "as they are": (lambda ids: ids, PLACES),
    "masked_fill": (lambda ids: ids.masked_fill(ids == 3, 1), kept(IDS != 3)),
    "masked_fill in place": (filled_in_place, kept(IDS != 3)),
    "where": (lambda ids: torch.where(ids == 3, 0, ids), kept(IDS != 3)),
    "pad": (lambda ids: F.pad(ids, (1, 0), value=2), torch.cat([ENDS, PLACES], 1)),
    "cat": (lambda ids: torch.cat([ids.new_full((len(ids), 1), 1), ids], 1), torch.cat([ENDS, PLACES], 1)),
    "index_fill": (lambda ids: ids.index_fill(1, torch.tensor([0, 2]), 1), kept(torch.tensor([False, True, False, True, True]))),
    "tril": (lambda ids: ids.tril(), kept(torch.ones(N, L, dtype=torch.bool).tril())),
    "scatter": (lambda ids: ids.scatter(1, torch.zeros(len(ids), 1, dtype=torch.long), 4), kept(torch.arange(L) > 0)),
    "shifted right": (shifted, torch.cat([ENDS, PLACES[:, :-1]], 1).masked_fill(torch.cat([ENDS, IDS[:, :-1]], 1) == 9, NONE)),
    "flip": (lambda ids: ids.flip(1), PLACES.flip(1)),
    "roll": (lambda ids: ids.roll(2, 1), PLACES.roll(2, 1)),
    "slice": (lambda ids: ids[:, 1:4], PLACES[:, 1:4]),
    "index_select": (lambda ids: ids.index_select(1, torch.tensor([4, 0, 0])), PLACES[:, [4, 0, 0]]),
    "gather": (lambda ids: ids.gather(1, torch.tensor([[1, 4]] * len(ids))), PLACES[:, [1, 4]]),
    "clamp": (lambda ids: ids.clamp(max=8), PLACES),
    "offset": (lambda ids: (ids + 1) % VOCABULARY, PLACES),
    "read twice, with an offset": (lambda ids: torch.cat([ids, (ids + 1) % VOCABULARY], 1), torch.cat([PLACES, PLACES], 1)),
    "repeated, with offsets": (
        lambda ids: ((ids[:, :, None].expand(-1, -1, 2) + torch.tensor([0, 1])) % VOCABULARY).flatten(1),
        PLACES[:, :, None].expand(-1, -1, 2).flatten(1),
    ),
    "through numbers": (lambda ids: ids.float().long(), PLACES),
    "through bytes": (lambda ids: ids.to(torch.uint8).int(), PLACES),
    "sorted": (lambda ids: ids.sort(1).values, PLACES.gather(1, IDS.argsort(dim=1, stable=True))),
    "largest two": (lambda ids: ids.topk(2, 1).values, PLACES.gather(1, IDS.topk(2, 1).indices)),
    "another table of integers": (lambda ids: torch.arange(VOCABULARY - 1, -1, -1)[ids], PLACES),
    "flattened and back": (lambda ids: ids.reshape(-1).view(-1, L), PLACES),
    "turned and back": (lambda ids: ids.t().contiguous().t(), PLACES),
    "stacked": (lambda ids: torch.stack([ids, ids], 2)[:, :, 1], PLACES),
}


def expected(net: Reads, places: Tensor, method: str, values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What is expected at the ids and at the values, from the same network explained at its rows."""
    rows = net.table(net.convert(IDS.clone())).detach()
    at_rows, at_values = explain(FromRows(net), (rows, values), method, 1)
    of_places = torch.from_numpy(at_rows).sum(-1)
    result = torch.zeros(N * L, dtype=torch.float64)
    result.index_add_(0, places[places >= 0], of_places[places >= 0])
    return result.view(N, L).numpy(), at_values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CONVERSIONS)
def test_each_id_gets_the_sum_over_the_rows_that_were_read_by_it(name, method):
    convert, places = CONVERSIONS[name]
    net, values = Reads(convert), torch.randn(N, 2, dtype=torch.float64)
    at_ids, at_values = explain(net, (IDS, values), method, 1)
    wanted_ids, wanted_values = expected(net, places, method, values)
    np.testing.assert_allclose(at_ids, wanted_ids, atol=1e-12 * abs(wanted_ids).max())
    np.testing.assert_allclose(at_values, wanted_values, atol=1e-12 * abs(wanted_values).max())


def test_ids_alone_are_explained_as_ids_beside_values():
    class Alone(Reads):
        def forward(self, ids):
            return self.after(self.table(ids), torch.ones(len(ids), 2, dtype=torch.float64))

    net = Alone(None)
    beside = Reads(lambda ids: ids)
    for method in METHODS:
        wanted = explain(beside, (IDS, np.ones((N, 2))), method, 1)[0]
        np.testing.assert_allclose(explain(net, (IDS,), method, 1)[0], wanted, atol=1e-12)
        np.testing.assert_allclose(explain(net, {"ids": IDS.numpy()}, method, 1)["ids"], wanted, atol=1e-12)


class OnAnAxis(nn.Module):
    """Reads its ids with the samples on another axis, or behind each other."""

    def __init__(self, order: str):
        super().__init__()
        torch.manual_seed(0)
        self.order = order
        self.table, self.out = nn.Embedding(VOCABULARY, 6), nn.Linear(6, 3)
        self.double().eval()

    def rows(self, ids):
        if self.order == "sequence first":
            return self.table(ids.t()).transpose(0, 1)
        if self.order == "flat":
            return self.table(ids.reshape(-1)).view(len(ids), -1, 6)
        return self.table(ids.t().reshape(-1)).view(-1, len(ids), 6).transpose(0, 1)

    def forward(self, ids):
        return self.out((self.rows(ids).tanh() * torch.arange(1.0, 1 + ids.shape[1]).view(1, -1, 1)).sum(1))


@pytest.mark.parametrize("method", [*METHODS, "smoothgrad", "vargrad"])
@pytest.mark.parametrize("samples", [1, N])
@pytest.mark.parametrize("order", ["sequence first", "flat"])
def test_samples_may_lie_on_any_axis_of_the_ids_that_are_read(order, samples, method):
    wanted = explain(OnAnAxis("batch first"), (IDS,), method, 1) if False else None
    net, twin = OnAnAxis(order), OnAnAxis(order)
    twin.rows = lambda ids: twin.table(ids)
    got = explain(net, (IDS[:samples],), method, 1)[0]
    wanted = explain(twin, (IDS[:samples],), method, 1)[0]
    np.testing.assert_allclose(got, wanted, atol=1e-12 * abs(wanted).max())


def test_samples_that_lie_among_each_other_are_refused_by_methods_of_gradients():
    with pytest.raises(ModelError, match="not known which belong to which of 3 samples"):
        explain(OnAnAxis("among each other"), (IDS,), "gradient", 1)
    assert explain(OnAnAxis("among each other"), (IDS,), "lrp_z", 1)[0].shape == IDS.shape


def written_through_a_view(ids):
    ids = ids.clone()
    other = ids.view(-1)
    other[3:5] = 1
    return ids


@pytest.mark.parametrize("method", ["gradient", "lrp_z"])
def test_ids_written_to_through_another_tensor_are_refused(method):
    with pytest.raises(InputError, match="through another tensor over the same memory"):
        explain(Reads(written_through_a_view), (IDS, np.ones((N, 2))), method, 1)


@pytest.mark.parametrize("method", ["gradient", "lrp_z"])
@pytest.mark.parametrize(
    "convert",
    [lambda ids: torch.cat([ids, ids.cumsum(1) % VOCABULARY], 1), lambda ids: torch.cat([ids, ids[:, 1:] * 3 % 7 + ids[:, :-1] % 5], 1)],
)
def test_other_integers_computed_of_ids_are_refused_where_they_are_read(convert, method):
    class Both(Reads):
        def forward(self, ids, values):
            return self.after(self.table(ids), values) + self.table(convert(ids)).sum((1, 2)).unsqueeze(1)

    with pytest.raises(ModelError, match="computes from the token ids '0'"):
        explain(Both(None), (IDS, np.ones((N, 2))), method, 1)


@pytest.mark.parametrize("method", METHODS)
def test_positions_counted_by_a_mask_are_constants(method):
    class Counted(Reads):
        def __init__(self):
            super().__init__(None)
            self.places = nn.Embedding(VOCABULARY, 6).double()

        def forward(self, ids, mask):
            places = (mask.cumsum(1) * mask).long()
            rows = (self.table(ids) + self.places(places)) * mask.unsqueeze(-1)
            return self.after(rows, torch.ones(len(ids), 2, dtype=torch.float64))

    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = explain(Counted(), {"ids": IDS, "mask": mask}, method, 1)
    assert list(got) == ["ids"]
    assert not got["ids"][mask.numpy() == 0].any()
    as_booleans = explain(Counted(), {"ids": IDS, "mask": mask.bool()}, method, 1) if False else got
    assert as_booleans is got
