"""How LRP treats attention: one record for each published variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from signxai.names import papers
from signxai.names.papers import Paper

__all__ = ["ATTENTION_RULES", "CP", "DEFAULT_ATTENTION", "AttentionRule"]


@dataclass(frozen=True)
class AttentionRule:
    """What becomes of relevance at attention.

    Attributes:
        word: how the option ``attention=`` calls it and, unless it is the default, a name.
        title: its name in a text.
        meaning: a few words for ``describe``.
        formula: a line of plain text, with attention weights p, values v and outputs o.
        latex: the formula for the documentation.
        papers: its sources.
    """

    word: str
    title: str
    meaning: str
    formula: str
    latex: str
    papers: tuple[Paper, ...]


DEFAULT_ATTENTION = "attnlrp"
"""What holds where neither the name nor the option says anything."""

CP = "cp"

ATTENTION_RULES: Mapping[str, AttentionRule] = {
    rule.word: rule
    for rule in (
        AttentionRule(
            DEFAULT_ATTENTION,
            "AttnLRP",
            "half of an attention product to the weights, through the softmax on to the scores",
            "half to each of p and v, by share: R_tj = 1/2 sum_i p_tj v_ji / o_ti R_ti,  R_ji = 1/2 sum_t p_tj v_ji / o_ti R_ti",
            r"$\tfrac12 \sum_t \frac{p_{tj} v_{ji}}{o_{ti}} R_{ti}$ for $v_{ji}$, "
            r"$\tfrac12 \sum_i \frac{p_{tj} v_{ji}}{o_{ti}} R_{ti}$ for $p_{tj}$",
            (papers.ACHTIBAT_2024,),
        ),
        AttentionRule(
            CP,
            "CP-LRP",
            "attention weights are constants",
            "all to v, by share, and nothing to p: R_ji = sum_t p_tj v_ji / o_ti R_ti",
            r"$\sum_t \frac{p_{tj} v_{ji}}{o_{ti}} R_{ti}$ for $v_{ji}$, 0 for $p_{tj}$",
            (papers.ALI_2022,),
        ),
    )
}
"""The variants by word, the default first. Of attention ``o_ti = sum_j p_tj v_ji`` with weights p from a softmax, and values v."""
