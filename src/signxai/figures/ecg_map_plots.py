"""Several ECGs on one page, each on paper, with one colour bar for all: the maps of several methods, or of several beats.

Nothing here computes relevance or touches pyplot's global state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy.typing as npt
from matplotlib.axes import Axes

from signxai.common.errors import InputError
from signxai.common.visualization import RELEVANCE_COLOURS
from signxai.figures.ecg_drawing import draw_on
from signxai.figures.ecg_layout import Drawing, lay_out, own_scale
from signxai.figures.ecg_page import Block, Panel, SharedBar, page, panel
from signxai.figures.ecg_recording import Recording, recording_of, usual_gain
from signxai.figures.pages import bar_label
from signxai.figures.places import AxesLike, listed_axes
from signxai.methods.sign_words import hint

__all__ = ["EcgSample", "hidden_share", "plot_ecg_maps"]


@dataclass(frozen=True, eq=False)
class EcgSample:
    """One explained stretch of an ECG: the signal, its map by each method, and what is known of it.

    Attributes:
        signal: (leads, samples) or (samples,); NaN where samples are missing.
        maps: from a method's name, or any other title, to signed relevance in the signal's shape; without any, the signal is
            drawn alone.
        heading: above the maps.
        lead_names: in the order of the leads; without them they are numbered from 1.
        start: time of the first sample, in seconds.
        time_label: what that time is counted from; "time from the beat (s)".
        r_peaks: sample numbers, each marked by a triangle.
        beat_labels: a label for each R peak.
        turned: the titles of maps whose signs are turned; the colour bar says so. It also says what the sides of a map stand for whose
            numbers are no shares of a score, as slopes (`gradient`).
    """

    signal: npt.ArrayLike
    maps: Mapping[str, npt.ArrayLike] = field(default_factory=dict)
    heading: str = ""
    lead_names: Sequence[str] = ()
    start: float = 0.0
    time_label: str = "time (s)"
    r_peaks: Sequence[int] = ()
    beat_labels: Sequence[str] = ()
    turned: Collection[str] = ()


def plot_ecg_maps(
    samples: EcgSample | Sequence[EcgSample],
    *,
    sampling_rate: float,
    units: str = "mV",
    layout: str | None = None,
    rhythm_lead: str = "II",
    gain: float | None = None,
    percentile: float = 99,
    cmap: str = RELEVANCE_COLOURS,
    axes: AxesLike | None = None,
) -> list[Axes]:
    """Draw ECGs and their maps on one page: each sample under its heading, a sheet of paper per map, and one colour bar.

    All papers have one scale and one gain, so that lengths on them compare. Each map is divided by a percentile of its own, as relevance
    by different methods has no common unit; above each paper stands at which relevance its colours end. The bar of a single map has its
    numbers.

    Args:
        samples: one sample, or several below each other.
        sampling_rate, units, layout, rhythm_lead: as for `plot_ecg`.
        gain: millimetres per mV (or per unit); None: that of `plot_ecg` for the sample with the largest amplitudes.
        percentile, cmap: as for `plot_ecg`, for each map.
        axes: one for each map, drawn on in the size that they have; None: on a page of its own.

    Returns:
        The axes of each paper, sample by sample and map by map; their ``figure`` has ``savefig``.

    Raises:
        InputError: no sample, or one whose parts do not fit each other, or more samples than a page holds.
        OptionError: an unknown layout, or a number out of range.

    >>> import numpy as np
    >>> sample = EcgSample(np.zeros((2, 500)), {"gradient": np.ones((2, 500)), "lrp_z": np.ones((2, 500))}, "beat 12")
    >>> len(plot_ecg_maps(sample, sampling_rate=250))
    2
    """
    listed = [samples] if isinstance(samples, EcgSample) else list(samples)
    if not listed:
        raise InputError("a figure needs at least one sample")
    recordings = [dict(_recordings(sample, sampling_rate, units)) for sample in listed]
    if gain is None:
        gain = min(usual_gain(recording) for of_sample in recordings for recording in of_sample.values())
    drawings = [
        {
            title: replace(
                _drawing(recording, sample, layout, rhythm_lead, gain, percentile, cmap), is_turned=title in sample.turned, method=title
            )
            for title, recording in of_sample.items()
        }
        for sample, of_sample in zip(listed, recordings, strict=True)
    ]
    if axes is not None:
        papers = [(title, drawing) for of_sample in drawings for title, drawing in of_sample.items()]
        given = listed_axes(axes, len(papers), "maps")
        for each, (title, drawing) in zip(given, papers, strict=True):
            draw_on(each, drawing, title)
        return given
    scale = min(own_scale(drawing) for of_sample in drawings for drawing in of_sample.values())
    is_shared = sum(drawing.norm is not None for of_sample in drawings for drawing in of_sample.values()) > 1
    methods = [title for of_sample in drawings for title in of_sample]
    turned = [drawing.is_turned for of_sample in drawings for drawing in of_sample.values()]

    def paper(title: str, drawing: Drawing) -> Panel:
        said = hint(title, drawing.is_turned, methods, turned)
        return panel(drawing, scale, title, of_several=True, has_bar=not is_shared, hint=said)

    blocks = [
        Block(sample.heading, [paper(title, drawing) for title, drawing in of_sample.items()])
        for sample, of_sample in zip(listed, drawings, strict=True)
    ]
    return page(blocks, SharedBar(bar_label(percentile, turned=turned, methods=methods), cmap) if is_shared else None)


def hidden_share(sample: EcgSample, *, sampling_rate: float, layout: str | None = None) -> float:
    r"""The largest share of the sum of |relevance| of a map that a layout does not show, as the clinical one with its quarters.

    Args:
        sample: with its maps.
        sampling_rate, layout: as for `plot_ecg`.

    Raises:
        InputError, OptionError: as `plot_ecg_maps` does.

    >>> import numpy as np
    >>> from signxai.timeseries import STANDARD_LEADS
    >>> twelve = EcgSample(np.zeros((12, 1000)), {"gradient": np.ones((12, 1000))}, lead_names=STANDARD_LEADS)
    >>> round(hidden_share(twelve, sampling_rate=100), 4), hidden_share(twelve, sampling_rate=100, layout="rows")
    (0.6875, 0.0)
    """
    recordings = [recording for _, recording in _recordings(sample, sampling_rate, "mV")]
    return max(_drawing(recording, sample, layout, "II", 1.0, 99, RELEVANCE_COLOURS).hidden for recording in recordings)


def _recordings(sample: EcgSample, sampling_rate: float, units: str) -> Iterator[tuple[str, Recording]]:
    for title, relevance in sample.maps.items() or [("", None)]:
        recording = recording_of(sample.signal, relevance, sampling_rate, sample.lead_names, units, sample.start)
        yield title, replace(recording, time_label=sample.time_label)


def _drawing(
    recording: Recording, sample: EcgSample, layout: str | None, rhythm_lead: str, gain: float, percentile: float, cmap: str
) -> Drawing:
    return lay_out(
        recording,
        r_peaks=sample.r_peaks,
        beat_labels=sample.beat_labels,
        layout=layout,
        rhythm_lead=rhythm_lead,
        gain=gain,
        limit=None,
        percentile=percentile,
        cmap=cmap,
    )
