"""How method names spell numbers: ``[neg_]INT[_DIGITS]``, so that 0_25 is 0.25, neg_0_5 is -0.5 and 100 is 100."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from signxai.common.errors import MethodNameError
from signxai.names.wording import shown

__all__ = ["NOT_A_NUMBER", "is_digits", "number", "number_at", "plain", "spell_number"]

NOT_A_NUMBER = "is not a number as method names spell them (0_25 is 0.25, neg_1 is -1)"


def number(text: str) -> float:
    """Read a number as method names spell it.

    Raises:
        MethodNameError: the text is not ``[neg_]INT[_DIGITS]``.

    >>> number("neg_0_5")
    -0.5
    """
    tokens = text.split("_")
    value, end = number_at(tokens, 0)
    if value is None or end != len(tokens):
        raise MethodNameError(f"{shown(text)} {NOT_A_NUMBER}")
    return value


def number_at(tokens: Sequence[str], position: int) -> tuple[float | None, int]:
    """The number that begins at a position among tokens and where it ends; None and where reading stopped if there is none.

    >>> number_at(["mu", "neg", "0", "5", "x"], 1)
    (-0.5, 4)
    """
    is_negative = position < len(tokens) and tokens[position] == "neg"
    position += is_negative
    sign = "-" if is_negative else ""
    whole = tokens[position] if position < len(tokens) else ""
    # 025 is refused: it may be meant as 0.25, 2.5 or 25.
    if not is_digits(whole) or (whole[0] == "0" and whole != "0"):
        return None, position
    fraction = tokens[position + 1] if position + 1 < len(tokens) else ""
    if not is_digits(fraction):
        return float(sign + whole) + 0.0, position + 1  # + 0.0 makes -0.0 the one zero
    return float(f"{sign}{whole}.{fraction}") + 0.0, position + 2


def spell_number(value: float) -> str:
    """Spell a finite number as method names do, without loss and without exponent.

    >>> [spell_number(value) for value in (0.25, -0.5, 100.0, 1e-07, -0.0)]
    ['0_25', 'neg_0_5', '100', '0_0000001', '0']
    """
    return plain(value).replace(".", "_").replace("-", "neg_")


def plain(value: float) -> str:
    """A number as people read it, without loss and without exponent.

    >>> [plain(value) for value in (0.25, -0.5, 100.0, 1e-07)]
    ['0.25', '-0.5', '100', '0.0000001']
    """
    return str(value) if isinstance(value, int) else format(Decimal(repr(float(value) + 0.0)), "f").removesuffix(".0")


def is_digits(token: str) -> bool:
    """Whether a token is a row of the digits 0 to 9."""
    return token.isascii() and token.isdigit()  # isdigit alone also accepts other scripts' digits and superscripts
