"""Taking the softmax or sigmoid off a model's output, and predicting without leaving a trace."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack, _pop_mode_temporarily

from signxai.common.errors import ForwardError, ModelError, SignxaiError
from signxai.engine.batch_bound import samples_at_once
from signxai.engine.forward import OutputOption, explained_tensor, run_forward
from signxai.engine.generators import in_turn
from signxai.engine.given_inputs import ForwardKwargs, is_structured, joint_inputs, points_of
from signxai.engine.inputs import sum_of
from signxai.engine.joint_inputs import JointInputs
from signxai.engine.mode import ForwardPass, GradientPass
from signxai.engine.model_loan import borrowed, unwrapped
from signxai.engine.parameters import ParametersWrittenError
from signxai.engine.proof_of_reading import refuse_chance
from signxai.engine.token_ids import Mixed

__all__ = ["NoSoftmaxWrapper", "predict", "remove_softmax"]


@dataclass(frozen=True)
class Prediction:
    """What a model says.

    Attributes:
        logits: (N, ...), without a graph.
        activation: what was taken off the output, "softmax" or "sigmoid", or the logarithm of it; None if nothing was.
    """

    logits: Tensor
    activation: str | None


class NoSoftmaxWrapper(nn.Module):
    """A model whose output is what ``model`` computes before its final softmax, sigmoid or the logarithm of one: the logits.

    It is found when it is executed, however it is written: as a module, a function, a tensor method or by hand. One inside the
    network (attention, gates) stays. A model without one gives its output unchanged.

    Args:
        model: any module; it is shared, not copied, and its mode (train or eval) is left alone.
        output: from what the model returns to the tensor that is meant, as for ``signxai.explain``.

    Raises:
        ModelError: if it is no module, or TorchScript, whose layers are hidden.

    >>> import torch
    >>> logits = torch.nn.Linear(4, 3)
    >>> wrapped = NoSoftmaxWrapper(torch.nn.Sequential(logits, torch.nn.Softmax(dim=1)))
    >>> x = torch.ones(2, 4)
    >>> bool((wrapped(x) == logits(x)).all())
    True
    """

    def __init__(self, model: nn.Module, output: OutputOption = None) -> None:
        super().__init__()
        self.model, self.output = unwrapped(model), output
        self.training = self.model.training

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        """Logits, for the same arguments as the model takes; of a tuple or a Hugging Face output the (first) tensor."""
        samples = next((len(value) for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.ndim), 0)
        watching = next((mode for mode in reversed(_passes()) if isinstance(mode, ForwardPass)), None)
        if watching is not None:  # it is being explained, be it as a part of another network: no second pass may come in between
            explained = explained_tensor(self.model(*args, **kwargs), samples, self.output)
            self._refuse_chance(watching, args, kwargs, explained)
            known = watching.final.of(explained)
            return explained if known is None else known.logits()
        mode = GradientPass()
        with mode:
            explained = explained_tensor(self.model(*args, **kwargs), samples, self.output)
        self._refuse_chance(mode, args, kwargs, explained)
        logits = mode.logits_of(explained)
        if mode.taken_off is None:
            mode.final.say_if_unrecognized(logits, sum_of(logits))
        return logits

    def _refuse_chance(self, mode: ForwardPass, args: tuple[object, ...], kwargs: dict[str, object], explained: Tensor) -> None:
        """Let a pass forget an activation that the output has for these values alone, where that can be tried."""
        x = args[0] if len(args) == 1 and not kwargs else args or kwargs
        if self.training or not (is_structured(x) or (isinstance(x, Tensor) and x.is_floating_point())):
            return
        with _pop_mode_temporarily() if mode in _passes() else nullcontext():
            try:
                inputs, points = joint_inputs(self.model, x, kwargs if args else None)
            except SignxaiError:  # what it takes has not a row for each sample
                return

            def run(points: Tensor) -> Tensor:
                return explained_tensor(inputs.run(self.model, points), len(points), self.output)

            refuse_chance(mode, self, points, explained, run)


def _passes() -> list[object]:
    """What watches the operations that run now."""
    passes: list[object] = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return passes


def remove_softmax(model: nn.Module, output: OutputOption = None) -> NoSoftmaxWrapper:
    """Copy a model so that its output is the logits; the original is untouched.

    Args:
        model: any module with or without a final softmax, sigmoid, or the logarithm of one.
        output: from what the model returns to the tensor that is meant, as for ``signxai.explain``.

    Returns:
        A wrapper around a deep copy of the model in evaluation mode, on the same device.

    Raises:
        ModelError: if it is no module, or TorchScript, whose layers are hidden.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
    >>> remove_softmax(model)(torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """
    return NoSoftmaxWrapper(copy.deepcopy(unwrapped(model)), output).eval()


def predict(
    model: nn.Module,
    x: object,
    batch_size: int | None = None,
    seed: int = 0,
    output: OutputOption = None,
    stochastic: bool = False,
    forward_kwargs: ForwardKwargs = None,
) -> Tensor:
    """Logits of a model in evaluation mode, without a trace on it or on ``x``.

    Args:
        model: any module; a final softmax or sigmoid is taken off.
        x: tensor or array (N, ...), moved to the model's device and dtype; or several inputs, as for ``signxai.explain``.
        batch_size: most samples in one forward pass; None: as many as memory allows, see ``samples_at_once``.
        seed: seeds what the model itself may draw.
        output: from what the model returns to the tensor that is meant, as for ``signxai.explain``.
        stochastic: the model draws random numbers: each sample is run alone, with those of the seed.
        forward_kwargs: further arguments of the model's forward.

    Returns:
        Tensor (N, ...), without a graph.

    Raises:
        InputError, ModelError: as ``signxai.explain`` does.

    >>> import torch
    >>> predict(torch.nn.Linear(4, 3), torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """
    return prediction(model, x, batch_size, seed, output, stochastic, forward_kwargs).logits


def prediction(
    model: nn.Module,
    x: object,
    batch_size: int | None = None,
    seed: int = 0,
    output: OutputOption = None,
    stochastic: bool = False,
    forward_kwargs: ForwardKwargs = None,
) -> Prediction:
    """The same, with the activation that was taken off; arguments as for ``predict``."""
    settings = batch_size, seed, output, stochastic, forward_kwargs
    try:
        return _prediction(model, x, *settings)
    except ParametersWrittenError:
        return _prediction(model, x, *settings, copies_parameters=True)


def _prediction(
    model: nn.Module,
    x: object,
    batch_size: int | None,
    seed: int,
    output: OutputOption,
    stochastic: bool,
    forward_kwargs: ForwardKwargs,
    copies_parameters: bool = False,
) -> Prediction:
    logits, taken_off = [], None
    loan = borrowed(model, copies_parameters, seed, only_model_runs=output is None)
    with in_turn(stochastic), torch.inference_mode(False), torch.no_grad(), loan as view:
        samples, inputs = points_of(view.net, x, forward_kwargs, may_be_ids=True)
        output = output and view.of(output)
        draws_from = seed if stochastic else None
        samples, inputs = ids_or_numbers(view.net, samples, inputs, output, draws_from)
        step = 1 if stochastic else batch_size or samples_at_once(view.net, samples, inputs, output, draws_from)
        for start in range(0, len(samples), step):
            mode, part = GradientPass(), samples[start : start + step].clone()
            own = inputs and inputs.at(range(start, start + len(part)))
            logits.append(run_forward(view.net, part, mode, None, output, draws_from, own))
            taken_off = mode.taken_off
        return Prediction(torch.cat(logits), taken_off)


def ids_or_numbers(
    net: nn.Module, points: Tensor, inputs: JointInputs | None, output: OutputOption, draws_from: int | None, explains: bool = False
) -> tuple[Tensor, JointInputs | None]:
    """Points, and what the network takes for them: of one tensor of integers, ids if an embedding is read by them, and numbers otherwise.

    Args:
        net: the network.
        points, inputs: as ``points_of`` gives them.
        output, draws_from: as for ``run_forward``.
        explains: relevance is to find its way back to ids.

    Raises:
        ModelError: if ``explains``, and only integers are read that are computed of these, not place by place.
        ForwardError: if the network takes neither.
    """
    if inputs is None or not (inputs.is_one_tensor and inputs.has_ids and len(inputs.slots) == 1):
        return points, inputs
    mode, one = GradientPass(), inputs.at([0])
    try:
        with torch.enable_grad():
            run_forward(net, points[:1].clone().requires_grad_(True).clone(), mode, None, output, draws_from, one)
    except ForwardError as error:
        _refuse_ids(net, points[:1], one, output, draws_from, error)
    ids = mode.token_ids
    if explains and ids.were_mixed and not ids.were_read:
        raise lost_ids(*next(iter(ids.were_mixed.items())))
    if ids.were_mixed or ids.were_read:
        return points, inputs
    numbers, points = inputs.as_numbers(points)
    return points, numbers if len(numbers.order) > 1 else None


def _refuse_ids(
    net: nn.Module, points: Tensor, inputs: JointInputs, output: OutputOption, draws_from: int | None, error: ForwardError
) -> None:
    """Raise the error of a network that takes integers neither as they are nor as numbers."""
    numbers, points = inputs.as_numbers(points)
    try:
        with torch.no_grad():
            run_forward(net, points.clone(), GradientPass(), None, output, draws_from, numbers)
    except ForwardError:
        raise error from None


def lost_ids(key: str, mixed: Mixed) -> ModelError:
    """The error for integers, computed of token ids, by which an embedding is read."""
    operation, place, _ = mixed
    return ModelError(
        f"the model reads an embedding by integers that {operation!r} in {place} computes from the token ids {key!r}, not place by place, "
        f"from which no relevance finds its way back; give those integers as an input of their own, or leave {key!r} out by explained="
    )
