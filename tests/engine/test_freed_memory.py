"""Activations of one pass take the memory that those of the last have freed, instead of new pages from the system."""

import platform

import pytest

from processes import printed

BLOCKS = """
import ctypes
import torch
from signxai import explain

class Info(ctypes.Structure):  # malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Info

def mapped_anew(mebibytes):
    before = mallinfo().hblks
    block = torch.empty(mebibytes << 20, dtype=torch.uint8)
    return mallinfo().hblks - before, block

first, block = mapped_anew(16)
explain(torch.nn.Linear(2, 2), torch.ones(1, 2), "gradient", 0)
then = [mapped_anew(size)[0] for size in (16, 31)]
print(first, *then)
"""


def _has_mallinfo2() -> bool:
    library, version = platform.libc_ver()
    return library == "glibc" and tuple(map(int, version.split("."))) >= (2, 33)


@pytest.mark.slow
@pytest.mark.skipif(not _has_mallinfo2(), reason="glibc 2.33 says which blocks it takes from the system")
def test_large_blocks_come_from_memory_that_is_kept():
    assert printed(BLOCKS).split() == ["1", "0", "0"]
