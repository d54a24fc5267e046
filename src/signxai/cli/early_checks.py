"""What is told before seconds go into loading a network or running it: options that cannot be, and layers that there are not."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from torch import nn

from signxai.cli.decisions import Targets
from signxai.cli.input_files import check_has_pictures
from signxai.cli.model_options import ModelOptions
from signxai.cli.several_inputs import SeveralOptions, check_several, may_hold_several
from signxai.cli.shared_options import may_register_methods
from signxai.cli.signal_files import SignalOptions, are_signals
from signxai.common.errors import MethodNameError, OptionError
from signxai.engine.model_loan import unwrapped
from signxai.engine.module_names import find_module
from signxai.files import ARRAY_SUFFIXES
from signxai.models import Classifier, move_to

__all__ = ["check_files", "check_first", "check_layers", "check_loaded", "check_options_of_methods"]

_SET_OTHERWISE = ("seed", "relevance", "output", "as_tensor", "at", "explained", "forward_kwargs")
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


def check_files(paths: Sequence[Path], several: SeveralOptions, signals: SignalOptions, own: ModelOptions) -> bool | None:
    """Refuse options that do not go with the files, as far as the names of the files tell it.

    Args:
        paths: the inputs.
        several, signals, own: what was said of several inputs, of signals and of pictures.

    Returns:
        Whether they are signals; None: that is not known yet, as the files or some of them may be of several inputs.

    Raises:
        OptionError: some are signals and others are not, or an option is about what none of them is.
    """
    if several.files or any(map(may_hold_several, paths)):
        return None
    check_several(several)
    found = are_signals(paths, signals)
    check_has_pictures(own, not found and any(path.suffix.lower() not in ARRAY_SUFFIXES for path in paths))
    return found


def check_options_of_methods(options: Collection[str], command: str) -> None:
    """Refuse options of methods that a command sets by options of its own, or not at all.

    Raises:
        OptionError: there is one.
    """
    for name in _SET_OTHERWISE:
        if name in options:
            raise OptionError(f"--option {name}=: this one cannot be set here; `signxai {command} --help` has the options")


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
