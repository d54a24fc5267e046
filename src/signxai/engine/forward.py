"""Running a model under a mode: its logits, or an error that says what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from signxai.common.errors import ForwardError, InputError, ModelError, SignxaiError
from signxai.engine.draws import draws_itself, place_of_draws
from signxai.engine.generators import Generators, lent_generators
from signxai.engine.inputs import first_floating, is_finite_with_sum, sum_of
from signxai.engine.joint_inputs import JointInputs
from signxai.engine.keras_calls import called_on
from signxai.engine.mode import ForwardPass
from signxai.engine.module_names import is_keras
from signxai.engine.places import door
from signxai.engine.proof_of_reading import refuse_chance

OutputOption: TypeAlias = "Callable[[Any], Tensor] | None"
"""From what a model returns to the tensor that is explained; None: as ``explained_tensor`` finds it."""


def _logits_in(output: object) -> Tensor | None:
    logits = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    return logits if isinstance(logits, Tensor) else None


def first_tensor(output: object) -> Tensor:
    """The logits among what a model returns: ``.logits`` (Hugging Face), a tensor, or the first one of a tuple or mapping.

    Raises:
        ModelError: if there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    if (logits := _logits_in(output)) is not None:
        return logits
    values: Iterable[object] = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    for value in values:
        if isinstance(value, Tensor):
            return value
    raise ModelError(f"the model returned {type(output).__name__} without a tensor; it must return logits (N, classes)")


def explained_tensor(returned: object, samples: int, output: OutputOption = None) -> Tensor:
    """The tensor that is explained, among what a model returns.

    Args:
        returned: what the model returned.
        samples: how many samples it was given.
        output: a function from that to the tensor. None: ``.logits``, a tensor, or the first of a tuple or mapping, if no other with a row
            for each sample could be meant as well: one of as many axes or fewer, in another shape (a second head has that of the first).

    Raises:
        ModelError: if there is no tensor, or several could be meant.
    """
    if output is None and isinstance(returned, Tensor):
        return returned
    if output is not None:
        picked = _picked(returned, output)
        if not isinstance(picked, Tensor):
            raise ModelError(f"output= returned {type(picked).__name__}; it must turn what the model returns into a tensor (N, ...)")
        return picked
    first = first_tensor(returned)
    if first is _logits_in(returned):
        return first
    found = {place: tensor for place, tensor in _places(returned) if tensor.is_floating_point() and tensor.shape[:1] == (samples,)}
    first_place = next(iter(found), None)
    found = {place: tensor for place, tensor in found.items() if place == first_place or not _may_be_by_chance(tensor, samples)}
    tensors = list(found.values())
    if any(other.ndim <= tensors[0].ndim and other.shape != tensors[0].shape for other in tensors[1:]):
        listed = ", ".join(f"{place} {tuple(tensor.shape)}" for place, tensor in found.items())
        raise ModelError(
            f"the model returned a {type(returned).__name__} with several tensors that may be meant: {listed}; say which one is "
            f"explained, as by output=lambda returned: returned{next(reversed(found))}; for the command line, let the factory return "
            "signxai.models.Classifier(model, output=...)"
        )
    return tensors[0] if tensors else first


def _picked(returned: object, output: Callable[[object], Tensor]) -> object:
    """What the user's function makes of what the model returned: it may raise anything."""
    try:
        return output(returned)
    except SignxaiError:
        raise
    except Exception as error:
        if isinstance(error, Warning):
            raise
        held = f" with {', '.join(map(repr, returned))}" if isinstance(returned, dict) else ""
        held = held or (f" of {len(returned)}" if isinstance(returned, tuple | list) else "")
        raise ModelError(
            f"output= failed on the {type(returned).__name__}{held} that the model returned: {type(error).__name__}: {error}; it must turn "
            "that into a tensor (N, ...)"
        ) from error


def _may_be_by_chance(tensor: Tensor, samples: int) -> bool:
    """Whether a tensor may have as many rows as there are samples by chance: states (layers, N, ...), a loss of one sample."""
    return (tensor.ndim >= 3 and tensor.shape[1] == samples) or (samples == 1 and tensor.ndim == 1)


def _places(returned: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a tuple or mapping, and how code gets at them."""
    items = returned.items() if isinstance(returned, dict) else enumerate(returned)
    return ((f"[{key!r}]", value) for key, value in items if isinstance(value, Tensor))


Run: TypeAlias = Callable[[Tensor], object]
"""From points (n, ...) to what the model returns for them."""


class _ForwardErrors:
    """Turns whatever a model's forward raises into a ``ForwardError`` that keeps it as its cause."""

    def __init__(self, net: nn.Module, x: Tensor, mode: ForwardPass, inputs: JointInputs | None, rows: int | None = None) -> None:
        self.net = net
        self.rows = len(x) if rows is None and x.ndim else rows
        self.x = x
        self.mode = mode
        self.inputs = inputs

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, TypeError) and self.mode.refusal is not None:
            raise self.mode.refusal from None
        if isinstance(error, Exception) and not isinstance(error, SignxaiError | Warning):
            if self.inputs is not None and self.inputs.is_several:
                raise ForwardError(
                    f"the model's forward failed on the inputs {self.inputs}: {type(error).__name__}: {error}; check that these are the "
                    "arguments that it takes, with a row for each sample, and that it works with them"
                ) from error
            shape = tuple(self.x.shape)
            own = first_floating(self.net)
            if own is not None and self.x.dtype != own.dtype.to_real():  # wider, for token ids
                raise InputError(
                    f"x holds integers that {own.dtype} rounds, and the model takes them as numbers, not as token ids ({error}); give x as "
                    "floating-point numbers, or run the model in float32"
                ) from error
            if (size := _batch_size_of(self.net)) not in (None, self.rows) and not _other_shape_taken_by(self.net, self.x):
                raise ForwardError(
                    f"the network takes {size} samples at once, as its input was made with that batch size, and this pass has {self.rows}: "
                    f"give batch_size={size} (--batch-size {size}) and a number of samples that {size} divides, or build the model without "
                    "a batch size and give it the same weights"
                ) from error
            if _takes_one_sample_as(self.net, self.x):
                raise InputError(f"x of shape {shape} has no batch axis; pass x[None], of shape {(1, *shape)}") from error
            if taken := _other_shape_taken_by(self.net, self.x):
                raise InputError(f"x has the shape {shape}, and this network takes {taken}; give x in the shape that it takes") from error
            if "nference tensor" in str(error):
                raise ForwardError(
                    f"the model's forward uses tensors made under torch.inference_mode(), which autograd cannot follow ({error}): take "
                    "that out of the forward, be it a decorator or a with block, and clone() such tensors that come from elsewhere"
                ) from error
            raise ForwardError(
                f"the model's forward failed on x of shape {shape}: {type(error).__name__}: {error}; "
                "check that x has the shape (N, ...) that the model takes, and that model(x) works"
            ) from error


def _takes_one_sample_as(net: nn.Module, x: Tensor) -> bool:
    """Whether the model takes ``x`` once it has a batch axis, and not as it is."""
    with suppress(Exception), torch.no_grad():  # a trial: a model may raise anything
        called_on(net, x)
        return False
    with suppress(Exception), torch.no_grad():
        output = first_tensor(called_on(net, x[None]))
        return output.ndim > 0 and output.shape[0] == 1
    return False


def _input_shape_of(net: nn.Module) -> tuple[int | None, ...]:
    """The shape that a network of Keras says its one input has, with the batch axis; (): it says nothing."""
    said: object = getattr(net, "input_shape", None) if is_keras(net) and getattr(net, "built", False) else None
    return said if isinstance(said, tuple) and all(isinstance(length, int | None) for length in said) else ()


def _batch_size_of(net: nn.Module) -> int | None:
    """How many samples a network of Keras says it takes at once; None: any number, or it says nothing."""
    return next(iter(_input_shape_of(net)), None)


def _other_shape_taken_by(net: nn.Module, x: Tensor) -> str:
    """The shape that a network of Keras says it takes, as (N, 8, 8, 3), where x has another one; "": it has that, or nothing is said."""
    if not (said := _input_shape_of(net)):
        return ""
    if len(said) == x.ndim and all(length in (None, found) for length, found in zip(said[1:], x.shape[1:], strict=True)):
        return ""
    return f"({', '.join(['N', *('any' if length is None else str(length) for length in said[1:])])})"


def _is_drawn(run: Run, x: Tensor, output: OutputOption, settings: Iterable[Callable[[], None]]) -> bool:
    """Whether the output is another one where the generators are set otherwise."""
    first: Tensor | None = None
    for set_generators in settings:
        set_generators()
        with torch.no_grad():
            drawn = explained_tensor(run(x.detach().clone()), len(x), output)
        if first is not None and not torch.equal(first.nan_to_num(), drawn.nan_to_num()):
            return True
        first = drawn
    return False


@door
def _place_of_draw(again: Callable[[], object], generators: Generators) -> str:
    """Where the first draw is made that no operation of torch showed."""
    generators.go_back()
    found = place_of_draws(again, generators)
    return next(iter(found.values()), next(iter(generators.moved()), "an operation that was not found"))


def _refuse_draws(run: Run, x: Tensor, mode: ForwardPass, output: OutputOption, is_written: bool) -> None:
    """Refuse a network whose output depends on what it drew in the pass that has just run.

    Args:
        run: runs the network.
        x, mode, output: as for ``run_forward``.
        is_written: the network wrote to ``x``, so that it cannot be run on it again.

    Raises:
        ModelError: if it does.
    """
    generators = lent_generators()
    moved = generators.moved() if generators.is_watched else []

    def again() -> None:
        run(x.detach().clone())

    if not (mode.draws or moved) or not (is_written or generators.has_met_any or draws_itself(again, generators)):
        return
    generators.will_be_restored()
    if is_written or _is_drawn(run, x, output, generators.trials()):
        first = mode.draws or (moved[0] if is_written else _place_of_draw(again, generators))
        raise ModelError(
            f"the model draws random numbers in its forward pass, first by {first}: a map would be that of one draw, and a batch not that "
            "of its samples; leave the draw out in evaluation mode, or pass stochastic=True to explain each sample with the draws of seed="
        )


def _refuse_what_no_seed_fixes(run: Run, x: Tensor, output: OutputOption, seed: int) -> None:
    """Refuse a network that draws from what is not found or cannot be seeded: its map would be another one each time.

    Raises:
        ModelError: if it does.
    """
    generators = lent_generators()
    if generators.is_due() and _is_drawn(run, x, output, [partial(generators.seed, seed)] * _times(generators)):
        raise ModelError(
            "the model draws random numbers that no seed fixes: from the system, or from a generator that is out of reach or that another "
            "thread draws from meanwhile; keep the generator as an attribute of the module that draws from it"
        )


def _times(generators: Generators) -> int:
    """How often a network is run to see whether its output is always the same: a draw of yes or no often is, by chance."""
    return 24 if any(unseen.is_random for unseen in generators.unseen) else 2


def _two_of(run: Run, x: Tensor, output: OutputOption) -> Tensor:
    """Two samples, which cost less than all, if the network takes so few; one would not show which of them was drawn."""
    with suppress(Exception), torch.no_grad():
        explained_tensor(run(x[:2].detach().clone()), len(x[:2]), output)
        return x[:2]
    return x


def _refuse_unseen_draws(run: Run, x: Tensor, output: OutputOption, generators: Generators) -> None:
    """Refuse a network whose output is another one each time, though it was drawn from nothing that is seen.

    Raises:
        ModelError: if it is one.
    """
    times, x = _times(generators), _two_of(run, x, output)
    is_drawn = False
    with suppress(Exception):  # a trial: some operations run in this type under a rule alone
        is_drawn = _is_drawn(run, x, output, [lambda: None] * times) and _is_drawn(run, x, output, [generators.go_back] * times)
    if not is_drawn:
        return
    named = ", ".join(unseen.name for unseen in generators.unseen)
    raise ModelError(
        f"the model's output is another one each time that it runs, and no seed fixes that: its code names {named}; leave that out of the "
        "forward, or draw from a generator that is an attribute of the module"
    )


@door
def run_forward(
    net: nn.Module,
    x: Tensor,
    mode: ForwardPass,
    made_from: Tensor | None = None,
    output: OutputOption = None,
    draws_from: int | None = None,
    inputs: JointInputs | None = None,
) -> Tensor:
    """Run the model under ``mode`` and return its logits (N, ...), with any final softmax or sigmoid taken off.

    Args:
        net: the model.
        x: a batch (N, ...).
        mode: what sees its operations.
        made_from: what the user gave, if ``x`` are points made from it: errors speak of that.
        output: from what the model returns to the tensor that is explained; None: as ``explained_tensor`` finds it.
        draws_from: seeds what the model draws; None: it must draw nothing that its output depends on.
        inputs: what the model takes, if that is more than ``x``, which are points of it then.

    Raises:
        ForwardError: if the forward fails.
        InputError: if ``x`` has no batch axis.
        ModelError: if the output has not one row per sample, is no floating-point tensor, holds NaN or infinity, or is drawn.
    """
    generators = lent_generators()
    run: Run = partial(inputs.run, net) if inputs is not None else partial(called_on, net) if "keras" in sys.modules else net
    if draws_from is not None:
        with _ForwardErrors(net, x if made_from is None else made_from, mode, inputs):
            _refuse_what_no_seed_fixes(run, x, output, draws_from)
        generators.seed(draws_from)
    if generators.is_watched:
        generators.remember()
    tried = x.detach().clone() if draws_from is None and generators.unseen and generators.is_due() else None
    version = x._version
    mode.begins(net, x)
    samples = x.shape[0]
    with _ForwardErrors(net, x if made_from is None else made_from, mode, inputs, samples), mode:
        explained = explained_tensor(run(x), samples, output)
    if draws_from is None and (mode.draws or generators.is_watched):
        _refuse_draws(run, x, mode, output, x._version != version)
    if tried is not None:
        _refuse_unseen_draws(run, tried, output, generators)
    refuse_chance(mode, net, x, explained, lambda points: explained_tensor(run(points), len(points), output))
    logits = mode.logits_of(explained)
    _check_rows(logits, x, inputs)
    total = _checked_total(logits)
    if mode.taken_off is None:
        mode.final.say_if_unrecognized(logits, total)
    return logits


def shows_enough(mode: ForwardPass) -> bool:
    """Whether a pass that has just run saw nothing for which another of the same network has to be watched: to take off, or to follow.

    Args:
        mode: the pass, of ``run_forward`` on one input.
    """
    return mode.taken_off is None and not (mode.draws or mode.token_ids.any or lent_generators().unseen)


@door
def run_unwatched(net: nn.Module, x: Tensor, mode: ForwardPass, output: OutputOption = None) -> Tensor:
    """The logits (N, ...) of a network of which a pass ``shows_enough``; to watch every operation again would take longer.

    Where it draws all the same, it is watched, and refused as ``run_forward`` does; writes to its parameters are seen when it is given
    back.

    Args:
        net, x, output: as for ``run_forward``.
        mode: that pass.

    Raises:
        ForwardError, ModelError: as ``run_forward`` does.
    """
    generators = lent_generators()
    if generators.is_watched:
        generators.remember()
    given = x.clone() if generators.is_watched else x  # a model may write to its input
    with _ForwardErrors(net, x, mode, None):
        logits = explained_tensor(called_on(net, x), x.shape[0], output)
    if generators.is_watched and generators.moved():
        return run_forward(net, given, mode.renewed(), None, output)
    _check_rows(logits, x, None)
    _checked_total(logits)
    return logits


def _check_rows(logits: Tensor, x: Tensor, inputs: JointInputs | None) -> None:
    """Refuse an output that has not one row for each sample.

    Raises:
        ForwardError: if it has not.
    """
    if logits.ndim and logits.shape[0] == x.shape[0]:
        return
    if inputs is not None and inputs.is_several:
        raise ForwardError(
            f"the model turned the inputs {inputs} into an output of shape {tuple(logits.shape)}, which has not one row for each of "
            f"{x.shape[0]} samples; inputs that are the same for all samples go to forward_kwargs="
        )
    raise ForwardError(
        f"the model turned x of shape {tuple(x.shape)} into an output of shape {tuple(logits.shape)}, which has not one row per "
        f"sample of a batch; if x is one sample, pass x[None], of shape {(1, *x.shape)}; if its samples are on another axis, put that "
        "first, and give a module that turns it for the model: forward(x): return model(x.transpose(0, 1))"
    )


def _checked_total(logits: Tensor) -> float:
    """The sum of the outputs, which says whether they are finite.

    Raises:
        ModelError: if they are not, or no floating-point numbers.
    """
    if not logits.is_floating_point():
        raise ModelError(f"the model's output is {logits.dtype}; it must be floating-point logits")
    total = sum_of(logits)
    if not is_finite_with_sum(logits, total):
        raise ModelError("the model's output holds NaN or infinity for this input; its relevance would be meaningless")
    return total
