"""What the sides of a scale of colours are called, by what the numbers of a method's maps are: in figures, pages of texts and reports."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from signxai.methods.sign_meanings import Numbers, numbers_of

__all__ = [
    "AGAINST",
    "FOR",
    "MEANING",
    "SHORT_MEANING",
    "TURNED_MEANING",
    "Sides",
    "ends",
    "hint",
    "in_short",
    "is_share",
    "of_colours",
    "sides_of",
]

AGAINST, FOR = "speaks against", "speaks for"


@dataclass(frozen=True)
class Sides:
    """What the two sides of a scale stand for.

    Attributes:
        below, above: 0.
        what: the numbers are.
        exchanged: the same where signs are turned; None: the one for the other.
    """

    below: str
    what: str
    above: str
    exchanged: tuple[str, str] | None = None

    def ends(self, is_turned: bool = False) -> tuple[str, str]:
        """What numbers below and above 0 say."""
        return (self.exchanged or (self.above, self.below)) if is_turned else (self.below, self.above)

    def said(self, is_turned: bool = False) -> str:
        """In one line.

        >>> print(Sides("lowers", "slope", "raises").said(is_turned=True))
        raises ← slope → lowers
        """
        below, above = self.ends(is_turned)
        return f"{below} ← {self.what} → {above}"


def _by_value(below: str, what: str, above: str) -> Sides:
    """Of numbers whose sides are the same, whether signs are turned or not."""
    return Sides(below, what, above, exchanged=(below, above))


_LOWER, _RAISE = ("larger values lower the score", "raise it"), ("larger values raise the score", "lower it")
_SIDES = {
    Numbers.SHARE: Sides(AGAINST, "relevance", FOR),
    Numbers.SLOPE: Sides(_LOWER[0], "slope", _LOWER[1], exchanged=_RAISE),
    Numbers.CUT_SLOPE: Sides("lowers", "slope, cut at ReLUs", "raises"),
    Numbers.VARIANCE: _by_value("none below 0", "variance of the slope", "varies much"),
    Numbers.RANDOM: _by_value("below 0", "random numbers", "above 0"),
    Numbers.PRODUCT: _by_value("below 0", "product with the input", "above 0"),
}
_SHORT_SIDES = {
    Numbers.SHARE: Sides("against", "relevance", "for"),
    Numbers.SLOPE: Sides("lowers", "slope", "raises"),
    Numbers.CUT_SLOPE: Sides("lowers", "cut slope", "raises"),
    Numbers.VARIANCE: _by_value("none below 0", "variance", "much"),
    Numbers.RANDOM: _by_value("below 0", "random", "above 0"),
    Numbers.PRODUCT: _by_value("below 0", "product", "above 0"),
}
"""The same where there is little room."""

MEANING = _SIDES[Numbers.SHARE].said()
"""What the two sides of the scale stand for, of shares of a score."""

_TURNED = " (signs turned)"
TURNED_MEANING = f"{_SIDES[Numbers.SHARE].said(is_turned=True)}{_TURNED}"
"""The same of maps whose signs are turned, as those that are shares of a logit below 0."""

SHORT_MEANING = _SHORT_SIDES[Numbers.SHARE].said()
"""The same where there is little room."""


def sides_of(method: str, is_short: bool = False) -> Sides:
    """What the sides of a method's map stand for; of a title that is no method's name, or of a method that is not known: those of shares.

    >>> print(sides_of("gradient", is_short=True).said(), "or", sides_of("mine", is_short=True).said())
    lowers ← slope → raises or against ← relevance → for
    """
    return (_SHORT_SIDES if is_short else _SIDES)[_numbers(method)]


def is_share(method: str) -> bool:
    """Whether a method's numbers are shares of a score, which speak for and against, or nothing is known of them."""
    return _numbers(method) is Numbers.SHARE


def _numbers(method: str) -> Numbers:
    return numbers_of(method) or Numbers.SHARE


def ends(turned: Iterable[bool], methods: Iterable[str] = ()) -> str:
    """What the sides of a scale mean that several maps share: shares of a score where some are, else the numbers of the first.

    Args:
        turned: of each map whether its signs are turned.
        methods: by which each map is; (): it is not known. What maps of other numbers mean says their `hint`.

    >>> print(ends([True, False]))
    speaks against ← relevance → speaks for (reversed if turned)
    >>> print(ends([False], ["gradient"]))
    larger values lower the score ← slope → raise it
    """
    maps = list(turned)
    names = list(methods) or [""] * len(maps)
    found, sides = _turned_on_the_bar(maps, names), _SIDES[_on_the_bar(names)]
    return sides.said(is_turned=True) + _TURNED if found == {True} else sides.said() + " (reversed if turned)" * (True in found)


def _on_the_bar(methods: Sequence[str]) -> Numbers:
    """The numbers whose sides a scale names that maps by these methods share."""
    found = [_numbers(method) for method in methods]
    return Numbers.SHARE if Numbers.SHARE in found or not found else found[0]


def _turned_on_the_bar(turned: Sequence[bool], methods: Sequence[str]) -> set[bool]:
    """Whether signs are turned, of the maps whose sides a scale names."""
    shown = _on_the_bar(methods)
    return {is_turned for is_turned, name in zip(turned, methods, strict=True) if _numbers(name) is shown}


def hint(method: str, is_turned: bool, methods: Sequence[str], turned: Sequence[bool] = ()) -> str:
    """What stands above a map whose sides are others than those that the scale names which it shares with maps by ``methods``.

    Args:
        method: by which the map is.
        is_turned: whether its signs are turned.
        methods: by which all maps of the scale are.
        turned: whether theirs are; (): of none.

    >>> methods = ["gradient", "lrp_z"]
    >>> print(hint("gradient", False, methods), "and", repr(hint("lrp_z", False, methods)))
    lowers ← slope → raises and ''
    >>> hint("lrp_z", True, ["lrp_z", "grad_cam"], [True, False])
    'signs turned'
    """
    if _numbers(method) is _on_the_bar(methods):
        is_mixed = len(turned) == len(methods) and len(_turned_on_the_bar(turned, methods)) > 1
        return "signs turned" if is_turned and is_mixed else ""
    return sides_of(method, is_short=True).said(is_turned) + " (turned)" * is_turned


def in_short(label: str) -> str:
    """A bar's label with fewer words for its ends.

    >>> print(in_short(ends([True], ["gradient"])))
    raises ← slope → lowers (signs turned)
    """
    for numbers, sides in _SIDES.items():
        for is_turned in (False, True):
            label = label.replace(sides.said(is_turned), _SHORT_SIDES[numbers].said(is_turned))
    return label


def of_colours(methods: Sequence[str]) -> str:
    """What the colours of a page with maps by several methods mean.

    >>> print(of_colours(["lrp_z", "gradient"]))
    Red speaks for the explained class, blue against it; of gradient, blue to red: larger values lower the score ← slope → raise it.
    """
    of_others: dict[str, list[str]] = {}
    for method in methods:
        if not is_share(method):
            of_others.setdefault(sides_of(method).said(), []).append(method)
    others = "".join(f"; of {', '.join(names)}, blue to red: {said}" for said, names in of_others.items())
    return f"Red speaks for the explained class, blue against it{others}."
