"""Where in a model an operation was called: the module, by its name in the model, and the line of code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import TypeVar

import torch
from torch import nn

from signxai.engine.module_names import folder_of_keras, is_keras_operation, name_within, names_by_id

_TORCH = str(Path(torch.__file__).parent)
_SIGNXAI = str(Path(__file__).parents[1])

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., object])

_DOORS: set[CodeType] = set()


def door(function: AnyFunction) -> AnyFunction:
    """Mark a function that calls the model: what stands above it on the call stack is none of the model's."""
    _DOORS.add(function.__code__)
    return function


@dataclass(frozen=True)
class Place:
    """A place in a model.

    Attributes:
        module: name of the innermost module, or operation of a Keras model, that was being executed; "" for the model itself.
        module_type: its class.
        line: ``file.py:line`` of the model's own code, or "" where only modules of torch or layers of Keras called.
    """

    module: str
    module_type: str
    line: str

    def __str__(self) -> str:
        named = f"{self.module} ({self.module_type})" if self.module else self.module_type
        return f"{named}, {self.line}" if self.line else named


def place_of_call(names: dict[int, str] | None = None) -> Place:
    """The place that is being executed now, read from the call stack.

    Args:
        names: names of modules by ``id``; None: looked up in the outermost module that is being executed.
    """
    modules: list[nn.Module] = []
    operation: object = None
    line = ""
    libraries = (_TORCH, _SIGNXAI, *folder_of_keras())
    for frame in _frames_of_model():
        owner: object = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and (not modules or modules[-1] is not owner):
            modules.append(owner)
        elif not modules and operation is None and is_keras_operation(owner):
            operation = owner
        if not line and not frame.f_code.co_filename.startswith(libraries):
            line = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
    if not modules:
        return Place("", "", line)
    if names is None:
        names = names_by_id(modules[-1])
    if operation is not None:
        return Place(name_within(names.get(id(modules[0]), ""), operation), type(operation).__name__, line)
    return Place(names.get(id(modules[0]), ""), type(modules[0]).__name__, line)


def _frames_of_model() -> list[FrameType]:
    """The frames between the call of the model and here, innermost first."""
    frames = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code not in _DOORS:
        frames.append(frame)
        frame = frame.f_back
    return frames
