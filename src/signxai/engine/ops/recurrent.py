"""Recurrent networks, step by step, so that an ``nn.LSTM`` gives the map of the same cells written out as functions.

Gates scale what passes and get no relevance (Arras et al. 2017), which is the rule of products with gates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.engine.call import Result
from signxai.engine.decomposition import decomposed
from signxai.engine.registry import RELEVANCE, RELU_BACKWARD
from signxai.engine.torch_functions import Operation

State: TypeAlias = "Tensor | Sequence[Tensor]"

Cell = Callable[[Tensor, tuple[Tensor, ...], Sequence[Tensor]], tuple[Tensor, ...]]
"""(input (N, F), state (N, H) or states, parameters) -> new state or states, the output first."""


def _states(hx: State) -> tuple[Tensor, ...]:
    return (hx,) if isinstance(hx, Tensor) else tuple(hx)


def _affine(x: Tensor, h: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    biases = parameters[2:4] if len(parameters) > 3 else (None, None)
    return F.linear(x, parameters[0], biases[0]), F.linear(h, parameters[1], biases[1])


def _lstm_cell(x: Tensor, state: tuple[Tensor, ...], parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    h, c = state
    from_input, from_state = _affine(x, h, parameters)
    i, f, g, o = (from_input + from_state).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    if len(parameters) in (3, 5):  # a projection
        h = F.linear(h, parameters[-1])
    return h, c


def _gru_cell(x: Tensor, state: tuple[Tensor, ...], parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    (h,) = state
    from_input, from_state = (part.chunk(3, -1) for part in _affine(x, h, parameters))
    r = (from_input[0] + from_state[0]).sigmoid()
    z = (from_input[1] + from_state[1]).sigmoid()
    n = (from_input[2] + r * from_state[2]).tanh()
    return ((1 - z) * n + z * h,)


def _rnn_cell(activation: Callable[[Tensor], Tensor]) -> Cell:
    def cell(x: Tensor, state: tuple[Tensor, ...], parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
        from_input, from_state = _affine(x, state[0], parameters)
        return (activation(from_input + from_state),)

    return cell


CELLS: dict[str, tuple[Cell, int]] = {
    "lstm": (_lstm_cell, 2),
    "gru": (_gru_cell, 1),
    "rnn_tanh": (_rnn_cell(torch.tanh), 1),
    "rnn_relu": (_rnn_cell(torch.relu), 1),
}


def _recurrent(cell: Cell) -> Callable[..., tuple[Tensor, ...]]:
    """``torch.lstm`` and its like, for padded and for packed sequences."""

    def padded(
        input: Tensor,
        hx: State,
        weights: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Tensor, ...]:
        x = list(input.unbind(1 if batch_first else 0))
        x, final = _layers(cell, x, _states(hx), weights, num_layers, bidirectional)
        steps = torch.stack(x)
        return steps.transpose(0, 1) if batch_first else steps, *final

    def packed(
        data: Tensor,
        batch_sizes: Tensor,
        hx: State,
        weights: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
    ) -> tuple[Tensor, ...]:
        x = list(torch.split(data, batch_sizes.tolist()))
        x, final = _layers(cell, x, _states(hx), weights, num_layers, bidirectional)
        return torch.cat(x), *final

    def steps(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        is_packed = isinstance(args[3], tuple | list)  # the weights stand one place later behind the batch sizes
        return packed(*args, **kwargs) if is_packed else padded(*args, **kwargs)

    return steps


def _layers(
    cell: Cell, x: list[Tensor], hx: Sequence[Tensor], weights: Sequence[Tensor], num_layers: int, bidirectional: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """All layers over a sequence of inputs (batch at that time, F): the outputs, and each state at the end (layers, N, H)."""
    directions = 2 if bidirectional else 1
    count = len(weights) // (num_layers * directions)
    final = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            state = tuple(h[index] for h in hx)
            output, state = _direction(cell, x, state, weights[index * count : (index + 1) * count], direction == 1)
            outputs.append(output)
            final.append(state)
        x = [torch.cat(both, -1) for both in zip(*outputs, strict=True)] if bidirectional else outputs[0]
    return x, [torch.stack(states) for states in zip(*final, strict=True)]


def _direction(
    cell: Cell, x: list[Tensor], start: tuple[Tensor, ...], parameters: Sequence[Tensor], backwards: bool
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """One layer in one direction; sequences of a packed batch are sorted by length, so that the longest come first."""
    outputs: list[Tensor] = [x[0]] * len(x)
    state, ended = tuple(h[: len(x[-1 if backwards else 0])] for h in start), []
    for time in reversed(range(len(x))) if backwards else range(len(x)):
        size = len(x[time])
        if size < len(state[0]):
            ended.append(tuple(h[size:] for h in state))
            state = tuple(h[:size] for h in state)
        going_on = len(state[0])
        parts = [cell(x[time][:going_on], state, parameters)]
        if size > going_on:  # apart from the others: for sequences that begin here the state is a constant, as it would be alone
            parts.append(cell(x[time][going_on:], tuple(first[going_on:size] for first in start), parameters))
        state = parts[0] if len(parts) == 1 else tuple(torch.cat(both) for both in zip(*parts, strict=True))
        outputs[time] = state[0]
    if ended:
        state = tuple(torch.cat(parts) for parts in zip(state, *reversed(ended), strict=True))
    return outputs, state


def _cell_call(cell: Cell, states: int) -> Operation:
    """``torch.lstm_cell`` and its like."""

    def steps(input: Tensor, hx: State, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Result:
        parameters = [parameter for parameter in (w_ih, w_hh, b_ih, b_hh) if parameter is not None]
        state = cell(input, _states(hx), parameters)
        return state if states > 1 else state[0]

    return steps


for _name, (_cell, _count) in CELLS.items():
    _tables = (RELEVANCE, RELU_BACKWARD) if _cell is CELLS["rnn_relu"][0] else (RELEVANCE,)
    decomposed(_name, tables=_tables)(_recurrent(_cell))
    decomposed(f"{_name}_cell", tables=_tables)(_cell_call(_cell, _count))
