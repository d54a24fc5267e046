"""Relevance maps as pictures: arrays in, arrays out."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.colors import Colormap
from PIL import Image

from signxai.common.errors import InputError, OptionError

__all__ = [
    "RELEVANCE_COLOURS",
    "normalize_relevance_map",
    "overlay_heatmap",
    "overlay_relevance",
    "relevance_to_heatmap",
    "require_finite",
    "rgb_picture",
]

FloatArray = npt.NDArray[np.float64]

RELEVANCE_COLOURS = "coolwarm"
"""The colours of relevance in every figure and page: from blue, which speaks against what is explained, over gray to red, which speaks
for it.

Equal steps look equal, both ends are equally dark, and the colour-blind tell the one from the other (Moreland 2009).
"""

_RGB = 3
_LUMA = np.array([0.2126, 0.7152, 0.0722])  # of red, green and blue in gray, by BT.709
# Resampling filters overshoot a little: what is this close to [0, 1] is meant to lie in it.
_OVERSHOOT = 1e-3


def normalize_relevance_map(relevance_map: npt.ArrayLike, percentile: float = 99) -> FloatArray:
    """Bring relevance to [-1, 1], so that a few extreme values do not hide the rest.

    Args:
        relevance_map: relevance R, of any shape.
        percentile: R is divided by this percentile of |R|, in [0, 100] (by their maximum if that is 0).

    Returns:
        Array of the same shape in [-1, 1]: signs are kept, NaN becomes 0, infinity +-1, and all zero stays zero.

    Raises:
        InputError: the map is empty or holds no real numbers.
        OptionError: the percentile lies outside [0, 100].

    >>> normalize_relevance_map([0.0, 1.0, -2.0, 4.0], percentile=100)
    array([ 0.  ,  0.25, -0.5 ,  1.  ])
    """
    if not 0 <= percentile <= 100:
        raise OptionError(f"percentile={percentile}: it must lie in [0, 100]")
    relevance = _relevance(relevance_map)
    scale = _magnitude(relevance, percentile) or _magnitude(relevance, 100)
    return np.clip(_divide(relevance, scale), -1.0, 1.0)


def relevance_to_heatmap(relevance_map: npt.ArrayLike, cmap: str | Colormap = "seismic", symmetric: bool = True) -> FloatArray:
    """Colour a relevance map.

    Args:
        relevance_map: relevance, of any shape; NaN counts as 0.
        cmap: a matplotlib colour map or its name; a diverging one where relevance has both signs.
        symmetric: True spreads [-max |R|, max |R|] over the colour map, so that 0 gets the colour of its middle;
            False spreads [min R, max R].

    Returns:
        RGB colours in [0, 1], of shape (..., 3).

    Raises:
        InputError: the map is empty or holds no real numbers.
        OptionError: matplotlib knows no such colour map.

    >>> relevance_to_heatmap([-1.0, 1.0], cmap="bwr")
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    colour_map = _colour_map(cmap)
    relevance = _relevance(relevance_map)
    fraction = np.clip(_divide(relevance, _magnitude(relevance, 100)), -1.0, 1.0)
    position = (1.0 + fraction) / 2.0 if symmetric else _divide(fraction - fraction.min(), np.ptp(fraction))
    return np.asarray(colour_map(position), dtype=np.float64)[..., :_RGB]


def overlay_heatmap(
    image: npt.ArrayLike, heatmap: npt.ArrayLike, alpha: float = 0.5, *, opacity: npt.ArrayLike | None = None, gray: bool = False
) -> FloatArray:
    """Lay a heat map over the image that it explains.

    Args:
        image: uint8 or float in [0, 1], gray (H, W) or with 1 or 3 channels, (H, W, C) or (C, H, W).
        heatmap: colours as `relevance_to_heatmap` gives them, resized to the image (bilinear).
        alpha: weight of the heat map, from 0 (image alone) to 1 (heat map alone).
        opacity: (H, W) in [0, 1], by which each place's weight is multiplied, resized as the heat map is; None: 1 everywhere.
        gray: True shows the image in gray, so that all colours are those of the heat map.

    Returns:
        RGB colours in [0, 1], of shape (H, W, 3).

    Raises:
        InputError: the image, the heat map or the opacity is not as described above.
        OptionError: alpha lies outside [0, 1].

    >>> overlay_heatmap(np.zeros((1, 1)), np.ones((1, 1, 3)), alpha=0.25)
    array([[[0.25, 0.25, 0.25]]])
    """
    if not 0 <= alpha <= 1:
        raise OptionError(f"alpha={alpha}: it must lie in [0, 1]")
    picture = rgb_picture(image)
    if gray:
        picture = (picture @ _LUMA)[..., None].repeat(_RGB, axis=-1)
    colours = _resized(rgb_picture(heatmap, name="heat map"), picture.shape[0], picture.shape[1])
    if opacity is None:
        return (1.0 - alpha) * picture + alpha * colours
    weight = alpha * _resized(rgb_picture(opacity, name="opacity"), picture.shape[0], picture.shape[1])[..., :1]
    return (1.0 - weight) * picture + weight * colours


def overlay_relevance(
    image: npt.ArrayLike,
    relevance_map: npt.ArrayLike,
    *,
    percentile: float = 99,
    cmap: str | Colormap = RELEVANCE_COLOURS,
    gray: bool = True,
) -> FloatArray:
    """Lay relevance over the image that it explains: the stronger, the more opaque, so that the image is seen where nothing speaks.

    Args:
        image: as for `overlay_heatmap`.
        relevance_map: relevance (H, W); or (C, H, W), or (H, W, C) where H and W are the image's and are not the last two axes, which is
            summed over the channels.
        percentile: of |R|, at which colours and opacity end.
        cmap: a diverging colour map of matplotlib, or its name.
        gray: True shows the image in gray, so that all colours are relevance.

    Returns:
        RGB colours in [0, 1], of shape (H, W, 3) as the image.

    Raises:
        InputError: the image is no picture, or the map has another number of axes, is empty, or has NaN or infinity in it.
        OptionError: the percentile lies outside [0, 100], or matplotlib knows no such colour map.

    >>> overlay_relevance(np.full((1, 2), 0.5), [[0.0, 1.0]], cmap="bwr")
    array([[[0.5, 0.5, 0.5],
            [1. , 0. , 0. ]]])
    """
    require_finite(relevance_map)
    relevance = _relevance(relevance_map)
    if relevance.ndim not in (2, 3):
        raise InputError(f"the relevance of an image has the shape (H, W), (C, H, W) or (H, W, C), not {relevance.shape}")
    strength = normalize_relevance_map(summed_over_channels(relevance, rgb_picture(image).shape), percentile)
    colours = np.asarray(_colour_map(cmap)((1.0 + strength) / 2.0), dtype=np.float64)[..., :_RGB]
    return overlay_heatmap(image, colours, 1.0, opacity=np.sqrt(np.abs(strength))[..., None], gray=gray)


def summed_over_channels(relevance: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Relevance of an image by place (H, W).

    Args:
        relevance: (H, W), (C, H, W), or (H, W, C), which is told by the image's shape.
        shape: of the image, (H, W, ...).

    >>> summed_over_channels(np.ones((4, 5, 3)), (4, 5)).shape
    (4, 5)
    """
    if relevance.ndim == 2:
        return relevance
    is_last = relevance.shape[:2] == tuple(shape[:2]) != relevance.shape[1:]
    return np.asarray(relevance.sum(axis=-1 if is_last else 0))


def require_finite(relevance_map: npt.ArrayLike, name: str = "the relevance") -> None:
    """Refuse numbers that no colour stands for: drawn as 0, they would say that nothing speaks there.

    Raises:
        InputError: NaN or infinity.

    >>> require_finite([0.0, -1.0])
    """
    relevance = as_array(relevance_map)
    if np.issubdtype(relevance.dtype, np.inexact) and not np.isfinite(relevance).all():
        raise InputError(f"{name} has NaN or infinity in it")


def rgb_picture(image: npt.ArrayLike, name: str = "image") -> FloatArray:
    """Bring a picture to one form: RGB in [0, 1], of shape (H, W, 3).

    Args:
        image: uint8 or float in [0, 1], gray (H, W) or with 1 or 3 channels, (H, W, C) or (C, H, W);
            where both readings are possible, the channels come last.
        name: what error messages call it.

    Raises:
        InputError: another shape, another type, or values outside [0, 1].

    >>> rgb_picture(np.full((1, 2, 5), 255, dtype=np.uint8)[:, :1]).shape
    (1, 5, 3)
    """
    pixels = as_array(image)
    if pixels.dtype == np.uint8:
        pixels = pixels / 255.0
    elif not np.issubdtype(pixels.dtype, np.floating):
        raise InputError(f"{name}: pixels are uint8 in [0, 255] or float in [0, 1], not {pixels.dtype}")
    pixels = _channels_last(pixels.astype(np.float64), name)
    # Written so that NaN, for which every comparison is false, is refused too.
    if not (pixels.min() >= -_OVERSHOOT and pixels.max() <= 1 + _OVERSHOOT):
        raise InputError(f"{name}: float pixels lie in [0, 1], these in [{pixels.min():.4g}, {pixels.max():.4g}]; rescale them first")
    return np.repeat(np.clip(pixels, 0.0, 1.0), _RGB // pixels.shape[-1], axis=-1)


def _channels_last(pixels: FloatArray, name: str) -> FloatArray:
    if pixels.size and pixels.ndim == 2:
        return pixels[..., None]
    if pixels.size and pixels.ndim == 3 and pixels.shape[-1] in (1, _RGB):
        return pixels
    if pixels.size and pixels.ndim == 3 and pixels.shape[0] in (1, _RGB):
        return np.moveaxis(pixels, 0, -1)
    raise InputError(f"{name}: its shape is (H, W), (H, W, C) or (C, H, W) with C = 1 or 3, not {pixels.shape}")


def _resized(picture: FloatArray, height: int, width: int) -> FloatArray:
    if picture.shape[:2] == (height, width):
        return picture
    planes = [Image.fromarray(plane) for plane in np.moveaxis(picture.astype(np.float32), -1, 0)]
    resized = [np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64) for plane in planes]
    return np.clip(np.stack(resized, axis=-1), 0.0, 1.0)


def as_array(values: npt.ArrayLike) -> npt.NDArray[Any]:
    # A torch tensor that tracks gradients or lives on a GPU refuses np.asarray; torch itself is not needed to see that it is one.
    detach = getattr(values, "detach", None)
    return np.asarray(values if detach is None else detach().cpu())


def _relevance(relevance_map: npt.ArrayLike) -> FloatArray:
    """The map as float64, NaN replaced by 0."""
    relevance = as_array(relevance_map)
    if not (np.issubdtype(relevance.dtype, np.floating) or np.issubdtype(relevance.dtype, np.integer)):
        raise InputError(f"a relevance map holds real numbers, not {relevance.dtype}")
    if relevance.size == 0:
        raise InputError(f"the relevance map is empty: its shape is {relevance.shape}")
    relevance = relevance.astype(np.float64)
    return np.where(np.isnan(relevance), 0.0, relevance)


def _magnitude(relevance: FloatArray, percentile: float) -> float:
    """That percentile of the finite |R|; 0 where none is finite."""
    magnitude = np.abs(relevance[np.isfinite(relevance)])
    return float(np.percentile(magnitude, percentile)) if magnitude.size else 0.0


def _divide(values: FloatArray, scale: float) -> FloatArray:
    """Divide by the scale, where it is not 0; a quotient too large for a float is clipped by the caller."""
    if scale == 0:
        return values
    with np.errstate(over="ignore"):
        return values / scale


def _colour_map(cmap: str | Colormap) -> Colormap:
    if isinstance(cmap, Colormap):
        return cmap
    if cmap not in colormaps:
        near = get_close_matches(str(cmap), list(colormaps), n=3) or ["seismic", "bwr", "coolwarm"]
        raise OptionError(f"matplotlib knows no colour map {cmap!r}; nearest: {', '.join(near)}")
    return colormaps[cmap]
