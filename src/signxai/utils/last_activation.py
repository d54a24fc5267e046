"""``remove_softmax``: a Keras model without its last activation, or a PyTorch model without its softmax."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

from torch import nn

from signxai.common.errors import ModelError
from signxai.engine import prediction

# Layers of Keras that are an activation and nothing else, by class.
_ACTIVATION_LAYERS = ("Activation", "Softmax", "ReLU", "LeakyReLU", "ELU")


def remove_softmax(model: nn.Module) -> Any:
    """Copy a model without its last activation; the model is untouched.

    Args:
        model: a Keras model (sequential or functional): the activation of each layer that gives an output is taken off, whichever it is.
            Any other ``torch.nn.Module``: as ``signxai.torch_signxai.utils.remove_softmax``.

    Returns:
        A Keras model for a Keras model, with the same weights; else a ``NoSoftmaxWrapper``.

    Raises:
        ModelError: if a Keras model cannot be rebuilt from its layers (a subclassed one, or one with a layer that models within it share),
            if its last layer's activation has weights of its own, or if that layer also runs elsewhere in the model, where something reads
            it.

    >>> import torch
    >>> remove_softmax(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1)))(torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """
    keras: Any = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        return prediction.remove_softmax(model)
    return _without_last_activation(model, keras)


def _without_last_activation(model: Any, keras: Any) -> Any:
    if not _is_rebuilt(model, keras):
        raise ModelError(
            f"{type(model).__name__} is a subclassed Keras model, which cannot be rebuilt from its layers; return the logits from its "
            "call, or give it to signxai.explain as it is, which takes a softmax or sigmoid off by itself"
        )
    if not model.built:
        raise ModelError("the Keras model is not built; call it once, or give it an Input, before its last activation is taken off")
    _refuse_read_elsewhere(model, keras)
    last = _last_layers(model, keras)
    shorter = model if isinstance(model, keras.Sequential) else _without_last_activation_layers(model, keras)

    def copied(layer: Any) -> Any:
        if not any(layer is other for other in last):
            return layer.__class__.from_config(layer.get_config())
        return _without_last_activation(layer, keras) if isinstance(layer, keras.Model) else _linear(layer, keras)

    clone = keras.models.clone_model(shorter, clone_function=copied)
    if len(clone.variables) != len(shorter.variables):
        raise ModelError(
            "a layer of the Keras model also stands in a model or wrapper within it, and the copy would have two of it; give the model to "
            "signxai.explain as it is, which takes a softmax or sigmoid off by itself"
        )
    for own, other in zip(clone.variables, shorter.variables, strict=True):
        own.assign(other.value)
    for own, other in zip(clone.layers, shorter.layers, strict=True):
        own.trainable = other.trainable
    return clone


def _without_last_activation_layers(model: Any, keras: Any) -> Any:
    """A functional model that ends before the layers that are an activation alone; it shares its layers with ``model``."""

    def before(tensor: Any) -> Any:
        history = tensor._keras_history
        if type(history.operation).__name__ not in _ACTIVATION_LAYERS:
            return tensor
        return history.operation._inbound_nodes[history.node_index].input_tensors[0]

    return keras.Model(model.input, keras.tree.map_structure(before, model.output), name=model.name)


def _last_layers(model: Any, keras: Any) -> list[Any]:
    """The layers that give the outputs, of a functional model without those that are an activation alone."""
    if isinstance(model, keras.Sequential):
        return [model.layers[-1]]
    operations = [output._keras_history.operation for output in model.outputs]
    return [operation for operation in operations if type(operation).__name__ not in _ACTIVATION_LAYERS]


def _refuse_read_elsewhere(model: Any, keras: Any) -> None:
    """Refuse a model in which a layer whose activation is taken off runs at another place, too, where something reads what it gives."""
    changed = {id(layer) for layer in _changed(model, keras)}
    for layer, reader in _runs(model, keras, ""):
        if reader and id(layer) in changed:
            raise ModelError(
                f"the last layer {layer.name!r} is also read by {reader!r}, which would read something else without "
                "its activation; give the model to signxai.explain as it is, which takes a softmax or sigmoid off by itself"
            )


def _changed(model: Any, keras: Any) -> Iterator[Any]:
    """The layers that compute something else without the last activation, and the models within that do."""
    for layer in _last_layers(model, keras):
        if not _is_rebuilt(layer, keras):
            yield from [layer] if _has_activation(layer, keras) else []
            continue
        within = list(_changed(layer, keras))
        ends = [] if isinstance(layer, keras.Sequential) else [output._keras_history.operation for output in layer.outputs]
        yield from within
        if within or any(type(operation).__name__ in _ACTIVATION_LAYERS for operation in ends):
            yield layer


def _runs(model: Any, keras: Any, reader: str) -> Iterator[tuple[Any, str]]:
    """Each place where a layer runs, and the name of what reads it there; "": it gives an output, which nothing reads.

    Args:
        model: a sequential or functional model.
        keras: the package.
        reader: what reads the model's own outputs.
    """
    for layer, reads in _places(model, keras, reader):
        yield layer, reads
        if _is_rebuilt(layer, keras):
            yield from _runs(layer, keras, reads)
        elif isinstance(layer, keras.Layer):
            yield from ((inner, layer.name) for inner in layer._flatten_layers(include_self=False))


def _places(model: Any, keras: Any, reader: str) -> Iterator[tuple[Any, str]]:
    """The same of the layers that the model itself calls."""
    if isinstance(model, keras.Sequential):
        yield from zip(model.layers, [*(layer.name for layer in model.layers[1:]), reader], strict=True)
        return
    nodes = list(itertools.chain.from_iterable(model._nodes_by_depth.values()))
    readers = {_origin(tensor): node.operation.name for node in nodes for tensor in node.input_tensors}
    for node in nodes:
        yield node.operation, readers.get(_origin(node.outputs[0]), reader)


def _origin(tensor: Any) -> tuple[int, int]:
    """Which call of which layer gave a tensor of a functional model."""
    return id(tensor._keras_history.operation), tensor._keras_history.node_index


def _is_rebuilt(layer: Any, keras: Any) -> bool:
    """Whether a layer is a model that can be rebuilt from its layers."""
    return isinstance(layer, keras.Sequential) or (isinstance(layer, keras.Model) and hasattr(layer, "operations"))


def _has_activation(layer: Any, keras: Any) -> bool:
    activation = getattr(layer, "activation", None)
    return type(layer).__name__ in _ACTIVATION_LAYERS or (activation is not None and activation is not keras.activations.linear)


def _linear(layer: Any, keras: Any) -> Any:
    """The same layer, new, with no activation; a layer that is an activation alone becomes one that does nothing."""
    if type(layer).__name__ == "PReLU":
        raise ModelError(f"the last layer {layer.name!r} is a PReLU, which has weights of its own; build the model without it")
    if type(layer).__name__ in _ACTIVATION_LAYERS:
        return keras.layers.Activation("linear", name=layer.name, dtype=layer.dtype_policy)
    if isinstance(layer, keras.layers.TimeDistributed) and _has_activation(layer.layer, keras):
        raise ModelError(
            f"the last layer {layer.name!r} runs {layer.layer.name!r}, which has the activation, at each step; build the model with its "
            "activation in a layer behind it, or give it to signxai.explain as it is, which takes a softmax or sigmoid off by itself"
        )
    copy = layer.__class__.from_config(layer.get_config())
    if _has_activation(layer, keras):
        copy.activation = keras.activations.linear
    return copy
