"""What is told before seconds go into loading a network or running it: options that cannot be, and layers that there are not."""

import re
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from signxai.cli.decisions import Targets
from signxai.cli.shared_options import may_register_methods
from signxai.common.errors import MethodNameError
from signxai.engine.model_loan import unwrapped
from signxai.engine.module_names import find_module
from signxai.models import Classifier, move_to

__all__ = ["check_first", "check_layers", "check_loaded"]

_EXECUTION = re.compile(r"\[\d+\]$")


def check_first(model: str, device: str, check: Callable[[nn.Module], object]) -> None:
    """Refuse what can be seen to be mistaken before a network is loaded.

    Args:
        model: as the user named it; a factory may register methods, so that their names may not be known yet.
        device: where to compute.
        check: binds methods and options to a model.

    Raises:
        OptionError: this machine has no such device, or as ``check`` does.
        MethodNameError: as ``check`` does, if the name can be known.
    """
    move_to(nn.Identity(), device)
    try:
        check(nn.Identity())
    except MethodNameError:
        if not may_register_methods(model):
            raise


def check_loaded(classifier: Classifier, options: Mapping[str, object], targets: Targets, check: Callable[[nn.Module], object]) -> None:
    """Refuse what can be seen to be mistaken as soon as a network is loaded, before it runs.

    Args:
        classifier: the network.
        options: of the methods, by name.
        targets: which of its classes are asked for.
        check: binds methods and options to a model.

    Raises:
        SignxaiError: a layer or a class that there is not, a method that needs another network, or as ``check`` does.
    """
    check(classifier.model)
    check_layers(classifier.model, (), options)
    targets.check(classifier)


def check_layers(model: nn.Module, at: Sequence[str], options: Mapping[str, object]) -> None:
    """Refuse layers by name that a network has not; of an execution, as ``relu[0]``, the name before the brackets.

    Raises:
        OptionError: if it has not.
    """
    for name in at:
        find_module(unwrapped(model), _EXECUTION.sub("", name))
    if isinstance(layer := options.get("layer"), str):
        find_module(unwrapped(model), layer)
