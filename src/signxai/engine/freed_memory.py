"""Keeps the memory of activations in the process from one pass to the next."""

from __future__ import annotations

import sys

import torch

_LARGEST_KEPT = (1 << 25) - (1 << 16)
"""Just below what glibc's threshold may rise to: 32 MiB with the block's own header."""


def keep_freed_memory() -> None:
    """Let the C library keep what tensors of up to 32 MiB free, up to 64 MiB, instead of giving it back to the system at once.

    glibc hands freed memory back beyond a threshold that rises with the largest block freed so far (mallopt(3),
    M_MMAP_THRESHOLD). Where blocks are small, as with signals, it takes and gives back the same pages at every pass, which
    can take longer than the arithmetic. A block that is freed without ever having been touched raises the threshold; taken before every
    call, not once, it leaves fewer pages to be taken anew.
    """
    if sys.platform == "linux":
        torch.empty(_LARGEST_KEPT, dtype=torch.uint8, device="cpu")
