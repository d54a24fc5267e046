"""Weights from files: a network's state dict, alone or as training code wraps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import cast

from torch import Tensor, nn, strided

from signxai.common.errors import InputError, ModelError
from signxai.files import read_tensors

__all__ = ["WEIGHT_SUFFIXES", "Checkpoint", "WeightsFile", "apply_state", "load_weights"]

WEIGHT_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".tar")

_THE_FILE = ""
"""The key of a state dict that is the file itself."""
_DEPTH = 3
"""State dicts are looked for in dicts so deep in each other."""
_AVERAGED = "n_averaged"
"""What ``torch.optim.swa_utils.AveragedModel`` keeps beside the weights."""
_COUNTS = "num_batches_tracked"
"""The end of names of what batch norms count while they are trained, and never read afterwards."""


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights, as the command line names it: ``FILE``, or ``FILE:KEY`` for those under a key of a checkpoint with several.

    >>> WeightsFile.named("run/last.ckpt:state_dict_ema")
    WeightsFile(path=PosixPath('run/last.ckpt'), key='state_dict_ema')
    """

    path: Path
    key: str | None = None

    @classmethod
    def named(cls, text: str) -> WeightsFile:
        """What a text means; whether there is such a file is not asked."""
        file, colon, key = text.rpartition(":")
        return cls(Path(file), key) if colon and key and Path(file).suffix.lower() in WEIGHT_SUFFIXES else cls(Path(text))


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        path: the file.
        states: the state dicts in it, by the key under which each stands; of one in several dicts the keys with dots between.
    """

    path: Path
    states: Mapping[str, Mapping[str, Tensor]]

    @classmethod
    def read(cls, path: str | PathLike[str], key: str | None = None) -> Checkpoint:
        """Read a file without unpickling anything from it.

        Args:
            path: the file.
            key: of the state dict that is meant; None: of which one is not said.

        Raises:
            InputError: it is broken, or holds no state dict, or none under this key.
            OSError: it cannot be opened.
        """
        path = Path(path)
        content = read_tensors(path)
        if not isinstance(content, Mapping) or not content:
            raise InputError(f"{path}: holds {_what(content)}, not a state dict")
        states = dict(_states(content))
        if not states:
            others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
            raise InputError(f"{path}: a checkpoint without a state dict: {_some(others)} hold no weights by name; save model.state_dict()")
        if key is not None and key not in states:
            raise InputError(f"{path}: no state dict under {key!r}; there is one under {_some([repr(name) for name in states])}")
        return cls(path, states if key is None else {key: states[key]})

    def state_of(self, model: nn.Module) -> tuple[dict[str, Tensor], str]:
        """The weights under the names that the model has for them, and what had to be done for it; nothing if they have them already.

        They are taken out of what they are wrapped in, and a prefix that all names have is left out or added, where all names are those of
        the model then. Of batch norms only the count of batches may be missing, which nothing reads outside of training. Shapes are not
        compared.

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
            raise _misnamed(self.path, model, *self._nearest(own))
        if len(fitting) > 1:
            keys = " and under ".join(map(repr, fitting))
            raise ModelError(
                f"{self.path}: holds weights of this network under {keys}; say which are meant, as {self.path}:{list(fitting)[-1]}"
            )
        key, (state, change) = next(iter(fitting.items()))
        taken = [f"those under {key!r}"] if key else []
        said = ", ".join([*taken, *([f"with {change} their names"] if change else [])])
        return state, f"{self.path}: the weights are {said}" if said else ""

    def _nearest(self, own: Iterable[str]) -> tuple[str, Mapping[str, Tensor]]:
        """The state dict that has most of these names, behind whatever prefix."""
        return max(self.states.items(), key=lambda item: len(_without(_common_prefix(item[1], own), item[1]).keys() & set(own)))


def _what(content: object) -> str:
    return "nothing" if isinstance(content, Mapping) else f"a {type(content).__name__}"


def _states(content: Mapping[object, object], key: str = _THE_FILE, depth: int = _DEPTH) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """The state dicts in a dict, or itself, with the key of each."""
    if _is_state(content):
        yield key, cast("Mapping[str, Tensor]", content)
        return
    for name, value in content.items():
        if depth and isinstance(value, Mapping):
            yield from _states(value, f"{key}.{name}" if key else str(name), depth - 1)


def _is_state(value: Mapping[object, object]) -> bool:
    return bool(value) and all(isinstance(name, str) and isinstance(one, Tensor) for name, one in value.items())


def _renamed(state: Mapping[str, Tensor], own: Iterable[str]) -> tuple[dict[str, Tensor], str] | None:
    """A state dict under a network's own names, and what was done to its names; None: its names are others."""
    names, found = set(own), {name: value for name, value in state.items() if name != _AVERAGED or name in own}
    if not any(name.endswith(_COUNTS) for name in found):
        names = {name for name in names if not name.endswith(_COUNTS)}
    if found.keys() == names:
        return found, ""
    if (prefix := _prefix(set(found), names)) is not None:
        return {name.removeprefix(prefix): value for name, value in found.items()}, f"{prefix!r} taken off"
    if (prefix := _prefix(names, set(found))) is not None:
        return {prefix + name: value for name, value in found.items()}, f"{prefix!r} put before"
    return None


def _prefix(names: set[str], without: set[str]) -> str | None:
    """What stands before each of the names in ``without`` to make it one of ``names``, all of them; None: nothing does.

    >>> _prefix({"module.a.weight", "module.weight"}, {"a.weight", "weight"})
    'module.'
    """
    one = max(without, key=len, default="")
    found = (name.removesuffix(one) for name in sorted(names) if name.endswith(f".{one}"))
    return next((prefix for prefix in found if {prefix + name for name in without} == names), None)


def _common_prefix(state: Iterable[str], own: Iterable[str]) -> str:
    """The prefix behind which most names of a state dict are a network's own."""
    names = set(own)
    behind = Counter(name[:start] for name in state for start in _starts(name) if name[start:] in names)
    return max(behind, key=lambda prefix: (behind[prefix], -len(prefix)), default="")


def _starts(name: str) -> Iterator[int]:
    """Where a name begins if parts before dots are left out: 0, and behind each dot."""
    yield 0
    yield from (place + 1 for place, letter in enumerate(name) if letter == ".")


def _without(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items()}


def load_weights(model: nn.Module, file: WeightsFile | str | PathLike[str]) -> str:
    """Give a model the weights of a file.

    Args:
        model: what gets them.
        file: its path, also as ``FILE:KEY`` where it is text: see ``WeightsFile``.

    Returns:
        What had to be done to them for that; nothing if they were as the model has them.

    Raises:
        ModelError: they belong to another network.
        InputError: the file is broken, or holds no weights.
        OSError: it cannot be opened.
    """
    place = file if isinstance(file, WeightsFile) else WeightsFile.named(file) if isinstance(file, str) else WeightsFile(Path(file))
    state, notice = Checkpoint.read(place.path, place.key).state_of(model)
    apply_state(model, state, place.path)
    return notice


def apply_state(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a model weights that have its names; what is missing of them stays as it is.

    Raises:
        ModelError: if some have another shape, or are no plain numbers of the kind that the model has there.
    """
    own = model.state_dict()
    mistakes = {
        "of another shape": [name for name, value in state.items() if own[name].shape != value.shape],
        "of another kind": [name for name, value in state.items() if not _are_numbers_for(own[name], value, name)],
    }
    if any(mistakes.values()):
        raise _mismatch(path, model, "", mistakes, own, state)
    model.load_state_dict({**own, **state})


def _are_numbers_for(own: Tensor, value: Tensor, name: str) -> bool:
    """Whether a tensor's values can stand in the place of others; rounded ones cannot, nor those without their scale."""
    if value.is_meta or value.is_quantized or value.layout != strided:
        return False
    kinds = [(one.is_floating_point(), one.is_complex()) for one in (own, value)]
    return kinds[0] == kinds[1] or name.endswith(_COUNTS)


def _misnamed(path: Path, model: nn.Module, key: str, state: Mapping[str, Tensor]) -> ModelError:
    """The error of weights whose names are others, told behind the prefix that most of them have."""
    own = model.state_dict()
    prefix = _common_prefix(state, own)
    found = _without(prefix, state)
    mistakes = {"missing": [name for name in own if name not in found], "unknown": [name for name in found if name not in own]}
    mistakes["of another shape"] = [name for name in own if name in found and own[name].shape != found[name].shape]
    where = (f" under {key!r}" if key else "") + (f", with {prefix!r} taken off their names," if prefix else "")
    return _mismatch(path, model, where, mistakes, own, found)


def _mismatch(
    path: Path, model: nn.Module, where: str, mistakes: Mapping[str, Sequence[str]], own: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> ModelError:
    def told(kind: str, names: Sequence[str]) -> str:
        if kind == "of another shape":
            return _some([f"{name}: {tuple(state[name].shape)}, not {tuple(own[name].shape)}" for name in names])
        return _some([f"{name}: {_kind(state[name])}" for name in names] if kind == "of another kind" else names)

    said = "; ".join(f"{len(names)} {kind} ({told(kind, names)})" for kind, names in mistakes.items() if names)
    return ModelError(f"{path}: these weights{where} belong to another network than {type(model).__name__}: {said}")


def _kind(value: Tensor) -> str:
    layout = "" if value.layout == strided else f", {value.layout}"
    return f"{value.dtype}{layout}{', without values' if value.is_meta else ''}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
