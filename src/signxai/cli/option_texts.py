"""What the texts of options mean: numbers, stretches of time, lists of names."""

import re
from collections.abc import Sequence

from signxai.common.errors import OptionError

__all__ = ["listed", "options_for_all", "parsed_options", "value", "window"]

_NAMES_OF_LAYERS = ("layer",)
"""Options that name a layer, which may be called by a number: 0 is the first of an ``nn.Sequential``."""
_WRITTEN = {"method": "--option", "metric": "--metric-option"}
_SECONDS = r"\s*(\d+\.?\d*|\.\d+)?\s*s?\s*"


def parsed_options(options: Sequence[str], methods: Sequence[str], *, of: str = "method") -> dict[str, dict[str, object]]:
    """For each method, or metric, its options.

    Args:
        options: as they are written.
        methods: the names asked for.
        of: what they are names of, "method" or "metric".

    Raises:
        OptionError: one is written otherwise, or given twice.

    >>> parsed_options(["steps=20", "gradient:layer=conv1"], ["gradient", "integrated_gradients"])
    {'gradient': {'steps': 20, 'layer': 'conv1'}, 'integrated_gradients': {'steps': 20}}
    >>> parsed_options(["layer=0"], ["grad_cam"])
    {'grad_cam': {'layer': '0'}}
    """
    parsed: dict[str, dict[str, object]] = {method: {} for method in methods}
    for option in options:
        name, equals, text = option.partition("=")
        method, colon, key = name.rpartition(":")
        if not equals or not key.isidentifier() or (colon and method not in parsed):
            raise OptionError(f"{_WRITTEN[of]} {option!r}: write KEY=VALUE, or {of.upper()}:KEY=VALUE with one of the {of}s asked for")
        for given in [method] if colon else methods:
            if key in parsed[given]:
                raise OptionError(f"{_WRITTEN[of]} {option!r}: {key} is given twice for {given}")
            parsed[given][key] = _layer(text) if key in _NAMES_OF_LAYERS else value(text)
    return parsed


def options_for_all(options: Sequence[str], *, of: str = "method") -> dict[str, object]:
    """Options that go to every method, or metric, that takes them.

    >>> options_for_all(["steps=20", "layer=conv1"])
    {'steps': 20, 'layer': 'conv1'}
    """
    if named := [option for option in options if ":" in option.partition("=")[0]]:
        raise OptionError(f"{_WRITTEN[of]} {named[0]!r}: write KEY=VALUE, for all {of}s that take it; or run the {of}s one by one")
    return parsed_options(options, ["all"], of=of)["all"]


def _layer(text: str) -> str | None:
    """The name of a layer, or none, which leaves it to the method."""
    return None if text.lower() == "none" else text


def value(text: str) -> object:
    """Read a number as a number, true and false as themselves; anything else is text.

    >>> value("20"), value("0.5"), value("true"), value("features.3")
    (20, 0.5, True, 'features.3')
    """
    words: dict[str, object] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def window(text: str | None) -> tuple[float | None, float | None] | None:
    """Start and end of a stretch in seconds, None at an open end.

    >>> window("600:610s"), window(":10s"), window("2.5s:")
    ((600.0, 610.0), (None, 10.0), (2.5, None))
    """
    if text is None:
        return None
    found = re.fullmatch(f"{_SECONDS}:{_SECONDS}", text)
    if not found:
        raise OptionError(f"--window {text!r}: write START:ENDs in seconds, such as 600:610s, :10s or 50s:")
    start, end = (None if part is None else float(part) for part in found.groups())
    if start is not None and end is not None and start >= end:
        raise OptionError(f"--window {text!r}: it must end after it starts")
    return start, end


def listed(text: str | None) -> tuple[str, ...]:
    """Names parted by commas.

    >>> listed("I, II"), listed(None)
    (('I', 'II'), ())
    """
    return tuple(part.strip() for part in text.split(",")) if text is not None else ()
