"""The tables of docs/evidence_real.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from real_data.methods import BASELINE
from real_data.numbers import FAITHFULNESS, LOCALIZATION, below_noise

Found = Mapping[str, Any]
Cell = Callable[[str], str]

TITLES = {
    "srg": "SRG",
    "aopc": "AOPC",
    "faithfulness_correlation": "faithfulness correlation",
    "relevance_mass": "mass (%)",
    "relevance_rank": "rank (%)",
    "pointing_game": "pointing (%)",
    "auc": "AUC (%)",
    "average_sensitivity": "average sensitivity",
    "max_sensitivity": "max-sensitivity",
    "mprt": "MPRT",
    "emprt": "eMPRT",
    "random_logit": "random logit",
    "gini": "Gini",
    "entropy": "entropy",
    "completeness": "completeness",
}
_TWIN_METRICS = (*FAITHFULNESS, *LOCALIZATION, "average_sensitivity", "mprt", "random_logit")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table: so many columns to the left, numbers to the right."""
    lines = [header, [*["---"] * words, *["---:"] * (len(header) - words)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, metric: str = "", signed: bool = False) -> str:
    """As it stands in the tables: two digits behind the point, localization in percent with none.

    >>> number(0.123), number(0.123, "auc"), number(-0.004, signed=True), number(None), number(12345.6)
    ('0.12', '12', '0.00', '-', '1.2e+04')
    """
    if value is None:
        return "-"
    scaled, digits = (100 * value, 0) if metric in LOCALIZATION else (value, 2)
    if abs(scaled) >= 1000:
        return f"{scaled:.1e}"
    text = f"{scaled:{'+' if signed else ''}.{digits}f}"
    return text if float(text) else text.lstrip("+-")


def with_interval(estimate: Sequence[float | None], metric: str = "") -> str:
    """A mean and the ends of its interval.

    >>> with_interval([0.5, 0.25, 0.75])
    '0.50 (0.25, 0.75)'
    """
    mean, low, high = (number(value, metric) for value in estimate)
    return mean if low == "-" else f"{mean} ({low}, {high})"


def score_cell(found: Found, metric: str) -> Cell:
    """What a method scores: the best mean in bold; o where the interval of the difference does not say that it is better than noise."""
    rows = found["metrics"][metric]

    def cell(method: str) -> str:
        row = rows[method]
        text = with_interval(row["mean"], metric)
        if method != BASELINE and _is_level_with_noise(row):
            text += " o"
        return f"**{text}**" if row["rank"] == 1 else text

    return cell


def _is_level_with_noise(row: Found) -> bool:
    low = row["better than noise"][1]
    return low is not None and low <= 0


def by_method(found: Found, columns: Mapping[str, Cell]) -> str:
    """A row for each method."""
    return table(["method", *columns], [[f"`{method}`", *(cell(method) for cell in columns.values())] for method in found["methods"]])


# Beats


def beat_tables(found: Found) -> dict[str, str]:
    """By place."""
    sets = found["sets"]
    first = next(iter(sets.values()))
    return {
        "beats": _explained(found),
        "beats faithfulness": _scores(sets, ("srg", "faithfulness_correlation")),
        "beats localization": _localization(sets),
        "beats agreement": agreement_table(sets),
        "beats consistency": robustness_table(sets, ("average_sensitivity", "max_sensitivity")),
        "beats randomization": randomization_table(sets, ("mprt", "emprt", "random_logit")),
        "beats rest": by_method(first, {TITLES[metric]: score_cell(first, metric) for metric in ("gini", "entropy", "completeness")}),
        "beats sign": "\n\n".join(f"{name} beats:\n\n{twin_table(one)}" for name, one in sets.items()),
        "beats noise": noise_table(sets),
    }


def _explained(found: Found) -> str:
    return "\n".join(_explained_of(name, one) for name, one in found["sets"].items())


def _explained_of(name: str, found: Found) -> str:
    each = ", ".join(
        f"{record}: {count} of {found['told'][record]} told of {found['annotated'][record]}" for record, count in found["explained"].items()
    )
    total, again = sum(found["explained"].values()), sum(found["explained again"].values())
    return f"- **{name}**: {total} beats of {len(found['explained'])} patients ({each}); {again} of them where a metric explains again."


def _scores(sets: Mapping[str, Found], metrics: Sequence[str]) -> str:
    columns = {f"{TITLES[metric]}, {name}": score_cell(one, metric) for metric in metrics for name, one in sets.items()}
    return by_method(next(iter(sets.values())), columns)


def _localization(sets: Mapping[str, Found]) -> str:
    (first, found), *others = sets.items()
    columns = {f"{TITLES[metric]}, {first}": score_cell(found, metric) for metric in LOCALIZATION}
    columns |= {f"{TITLES['relevance_mass']}, {name}": score_cell(one, "relevance_mass") for name, one in others}
    return by_method(found, columns)


# Tables of any samples


def agreement_table(sets: Mapping[str, Found]) -> str:
    """How alike a method's maps are to those of the others, on the mean, and to which most."""
    columns: dict[str, Cell] = {}
    for name, one in sets.items():
        of = f", {name}" if name else ""
        columns |= {f"mean of the others{of}": _mean_agreement(one), f"most alike{of}": _most_alike(one)}
    return by_method(next(iter(sets.values())), columns)


def _others(found: Found, method: str) -> list[tuple[float, str]]:
    row = found["agreement"][found["methods"].index(method)]
    return [(value, other) for value, other in zip(row, found["methods"], strict=True) if other != method]


def _mean_agreement(found: Found) -> Cell:
    return lambda method: number(sum(value for value, _ in _others(found, method)) / len(_others(found, method)))


def _most_alike(found: Found) -> Cell:
    def cell(method: str) -> str:
        value, other = max(_others(found, method))
        return f"{number(value)} `{other}`"

    return cell


def robustness_table(sets: Mapping[str, Found], metrics: Sequence[str]) -> str:
    """The rank correlation of maps before and after noise, and sensitivities."""
    columns: dict[str, Cell] = {}
    for name, one in sets.items():
        for level in one["consistency"]:
            title = f"{100 * level['noise']:g} % noise{f', {name}' if name else ''} ({level['same class']} of {level['of']})"
            columns[title] = _consistency_cell(level)
    first = next(iter(sets.values()))
    columns |= {TITLES[metric]: score_cell(first, metric) for metric in metrics}
    return by_method(first, columns)


def _noise_columns(found: Found) -> dict[str, Cell]:
    return {
        f"{100 * level['noise']:g} % noise ({level['same class']} of {level['of']})": _consistency_cell(level)
        for level in found["consistency"]
    }


def _consistency_cell(level: Found) -> Cell:
    return lambda method: number(level["methods"][method][0])


def randomization_table(sets: Mapping[str, Found], metrics: Sequence[str]) -> str:
    """The similarity of maps to those of random networks, and what metrics make of it; of the first samples."""
    found = next(iter(sets.values()))
    places = ("last layer random", "half of the layers", "all layers")
    columns: dict[str, Cell] = {title: _random_cell(found, place) for place, title in enumerate(places)}
    columns |= {TITLES[metric]: score_cell(found, metric) for metric in metrics}
    return by_method(found, columns)


def _random_cell(found: Found, place: int) -> Cell:
    return lambda method: with_interval(found["randomization"][method][place])


def twin_table(found: Found) -> str:
    """What SIGN gains against its twins; in bold where the interval leaves out 0."""
    metrics = [metric for metric in _TWIN_METRICS if metric in found["metrics"]]
    rows = [[f"`{pair['sign']}`", f"`{pair['twin']}`", *(_gain(pair[metric], metric) for metric in metrics)] for pair in found["twins"]]
    return table(["SIGN", "twin", *(TITLES[metric] for metric in metrics)], rows, words=2)


def _gain(estimate: Sequence[float | None], metric: str) -> str:
    mean, low, high, _ = estimate
    text = number(mean, metric, signed=True)
    return f"**{text}**" if low is not None and high is not None and (low > 0 or high < 0) else text


def noise_table(sets: Mapping[str, Found]) -> str:
    """Where ``random_uniform`` stands by the metrics of faithfulness and localization, which methods are below it, and whether |R| is."""
    rows = []
    for name, one in sets.items():
        for metric in (*FAITHFULNESS, *LOCALIZATION):
            if metric in one["metrics"]:
                rows.append([*([name] if name else []), f"`{metric}`", *_noise_row(one, metric)])
    header = [
        *(["beats"] if "" not in sets else []),
        "metric",
        "noise",
        "its rank",
        "methods that are worse than noise (and their \\|R\\|)",
    ]
    return table(header, rows, words=len(header))


def _noise_row(found: Found, metric: str) -> list[str]:
    rows = found["metrics"][metric]
    worse = [f"`{method}` ({_by_size(found, metric, method)})" for method in below_noise(found["metrics"], metric)]
    rank = f"{rows[BASELINE]['rank']:g} of {len(rows)}"
    return [with_interval(rows[BASELINE]["mean"], metric), rank, ", ".join(worse) or "none"]


def _by_size(found: Found, metric: str, method: str) -> str:
    _, low, high = found["magnitudes"][metric][method]
    if low is None:
        return "unknown"
    return "better" if low > 0 else "worse" if high < 0 else "level"


# Photographs


def photo_tables(found: Found) -> dict[str, str]:
    """By place."""
    sets = found["sets"]
    one = sets[""]
    scores = ("srg", "aopc", "faithfulness_correlation", "average_sensitivity", "mprt", "random_logit", "gini", "completeness")
    return {
        "photos": _photos(found["photos"]),
        "photos scores": by_method(one, {TITLES[metric]: score_cell(one, metric) for metric in scores} | _noise_columns(one)),
        "photos sign": twin_table(one),
        "photos agreement": agreement_table(sets),
        "photos noise": noise_table(sets),
    }


def _photos(photos: Sequence[Found]) -> str:
    header = ["photograph", "from", "license", "by", "predicted"]
    rows = [
        [
            *(f"`{photo['name']}`", f"{photo['project']} {photo['version']}", photo["license"], photo["credit"]),
            f"{photo['predicted']} ({100 * photo['probability']:.0f} %)",
        ]
        for photo in photos
    ]
    return table(header, rows, words=len(header))
