"""Formulas as MathML, which browsers draw themselves: no script, no fonts, nothing from the network."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", inline_renderers=(_visit_inline, None), block_renderers=(_visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathml(formula: str, *, as_block: bool = False) -> str:
    """A formula of TeX as MathML.

    Raises:
        MathError: there is a command in it that docutils does not know. Sizes of brackets it knows by side only: ``\\bigl``.
    """
    sided = re.sub(r"\\([bB]ig)(?=[(\[])", r"\\\1l", re.sub(r"\\([bB]ig)(?=[)\]])", r"\\\1r", formula))
    return str(tex2mathml(sided, as_block=as_block))


def _visit_inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _visit_block(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(mathml(node.astext(), as_block=True))
    raise nodes.SkipNode
