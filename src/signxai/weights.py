"""Weights from files: a network's state dict, alone or as training code wraps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from signxai.common.errors import InputError, ModelError
from signxai.files import read_tensors

__all__ = ["WEIGHT_SUFFIXES", "Checkpoint", "apply_state", "load_weights"]

WEIGHT_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")

_THE_FILE = ""
"""The key of a state dict that is the file itself."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        path: the file.
        states: the state dicts in it, by the key under which each stands.
    """

    path: Path
    states: Mapping[str, Mapping[str, Tensor]]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read a file without unpickling anything from it.

        Raises:
            InputError: it is broken, or holds no state dict.
            OSError: it cannot be opened.
        """
        content = read_tensors(path)
        if not isinstance(content, Mapping) or not content:
            raise InputError(f"{path}: holds a {type(content).__name__}, not a state dict")
        states = {_THE_FILE: content} if _is_state(content) else {str(key): value for key, value in content.items() if _is_state(value)}
        if not states:
            others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
            raise InputError(f"{path}: a checkpoint, not a state dict: {_some(others)} hold no tensors; save model.state_dict() alone")
        return cls(path, states)

    def state_of(self, model: nn.Module) -> tuple[dict[str, Tensor], str]:
        """The weights under the names that the model has for them, and what had to be done for it; nothing if they have them already.

        They are taken out of what they are wrapped in, and a prefix that all names have is left out or added, where all names are those of
        the model then. Shapes are not compared.

        Raises:
            ModelError: no state dict in the file has these names, or several have.

        >>> linear = nn.Linear(1, 1)
        >>> wrapped = {"module." + name: value for name, value in linear.state_dict().items()}
        >>> Checkpoint(Path("net.pt"), {"state_dict": wrapped}).state_of(linear)[1]
        "net.pt: the weights are those under 'state_dict', with 'module.' taken off their names"
        """
        own = model.state_dict().keys()
        fitting = {key: renamed for key, state in self.states.items() if (renamed := _renamed(state, own)) is not None}
        if not fitting:
            raise _mismatch(self.path, model, *self._nearest(own))
        if len(fitting) > 1:
            keys = " and under ".join(map(repr, fitting))
            raise ModelError(f"{self.path}: holds weights of this network under {keys}; save those alone that are meant")
        key, (state, change) = next(iter(fitting.items()))
        taken = [f"those under {key!r}"] if key else []
        said = ", ".join([*taken, *([f"with {change} their names"] if change else [])])
        return state, f"{self.path}: the weights are {said}" if said else ""

    def _nearest(self, own: Iterable[str]) -> tuple[str, Mapping[str, Tensor]]:
        """The state dict that has most of these names."""
        return max(self.states.items(), key=lambda item: len(item[1].keys() & set(own)))


def _is_state(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, Tensor) for one in value.values())


def _renamed(state: Mapping[str, Tensor], own: Iterable[str]) -> tuple[dict[str, Tensor], str] | None:
    """A state dict under a network's own names, and what was done to its names; None: its names are others."""
    names = set(own)
    if state.keys() == names:
        return dict(state), ""
    if (prefix := _prefix(set(state), names)) is not None:
        return {name.removeprefix(prefix): value for name, value in state.items()}, f"{prefix!r} taken off"
    if (prefix := _prefix(names, set(state))) is not None:
        return {prefix + name: value for name, value in state.items()}, f"{prefix!r} put before"
    return None


def _prefix(names: set[str], without: set[str]) -> str | None:
    """What stands before each of the names in ``without`` to make it one of ``names``, all of them; None: nothing does.

    >>> _prefix({"module.a.weight", "module.weight"}, {"a.weight", "weight"})
    'module.'
    """
    one = max(without, key=len, default="")
    found = (name.removesuffix(one) for name in sorted(names) if name.endswith(f".{one}"))
    return next((prefix for prefix in found if {prefix + name for name in without} == names), None)


def load_weights(model: nn.Module, path: Path) -> str:
    """Give a model the weights of a file.

    Returns:
        What had to be done to them for that; nothing if they were as the model has them.

    Raises:
        ModelError: they belong to another network.
        InputError: the file is broken, or holds no weights.
        OSError: it cannot be opened.
    """
    state, notice = Checkpoint.read(path).state_of(model)
    apply_state(model, state, path)
    return notice


def apply_state(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a model weights that have its names.

    Raises:
        ModelError: if some have another shape.
    """
    own = model.state_dict()
    if any(own[name].shape != value.shape for name, value in state.items()):
        raise _mismatch(path, model, _THE_FILE, state)
    model.load_state_dict(dict(state))


def _mismatch(path: Path, model: nn.Module, key: str, state: Mapping[str, Tensor]) -> ModelError:
    own = model.state_dict()
    mistakes = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": [name for name in own if name in state and own[name].shape != state[name].shape],
    }
    said = "; ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in mistakes.items() if names)
    under = f" under {key!r}" if key else ""
    return ModelError(f"{path}: these weights{under} belong to another network than {type(model).__name__}: {said}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
