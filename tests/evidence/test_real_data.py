"""Methods on real data: what is drawn, what the numbers mean, and that those that are committed are of these scripts."""

import doctest
import importlib
import importlib.util
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from places import ROOT
from signxai import compare_methods, parse_method
from signxai.timeseries.beat_network import AFTER_S, BEFORE_S, SAMPLING_RATE, load_beat_network

FOLDER = ROOT / "examples" / "evidence"
DOCUMENT = ROOT / "docs" / "evidence_real.md"
sys.path.append(str(FOLDER))
beats, methods, numbers, photographs, tables, written = (
    importlib.import_module(f"real_data.{name}") for name in ("beats", "methods", "numbers", "photos", "tables", "written")
)


def _script(name):
    spec = importlib.util.spec_from_file_location(f"{name}_script", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


heart_beats, photos = _script("heart_beats"), _script("photos")
OF_BEATS = json.loads((FOLDER / "heart_beats.json").read_text(encoding="utf-8"))
OF_PHOTOS = json.loads((FOLDER / "photos.json").read_text(encoding="utf-8"))
EXCERPTS = ("208_1020s", "233_1655s")


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    yield torch.set_num_threads(1)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The bundled excerpts as a folder of records."""
    folder = tmp_path_factory.mktemp("database")
    for path in (path for part in ("tests/data/ecg", "src/signxai/data") for path in (ROOT / part).glob("2*_*s.*")):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def net():
    return load_beat_network()


# What is explained


def test_beats_are_drawn_by_seed_from_those_that_the_network_tells(database, net):
    drawn = beats.beats_of(database, EXCERPTS, "V", net, 3, 0)
    assert drawn.records == ("208_1020s",) * 3 + ("233_1655s",) * 3
    assert (net(drawn.x).argmax(1) == 2).all()
    assert all(3 <= drawn.told[record] <= drawn.annotated[record] for record in EXCERPTS)
    assert torch.equal(beats.beats_of(database, EXCERPTS, "V", net, 3, 0).x, drawn.x)
    assert not torch.equal(beats.beats_of(database, EXCERPTS, "V", net, 3, 1).x, drawn.x)
    assert torch.equal(beats.beats_of(database, EXCERPTS[1:], "V", net, 3, 0).x, drawn.x[3:])  # whichever others there are


class _Tells(torch.nn.Module):
    """A network that takes so many beats, and no others, for ventricular ones."""

    def __init__(self, beats_of_record):
        super().__init__()
        self.told = beats_of_record

    def forward(self, x):
        is_told = (x[:, None] == self.told[None]).flatten(2).all(-1).any(1).float()
        return torch.stack([1 - is_told, 0 * is_told, is_told, 0 * is_told], dim=1)


def test_records_without_beats_that_are_told_are_left_out(database):
    told = beats._annotated(database, "233_1655s", "V")[:2]
    drawn = beats.beats_of(database, EXCERPTS, "V", _Tells(told), 3, 0)
    assert drawn.records == ("233_1655s",) * 2
    assert drawn.told == {"233_1655s": 2}
    assert list(drawn.annotated) == list(EXCERPTS)
    assert sorted(drawn.x.sum((1, 2)).tolist()) == pytest.approx(sorted(told.sum((1, 2)).tolist()))


def test_where_no_beat_is_told_there_is_nothing_to_explain(database):
    with pytest.raises(SystemExit, match="error: the network tells no V beat of the records 208_1020s, 233_1655s"):
        beats.beats_of(database, EXCERPTS, "V", _Tells(torch.zeros(1, 2, 792)), 3, 0)


def test_the_first_beats_of_each_patient():
    own = beats.Beats(torch.arange(5.0)[:, None], ("a", "a", "a", "b", "b"), {}, {})
    assert own.first(2).x[:, 0].tolist() == [0, 1, 3, 4]
    assert own.first(1).records == ("a", "b")


def test_the_mask_is_100_ms_to_either_side_of_the_beat():
    samples = round((BEFORE_S + AFTER_S) * SAMPLING_RATE)
    expected = [abs(place / SAMPLING_RATE - BEFORE_S) <= 0.1 + 1e-9 for place in range(samples)]
    assert beats.qrs_mask(2, samples).tolist() == [expected, expected]


def test_the_records_are_those_on_which_the_network_was_reported():
    training = json.loads((ROOT / "src" / "signxai" / "data" / "ecg_beats.json").read_text())
    assert list(beats.DS2) == training["reported on"]


def test_photographs_have_a_license_and_are_found_in_their_packages(monkeypatch, tmp_path):
    assert all(photo.license and photo.credit for photo in photographs.PHOTOS)
    [chelsea] = [photo for photo in photographs.PHOTOS if photo.name == "chelsea"]
    assert chelsea.find() == ROOT / "src" / "signxai" / "data" / "chelsea.png"
    for photo in photographs.PHOTOS:
        if photo.package == "sklearn":
            assert photo.find().is_file()
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="the photograph coffee is missing: pip install scikit-image"):
        photographs.PHOTOS[1].find()
    monkeypatch.setattr(photographs, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path)]))
    with pytest.raises(SystemExit, match="pip install scikit-image"):
        photographs.PHOTOS[1].find()


@pytest.mark.parametrize("names", [methods.OF_BEATS, methods.OF_PHOTOS])
def test_there_are_more_than_twenty_methods_and_each_sign_has_its_twin(names):
    assert len(set(names)) == len(names) > 20
    for name in names:
        parse_method(name)
    signs = [name for name in names if methods.factor(name) == "sign"]
    assert [own for own, twin in methods.twins(names) if methods.factor(twin) == "value"] == signs
    assert {methods.factor(twin) for _, twin in methods.twins(names)} == {"value", "none"}


# What the numbers mean


@pytest.fixture(scope="module")
def comparison():
    torch.manual_seed(5)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    groups = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    names = ["gradient", "gradient_x_input", "gradient_x_sign"]
    return compare_methods(model, torch.randn(10, 6), names, 0, metrics=["gini", "mprt", "completeness"], groups=groups)


def test_means_and_gains_over_noise_are_those_of_loops(comparison):
    found = numbers.of_comparison(comparison)
    for metric, sign in (("gini", 1), ("completeness", -1)):
        noise = comparison.scores_of("random_uniform", metric)
        for method in comparison.methods:
            own = comparison.scores_of(method, metric)
            row = found[metric][method]
            assert row["mean"][0] == pytest.approx(np.mean(own), rel=1e-3)
            mean, low, high = row["better than noise"]
            assert mean == pytest.approx(np.mean([sign * (a - b) for a, b in zip(own, noise, strict=True)]), rel=1e-3, abs=1e-9)
            assert low <= mean <= high


def test_the_interval_of_a_gain_is_that_of_drawing_groups(comparison):
    gains = comparison.scores_of("gradient", "gini") - comparison.scores_of("random_uniform", "gini")
    by_group = [gains[comparison.groups == group] for group in range(4)]
    draw = np.random.default_rng(1)
    drawn = [np.concatenate([by_group[own] for own in draw.integers(4, size=4)]).mean() for _ in range(4000)]
    _, low, high = numbers.of_comparison(comparison)["gini"]["gradient"]["better than noise"]
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)


def test_sign_against_its_twins_counts_groups(comparison):
    value, neither = numbers.of_twins(comparison)
    assert (value["twin"], neither["twin"]) == ("gradient_x_input", "gradient")
    gains = comparison.scores_of("gradient_x_input", "completeness") - comparison.scores_of("gradient_x_sign", "completeness")
    above = sum(gains[comparison.groups == group].mean() > 0 for group in range(4))
    assert value["completeness"][3] == above
    assert neither["gini"][0] == 0  # |R| of gradient x sign is |R| of the gradient


def test_similarities_of_randomization_begin_with_the_last_layer(comparison):
    curves = comparison.curves["mprt"].values[""]
    found = numbers.of_randomization(comparison)
    assert np.abs(curves[:3, :, 0].mean(axis=1) - curves[:3, :, 1].mean(axis=1)).min() > 0.01
    for place, method in enumerate(comparison.methods):
        assert [row[0] for row in found[method]] == pytest.approx([curves[place, :, own].mean() for own in (0, 0, 1)], rel=1e-3, abs=1e-6)


def test_noise_that_is_none_leaves_maps_as_they_are_and_noise_that_turns_the_class_does_not_count():
    model = torch.nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]))
    x = torch.tensor([[5.0, 1.0, 2.0, 3.0], [1e-9, 1.0, 2.0, 3.0]])
    found, kept = numbers.consistency(model, x, ["gradient_x_input"], 0, (0.0, 0.3), {}, seed=0)
    assert kept.tolist() == [[True, True], [True, False]]
    assert found[0.0] == pytest.approx(1.0)
    assert (np.isnan(found[0.3][0]) == ~kept[1]).all()


def test_noise_has_the_asked_share_of_each_samples_range():
    x = torch.zeros(2, 50_000)
    x[0, 0], x[1, 0] = 1.0, 10.0
    noise = numbers._noisy(x, 0.1, 0) - x
    assert noise.std(dim=1).tolist() == pytest.approx([0.1, 1.0], rel=0.02)


# What is written


def test_what_is_undefined_is_null_and_numbers_stand_on_one_line():
    assert json.loads(written.as_json({"a": {1: [float("nan"), 2.5]}})) == {"a": {"1": [None, 2.5]}}
    assert written.as_json({"a": [1, 2]}) == '{\n "a": [1, 2]\n}\n'


def test_a_document_without_a_place_has_no_room_for_tables():
    with pytest.raises(ValueError, match="no place for beats"):
        written.filled("text", "beats", "")


@pytest.mark.parametrize("module", [methods, tables, written])
def test_examples_in_docstrings_of_real_data_run(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_marks_in_tables():
    row = {"mean": [0.5, 0.4, 0.6], "better than noise": [0.1, -0.1, 0.3], "rank": 2.0}
    best = {"mean": [0.9, 0.8, 1.0], "better than noise": [0.4, 0.1, 0.6], "rank": 1.0}
    worse = {"mean": [0.1, 0.0, 0.2], "better than noise": [-0.3, -0.5, -0.1], "rank": 4.0}
    noise = {"mean": [0.4, 0.3, 0.5], "better than noise": [0.0, 0.0, 0.0], "rank": 3.0}
    found = {"metrics": {"srg": {"a": row, "b": best, "c": worse, "random_uniform": noise}}}
    cell = tables.score_cell(found, "srg")
    assert [cell(name) for name in ("a", "b", "random_uniform")] == [
        "0.50 (0.40, 0.60) o",
        "**0.90 (0.80, 1.00)**",
        "0.40 (0.30, 0.50)",
    ]
    assert numbers.below_noise(found["metrics"], "srg") == ["c"]


# The scripts


@pytest.fixture
def output(tmp_path):
    """A folder with the document, without its tables."""
    (tmp_path / "images").mkdir()
    committed = [*tables.beat_tables(OF_BEATS), *tables.photo_tables(OF_PHOTOS)]
    (tmp_path / "evidence_real.md").write_text("".join(f"<!-- {place}:begin -->\n<!-- {place}:end -->\n" for place in committed))
    return tmp_path


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_few_beats_from_records_to_tables_and_figures_and_drawn_again(output, database, one_thread):
    where = ["--output", str(output), "--numbers", str(output / "numbers.json")]
    few = ["--beats", "2", "--again", "1", "--steps", "2", "--sensitivity", "1", "--layers", "head.3", "--points", "2"]
    chosen = ["--records", *EXCERPTS, "--classes", "V", "--methods", "gradient", "gradient_x_input", "gradient_x_sign", "smoothgrad"]
    heart_beats.main([str(database), *few, *chosen, *where])
    found = json.loads((output / "numbers.json").read_text())
    assert found["sets"]["V"]["explained"] == dict.fromkeys(EXCERPTS, 2)
    assert set(found["sets"]["V"]["metrics"]) == set(OF_BEATS["sets"]["V"]["metrics"])
    text = (output / "evidence_real.md").read_text()
    assert "4 beats of 2 patients" in text
    assert text.count("| `gradient_x_sign` |") >= 8
    before = files_of(output)
    assert {name for name in before if name.endswith(".png")} == set(heart_beats.FIGURES)
    heart_beats.main(["--redraw", *where])
    assert files_of(output) == before


@pytest.mark.slow
def test_one_photograph_from_its_package_to_tables(output, one_thread, monkeypatch):
    prepared = photos.prepared
    monkeypatch.setattr(photos, "prepared", lambda *arguments: prepared(*arguments)[..., 64:128, 64:128])  # a part of it, for speed
    where = ["--output", str(output), "--numbers", str(output / "numbers.json")]
    photos.main(["--photos", "chelsea", "--again", "1", "--steps", "1", "--layers", "_fc", "--methods", "gradient_x_sign", *where])
    assert "| `chelsea` | signxai" in (output / "evidence_real.md").read_text()
    before = files_of(output)
    photos.main(["--redraw", *where])
    assert files_of(output) == before


@pytest.mark.parametrize("arguments", [(), ("--redraw", "mitdb"), ("mitdb", "--classes", "X")])
def test_calls_of_the_script_that_make_no_sense_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        heart_beats.main(arguments)
    assert refused.value.code == 2
    assert "error:" in capsys.readouterr().err


# What is committed


def test_the_numbers_are_of_these_scripts():
    assert OF_BEATS["parameters"] == heart_beats.parameters(heart_beats.parsed(["mitdb"]))
    assert OF_PHOTOS["parameters"] == photos.parameters(photos.parsed([]))
    assert set(OF_BEATS["sets"]["V"]["metrics"]["srg"]) == set(methods.OF_BEATS)
    assert [photo["name"] for photo in OF_PHOTOS["photos"]] == [photo.name for photo in photographs.PHOTOS]


def test_the_document_has_these_numbers():
    document = DOCUMENT.read_text(encoding="utf-8")
    for place, content in {**tables.beat_tables(OF_BEATS), **tables.photo_tables(OF_PHOTOS)}.items():
        assert written.filled(document, place, content) == document
    assert (FOLDER / "heart_beats.json").read_text(encoding="utf-8") == written.as_json(OF_BEATS)
    assert (FOLDER / "photos.json").read_text(encoding="utf-8") == written.as_json(OF_PHOTOS)


def test_what_the_document_says_of_sign_is_what_was_measured():
    of_value = {
        name: [pair for pair in one["twins"] if methods.factor(pair["twin"]) == "value" and "random" not in pair["sign"]]
        for name, one in OF_BEATS["sets"].items()
    }
    for pairs in of_value.values():
        assert len(pairs) == 8
        assert all(pair["relevance_mass"][2] < 0 for pair in pairs)
        assert all(pair["average_sensitivity"][2] < 0 and pair["average_sensitivity"][3] == 0 for pair in pairs)
        assert not any(pair[metric][1] > 0 for pair in pairs for metric in ("srg", "faithfulness_correlation"))
    lower = {name: sum(pair["srg"][0] < 0 for pair in pairs) for name, pairs in of_value.items()}
    told = {name: sum(pair["srg"][2] < 0 for pair in pairs) for name, pairs in of_value.items()}
    assert (lower, told) == ({"V": 8, "N": 7}, {"V": 5, "N": 4})
    plain = {pair["sign"]: pair["srg"] for pair in OF_BEATS["sets"]["V"]["twins"] if "lrp" not in pair["twin"]}
    assert all(plain[f"{name}_x_sign"][1] > 0 and plain[f"{name}_x_sign"][3] >= 8 for name in ("gradient", "smoothgrad", "guided_backprop"))


def test_noise_is_level_with_chance_on_beats():
    for one in OF_BEATS["sets"].values():
        for metric, chance in {"srg": 0, "faithfulness_correlation": 0, "auc": 0.5, "pointing_game": 73 / 792}.items():
            _, low, high = one["metrics"][metric]["random_uniform"]["mean"]
            assert low - 5e-3 <= chance <= high + 5e-3
        for metric in ("relevance_mass", "relevance_rank"):
            assert one["metrics"][metric]["random_uniform"]["mean"][0] == pytest.approx(73 / 792, abs=0.015)
