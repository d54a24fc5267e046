"""The study of where relevance lies: its measures on cases made by hand, and the script from records to tables."""

import doctest
import importlib
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import save_file

from places import ROOT
from processes import forked
from signxai import explain, parse_method
from signxai.timeseries.beat_network import BEAT_CLASSES, BeatNetwork

EXCERPTS = [path for folder in ("tests/data/ecg", "src/signxai/data") for path in (ROOT / folder).glob("2*_*s.*")]
SCRIPT = ROOT / "examples" / "ecg" / "localize.py"

sys.path.append(str(SCRIPT.parent))
document = importlib.import_module("document")
localize = importlib.import_module("localize")
measures = importlib.import_module("localization.measures")
methods_of = importlib.import_module("localization.methods")
numbers = importlib.import_module("localization.numbers")
report = importlib.import_module("localization.report")

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
    assert localize.scores(one_map(*relevance), INSIDE)[:, 0].tolist() == [expected]


finite = arrays(np.float64, (2, 3, 4), elements=st.floats(-1e3, 1e3).filter(lambda value: value == 0 or abs(value) > 1e-3))


@given(finite)
def test_shares_inside_and_outside_make_one(maps):
    both = localize.scores(maps, INSIDE)[:, 0] + localize.scores(maps, ~INSIDE)[:, 0]
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
    assert localize.scores(one_map(*relevance), INSIDE)[:, 1].tolist() == [expected]


def test_maps_without_positive_relevance_are_counted():
    maps = np.array([[[0, -1, 0, 0]], [[0, 0, 0, 0]], [[-1, 0, 0, 1e-9]]])
    assert measures.without_positive(maps).tolist() == [1, 1, 0]
    assert localize.scores(maps, INSIDE)[:, 2].tolist() == [1, 1, 0]


# Means over beats


def test_the_mean_is_over_beats_and_the_interval_over_patients():
    # Two patients of two: AA, AB and BB are drawn in 1, 2 and 1 of 4 cases, so that 95 % reach from AA to BB.
    estimate = measures.mean_over_beats([np.array([0.0, 0.0, 0.3]), np.array([0.9])])
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1.2 / 4, 0.1, 0.9))


def test_patients_who_are_alike_leave_no_doubt():
    estimate = measures.mean_over_beats([np.array([0.25, 0.75]), np.array([0.5]), np.array([0.5] * 7)])
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)


def test_the_interval_is_that_of_drawing_patients_one_by_one():
    rng = np.random.default_rng(5)
    patients = [rng.random(beats) for beats in (1, 40, 7, 12, 3)]
    draws = [rng.integers(5, size=5) for _ in range(20_000)]
    means = [np.concatenate([patients[index] for index in draw]).mean() for draw in draws]
    estimate = measures.mean_over_beats(patients)
    assert (estimate.low, estimate.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.01)
    assert estimate.value == pytest.approx(np.concatenate(patients).mean())


def test_the_seed_fixes_the_interval():
    patients = [np.array([value]) for value in (0.1, 0.2, 0.5, 0.9)]
    assert measures.mean_over_beats(patients, resamples=99) == measures.mean_over_beats(patients, resamples=99)
    assert measures.mean_over_beats(patients, resamples=99) != measures.mean_over_beats(patients, resamples=99, seed=1)


def test_odds_are_those_of_the_mean_share_over_those_of_the_noise():
    shares, noise = [np.array([0.4, 0.6]), np.array([0.5])], [np.array([0.2, 0.3]), np.array([0.25])]
    estimate = measures.odds_over(shares, noise)  # 1 to 1, and 1 to 3
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((3, 3, 3))


def test_noise_is_no_better_than_itself():
    noise = [np.array([0.1, 0.3]), np.array([0.2]), np.array([0.4, 0.1, 0.1])]
    estimate = measures.odds_over(noise, noise)
    assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)


def test_odds_are_compared_each_with_its_own_noise():
    own, noise = [np.array([0.5]), np.array([0.5])], [np.array([0.1]), np.array([0.1])]  # 1 over 1/9
    other, other_noise = [np.array([0.75]), np.array([0.75])], [np.array([0.4]), np.array([0.4])]  # 3 over 2/3
    estimate = measures.odds_apart(own, noise, other, other_noise)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((2, 2, 2))


# From scores to numbers


@pytest.fixture
def found():
    """Scores of two patients; x_sign and its noise lie 0.1 below x_input and its noise, beat by beat."""
    plain = [np.array([[0.5, 1.0, 0.0], [0.8, 1.0, 0.0]]), np.array([[0.3, 0.0, 0.0]])]
    less = np.array([0.1, 0.0, 0.0])
    noise = [np.full((2, 3), 0.2), np.full((1, 3), 0.2)]
    return {
        "random_uniform": noise,
        "random_uniform_x_input": noise,
        "random_uniform_x_sign": [values - less for values in noise],
        "gradient": [values - 2 * less for values in plain],
        "gradient_x_input": plain,
        "gradient_x_sign": [values - less for values in plain],
    }


def test_differences_are_taken_beat_by_beat(found):
    by_name = {row["method"]: row for row in numbers.of_methods(found)}
    assert list(by_name) == list(found)
    assert by_name["gradient_x_input"]["share"]["minus gradient"] == pytest.approx({"value": 0.2, "low": 0.2, "high": 0.2})
    assert by_name["gradient_x_input"]["pointing"]["minus gradient"] == {"value": 0, "low": 0, "high": 0}
    assert by_name["gradient_x_input"]["share"]["of each patient"] == [0.65, 0.3]
    assert by_name["random_uniform_x_sign"]["odds over noise"]["value"] == 1


def test_sign_is_held_against_its_twin(found):
    noise, gradient = numbers.of_sign(found)
    assert (noise["method"], noise["without SIGN"]) == ("random_uniform_x_sign", "random_uniform_x_input")
    assert (gradient["method"], gradient["without SIGN"]) == ("gradient_x_sign", "gradient_x_input")
    assert gradient["share"] == pytest.approx({"value": -0.1, "low": -0.1, "high": -0.1, "patients above": 0})
    own, plain = np.mean([0.4, 0.7, 0.2]), np.mean([0.5, 0.8, 0.3])
    factor = (own / (1 - own) / (0.1 / 0.9)) / (plain / (1 - plain) / (0.2 / 0.8))
    assert gradient["odds over noise"]["value"] == pytest.approx(factor)
    assert gradient["odds over noise"]["patients above"] == 2
    assert noise["odds over noise"]["value"] == 1
    assert gradient["pointing"] == {"value": 0, "low": 0, "high": 0, "patients above": 0}  # as much is not more


def test_odds_of_each_patient():
    patients, noise = [np.array([0.3, 0.5]), np.array([1.0])], [np.array([0.25, 0.25]), np.array([0.5])]
    first, second = numbers._odds(patients, noise)  # 2 to 3 over 1 to 3; all of it inside
    assert first == pytest.approx(2)
    assert 1e100 < second < np.inf


# Methods and maps


def test_every_method_is_in_the_grammar_and_every_sign_has_its_twin():
    assert len(set(methods_of.METHODS)) == len(methods_of.METHODS)
    for method in methods_of.METHODS:
        parse_method(method)
    with_sign = [method for method in methods_of.METHODS if methods_of.factor(method) == "sign"]
    assert len(with_sign) == 12
    assert {methods_of.factor(methods_of.without_sign(method)) for method in with_sign} == {"value"}
    assert {methods_of.without_sign(method) for method in with_sign} <= set(methods_of.METHODS)
    assert all(methods_of.without_sign(method) is None for method in methods_of.METHODS if method not in with_sign)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return BeatNetwork().eval()


def test_maps_that_are_shared_are_those_that_explain_gives(net):
    x = torch.randn(2, 2, 792, generator=torch.Generator().manual_seed(1))
    maps = dict(localize.maps_of(net, x, methods_of.METHODS, seed=3))
    assert list(maps) == list(methods_of.METHODS)
    for method, relevance in maps.items():
        expected = explain(net, x, method, target_class=BEAT_CLASSES.index("V"), seed=3)
        assert np.allclose(relevance, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()), method


@pytest.mark.parametrize("factor_name", ["value", "sign", "none"])
def test_what_contains_the_input_vanishes_or_turns_with_it(net, factor_name):
    """Where the input is 0, a map with its value is 0; a map with its sign is not."""
    x = torch.randn(1, 2, 792, generator=torch.Generator().manual_seed(2))
    x[..., 300:500] = 0.0
    for method, relevance in localize.maps_of(net, x, methods_of.METHODS):
        if methods_of.factor(method) == factor_name and not method.startswith("random"):
            assert (np.abs(relevance[..., 300:500]).max() > 0) == (factor_name != "value"), method


@pytest.mark.parametrize("module", [methods_of, report])
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


CHOSEN = ("gradient_x_input", "gradient_x_sign")
METHODS = ("random_uniform", "random_uniform_x_input", "random_uniform_x_sign", "gradient", *CHOSEN)


@pytest.fixture
def on_excerpts(database, weights):
    return [database, "--records", "208_1020s", "233_1655s", "--weights", weights, "--limit", 5, "--methods", *CHOSEN]


@pytest.fixture
def in_this_process():
    """The script without loading torch again; that it asks for deterministic algorithms does not last."""
    yield lambda *arguments: localize.main([str(argument) for argument in arguments])
    torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_from_records_to_tables_figure_and_numbers(output, on_excerpts, in_this_process):
    numbers = output / "numbers.json"
    done = forked("-W", "error", SCRIPT, *on_excerpts, "--output", output, "--numbers", numbers, PYTHONPATH=str(ROOT / "src"))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in output.iterdir()) == ["ecg.md", "images", "numbers.json"]
    found = json.loads(numbers.read_text())
    assert found["chance"] == 73 / 792
    assert [(patient["record"], patient["explained"]) for patient in found["patients"]] == [("208_1020s", 5), ("233_1655s", 5)]
    assert [row["method"] for row in found["methods"]] == list(METHODS)
    assert [row["method"] for row in found["sign"]] == ["random_uniform_x_sign", "gradient_x_sign"]
    for row in found["methods"]:
        for measure in ("share", "pointing"):
            assert 0 <= row[measure]["low"] <= row[measure]["value"] <= row[measure]["high"] <= 1
    text = (output / "ecg.md").read_text()
    assert text.startswith("# ECG\n<!-- localization:begin -->\nExplained are 10 V beats of 2 patients")
    assert text.endswith("<!-- localization:end -->\nbehind\n")
    assert all(f"| `{method}` |" in text for method in METHODS)
    picture = (output / "images" / "ecg_localization.png").read_bytes()
    assert picture.startswith(b"\x89PNG")

    in_this_process(*on_excerpts, "--output", output, "--numbers", output / "again.json")
    assert (output / "again.json").read_bytes() == numbers.read_bytes()

    (output / "images" / "ecg_localization.png").unlink()
    in_this_process("--redraw", "--output", output, "--numbers", numbers)
    assert (output / "ecg.md").read_text() == text
    assert (output / "images" / "ecg_localization.png").read_bytes() == picture


def test_without_output_the_tables_are_printed_and_nothing_is_written(on_excerpts, in_this_process, capsys):
    before = localize.NUMBERS.read_bytes() if localize.NUMBERS.exists() else None
    in_this_process(*on_excerpts)
    assert "| `gradient_x_sign` | -" in capsys.readouterr().out
    assert (localize.NUMBERS.read_bytes() if localize.NUMBERS.exists() else None) == before


def test_a_document_without_a_place_is_refused_before_anything_is_measured(output):
    (output / "ecg.md").write_text("# ECG\n")
    with pytest.raises(ValueError, match="no place for localization"):
        localize.main(["no such folder", "--output", str(output), "--numbers", str(output / "numbers.json")])
    assert (output / "ecg.md").read_text() == "# ECG\n"
    assert not (output / "numbers.json").exists()


@pytest.mark.parametrize("arguments", [(), ("--redraw",), ("--redraw", "mitdb", "--output", "."), ("mitdb", "--methods", "lrp_zz")])
def test_calls_that_make_no_sense_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        localize.main(arguments)
    assert refused.value.code == 2
    assert "error:" in capsys.readouterr().err


# What is committed


def test_the_document_shows_the_numbers_that_are_committed():
    found = json.loads(localize.NUMBERS.read_text(encoding="utf-8"))
    assert f"<!-- localization:begin -->\n{report.tables(found)}\n<!-- localization:end -->" in (ROOT / "docs" / "ecg.md").read_text()
    assert [row["method"] for row in found["methods"]] == list(methods_of.METHODS)
