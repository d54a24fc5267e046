"""Embeddings: each token id gets the relevance of its row."""

from __future__ import annotations

import torch.nn.functional as F

from signxai.engine.call import Call, Result
from signxai.engine.graph import needs_relevance
from signxai.engine.ops.any_pass import bag_of_rows, with_own_table
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass
from signxai.engine.token_ids import EmbeddingNode


@rule_for(F.embedding)
def embedding(mode: RelevancePass, call: Call) -> Result:
    """Rows of a table: of constant indices a constant, of the input's own each index gets what its row gets."""
    call = with_own_table(call)
    indices = call.x
    origin = indices if needs_relevance(indices) else mode.token_ids.origin_of(indices)
    if origin is None:
        if (mixed_by := mode.token_ids.mixed_by(indices)) is not None:
            mode.unknown_operation(*mixed_by)
            return mode.as_gradient(call)
        return mode.plain(call)
    if indices.is_floating_point():
        indices = mode.token_ids.as_whole_numbers(indices)
    return EmbeddingNode.apply(origin, lambda: call.run(indices))


@rule_for(F.embedding_bag)
def embedding_bag(mode: RelevancePass, call: Call) -> Result:
    """Bags of equal size: the rows, then their sum, mean or maximum."""
    with mode:
        return bag_of_rows(*call.args, **call.kwargs)
