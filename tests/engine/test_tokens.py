"""Token ids as input, and operations that no LRP rule is known for."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import CLASSES, MemoryEfficientSwish, RowSwish, Written, drawn, inputs, randomized
from signxai import explain, inspect_model
from signxai.common import InputError, ModelError
from signxai.engine.prediction import predict
from signxai.engine.relevance import UnknownOperationWarning

TOKENS, LENGTH, WIDTH = 11, 6, 5
LRP = ["lrp_z", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrpsign_epsilon_0_25_std_x",
       "w2lrp_zplus", "flatlrp_z", "zblrp_epsilon_0_1"]  # fmt: skip
GRADIENTS = ["gradient", "input_t_gradient", "guided_backprop", "integrated_gradients", "smoothgrad", "vargrad"]
CONVERSIONS = {
    "none": lambda x: x,
    "long": lambda x: x.long(),
    "int": lambda x: x.int(),
    "to": lambda x: x.to(torch.int64),
    "to by name": lambda x: x.to(dtype=torch.long),
    "type": lambda x: x.type(torch.int64),
    "twice": lambda x: x.int().long(),
}


def ids(seed: int = 1) -> Tensor:
    return torch.randint(0, TOKENS, (3, LENGTH), generator=torch.Generator().manual_seed(seed))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(LENGTH * WIDTH, 8), nn.Linear(8, CLASSES)

    def forward(self, e: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(e.flatten(1))))


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv1d(WIDTH, 7, 3, padding=1), nn.Linear(7, CLASSES)

    def forward(self, e: Tensor) -> Tensor:
        return self.out(F.relu(self.conv(e.transpose(1, 2))).amax(2))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(WIDTH, 7, batch_first=True, bidirectional=True), nn.Linear(14, CLASSES)

    def forward(self, e: Tensor) -> Tensor:
        return self.out(F.relu(self.rnn(e)[0].mean(1)))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.TransformerEncoderLayer(WIDTH, 1, 8, batch_first=True), nn.Linear(WIDTH, CLASSES)
        self.positions = nn.Embedding(LENGTH, WIDTH)

    def forward(self, e: Tensor) -> Tensor:
        return self.out(self.layer(e + self.positions(torch.arange(LENGTH)))[:, 0])


HEADS = {"dense": Dense, "convolutional": Convolutional, "recurrent": Recurrent, "transformer": Transformer}


class Reader(nn.Module):
    """An embedding, and a network of embeddings behind it."""

    def __init__(self, head: nn.Module, conversion: str, function: bool = False) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(TOKENS, WIDTH, padding_idx=0), head
        self.conversion, self.function = conversion, function

    def forward(self, x: Tensor) -> Tensor:
        x = CONVERSIONS[self.conversion](x)
        return self.head(F.embedding(x, self.embedding.weight) if self.function else self.embedding(x))


def reader(head: str = "dense", conversion: str = "long", function: bool = False) -> Reader:
    return randomized(Reader(HEADS[head](), conversion, function))


def embedded(net: Reader, x: Tensor) -> Tensor:
    return net.embedding.weight.detach()[x]


@pytest.mark.parametrize("method", LRP)
@pytest.mark.parametrize("conversion", ["none", "long"])
@pytest.mark.parametrize("head", HEADS)
def test_a_token_has_the_relevance_of_its_embedding(head, conversion, method):
    net, x = reader(head, conversion), ids()
    expected = explain(net.head, embedded(net, x), method, 1).sum(2)
    got = explain(net, x, method, 1)
    assert got.shape == (3, LENGTH)
    assert np.abs(expected).max() > 0
    assert deviation(got, expected) < 1e-12


@pytest.mark.parametrize("function", [False, True], ids=["module", "function"])
@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_any_way_of_reading_token_ids_gives_the_same_map(conversion, function):
    net, x = reader("dense", conversion, function), ids()
    expected = explain(net.head, embedded(net, x), "lrp_epsilon_0_1", 1).sum(2)
    for given in (x, x.int(), x.double(), x.numpy()):
        assert deviation(explain(net, given, "lrp_epsilon_0_1", 1), expected) < 1e-12


@pytest.mark.parametrize("conversion", ["none", "long"])
def test_the_embeddings_themselves_have_relevance_at_their_layer(conversion):
    net, x = reader("recurrent", conversion), ids()
    expected = explain(net.head, embedded(net, x), "lrp_gamma_0_25", 1)
    assert deviation(explain(net, x, "lrp_gamma_0_25", 1, at="embedding"), expected) < 1e-12


def test_batches_of_one_equal_the_whole():
    net, x = reader("transformer"), ids()
    whole = explain(net, x, "lrp_epsilon_0_25_std_x", [0, 1, 2])
    assert deviation(explain(net, x, "lrp_epsilon_0_25_std_x", [0, 1, 2], batch_size=1), whole) < 1e-12


def test_a_token_looked_up_in_two_tables_has_the_relevance_of_both():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = nn.Embedding(TOKENS, 2), nn.Embedding(TOKENS, 3), Dense()

        def forward(self, x: Tensor) -> Tensor:
            x = x.long()
            return self.head(torch.cat([self.one(x), self.two(x)], 2))

    net, x = randomized(Two()), ids()
    e = torch.cat([net.one.weight.detach()[x], net.two.weight.detach()[x]], 2)
    assert deviation(explain(net, x, "lrp_z", 1), explain(net.head, e, "lrp_z", 1).sum(2)) < 1e-12


class LookedUp(nn.Module):
    """A table that is read by hand."""

    def __init__(self, read) -> None:
        super().__init__()
        self.read, self.head = read, Dense()
        self.table = nn.Parameter(drawn(TOKENS, WIDTH))
        self.register_buffer("other_id", torch.arange(TOKENS).flip(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.read(self, x))


LOOKUPS = {
    "index": lambda m, x: m.table[x.long()],
    "index of its own": lambda m, x: m.table[x],
    "index in a tuple": lambda m, x: m.table[x.long(), :],
    "index_select": lambda m, x: m.table.index_select(0, x.long().flatten()).view(*x.shape, WIDTH),
    "index_select by keyword": lambda m, x: torch.index_select(m.table, 0, index=x.long().view(-1)).view(*x.shape, WIDTH),
    "behind another table": lambda m, x: F.embedding(m.other_id[x.long()].flip(-1).flip(-1), m.table.flip(0)),
    "expanded as": lambda m, x: F.embedding(x.long().expand_as(x.long()), m.table),
}


@pytest.mark.parametrize("method", ["lrp_z", "lrp_alpha_2_beta_1"])
@pytest.mark.parametrize("read", LOOKUPS)
def test_a_table_read_by_hand_is_an_embedding(read, method):
    net, x = LookedUp(LOOKUPS[read]).double(), ids()
    expected = explain(net.head, net.table.detach()[x], method, 1).sum(2)
    assert deviation(explain(net, x, method, 1, strict=True), expected) < 1e-12


def test_positions_in_the_shape_of_token_ids_are_none():
    def read(m: LookedUp, x: Tensor) -> Tensor:
        x = x.long()
        positions = torch.arange(LENGTH).expand_as(x)
        distances = positions.unsqueeze(-2) - positions.unsqueeze(-1)
        return F.embedding(x, m.table) + F.embedding(positions, m.table) + m.table[distances.abs()].mean(2)

    net, x = LookedUp(read).double(), ids()
    assert np.abs(explain(net, x, "lrp_z", 1, strict=True)).max() > 0


def test_a_choice_by_token_ids_is_a_constant():
    """As experts that a table names for each token."""

    def read(m: LookedUp, x: Tensor) -> Tensor:
        choice = torch.stack([m.other_id, m.other_id], -1)[x.long()]
        return F.embedding(x.long(), m.table) * (choice.sum(-1, keepdim=True) % 2 + 1)

    net, x = LookedUp(read).double(), ids()
    scaled = net.table.detach()[x] * (2 * net.other_id[x].unsqueeze(-1) % 2 + 1)
    expected = explain(net.head, scaled, "lrp_z", 1).sum(2)
    assert deviation(explain(net, x, "lrp_z", 1, strict=True), expected) < 1e-12


def test_the_account_of_a_reader_balances():
    net, x = reader("recurrent"), ids()
    report = inspect_model(net, x, "lrp_epsilon_0_1", 1, strict=True)
    assert abs(report.unaccounted) < 1e-10
    assert abs(report.relevance_at_input - explain(net, x, "lrp_epsilon_0_1", 1).sum()) < 1e-10
    (row,) = [row for row in report.rows if row.name == "embedding"]
    assert row.operation == "embedding"
    assert abs(row.relevance_at_output - row.relevance_at_input) < 1e-12


@pytest.mark.parametrize("method", GRADIENTS)
def test_token_ids_given_as_floating_point_numbers_have_no_gradient(method):
    with pytest.raises(InputError, match="token ids have no gradient"):
        explain(reader("dense", "none"), ids().double(), method, 1)


@pytest.mark.parametrize("method", GRADIENTS[:4])  # noise makes others of the ids, some of which no table has
def test_token_ids_that_the_model_makes_integers_have_none_either(method):
    with pytest.raises((InputError, ModelError), match="gradient"):
        explain(reader("dense", "long"), ids().double(), method, 1)


@pytest.mark.parametrize("conversion", ["none", "long", "to"])
@pytest.mark.parametrize("method", [method for method in GRADIENTS if method != "guided_backprop"])
def test_integers_are_explained_at_what_the_embedding_reads(method, conversion):
    net = reader("dense", conversion)
    wanted = explain(net.head, net.embedding(ids()).detach(), method, 1).sum(-1)
    got = explain(net, ids(), method, 1)
    assert deviation(got, wanted) < 1e-12
    np.testing.assert_array_equal(explain(net, ids().numpy(), method, 1), got)
    np.testing.assert_array_equal(explain(net, (ids(),), method, 1)[0], got)


@pytest.mark.parametrize("method", LRP)
@pytest.mark.parametrize("conversion", ["none", "long", "to"])
def test_numbers_that_are_no_token_ids_are_refused(conversion, method):
    x = ids().double()
    x[1, 2] += 0.5
    with pytest.raises(InputError, match="whole numbers"):
        explain(reader("dense", conversion), x, method, 1)


@pytest.mark.parametrize("conversion", ["none", "long"])
@pytest.mark.parametrize("wrong", [TOKENS, -1])
def test_token_ids_out_of_range_are_refused(wrong, conversion):
    x = ids()
    x[0, 0] = wrong
    with pytest.raises(InputError, match="forward failed"):
        explain(reader("dense", conversion), x, "lrp_z", 1)


# --- operations without a rule


class Applied(nn.Module):
    def __init__(self, function: type[torch.autograd.Function]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x)


def swishing(times: int = 1) -> nn.Sequential:
    return randomized(nn.Sequential(nn.Linear(12, 8), *[Applied(RowSwish) for _ in range(times)], nn.Linear(8, CLASSES)))


def messages(call) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(issubclass(warning.category, UnknownOperationWarning) for warning in caught)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("times", [1, 3])
def test_an_autograd_function_of_the_models_own_is_named(times):
    (message,) = messages(lambda: explain(swishing(times), inputs("linear"), "lrp_epsilon_0_1", 1))
    assert "'RowSwish'" in message
    assert "torch.autograd.Function" in message


def test_an_autograd_function_of_the_models_own_is_refused_by_strict():
    with pytest.raises(ModelError, match="'RowSwish'"):
        explain(swishing(), inputs("linear"), "lrp_epsilon_0_1", 1, strict=True)
    with pytest.raises(ModelError, match="'RowSwish'"):
        inspect_model(swishing(), inputs("linear"), "lrp_epsilon_0_1", 1, strict=True)


def test_the_account_lists_an_autograd_function_of_the_models_own():
    with pytest.warns(UnknownOperationWarning, match="RowSwish"):
        report = inspect_model(swishing(), inputs("linear"), "lrp_z", 1)
    assert [row.operation for row in report.rows] == ["linear", "RowSwish", "linear"]
    assert [row.is_known for row in report.rows] == [True, False, True]
    assert "RowSwish" in str(report.unknown_operations)
    assert abs(report.unaccounted) < 1e-10


def test_relevance_follows_the_gradient_of_an_autograd_function():
    net, x = swishing(), inputs("linear")
    with pytest.warns(UnknownOperationWarning):
        got = explain(net, x, "lrp_z", 1)
    with torch.no_grad():
        z = net[0](x)
        s = torch.sigmoid(z.mean(-1, keepdim=True))
        r = explain(net[2], z * s, "lrp_z", 1, as_tensor=True)
        r = r * s + (r * z * s * (1 - s)).mean(-1, keepdim=True)
        expected = x * ((r / z) @ net[0].weight)
    assert deviation(got, expected.numpy()) < 1e-12


class Spike(torch.autograd.Function):
    """A step with the gradient of a sigmoid in its place, as spiking networks have it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).to(x)

    @staticmethod
    def backward(ctx, gradient):
        s = torch.sigmoid(ctx.saved_tensors[0])
        return gradient * s * (1 - s)


@pytest.mark.parametrize("function", [MemoryEfficientSwish, Spike])
def test_relevance_passes_an_autograd_function_of_one_value(function):
    net, x = swishing(), inputs("linear")
    net[1] = Applied(function)
    with torch.no_grad():
        z = net[0](x)
        r = explain(net[2], function.apply(z), "lrp_z", 1, as_tensor=True)
        expected = x * ((r / z) @ net[0].weight)
    assert messages(lambda: explain(net, x, "lrp_z", 1, strict=True)) == []
    assert deviation(explain(net, x, "lrp_z", 1), expected.numpy()) < 1e-12
    report = inspect_model(net, x, "lrp_z", 1, strict=True)
    assert [row.rule for row in report.rows][1] == "pass through"
    assert report.unknown_operations == []


@pytest.mark.parametrize("function", [torch.cov, torch.corrcoef, lambda h: torch.linalg.svdvals(h)])
def test_where_no_relevance_arrives_an_operation_needs_no_rule(function):
    scaled = Written(lambda m, x: m["b"](m["a"](x) / function(m["a"](x)).sum()), a=nn.Linear(12, 8), b=nn.Linear(8, CLASSES))
    report = inspect_model(randomized(scaled), inputs("linear")[:1], "lrp_z", 1, strict=True)
    assert report.unknown_operations == []
    assert "not reached" in {row.rule for row in report.rows}


def test_gradients_know_an_autograd_function():
    net, x = swishing(), inputs("linear")
    net[1] = Applied(MemoryEfficientSwish)
    silu = nn.Sequential(net[0], nn.SiLU(), net[2])
    assert messages(lambda: explain(net, x, "gradient", 1)) == []
    assert deviation(explain(net, x, "gradient", 1), explain(silu, x, "gradient", 1)) < 1e-12


class Distances(nn.Module):
    """A few calls of an operation without a rule, in one line or in two."""

    def __init__(self, times: int, lines: int) -> None:
        super().__init__()
        self.codes, self.times, self.lines = nn.Linear(8, 8), times, lines

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = torch.hypot(x, self.codes.weight[0])
        if self.lines > 1:
            x = torch.hypot(x, self.codes.weight[0])
        return x


@pytest.mark.parametrize(("times", "lines"), [(1, 1), (4, 1), (1, 2), (3, 2)])
def test_a_warning_names_operation_and_module_once_for_each_place(times, lines):
    net = randomized(nn.Sequential(nn.Linear(12, 8), Distances(times, lines), nn.Linear(8, CLASSES)))
    got = messages(lambda: explain(net, inputs("linear"), "lrp_z", 1))
    assert len(got) == len(set(got)) == lines
    assert all("'hypot' in 1 (Distances), test_tokens.py:" in message for message in got)


def test_each_module_with_an_unknown_operation_is_named():
    blocks = nn.ModuleDict({"near": Distances(2, 1), "far": Distances(2, 1)})
    net = randomized(nn.Sequential(nn.Linear(12, 8), nn.Sequential(*blocks.values()), nn.Linear(8, CLASSES)))
    got = messages(lambda: explain(net, inputs("linear"), "lrp_z", 1))
    assert ["'hypot' in 1.0 (Distances)" in message or "'hypot' in 1.1 (Distances)" in message for message in got] == [True, True]


def test_each_call_warns_anew():
    net = randomized(nn.Sequential(nn.Linear(12, 8), Distances(1, 1), nn.Linear(8, CLASSES)))
    for _ in range(2):
        assert len(messages(lambda: explain(net, inputs("linear"), "lrp_z", 1))) == 1


def test_an_unknown_operation_on_constants_is_nobodys_business():
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.hypot(torch.eye(8).double(), torch.ones(8, 8).double()).sum(0)

    net = randomized(nn.Sequential(nn.Linear(12, 8), Constant(), nn.Linear(8, CLASSES)))
    assert messages(lambda: explain(net, inputs("linear"), "lrp_z", 1, strict=True)) == []


# Ids that are moved between their conversion and the table


def table_and_head() -> dict[str, nn.Module]:
    return {"table": nn.Embedding(8, 6), "head": nn.Linear(6, CLASSES)}


class Moved(nn.Module):
    """Looks up ids after something was done to them."""

    def __init__(self, move) -> None:
        super().__init__()
        self.move, self.layers = move, nn.ModuleDict(table_and_head())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.layers["table"](self.move(x)).tanh()
        return self.layers["head"](rows.reshape(len(x), -1, 6).sum(1))


MOVES = {
    "slice": (lambda x: x.long()[:, 1:], lambda x: x[:, 1:].long()),
    "view": (lambda x: x.long().view(-1), lambda x: x.long()),
    "transposed twice": (lambda x: x.long().t().contiguous().t(), lambda x: x.long()),
    "cat with a constant": (
        lambda x: torch.cat([torch.zeros(len(x), 1, dtype=torch.long), x.long()], 1),
        lambda x: torch.cat([torch.zeros(len(x), 1, dtype=x.dtype), x], 1).long(),
    ),
    "chunks": (lambda x: torch.cat(x.long().chunk(2, 1)[::-1], 1), lambda x: torch.cat(x.chunk(2, 1)[::-1], 1).long()),
}


@pytest.mark.parametrize("method", ["lrp_z", "lrp_epsilon_0_1"])
@pytest.mark.parametrize("name", MOVES)
def test_ids_may_be_moved_after_their_conversion_as_before(name, method):
    x = torch.randint(0, 7, (2, 6), generator=torch.Generator().manual_seed(0))
    after, before = (randomized(Moved(move)) for move in MOVES[name])
    expected = explain(before, x, method, 1)
    assert (np.abs(expected) > 0).any()
    np.testing.assert_allclose(explain(after, x, method, 1), expected, atol=1e-13)


def test_an_offset_to_ids_takes_nothing():
    x = torch.randint(0, 7, (2, 6), generator=torch.Generator().manual_seed(0))
    shifted, plain = randomized(Moved(lambda x: x.long() + 1)), randomized(Moved(lambda x: x.long()))
    np.testing.assert_allclose(explain(shifted, x, "lrp_z", 1), explain(plain, x + 1, "lrp_z", 1), atol=1e-13)


def test_ids_that_are_no_longer_ids_are_named():
    net = randomized(Moved(lambda x: (torch.nn.functional.one_hot(x.long(), 8) * torch.arange(8)).sum(-1)))
    x = torch.randint(0, 7, (2, 6), generator=torch.Generator().manual_seed(0))
    with pytest.raises(ModelError, match=r"'one_hot' in .* computes from the token ids"):
        explain(net, x, "lrp_z", 1)
    with pytest.warns(UnknownOperationWarning, match="one_hot"), pytest.raises(ModelError):
        explain(net, x.double(), "lrp_z", 1)


def test_the_table_may_come_first():
    table, head = randomized(nn.Embedding(8, 6)), randomized(nn.Linear(6, CLASSES))

    class TableFirst(nn.Module):
        def forward(self, x):
            return head(x * torch.embedding(table.weight, torch.arange(1)))

    x = torch.randn(2, 6, dtype=torch.float64)
    expected = head.weight[1] * table.weight[0]
    np.testing.assert_allclose(explain(TableFirst(), x, "gradient", 1), expected.detach().expand(2, 6), atol=1e-14)


# Bags of tokens


@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_bag_is_its_rows_put_together(mode, padding):
    bag, head = randomized(nn.EmbeddingBag(8, 6, mode=mode, padding_idx=padding)), randomized(nn.Linear(6, CLASSES))

    class Rows(nn.Module):
        def forward(self, x):
            rows = torch.nn.functional.embedding(x, bag.weight)
            if padding is not None:
                rows = rows.masked_fill((x == padding).unsqueeze(-1), -torch.inf if mode == "max" else 0.0)
            count = 6.0 if padding is None else (x != padding).sum(1, keepdim=True)
            return head({"sum": lambda: rows.sum(1), "mean": lambda: rows.sum(1) / count, "max": lambda: rows.amax(1)}[mode]())

    x = torch.randint(0, 8, (3, 6), generator=torch.Generator().manual_seed(3))
    net = nn.Sequential(bag, head)
    torch.testing.assert_close(net(x), Rows()(x))
    np.testing.assert_allclose(explain(net, x, "lrp_epsilon_0_1", 1), explain(Rows(), x, "lrp_epsilon_0_1", 1), atol=1e-13)
    for method in ("gradient_x_input", "integrated_gradients"):
        np.testing.assert_allclose(explain(net, x, method, 1), explain(Rows(), x, method, 1), atol=1e-13)


def test_ids_that_become_other_numbers_again_lose_their_way_and_that_is_said():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.classes = nn.Embedding(12, 4), nn.Linear(4, 3)

        def forward(self, x):
            ids = x.long()
            return self.classes((self.table(ids) * (ids * 0.5).unsqueeze(-1)).mean(1))

    with pytest.warns(UnknownOperationWarning, match="'mul'"):
        explain(Weighted(), torch.tensor([[1.0, 5.0, 3.0]]), "lrp_z", 1)


def test_a_refusal_within_an_operator_is_said_as_it_is():
    """Python would make of it that the operator does not know its operands."""

    class Multiplied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(8, 6), nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.table((x.long() * x.long().flip(1)) % 8).mean(1))

    with pytest.raises(ModelError, match="no LRP rule is known for the operation 'mul'"):
        explain(randomized(Multiplied()), ids().double(), "lrp_z", 1, strict=True)
    with pytest.raises(ModelError, match=r"'mul' in .* computes from the token ids"):
        explain(randomized(Multiplied()), ids(), "lrp_z", 1)


def test_zeros_in_the_shape_of_token_ids_are_none():
    class Typed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.kinds, self.head = nn.Embedding(50, 6), nn.Embedding(2, 6), nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = x.long()
            kinds = torch.zeros_like(x)
            kinds[:, 0] = 1
            return self.head((self.table(x) + self.kinds(kinds)).mean(1))

    report = inspect_model(randomized(Typed()), ids(), "lrp_z", 1, strict=True)
    assert [row.operation for row in report.rows].count("embedding") == 1
    assert abs(report.unaccounted) < 1e-9


# --- ids that a half-precision model's own type rounds


class Reads(nn.Module):
    """An embedding of 4096 tokens and a layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.fc = nn.Embedding(4096, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        self.seen = ids.detach().clone()
        return self.fc(self.embedding(ids.long()).tanh().mean(1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("kind", [torch.int64, torch.int32, np.int64])
def test_ids_reach_the_embedding_of_a_half_precision_model_unrounded(dtype, kind):
    net = Reads().to(dtype)
    ids = [[2049, 2051, 517, 4095], [1, 257, 3001, 0]]
    x = torch.tensor(ids, dtype=kind) if isinstance(kind, torch.dtype) else np.array(ids, dtype=kind)
    wanted = explain(Reads(), torch.tensor(ids), "lrp_epsilon_0_1", 1)
    got = explain(net, x, "lrp_epsilon_0_1", 1)
    assert got.shape == (2, 4)
    assert got.dtype in (np.float32, np.float64)
    assert deviation(got, wanted) < 0.05
    torch.testing.assert_close(predict(net, x), net(torch.tensor(ids)).detach())


def test_integers_that_a_half_precision_model_takes_as_numbers_are_refused():
    with pytest.raises(InputError, match=r"rounds, and the model takes them as numbers.*float32"):
        explain(nn.Linear(3, 2).bfloat16(), np.array([[2049, 1, 2]]), "gradient", 1)
    assert explain(nn.Linear(3, 2).bfloat16(), np.array([[255, 1, 2]]), "gradient", 1).shape == (1, 3)


def test_integers_that_no_type_holds_are_refused():
    with pytest.raises(InputError, match="beyond"):
        explain(Reads(), torch.tensor([[2**60 + 1, 3]]), "lrp_z", 1)


# --- tables: a column of x that is an index into an embedding, beside real columns


class Table(nn.Module):
    """Column 0 is a category (an embedding), the others are numbers."""

    def __init__(self, category=lambda x: x[:, 0].long()) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.category, self.embedding, self.fc = category, nn.Embedding(5, 3), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.cat([self.embedding(self.category(x)), x[:, 1:]], 1).tanh())


CATEGORIES = {
    "a column": lambda x: x[:, 0].long(),
    "a column of integers": lambda x: x.long()[:, 0],
    "to": lambda x: x[:, :1].to(torch.int64).squeeze(1),
    "rounded": lambda x: x[:, 0].round().int(),
}
ROWS = torch.cat([torch.tensor([[3.0], [0.0], [4.0]]), drawn(3, 3).float()], 1)


@pytest.mark.parametrize("name", CATEGORIES)
@pytest.mark.parametrize("method", GRADIENTS)
def test_gradients_of_a_category_are_refused_instead_of_zero(name, method):
    with pytest.raises(InputError, match="token ids have no gradient"):
        explain(Table(CATEGORIES[name]), ROWS, method, 1)


@pytest.mark.parametrize("name", [name for name in CATEGORIES if name != "rounded"])
def test_a_category_has_the_relevance_of_its_row(name):
    net = Table(CATEGORIES[name])
    got = explain(net, ROWS, "lrp_z", 1)
    joined = torch.cat([net.embedding(ROWS[:, 0].long()), ROWS[:, 1:]], 1).detach()
    wanted = explain(nn.Sequential(nn.Tanh(), net.fc), joined, "lrp_z", 1)
    assert deviation(got, np.concatenate([wanted[:, :3].sum(1, keepdims=True), wanted[:, 3:]], 1)) < 1e-6
    assert predict(net, ROWS).shape == (3, 2)


def shifted_back(ids: Tensor) -> Tensor:
    """Written one place on, as a decoder's ids are, and one place back."""
    out, again = torch.zeros_like(ids), torch.zeros_like(ids)
    out[:, 1:] = ids[:, :-1]
    out[:, 0] = ids[:, -1]
    again[:, :-1] = out[:, 1:]
    again[:, -1] = out[:, 0]
    return again


CONVERTED = {
    "int32": lambda i: i.long().to(torch.int32),
    "int": lambda i: i.long().int(),
    "there and back": lambda i: i.long().short().long(),
    "keyword": lambda i: i.to(dtype=torch.int64).to(dtype=torch.int32),
    "another's type": lambda i: i.long().type_as(torch.zeros(1, dtype=torch.int32)),
    "joined": lambda i: torch.cat([i.long()[:, :2], i.long().to(torch.int32)[:, 2:]], dim=1),
    "written": shifted_back,
    "written as integers": lambda i: shifted_back(i.long()).to(torch.int32),
}


class Converts(nn.Module):
    """Reads an embedding by ids that a function made of the input."""

    def __init__(self, convert) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.fc, self.convert = nn.Embedding(30, 4), nn.Linear(4, 3), convert

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.embedding(self.convert(ids)).tanh().cumsum(1)[:, -1])


@pytest.mark.parametrize("name", CONVERTED)
def test_ids_find_their_way_back_through_types_and_writes(name):
    x = torch.tensor([[5, 6, 7, 8], [1, 2, 29, 4]])
    wanted = explain(Converts(lambda i: i.long()).double(), x, "lrp_epsilon_0_1", 1)
    net = Converts(lambda i: CONVERTED[name](i.long() if "written" in name else i)).double()
    assert deviation(explain(net, x, "lrp_epsilon_0_1", 1, strict=True), wanted) < 1e-12


def test_a_token_that_is_written_over_gets_nothing():
    def convert(ids: Tensor) -> Tensor:
        ids = ids.long().clone()
        ids[:, 1] = 3
        return ids

    relevance = explain(Converts(convert).double(), torch.tensor([[5, 6, 7, 8]]), "lrp_epsilon_0_1", 1)
    assert relevance[0, 1] == 0
    assert (relevance[0, [0, 2, 3]] != 0).all()


@pytest.mark.parametrize("method", LRP)
def test_rows_of_a_bag_are_weighed_by_its_weights(method):
    table, weights = drawn(TOKENS, WIDTH), drawn(1, LENGTH, seed=2).abs()
    bag, other = (
        Written(forward, out=nn.Linear(WIDTH, CLASSES))
        for forward in (
            lambda m, x: m["out"](F.embedding_bag(x, table, mode="sum", per_sample_weights=weights.repeat(len(x), 1)).tanh()),
            lambda m, x: m["out"]((F.embedding(x, table) * weights[..., None]).sum(1).tanh()),
        )
    )
    other.load_state_dict(bag.double().state_dict())
    expected = explain(other.double(), ids(), method, 1)
    assert np.abs(expected).max() > 0
    assert deviation(explain(bag, ids(), method, 1), expected) < 1e-12
