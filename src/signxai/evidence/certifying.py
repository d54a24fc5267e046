"""Certifying explanations: may this map of this decision be trusted?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from signxai.evidence.accounted import Account, account_of
from signxai.evidence.certificate import Certificate
from signxai.evidence.certificate_words import said_of_cancellation
from signxai.evidence.certified_gain import Removing, of_removing
from signxai.evidence.certified_maps import among_others, in_double_precision, of_random_networks, of_the_runner_up
from signxai.evidence.certified_sample import CertifiedSample, Check
from signxai.evidence.criteria import thresholds_with
from signxai.evidence.explained_sample import ExplainedSample
from signxai.evidence.explaining import Explaining, Method, Points
from signxai.evidence.options import FloatArray, count
from signxai.evidence.parts import Key
from signxai.evidence.turned_rows import other_start
from signxai.evidence.verdicts import Verdicts
from signxai.methods.explainer import spec_of
from signxai.names.spec import MethodSpec

__all__ = ["Certification", "certify"]


def certify(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    thresholds: Mapping[str, float] | None = None,
    srg: bool = True,
    srg_steps: int = 10,
    unit: Any = None,
    imputer: Any = None,
    class_names: Sequence[str] = (),
    **options: Any,
) -> Certificate:
    """Say by numbers with limits how far each map of a method may be trusted; ``signxai.evidence.CRITERIA`` has the checks.

    Args:
        model, x, target_class: as for ``signxai.explain``. The model is copied where another one is needed, never changed.
        method_name: a method's name, or a function of model, input and target that returns a map.
        thresholds: other limits than those of ``CRITERIA``, by the names of the checks.
        srg: whether to measure the symmetric relevance gain, which takes ``22 * srg_steps`` forward passes for each sample; all else
            together costs less than 40 gradients of one.
        srg_steps: of its curves.
        unit, imputer: what is removed for it at once and what stands there, as for ``signxai.evidence.srg``. None: of pictures and volumes
            patches of a sixteenth of their larger side, with the channel's mean; of signals (N, leads, T) a fiftieth of the time, with
            straight lines; of lists each value, with their mean.
        class_names: by class, for the sentences; empty: classes are numbered.
        **options: of the method, and ``RunOptions``. ``seed=`` is also that of random parameters and maps.

    Returns:
        The certificate of all samples, each of which is judged by itself: what it says of a sample is what it says of that alone.

    Raises:
        OptionError: for an unknown check or option.
        SignxaiError: as ``explain`` does. What is not to be had of this network or map, as a copy in double precision, is a check that says
            so, without a verdict.

    >>> import torch
    >>> model = torch.nn.Linear(2, 2)
    >>> _ = torch.nn.init.constant_(model.weight, 1.0), torch.nn.init.constant_(model.bias, 1.0)
    >>> certificate = certify(model, torch.tensor([[1.0, 2.0]]), "lrp_z", 0, srg=False)
    >>> certificate.checks["absorbed_by_bias"].sentence
    '25 % of the relevance is absorbed by biases before it reaches the input: the map explains 75 % of the decision'
    """
    removing = Removing(unit, imputer, count("srg_steps", srg_steps) if srg else 0)
    certification = Certification(model, x, method_name, target_class, thresholds, removing, options, class_names)
    return Certificate(certification.method, tuple(map(certification.sample, range(certification.samples))))


class Certification:
    """The making of a certificate, sample by sample and check by check.

    Args:
        model, x, method_name, target_class, thresholds, options: as for ``certify``.
        removing: how units are removed.
        class_names: as for ``certify``.

    Attributes:
        method: the method's name.
        samples: how many there are.

    Raises:
        SignxaiError: as ``certify`` does.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Any,
        method_name: Method,
        target_class: Any,
        thresholds: Mapping[str, float] | None,
        removing: Removing,
        options: Mapping[str, Any],
        class_names: Sequence[str] = (),
    ) -> None:
        self._class_names = class_names
        self._verdicts, self._removing = Verdicts(thresholds_with(thresholds)), removing
        self._spec = spec_of(method_name) if isinstance(method_name, str | MethodSpec) else None
        self._explaining = Explaining(model, x, method_name, target_class, options)
        if removing.steps:
            removing.check(self._explaining.parts, self._explaining.channel_axes)
        self.method = str(self._spec) if self._spec else getattr(method_name, "__name__", type(method_name).__name__)
        self.samples = self._explaining.samples

    def maps(self, row: int) -> Mapping[Key, FloatArray]:
        """The maps of a sample alone (1, ...), which is what is certified, by the key of each input."""
        return self._explaining.maps_at_once(Points([row], {}))

    def sample(self, row: int) -> CertifiedSample:
        """The certificate of a sample."""
        *_, whole = self.growing(row)
        return whole

    def growing(self, row: int) -> Iterator[CertifiedSample]:
        """The certificate of a sample, each time with a check more."""
        sample = ExplainedSample.of(self._explaining, row, self._verdicts, self._class_names)
        account = account_of(self._explaining, row)
        turned, start = sample.has_turned_signs, other_start(self._explaining)
        certified = CertifiedSample(row, sample.target_in_words, places=account.places, signs_turned=turned, other_start=start)
        for check in self._checks(sample, account):
            certified = replace(certified, checks=(*certified.checks, check))
            yield certified

    def _checks(self, sample: ExplainedSample, account: Account) -> Iterator[Check]:
        yield from account.checks(self._verdicts)
        yield _cancellation(sample, self._spec)
        yield in_double_precision(sample)
        yield account.unknown(self._verdicts)
        yield among_others(sample)
        yield of_the_runner_up(sample)
        yield from of_random_networks(sample)
        yield of_removing(sample, self._removing)


def _cancellation(sample: ExplainedSample, spec: MethodSpec | None) -> Check:
    """How much of the map its own signs take away."""
    size, total = float(np.abs(sample.map).sum()), abs(float(sample.map.sum()))
    if not size:
        return sample.verdicts.failed("cancellation", "The map is zero everywhere: it explains nothing")
    value = size / total if total else math.inf
    if spec is None or not _shares_out(spec):
        return sample.verdicts.silent(
            "cancellation", "The map's values are no shares of the decision: nothing is promised of their sum", value
        )
    return sample.verdicts.judged("cancellation", value, lambda _: said_of_cancellation(value))


_TIMES_INPUT = ("gradient", "smoothgrad")
_SHARES = ("input_t_gradient", "integrated_gradients", "deep_taylor")


def _shares_out(spec: MethodSpec) -> bool:
    """Whether the map's values are shares of the decision by the method's definition; SIGN's, which take no account of sizes, are none.

    >>> from signxai.names.grammar import parse_method
    >>> [_shares_out(parse_method(name)) for name in ("lrp_z", "lrpsign_z", "gradient", "gradient_x_input", "lrp_z_x_sign")]
    [True, False, False, True, False]
    """
    kinds = [multiplier.kind for multiplier in spec.multipliers]
    if spec.method in _TIMES_INPUT:
        return kinds == ["input"]
    return not kinds and (spec.method in _SHARES or (spec.rule is not None and spec.method != "lrpsign"))
