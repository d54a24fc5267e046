"""What needs no torch: errors, method names, visualization."""

from signxai.common.errors import (
    ForwardError,
    InputError,
    MapError,
    MethodNameError,
    MissingPackageError,
    ModelError,
    OptionError,
    SignxaiError,
    StoreError,
    TargetError,
)

__all__ = [
    "ForwardError",
    "InputError",
    "MapError",
    "MethodNameError",
    "MissingPackageError",
    "ModelError",
    "OptionError",
    "SignxaiError",
    "StoreError",
    "TargetError",
]
