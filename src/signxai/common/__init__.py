"""What needs no torch: errors, method names, visualization."""

from signxai.common.errors import (
    ForwardError,
    InputError,
    MethodNameError,
    ModelError,
    OptionError,
    SignxaiError,
    StoreError,
    TargetError,
)

__all__ = ["ForwardError", "InputError", "MethodNameError", "ModelError", "OptionError", "SignxaiError", "StoreError", "TargetError"]
