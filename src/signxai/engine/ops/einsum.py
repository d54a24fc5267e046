"""Einstein sums as matrix products, so that one with constant weights is a linear layer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.engine.decomposition import decomposed
from signxai.engine.graph import needs_relevance


@decomposed("einsum")
def einsum(equation: Any, *operands: Any) -> Tensor:
    """``torch.einsum`` of two tensors as a matrix product, so that one with constant weights is a linear layer."""
    tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], tuple | list) else list(operands)
    inputs, output = terms(equation, tensors)
    tensors, inputs = _constants_joined(tensors, inputs, output)
    while len(tensors) > 1:
        kept = set(output).union(*inputs[2:])
        joined, labels = _pair(tensors[0], tensors[1], inputs[0], inputs[1], kept)
        tensors, inputs = [joined, *tensors[2:]], [labels, *inputs[2:]]
    return _arranged(tensors[0], inputs[0], output)


def _constants_joined(tensors: list[Tensor], inputs: list[str], output: str) -> tuple[list[Tensor], list[str]]:
    """The factors, with constants that are summed over one label joined: in whatever order they stand, they are one layer."""
    places = [place for place, tensor in enumerate(tensors) if not needs_relevance(tensor)]
    for i, j in itertools.combinations(places, 2):
        kept = set(output).union(*(labels for place, labels in enumerate(inputs) if place not in (i, j)))
        if (set(inputs[i]) & set(inputs[j])) - kept:
            joined, labels = _pair(tensors[i], tensors[j], inputs[i], inputs[j], kept)
            rest = [place for place in range(len(tensors)) if place not in (i, j)]
            return _constants_joined([*(tensors[k] for k in rest), joined], [*(inputs[k] for k in rest), labels], output)
    return tensors, inputs


def terms(equation: Any, tensors: list[Tensor]) -> tuple[list[str], str]:
    """The labels of each input and of the output, one letter per axis, an ellipsis spelled out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    names = left.split(",")
    spare = [letter for letter in map(chr, range(ord("A"), ord("z") + 1)) if letter.isalpha() and letter not in equation]
    widths = [tensor.ndim - len(name.replace("...", "")) for name, tensor in zip(names, tensors, strict=True)]
    most = max((width for name, width in zip(names, widths, strict=True) if "..." in name), default=0)
    dots = "".join(spare[:most])
    inputs = [name.replace("...", dots[most - width :]) for name, width in zip(names, widths, strict=True)]
    if not arrow:
        letters = "".join(inputs)
        right = dots + "".join(sorted(letter for letter in set(letters) - set(dots) if letters.count(letter) == 1))
    return inputs, right.replace("...", dots)


def _pair(a: Tensor, b: Tensor, of_a: str, of_b: str, kept: Iterable[str]) -> tuple[Tensor, str]:
    """Two factors as one: shared labels that stay are batches, shared ones that go are summed over."""
    if needs_relevance(b) and not needs_relevance(a):
        return _pair(b, a, of_b, of_a, kept)
    a, of_a = _own(a, of_a, {*of_b, *kept})
    b, of_b = _own(b, of_b, {*of_a, *kept})
    size = {label: max(sizes) for label, sizes in _sizes((a, of_a), (b, of_b)).items()}  # an axis of length 1 spreads
    a, b = _widened(a, [size[label] for label in of_a]), _widened(b, [size[label] for label in of_b])
    shared = [label for label in of_a if label in of_b]
    batch = "".join(label for label in shared if label in kept)
    summed = "".join(label for label in shared if label not in kept)
    only_a = "".join(label for label in of_a if label not in shared)
    only_b = "".join(label for label in of_b if label not in shared)
    if not summed:  # a product place by place: of a signal and a constant no layer, and a gate is one
        labels = batch + only_a + only_b
        return _spread(a, of_a, labels) * _spread(b, of_b, labels), labels
    length = math.prod(size[label] for label in summed)
    rows = _arranged(a, of_a, batch + only_a + summed).reshape(*(size[k] for k in batch + only_a), length)
    if not batch:
        columns = _arranged(b, of_b, only_b + summed).reshape(-1, length)
        product = F.linear(rows, columns) if not needs_relevance(b) else torch.matmul(rows.reshape(-1, length), columns.t())
    else:
        sizes = [size[k] for k in batch]
        columns = _arranged(b, of_b, batch + summed + only_b).reshape(*sizes, length, -1)
        product = torch.matmul(rows.reshape(*sizes, -1, length), columns)
    labels = batch + only_a + only_b
    return product.reshape([size[label] for label in labels]), labels


def _widened(tensor: Tensor, sizes: list[int]) -> Tensor:
    return tensor if list(tensor.shape) == sizes else tensor.expand(sizes)


def _spread(tensor: Tensor, labels: str, wanted: str) -> Tensor:
    """A tensor with an axis for each label that is wanted, of length 1 for those that it lacks."""
    arranged = _arranged(tensor, labels, "".join(label for label in wanted if label in labels))
    for axis, label in enumerate(wanted):
        arranged = arranged if label in labels else arranged.unsqueeze(axis)
    return arranged


def _sizes(*terms: tuple[Tensor, str]) -> dict[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    for tensor, labels in terms:
        for label, size in zip(labels, tensor.shape, strict=True):
            sizes.setdefault(label, []).append(size)
    return sizes


def _own(tensor: Tensor, labels: str, needed: set[str]) -> tuple[Tensor, str]:
    """The diagonal of repeated labels, and the sum over labels that nobody else needs."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first, second = labels.index(label), labels.rindex(label)
            tensor = tensor.diagonal(dim1=first, dim2=second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    gone = [axis for axis, label in enumerate(labels) if label not in needed]
    if gone:
        tensor = tensor.sum(gone)
        labels = "".join(label for label in labels if label in needed)
    return tensor, labels


def _arranged(tensor: Tensor, labels: str, wanted: str) -> Tensor:
    tensor, labels = _own(tensor, labels, set(wanted))
    order = [labels.index(label) for label in wanted]
    return tensor if order == list(range(len(order))) else tensor.permute(order)
