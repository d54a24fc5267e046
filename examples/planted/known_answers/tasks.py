"""All tasks, those in pictures first."""

from __future__ import annotations

from known_answers import pictures, signals

TASKS = (*pictures.TASKS, *signals.TASKS)
IS_AT_ZERO = ("absent cause", "near zero")
"""Where the cause lies, inputs of these tasks are near zero."""
