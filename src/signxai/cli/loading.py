"""The model that the command line's words mean, with the classes and the preparation of pictures that they say."""

import sys
from dataclasses import replace
from typing import cast

from signxai.class_names import read_class_names
from signxai.cli.model_options import ModelOptions
from signxai.common.errors import OptionError
from signxai.engine.module_names import is_keras
from signxai.keras_input import Preprocessing, picture_input_of
from signxai.models import Classifier, load_classifier
from signxai.picture_input import PictureInput, PictureSize, read_channels

__all__ = ["loaded"]


def loaded(model: str, weights: str, options: ModelOptions, seed: int) -> Classifier:
    """The model, with what the options say of its classes and of pictures.

    Raises:
        SignxaiError: as ``load_classifier`` does, or options that contradict the model or each other; these are read first.
        OSError: a file cannot be opened.
    """
    names = None if options.classes is None else read_class_names(options.classes)
    size = None if options.size is None else PictureSize.read(options.size)
    mean, std = _channels(options)
    if options.preprocess is not None and mean:
        raise OptionError(
            f"--preprocess {options.preprocess}: says by what values are normalized, as --mean and --std do; give one of them"
        )
    classifier = load_classifier(model, weights, class_names=names, seed=seed, progress=sys.stderr.isatty(), trust=options.trust)
    return _with_pictures(classifier, size, mean, std, options) if options.of_pictures() else classifier


def _channels(options: ModelOptions) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, if they are given: both of them, or none."""
    if (options.mean is None) != (options.std is None):
        given, other = ("--mean", "--std") if options.std is None else ("--std", "--mean")
        raise OptionError(f"{given}: goes with {other}; give both (a mean of 0 and a standard deviation of 1 leave values as they are)")
    if options.mean is None or options.std is None:
        return (), ()
    return read_channels("--mean", options.mean, may_be_zero=True), read_channels("--std", options.std)


def _with_pictures(
    classifier: Classifier, size: PictureSize | None, mean: tuple[float, ...], std: tuple[float, ...], options: ModelOptions
) -> Classifier:
    """The classifier with a preparation of pictures that is made of the options; nothing of its own is kept unless it is known."""
    if is_keras(classifier.model) and classifier.preprocess is None:
        return _with_keras_pictures(classifier, size, mean, std, options)
    if options.preprocess is not None:
        brings = "brings a preparation of its own" if is_keras(classifier.model) else "is none of Keras"
        raise OptionError(f"--preprocess {options.preprocess}: is for Keras models, and this one {brings}; give --size, --mean and --std")
    if classifier.signal_input is not None and classifier.preprocess is None:
        raise OptionError(f"{options.of_pictures()[0]}: prepares pictures, and this network takes signals; leave it out")
    if classifier.preprocess is not None and size is None:
        raise OptionError(
            f"{options.of_pictures()[0]}: replaces the whole preparation of pictures that this model brings, so give --size as well"
        )
    if classifier.preprocess is not None and not mean and not classifier.mean:
        raise OptionError(
            "--size: replaces the whole preparation of pictures that this model brings, and it does not say by what it normalizes; give "
            "--mean and --std as well"
        )
    mean, std = (mean, std) if mean else (tuple(classifier.mean), tuple(classifier.std))
    prepare = PictureInput(size, mean, std)
    instead = ", instead of as this model brings it" if classifier.preprocess is not None else ""
    shown = (mean, std) if mean else ((0.0,) * 3, (1.0,) * 3)
    return replace(classifier, preprocess=prepare, mean=shown[0], std=shown[1], preparation=f"pictures: {prepare}{instead}")


def _with_keras_pictures(
    classifier: Classifier, size: PictureSize | None, mean: tuple[float, ...], std: tuple[float, ...], options: ModelOptions
) -> Classifier:
    """A Keras model with the preparation of pictures that the options and its input's shape say."""
    if options.preprocess is None and not mean:
        raise OptionError(
            "--size: does not say which numbers this Keras model takes; give --preprocess (caffe, tf, torch or none), or --mean "
            "and --std (0 and 1 for values from 0 to 1)"
        )
    prepare = picture_input_of(classifier.model, cast("Preprocessing", options.preprocess or ""), size, mean, std)
    shown = prepare.undone_by
    return replace(classifier, preprocess=prepare, mean=shown[0], std=shown[1], preparation=f"pictures: {prepare}")
