"""How a command imports torch and what stands on it: once, for good."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importing_for_good"]


@contextmanager
def importing_for_good() -> Iterator[None]:
    """While a process imports torch for the first time, look for no garbage, and leave what was imported out of every later search for it.

    These imports make hundreds of thousands of objects that live to the end. Python would go through all of them again and again, while
    they are made and whenever an explanation has made some more: a fifth of the time of explaining a photo. Where torch is loaded already,
    nothing is changed, so that objects of whoever calls a command in a process of their own stay in reach.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
