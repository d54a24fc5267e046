"""The rules: how relevance passes each operation. A rule stands under the names that it serves, and enters its table there."""

from signxai.engine.ops import (
    activations,
    any_pass,
    attention,
    einsum,
    embeddings,
    linear,
    moves,
    norms,
    products,
    recurrent,
    shorthands,
    softmax,
    sums,
)

__all__ = [
    "activations",
    "any_pass",
    "attention",
    "einsum",
    "embeddings",
    "linear",
    "moves",
    "norms",
    "products",
    "recurrent",
    "shorthands",
    "softmax",
    "sums",
]
