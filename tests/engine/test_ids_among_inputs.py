"""Token ids that a user gives as integers beside other inputs: whichever way a model takes to its embedding."""

from __future__ import annotations

import time
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

from signxai import explain, inspect_model
from signxai.common.errors import ForwardError, InputError, ModelError, OptionError
from signxai.engine.embedding_rows import CancelledWarning
from signxai.engine.prediction import predict, remove_softmax
from signxai.methods.analyzer import Analyzer
from signxai.methods.repeated import IncompleteWarning

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


# --- what is right, or refused, however a model treats its ids


class Written(nn.Module):
    """A small network whose forward is a function of it and of its inputs."""

    def __init__(self, forward) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.written = forward
        self.table, self.other = nn.Embedding(VOCABULARY, 6), nn.Embedding(VOCABULARY, 6)
        self.places = nn.Parameter(torch.randn(L, 6))
        self.values, self.hidden, self.out = nn.Linear(1, 3), nn.Linear(4, 6), nn.Linear(6, 3)
        self.double().eval()

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        return self.written(self, *args, **kwargs)


def in_place(net, ids):
    rows = net.table(ids)
    rows *= 2
    rows += net.places
    return net.out((rows**3).tanh().sum(1))


def out_of_place(net, ids):
    return net.out(((net.table(ids) * 2 + net.places) ** 3).tanh().sum(1))


@pytest.mark.parametrize("method", [*METHODS, "smoothgrad"])
def test_rows_that_a_model_writes_to_are_as_they_were_read(method):
    wanted = explain(Written(out_of_place), (IDS,), method, 1)[0]
    np.testing.assert_allclose(explain(Written(in_place), (IDS,), method, 1)[0], wanted, atol=1e-12 * abs(wanted).max())


def by_type(net, x):
    return net.out(net.table(x).sum(1)) if not x.is_floating_point() else net.out(x.repeat(1, 2)[:, :6])


def hashed(net, x):
    return net.out((net.table((x * 7919) % VOCABULARY) ** 3).sum(1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("forward", [by_type, hashed])
def test_one_tensor_of_ids_is_explained_as_one_among_several(forward, method):
    net, ids = Written(forward), IDS if forward is by_type else IDS + 30_000
    wanted = explain(net, (ids,), method)[0]
    np.testing.assert_array_equal(explain(net, ids, method), wanted)
    torch.testing.assert_close(predict(net, ids), net(ids).detach())


@pytest.mark.parametrize("method", [*METHODS, "smoothgrad"])
@pytest.mark.parametrize("x", [torch.tensor([1, 2, 3]), torch.tensor([[1, 2, 3, 4], [5, 6, 7, 9]]), np.arange(8).reshape(2, 4)], ids=str)
def test_integers_by_which_nothing_is_read_are_numbers(x, method):
    net = Written(lambda net, x: net.values(x.unsqueeze(1)) if x.ndim == 1 else net.out(net.hidden(x).tanh()))
    wanted = explain(net, torch.as_tensor(x).double(), method, 1)
    np.testing.assert_allclose(explain(net, x, method, 1), wanted, atol=1e-14)
    np.testing.assert_allclose(explain(net, x, method, 1, forward_kwargs={}), wanted, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_an_integer_beside_values_that_is_a_number_is_a_constant(method):
    """And nobody is told of a table that was read by it."""
    net = Written(lambda net, x, age: net.out(net.hidden(torch.cat([x, age * 0.1], 1)).tanh()))
    x = torch.rand(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = explain(net, {"x": x, "age": torch.tensor([[30], [50]])}, method, 1)
    wanted = explain(net, {"x": x, "age": torch.tensor([[30.0], [50.0]])}, method, 1, explained="x")
    assert list(found) == ["x"]
    np.testing.assert_allclose(found["x"], wanted["x"], atol=1e-14)


def read_together(net, a, b):
    return net.out((net.table(torch.cat([a, b], 1)) ** 3).tanh().sum(1))


def read_apart(net, a, b):
    return net.out((torch.cat([net.table(a), net.table(b)], 1) ** 3).tanh().sum(1))


@pytest.mark.parametrize("method", METHODS)
def test_ids_that_are_not_explained_are_constants(method):
    x = {"a": IDS, "b": (IDS + 1) % VOCABULARY}
    maps = [explain(Written(forward), x, method, 1, explained="b") for forward in (read_together, read_apart)]
    assert [list(one) for one in maps] == [["b"], ["b"]]
    np.testing.assert_allclose(maps[0]["b"], maps[1]["b"], atol=1e-12)


def test_integrated_gradients_of_ids_complete_beside_constants():
    net = Written(lambda net, ids: net.out((net.table(F.pad(ids, (1, 0), value=2)) * net.places[:, :1].sum()).tanh().prod(1)))
    maps = explain(net, (IDS,), "integrated_gradients", 1, steps=4000)[0]
    rows = net.table(F.pad(IDS, (1, 0), value=2)).detach()
    zero = rows.clone()
    zero[:, 1:] = 0
    scores = [net.out((at * net.places[:, :1].sum()).tanh().prod(1))[:, 1] for at in (rows, zero)]
    np.testing.assert_allclose(maps.sum(1), (scores[0] - scores[1]).detach(), atol=1e-5)


def test_options_of_each_input_are_refused_where_one_embedding_reads_both():
    x = {"a": IDS, "b": (IDS + 1) % VOCABULARY}
    with pytest.raises(OptionError, match="reads the ids of a, b from one embedding together"):
        explain(Written(read_together), x, "integrated_gradients", 1, baseline_ids={"a": 1})
    with pytest.raises(OptionError, match="noise_level= differs among the inputs a, b"):
        explain(Written(read_together), x, "smoothgrad", 1, noise_level={"a": 0, "b": 0.3})
    both = explain(Written(read_together), x, "integrated_gradients", 1, baseline_ids={"a": 1, "b": 2})
    apart = explain(Written(read_apart), x, "integrated_gradients", 1, baseline_ids={"a": 1, "b": 2})
    np.testing.assert_allclose(both["b"], apart["b"], atol=1e-12)


def test_a_baseline_of_ids_is_that_of_their_rows():
    net, values = Reads(lambda ids: ids), torch.randn(N, 2, dtype=torch.float64)
    pad = torch.tensor([2, 0, 1, 2, 3])
    rows, others = net.table(IDS).detach(), net.table(pad).detach()
    wanted = explain(FromRows(net), (rows, values), "integrated_gradients", 1, baseline=(others, None))
    for options in ({"baseline_ids": pad}, {"baseline_ids": {"ids": pad.numpy()}}, {"baseline": {"ids": pad}}):
        got = explain(net, {"ids": IDS, "values": values}, "integrated_gradients", 1, **options)
        np.testing.assert_allclose(got["ids"], wanted[0].sum(-1), atol=1e-12)
        np.testing.assert_allclose(got["values"], wanted[1], atol=1e-12)


def other_order(net, ids, values):
    if values.mean() > 0.3:
        a, b = net.table(ids), net.other(ids)
    else:
        b, a = net.other(ids), net.table(ids)
    return net.out((a * b.tanh()).sum(1)) + net.values(values)


def other_table(net, ids, values):
    return net.out((net.table if values.mean() > 0.3 else net.other)(ids).sum(1)) + net.values(values)


@pytest.mark.parametrize("forward", [other_order, other_table])
def test_embeddings_that_are_read_otherwise_for_other_values_are_refused(forward):
    with pytest.raises(ModelError, match="reads its embeddings another number of times, in another order, or other rows"):
        explain(Written(forward), (IDS[:1], torch.ones(1, 1)), "integrated_gradients", 1)
    assert explain(Written(forward), (IDS[:1], torch.ones(1, 1)), "lrp_z", 1)[0].shape == (1, L)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("samples", [1, N])
def test_positions_by_which_hidden_values_are_picked_are_constants(samples, method):
    def picked(net, x, place):
        hidden = net.hidden(x).tanh()
        return net.out(hidden.flatten(0, 1)[place + torch.arange(len(x)) * x.shape[1]])

    x, place = torch.randn(samples, L, 4, dtype=torch.float64), torch.tensor([1, 2, 4])[:samples]
    got, none = explain(Written(picked), (x, place), method, 1)
    assert none is None
    wanted = explain(Written(picked), x, method, 1, forward_kwargs={"place": place})
    np.testing.assert_allclose(got, wanted, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_part_of_what_was_made_of_rows_is_no_lookup(method):
    def first(net, ids):
        hidden = net.table(ids) * ids.clamp(max=1).unsqueeze(-1)
        return net.out(hidden[:, 0] + hidden[:, 1].tanh())

    assert not explain(Written(first), (IDS,), method, 1)[0][:, 2:].any()


@pytest.mark.parametrize("method", METHODS)
def test_ids_may_be_cut_to_the_longest_of_a_batch(method):
    def trimmed(net, ids, mask):
        ids = ids[:, : int(mask.sum(1).max())]
        return net.out((net.table(ids) * mask[:, : ids.shape[1], None]).tanh().sum(1))

    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]])
    batch = explain(Written(trimmed), {"ids": IDS, "mask": mask}, method, 1)["ids"]
    for i in range(N):
        alone = explain(Written(trimmed), {"ids": IDS[i : i + 1], "mask": mask[i : i + 1]}, method, 1)["ids"]
        np.testing.assert_allclose(alone, batch[i : i + 1], atol=1e-12)


def test_integers_alone_that_nothing_reads_are_refused():
    with pytest.raises(ModelError, match="no relevance reaches 'x' of shape"):
        explain(Written(lambda net, x: net.out(net.hidden(x.double()))), {"x": torch.ones(2, 4, dtype=torch.long)}, "gradient", 1)


def test_a_gradient_that_cancels_over_each_row_is_said_to():
    def normed(net, ids):
        return net.out((F.layer_norm(net.table(ids), (6,)) ** 3).tanh().sum(1))

    with pytest.warns(CancelledWarning, match="sums to zero over each row"):
        explain(Written(normed), (IDS,), "gradient", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(Written(normed), (IDS,), "gradient_x_input", 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("length", [1, 200])
def test_sums_over_rows_that_are_small_and_no_rounding_are_not_said_to_cancel(length):
    class Nearly(nn.Module):
        """Each of its rows counts by what is left of two weights of opposite sign."""

        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(VOCABULARY, 2)
            self.weight = nn.Parameter(torch.tensor([[1.0, -1.0 + 2.0**-14]]))

        def forward(self, ids):
            return F.linear(self.table(ids).sum(1), self.weight)

    ids = torch.arange(length).view(1, -1) % VOCABULARY
    np.testing.assert_allclose(explain(Nearly(), (ids,), "gradient", 0)[0], 2.0**-14)


def test_integrated_gradients_that_do_not_complete_are_said_not_to():
    def normed(net, ids):
        return net.out(F.rms_norm(net.table(ids), (6,), eps=1e-12).sum(1))

    with pytest.warns(IncompleteWarning, match="the score differs from that of the baseline by"):
        explain(Written(normed), (IDS,), "integrated_gradients", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(Written(normed), (IDS,), "integrated_gradients", 1, baseline_ids=2)


def test_an_activation_that_an_output_of_two_inputs_has_by_chance_stays():
    def by_chance(net, a, b):
        return torch.sigmoid(net.values(b)) + torch.relu(a)

    net, a, b = Written(by_chance), -torch.rand(N, 3, dtype=torch.float64), torch.randn(N, 1, dtype=torch.float64)
    torch.testing.assert_close(remove_softmax(net)(a, b), net(a, b))
    np.testing.assert_array_equal(explain(remove_softmax(net), (a, b), "gradient", 1)[1], explain(net, (a, b), "gradient", 1)[1])
    surely = Written(lambda net, a, b: torch.sigmoid(net.values(b) + a))
    torch.testing.assert_close(remove_softmax(surely)(a, b), surely.values(b) + a)


def test_grad_cam_has_no_map_of_ids():
    class Captioned(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.table, self.out = nn.Conv2d(1, 6, 3), nn.Embedding(VOCABULARY, 6), nn.Linear(6, 3)

        def forward(self, image, ids):
            return self.out(self.conv(image).relu().mean((2, 3)) * self.table(ids).sum(1))

    image = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    maps = explain(Captioned().eval(), {"image": image, "ids": IDS}, "grad_cam", 1)
    assert list(maps) == ["image"]


@pytest.mark.parametrize("method", ["lrp_z", "gradient_x_input"])
@pytest.mark.parametrize("given", [lambda ids: ids, lambda ids: {"ids": ids}], ids=["one", "mapping"])
def test_samples_that_are_mixed_are_refused_behind_a_place_that_ids_name(given, method):
    def pooled(net, ids, mixed=True):
        hidden = (net.table(ids) * 2).tanh()
        picked = hidden[torch.arange(len(ids)), ids.argmax(1)] + hidden.sum(1)
        return net.out(picked - picked.mean(0) if mixed else picked)

    with pytest.raises(ModelError, match="mixes the samples"):
        explain(Written(pooled), given(IDS), method, 1)
    apart = Written(lambda net, ids: pooled(net, ids, mixed=False))
    maps = [explain(apart, given(IDS), method, 1, batch_size=size) for size in (None, 1, 2)]
    maps = [one["ids"] if isinstance(one, dict) else one for one in maps]
    np.testing.assert_allclose(maps[1], maps[0], atol=1e-12)
    np.testing.assert_allclose(maps[2], maps[0], atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_an_operation_that_writes_its_result_elsewhere_is_run_once(method):
    def written(net, ids):
        more = torch.empty_like(ids)
        torch.add(ids, 1, out=more)
        return net.out((net.table(more % VOCABULARY) ** 3).sum(1))

    twin = Written(lambda net, ids: net.out((net.table((ids + 1) % VOCABULARY) ** 3).sum(1)))
    torch.testing.assert_close(predict(Written(written), IDS), twin(IDS).detach())
    np.testing.assert_allclose(explain(Written(written), IDS, method, 1), explain(twin, IDS, method, 1), atol=1e-12)


INDICES = {
    "sort": lambda ids: ids.sort(1)[1],
    "topk": lambda ids: ids.topk(2, 1)[1],
    "max": lambda ids: ids.max(1, keepdim=True)[1],
    "cummax": lambda ids: ids.cummax(1)[1],
    "argsort": lambda ids: ids.argsort(1),
    "argmax": lambda ids: ids.argmax(1, keepdim=True),
    "differences": lambda ids: ids.diff(dim=1).abs(),
    "sums": lambda ids: ids.cumsum(1) % VOCABULARY,
    "pairs": lambda ids: (ids[:, 1:] * 3 + ids[:, :-1]) % VOCABULARY,
}


@pytest.mark.parametrize("size", [None, 1, 2])
@pytest.mark.parametrize("method", ["lrp_z", "gradient_x_input"])
@pytest.mark.parametrize("name", INDICES)
def test_integers_that_are_computed_of_ids_are_refused_where_they_alone_are_read(name, method, size):
    net = Written(lambda net, ids: net.out(net.table(INDICES[name](ids)).tanh().sum(1)))
    with pytest.raises(ModelError, match=r"computes from the token ids '0', not place by place"):
        explain(net, IDS, method, 1, batch_size=size)


def test_a_baseline_of_one_tensor_of_ids_is_one_of_ids():
    net = nn.Sequential(nn.Embedding(VOCABULARY, 4), nn.Tanh(), nn.Flatten(), nn.Linear(4 * L, 3)).double()
    pad = torch.full_like(IDS, 2)
    wanted = explain(net, IDS, "integrated_gradients", 1, baseline_ids=2)
    for options in ({"baseline": pad}, {"baseline": 2}, {"baseline": [2] * L}, {"baseline_ids": pad.numpy()}):
        np.testing.assert_allclose(explain(net, IDS, "integrated_gradients", 1, **options), wanted, atol=1e-14)
    assert np.abs(wanted - explain(net, IDS, "integrated_gradients", 1)).max() > 1e-3
    for wrong in ("q", torch.ones(7, dtype=torch.long), 0.5, {0: 1.0}, {"0": 1}):
        with pytest.raises(OptionError, match="baseline"):
            explain(net, IDS, "integrated_gradients", 1, baseline=wrong)


@pytest.mark.parametrize("name", ["lrp_z", "gradient", "predict"])
def test_ids_in_floating_point_that_may_have_been_rounded_are_refused(name):
    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(3000, 4), nn.Linear(4, 2)

        def forward(self, ids):
            return self.out(self.table(ids).tanh().sum(1))

    net, ids = Large().bfloat16().eval(), torch.tensor([[2049, 1001]])
    if name == "predict":
        torch.testing.assert_close(predict(net, ids), net(ids).detach())
        return
    assert explain(net, ids, name, 1).shape == (1, 2)
    with pytest.raises(InputError, match=r"as integers|token ids have no gradient"):
        explain(net, ids.double(), name, 1)


@pytest.mark.parametrize("method", ["lrp_z", "gradient", "integrated_gradients", "predict"])
def test_a_table_that_is_scaled_down_stays_the_users(method):
    net = Written(lambda net, ids: net.out(F.embedding(ids, net.table.weight, max_norm=0.5).sum(1)))
    before = net.table.weight.detach().clone()
    if method == "predict":
        predict(net, IDS)
    else:
        explain(net, IDS, method, 1)
    assert torch.equal(net.table.weight, before)


def number_reader() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)).double().eval()


NUMBERS = torch.arange(72).view(3, 3, 8) % 9


@pytest.mark.parametrize("method", ["gradient", "lrp_z", "integrated_gradients", "smoothgrad"])
def test_integers_that_are_numbers_are_taken_by_every_option(method):
    net, x = number_reader(), NUMBERS.double()
    for options in ({"at": "1", "batch_size": 2}, {"at": ["0", "1"], "batch_size": 1}, {"batch_size": 2}, {"stochastic": True}):
        got, wanted = explain(net, NUMBERS, method, 1, **options), explain(net, x, method, 1, **options)
        for one, other in zip(got.values(), wanted.values(), strict=True) if isinstance(got, dict) else [(got, wanted)]:
            np.testing.assert_array_equal(one, other)
    graph = {"as_tensor": True, "create_graph": True}
    again = number_reader()
    torch.testing.assert_close(explain(again, NUMBERS, method, 1, **graph), explain(again, x, method, 1, **graph))


def test_reports_and_draws_take_integers_that_are_numbers():
    net = number_reader()
    report = inspect_model(net, NUMBERS, "lrp_z", 1)
    assert abs(report.relevance_at_input - inspect_model(net, NUMBERS.double(), "lrp_z", 1).relevance_at_input) < 1e-12
    drawing = Written(lambda net, x: net.out(net.hidden(F.dropout(x, 0.5, True))))
    x = torch.arange(8).view(2, 4)
    for method in ("gradient", "lrp_z", "smoothgrad"):
        np.testing.assert_array_equal(
            explain(drawing, x, method, 1, stochastic=True), explain(drawing, x.double(), method, 1, stochastic=True)
        )


@pytest.mark.parametrize("method", ["gradient_x_input", "lrp_z"])
def test_layers_of_networks_that_read_ids_are_put_together(method):
    net = nn.Sequential(nn.Embedding(VOCABULARY, 4), nn.Tanh(), nn.Flatten(), nn.Linear(4 * L, 3)).double().eval()
    name = "lrp_z" if method == "lrp_z" else "gradient"
    whole = explain(net, IDS, name, 1, at=["0", "1"])
    for size in (1, 2):
        parts = explain(net, IDS, name, 1, at=["0", "1"], batch_size=size)
        for layer in ("0", "1"):
            np.testing.assert_allclose(parts[layer], whole[layer], atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cut", [lambda ids: ids.data, lambda ids: ids.detach(), lambda ids: ids.clone().contiguous()])
def test_ids_without_a_graph_are_ids(cut, method):
    net = Written(lambda net, ids: net.out(net.table(cut(ids)).tanh().sum(1)))
    wanted = explain(Written(lambda net, ids: net.out(net.table(ids).tanh().sum(1))), IDS, method, 1)
    np.testing.assert_allclose(explain(net, IDS, method, 1), wanted, atol=1e-13)
    np.testing.assert_allclose(explain(net, (IDS,), method, 1)[0], wanted, atol=1e-13)


@pytest.mark.parametrize("method", ["gradient", "lrp_z"])
@pytest.mark.parametrize("wrong", [VOCABULARY, -1])
def test_ids_out_of_the_vocabulary_are_said_to_be(wrong, method):
    ids = IDS.clone()
    ids[1, 2] = wrong
    for x in (ids, (ids,)):
        with pytest.raises(ForwardError, match="IndexError: index out of range"):
            explain(Written(lambda net, ids: net.out(net.table(ids).sum(1))), x, method, 1)


WRITES = {
    "scatter": lambda ids: torch.zeros_like(ids).scatter(1, torch.arange(L).expand(len(ids), L), ids),
    "index_copy_": lambda ids: torch.zeros_like(ids).index_copy_(1, torch.arange(L), ids),
    "copy_": lambda ids: torch.zeros_like(ids).copy_(ids),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", WRITES)
def test_ids_may_be_written_into_other_integers(name, method):
    net = Written(lambda net, ids: net.out((net.table(WRITES[name](ids)).tanh() ** 2).sum(1)))
    wanted = explain(Written(lambda net, ids: net.out((net.table(ids).tanh() ** 2).sum(1))), IDS, method, 1)
    for size in (None, 2):
        np.testing.assert_allclose(explain(net, IDS, method, 1, batch_size=size), wanted, atol=1e-13)


@pytest.mark.parametrize("method", ["gradient", "lrp_z"])
def test_ids_written_into_a_part_of_other_integers_are_refused(method):
    def parts(net, ids):
        more = torch.zeros(len(ids), L + 1, dtype=torch.long)
        more[:, 1:].copy_(ids)
        return net.out(net.table(more).tanh().sum(1))

    with pytest.raises(ModelError, match=r"'copy_' in .* computes from the token ids"):
        explain(Written(parts), IDS, method, 1)


def test_points_without_their_samples_are_refused():
    class OneRow(Analyzer):
        def attribute(self, batch):
            rows = [batch.run(batch.x[i : i + 1], rows=[i] if self.seed else None) for i in range(len(batch.x))]
            return torch.cat(rows).sum(1, keepdim=True).detach().expand_as(batch.x)

    net, x, scale = Written(lambda net, x, scale: net.out(net.hidden(x) * scale)), torch.ones(N, 4), torch.arange(1.0, N + 1).view(N, 1)
    with pytest.raises(ModelError, match="1 points of 3 samples: say by rows="):
        OneRow(net, forward_kwargs={"scale": scale}).analyze(x, 1)
    got = OneRow(net, seed=1, forward_kwargs={"scale": scale}).analyze(x, 1)
    np.testing.assert_allclose(got[:, 0], net(x.double(), scale.double()).sum(1).detach(), atol=1e-12)


def added(ids):
    more = torch.ones_like(ids)
    more.add_(ids)
    return more


def multiplied(ids):
    more = torch.full_like(ids, 2)
    more *= ids
    return more % VOCABULARY


def taken_off(ids):
    more = torch.full_like(ids, VOCABULARY - 1)
    more.sub_(ids)
    return more


def changed_themselves(ids):
    ids = ids.clone()
    ids += 1
    ids %= VOCABULARY
    return ids


def moved_elsewhere(ids):
    more = torch.empty(len(ids), L + 1, dtype=torch.long)
    torch.cat([ids, ids[:, :1]], 1, out=more)
    return more[:, :L]


ACCUMULATED = {
    "added": (added, lambda ids: ids + 1),
    "multiplied": (multiplied, lambda ids: 2 * ids % VOCABULARY),
    "taken off": (taken_off, lambda ids: VOCABULARY - 1 - ids),
    "changed themselves": (changed_themselves, lambda ids: (ids + 1) % VOCABULARY),
    "moved elsewhere": (moved_elsewhere, lambda ids: ids),
}


@pytest.mark.parametrize("given", [lambda ids: ids, lambda ids: {"ids": ids}], ids=["one", "mapping"])
@pytest.mark.parametrize("name", ACCUMULATED)
def test_what_the_model_writes_to_is_written_once(name, given):
    written, plain = (Written(partial(_cubes, of)) for of in ACCUMULATED[name])
    torch.testing.assert_close(predict(written, given(IDS % 11)), plain(IDS % 11).detach())
    for method in METHODS:
        got, wanted = explain(written, given(IDS % 11), method, 1), explain(plain, given(IDS % 11), method, 1)
        got, wanted = (one["ids"] if isinstance(one, dict) else one for one in (got, wanted))
        np.testing.assert_allclose(got, wanted, atol=1e-12 * abs(wanted).max())


def _cubes(of, net, ids):
    return net.out((net.table(of(ids)) ** 3).sum(1))


@pytest.mark.parametrize("name", INDICES)
def test_predictions_need_no_way_back(name):
    net = Written(lambda net, ids: net.out(net.table(INDICES[name](ids)).tanh().sum(1)))
    torch.testing.assert_close(predict(net, IDS), net(IDS).detach())
    torch.testing.assert_close(predict(net, {"ids": IDS}), net(IDS).detach())


def test_trials_draw_nothing():
    def noisy(net, ids):
        return net.out(net.table((ids + torch.randint_like(ids, 3)) % VOCABULARY).sum(1)) + torch.rand(1, dtype=torch.float64)

    net = Written(noisy)
    torch.manual_seed(0)
    wanted = net(IDS[:1]).detach()
    torch.testing.assert_close(predict(net, (IDS[:1],), stochastic=True), wanted)


def test_a_network_that_runs_under_a_rule_alone_has_a_map():
    class Clocked(nn.Module):
        """Names a clock, so that it is run again; and takes a type that one of its operations does not, as experts in float64 do."""

        def __init__(self):
            super().__init__()
            self.started = time.time
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            if not _get_current_function_mode_stack():
                raise RuntimeError("no such kernel")
            return self.out(x)

    net, x = Clocked().double().eval(), torch.ones(2, 4, dtype=torch.float64)
    np.testing.assert_allclose(explain(net, x, "gradient", 1), net.out.weight[1].detach().expand(2, 4), atol=1e-14)
