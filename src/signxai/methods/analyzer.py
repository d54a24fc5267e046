"""What all analyzers share: reading input and target, batching, giving the model back, returning arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from signxai.common.errors import ModelError, OptionError
from signxai.engine.forward import Target, as_input, as_target, run_forward
from signxai.engine.freed_memory import keep_freed_memory
from signxai.engine.mode import ForwardPass
from signxai.engine.model_loan import borrowed, unwrapped
from signxai.engine.module_outputs import OutputOf

RELEVANCE_STARTS = ("one_hot", "logit")


class Analyzer(ABC):
    """An attribution method bound to a model. It may be used again and again; the model is only borrowed in between.

    Args:
        model: any ``torch.nn.Module``; a softmax at its output is taken off.
        batch_size: most samples in one forward pass; None: all at once.
        seed: seeds every random draw, together with the sample's own index in what is drawn for it.
        relevance: what relevance starts with at the output: "one_hot" (1 at the target) or "logit" (the target's logit).
        as_tensor: return a tensor on the model's device instead of a NumPy array.
        at: dotted name of a module: instead of at the input, what arrives at that module's output, in its shape; of a module
            executed several times with the number of the execution, ``"relu[0]"``. For methods of one backward pass.

    Raises:
        ModelError: if the model is no module, or its layers are hidden (TorchScript).
        OptionError: if an option has a value that is not allowed.
    """

    writes_parameters = False
    chunks_itself = False
    is_one_backward_pass = False

    def __init__(
        self,
        model: nn.Module,
        *,
        batch_size: int | None = None,
        seed: int = 0,
        relevance: str = "one_hot",
        as_tensor: bool = False,
        at: str | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise OptionError(f"{type(self).__name__} takes no option {next(iter(unknown))!r}; see its signature")
        unwrapped(model)
        if relevance not in RELEVANCE_STARTS:
            raise OptionError(f"relevance={relevance!r} is not one of {', '.join(map(repr, RELEVANCE_STARTS))}")
        if at is not None and (not self.is_one_backward_pass or not isinstance(at, str)):
            raise OptionError(f"at={at!r} must be a module's name, and {type(self).__name__} a method of one backward pass (LRP, gradient)")
        self.model = model
        self.at = at
        self.batch_size = None if batch_size is None else whole_number("batch_size", batch_size, at_least=1)
        self.seed = whole_number("seed", seed, at_least=0, at_most=2**63 - 1)
        self.relevance = relevance
        self.as_tensor = as_tensor

    def analyze(self, input_tensor: Any, target_class: Any = None) -> np.ndarray[Any, Any] | Tensor:
        """Explain a batch.

        Args:
            input_tensor: tensor or array (N, ...), moved to the model's device and dtype.
            target_class: None (argmax of each sample), an integer, N integers, a tuple index behind the batch axis for
                outputs with more axes, or a callable from outputs to (N,).

        Returns:
            Relevance in the shape of the input (half precision is returned as float32); a tensor with ``as_tensor``.

        Raises:
            InputError, TargetError, ModelError: if something does not fit; the message says what to do.
        """
        loan = borrowed(self.model, self.writes_parameters, self.seed, self._is_ours and not callable(target_class))
        with torch.inference_mode(False), torch.enable_grad(), loan as net:
            x = as_input(net, input_tensor)
            if x.is_cpu:
                keep_freed_memory()
            target = as_target(target_class, len(x))
            step = len(x) if self.chunks_itself else self.batch_size or len(x)
            parts = [
                self._explain(net, x[start : start + step], target.rows(start, start + step), slice(start, start + step))
                for start in range(0, len(x), step)
            ]
            result = parts[0] if len(parts) == 1 else torch.cat(parts)
        return result if self.as_tensor else as_array(result)

    @property
    def _is_ours(self) -> bool:
        """Whether the analyzer is one of this package, which changes nothing in the model."""
        return type(self).__module__.startswith(f"{__package__}.")

    @abstractmethod
    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        """Relevance of a few samples, in the shape of ``x``; ``rows`` says which of the batch they are."""

    def _backward(self, net: nn.Module, x: Tensor, target: Target, watch: ForwardPass) -> Tensor:
        """Carry what relevance starts with from the output to the input, along the graph that ``watch`` builds."""
        leaf = x.detach().requires_grad_(True)
        place = None if self.at is None else OutputOf(net, self.at)
        with nullcontext() if place is None else place.watching:
            logits = run_forward(net, leaf.clone(), watch)  # a clone: the network may write to its input
        start = target.starting_relevance(logits, self.relevance)
        if place is None:
            return gradient_of(logits, leaf, start)
        with _folded_layers_named(self.at):
            return gradient_of(logits, place.edge(), start)


@contextmanager
def _folded_layers_named(at: str | None) -> Iterator[None]:
    """Say why relevance may not arrive at a module's output, though it does at the input."""
    try:
        yield
    except UnreachedError as error:
        raise ModelError(
            f"no relevance arrives at the output of {at!r}: the prediction does not depend on it, or a batch norm behind it makes one "
            "layer with it; ask for the output of that batch norm"
        ) from error


class UnreachedError(ModelError):
    """The gradient does not reach what it was asked for."""


def gradient_of(logits: Tensor, leaf: Any, start: Tensor, keep_graph: bool = False) -> Tensor:
    """The vector-Jacobian product from the logits to ``leaf``.

    Raises:
        ModelError: if the output does not depend on it.
    """
    if not logits.requires_grad:
        raise ModelError(
            "the model's output has no gradient: its forward cuts the graph (no_grad, detach, argmax, NumPy) between input and output; "
            "remove that cut"
        )
    if isinstance(leaf, GradientEdge) and not _is_behind(logits, leaf.node):  # of which torch before 2.7 crashes
        raise UnreachedError("the model's output does not depend on it")
    gradient: Tensor | None = torch.autograd.grad(logits, leaf, start, allow_unused=True, retain_graph=keep_graph)[0]
    if gradient is None:
        raise UnreachedError("the model's output does not depend on it: the graph is cut (detach, no_grad) in between; remove that cut")
    return gradient


def _is_behind(output: Tensor, wanted: Any) -> bool:
    """Whether a node of the graph lies on the way from an output to what it was computed from."""
    seen: set[Any] = set()
    pending: list[Any] = [output.grad_fn]
    while pending:
        node = pending.pop()
        if node is wanted:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            pending.extend(parent for parent, _ in node.next_functions)
    return False


def as_array(relevance: Tensor) -> np.ndarray[Any, Any]:
    """A NumPy array of a relevance tensor; half precision becomes float32."""
    relevance = relevance.detach().cpu()
    if relevance.dtype in (torch.float16, torch.bfloat16):
        relevance = relevance.float()
    array: np.ndarray[Any, Any] = relevance.numpy()
    return array


def whole_number(name: str, value: Any, at_least: int, at_most: float = float("inf")) -> int:
    """Check an option that counts something."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not at_least <= value <= at_most:
        limit = "" if at_most == float("inf") else f" and at most {at_most}"
        raise OptionError(f"{name}={value!r} must be a whole number of at least {at_least}{limit}")
    return int(value)


def number(name: str, value: Any, at_least: float | None = None) -> float:
    """Check an option that is a real number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating) or not np.isfinite(value):
        raise OptionError(f"{name}={value!r} must be a finite number")
    if at_least is not None and value < at_least:
        raise OptionError(f"{name}={value!r} must be at least {at_least:g}")
    return float(value)


def like_input(name: str, value: Any, x: Tensor) -> Tensor:
    """A number, one sample or a batch, spread to the shape of ``x``.

    Raises:
        OptionError: if its shape does not fit, or it holds NaN or infinity.
    """
    tensor = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if not bool(torch.isfinite(tensor).all()):
        raise OptionError(f"{name} holds NaN or infinity: {value!r}")
    if tensor.ndim == 0 or tensor.shape in (x.shape, x.shape[1:], (1, *x.shape[1:])):
        return tensor.expand_as(x)
    allowed = f"a number, one sample {tuple(x.shape[1:])} or a batch {tuple(x.shape)}"
    raise OptionError(f"{name} has the shape {tuple(tensor.shape)}; give {allowed}")
