"""What becomes of explained signals: the report on beats, figures over time and over frequency, arrays to keep."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from signxai.cli.decisions import Decisions, numbered
from signxai.cli.signal_files import Excerpt, SignalBatch, SignalOptions
from signxai.cli.signal_summaries import PARTLY_TURNED, TURNED, SignalSummaries, SummarizedMap
from signxai.figures.ecg_map_plots import EcgSample, hidden_share, plot_ecg_maps
from signxai.figures.map_plots import Sample, heading, label_heading, signal_figure
from signxai.figures.paging import NumberedSample, some_maps
from signxai.figures.spectrum_plots import SpectrumSample, highest_telling, plot_spectrum_maps
from signxai.models import Classifier
from signxai.timeseries.beats import AAMI_CLASSES, UNCLASSIFIED
from signxai.timeseries.frequency import SpectralRelevance, dft_relevance
from signxai.timeseries.signals import VOLTS

__all__ = ["SignalResults", "beat_predictions"]

Array = npt.NDArray[Any]
_Shown: TypeAlias = Sequence[tuple[Excerpt, dict[str, Array]]]
_Chosen: TypeAlias = Sequence[Sequence[int]]
"""Of each sample the numbers of the maps that are drawn."""

_MOST_LISTED = 40
# SIGN gives relevance where the signal crosses zero, which the frequencies could share out only with huge relevance of both signs.
_ZERO_BELOW = 0.02


def beat_predictions(batch: SignalBatch, decisions: Decisions, classifier: Classifier) -> Iterator[str]:
    """For each strip a line, and one for each of its beats: what it was annotated as, what is predicted and what explained."""
    for strip in batch.strips:
        rows = batch.rows_of(strip)
        yield f"{strip.name} ({' x '.join(map(str, strip.values.shape))}): {len(rows)} of {len(strip.beats)} beats explained"
        for row in rows[:_MOST_LISTED]:
            beat = batch.excerpts[row].beat
            assert beat is not None
            yield f"  {strip.recording.beat_name(beat)}: {_decision(row, decisions, classifier)}"
        if len(rows) > _MOST_LISTED:
            yield f"  and {len(rows) - _MOST_LISTED} more beats"
    for line in batch.left_out[:_MOST_LISTED]:
        yield f"  not explained: {line}"


def _decision(row: int, decisions: Decisions, classifier: Classifier) -> str:
    logits, target = decisions.logits[row], decisions.targets[row]
    predicted = int(logits.argmax())
    share = decisions.probabilities[row]
    explained = "" if target == predicted else f"; explained: {numbered(classifier, target)}, logit {logits[target]:.2f}"
    rather_than = decisions.rather_than(row, partial(numbered, classifier))
    explained += f"; explained: {numbered(classifier, target)}{rather_than}" if rather_than and not explained else rather_than
    return f"predicted {numbered(classifier, predicted)}, {share[predicted]:.2%}, logit {logits[predicted]:.2f}{explained}"


@dataclass(frozen=True)
class SignalResults:
    """Explained signals: what went in, what the network says, and the maps (N, leads, samples) by method.

    Where windows about beats overlap in a strip, their maps are added up there.
    """

    batch: SignalBatch
    decisions: Decisions
    maps: Mapping[str, Array]
    classifier: Classifier
    frequency: bool = False
    options: SignalOptions = field(default_factory=SignalOptions)

    def figure(self, numbers: Sequence[NumberedSample]) -> Figure:
        """Draw the excerpts, or the strips, of these numbers: over time on millimetre paper where they are voltages, or over frequency."""
        every = list(self._shown())
        shown = [every[numbered.number] for numbered in numbers]
        chosen = [numbered.maps for numbered in numbers]
        if self.frequency:
            return self._over_frequency(shown, chosen)
        if all(unit in VOLTS for excerpt, _ in shown for unit in excerpt.signal.units):
            return self._on_paper(shown, chosen)
        return self._over_time(shown, chosen)

    def content(self) -> dict[str, Array]:
        """The arrays to keep beside the input and its maps.

        `sampling_rate`, `lead_names` (N, leads) and `start_sample` (N,) say where each sample of the batch lies in its recording,
        which counts at this rate. For each annotated beat in them `beat_row` is the sample of the batch, `beat` its number,
        `beat_sample`, `beat_time` (s) and `beat_symbol` where it is and how it was annotated, and
        `beat_origin` whether it was; of a window about a beat only that beat is
        listed. Strips have `strip_x` (strips, leads, samples), `strip_start_sample`, the strip of each window in
        `strip_of` (N,), and their maps under the method's name with ``_strip`` behind it; ``_frequency`` stands behind
        relevance of `frequencies` (of `strip_frequencies` for strips).
        """
        excerpts = self.batch.excerpts
        content: dict[str, Array] = {
            "sampling_rate": np.array(self.batch.sampling_rate),
            "lead_names": np.array([excerpt.recording.signal.lead_names for excerpt in excerpts]),
            "start_sample": np.array([excerpt.start for excerpt in excerpts]),
            **_beats(excerpts),
        }
        if self.batch.strips:
            content |= self._strip_content()
        if self.frequency:
            spectra = {name: self._spectrum(self.batch.leads_first(self.decisions.array), values) for name, values in self.maps.items()}
            content |= _spectral_content(spectra, "")
        return content

    def _strip_content(self) -> dict[str, Array]:
        strips = self.batch.strips
        maps = {name: np.stack([self._added_up(strip, values) for strip in strips]) for name, values in self.maps.items()}
        x = np.stack([strip.values for strip in strips])
        content = {f"{name}_strip": values for name, values in maps.items()}
        content |= {"strip_x": x, "strip_start_sample": np.array([strip.start for strip in strips])}
        of = {row: number for number, strip in enumerate(strips) for row in self.batch.rows_of(strip)}
        content["strip_of"] = np.array([of[row] for row in range(len(self.batch.excerpts))])
        if self.frequency:
            content |= _spectral_content({f"{name}_strip": self._spectrum(x, values) for name, values in maps.items()}, "strip_")
        return content

    def notices(self, drawn: bool) -> Iterator[str]:
        """What a figure does not show of the maps."""
        if not drawn or self.frequency or self.options.layout == "rows":
            return
        hiding = [
            (f"{excerpt.name}: ", f"by {method}", hidden)
            for excerpt, maps in self._shown()
            for method, relevance in maps.items()
            if (hidden := self._hidden(excerpt, method, relevance))
        ]
        if hiding:
            yield _of_hidden(hiding)

    def summaries(self) -> SignalSummaries:
        """The sums of each map by lead, beat and wave, where a file asks for them."""
        if not self.options.summaries:
            return SignalSummaries(())
        lead = self.options.summary_lead
        return SignalSummaries(
            [
                SummarizedMap.of(
                    excerpt, self._heading(excerpt), method, self._explained(excerpt), relevance, lead, self._signs(excerpt, method)
                )
                for excerpt, maps in self._shown()
                for method, relevance in maps.items()
            ]
        )

    # What is shown

    def _shown(self) -> Iterator[tuple[Excerpt, dict[str, Array]]]:
        if self.batch.strips:
            for strip in self.batch.strips:
                yield strip, {name: self._added_up(strip, values) for name, values in self.maps.items()}
            return
        for row, excerpt in enumerate(self.batch.excerpts):
            yield excerpt, {name: values[row] for name, values in self.maps.items()}

    def _added_up(self, strip: Excerpt, values: Array) -> Array:
        """The sum of the maps of the windows, where they lie in the strip."""
        result = np.zeros(strip.values.shape, dtype=values.dtype)
        for row in self.batch.rows_of(strip):
            window = self.batch.excerpts[row]
            first, last = max(window.start, strip.start), min(window.stop, strip.stop)
            result[:, first - strip.start : last - strip.start] += values[row][:, first - window.start : last - window.start]
        return result

    def _spectrum(self, x: Array, relevance: Array) -> SpectralRelevance:
        values = np.asarray(x, dtype=np.float64), np.asarray(relevance, dtype=np.float64)
        return dft_relevance(*values, sampling_rate=self.batch.sampling_rate, zero_below=_ZERO_BELOW)

    # Figures

    def _on_paper(self, shown: _Shown, chosen: _Chosen) -> Figure:
        samples = [some_maps(self._sample(excerpt, maps), of_it) for (excerpt, maps), of_it in zip(shown, chosen, strict=True)]
        return _figure_of(plot_ecg_maps(samples, sampling_rate=self.batch.sampling_rate, layout=self.options.layout)[0])

    def _sample(self, excerpt: Excerpt, maps: Mapping[str, Array]) -> EcgSample:
        return EcgSample(
            excerpt.signal.in_units("mV").values,
            maps,
            self._heading(excerpt),
            excerpt.signal.lead_names,
            *_times_of(excerpt),
            _places(excerpt),
            self._labels(excerpt),
            self._turned(excerpt),
        )

    def _hidden(self, excerpt: Excerpt, method: str, relevance: Array) -> float:
        """The share of the relevance that the figure on paper does not show; figures of what is no voltage show all."""
        if not all(unit in VOLTS for unit in excerpt.signal.units):
            return 0.0
        sample = self._sample(excerpt, {method: relevance})
        return hidden_share(sample, sampling_rate=self.batch.sampling_rate, layout=self.options.layout)

    def _over_frequency(self, shown: _Shown, chosen: _Chosen) -> Figure:
        units = {unit for excerpt, _ in shown for unit in excerpt.signal.units}
        samples = [
            SpectrumSample(
                (excerpt.signal.in_units("mV") if units <= VOLTS.keys() else excerpt.signal).values,
                {name: self._spectrum(excerpt.values, relevance) for name, relevance in maps.items()},
                self._heading(excerpt),
                excerpt.signal.lead_names,
                self._turned(excerpt),
            )
            for excerpt, maps in shown
        ]
        named = "mV" if units <= VOLTS.keys() else units.pop() if len(units) == 1 else "each lead's unit"
        highest = self._highest(samples)  # of all maps: pages of one signal have one axis
        parts = [some_maps(sample, of_it) for sample, of_it in zip(samples, chosen, strict=True)]
        return _figure_of(plot_spectrum_maps(parts, units=named, highest=highest)[0][0, 0])

    def _highest(self, samples: Sequence[SpectrumSample]) -> float:
        """Of the axis of frequencies: what the user asks for, or what tells, of what the preparation lets pass."""
        passed = self.classifier.signal_input.highest_hz if self.classifier.signal_input else None
        return self.options.highest_hz or min(highest_telling(samples), passed or np.inf)

    def _over_time(self, shown: _Shown, chosen: _Chosen) -> Figure:
        leads = {tuple(excerpt.signal.lead_names) for excerpt, _ in shown}
        samples = [Sample(excerpt.signal.values, maps, self._heading(excerpt), self._turned(excerpt)) for excerpt, maps in shown]
        return signal_figure(
            [some_maps(sample, of_it) for sample, of_it in zip(samples, chosen, strict=True)],
            leads=leads.pop() if len(leads) == 1 else (),
            x_label="time from the start of the stretch (s)" if any(excerpt.start for excerpt, _ in shown) else "time (s)",
            sampling_rate=self.batch.sampling_rate,
        )

    def _explained(self, excerpt: Excerpt) -> str:
        """The names of the classes that the map of an excerpt explains; of a strip's beats there may be several."""
        rows = self._rows(excerpt)
        names = dict.fromkeys(self.classifier.short_name(self.decisions.targets[row]) for row in rows)
        return f"{', '.join(names)}{self.decisions.rather_than(rows[0], self.classifier.short_name)}"

    def _rows(self, excerpt: Excerpt) -> Sequence[int]:
        """What was explained of an excerpt: itself, or the windows of a strip."""
        return self.batch.rows_of(excerpt) if self.batch.strips else [list(self.batch.excerpts).index(excerpt)]

    def _turned(self, excerpt: Excerpt) -> Sequence[str]:
        """The methods whose map of an excerpt has its signs turned; of a strip's windows: in each of them."""
        first, *others = (self.decisions.turned.get(row, ()) for row in self._rows(excerpt))
        return [method for method in first if all(method in other for other in others)]

    def _signs(self, excerpt: Excerpt, method: str) -> str:
        """What a summary says of the signs of a map."""
        if method in self._turned(excerpt):
            return TURNED
        any_of = (self.decisions.turned, self.decisions.turned_in_part)
        return PARTLY_TURNED if any(method in of.get(row, ()) for row in self._rows(excerpt) for of in any_of) else ""

    def _heading(self, excerpt: Excerpt) -> str:
        rows = self._rows(excerpt)
        said = self._strip_heading(excerpt) if self.batch.strips else self._window_heading(excerpt, rows[0])
        return said + self.decisions.note(rows)

    def _window_heading(self, excerpt: Excerpt, row: int) -> str:
        logits, target = self.decisions.logits[row], self.decisions.targets[row]
        predicted = int(logits.argmax())
        name = self.classifier.short_name
        rather_than = self.decisions.rather_than_with_numbers(row, name)
        if self.decisions.are_labels:
            return (
                f"{_named(excerpt)}: {label_heading(name(target), self.decisions.probabilities[row, target], logits[target])}{rather_than}"
            )
        shares = self.decisions.probabilities[row]
        numbers = {"probability": shares[predicted], "explained_probability": shares[target]}
        said = f"{_named(excerpt)}: {heading(name(predicted), logits[predicted], name(target), logits[target], **numbers)}"
        return f"{said}, explained {name(target)}{rather_than}" if rather_than and target == predicted else f"{said}{rather_than}"

    def _strip_heading(self, strip: Excerpt) -> str:
        rows = self.batch.rows_of(strip)
        targets = {self.decisions.targets[row] for row in rows}
        if all(self.decisions.targets[row] == self._predicted(row) for row in rows):
            explained = "each beat's predicted class"
        else:
            explained = self.classifier.short_name(targets.pop()) if len(targets) == 1 else "the class asked for of each beat"
        said = f"{strip.name}: {len(rows)} beat{'s' * (len(rows) != 1)}{self._of_labels(strip)}"
        return f"{said}; explained: {explained}{self.decisions.rather_than(rows[0], self.classifier.short_name)}, overlapping maps added up"

    def _of_labels(self, strip: Excerpt) -> str:
        """What the labels of a strip's beats stand for, and where the beats come from if nobody annotated them."""
        origin = strip.recording.beats.origin
        if self.frequency:
            return "" if origin == "annotated" else f" ({origin})"
        known = any(strip.recording.beats.symbols[index] != UNCLASSIFIED for index in strip.beats)
        return f", labelled {origin}/predicted" if known or origin == "annotated" else f" ({origin}), labelled as predicted"

    def _predicted(self, row: int) -> int:
        return int(self.decisions.logits[row].argmax())

    def _labels(self, excerpt: Excerpt) -> list[str]:
        """Above each beat: how it was annotated, and in a strip what is predicted."""
        labels = {index: self._annotated(excerpt, index) for index in excerpt.beats}
        if excerpt.beat is not None:
            labels[excerpt.beat] = f"{labels[excerpt.beat]} (beat {excerpt.beat})".lstrip()
        for row in self.batch.rows_of(excerpt) if excerpt in self.batch.strips else ():
            beat = self.batch.excerpts[row].beat
            assert beat is not None
            labels[beat] = f"{labels[beat]}/{self.classifier.short_name(self._predicted(row))}".lstrip("/")
        return list(labels.values())

    def _annotated(self, excerpt: Excerpt, index: int) -> str:
        """The beat's class where the network's classes are those of the standard, else its symbol; nothing where nobody said it."""
        beats = excerpt.recording.beats
        if beats.origin != "annotated" and beats.symbols[index] == UNCLASSIFIED:
            return ""
        names = {self.classifier.short_name(number) for number in range(len(self.classifier.class_names))}
        return beats.classes[index] if names and names <= set(AAMI_CLASSES.values()) else beats.symbols[index]


def _of_hidden(hiding: Sequence[tuple[str, str, float]]) -> str:
    """One line on all maps of which a part is not shown: the beginning of the line, how it was made, and the part of each."""
    starts, ways, parts = zip(*hiding, strict=True)
    shares = " to ".join(dict.fromkeys(f"{part:.0%}" for part in (min(parts), max(parts))))
    name = starts[0] if len(set(starts)) == 1 else ""
    of = [*(ways[:1] if len(set(ways)) == 1 else ()), *([f"in {len(hiding)} maps"] if len(hiding) > 1 else [])]
    return f"{name}the figure's layout does not show {shares} of the relevance {' '.join(of)}; --layout rows shows all"


def _named(excerpt: Excerpt) -> str:
    """Its name, and where the beats within come from if nobody annotated them; the name of a beat says so itself."""
    origin = excerpt.recording.beats.origin
    return excerpt.name if excerpt.beat is not None or origin == "annotated" or not excerpt.beats else f"{excerpt.name} (beats {origin})"


def _times_of(excerpt: Excerpt) -> tuple[float, str]:
    """When the excerpt begins, and from what time is counted: the beat that it is about, or the start of the recording."""
    if excerpt.beat is None:
        return excerpt.start_s, "time (s)"
    before = int(excerpt.recording.beats.positions[excerpt.beat]) - excerpt.start
    return -before / excerpt.recording.signal.sampling_rate, "time from the beat (s)"


def _places(excerpt: Excerpt) -> list[int]:
    return [int(excerpt.recording.beats.positions[index]) - excerpt.start for index in excerpt.beats]


def _beats(excerpts: Sequence[Excerpt]) -> dict[str, Array]:
    found = [
        (row, excerpt.recording, index)
        for row, excerpt in enumerate(excerpts)
        for index in (excerpt.beats if excerpt.beat is None else [excerpt.beat])
    ]
    positions = [int(recording.beats.positions[index]) for _, recording, index in found]
    times = [recording.seconds(position) for (_, recording, _), position in zip(found, positions, strict=True)]
    return {
        "beat_row": np.array([row for row, _, _ in found], dtype=np.int64),
        "beat": np.array([index for _, _, index in found], dtype=np.int64),
        "beat_sample": np.array(positions, dtype=np.int64),
        "beat_time": np.array(times, dtype=np.float64),
        "beat_symbol": np.array([recording.beats.symbols[index] for _, recording, index in found], dtype=str),
        "beat_origin": np.array([recording.beats.origin for _, recording, _ in found], dtype=str),
    }


def _spectral_content(spectra: Mapping[str, SpectralRelevance], prefix: str) -> dict[str, Array]:
    content = {f"{name}_frequency": np.asarray(spectral.relevance) for name, spectral in spectra.items()}
    for spectral in spectra.values():
        content[f"{prefix}frequencies"] = np.asarray(spectral.frequencies)
    return content


def _figure_of(axes: Any) -> Figure:
    figure: Figure = axes.figure.figure
    return figure
