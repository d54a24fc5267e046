"""How numbers and pictures stand in the pages: as text that no label can break out of."""

from __future__ import annotations

import base64
import io
import json
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["companded", "packed", "picture_uri", "rounded", "script_json", "traces"]

Array = npt.NDArray[Any]

_STEPS = 127
_LEVELS = 65535
_LOSSLESS_PIXELS = 128 * 128
_JPEG_QUALITY = 88
# What ends a script element, or a line of JavaScript, within a string.
_UNSAFE = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def script_json(content: Any) -> str:
    """JSON that may stand in a script element, whatever names are in it; NaN and infinity are null.

    >>> script_json({"label": "</script>", "value": float("nan")})
    '{"label":"\\\\u003c/script\\\\u003e","value":null}'
    """
    return json.dumps(_plain(content), separators=(",", ":"), allow_nan=False, ensure_ascii=False).translate(_UNSAFE)


def _plain(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    return [_plain(value) for value in content] if isinstance(content, list | tuple) else content


def rounded(values: Array) -> list[float | None]:
    """Numbers (n,) to five digits, as many as a list shows; None where there is none.

    >>> rounded(np.array([1.2345678, np.nan]))
    [1.2346, None]
    """
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values.tolist()]


def packed(values: Array) -> str:
    """The bytes of an array, compressed, as text."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 6)).decode("ascii")


def companded(planes: Array) -> tuple[Array, Array]:
    """Maps (n, ...) in 8 bits, by the square root of their share of each map's largest value, which keeps weak relevance apart.

    Returns:
        int8 (n, ...), of which value = sign(q) (q / 127)^2 largest; and the largest |R| of each map (n,).

    >>> codes, largest = companded(np.array([[1.0, -4.0, 0.0]]))
    >>> codes.tolist(), largest.tolist()
    ([[64, -127, 0]], [4.0])
    """
    flat = planes.reshape(len(planes), -1).astype(np.float64)
    largest = np.abs(flat).max(1)
    shares = flat / np.where(largest > 0, largest, 1)[:, None]
    codes = np.rint(_STEPS * np.sign(shares) * np.sqrt(np.abs(shares))).astype(np.int8)
    return codes.reshape(planes.shape), largest


def traces(signals: Array) -> dict[str, Any]:
    """Signals (..., samples) in 16 bits, each trace from its lowest to its highest value.

    Returns:
        ``low`` and ``high`` of each trace, in their order, the number of ``columns``, and ``data``: differences of neighbours, all low
        bytes before all high ones, which makes smooth signals shorter.
    """
    values = signals.reshape(-1, signals.shape[-1]).astype(np.float64)
    low, high = values.min(1), values.max(1)
    span = np.where(high > low, high - low, 1)
    codes = np.rint((values - low[:, None]) / span[:, None] * _LEVELS).astype("<u2")
    steps = np.diff(codes, axis=-1, prepend=np.zeros((len(codes), 1), "<u2"))
    halves = steps.view(np.uint8).reshape(-1, 2).T
    return {"low": rounded(low), "high": rounded(high), "columns": values.shape[1], "data": packed(halves)}


def picture_uri(pixels: Array) -> str:
    """A picture, uint8 (H, W) or (H, W, 3), as a data URI: without loss where it is small."""
    buffer = io.BytesIO()
    lossless = pixels.shape[0] * pixels.shape[1] <= _LOSSLESS_PIXELS
    image = Image.fromarray(pixels)
    if lossless:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return f"data:image/{'png' if lossless else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
