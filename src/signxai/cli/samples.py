"""The samples of a command that needs all of its inputs: of a network with one input or with several, from whatever files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from signxai.cli.decisions import Inputs, Targets
from signxai.cli.failures import Failure
from signxai.cli.input_files import read_inputs, told_of
from signxai.cli.model_options import ModelOptions
from signxai.cli.several_inputs import SeveralInputs, SeveralOptions, read_several
from signxai.cli.signal_files import SignalOptions, are_signals, read_readable
from signxai.models import Classifier

__all__ = ["Samples", "read_samples"]


@dataclass(frozen=True)
class Samples:
    """What goes into the network.

    Attributes:
        names: (N) of the samples.
        x: (N, ...), or by keyword of a network with several inputs.
        files: (N) the number of the file that each is of; 0 for all of several inputs.
        notices: what is to be known of the network, of what was read, and of what was not used as one might think.
        several: of several inputs, what is said of them.
        failures: the files that could not be read.
        places: (N) the number of each sample among all that were given, where there are failures; none: it cannot be told, as of signals
            with several beats in each.
    """

    names: list[str]
    x: Inputs
    files: list[int]
    notices: Sequence[str]
    several: SeveralInputs | None = None
    failures: Sequence[Failure] = ()
    places: Sequence[int] = ()

    def targets(self, given: Targets) -> Targets:
        """Those of the classes, one for each input, that are of the inputs that were read.

        Raises:
            OptionError: it cannot be told which these are.
        """
        if self.places:
            return given.at(self.places, len(self.names) + len(self.failures), self.failures)
        return given.unless(self.failures)

    @property
    def forward(self) -> Mapping[str, object] | None:
        """What is passed on to the network."""
        return None if self.several is None else self.several.forward or None

    @property
    def options(self) -> Mapping[str, object]:
        """What ``signxai.explain`` is told beside the samples."""
        return {} if self.several is None else self.several.options

    @property
    def explained(self) -> Mapping[str, object]:
        """Which of several inputs get relevance, if that was said."""
        return {} if self.several is None or self.several.explained is None else {"explained": self.several.explained}


def read_samples(
    paths: Sequence[Path], several: SeveralOptions, signals: SignalOptions, own: ModelOptions, classifier: Classifier
) -> Samples:
    """Read them, as one batch; of files that stand for themselves those that can be read, if there is one.

    Raises:
        SignxaiError: one of several inputs cannot be read, or no file; inputs do not fit together, or an option does not go with them.
        OSError: a file cannot be opened.
    """
    found = read_several(paths, several, signals, classifier)
    if found:
        notices = [*told_of(classifier, own, bool(found.pictures)), *found.said()]
        return Samples(found.names, found.arrays, [0] * len(found.names), notices, found, found.failures)
    if are_signals(paths, signals):
        of_model = told_of(classifier, own, pictures=False)
        recorded = read_readable(paths, classifier, signals)
        batch = recorded.batch
        return Samples(batch.names, batch.x, recorded.files, [*of_model, *batch.notices], None, recorded.failures)
    read = read_inputs(paths, classifier, may_fail=True)
    files = [paths.index(path) for path in read.paths]
    notices = [*told_of(classifier, own, read.pictures), *read.notices]
    return Samples(read.names, read.x, files, notices, None, read.failures, read.places)
