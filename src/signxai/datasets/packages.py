"""The packages of the extra ``data``, fetched where they are needed."""

from importlib import import_module
from typing import Any

from signxai.common.errors import StoreError

__all__ = ["zarr_package"]


def zarr_package() -> Any:
    """The package zarr, version 3 or later.

    Raises:
        StoreError: it, or a package that it needs, is not installed or too old.
    """
    try:
        zarr = import_module("zarr")
    except ModuleNotFoundError as error:
        raise StoreError(f'a store of maps needs the package {error.name}, which is missing: pip install "signxai[data]"') from error
    if int(zarr.__version__.split(".")[0]) < 3:
        raise StoreError(f'a store of maps needs zarr 3 or later, and {zarr.__version__} is installed: pip install "signxai[data]"')
    return zarr
