"""Gradient checkpointing left out: a checkpointed part runs once, where it is watched, instead of again in backward."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock

_MODULE = "torch.utils.checkpoint"


class _PlainCall:
    """Stands for ``CheckpointFunction`` (reentrant checkpoints)."""

    @staticmethod
    def apply(function: Callable[..., object], preserve_rng_state: bool, *args: object) -> object:
        return function(*args)


def _nothing_around(*args: object, **kwargs: object) -> Iterator[None]:
    """Stands for the generator that puts hooks around a call (checkpoints that are not reentrant)."""
    yield


_STAND_INS: dict[str, object] = {
    "CheckpointFunction": _PlainCall,
    "_checkpoint_without_reentrant_generator": _nothing_around,
    "_checkpoint_without_reentrant_generator_impl": _nothing_around,
}


class _Bypass:
    """Exchanges what ``torch.utils.checkpoint`` consists of, as long as anybody needs that, in any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._originals: dict[str, object] = {}

    @contextmanager
    def active(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                attributes = vars(sys.modules[_MODULE])
                self._originals = {name: attributes[name] for name in _STAND_INS if name in attributes}
                attributes.update({name: _STAND_INS[name] for name in self._originals})

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                vars(sys.modules[_MODULE]).update(self._originals)


_BYPASS = _Bypass()


def without_checkpoints() -> AbstractContextManager[None]:
    """While this is entered, ``torch.utils.checkpoint.checkpoint(f, x)`` is ``f(x)``; both give the same values."""
    return _BYPASS.active() if _MODULE in sys.modules else nullcontext()
