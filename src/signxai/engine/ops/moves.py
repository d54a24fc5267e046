"""Operations that only move or select values: for relevance as for the gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from signxai.engine.registry import RELEVANCE

RELEVANCE.follows_gradient(
    *("view", "reshape", "flatten", "unflatten", "squeeze", "squeeze_", "unsqueeze", "unsqueeze_"),
    *("ravel", "permute", "transpose", "transpose_", "t", "t_", "swapaxes", "swapdims", "movedim", "moveaxis", "expand"),
    *("broadcast_to", "repeat", "repeat_interleave", "tile", "contiguous", "clone"),
    *("float", "double", "half", "bfloat16", "type", "cpu", "cuda", "narrow", "select", "index_select"),
    *("gather", "take", "take_along_dim", "masked_select", "masked_fill", "masked_fill_", "where", "chunk", "split"),
    *("split_with_sizes", "tensor_split", "unbind", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack"),
    *(
        "pad",
        "constant_pad_nd",
        "flip",
        "fliplr",
        "flipud",
        "roll",
        "rot90",
        "unfold",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
    ),
    *("native_channel_shuffle", "__getitem__", "__setitem__", "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_alpha_dropout", "feature_dropout", "copy_", "as_strided", "diagonal", "tril", "triu"),
    *("atleast_1d", "atleast_2d", "atleast_3d", "scatter", "scatter_", "index_put", "index_copy", "index_copy_"),
    *("select_scatter", "slice_scatter", "index_fill_", "masked_scatter_"),
    *("view_as_real", "_pack_padded_sequence", "_pad_packed_sequence", "hsplit", "vsplit", "dsplit"),
    *("requires_grad_", "retain_grad", "register_hook", "__iter__", "unsafe_chunk", "unsafe_split"),
    *("swapaxes_", "detach", "item", "numpy", "view_as_complex", "complex", "resolve_conj", "resolve_neg", "diag", "diag_embed"),
    *("diagflat", "block_diag", "meshgrid", "cartesian_prod", "column_stack", "row_stack", "index_fill", "nan_to_num"),
    *("masked_scatter", "diagonal_scatter", "linalg_diagonal", "unsafe_split_with_sizes", "adjoint", "real", "imag"),
    *(getattr(torch.Tensor, name).__get__ for name in ("T", "mT", "H", "mH", "real", "imag", "data", "grad")),
    keeps_gates=True,
)

RELEVANCE.follows_gradient("topk", "sort", "msort", keeps_gates=True)

RELEVANCE.follows_gradient(
    *("max", "min", "amax", "amin", "maximum", "minimum", "fmax", "fmin", "max_pool1d", "max_pool2d"),
    *("cummax", "cummin", "mode", "nanmedian"),
    *("max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "fractional_max_pool2d"),
    *("fractional_max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d", "kthvalue", "median"),
    *("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool1d_with_indices"),
    *("adaptive_max_pool2d_with_indices", "adaptive_max_pool3d_with_indices"),
    *(F.max_pool1d, F.max_pool2d, F.max_pool3d),
    keeps_gates=False,
)

RELEVANCE.follows_gradient(
    *("expand_as", "view_as", "reshape_as", "type_as", "broadcast_tensors", "to"),
    keeps_gates=True,
    shaped_by_others=True,
)
