"""The rules: how relevance passes each operation. A rule stands under the names that it serves, and enters its table there."""

from signxai.engine.ops import (
    activations,
    any_pass,
    attention,
    choices,
    einsum,
    embeddings,
    experts,
    linear,
    linear_maps,
    moves,
    norms,
    products,
    recurrent,
    shorthands,
    softmax,
    sums,
)

from signxai.engine.ops import in_place  # isort: skip  (the last: it looks at what the others have entered)

__all__ = [
    "activations",
    "any_pass",
    "attention",
    "choices",
    "einsum",
    "embeddings",
    "experts",
    "in_place",
    "linear",
    "linear_maps",
    "moves",
    "norms",
    "products",
    "recurrent",
    "shorthands",
    "softmax",
    "sums",
]
