"""Photographs that packages on the registry carry, each under a license that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["PHOTOS", "Photo"]


@dataclass(frozen=True)
class Photo:
    """A photograph.

    Attributes:
        name: of it.
        package: what is imported, beside whose files it lies.
        path: where, below the package.
        project: the package's name on the registry.
        license: as the package states it.
        credit: who took it.
    """

    name: str
    package: str
    path: str
    project: str
    license: str
    credit: str

    def find(self) -> Path:
        """Where it lies on this machine.

        Raises:
            SystemExit: the package is not installed, or is one without the photograph.
        """
        spec = find_spec(self.package)
        folders: Sequence[str] = [] if spec is None else spec.submodule_search_locations or []
        found = [path for folder in folders if (path := Path(folder) / self.path).is_file()]
        if not found:
            raise SystemExit(f"error: the photograph {self.name} is missing: pip install {self.project}")
        return found[0]


_SKIMAGE, _SKLEARN = "scikit-image", "scikit-learn"
PHOTOS = (
    Photo("chelsea", "signxai", "data/chelsea.png", "signxai", "CC0 1.0", "Stéfan van der Walt"),
    Photo("coffee", "skimage", "data/coffee.png", _SKIMAGE, "CC0 1.0", "Rachel Michetti, Pikolo Espresso Bar"),
    Photo("camera", "skimage", "data/camera.png", _SKIMAGE, "CC0 1.0", "Lav Varshney"),
    Photo("flower", "sklearn", "datasets/images/flower.jpg", _SKLEARN, "CC BY 2.0", "vultilion (flickr)"),
    Photo("china", "sklearn", "datasets/images/china.jpg", _SKLEARN, "CC BY 2.0", "danielbuechele (flickr)"),
    Photo("rocket", "skimage", "data/rocket.jpg", _SKIMAGE, "public domain", "SpaceX"),
    Photo("astronaut", "skimage", "data/astronaut.png", _SKIMAGE, "public domain", "NASA"),
)
"""The network tells the first four well. Others in packages are no photographs of things, or come without a word on their license."""
