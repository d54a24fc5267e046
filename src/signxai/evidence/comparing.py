"""Methods compared by evidence: each explains the same decisions, and metrics judge all of them by the same draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from signxai.common.errors import InputError, ModelError, SignxaiError
from signxai.evidence.compared_scores import MetricCurves
from signxai.evidence.comparison import Comparison
from signxai.evidence.comparison_plan import ChosenMetric, Contestant, Metrics, contestants_of, metrics_of
from signxai.evidence.comparison_settings import settings_of_comparison
from signxai.evidence.curves import Curve, perturbation_curves
from signxai.evidence.decision import Decided, Decision, deciding
from signxai.evidence.explaining import Explaining, Method
from signxai.evidence.faithfulness import sensitivity_n_curve
from signxai.evidence.options import FloatArray, RunOptions, Unpack, count
from signxai.evidence.parts import Key, flat, maps_of
from signxai.evidence.randomization import randomization_curves
from signxai.evidence.rehearsing import rehearsed
from signxai.evidence.remembered import RememberingDecision
from signxai.evidence.similarities import average_ranks, pearson
from signxai.evidence.statistics import group_names, group_numbers, require_statistics
from signxai.evidence.turned_rows import turned_rows, turns
from signxai.methods.explainer import explainer_for
from signxai.names.grammar import MethodSpec

__all__ = ["Progress", "agreement_of", "check_comparison", "compare_methods"]

Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Is told what is computed next, how many pieces of work are done, and how many there are."""


def compare_methods(
    model: nn.Module,
    x: Any,
    method_names: Sequence[str | MethodSpec] | Mapping[str, Method],
    target_class: Any = None,
    *,
    metrics: Metrics | None = None,
    groups: Sequence[Any] | None = None,
    masks: Any = None,
    metric_options: Mapping[str, Any] | None = None,
    method_options: Mapping[str, Any] | None = None,
    draws: int = 2000,
    timed: bool = True,
    keep_partial: bool = False,
    progress: Progress | None = None,
    **run: Unpack[RunOptions],
) -> Comparison:
    """Compare methods by metrics on the same samples: means, intervals, paired tests, ranks, costs, and how alike their maps are.

    The methods share what they can: the target is settled once; each map is computed once, for all metrics that take a map; a point that
    metrics remove units from is run once, whichever metric and method asks for it, so that random subsets, which are the same for all
    methods, cost what they cost for one; and the random models of MPRT are drawn once. Orders of removal differ, so SRG and its kind cost
    their forward passes for each method.

    Args:
        model, x, target_class: as for ``signxai.explain``; of ``x`` and of each method all maps are held at once.
        method_names: names, or a mapping from a label to a name or to a function of model, input and target that returns maps.
            ``random_uniform``, which any useful method must beat, is added if it is not among them.
        metrics: names, or a mapping from names to options of each; None: ``DEFAULT_METRICS``, and "relevance_rank" with masks.
        groups: what each sample belongs to, such as its patient: samples of a group are not independent, so that intervals draw whole
            groups, and tests compare the means of groups.
        masks: where relevance should lie, for metrics of localization, as for ``pointing_game``.
        metric_options: options that go to each metric that takes them: ``unit=``, ``imputer=``, ``steps=``, ``score=``, ...
        method_options: options that go to each method that takes them, as of ``explain_all``; a mapping under a method's label goes to that
            one alone, as ``{"lrp_epsilon_0_1": {"relevance": "logit"}}``.
        draws: of the bootstrap, seeded by ``seed=``.
        timed: whether the cost of each method is measured, which explains by it and by ``gradient`` up to nine times over. False: each is
            run once, and the comparison has no costs.
        keep_partial: Ctrl-C ends the comparison and gives what is done, marked as partial, instead of raising.
        progress: is called before each piece of work, with what it is, how many are done, and how many there are.
        **run: see ``RunOptions``.

    Returns:
        The comparison.

    Raises:
        MethodNameError, OptionError, InputError: before maps are computed, for unknown names, options that nothing takes or whose values
            are not allowed, and masks and groups that are missing or do not fit.
        MissingPackageError: if scipy is not installed, which has the tests.
        SignxaiError: as ``explain`` and the metrics do; the message begins with the method, and no row is left out for it.
        KeyboardInterrupt: if nothing is done yet, or ``keep_partial`` is not asked for.

    >>> import torch
    >>> model, x = torch.nn.Linear(6, 2), torch.randn(8, 6)
    >>> comparison = compare_methods(model, x, ["gradient_x_input"], 0, metrics=["srg", "gini"], metric_options={"imputer": 0.0})
    >>> comparison.methods
    ('gradient_x_input', 'random_uniform')
    >>> comparison.row("gradient_x_input", "srg").rank
    1.0
    """
    require_statistics()
    draws = count("draws", draws)
    names = None if groups is None else group_names(groups)
    chosen = metrics_of(metrics, masks, metric_options or {})
    contestants = contestants_of(method_names, method_options or {})
    work = _Work(model, x, target_class, contestants, chosen, masks, dict(run), timed, progress, _Results(len(contestants), chosen))
    numbers = None
    try:
        explaining = work.see()
        numbers = None if names is None else group_numbers(names, explaining.samples)
        rehearsed(chosen, explaining, masks, work.target, run)
        work.everything()
        is_partial = False
    except KeyboardInterrupt:
        if not (keep_partial and work.results.done.any()):
            raise
        is_partial = True
    found = work.results
    return Comparison(
        methods=tuple(one.label for one in contestants),
        metrics=tuple(one.name for one in chosen),
        scores=found.scores,
        done=found.done,
        groups=numbers,
        agreement=found.agreement,
        costs=found.costs if timed else None,
        curves=found.curves,
        draws=draws,
        seed=explaining.settings.seed,
        partial=is_partial,
        settings=settings_of_comparison(explaining, contestants, chosen),
        turned=work.turned(),
    )


# What is computed


class _Results:
    """What is done so far."""

    def __init__(self, methods: int, metrics: Sequence[ChosenMetric]) -> None:
        self.done = np.zeros((methods, len(metrics)), dtype=bool)
        self.scores = np.full((methods, len(metrics), 0), np.nan)
        self.agreement = np.full((methods, methods), np.nan)
        self.costs = np.full(methods, np.nan)
        self.curves: dict[str, MetricCurves] = {}

    def expect(self, samples: int) -> None:
        """Make room."""
        self.scores = np.full((*self.done.shape, samples), np.nan)

    def keep(self, place: int, column: int, name: str, found: _Found) -> None:
        """The scores of a method by a metric, and the curves that they are made of."""
        self.scores[place, column] = found.scores
        self.done[place, column] = True
        for order, values in found.curves.items():
            self._curves(name, found).setdefault(order, np.full((len(self.done), *values.shape), np.nan))[place] = values

    def _curves(self, name: str, found: _Found) -> dict[str, FloatArray]:
        if name not in self.curves:
            self.curves[name] = MetricCurves(found.places, {}, found.x_label, found.y_label)
        values = self.curves[name].values
        assert isinstance(values, dict)
        return values


@dataclass(frozen=True, eq=False)
class _Found:
    """The scores of one method by one metric, and by order the curves that they are made of, if they are."""

    scores: FloatArray
    curves: Mapping[str, FloatArray] = field(default_factory=dict)
    places: FloatArray = field(default_factory=lambda: np.zeros(0))
    x_label: str = ""
    y_label: str = ""


_GRADIENT = "gradient"
_TIMED = ((1, float("inf")), (3, 1.0), (9, 0.25))
"""A method is run so often, if it has taken no longer than so many seconds till then: the first runs are slower, and others may use the
machine, so that the shortest of its times counts."""


def _named(what: str, compute: Callable[[], None]) -> Callable[[], None]:
    """The same piece of work, whose errors say which it was."""

    def named() -> None:
        try:
            compute()
        except SignxaiError as error:
            raise type(error)(f"{what}: {error}") from (error.__cause__ or error)

    return named


def check_comparison(
    model: nn.Module,
    x: Any,
    method_names: Sequence[str | MethodSpec] | Mapping[str, Method],
    *,
    metrics: Metrics | None = None,
    masks: Any = None,
    metric_options: Mapping[str, Any] | None = None,
    method_options: Mapping[str, Any] | None = None,
    **run: Unpack[RunOptions],
) -> None:
    """Refuse what ``compare_methods`` would refuse of methods, metrics and their options, before the model is run.

    Args:
        model, x, method_names, metrics, masks, metric_options, method_options, run: as there.

    Raises:
        SignxaiError: as there.
    """
    chosen = metrics_of(metrics, masks, metric_options or {})
    first = contestants_of(method_names, method_options or {})[0]
    any_class = 0
    rehearsed(chosen, Explaining(model, x, first.method, any_class, {**run, **first.options}), masks, any_class, run)


@dataclass(eq=False)
class _Work:
    """A comparison in the making."""

    model: nn.Module
    x: Any
    target_class: Any
    contestants: Sequence[Contestant]
    metrics: Sequence[ChosenMetric]
    masks: Any
    run: dict[str, Any]
    timed: bool
    progress: Progress | None
    results: _Results
    maps: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    gradient_times: list[float] = field(default_factory=list)

    def see(self) -> Explaining:
        """Run the model on the samples, and settle what is explained."""
        first = self.contestants[0]
        self.explaining = Explaining(self.model, self.x, first.method, self.target_class, {**self.run, **first.options})
        settled = self.explaining.target_given
        self.target = self.target_class if settled is None else settled
        self.results.expect(self.explaining.samples)
        return self.explaining

    def turned(self) -> dict[str, int]:
        """By label, of how many samples a logit below 0 turns the signs of a method's maps."""
        own = {one.label: self.explaining.by(one.method, one.options) for one in self.contestants}
        if not any(map(turns, own.values())):
            return {}
        logits = self.explaining.logits  # once for all methods
        counts = {label: int(turned_rows(one, logits).sum()) for label, one in own.items()}
        return {label: count for label, count in counts.items() if count}

    def everything(self) -> None:
        """The maps first, then what needs them alone, then what removes parts of the input, and last what explains again."""
        total = len(self.contestants) * (1 + len(self.metrics))
        done = 0
        for what, pieces, compute in self._pieces():
            self._tell(what, done, total)
            compute()
            done += pieces
        self._tell("", total, total)

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)

    def _pieces(self) -> Iterator[tuple[str, int, Callable[[], None]]]:
        for place, one in enumerate(self.contestants):
            what = f"maps of {one.label}"
            yield what, 1, _named(what, partial(self._explain, place))
        self.results.agreement = agreement_of([maps_of(own) for own in self.maps])
        if self.timed:
            self.results.costs = self._costs()
        by_kind = [(column, one) for kind in ("map", "mask") for column, one in enumerate(self.metrics) if one.record.takes == kind]
        yield from (piece for column, one in by_kind for piece in self._each(column, one, self._by_map))
        if decisions := [(column, one) for column, one in enumerate(self.metrics) if one.record.takes == "decision"]:
            names = ", ".join(one.name for _, one in decisions)
            yield names, len(decisions) * len(self.contestants), lambda: self._decide(decisions)
        for column, chosen in enumerate(self.metrics):
            if chosen.record.takes == "method":
                yield from self._again(column, chosen)

    def _each(
        self, column: int, one: ChosenMetric, measure: Callable[[ChosenMetric, int], _Found]
    ) -> Iterator[tuple[str, int, Callable[[], None]]]:
        for place, contestant in enumerate(self.contestants):
            what = f"{one.name} of {contestant.label}"
            yield what, 1, _named(what, lambda place=place: self._keep(place, column, measure(one, place)))  # type: ignore[misc]

    def _keep(self, place: int, column: int, found: _Found) -> None:
        self.results.keep(place, column, self.metrics[column].name, found)

    # maps

    def _explain(self, place: int) -> None:
        """The maps of a method."""
        one = self.contestants[place]
        maps = self._timed(one, is_first=not place) if self.timed else self._explained(one)
        self._check(maps)
        self.maps.append(maps)

    def _timed(self, one: Contestant, is_first: bool) -> Any:
        """The maps of a method, and how long they take: its runs take turns with those of the gradient."""
        if is_first:
            self._time_gradient()
            self.gradient_times.clear()  # what is only done once for a model is done now
        own: list[float] = []
        while any(len(own) < runs and sum(own) < seconds for runs, seconds in _TIMED):
            self._time_gradient()
            start = perf_counter()
            maps = self._explained(one)
            own.append(perf_counter() - start)
        if _is_the_gradient(one):
            self.gradient_times += own
        self.times.append(min(own))
        return maps

    def _costs(self) -> FloatArray:
        """Of each method in gradients; that of the gradient itself is 1 by definition."""
        unit = min(self.gradient_times)
        timed = zip(self.contestants, self.times, strict=True)
        return np.array([1.0 if _is_the_gradient(one) else time / unit for one, time in timed])

    def _check(self, maps: Any) -> None:
        """Refuse what a user's function gives that are no maps of the samples."""
        parts = self.explaining.parts
        for key, own in maps_of(maps, "the method's map").items():
            if len(own) != self.explaining.samples:
                raise InputError(f"the method gave {len(own)} maps for {self.explaining.samples} samples")
            if key in parts and own[0].size != parts[key][0].numel():
                raise InputError(f"the method gave maps of shape {own.shape} for inputs of shape {tuple(parts[key].shape)}")

    def _time_gradient(self) -> None:
        """One gradient of the samples; NaN where the model has none."""
        start = perf_counter()
        try:
            self._explained(Contestant(_GRADIENT, _GRADIENT, {}))
        except ModelError:
            start = float("nan")
        self.gradient_times.append(perf_counter() - start)

    def _explained(self, one: Contestant) -> Any:
        if not isinstance(one.method, str | MethodSpec):
            return one.method(self.model, self.x, self.target)
        options = {**one.options, **self.run}
        options["batch_size"] = options.get("batch_size") or self.explaining.chunk
        return explainer_for(self.model, one.method, options).explain(self.x, self.target)

    def _by_map(self, one: ChosenMetric, place: int) -> _Found:
        inside = () if one.record.takes == "map" else (self.masks,)
        return _Found(one.record.function(self.maps[place], *inside, **one.options))

    # what removes parts of the input

    def _decide(self, decisions: Sequence[tuple[int, ChosenMetric]]) -> None:
        total = len(self.contestants) * (1 + len(self.metrics))

        def work(decision: Decision) -> None:
            for column, one in decisions:
                for what, _, compute in self._each(column, one, lambda one, place: self._by_decision(decision, one, place)):
                    self._tell(what, len(self.contestants) + int(self.results.done.sum()), total)
                    compute()

        kind = partial(RememberingDecision, predicted=self.explaining.predicted)
        deciding(work, self.model, self.x, self.target, self.run, kind)

    def _by_decision(self, decision: Decision, one: ChosenMetric, place: int) -> _Found:
        given = Decided(decision), self.x, self.maps[place], self.target
        if one.name in _CURVES:
            return _of_curves(given, one)
        if one.name == "sensitivity_n":
            values = sensitivity_n_curve(*given, **one.options)  # type: ignore[arg-type]
            places = np.asarray(one.option("sizes"), dtype=np.float64)
            return _Found(
                values.mean(axis=1), {"": values}, places, "share of the units in a subset", "correlation with the drop of the score"
            )
        return _Found(one.record.function(*given, **one.options))

    # what explains again

    def _again(self, column: int, one: ChosenMetric) -> Iterator[tuple[str, int, Callable[[], None]]]:
        if one.name in ("mprt", "smprt"):
            yield f"{one.name} of all methods", len(self.contestants), lambda: self._randomized(column, one)
        else:
            yield from self._each(column, one, self._by_method)

    def _by_method(self, one: ChosenMetric, place: int) -> _Found:
        own = self.contestants[place]
        return _Found(one.record.function(self.model, self.x, own.method, self.target, **one.options, **own.options, **self.run))

    def _randomized(self, column: int, one: ChosenMetric) -> None:
        explained = {own.label: self.explaining.by(own.method, own.options) for own in self.contestants}
        how = one.those("order", "layers", "similarity", *(("smoothed", "noise") if one.name == "smprt" else ()))
        for place, curve in enumerate(randomization_curves(explained, **how).values()):
            values = curve.similarities
            layers = f"layers made random, {_ORDERS[how['order']]}"
            places = np.arange(1.0, len(curve.layers) + 1)
            self._keep(place, column, _Found(curve.mean(), {"": values}, places, layers, "similarity of the maps"))


_ORDERS = {"top_down": "from the output", "bottom_up": "from the input", "independent": "one at a time"}


def _srg(curves: Mapping[str, Curve]) -> FloatArray:
    return curves["least"].area() - curves["most"].area()


_CURVES: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, Curve]], FloatArray]]] = {
    "srg": (("most", "least"), _srg),
    "aopc": (("most",), lambda curves: curves["most"].mean_drop()),
    "deletion": (("most",), lambda curves: curves["most"].area()),
    "insertion": (("least",), lambda curves: curves["least"].area()),
    "road": (("most",), lambda curves: curves["most"].mean()),
}
"""The metrics that are a number made of perturbation curves: of which, and how."""


def _of_curves(given: tuple[Any, ...], one: ChosenMetric) -> _Found:
    orders, reduce = _CURVES[one.name]
    how = one.those("imputer", "unit", "steps", "score", *(("until",) if one.name == "aopc" else ()))
    curves = perturbation_curves(*given, orders=orders, **how)
    values = {order: curve.scores for order, curve in curves.items()}
    removed = next(iter(curves.values())).removed.mean(axis=0)
    return _Found(reduce(curves), values, removed, "share of the units that are removed", _Y_LABELS.get(how["score"], str(how["score"])))


_Y_LABELS = {
    "logit": "logit of the target",
    "probability": "probability of the target",
    "change": "change of the target's logit",
    "decision": "share of decisions that stay",
}


def _is_the_gradient(one: Contestant) -> bool:
    return isinstance(one.method, MethodSpec) and str(one.method) == _GRADIENT and not one.options


def agreement_of(maps: Sequence[Mapping[Key, FloatArray]]) -> FloatArray:
    """How alike the maps of each two methods are: Spearman's correlation of their values in each sample, the mean over samples (M, M).

    Two constant maps are alike (1). Of several inputs those count of which both have a map; without any it is NaN.

    >>> a = {0: np.array([[1.0, 2.0, 4.0]])}
    >>> agreement_of([a, {0: -a[0]}]).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    found = np.eye(len(maps))
    ranks = [_Ranks(own) for own in maps]
    for one in range(len(maps)):
        for other in range(one):
            found[one, other] = found[other, one] = ranks[one].agreement(ranks[other])
    return found


class _Ranks:
    """The ranks of a method's maps, computed once for all inputs that it has maps of."""

    def __init__(self, maps: Mapping[Key, FloatArray]) -> None:
        self.maps, self._last = maps, (tuple(maps), average_ranks(flat(maps)))

    def of(self, keys: tuple[Key, ...]) -> FloatArray:
        return self._last[1] if keys == self._last[0] else average_ranks(flat({key: self.maps[key] for key in keys}))

    def agreement(self, other: _Ranks) -> float:
        keys = tuple(key for key in self.maps if key in other.maps)
        if not keys:
            return float("nan")
        own, others = self.of(keys), other.of(keys)
        both_constant = (np.ptp(own, axis=1) == 0) & (np.ptp(others, axis=1) == 0)
        return float(np.where(both_constant, 1.0, pearson(own, others)).mean())
