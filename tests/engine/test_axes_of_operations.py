"""Where the samples of a batch are said to be behind an operation is where they are, for every operation that has a rule."""

import pytest
import torch

from operations import IDS, SAMPLES
from signxai.engine.call import tensors_in
from signxai.engine.relevance import RelevancePass
from signxai.engine.sample_axes import SampleAxes
from signxai.engine.samples import SampleAxis
from signxai.methods.composites import layer_rules
from test_registry import OPERATIONS, leaf_of, name_of, where


def run_with_samples_on(axis, sample, operation, x):
    """The results of a sample call whose input holds its samples along an axis, and where they are said to be in each."""
    x = x.requires_grad_(True).clone()
    with RelevancePass(layer_rules("lrp", "z"), strict=True) as watching:
        watching.axes = SampleAxes()
        watching.axes.count = x.shape[axis]
        watching.axes.put(x, SampleAxis(axis, torch.arange(x.shape[axis])))
        results = list(tensors_in(sample.call(operation, x)))
        return [(result.detach().to_dense(), watching.axes.of(result)) for result in results]


def with_another_sample(x, axis, i):
    """The input with other values in one sample."""
    other = x.clone()
    values = other.select(axis, i)
    values.copy_(11 - values if x.shape == IDS else 1.0 - values.flip(-1) * 0.97)
    return other


def changed_places(was, now, axis):
    """At which places along an axis two tensors differ."""
    was, now = (t.movedim(axis, 0).flatten(1) if t.ndim > 1 else t[:, None] for t in (was, now))
    return ~((was == now) | (was.isnan() & now.isnan())).all(1)


@pytest.mark.parametrize("operation", OPERATIONS, ids=where)
def test_what_a_sample_changes_is_said_to_be_of_it(operation):
    """Where an operation mixes what stands along an axis, as a softmax over it does, each place changes with all samples."""
    sample = SAMPLES[name_of(operation)]
    x = leaf_of(sample.shape).detach()
    for axis in range(x.ndim):
        before = run_with_samples_on(axis, sample, operation, x.clone())
        for i in range(x.shape[axis]):
            after = run_with_samples_on(axis, sample, operation, with_another_sample(x, axis, i))
            for (was, found), (now, _) in zip(before, after, strict=True):
                if found is not None and was.shape == now.shape:
                    changed, own = changed_places(was, now, found.axis), found.samples == i
                    assert not changed[~own].any() or changed[own].any(), (axis, i, found.axis)
