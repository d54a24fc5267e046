"""What ``--unit`` of ``signxai evaluate`` says: what metrics remove at once, of which input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from signxai.cli.samples import Samples
from signxai.common.errors import OptionError
from signxai.engine.channel_axis import channel_axis
from signxai.engine.model_loan import unwrapped
from signxai.evidence import Patch, Window
from signxai.evidence.layout import unit_in_layout
from signxai.evidence.units import as_unit, fitting_units

__all__ = ["RemovedUnits", "unit_named"]

_SPELLED = {"patch": "patch:K, no larger than it", "window": "window:K, no longer than it", "token": "token (of embeddings)"}
_DEFAULT = "pixel"


@dataclass(frozen=True)
class RemovedUnits:
    """What ``--unit`` said.

    Attributes:
        of_all: of all inputs, as it was written; None: nothing.
        by_input: of single ones of several inputs, as it was written.
    """

    of_all: str | None = None
    by_input: Mapping[str, str] | None = None

    @classmethod
    def read(cls, texts: Sequence[str]) -> "RemovedUnits":
        """Of what was written.

        Raises:
            OptionError: it is no unit, or said twice.

        >>> RemovedUnits.read(["image=patch:8", "table=value"])
        RemovedUnits(of_all=None, by_input={'image': 'patch:8', 'table': 'value'})
        """
        by_input: dict[str, str] = {}
        of_all: list[str] = []
        for text in texts:
            name, equals, unit = text.rpartition("=")
            unit_named(unit)
            if name in by_input or (of_all and not equals):
                raise OptionError(f"--unit {text}: is given twice{f' for {name}' if name else ''}; leave one of them out")
            if equals:
                by_input[name] = unit
            else:
                of_all.append(unit)
        return cls(of_all[0] if of_all else None, by_input or None)

    def units(self, samples: Samples | None = None) -> Any:
        """What ``unit=`` of a metric is told; None: nothing was said."""
        if not self.by_input:
            return None if self.of_all is None else unit_named(self.of_all)
        names = list(self.by_input) if samples is None or samples.several is None else list(samples.several.arrays)
        return {name: unit_named(self._written(name)) for name in names}

    def check(self, samples: Samples, signals: bool, model: nn.Module) -> None:
        """Refuse units that an input has not.

        Args:
            samples: the inputs.
            signals: whether one input is a signal by its file.
            model: the network, which says where the channels are.

        Raises:
            OptionError: there is no such input, or it has no such units.
        """
        several = samples.several
        if self.by_input and several is None:
            name, unit = next(iter(self.by_input.items()))
            raise OptionError(f"--unit {name}={unit}: goes with several inputs, each with a name; write --unit {unit}")
        if several is None:
            self._check_one(None, samples.x, signals, model)
            return
        if unknown := [name for name in self.by_input or () if name not in several.arrays]:
            raise OptionError(f"--unit {unknown[0]}=: there is no such input; the inputs: {', '.join(several.arrays)}")
        for name, array in several.arrays.items():
            is_explained = array.dtype.kind == "f" if several.explained is None else name in several.explained
            if is_explained or name in (self.by_input or ()):
                self._check_one(name, array, name in several.sampling_rates, model)

    def _check_one(self, name: str | None, array: Any, is_signal: bool, model: nn.Module) -> None:
        written, shape = self._written(name), tuple(array.shape)
        unit = unit_in_layout(unit_named(written), {0: channel_axis(unwrapped(model), len(shape))} if len(shape) > 2 else {}, {0: shape})
        wrong = as_unit(unit[0] if isinstance(unit, Mapping) else unit).misfit(shape)
        if is_signal and written == "token":
            wrong = "the input is a signal, which has no tokens"
        if not wrong:
            return
        allowed = [word for word in fitting_units(len(shape)) if not (is_signal and word == "token")]
        fits = f"this one has {', '.join(_SPELLED.get(word, word) for word in allowed)}"
        if name is None:
            raise OptionError(f"--unit {written}: {wrong}; {fits}")
        raise OptionError(f"--unit {written} for the input {name!r}: {wrong}; {fits}, as --unit {name}={allowed[0]}")

    def _written(self, name: str | None) -> str:
        return (self.by_input or {}).get(name or "", self.of_all or _DEFAULT)


def unit_named(text: str) -> Any:
    """A unit, of how it is written.

    Raises:
        OptionError: it is none.

    >>> unit_named("patch:8"), unit_named("pixel")
    (Patch(size=8, channel_axis=None), 'pixel')
    """
    if text in ("pixel", "value", "token"):
        return text
    word, _, size = text.partition(":")
    if word in ("patch", "window") and size.isdecimal() and int(size):
        return Patch(int(size)) if word == "patch" else Window(int(size))
    raise OptionError(f"--unit {text!r}: write pixel, value, token, patch:8 (a square of 8 x 8) or window:10 (10 samples of a signal)")
