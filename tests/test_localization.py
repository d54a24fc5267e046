"""The study of where relevance lies: its measures on cases made by hand, and the script from records to tables."""

import doctest
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import save_file

from signxai import explain, parse_method
from signxai.timeseries.beat_network import BEAT_CLASSES, BeatNetwork

ROOT = Path(__file__).parents[1]
EXCERPTS = [path for folder in ("tests/data/ecg", "src/signxai/data") for path in (ROOT / folder).glob("2*_*s.*")]
SCRIPT = ROOT / "examples" / "ecg" / "localize.py"

sys.path.append(str(SCRIPT.parent))
document = importlib.import_module("document")
localize = importlib.import_module("localize")
measures = importlib.import_module("localization_measures")
report = importlib.import_module("localization_report")

INSIDE = np.array([False, True, True, False])


def one_map(*leads):
    return np.array([leads], dtype=np.float64)


# The window


def test_the_window_is_100_ms_to_either_side_of_the_beat():
    inside = measures.qrs_window(792, 432, 360.0)
    assert np.flatnonzero(inside).tolist() == list(range(432 - 36, 432 + 36 + 1))
    assert measures.qrs_window(10, 5, 20.0).tolist() == [False] * 3 + [True] * 5 + [False] * 2


# The share of positive relevance


@pytest.mark.parametrize(
    ("relevance", "expected"),
    [
        pytest.param([[0, 1, 0, 0]], 1.0, id="inside"),
        pytest.param([[1, 0, 0, 0]], 0.0, id="outside"),
        pytest.param([[1, 2, 0, 1]], 0.5, id="half of it"),
        pytest.param([[1, 2, -7, -9]], 2 / 3, id="negative relevance does not count"),
        pytest.param([[0, 3, 0, 0], [1, 0, 0, 0]], 0.75, id="of both leads together"),
        pytest.param([[1, -1, 0, 0], [-1, 1, 0, 0]], 0.5, id="leads do not cancel"),
        pytest.param([[0, -1, 0, 0]], 0.0, id="none is positive"),
        pytest.param([[0, 0, 0, 0]], 0.0, id="none at all"),
        pytest.param([[5, 5, 5, 5]], 0.5, id="the same everywhere: the window's part of the samples"),
    ],
)
def test_the_share_of_maps_made_by_hand(relevance, expected):
    assert measures.positive_share(one_map(*relevance), INSIDE).tolist() == [expected]


finite = arrays(np.float64, (2, 3, 4), elements=st.floats(-1e3, 1e3).filter(lambda value: value == 0 or abs(value) > 1e-3))


@given(finite)
def test_shares_inside_and_outside_make_one(maps):
    both = measures.positive_share(maps, INSIDE) + measures.positive_share(maps, ~INSIDE)
    assert both == pytest.approx(1.0 - measures.without_positive(maps), abs=1e-12)


@given(finite, st.sampled_from([0.25, 2.0, 1024.0]))
def test_what_a_map_scores_does_not_depend_on_its_scale(maps, factor):
    assert np.array_equal(localize.scores(maps, INSIDE), localize.scores(factor * maps, INSIDE))


@given(finite)
def test_what_a_map_scores_does_not_depend_on_the_order_of_leads_or_beats(maps):
    expected = localize.scores(maps, INSIDE)
    assert np.allclose(localize.scores(maps[:, ::-1], INSIDE), expected, atol=1e-12)
    assert np.array_equal(localize.scores(maps[::-1], INSIDE), expected[::-1])


# The pointing game


@pytest.mark.parametrize(
    ("relevance", "expected"),
    [
        pytest.param([[0, 1, 0, 0]], 1.0, id="inside"),
        pytest.param([[2, 1, 1, 1]], 0.0, id="outside"),
        pytest.param([[-9, 1, 0, 0]], 1.0, id="the largest, not the largest absolute"),
        pytest.param([[0, 1, 0, 0], [0, 0, 0, 2]], 0.0, id="in any lead"),
        pytest.param([[3, 3, 0, 0]], 0.5, id="two share it, one inside"),
        pytest.param([[0, 3, 3, 3]], 2 / 3, id="three share it, two inside"),
        pytest.param([[0, 3, 0, 0], [0, 3, 0, 3]], 0.5, id="a sample counts once, in however many leads"),
        pytest.param([[5, 5, 5, 5]], 0.5, id="the same everywhere: the window's part of the samples"),
        pytest.param([[-2, -1, -2, -2]], 0.0, id="none is positive"),
        pytest.param([[0, 0, 0, 0]], 0.0, id="none at all"),
    ],
)
def test_where_maps_made_by_hand_point(relevance, expected):
    assert measures.points_inside(one_map(*relevance), INSIDE).tolist() == [expected]


def test_maps_without_positive_relevance_are_counted():
    maps = np.array([[[0, -1, 0, 0]], [[0, 0, 0, 0]], [[-1, 0, 0, 1e-9]]])
    assert measures.without_positive(maps).tolist() == [1, 1, 0]
    assert localize.scores(maps, INSIDE)[:, 2].tolist() == [1, 1, 0]


# Means over beats


def test_the_mean_is_over_beats_and_the_interval_over_patients():
    # Two patients of two: AA, AB and BB are drawn in 1, 2 and 1 of 4 cases, so that 95 % reach from AA to BB.
    estimate = measures.mean_over_beats([np.array([0.0, 0.0, 0.3]), np.array([0.9])])
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((1.2 / 4, 0.1, 0.9))


def test_patients_who_are_alike_leave_no_doubt():
    estimate = measures.mean_over_beats([np.array([0.25, 0.75]), np.array([0.5]), np.array([0.5] * 7)])
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, 0.5, 0.5)


def test_the_interval_is_that_of_drawing_patients_one_by_one():
    rng = np.random.default_rng(5)
    patients = [rng.random(beats) for beats in (1, 40, 7, 12, 3)]
    draws = [rng.integers(5, size=5) for _ in range(20_000)]
    means = [np.concatenate([patients[index] for index in draw]).mean() for draw in draws]
    estimate = measures.mean_over_beats(patients)
    assert (estimate.low, estimate.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.01)
    assert estimate.mean == pytest.approx(np.concatenate(patients).mean())


def test_the_seed_fixes_the_interval():
    patients = [np.array([value]) for value in (0.1, 0.2, 0.5, 0.9)]
    assert measures.mean_over_beats(patients, resamples=99) == measures.mean_over_beats(patients, resamples=99)
    assert measures.mean_over_beats(patients, resamples=99) != measures.mean_over_beats(patients, resamples=99, seed=1)


def test_differences_are_taken_beat_by_beat():
    # Each beat gains 0.1, however much the beats of the patients differ.
    plain = [np.array([[0.0, 0.0, 0.0], [0.8, 0.0, 0.0]]), np.array([[0.3, 0.0, 0.0]])]
    found = {"gradient": plain, "lrp_z": [values + np.array([0.1, 0.0, 0.0]) for values in plain]}
    numbers = localize._of_method("lrp_z", found)
    assert numbers["share"]["minus gradient"] == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1})
    assert numbers["pointing"]["minus gradient"] == {"mean": 0, "low": 0, "high": 0}
    assert localize._of_sign("lrp_z", "gradient", found)["share"]["patients above"] == 2


# Methods and maps


def test_every_method_is_in_the_grammar_and_every_sign_has_its_twin():
    for method in localize.METHODS:
        if method != localize.AMPLITUDE:
            assert str(parse_method(method)) in (method, "input_t_gradient")
    twins = {method: localize.without_sign(method) for method in localize.METHODS if "sign_" in method or method.endswith("_x_sign")}
    assert len(twins) == 11
    assert set(twins.values()) <= set(localize.METHODS)
    assert len(set(localize.METHODS)) == len(localize.METHODS)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return BeatNetwork().eval()


def test_maps_that_are_shared_are_those_that_explain_gives(net):
    x = torch.randn(2, 2, 792, generator=torch.Generator().manual_seed(1))
    maps = dict(localize.maps_of(net, x, localize.METHODS))
    assert list(maps) == list(localize.METHODS)
    assert np.array_equal(maps.pop(localize.AMPLITUDE), x.abs())
    for method, relevance in maps.items():
        expected = explain(net, x, method, target_class=BEAT_CLASSES.index("V"))
        assert np.allclose(relevance, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()), method


@pytest.mark.parametrize("module", [localize, report])
def test_examples_in_docstrings_run(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


# The document's places


def test_a_place_is_filled_and_can_be_filled_again():
    text = "before\n<!-- figures:begin -->\nold\n<!-- figures:end -->\nbehind <!-- other:begin --><!-- other:end -->\n"
    once = document.filled(text, "figures", "new \\1")
    assert once == "before\n<!-- figures:begin -->\nnew \\1\n<!-- figures:end -->\nbehind <!-- other:begin --><!-- other:end -->\n"
    assert document.filled(once, "figures", "old") == text


def test_a_document_without_the_place_is_refused():
    with pytest.raises(ValueError, match="no place for figures"):
        document.filled("<!-- other:begin --><!-- other:end -->", "figures", "new")


def test_the_network_is_reported_by_class_and_confusion():
    training = {
        "classes": ["N", "V"], "reported on": ["100", "103"], "confusion": [[98, 2], [1, 9]],
        "figures": {
            "N": {"sensitivity": 0.98, "precision": 0.9899, "F1": 0.9849, "beats": 100},
            "V": {"sensitivity": 0.9, "precision": 0.8182, "F1": 0.8571, "beats": 10},
        },
    }  # fmt: skip
    text = document.network_figures(training)
    assert text.startswith("Beats of the records 100, 103:\n")
    assert "| V | 10 | 90.0 % | 81.8 % | 85.7 % | 1 | 9 |" in text.splitlines()


def test_only_blocks_of_python_that_save_a_picture_are_drawn():
    text = "```python\na = 1\n```\n```python\nfigure.savefig('a.png')\n```\n```bash\nfigure.savefig('b.png')\n```\n"
    assert document.blocks_that_draw(text) == ["figure.savefig('a.png')\n"]


# The script, as it is called


@pytest.fixture
def output(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "ecg.md").write_text("# ECG\n<!-- localization:begin -->\n<!-- localization:end -->\nbehind\n")
    return tmp_path


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The bundled excerpts as a folder of records."""
    folder = tmp_path_factory.mktemp("database")
    for path in EXCERPTS:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a network that takes every beat for a ventricular one."""
    torch.manual_seed(0)
    net = BeatNetwork()
    with torch.no_grad():
        net.head[-1].bias[BEAT_CLASSES.index("V")] += 100
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(net.state_dict(), path)
    return path


METHODS = ("random_uniform", "gradient", "gradient_x_input", "gradient_x_sign")


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip


@pytest.fixture
def on_excerpts(database, weights):
    records = ("--records", "208_1020s", "233_1655s")
    return lambda *arguments: run(database, *records, "--weights", weights, "--limit", 5, "--methods", *METHODS, *arguments)


def test_from_records_to_tables_figure_and_numbers(output, on_excerpts):
    numbers = output / "numbers.json"
    done = on_excerpts("--output", output, "--numbers", numbers)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in output.iterdir()) == ["ecg.md", "images", "numbers.json"]
    found = json.loads(numbers.read_text())
    assert found["chance"] == 73 / 792
    assert [(patient["record"], patient["explained"]) for patient in found["patients"]] == [("208_1020s", 5), ("233_1655s", 5)]
    assert [row["method"] for row in found["methods"]] == list(METHODS)
    assert [(row["method"], row["without SIGN"]) for row in found["sign"]] == [("gradient_x_sign", "gradient_x_input")]
    for row in found["methods"]:
        for measure in ("share", "pointing"):
            assert 0 <= row[measure]["low"] <= row[measure]["mean"] <= row[measure]["high"] <= 1
    text = (output / "ecg.md").read_text()
    assert text.startswith("# ECG\n<!-- localization:begin -->\nExplained are 10 V beats of 2 patients")
    assert text.endswith("<!-- localization:end -->\nbehind\n")
    assert all(f"| `{method}` |" in text for method in METHODS)
    picture = (output / "images" / "ecg_localization.png").read_bytes()
    assert picture.startswith(b"\x89PNG")

    again = on_excerpts("--output", output, "--numbers", output / "again.json")
    assert again.returncode == 0, again.stderr
    assert (output / "again.json").read_bytes() == numbers.read_bytes()

    (output / "images" / "ecg_localization.png").unlink()
    redrawn = run("--redraw", "--output", output, "--numbers", numbers)
    assert redrawn.returncode == 0, redrawn.stderr
    assert (output / "ecg.md").read_text() == text
    assert (output / "images" / "ecg_localization.png").read_bytes() == picture


def test_without_output_the_tables_are_printed_and_nothing_is_written(output, on_excerpts):
    before = localize.NUMBERS.read_bytes() if localize.NUMBERS.exists() else None
    done = on_excerpts()
    assert done.returncode == 0, done.stderr
    assert "| `gradient_x_sign` minus `gradient_x_input` |" in done.stdout
    assert (localize.NUMBERS.read_bytes() if localize.NUMBERS.exists() else None) == before


def test_a_document_without_a_place_loses_nothing(output, on_excerpts):
    (output / "ecg.md").write_text("# ECG\n")
    done = on_excerpts("--output", output, "--numbers", output / "numbers.json")
    assert done.returncode != 0
    assert "no place for localization" in done.stderr
    assert (output / "ecg.md").read_text() == "# ECG\n"
    assert not (output / "numbers.json").exists()


@pytest.mark.parametrize("arguments", [(), ("--redraw",), ("--redraw", "mitdb", "--output", "."), ("mitdb", "--methods", "lrp_zz")])
def test_calls_that_make_no_sense_are_refused(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "error:" in done.stderr


# What is committed


def test_the_document_shows_the_numbers_that_are_committed():
    found = json.loads(localize.NUMBERS.read_text(encoding="utf-8"))
    assert f"<!-- localization:begin -->\n{report.tables(found)}\n<!-- localization:end -->" in (ROOT / "docs" / "ecg.md").read_text()
    assert [row["method"] for row in found["methods"]] == list(localize.METHODS)
