"""The packages of the extras ``data``, ``cluster`` and ``umap``, fetched where they are needed."""

from importlib import import_module
from typing import Any

from signxai.common.errors import StoreError

__all__ = ["require_clustering", "require_export", "require_umap", "zarr_package"]


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


def require_clustering() -> None:
    """Let the packages by which clusters are found be there.

    Raises:
        StoreError: one is not installed.
    """
    try:
        import_module("sklearn")
        import_module("scipy")
    except ModuleNotFoundError as error:
        raise StoreError(_missing("clusters of maps need", error.name, "cluster")) from error


def require_umap() -> None:
    """Let UMAP be there.

    Raises:
        StoreError: it is not installed.
    """
    try:
        import_module("umap")
    except ModuleNotFoundError as error:
        raise StoreError(_missing("an embedding by UMAP needs", error.name, "umap")) from error


def require_export() -> None:
    """Let the packages be there by which other programs' files are written.

    Raises:
        StoreError: one is not installed.
    """
    try:
        import_module("h5py")
        import_module("yaml")
    except ModuleNotFoundError as error:
        raise StoreError(_missing("an export needs", error.name, "data")) from error


def _missing(who_needs: str, name: str | None, extra: str) -> str:
    return f'{who_needs} the package {name}, which is missing: pip install "signxai[{extra}]"'
