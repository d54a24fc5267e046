"""The engine: runs a network under a mode that watches every operation, and gives each its backward pass (see ``mode``)."""

from signxai.engine import ops as ops  # the rules enter their tables when their modules are imported
