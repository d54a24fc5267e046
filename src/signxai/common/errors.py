"""Every exception that signxai raises on its own account, in one tree."""

import collections.abc


class SignxaiError(Exception):
    """Root of all errors that signxai raises; catch it to catch them all."""


class MethodNameError(SignxaiError, ValueError):
    """A method name that the grammar does not know; the message names the wrong token and the nearest methods."""


class OptionError(SignxaiError, TypeError, ValueError):
    """An option that the method does not take, that its name already sets, or whose value is not allowed."""


class UnknownOptionError(OptionError):
    """An option that nothing takes.

    Attributes:
        known: the options that there are, which the message ends with.
    """

    def __init__(self, message: str, known: collections.abc.Iterable[str] = ()) -> None:
        self._head, self.known = message, tuple(sorted(known))
        super().__init__(self.without())

    def without(self, names: collections.abc.Collection[str] = ()) -> str:
        """The message, of which some options are left out."""
        left = [name for name in self.known if name not in names]
        return f"{self._head}{', '.join(left) or 'none'}" if self.known else self._head


class TargetError(SignxaiError, ValueError, TypeError):
    """A target class out of range, of the wrong length, or not an integer."""


class InputError(SignxaiError, ValueError, TypeError):
    """An input without a batch axis, of the wrong shape or type, empty, or with NaN or infinity in it."""


class ModelError(SignxaiError, ValueError, TypeError):
    """A model that cannot be explained in the way asked for; the message says what to do about it."""


class ForwardError(ModelError, InputError):
    """The model's forward failed on this input: either may be at fault; the original error is the ``__cause__``."""


class StoreError(SignxaiError, ValueError):
    """A store of relevance maps that is of another run, of a newer version, broken, or in use."""


class MapError(SignxaiError, ValueError):
    """A relevance map that another package refuses; the message says what it is like and what to do."""


class MissingPackageError(SignxaiError, ImportError):
    """A package that is not installed; the message names the extra that it comes with."""
