"""Do the beats of all patients rest on the QRS complex? The table of docs/datasets.md, of a store that ``signxai run`` wrote.

    signxai run MITDB/{100,103,105,111,200,202,210,213,221,233}.hea --model ecg_beats --beats --beat-classes N,S,V,F \
        --method lrpsign_epsilon_0_25_std_x lrp_epsilon_0_25_std_x gradient_x_input --store beats.zarr --half --batch-size 128
    python examples/ecg/all_beats.py beats.zarr [--document docs/datasets.md]

For each class and record, of the beats that are predicted as they were annotated: how many there are, and the median share of |R| from
80 ms before the annotation to 120 ms behind it, where the QRS complex lies, by each method. The stretch is 9 % of the window.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from document import filled, table

from signxai.datasets import SignalView, Store
from signxai.files import write_atomically

FROM_S, TO_S = -0.08, 0.12
FEWEST = 10
AT_ONCE = 512


def share_on_qrs(store: Store, method: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The share of |R| (n,) about the annotation, read a part of the rows at a time."""
    if not isinstance(store.view, SignalView) or store.view.sampling_rate is None:
        raise SystemExit(f"{store.path}: holds no windows about beats")
    shares = []
    for start in range(0, len(rows), AT_ONCE):
        relevance = np.abs(store.relevance(method, rows[start : start + AT_ONCE]).astype(np.float64)).sum(1)
        time = np.arange(relevance.shape[1]) / store.view.sampling_rate - store.view.zero_at_s
        shares.append(relevance[:, (time >= FROM_S) & (time < TO_S)].sum(1) / relevance.sum(1))
    return np.concatenate(shares)


def lines(store: Store) -> list[list[str]]:
    """A line for each class and record that has at least ten beats predicted as annotated."""
    found = []
    for name in store.class_names:
        for record in sorted(set(store.array("group").tolist())):
            rows = store.rows(label=name, predicted=name, group=record)
            if len(rows) >= FEWEST:
                shares = [f"{100 * np.median(share_on_qrs(store, method, rows)):.0f} %" for method in store.methods]
                annotated = len(store.rows(label=name, group=record))
                found.append([f"{name}, record {record}", str(annotated), f"{100 * len(rows) / annotated:.0f} %", *shares])
    return found


def main() -> None:
    """Do what the first lines say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--document", type=Path)
    arguments = parser.parse_args()
    store = Store(arguments.store)
    content = table(["annotated", "beats", "told", *(f"`{method}`" for method in store.methods)], lines(store))
    if arguments.document is None:
        print(content)
    else:
        text = filled(arguments.document.read_text(), "beats", content)
        write_atomically({arguments.document: lambda path: path.write_text(text)})


if __name__ == "__main__":
    main()
