"""``calculate_relevancemap(s)`` under the original package's import path, for its scripts with Keras models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from signxai.common.errors import InputError, OptionError
from signxai.names.grammar import MethodSpec
from signxai.torch_signxai.relevance_maps import calculate_relevancemap as _map_of
from signxai.torch_signxai.relevance_maps import calculate_relevancemaps as _maps_of

__all__ = ["calculate_relevancemap", "calculate_relevancemaps"]


def calculate_relevancemap(m: str | MethodSpec, x: Any, model_no_softmax: nn.Module, **kwargs: Any) -> Any:
    """Explain one sample, as the original package does.

    Args:
        m: a method's name, as for ``signxai.explain``.
        x: one sample without a batch axis, in the model's layout; with ``batchmode=True`` a batch (N, ...).
        model_no_softmax: a Keras model on the torch backend, or any ``torch.nn.Module``, with or without its softmax.
        **kwargs: ``neuron_selection`` (the target; None or "max_activation": the largest logit), ``batchmode``,
            ``last_conv_layer_name`` (the layer of Grad-CAM), and the options of ``signxai.explain``.

    Returns:
        Relevance in the shape of ``x``.

    Raises:
        SignxaiError: as ``signxai.explain`` does.

    >>> import torch
    >>> calculate_relevancemap("gradient_x_sign_mu_neg_0_5", torch.ones(4), torch.nn.Linear(4, 3), neuron_selection=1).shape
    (4,)
    """
    return _map_of(m, x, model_no_softmax, **_options(kwargs))


def calculate_relevancemaps(m: str | MethodSpec, X: Sequence[Any], model_no_softmax: nn.Module, **kwargs: Any) -> Any:  # noqa: N803 - the original's name
    """Explain several samples in turn by one method, as the original package does.

    Args:
        m, model_no_softmax, **kwargs: as for ``calculate_relevancemap``; each sample may be a batch with ``batchmode=True``.
        X: the samples, each without a batch axis.

    Returns:
        The maps, stacked: (len(X), ...).

    Raises:
        SignxaiError: as ``signxai.explain`` does, and if there is no sample.

    >>> import torch
    >>> calculate_relevancemaps("lrp_z", torch.ones(2, 4), torch.nn.Linear(4, 3)).shape
    (2, 4)
    """
    if not isinstance(m, str | MethodSpec):
        raise OptionError(f"m={m!r} is not one method's name; for several methods call signxai.explain_all")
    if not isinstance(X, Sequence) and np.ndim(X) < 1:
        raise InputError(f"X must hold one sample or more, not {type(X).__name__}")
    return _maps_of(m, X, model_no_softmax, **_options(kwargs))


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The original's keywords in the words of ``signxai.explain``."""
    options = dict(given)
    if "last_conv_layer_name" in options:
        if "layer" in options:
            raise OptionError("last_conv_layer_name= and layer= are one option; give one of them")
        options["layer"] = options.pop("last_conv_layer_name")
    if isinstance(options.get("neuron_selection"), str) and options["neuron_selection"] == "max_activation":
        options["neuron_selection"] = None
    return options
