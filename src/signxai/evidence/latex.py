"""Names of any kind in LaTeX: pdfLaTeX, XeLaTeX and LuaLaTeX read them with no package and no font of its own."""

from __future__ import annotations

import unicodedata

__all__ = ["comment", "escaped"]

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {sign: rf"\{sign}" for sign in "&%$#_{}"}
_SMALL = "alpha beta gamma delta epsilon zeta eta theta iota kappa lamda mu nu xi pi rho sigma tau upsilon phi chi psi omega"
_CAPITAL = "Gamma Delta Theta Lamda Xi Pi Sigma Upsilon Phi Psi Omega"
_GREEK = {
    unicodedata.lookup(f"GREEK {kind} LETTER {name}"): name.replace("amda", "ambda")
    for kind, names in (("SMALL", _SMALL), ("CAPITAL", _CAPITAL))
    for name in names.split()
}
_COMMANDS = _GREEK | {"≤": "leq", "≥": "geq", "∞": "infty", "≈": "approx", "ς": "varsigma"}
_MATHS = {letter: rf"\ensuremath{{\{name}}}" for letter, name in _COMMANDS.items()} | {"\u2212": r"\ensuremath{-}"}
_LATIN = {chr(code) for code in range(0xA1, 0x180)} - set("\u00ad«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ")  # those need another encoding of fonts
_KNOWN = _LATIN | set("–—‘’“”•…←→↑↓")


def escaped(text: str) -> str:
    r"""A text in which LaTeX reads nothing; a letter that pdfLaTeX has none for by itself stands there by its code.

    >>> print(escaped("lrp_z & 50%"), escaped("größe α"), escaped("日"))
    lrp\_z \& 50\% größe \ensuremath{\alpha} U+65E5
    """
    return "".join(map(_letter, unicodedata.normalize("NFC", comment(text))))


def comment(text: str) -> str:
    r"""A text on one line, so that all of it stands behind the sign of a comment.

    >>> comment("a\nb")
    'a b'
    """
    return " ".join(text.split())


def _letter(letter: str) -> str:
    is_known = letter in _KNOWN or " " <= letter <= "~"
    return (_SPECIAL | _MATHS).get(letter, letter if is_known else f"U+{ord(letter):04X}")
