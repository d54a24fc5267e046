"""What a certificate says of the account of an LRP map: what is absorbed, where, and which operations have no rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from signxai.common.errors import ModelError, OptionError
from signxai.evidence.certificate_words import said_of_absorbed, said_of_all_absorbed, said_of_unknown
from signxai.evidence.certified_sample import Check, Place
from signxai.evidence.explaining import Explaining, Points
from signxai.evidence.verdicts import Verdicts
from signxai.inspecting import Report, Row, inspect_model
from signxai.names.spec import MethodSpec

__all__ = ["Account", "account_of"]

_ABSORBERS = {"absorbed_by_bias": "biases", "absorbed_by_stabilizer": "stabilizers", "absorbed_elsewhere": "elsewhere"}
_MOST_PLACES = 3
_NO_ACCOUNT = "Only LRP down to the input keeps an account of its relevance"


@dataclass(frozen=True)
class Account:
    """The account of one sample's map.

    Attributes:
        report: None where there is none.
        reason: why.
    """

    report: Report | None
    reason: str = ""

    def checks(self, verdicts: Verdicts) -> Iterator[Check]:
        """What is absorbed in all, and what biases, stabilizers and everything else absorb of it."""
        whole = 0.0 if self.report is None else self.report.relevance_at_output
        if self.report is None or whole == 0:
            reason = self.reason or "Relevance starts with a sum of 0, as that of one class less another: nothing has a share of it"
            yield from (verdicts.silent(name, reason) for name in ("absorbed", *_ABSORBERS))
            return
        explained = self.report.relevance_at_input / whole
        yield verdicts.judged("absorbed", 1 - explained, lambda _: said_of_all_absorbed(explained))
        for name, words in _ABSORBERS.items():
            yield _absorbed(name, words, getattr(self.report, name) / whole, explained, verdicts)

    def unknown(self, verdicts: Verdicts) -> Check:
        """The operations without a rule."""
        if self.report is None:
            return verdicts.silent("unknown_operations", self.reason)
        operations = self.report.unknown_operations
        return verdicts.judged("unknown_operations", float(len(operations)), lambda _: said_of_unknown(operations))

    @property
    def places(self) -> tuple[Place, ...]:
        """The operations that absorb most."""
        if self.report is None or self.report.relevance_at_output == 0:
            return ()
        places = [_place(row, self.report.relevance_at_output) for row in self.report.rows]
        largest = sorted(places, key=lambda place: abs(place.absorbed), reverse=True)
        return tuple(place for place in largest[:_MOST_PLACES] if place.absorbed)


def _absorbed(name: str, words: str, share: float, explained: float, verdicts: Verdicts) -> Check:
    return verdicts.judged(name, share, lambda _: said_of_absorbed(words, share, explained))


def _place(row: Row, whole: float) -> Place:
    parts = row.absorbed_by_bias / whole, row.absorbed_by_stabilizer / whole, row.absorbed_elsewhere / whole
    return Place(row.place, row.operation, row.rule, *parts)


def account_of(explaining: Explaining, row: int) -> Account:
    """The account of a sample's map, which the method has given already."""
    if not isinstance(explaining.method, str | MethodSpec):
        return Account(None, _NO_ACCOUNT)
    points = Points([row], {})
    try:
        report = inspect_model(
            *(explaining.model, explaining.inputs_of(points), explaining.method, explaining.target_at(row)), **explaining.options_at(points)
        )
    except OptionError:  # its options are right, or there would be no map: it is no LRP
        return Account(None, _NO_ACCOUNT)
    except ModelError as error:
        return Account(None, f"There is no account of this map: {error}")
    return Account(report)
