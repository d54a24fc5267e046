"""A page of HTML that shows texts in the colours of relevance and loads nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

from signxai.methods.sign_words import sides_of


@dataclass(frozen=True)
class Passage:
    """Tokens in a row.

    Attributes:
        heading: above them; "": none.
        shown: each token as it is written.
        tokens: their names.
        relevance: of each.
        special: whether each stands for no part of the text.
        decoder_from: the number of the decoder's first token; None: there is no decoder.
        is_turned: whether the signs of relevance are turned, so that what is negative speaks for the target.
        method: by which the relevance is, which says what its signs stand for; "": it is not known.
    """

    heading: str
    shown: Sequence[str]
    tokens: Sequence[str]
    relevance: Sequence[float]
    special: Sequence[bool]
    decoder_from: int | None = None
    is_turned: bool = False
    method: str = ""


@dataclass(frozen=True)
class Section:
    """What is shown on one scale, with its legend.

    Attributes:
        heading: what is explained.
        passages: the tokens.
        notes: lines below them.
    """

    heading: str
    passages: Sequence[Passage]
    notes: Sequence[str] = ()


def page(sections: Sequence[Section], title: str = "") -> str:
    """A whole page, of one string: texts in the colours of relevance; each section has a scale and a legend of its own.

    Args:
        sections: what it shows, at least one.
        title: of the page; "": the heading of the first section.

    >>> "<script>" in page([Section("a", [Passage("", ["<script>"], ["<script>"], [1.0], [False])])])
    False
    """
    name = escape(title or sections[0].heading)
    body = "\n".join(map(_section, sections))
    return (
        '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title>\n<style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _section(section: Section) -> str:
    end = scale_end([(value, special) for one in section.passages for value, special in zip(one.relevance, one.special, strict=True)])
    body = "\n".join(_passage(passage, end) for passage in section.passages)
    notes = "".join(f'\n<div class="note"><bdi>{escape(note)}</bdi></div>' for note in (*remarks(section.passages, end), *section.notes))
    legend = _legend(end, {one.is_turned for one in section.passages}, section.passages[0].method)
    return f'<div class="signxai-text">\n<h1><bdi>{escape(section.heading)}</bdi></h1>\n{legend}\n{body}{notes}\n</div>\n'


def scale_end(values: Sequence[tuple[float, bool]]) -> float:
    """Where the colours end: at the strongest token of the text, as special ones often take many times as much.

    Args:
        values: of each token its relevance, and whether it is a special one; of special ones alone the strongest counts.

    >>> scale_end([(-9.0, True), (0.5, False), (-2.0, False)])
    2.0
    """
    of_text = [abs(value) for value, special in values if not special]
    return max(of_text, default=0.0) or max((abs(value) for value, _ in values), default=0.0)


def remarks(passages: Sequence[Passage], end: float) -> list[str]:
    """What the marks within the texts mean, where there are any."""
    beyond: dict[str, float] = {}
    for one in passages:
        for token, value in zip(one.tokens, one.relevance, strict=True):
            if abs(value) > end and abs(value) > abs(beyond.get(token, 0.0)):
                beyond[token] = value
    found = [f"{token!r} is beyond the colours: {value:+.4g}" for token, value in beyond.items()]
    if any(
        shown.startswith("·") and not name.startswith("·") for one in passages for shown, name in zip(one.shown, one.tokens, strict=True)
    ):
        found.append("a dot within a word is a token that holds more bytes of the character before it")
    return found


def _passage(passage: Passage, end: float) -> str:
    heading = f"<h2><bdi>{escape(passage.heading)}</bdi></h2>\n" if passage.heading else ""
    numbers = list(range(len(passage.tokens)))
    cut = passage.decoder_from
    if cut is None:
        return heading + _paragraph(passage, numbers, end)
    encoder, decoder = _paragraph(passage, numbers[:cut], end), _paragraph(passage, numbers[cut:], end)
    return f"{heading}{encoder}\n<h3>decoder</h3>\n{decoder}"


def _paragraph(passage: Passage, numbers: Sequence[int], end: float) -> str:
    return f'<p dir="auto">{"".join(_token(passage, number, end) for number in numbers)}</p>'


def _token(passage: Passage, number: int, end: float) -> str:
    value = passage.relevance[number]
    sign = "positive" if value > 0 else "negative" if value < 0 else "none"
    shown = passage.shown[number]
    special = " special" if passage.special[number] else " line" if "\n" in shown and not shown.strip() else ""
    strength = min(abs(value) / end, 1.0) if end else 0.0
    title = escape(f"{passage.tokens[number]!r}: {value:+.4g}")
    return f'<span class="{sign}{special}" style="--strength:{strength:.3f}" title="{title}">{escape(_visible(shown))}</span>'


def _visible(text: str) -> str:
    """A text whose control characters, which browsers drop or obey, have a picture; tabs and new lines stay."""
    return "".join(chr(0x2400 + ord(letter)) if letter < " " and letter not in "\t\n\r" else letter for letter in text)


def _legend(end: float, turned: Collection[bool], method: str) -> str:
    """The scale: five steps, with the sign of each in its line, and their numbers; of the passages whether signs are turned."""
    sides, are_turned = sides_of(method), set(turned) == {True}
    steps = [(-1.0, "negative"), (-0.5, "negative"), (0.0, "none"), (0.5, "positive"), (1.0, "positive")]
    low, high = sides.ends(are_turned)
    signs = ("; signs turned" if are_turned else "; reversed where signs are turned") if True in turned else ""
    cells = "".join(f'<span class="{sign}" style="--strength:{abs(part)}">{part * end or 0:.2g}</span>' for part, sign in steps)
    return f'<div class="legend"><bdi>{sides.what}: {low} (dotted)</bdi> <bdi>{cells}</bdi> <bdi>{high} (solid){signs}</bdi></div>'


# Without ligatures, as one would draw the letters of two tokens as one, of which the mouse finds only the first.
_STYLE = """
.signxai-text { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --quiet: #5c5c5c;
  --positive: 180, 4, 38; --negative: 59, 76, 192;
  color: var(--ink); background: var(--paper); font: 16px/1.9 system-ui, sans-serif; padding: 1em; max-width: 60em; margin: auto;
  font-variant-ligatures: none; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.signxai-text h1 { font-size: 1.1em; line-height: 1.4; margin: 0 0 .5em; overflow-wrap: anywhere; }
.signxai-text h2 { font-size: 1em; margin: 1em 0 0; }
.signxai-text h3 { font-size: .85em; font-weight: normal; color: var(--quiet); margin: .5em 0 0; }
.signxai-text p { white-space: pre-wrap; overflow-wrap: anywhere; margin: .2em 0; }
.signxai-text span { padding: .1em 0; border-radius: .15em; }
.signxai-text .positive { background: rgba(var(--positive), calc(var(--strength) * .6));
  border-bottom: 2px solid rgba(var(--positive), calc(.25 + var(--strength) * .75)); }
.signxai-text .negative { background: rgba(var(--negative), calc(var(--strength) * .6));
  border-bottom: 2px dotted rgba(var(--negative), calc(.25 + var(--strength) * .75)); }
.signxai-text .none { border-bottom: 2px solid transparent; }
.signxai-text .special { font-size: .8em; margin: 0 .2em; }
.signxai-text .line::before { content: "↵"; color: var(--quiet); }
.signxai-text .legend bdi { white-space: nowrap; }
.signxai-text .legend { font-size: .8em; color: var(--quiet); }
.signxai-text .note { font-size: .8em; line-height: 1.5; color: var(--quiet); }
.signxai-text .legend span { color: var(--ink); padding: .1em .5em; }
@media (prefers-color-scheme: dark) {
  html:has(> body > .signxai-text) { background: #16181c; }
  .signxai-text { --ink: #ededed; --paper: #16181c; --quiet: #a5a5a5; --positive: 227, 108, 85; --negative: 106, 139, 239; }
}
"""
