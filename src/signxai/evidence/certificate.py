"""What a certificate is: for each sample some checks, each with its limit, where it comes from, and a sentence for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signxai.common.errors import OptionError
from signxai.evidence.certificate_pages import page_of_one, page_of_several, values_of
from signxai.evidence.certified_sample import CertifiedSample, Check
from signxai.evidence.criteria import CRITERIA, criterion_named
from signxai.evidence.options import FloatArray

__all__ = ["Certificate"]


@dataclass(frozen=True)
class Certificate:
    """What is known of some explanations: print it, index it (``certificate[0]``), or take it apart by ``.to_dict()``.

    Attributes:
        method: the method's name.
        samples: what is certified of each.
    """

    method: str
    samples: tuple[CertifiedSample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int | slice) -> Certificate:
        """The certificate of one sample, or of those of a slice.

        Raises:
            OptionError: if a slice has none.
        """
        if not isinstance(number, slice):
            return Certificate(self.method, (self.samples[number],))
        if not self.samples[number]:
            raise OptionError(f"the slice {number.start}:{number.stop}:{number.step} has none of the {len(self)} samples")
        return Certificate(self.method, self.samples[number])

    def __iter__(self) -> Iterator[Certificate]:
        return (self[number] for number in range(len(self)))

    @property
    def checks(self) -> Mapping[str, Check]:
        """The checks of the one sample by name.

        Raises:
            OptionError: if there are several samples; index one.
        """
        if len(self) != 1:
            raise OptionError(f"checks are of one sample, and this certificate has {len(self)}: take that of one, as certificate[0].checks")
        return {check.name: check for check in self.samples[0].checks}

    def values(self, name: str) -> FloatArray:
        """What a check measured of each sample (N,); NaN where it measured nothing.

        Raises:
            OptionError: if there is no such check.
        """
        return values_of(self.samples, criterion_named(name))

    @property
    def is_partial(self) -> bool:
        """Whether checks of a sample are missing, because the work was interrupted."""
        return any(sample.is_partial for sample in self.samples)

    @property
    def passed(self) -> bool:
        """Whether every check that says something of a map passed, and none is missing."""
        return not self.lacking("all")

    def lacking(self, required: str | Collection[str]) -> list[str]:
        """The required checks that are not there, name by name, each with the sample and the reason.

        Args:
            required: names of checks, which must pass for every sample; or "all": none of the checks may fail, and none be missing, while
                those that say nothing of a map do not count.

        Raises:
            OptionError: if there is no such check.
        """
        names = list(CRITERIA) if required == "all" else [criterion_named(name) for name in _listed(required)]
        allowed = (True, None) if required == "all" else (True,)
        return [reason for sample in self.samples for reason in _reasons(sample, names, allowed)]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts, lists, strings and numbers."""
        samples = [sample.to_dict() for sample in self.samples]
        return {"method": self.method, "passed": self.passed, "is_partial": self.is_partial, "samples": samples}

    def __str__(self) -> str:
        return page_of_one(self.method, self.samples[0]) if len(self) == 1 else page_of_several(self.method, self.samples)


def _listed(names: str | Collection[str]) -> Collection[str]:
    return [names] if isinstance(names, str) else names


def _reasons(sample: CertifiedSample, names: Sequence[str], allowed: Collection[bool | None]) -> Iterator[str]:
    found = {check.name: check for check in sample.checks}
    for name in names:
        if name not in found:
            yield f"{name} of sample {sample.number} is missing: the work was interrupted"
        elif found[name].passed not in allowed:
            yield f"{name} of sample {sample.number}: {found[name].sentence}"
