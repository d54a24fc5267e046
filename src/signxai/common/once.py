"""An attribute that is computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")


class computed_once(Generic[Value]):  # noqa: N801, as functools.cached_property
    """``functools.cached_property`` without the lock that it takes up to Python 3.11, which costs more than small attributes.

    Args:
        compute: gives the value, which is kept in the instance's ``__dict__``; two threads may both compute it.

    >>> class Circle:
    ...     radius = 2.0
    ...
    ...     @computed_once
    ...     def diameter(self):
    ...         print("computing")
    ...         return 2 * self.radius
    >>> circle = Circle()
    >>> circle.diameter, circle.diameter
    computing
    (4.0, 4.0)
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> computed_once[Value]: ...

    @overload
    def __get__(self, owner: object, kind: type) -> Value: ...

    def __get__(self, owner: object, kind: type) -> computed_once[Value] | Value:
        if owner is None:
            return self
        value = owner.__dict__[self._name] = self._compute(owner)
        return value
