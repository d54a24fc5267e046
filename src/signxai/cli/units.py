"""The units of signals that the command line knows."""

from difflib import get_close_matches

import click

from signxai.cli import option_texts

__all__ = ["known_units"]

_KNOWN = (
    *("V", "mV", "uV", "µV", "μV", "nV", "A", "mA", "uA", "µA", "T", "nT", "pT", "fT", "ohm", "Ohm", "kOhm", "Ω", "S", "uS", "µS"),
    *("mmHg", "cmH2O", "kPa", "Pa", "bar", "mbar", "l", "L", "ml", "mL", "l/s", "L/s", "l/min", "L/min", "ml/s", "mL/s"),
    *("%", "bpm", "1/min", "/min", "Hz", "s", "ms", "degC", "°C", "C", "K", "g", "mg", "m/s2", "m/s^2", "m/s²", "rad/s", "deg/s", "deg"),
    *("N", "kg", "m", "cm", "mm", "um", "µm", "W", "dB", "NU", "nu", "adu", "a.u.", "au", "1"),
)


def known_units(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """The text of ``--units``, if what stands between its commas are units; what is none would stand on the axis of a figure.

    Raises:
        BadParameter: one of them is not known.
    """
    unknown = [unit for unit in option_texts.listed(text) if unit not in _KNOWN]
    if unknown:
        near = get_close_matches(unknown[0], _KNOWN, n=3, cutoff=0.5)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        said = f"{unknown[0]!r} is no unit that is known here (mV, uV, V, mmHg, %, Hz, ...; NU for none){meant}"
        raise click.BadParameter(said, context, parameter)
    return text
