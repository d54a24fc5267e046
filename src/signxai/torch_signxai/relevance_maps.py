"""``calculate_relevancemap(s)``: the calls of the original TensorFlow package, with its habits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import InputError, OptionError
from signxai.methods.explainer import explainer_for, spec_of
from signxai.methods.layers_option import of_each
from signxai.names.grammar import MethodSpec


def calculate_relevancemap(
    method: str | MethodSpec, x: Any, model: nn.Module, neuron_selection: Any = None, *, batchmode: bool = False, **kw: Any
) -> Any:
    """Explain one sample as the original package does.

    Args:
        method: a method's name, as for ``signxai.explain``.
        x: one sample without a batch axis; with ``batchmode=True`` a batch (N, ...).
        model: any ``torch.nn.Module``; channels come first, as PyTorch has them.
        neuron_selection: the target class, as ``target_class`` of ``explain``.
        batchmode: whether ``x`` has a batch axis.
        **kw: options, as for ``explain``. ``relevance`` starts with the logit for LRP, guided backprop and deconvnet, and
            with 1 for the other methods, unless it is given.

    Returns:
        Relevance in the shape of ``x``; with a list of layers as ``at=`` a dict, as ``explain`` gives it.

    Raises:
        SignxaiError: as ``explain`` does.

    >>> import torch
    >>> calculate_relevancemap("lrp_z", torch.ones(4), torch.nn.Linear(4, 3), neuron_selection=1).shape
    (4,)
    """
    if not isinstance(batchmode, bool):
        raise OptionError(f"batchmode={batchmode!r} must be True or False")
    spec = spec_of(method)
    if spec.form.starts_with_logit:
        kw.setdefault("relevance", "logit")
    explainer = explainer_for(model, spec, kw)
    if batchmode:
        return explainer.explain(x, neuron_selection)
    relevance = explainer.explain(x[None] if isinstance(x, Tensor) else np.asarray(x)[None], neuron_selection)
    return of_each(lambda at_place: at_place[0], relevance)


def calculate_relevancemaps(
    methods: str | MethodSpec | Sequence[str | MethodSpec],
    x: Any,
    model: nn.Module,
    neuron_selection: Any = None,
    *,
    batchmode: bool = False,
    **kw: Any,
) -> Any:
    """Explain by several methods, or several samples by one, as the original package does.

    Args:
        methods: a sequence of method names: each explains ``x``. One name: ``x`` is a sequence of samples, explained in turn.
        x, model, neuron_selection, batchmode, **kw: as for ``calculate_relevancemap``.

    Returns:
        For several methods a dict from name, as given, to map; for one name the maps stacked, (len(x), ...).

    Raises:
        SignxaiError: as ``explain`` does.

    >>> import torch
    >>> maps = calculate_relevancemaps(["gradient", "lrp_z"], torch.ones(4), torch.nn.Linear(4, 3), neuron_selection=1)
    >>> sorted(maps)
    ['gradient', 'lrp_z']
    """
    if not isinstance(methods, str | MethodSpec):
        return {str(method): calculate_relevancemap(method, x, model, neuron_selection, batchmode=batchmode, **kw) for method in methods}
    maps = [calculate_relevancemap(methods, sample, model, neuron_selection, batchmode=batchmode, **kw) for sample in x]
    if not maps:
        raise InputError("x holds no sample; with one method's name it is a sequence of at least one")
    if isinstance(maps[0], dict):
        return {name: _stacked([one[name] for one in maps]) for name in maps[0]}
    return _stacked(maps)


def _stacked(maps: list[Any]) -> np.ndarray[Any, Any] | Tensor:
    return torch.stack(maps) if isinstance(maps[0], Tensor) else np.stack(maps)
