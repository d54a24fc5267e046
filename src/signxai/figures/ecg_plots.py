"""ECGs on paper as cardiologists read them, the traces coloured by relevance.

Nothing here computes relevance or touches pyplot's global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy.typing as npt
from matplotlib.axes import Axes

from signxai.common.visualization import RELEVANCE_COLOURS
from signxai.figures.ecg_drawing import draw_on
from signxai.figures.ecg_layout import STANDARD_LEADS, lay_out, own_scale
from signxai.figures.ecg_page import Block, page, panel
from signxai.figures.ecg_recording import recording_of

__all__ = ["STANDARD_LEADS", "plot_ecg"]


def plot_ecg(
    signal: npt.ArrayLike,
    relevance: npt.ArrayLike | None = None,
    *,
    sampling_rate: float,
    lead_names: Sequence[str] = (),
    units: str = "mV",
    layout: str | None = None,
    rhythm_lead: str = "II",
    r_peaks: Sequence[int] = (),
    beat_labels: Sequence[str] = (),
    start: float = 0.0,
    title: str = "",
    gain: float | None = None,
    limit: float | None = None,
    percentile: float = 99,
    cmap: str = RELEVANCE_COLOURS,
    method: str = "",
    axes: Axes | None = None,
) -> Axes:
    """Draw an ECG on millimetre paper at 25 mm/s and 10 mm/mV, its traces coloured by relevance.

    The paper has its true size (in print, or on a screen of 150 dots per inch) where that can be read: short signals are
    enlarged, long ones go on in further rows, and what is wider or higher than a page is reduced. A lead's median lies on the
    baseline of its row. A lead that is NaN throughout, or absent from the clinical layout, keeps its place, with a note.

    Args:
        signal: (leads, samples) or (samples,); NaN where samples are missing.
        relevance: signed relevance, in the same shape; without it the traces are black.
        sampling_rate: samples per second.
        lead_names: in the order of the leads; without them they are numbered from 1.
        units: of the signal. "mV", "uV" and "V" are drawn in mV; anything else, such as "standard deviation", as it is.
        layout: "clinical": 3 rows of 4 leads, which follow each other in time, so that each lead shows its quarter of the signal, and
            below them all of the rhythm lead (up to 2.5 s each lead shows all of it, and there is no rhythm lead);
            "rows": all of each lead, below each other; None: clinical for 8 to 12 standard leads and at most 10 s. Where a layout
            hides part of the relevance, the share stands below the paper.
        rhythm_lead: the lead below the others in the clinical layout.
        r_peaks: sample numbers, each marked by a triangle above the trace of the rhythm lead or of the first lead.
        beat_labels: a label for each R peak, such as "N" or "V"; those that would overlap are written smaller, and above each other,
            rare ones next to their beats.
        start: time of the first sample, in seconds.
        title: above the paper.
        gain: millimetres per mV (or per unit); None: 10 per mV, halved until large amplitudes fit, and for other units 1, 2
            or 5 times a power of ten.
        limit: relevance at the ends of the colour scale, which is symmetric about 0 and the same for all leads; None: the
            percentile.
        percentile: of |R| over all leads, in [0, 100] (their maximum if that is 0), beyond which colours stay the same.
        cmap: a diverging colour map of matplotlib, with a middle that can be seen on white.
        method: by which the relevance is; the colour bar then says what its sides stand for where they are no shares of a score, as slopes
            (`gradient`).
        axes: draw on these, in the size that they have; None: on a figure of their own.

    Returns:
        The axes of the paper, in millimetres; their ``figure`` has ``savefig``.

    Raises:
        InputError: a signal, relevance, names, peaks or labels that do not fit each other, or relevance that is not finite.
        OptionError: an unknown layout, or a number out of range.

    >>> import numpy as np
    >>> axes = plot_ecg(np.zeros((2, 2500)), sampling_rate=250, lead_names=["MLII", "V1"])
    >>> axes.get_xlabel()
    'time (s); 25 mm/s, 10 mm/mV'
    """
    recording = recording_of(signal, relevance, sampling_rate, lead_names, units, start)
    drawing = lay_out(
        recording,
        r_peaks=r_peaks,
        beat_labels=beat_labels,
        layout=layout,
        rhythm_lead=rhythm_lead,
        gain=gain,
        limit=limit,
        percentile=percentile,
        cmap=cmap,
    )
    drawing = replace(drawing, method=method)
    if axes is not None:
        draw_on(axes, drawing, title)
        return axes
    return page([Block("", [panel(drawing, own_scale(drawing), title)])])[0]
