"""Rules of users for operations, modules and autograd functions."""

import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import signxai
from networks import MemoryEfficientSwish, RowSwish
from signxai.common import ModelError, OptionError
from signxai.engine.relevance import UnknownOperationWarning
from signxai.engine.rule_registration import user_rules


class Gate(nn.Module):
    """A module that LRP would look into."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(6, 6)

    def forward(self, x, scale=1.0):
        return torch.i0(self.mix(x)) * scale


class Subclass(Gate):
    """It does not override forward."""


class Net(nn.Module):
    def __init__(self, middle):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)
        self.middle = middle

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


X = torch.tensor([[0.5, -1.0, 2.0, 0.1], [1.0, 0.3, -0.2, 0.7]], dtype=torch.float64)


def passes(inputs, output, relevance):
    return relevance


def net(middle):
    return Net(middle).double()


def explained(model, name="lrp_epsilon_0_1", **options):
    return signxai.explain(model, X, name, 1, strict=True, **options)


WITH_SILU = explained(net(F.silu))
OPERATIONS = {
    "function": (torch.i0, torch.i0),
    "method": (torch.Tensor.i0, torch.Tensor.i0),
    "name, called as a function": ("i0", torch.i0),
    "name, called as a method": ("i0", torch.Tensor.i0),
    "function, called as a method": (torch.i0, torch.Tensor.i0),
    "in a list": ([torch.i0, torch.lgamma], torch.i0),
}


@pytest.mark.parametrize(("operations", "called"), OPERATIONS.values(), ids=OPERATIONS)
def test_a_rule_that_passes_makes_an_unknown_function_an_activation(operations, called):
    model = net(called)
    with pytest.raises(ModelError, match="register_rule"):
        explained(model)
    with signxai.rules_for(operations, passes):
        relevance = explained(model)
    with pytest.raises(ModelError):
        explained(model)
    double = net(lambda x: Renamed.apply(x))
    with signxai.rules_for(Renamed, passes):
        np.testing.assert_array_equal(relevance, explained(double))


class Renamed(torch.autograd.Function):
    """i0, under another name."""

    @staticmethod
    def forward(ctx, x):
        return torch.i0(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_an_autograd_function_under_a_rule_is_the_activation_that_it_is():
    class Late(nn.Module):
        def forward(self, x):
            return RowSwish.apply(x)

    model = net(Late())
    with pytest.warns(UnknownOperationWarning, match="RowSwish"):
        signxai.explain(model, X, "lrp_epsilon_0_1", 1)
    handle = signxai.register_rule(RowSwish, passes)
    assert {row.rule for row in signxai.inspect_model(model, X, "lrp_epsilon_0_1", 1, strict=True).rows} >= {"passes"}
    handle.remove()
    assert "apply" not in vars(RowSwish)


def test_a_module_class_under_a_rule_is_not_looked_into():
    def half(inputs, output, relevance, call):
        assert isinstance(call.func, Gate)
        assert call.kwargs == {}
        torch.testing.assert_close(output, call.func(inputs[0].detach()))
        return relevance / 2

    model = net(Gate())
    own = vars(Gate)["forward"]
    with signxai.rules_for(Gate, half, name="one half"):
        relevance = explained(model)
        report = signxai.inspect_model(model, X, "lrp_epsilon_0_1", 1)
        outputs = model(X)
    assert vars(Gate)["forward"] is own
    assert [(row.operation, row.rule, row.is_known) for row in report.rows][1] == ("Gate", "one half", True)
    row = report.rows[1]
    assert row.relevance_at_input == pytest.approx(row.relevance_at_output / 2)
    torch.testing.assert_close(outputs, model(X))
    with signxai.rules_for(Gate, passes):
        np.testing.assert_allclose(relevance, explained(model) / 2, rtol=1e-12)
    model = net(Subclass())
    with signxai.rules_for(Gate, half):
        np.testing.assert_array_equal(relevance.shape, explained(model).shape)


def test_a_rule_goes_before_ours_and_inside_sequentials_too():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    plain = explained(model)
    with signxai.rules_for("relu", lambda inputs, output, relevance: 2 * relevance):
        np.testing.assert_allclose(explained(model), 2 * plain, rtol=1e-12)
    with signxai.rules_for(nn.ReLU, lambda inputs, output, relevance: 3 * relevance):
        np.testing.assert_allclose(explained(model), 3 * plain, rtol=1e-12)
    np.testing.assert_array_equal(explained(model), plain)


def test_inputs_are_the_floating_point_arguments_in_order_and_each_gets_its_own():
    seen = []

    def by_share(inputs, output, relevance):
        seen.append([tuple(x.shape) for x in inputs])
        a, b = inputs
        total = a.abs() + b.abs()
        return a.abs() / total * relevance, b.abs() / total * relevance

    class Hypot(nn.Module):
        def forward(self, x):
            return torch.hypot(x, other=x.flip(-1))

    with signxai.rules_for(torch.hypot, by_share):
        relevance = explained(net(Hypot()))
    assert seen == [[(2, 6), (2, 6)]]
    assert relevance.shape == X.shape


def test_what_a_rule_is_given_is_what_was_there_even_if_it_is_written_over():
    def checks(inputs, output, relevance):
        torch.testing.assert_close(output, torch.i0(inputs[0].detach()))
        return relevance

    def middle(x):
        y = torch.i0(x)
        x.mul_(0)
        result = y + 1
        y.mul_(0)
        return result

    with signxai.rules_for(torch.i0, checks):
        explained(net(middle))


def test_an_operation_that_writes_in_place_may_have_a_rule():
    with signxai.rules_for(["i0", "i0_"], passes):
        np.testing.assert_array_equal(explained(net(lambda x: x.i0_())), explained(net(torch.i0)))


def test_an_operation_with_several_results():
    class Renorm(nn.Module):
        def forward(self, x):
            mantissa, exponent = torch.frexp(x)
            return torch.ldexp(mantissa, exponent)

    def first(inputs, output, relevance):
        return relevance[0]

    def at_mantissa(inputs, output, relevance):
        return (relevance, None)[: len(inputs)]

    with signxai.rules_for("frexp", first), signxai.rules_for("ldexp", at_mantissa):
        np.testing.assert_allclose(explained(net(Renorm())), explained(net(lambda x: x * 1.0)), rtol=1e-12)


WRONG = {
    "a wrong shape": (lambda inputs, output, relevance: relevance[:1], "for an input of shape"),
    "too many": (lambda inputs, output, relevance: (relevance, relevance), "returned 2 entries; .* there are 1"),
    "nothing": (lambda inputs, output, relevance: None, "returned NoneType; .* there are 1"),
    "no tensor": (lambda inputs, output, relevance: (3.0,), "float"),
    "NumPy": (lambda inputs, output, relevance: relevance.numpy(), "returned ndarray; return a tensor for each input"),
    "NumPy in a tuple": (lambda inputs, output, relevance: (relevance.numpy(),), "returned ndarray for .* return a tensor of that shape"),
}


@pytest.mark.parametrize(("rule", "message"), WRONG.values(), ids=WRONG)
def test_a_rule_that_returns_something_else_is_an_error(rule, message):
    with signxai.rules_for(torch.i0, rule, name="mine"), pytest.raises(ModelError, match=message) as caught:
        explained(net(torch.i0))
    assert "mine" in str(caught.value)


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), RuntimeError("sizes"), KeyError("key")])
@pytest.mark.parametrize("entry", [signxai.explain, signxai.inspect_model])
@pytest.mark.parametrize("operation", [nn.ReLU, "relu"])
def test_a_rule_that_raises_is_named(operation, entry, error):
    def mine(inputs, output, relevance):
        raise error

    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    with signxai.rules_for(operation, mine), pytest.raises(ModelError, match=f"the rule 'mine' failed: {type(error).__name__}") as caught:
        entry(model, X, "lrp_z", 1)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("operation", ["no_such_function", len, 3, lambda x: x, int, [], torch.Tensor])
def test_what_can_have_no_rule_is_refused(operation):
    with pytest.raises(OptionError):
        signxai.register_rule(operation, passes)


@pytest.mark.parametrize(
    "rule", [max, lambda x, y: y, lambda: None, lambda inputs, output, relevance, more: relevance, lambda x, *, call: x]
)
def test_a_rule_of_other_arguments_is_refused_before_it_is_used(rule):
    with pytest.raises(OptionError, match=r"\(inputs, output, relevance"):
        signxai.register_rule(torch.i0, rule)
    assert not user_rules()


def test_a_rule_must_be_callable():
    with pytest.raises(OptionError, match="not callable"):
        signxai.register_rule(torch.i0, 0.5)


def test_a_second_registration_is_refused_until_the_first_is_removed():
    handle = signxai.register_rule(torch.i0, passes)
    try:
        with pytest.raises(OptionError, match="passes"):
            signxai.register_rule("i0", passes)
    finally:
        handle.remove()
    handle.remove()
    signxai.register_rule("i0", passes).remove()


def test_an_inner_block_goes_before_an_outer_one_and_both_before_what_is_registered():
    def times(factor):
        return lambda inputs, output, relevance: factor * relevance

    model = net(torch.i0)
    handle = signxai.register_rule(torch.i0, times(1))
    try:
        one = explained(model)
        with signxai.rules_for(torch.i0, times(2)):
            two = explained(model)
            with signxai.rules_for(torch.i0, times(3)):
                three = explained(model)
    finally:
        handle.remove()
    np.testing.assert_allclose([two, three], [2 * one, 3 * one], rtol=1e-12)


def test_a_block_holds_in_its_own_thread_alone():
    results = []

    def elsewhere():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(signxai.inspect_model(net(torch.i0), X, "lrp_z", 1).rows[1].rule)
            results.append(signxai.inspect_model(net(Gate()), X, "lrp_z", 1).rows[2].rule)

    with signxai.rules_for([torch.i0, Gate], passes):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert results == ["unknown: as the gradient"] * 2


def test_gradients_know_nothing_of_rules():
    model = net(Gate())
    plain = signxai.explain(model, X, "gradient", 1)
    with signxai.rules_for([Gate, torch.i0, "linear"], lambda inputs, output, relevance: 0 * relevance):
        np.testing.assert_array_equal(signxai.explain(model, X, "gradient", 1), plain)


def test_blocks_for_one_class_may_be_left_in_any_order():
    model, own = net(Gate()), dict(vars(Gate))
    looked_into = explained_with_a_warning(model)
    outer = signxai.rules_for(Gate, passes)
    outer.__enter__()
    with_rule = explained(model)
    for _ in range(2):
        with signxai.rules_for(Gate, lambda inputs, output, relevance: 2 * relevance):
            np.testing.assert_allclose(explained(model), 2 * with_rule, rtol=1e-12)
        np.testing.assert_array_equal(explained(model), with_rule)
    handle = signxai.register_rule(Gate, passes)
    outer.__exit__(None, None, None)
    np.testing.assert_array_equal(explained(model), with_rule)
    handle.remove()
    assert dict(vars(Gate)) == own
    np.testing.assert_array_equal(explained_with_a_warning(model), looked_into)


def explained_with_a_warning(model):
    with pytest.warns(UnknownOperationWarning, match="i0"):
        return signxai.explain(model, X, "lrp_epsilon_0_1", 1)


@pytest.mark.parametrize("operation", [torch.i0, Gate, MemoryEfficientSwish])
def test_an_error_names_the_operation_that_has_a_rule_already(operation):
    handle = signxai.register_rule(operation, passes)
    try:
        with pytest.raises(OptionError, match=f"{operation.__name__} has a rule already, 'passes'"):
            signxai.register_rule(operation, passes)
    finally:
        handle.remove()


def test_a_rule_for_sequentials_is_used_on_them():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()

    def even(inputs, output, relevance):
        return torch.full_like(inputs[0], 0.25) * relevance.sum(1, keepdim=True)

    with signxai.rules_for(nn.Sequential, even, name="even"):
        assert [row.rule for row in signxai.inspect_model(model, X, "lrp_z", 1, strict=True).rows] == ["even"]
        np.testing.assert_allclose(explained(model), 0.25, rtol=1e-12)
    assert len(signxai.inspect_model(model, X, "lrp_z", 1).rows) == 3


@pytest.mark.parametrize("operation", ["softmax", torch.softmax, nn.Softmax])
def test_a_rule_for_softmax_leaves_the_final_one_off(operation):
    logits = nn.Sequential(nn.Linear(4, 3)).double()
    model = nn.Sequential(logits, nn.Softmax(1))
    with signxai.rules_for(operation, passes):
        np.testing.assert_array_equal(explained(model, "lrp_z", relevance="logit"), explained(logits, "lrp_z", relevance="logit"))


class ThenLog(nn.Module):
    """Probabilities whose logarithm is returned, as for a loss."""

    def __init__(self):
        super().__init__()
        self.softmax = nn.Softmax(1)

    def forward(self, x):
        return torch.log(self.softmax(x) + 1e-9)


def test_a_logarithm_behind_a_softmax_under_a_rule_is_left_off_with_it():
    logits = nn.Sequential(nn.Linear(4, 3)).double()
    with signxai.rules_for(nn.Softmax, passes):
        model = nn.Sequential(logits, ThenLog())
        np.testing.assert_array_equal(explained(model, "lrp_z", relevance="logit"), explained(logits, "lrp_z", relevance="logit"))


class ThenExp(nn.Module):
    """A logarithm of probabilities, and these of it."""

    def __init__(self, last):
        super().__init__()
        self.last = last

    def forward(self, x):
        return torch.exp(self.last(x))


@pytest.mark.parametrize("last", [nn.LogSoftmax(1), nn.LogSigmoid()])
def test_probabilities_behind_their_logarithm_under_a_rule_are_left_off_with_it(last):
    logits = nn.Sequential(nn.Linear(4, 3)).double()
    with signxai.rules_for(type(last), passes):
        model = nn.Sequential(logits, ThenExp(last))
        np.testing.assert_array_equal(explained(model, "lrp_z", relevance="logit"), explained(logits, "lrp_z", relevance="logit"))


@pytest.mark.parametrize("make", [lambda: nn.ReLU(inplace=True), lambda: nn.SiLU(inplace=True), lambda: nn.ReLU6(inplace=True)])
def test_a_rule_for_a_module_that_writes_to_its_input(make):
    torch.manual_seed(0)
    layers = [nn.Linear(4, 6), make(), nn.Linear(6, 3)]
    model = nn.Sequential(*layers).double()
    expected = explained(model, "lrp_epsilon_0_1")
    with signxai.rules_for(type(layers[1]), passes):
        np.testing.assert_allclose(explained(model, "lrp_epsilon_0_1"), expected, rtol=1e-12)


@pytest.mark.parametrize("middle", [nn.Identity(), nn.Dropout(), nn.Unflatten(1, (2, 3)), nn.Flatten()])
def test_what_returns_a_view_of_its_input_may_be_written_to_behind_it(middle):
    model = nn.Sequential(nn.Linear(4, 6), middle, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(6, 3)).double()
    expected = explained(model, "lrp_epsilon_0_1")
    with signxai.rules_for(type(middle), lambda inputs, output, relevance: relevance.reshape(inputs[0].shape)):
        np.testing.assert_allclose(explained(model, "lrp_epsilon_0_1"), expected, rtol=1e-12)


class Outputs(dict):
    """A dict that offers its items as attributes."""

    __getattr__ = dict.__getitem__


class GivesOutputs(nn.Module):
    def forward(self, x):
        return Outputs(hidden=torch.i0(x))


def test_outputs_come_in_the_container_in_which_they_were_given():
    gives = GivesOutputs()
    with signxai.rules_for(GivesOutputs, passes):
        relevance = explained(net(Named(gives)))
    with signxai.rules_for(torch.i0, passes):
        np.testing.assert_array_equal(relevance, explained(net(torch.i0)))


class Named(nn.Module):
    def __init__(self, gives):
        super().__init__()
        self.gives = gives

    def forward(self, x):
        return self.gives(x).hidden


def test_blocks_may_end_in_any_order():
    first, second = signxai.rules_for("i0", passes), signxai.rules_for("lgamma", passes)
    for opened, closed in (((first, second), (first, second)),):
        for block in opened:
            block.__enter__()
        explained(net(torch.i0))
        closed[0].__exit__(None, None, None)
        with pytest.raises(ModelError, match="register_rule"):
            explained(net(torch.i0))
        explained(net(torch.lgamma))
        closed[1].__exit__(None, None, None)
        assert not user_rules()


class Positioned(nn.Embedding):
    """An embedding with a forward of its own."""

    def forward(self, ids):
        return super().forward(ids) + 1


@pytest.mark.parametrize("operation", [nn.Embedding, nn.EmbeddingBag, F.embedding, "embedding_bag"])
def test_an_embedding_of_token_ids_can_have_no_rule(operation):
    with pytest.raises(OptionError, match="token ids"):
        signxai.register_rule(operation, passes)
    signxai.register_rule(Positioned, passes).remove()


@pytest.mark.parametrize("operation", [torch.relu_, F.relu_, torch.Tensor.relu_, "relu_"])
def test_a_function_that_writes_can_have_a_rule_however_it_is_given(operation):
    model = net(lambda h: torch.relu_(h) + h.relu())
    with signxai.rules_for(operation, passes, name="written"):
        assert "written" in {row.rule for row in signxai.inspect_model(model, X, "lrp_z", 1).rows}
