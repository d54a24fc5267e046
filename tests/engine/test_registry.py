"""The tables of rules: every operation has one rule, and a sample call that shows what that rule does."""

import pytest
import torch

from operations import IDS, SAMPLES
from signxai.engine.call import Call
from signxai.engine.registry import RELEVANCE, RuleTable
from signxai.engine.relevance import RelevancePass
from signxai.methods.composites import layer_rules


def name_of(operation):
    name = operation.__name__
    return operation.__self__.__name__ if name == "__get__" else name


def where(operation):
    """Its name, and what tells it from others of that name, the same in every process."""
    return f"{name_of(operation)}-{type(operation).__name__}-{getattr(operation, '__module__', '')}"


OPERATIONS = sorted((operation for operation in RELEVANCE.operations() if not isinstance(operation, str)), key=where)


def leaf_of(shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 0.8 + 0.1
    x = torch.arange(12.0, dtype=torch.float64).view(IDS) if shape == IDS else x
    return x.requires_grad_(True)


def at_output_of(y):
    return torch.rand(y.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64).to(y.dtype)


def relevance_of(run, shape):
    """Relevance at x under the z rule, from some relevance at the output; None where none can come back."""
    leaf = leaf_of(shape)
    x = leaf.clone()  # a network's input is no leaf; those are weights
    with RelevancePass(layer_rules("lrp", "z"), strict=True):
        y = run(x)
    if not isinstance(y, torch.Tensor) or not y.requires_grad:
        return None
    return torch.autograd.grad(y, leaf, at_output_of(y))[0]


def by_its_law(sample, operation):
    """The same by autograd alone."""
    leaf = leaf_of(sample.shape)
    y = sample.call(operation, leaf.clone())
    at_output = at_output_of(y)
    if sample.law == "passes":
        return at_output
    if sample.law == "gradient":
        return torch.autograd.grad(y, leaf, at_output)[0]
    shares = leaf.detach() * torch.autograd.grad(y, leaf, at_output / y.detach())[0]
    return shares / 2 if sample.law == "halves" else shares


@pytest.mark.parametrize("operation", OPERATIONS, ids=where)
def test_every_operation_with_a_rule_has_a_sample_that_keeps_its_law(operation):
    assert name_of(operation) in SAMPLES, "add a row to tests/engine/operations.py"
    sample = SAMPLES[name_of(operation)]
    relevance = relevance_of(lambda x: sample.call(operation, x), sample.shape)
    if sample.law == "ends":
        assert relevance is None
        return
    wanted = relevance_of(sample.other, sample.shape) if sample.law == "same" else by_its_law(sample, operation)
    torch.testing.assert_close(relevance, wanted, rtol=1e-10, atol=1e-12)


def test_no_sample_is_left_of_an_operation_that_has_no_rule():
    assert set(SAMPLES) - {name_of(operation) for operation in OPERATIONS} <= OF_OTHER_VERSIONS


OF_OTHER_VERSIONS = {"grouped_mm", "_grouped_mm", "__rtruediv__", "__itruediv__", "__pow__"}
"""Names by which only some versions of torch know an operation."""


def test_a_second_rule_for_an_operation_is_refused():
    table = RuleTable()
    table.rule_for("relu")(lambda mode, call: None)
    with pytest.raises(ValueError, match="has a rule already"):
        table.rule_for("gelu", "relu")(lambda mode, call: None)


def test_a_table_replaces_rules_of_the_one_below_and_sees_what_enters_that_later():
    below = RuleTable()
    above = RuleTable(below)
    first, second, third = (lambda mode, call: None for _ in range(3))
    above.rule_for(torch.relu)(first)
    below.rule_for(torch.relu)(second)
    below.rule_for(torch.tanh)(third)
    assert above.rules == {torch.relu: first, torch.tanh: third}
    assert below.rules == {torch.relu: second, torch.tanh: third}


@pytest.mark.parametrize("kwargs", [{"input": 1, "other": 2}, {"self": 1, "other": 2}, {"other": 2}])
def test_a_rule_finds_arguments_that_came_by_keyword_in_their_places(kwargs):
    table, seen = RuleTable(), []
    table.rule_for(torch.add, arguments=("input", "other"))(lambda mode, call: seen.append((call.args, call.kwargs)))
    args = () if len(kwargs) > 1 else (1,)
    table.rules[torch.add](None, Call(torch.add, args, {**kwargs, "alpha": 3}))
    assert seen == [((1, 2), {"alpha": 3})]


def test_an_argument_behind_one_that_is_left_out_stays_a_keyword():
    assert_bound((1,), {"max": 6}, (1,), {"max": 6})
    assert_bound((1,), {"max": 6, "min": 0}, (1, 0, 6), {})
    assert_bound((), {"max": 6, "input": 1}, (1,), {"max": 6})


def assert_bound(args, kwargs, bound_args, bound_kwargs):
    call = Call(torch.clamp, args, kwargs).with_arguments(("input", "min", "max"))
    assert (call.func, call.args, call.kwargs) == (torch.clamp, bound_args, bound_kwargs)
