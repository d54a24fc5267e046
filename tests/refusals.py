"""What a refusal must say."""

import pytest


def raises(error, *words):
    """The error's class, with every word (a regular expression, any case) in its message."""
    return pytest.raises(error, match="(?is)" + "".join(f"(?=.*(?:{word}))" for word in words))
