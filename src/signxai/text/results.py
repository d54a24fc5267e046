"""Relevance of the tokens of a text: what explanations of texts give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signxai.common.errors import InputError
from signxai.figures.text_plots import TokenPanel, plot_several_tokens, plot_token_matrix, plot_tokens
from signxai.text.page import Passage, Section, page, remarks, scale_end
from signxai.text.words import Span, Word, words_of

FloatArray = npt.NDArray[np.float64]

_ROUNDING = 1e-5  # of relevance that starts with 1, in float32

_TURNED = (
    "its logit is below 0: what speaks for it is negative here, and the other way round; start relevance with the other of 1 and the logit"
)
_BOTH_TURNED = (
    "both logits are below 0: what speaks for the first rather than the second is negative here, and the other way round; start relevance "
    "with the logits for LRP, with 1 else"
)
_PART_TURNED = (
    "a logit is below 0: what speaks for that one is shown as speaking against it; start relevance with the logits for LRP, with 1 else"
)


@dataclass(frozen=True)
class TextTarget:
    """A token or a label, and what the model says of it.

    Attributes:
        id: its number.
        name: as people read it.
        logit: of the model.
        probability: by a softmax over all, or by a sigmoid of its own where a model finds several labels; None: the model has a single
            output.
    """

    id: int
    name: str
    logit: float
    probability: float | None

    def __str__(self) -> str:
        shown = f"{self.name!r}"
        return shown if self.probability is None else f"{shown} ({100 * self.probability:.1f} %)"


@dataclass(frozen=True, eq=False)
class TextRelevance:
    """What each token of a text contributes to what a model says of it.

    Attributes:
        text: the text; of an encoder-decoder that of the encoder.
        tokens: as people read them (L,); of an encoder-decoder the encoder's, then the decoder's.
        ids: of the tokens (L,).
        offsets: where each token stands in the text, (start, end) in characters; None: a special token.
        relevance: of the tokens (L,), signed; without padding.
        target: the token or label that is explained.
        contrast: that rather than which it is explained; None: by itself.
        method: the method's name.
        beginning: what the token took that marks the beginning of the text; None: there is no such token. It often takes much, as attention
            rests on it where it finds nothing.
        absorbed_by_bias: what biases and other constants took, if ``account=True`` asked for it.
        absorbed_by_rest: what stabilizers (epsilon) took, and shares 0 / 0, likewise. With that of the tokens and of biases it makes what
            relevance started with: 1, or 0 where a contrast starts with 1 and -1; with ``relevance="logit"`` the logit or the difference.
        decoder_from: the number of the decoder's first token; None: there is no decoder.
        decoder_text: what the decoder was handed, as text; the offsets of its tokens point there.
        score: what of the target is explained: "logit" (with a contrast, the difference of both), "log-probability", or "log-probability
            by a sigmoid".
        signs_turned: whether a logit below 0 turns the signs of the map, as that of LRP that starts with 1: what speaks for the target is
            negative there. Of a contrast that holds for the part of a token whose logit is below 0.
    """

    text: str
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    offsets: tuple[Span | None, ...]
    relevance: FloatArray
    target: TextTarget
    contrast: TextTarget | None
    method: str
    beginning: float | None
    absorbed_by_bias: float | None = None
    absorbed_by_rest: float | None = None
    decoder_from: int | None = None
    decoder_text: str = ""
    score: str = "logit"
    signs_turned: bool = False

    def words(self) -> list[Word]:
        """The words of the text, which white space parts, each with the sum over its tokens; special tokens stand by themselves.

        >>> target = TextTarget(1, "good", 2.0, 0.9)
        >>> values = np.array([0.5, 1.0])
        >>> found = TextRelevance("unkind", ("un", "kind"), (4, 5), ((0, 2), (2, 6)), values, target, None, "lrp_z", None)
        >>> [(word.text, word.relevance) for word in found.words()]
        [('unkind', 1.5)]
        """
        end = len(self.tokens) if self.decoder_from is None else self.decoder_from
        own = words_of(self.text, self.tokens[:end], self.offsets[:end], self.relevance[:end].tolist())
        return own + words_of(self.decoder_text, self.tokens[end:], self.offsets[end:], self.relevance[end:].tolist(), first=end)

    def heading(self) -> str:
        """What is explained, and how."""
        rather = "" if self.contrast is None else f" rather than {self.contrast}"
        score = "" if self.score == "logit" else f"the {self.score} of "
        return f"Relevance for {score}{self.target}{rather}, by {self.method}{self._signs()}"

    @property
    def is_turned(self) -> bool:
        """Whether the signs of the whole map are turned: of a contrast, where both logits are below 0."""
        return self.signs_turned and (self.contrast is None or max(self.target.logit, self.contrast.logit) < 0)

    def _signs(self) -> str:
        """What a heading says of signs that are turned."""
        if not self.signs_turned:
            return ""
        if self.contrast is None:
            return "; signs turned: a logit is below 0"
        if self.is_turned:
            return "; signs turned: both logits are below 0"
        below = self.target if self.target.logit < 0 else self.contrast
        return f"; signs of the part of {below.name!r} turned: its logit is below 0"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts, lists, strings and numbers."""
        return asdict(self) | {
            "tokens": list(self.tokens),
            "ids": list(self.ids),
            "offsets": [None if span is None else list(span) for span in self.offsets],
            "relevance": self.relevance.tolist(),
            "words": [asdict(word) | {"tokens": list(word.tokens)} for word in self.words()],
        }

    def to_html(self) -> str:
        """A page of one string that loads nothing: the text in the colours of relevance, for light and dark screens.

        Colours say for (red) and against (blue), symmetric about 0; so does the line under a token: solid for, dotted against. They end at
        the strongest token of the text; special ones beyond are named below it. The mouse over a token shows its number. Everything of the
        text is escaped. Where signs are turned, red says against and blue for, as the legend does. By methods whose numbers are slopes
        (`gradient`), red is where larger values of a token's embedding raise the score.
        """
        return page([self.section()])

    def section(self) -> Section:
        """What a page shows of it."""
        return Section(self.heading(), [self.passage()], self.sums())

    def sums(self) -> list[str]:
        """What all tokens have together, and what else took relevance, in words."""
        found = [f"sum over all tokens: {self.relevance.sum():+.4g}"]
        if self.beginning is not None:
            found.append(f"of it, the beginning token {self.tokens[0]!r} has {self.beginning:+.4g}")
        if self.absorbed_by_bias is not None:
            found.append(f"biases and other constants absorbed {self.absorbed_by_bias:+.4g}")
        if self.absorbed_by_rest is not None and abs(self.absorbed_by_rest) > _ROUNDING:
            found.append(f"stabilizers absorbed {self.absorbed_by_rest:+.4g}")
        if self.signs_turned:
            found.append(_TURNED if self.contrast is None else _BOTH_TURNED if self.is_turned else _PART_TURNED)
        return found

    def passage(self, heading: str = "") -> Passage:
        """The tokens as they are shown."""
        values, signs = self.relevance.tolist(), (self.is_turned, self.method)
        return Passage(heading, self.shown(), self.tokens, values, self._special(), self.decoder_from, *signs)

    def shown(self) -> list[str]:
        """Each token as it stands in the text, with white space before it; special ones by name, further bytes of a character by dots."""
        result = []
        for number, span in enumerate(self.offsets):
            is_decoders = self.decoder_from is not None and number >= self.decoder_from
            text = self.decoder_text if is_decoders else self.text
            before = None if number in (0, self.decoder_from) else self.offsets[number - 1]
            result.append(_as_written(text, before, span, self.tokens[number]))
        return result

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the text in the colours of relevance, in lines that wrap.

        Args:
            axes: of matplotlib, into which it is drawn; None: those of a figure of its own.

        Returns:
            The axes; their ``figure`` has ``savefig``.
        """
        return plot_tokens(self.panel(), axes=axes)

    def panel(self) -> TokenPanel:
        """What a figure shows of it."""
        apart = [f" {text} " if special else text for text, special in zip(self.shown(), self._special(), strict=True)]
        end = scale_end(list(zip(self.relevance.tolist(), self._special(), strict=True)))
        title = "; ".join((self.heading(), *remarks([self.passage()], end)))
        return TokenPanel(apart, self.relevance, title, end or None, self.is_turned, self.method)

    def _special(self) -> list[bool]:
        return [span is None for span in self.offsets]

    def _repr_html_(self) -> str:
        return self.to_html()


@dataclass(frozen=True, eq=False)
class GeneratedRelevance:
    """What each token before it contributes to every token that a model generated.

    Attributes:
        text: what was given.
        generated_text: what the model added.
        steps: the explanation of each generated token, as ``explain_text`` gives it for the text before it.
    """

    text: str
    generated_text: str
    steps: tuple[TextRelevance, ...]

    @property
    def method(self) -> str:
        """The method's name."""
        return self.steps[0].method

    @property
    def targets(self) -> tuple[TextTarget, ...]:
        """The generated tokens (n,)."""
        return tuple(step.target for step in self.steps)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens that stand before the last generated one (L,), as people read them."""
        return self.steps[-1].tokens

    @cached_property
    def matrix(self) -> FloatArray:
        """(n, L): a row for each generated token, over the tokens that stand before the last one; 0 for those behind it."""
        result = np.zeros((len(self.steps), len(self.tokens)))
        for row, step in zip(result, self.steps, strict=True):
            row[: len(step.relevance)] = step.relevance
        return result

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts, lists, strings and numbers."""
        return {
            "text": self.text,
            "generated_text": self.generated_text,
            "method": self.method,
            "tokens": list(self.tokens),
            "targets": [asdict(target) for target in self.targets],
            "matrix": self.matrix.tolist(),
            "steps": [step.to_dict() for step in self.steps],
        }

    def to_html(self) -> str:
        """A page of one string, as that of a single text, with a passage for each generated token, all on one scale."""
        return page([self.section()])

    def section(self) -> Section:
        """What a page shows of it."""
        return Section(self.heading(), [step.passage(f"next token: {step.target}{step._signs()}") for step in self.steps])

    def heading(self) -> str:
        """What is explained, and how."""
        written = self.generated_text or "".join(target.name for target in self.targets)
        turned = sum(step.signs_turned for step in self.steps)
        signs = f"; signs turned in {turned} of {len(self.steps)} rows, whose logit is below 0" if turned else ""
        return f"Relevance for {written!r}, token by token, by {self.method}{signs}"

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the matrix: a row for each generated token, a column for each token before it.

        Args:
            axes: of matplotlib, into which it is drawn; None: those of a figure of its own.

        Returns:
            The axes; their ``figure`` has ``savefig``.
        """
        counts = [len(step.tokens) for step in self.steps]
        names, turned = [target.name for target in self.targets], [step.is_turned for step in self.steps]
        plot = partial(plot_token_matrix, turned=turned, method=self.method, title=self.heading())
        return plot(self.matrix, self.tokens, names, counts, axes=axes)

    def _repr_html_(self) -> str:
        return self.to_html()


def to_html(results: Sequence[TextRelevance | GeneratedRelevance]) -> str:
    """One page that shows several explanations one below another, each with a scale of its own, and loads nothing.

    Args:
        results: as ``explain_text`` gives them, of one method or several; at least one.

    Raises:
        InputError: none.
    """
    if not results:
        raise InputError("there is nothing to show: give at least one explanation of a text")
    return page([result.section() for result in results], "" if len(results) == 1 else f"Relevance of texts: {len(results)} explanations")


def to_figure(results: Sequence[TextRelevance | GeneratedRelevance]) -> Figure:
    """One figure that shows several explanations one below another, each with a scale of its own.

    Args:
        results: as ``explain_text`` gives them, of one method or several; or a single one of a generated text.

    Raises:
        InputError: none, or a generated text among several results: its matrix has a figure of its own.
    """
    texts = [result for result in results if isinstance(result, TextRelevance)]
    if len(results) == 1 and not texts:
        return cast(Figure, results[0].plot().figure)
    if len(texts) < len(results):
        raise InputError("the matrix of a generated text has a figure of its own; draw one at a time, or several as a page of HTML")
    return plot_several_tokens([text.panel() for text in texts])


def _as_written(text: str, before: Span | None, span: Span | None, name: str) -> str:
    if span is None or span[0] == span[1]:
        return name
    start = 0 if before is None else before[1]
    if before is not None and span[0] < before[1]:  # it begins with other bytes of the same character
        return "·" + text[before[1] : span[1]]
    gap = text[start : span[0]]
    return (gap if not gap.strip() else "") + text[slice(*span)]
