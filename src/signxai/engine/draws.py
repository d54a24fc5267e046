"""Random numbers that a network draws in its forward pass: a map would be that of one draw, and a batch not that of its samples."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from signxai.engine.call import Call
from signxai.engine.generators import Generators
from signxai.engine.places import place_of_call
from signxai.engine.torch_functions import Operation, functions_named

MAY_DRAW: frozenset[Operation] = frozenset(
    functions_named(
        *("rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "bernoulli", "bernoulli_", "multinomial"),
        *("normal", "normal_", "uniform_", "exponential_", "log_normal_", "cauchy_", "geometric_", "random_", "poisson", "binomial"),
        *("dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "alpha_dropout_", "feature_dropout"),
        *("feature_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_", "native_dropout", "rrelu", "rrelu_", "gumbel_softmax"),
        *("fractional_max_pool2d", "fractional_max_pool3d", "scaled_dot_product_attention", "multi_head_attention_forward"),
        *("lstm", "gru", "rnn_tanh", "rnn_relu"),
    )
)
"""Functions that draw random numbers, some of them only in training."""


def generator_states(call: Call) -> list[Tensor]:
    """The states of the generators that a call may draw from."""
    own = call.kwargs.get("generator")
    states = [torch.get_rng_state()] if own is None else [own.get_state()]
    device = call.x.device if isinstance(call.x, Tensor) else torch.device(call.kwargs.get("device") or "cpu")
    if device.type == "cuda" and own is None:
        states.append(torch.cuda.get_rng_state(device))
    return states


def have_moved(before: list[Tensor], after: list[Tensor]) -> bool:
    """Whether random numbers were drawn between two states of generators."""
    return not all(map(torch.equal, before, after))


class DrawFinder(TorchFunctionMode):
    """Finds the operations that draw, whatever they draw from, or before which somebody did.

    Attributes:
        found: how many operations had been carried out -> the generator, the operation and its place.
    """

    def __init__(self, generators: Generators) -> None:
        super().__init__()
        self.generators = generators
        self.found: dict[float, str] = {}
        self._count = 0

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        name = getattr(func, "__name__", repr(func))
        self.look(f"before {name!r}")
        result = func(*args, **(kwargs or {}))
        self._count += 1
        self.look(f"by {name!r}", 0.5)
        return result

    def look(self, when: str, later: float = 0.0) -> None:
        """Whether anything was drawn since the last look."""
        moved = self.generators.moved()
        if moved:
            self.found[self._count + later] = f"{moved[0]}, {when} in {place_of_call()}"
            self.generators.remember()


def place_of_draws(run: Callable[[], object], generators: Generators) -> dict[float, str]:
    """Where a network draws, whatever it draws from: ``DrawFinder.found`` of one pass."""
    generators.remember()
    finder = DrawFinder(generators)
    with torch.no_grad(), finder:
        run()
    finder.look("behind the last operation")
    return finder.found


def draws_itself(run: Callable[[], object], generators: Generators) -> bool:
    """Whether a network draws, and not another thread meanwhile: each time it runs, at the same place."""
    if threading.active_count() == 1:
        return True
    passes = (place_of_draws(run, generators).keys() for _ in range(_PASSES))
    common = set(next(passes))
    return all(common := common & found for found in passes)


_PASSES = 8
"""A thread that trains draws often: that many times at one place by chance, it hardly does."""
