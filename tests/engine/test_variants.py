"""Every operation that has a rule, called in other ways: a new one joins by its row in operations.py.

By keyword, as an operator of torch.ops, as a method, on a view of other memory, in float32, and where it writes to a view: one
map, of one result. A way that torch itself does not take is none.
"""

import inspect
from functools import partial

import pytest
import torch
from torch import Tensor

from comparing import deviation
from crossing import in_turn
from operations import IDS, SAMPLES
from signxai.engine.relevance import RelevancePass
from signxai.engine.torch_functions import WRITING, argument_names
from signxai.methods.composites import layer_rules
from test_registry import OPERATIONS, at_output_of, leaf_of, name_of, where

METHODS = ["epsilon", "alpha_beta"]
PARAMETERS = {"epsilon": {"epsilon": 0.25}, "alpha_beta": {"alpha": 2.0, "beta": 1.0}}


def run_and_explain(call, x, rule="z"):
    """The result and the relevance at x, from some relevance at the output; None where none can come back."""
    leaf = x.detach().requires_grad_(True)
    x = leaf.clone()
    with RelevancePass(layer_rules("lrp", rule, PARAMETERS.get(rule, {})), strict=True):
        y = call(x)
    if not isinstance(y, Tensor) or not y.requires_grad:
        return y, None
    return y.detach(), torch.autograd.grad(y, leaf, at_output_of(y))[0]


def plain(call, x):
    """What torch gives, or None where it takes no such call."""
    try:
        return call(x.detach().requires_grad_().clone())
    except (TypeError, RuntimeError, AttributeError, NotImplementedError, ValueError, IndexError):
        return None


def by_keyword(operation):
    """The operation with everything that has a name by that name; nobody calls ``__add__`` so."""
    if name_of(operation).startswith("__"):
        return None

    def call(*args, **kwargs):
        for names in names_of(operation):
            if len(names) < len(args):
                continue
            named = dict(zip(names, args, strict=False))
            for first in ("self", "input"):
                renamed = {first if name in ("self", "input") else name: value for name, value in named.items()}
                try:
                    return operation(**renamed, **kwargs)
                except (TypeError, RuntimeError):
                    continue
            try:
                return operation(args[0], **{name: value for name, value in named.items() if name != names[0]}, **kwargs)
            except (TypeError, RuntimeError):
                continue
        raise TypeError("takes nothing by keyword")

    return call


def names_of(operation):
    if inspect.isfunction(operation):
        parameters = inspect.signature(operation).parameters.values()
        return [tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)]
    return argument_names(name_of(operation).removeprefix("special_").strip("_"))


def of_ops(operation):
    return getattr(torch.ops.aten, name_of(operation), None)


def as_method(operation):
    return getattr(Tensor, name_of(operation), None)


WAYS = {"by keyword": by_keyword, "torch.ops": of_ops, "method": as_method}


@pytest.mark.parametrize(("operation", "rule"), in_turn(OPERATIONS, METHODS, names=lambda one: one if one in METHODS else where(one)))
def test_other_ways_to_call_an_operation_give_its_map(operation, rule):
    sample = SAMPLES[name_of(operation)]
    x = leaf_of(sample.shape)
    wanted = plain(lambda x: sample.call(operation, x), x)
    ways = {way: other for way, of in WAYS.items() if is_another_way(sample, other := of(operation), operation, x, wanted)}
    if not ways:
        pytest.skip("torch takes no such call, or means something else by it")
    _, expected = run_and_explain(lambda x: sample.call(operation, x), x, rule)
    for way, other in ways.items():
        _, found = run_and_explain(partial(sample.call, other), x, rule)
        assert_same(found, expected, way)


def is_another_way(sample, other, operation, x, wanted):
    """Whether torch takes the call, and means the same by it."""
    result = None if other in (None, operation) else plain(lambda x: sample.call(other, x), x)
    return isinstance(result, Tensor) and isinstance(wanted, Tensor) and result.shape == wanted.shape and result.equal(wanted)


def assert_same(found, expected, way):
    assert (found is None) == (expected is None), way
    if expected is not None:
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, msg=lambda said: f"{way}: {said}")


def transposed(x):
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


def channels_last(x):
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def part_of_more(x):
    return torch.stack([x, x + 1], -1).flatten(-2)[..., ::2]


LAYOUTS = {"transposed": transposed, "channels last": channels_last, "part of more": part_of_more}


@pytest.mark.parametrize("operation", OPERATIONS, ids=where)
def test_an_input_that_lies_otherwise_in_memory_gives_the_same_map_and_a_result_that_lies_as_torchs(operation):
    sample = SAMPLES[name_of(operation)]
    if len(sample.shape) < 2:
        pytest.skip("one axis")
    x = leaf_of(sample.shape).detach()
    results = {layout: plain(lambda x, lay=lay: sample.call(operation, lay(x)), x) for layout, lay in LAYOUTS.items()}
    taken = {layout: wanted for layout, wanted in results.items() if wanted is not None}
    if not taken:
        pytest.skip("torch takes no such input")
    _, expected = run_and_explain(lambda x: sample.call(operation, x), x)
    for layout, wanted in taken.items():
        y, found = run_and_explain(lambda x, lay=LAYOUTS[layout]: sample.call(operation, lay(x)), x)
        if expected is not None and name_of(operation) not in OF_MEMORY:
            assert_same(found, expected, layout)
        if isinstance(wanted, Tensor) and name_of(operation) not in LIES_AS_ITS_INPUT:
            assert places(y) == places(wanted), layout


OF_MEMORY = {"as_strided", "as_strided_"}
"""They give what lies at a place of memory."""

LIES_AS_ITS_INPUT = {"multi_head_attention_forward"}
"""Behind samples first its result has samples first in memory, where torch's has tokens first: nn.MultiheadAttention turns it."""


def places(tensor):
    """The strides of the axes that have more than one value."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


@pytest.mark.parametrize("operation", OPERATIONS, ids=where)
def test_float32_gives_the_map_of_float64(operation):
    sample = SAMPLES[name_of(operation)]
    if sample.shape == IDS:
        pytest.skip("token ids")
    x = leaf_of(sample.shape).detach().float().double()  # what float32 can write
    _, expected = run_and_explain(lambda x: sample.call(operation, x), x)

    def narrow(x):
        import operations

        return in_float32(operations, sample, operation, x)

    if plain(narrow, x.float()) is None or expected is None:
        pytest.skip("torch takes no such input")
    y, found = run_and_explain(narrow, x.float())
    worse = (
        float(y.abs().max() / y.abs().min()) / 100 if sample.law in ("shares", "same") else 1.0
    )  # where y nearly cancels, so does its precision
    assert deviation(found, expected) < 1e-5 * max(1, worse)


def in_float32(module, sample, operation, x):
    fixed = module.fixed
    module.fixed = lambda *shape: fixed(*shape).float()
    try:
        return sample.call(operation, x)
    finally:
        module.fixed = fixed


WRITERS = [operation for operation in OPERATIONS if operation in WRITING]


@pytest.mark.parametrize("rule", METHODS)
@pytest.mark.parametrize("operation", WRITERS, ids=where)
def test_what_writes_to_a_view_gives_the_map_of_writing_to_the_whole(operation, rule):
    """``y[:, :n].relu_()`` and a copy of that part, written to and put together again."""
    sample = SAMPLES[name_of(operation)]
    x = leaf_of(sample.shape).detach()

    def into_a_view(x):
        base = torch.cat([x, x * 0.5])
        sample.call(operation, base[: len(x)])
        return base

    def apart(x):
        base = torch.cat([x, x * 0.5])
        part = base[: len(x)].clone()
        sample.call(operation, part)
        return torch.cat([part, base[len(x) :]])

    wanted, result = plain(apart, x), plain(into_a_view, x)
    if wanted is None or result is None or not result.equal(wanted):
        pytest.skip("torch takes no view here, or changes its shape alone")
    _, expected = run_and_explain(apart, x, rule)
    _, found = run_and_explain(into_a_view, x, rule)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
