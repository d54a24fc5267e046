"""SIGN: inputs count with their sign about a threshold instead of with their value (Gumpfer et al. 2023)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from signxai.common.errors import InputError


def calculate_sign_mu(x: Any, mu: float = 0.0, vlow: float = -1, vhigh: float = 1) -> np.ndarray[Any, Any]:
    """Give each element its sign about the threshold ``mu``: ``vhigh`` where ``x >= mu``, else ``vlow``.

    Args:
        x: tensor or array of any shape.
        mu: threshold, in the units of ``x``; an element equal to it counts as positive.
        vlow: value below the threshold.
        vhigh: value at and above the threshold.

    Returns:
        A NumPy array of the same shape, as the maps of ``explain`` are, of the input's dtype if that is floating-point.

    Raises:
        InputError: if ``x`` is neither a tensor nor an array.

    Source: Gumpfer et al., SIGNed explanations: Unveiling relevant features by reducing bias, Information Fusion 2023.

    >>> import torch
    >>> calculate_sign_mu(torch.tensor([-2.0, 0.0, 0.3]), mu=0.1)
    array([-1., -1.,  1.], dtype=float32)
    """
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype in (torch.float16, torch.bfloat16) else x).numpy()
    if not isinstance(x, np.ndarray):
        raise InputError(f"calculate_sign_mu takes a tensor or a NumPy array, not {type(x).__name__}; convert it with numpy.asarray")
    dtype = x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64
    return np.where(x >= mu, vhigh, vlow).astype(dtype)


def sign_about(x: Tensor, mu: float) -> Tensor:
    """The same for a tensor, with values +1 and -1, as a tensor on its device.

    >>> sign_about(torch.tensor([-2.0, 0.0]), 0.0)
    tensor([-1.,  1.])
    """
    return torch.where(x.detach() >= mu, x.new_ones(()), x.new_full((), -1))
