"""What the command line says of a model beside its name and its weights."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ModelOptions"]


@dataclass(frozen=True)
class ModelOptions:
    """See ``signxai explain --help``; None where nothing was said.

    Attributes:
        classes: the file that names the classes.
        size, mean, std: how pictures become the network's input, as it was written.
        preprocess: the same of Keras models, by the name that ``keras.applications`` has for it.
        trust: whether code in a file of Keras may run.
    """

    classes: Path | None = None
    size: str | None = None
    mean: str | None = None
    std: str | None = None
    preprocess: str | None = None
    trust: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that they name."""
        return () if self.classes is None else (self.classes,)

    def of_pictures(self) -> list[str]:
        """The options about pictures that were given, as they are written.

        >>> ModelOptions(size="224").of_pictures()
        ['--size']
        """
        given = {"--preprocess": self.preprocess, "--size": self.size, "--mean": self.mean, "--std": self.std}
        return [name for name, value in given.items() if value is not None]
