"""Pictures for VGG16 as the original package reads them, and maps as it scales them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from PIL import Image, UnidentifiedImageError

from signxai.common.errors import InputError

_SIZE = (224, 224)
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # of ImageNet, blue, green, red

Array = np.ndarray[Any, Any]


def load_image(img_path: str | Path, expand_dims: bool = False) -> tuple[Image.Image, Array]:
    """Read a picture for VGG16 with Caffe's preprocessing: 224 x 224, nearest pixel, blue first, ImageNet's mean taken off.

    Args:
        img_path: the picture's file.
        expand_dims: whether the array gets a batch axis.

    Returns:
        The picture (RGB, 224 x 224), and its float32 array (224, 224, 3) or (1, 224, 224, 3), from -123.68 to 151.061.

    Raises:
        InputError: if there is no such file, or it is no picture.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "black.png"
    >>> Image.new("RGB", (8, 8)).save(path)
    >>> img, x = load_image(path)
    >>> img.size, x.shape, float(x[0, 0, 0])
    ((224, 224), (224, 224, 3), -103.93900299072266)
    """
    try:
        with Image.open(img_path) as opened:
            img = opened.convert("RGB").resize(_SIZE, Image.Resampling.NEAREST)
    except UnidentifiedImageError as error:
        raise InputError(f"{str(img_path)!r} is no picture that Pillow reads; give a JPEG or PNG file") from error
    except OSError as error:
        raise InputError(f"the picture {str(img_path)!r} cannot be read: {error}") from error
    x = np.asarray(img, dtype=np.float32)[..., ::-1] - np.asarray(_CAFFE_MEAN, dtype=np.float32)
    return img, x[None] if expand_dims else x


def normalize_heatmap(H: Any) -> Array:  # noqa: N803 - the original's name
    """Divide a map by its largest absolute value: from -1 to 1, and 0 where all of it is 0.

    Raises:
        InputError: if the map is empty, or not finite.

    >>> normalize_heatmap([1.0, -4.0]).tolist()
    [0.25, -1.0]
    """
    heatmap = np.asarray(H)
    if heatmap.size == 0 or not np.isfinite(heatmap).all():
        raise InputError("the map is empty or holds NaN or infinity; give a map of finite numbers")
    largest = np.abs(heatmap).max()
    return heatmap / largest if largest else np.zeros_like(heatmap)


def aggregate_and_normalize_relevancemap_rgb(R: Any) -> Array:  # noqa: N803 - the original's name
    """Sum a map (H, W, C) over its channels, and scale it as ``normalize_heatmap`` does: (H, W), from -1 to 1.

    Raises:
        InputError: if the map has not three axes, is empty, or not finite.

    >>> aggregate_and_normalize_relevancemap_rgb([[[1.0, 1.0, 2.0], [-1.0, 0.0, 0.0]]]).tolist()
    [[1.0, -0.25]]
    """
    relevance = np.asarray(R)
    if relevance.ndim != 3:
        raise InputError(f"the map has shape {relevance.shape}; give one picture's map (height, width, channels), channels last")
    return normalize_heatmap(relevance.sum(axis=2))


def download_image(path: str | Path) -> NoReturn:
    """Refuse: nothing is downloaded.

    Raises:
        InputError: always; it says which file to give.
    """
    raise InputError(
        f"nothing is downloaded; leave out download_image, and put a picture of your own (JPEG or PNG) at {str(path)!r}. The original "
        "package's is signxai/examples/7867854122_b26957e9e3_o.jpg of github.com/nilsgumpfer/SIGN-XAI"
    )


def download_model(path: str | Path) -> NoReturn:
    """Refuse: nothing is downloaded.

    Raises:
        InputError: always; it says which file to give.
    """
    raise InputError(
        f"nothing is downloaded; leave out download_model, and put the model's file (.h5 or .keras) at {str(path)!r}. The original "
        "package's is signxai/examples/DENSEMNIST10INV.h5 of github.com/nilsgumpfer/SIGN-XAI"
    )
