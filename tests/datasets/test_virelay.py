"""Exports to ViRelAy: what its files hold is what the store holds, in the places where it looks."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from signxai.common import OptionError, StoreError, TargetError
from signxai.datasets import ArraySource, PictureView, SignalView, Store, ValuesView, cluster_maps, explain_dataset, export_virelay
from signxai.datasets.renderings import PictureRendering, SignalRendering

zarr = pytest.importorskip("zarr")
h5py = pytest.importorskip("h5py")
yaml = pytest.importorskip("yaml")

METHODS = ["gradient_x_input", "lrp_z"]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def network(*shape):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 3)).eval()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Pictures as a network takes them and as they were, of which one cannot be read; with clusters of one method."""
    draw = np.random.default_rng(0)
    colours = draw.integers(0, 256, (50, 3, 8, 6), dtype=np.uint8)
    values = ((colours / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))).astype(np.float32)
    values[4, 0, 0, 0] = np.nan
    labels = ["cat", "dog", "", "owl", "yeti"] * 10
    path = tmp_path_factory.mktemp("virelay") / "maps.zarr"
    targets = [index % 2 for index in range(50)]
    source = ArraySource(values, labels=labels, targets=targets)
    names = {"class_names": ["cat", "dog", "owl"], "view": PictureView(MEAN, STD), "target": "target"}
    store = explain_dataset(network(3, 8, 6), source, METHODS, path, batch_size=8, **names)
    for target in (0, 1):
        cluster_maps(store, "lrp_z", target)
    return Store(path), colours


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "virelay"
    return folder, export_virelay(store[0], folder)


def project(folder, method):
    return yaml.safe_load((folder / f"{method}.project.yaml").read_text())["project"]


def test_the_data_set_is_the_pictures_before_the_preprocessing(store, exported):
    rows = store[0].rows()
    assert list(rows) == [row for row in range(50) if row != 4]
    with h5py.File(exported[0] / "dataset.h5") as file:
        assert file["data"].dtype == np.uint8
        assert np.array_equal(file["data"][:], np.moveaxis(store[1][rows], 1, 3))
        names = [label["name"] for label in json.loads((exported[0] / "label-map.json").read_text())]
        wanted = [str(label) or "no label" for label in store[0].array("label", rows)]
        assert [names[number] for number in file["label"][:]] == wanted
        assert [key.decode() for key in file["key"][:]] == store[0].keys(rows)


@pytest.mark.parametrize("method", METHODS)
def test_attributions_are_the_maps(store, exported, method):
    rows = store[0].rows()
    with h5py.File(exported[0] / f"{method}.attribution.h5") as file, h5py.File(exported[0] / "dataset.h5") as data:
        assert np.array_equal(file["attribution"][:], np.moveaxis(store[0].relevance(method, rows), 1, 3))
        assert np.array_equal(file["prediction"][:], store[0].array("logits", rows))
        assert np.array_equal(file["label"][:], data["label"][:])


def test_analyses_point_to_attributions(store, exported):
    rows = store[0].rows()
    with h5py.File(exported[0] / "lrp_z.analysis.h5") as file:
        assert list(file) == ["00000", "00001"]
        for target in (0, 1):
            found, group = store[0].clusters("lrp_z", target), file[f"{target:05d}"]
            assert np.array_equal(rows[group["index"][:]], found.rows)
            assert next(iter(group["embedding"])) == "tsne"
            assert next(iter(group["cluster"])) == "hdbscan"
            for name, values in found.embeddings.items():
                assert np.array_equal(group["embedding"][name][:], values)
            for name, values in found.clusterings.items():
                assert np.array_equal(group["cluster"][name][:], values)
            assert np.allclose(group["embedding"]["spectral"].attrs["eigenvalue"], found.eigenvalues)
    named = {label["word_net_id"]: label["name"] for label in json.loads((exported[0] / "label-map.json").read_text())}
    assert (named["00000"], named["00001"]) == ("cat", "dog")


def test_projects_name_files_that_are_there(exported):
    folder, projects = exported
    assert projects == [folder / f"{method}.project.yaml" for method in METHODS]
    for method in METHODS:
        content = project(folder, method)
        assert content["attributions"]["attribution_method"] == method
        analyses = content.get("analyses", [])
        assert len(analyses) == (method == "lrp_z")
        files = [content["label_map"], content["dataset"]["path"], *content["attributions"]["sources"]]
        assert all((folder / name).is_file() for name in [*files, *(name for one in analyses for name in one["sources"])])


def test_a_part_is_exported(store, tmp_path):
    export_virelay(store[0].path, tmp_path / "part", ["lrp_z"], "dog")
    rows = store[0].rows(target=1)
    with h5py.File(tmp_path / "part" / "lrp_z.attribution.h5") as file, h5py.File(tmp_path / "part" / "lrp_z.analysis.h5") as analysis:
        assert np.array_equal(file["attribution"][:], np.moveaxis(store[0].relevance("lrp_z", rows), 1, 3))
        assert list(analysis) == ["00001"]
        assert np.array_equal(analysis["00001/index"][:], np.arange(len(rows)))
    assert not (tmp_path / "part" / "gradient_x_input.project.yaml").exists()


def test_an_earlier_export_is_replaced_and_nothing_else(store, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    export_virelay(store[0], folder, ["gradient_x_input"])
    export_virelay(store[0], folder, ["lrp_z"])
    assert not (folder / "gradient_x_input.project.yaml").exists()
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.txt").write_text("cat")
    with pytest.raises(StoreError, match="holds what no export wrote"):
        export_virelay(store[0], other)
    with pytest.raises(StoreError, match="is no folder"):
        export_virelay(store[0], other / "cat.txt")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out", "photos"]


def test_an_export_takes_nothing_with_it_that_is_no_part_of_one(store, tmp_path):
    folder = tmp_path / "out"
    export_virelay(store[0], folder, ["lrp_z"])
    inner = shutil.copytree(store[0].path, folder / "maps.zarr")
    with pytest.raises(StoreError, match=r"holds 'maps\.zarr', which no export wrote"):
        export_virelay(store[0], folder)
    for place in (inner, inner / "out"):
        with pytest.raises(StoreError, match="lies in the store"):
            export_virelay(inner, place)
    with pytest.raises(StoreError, match="lies in it"):
        export_virelay(inner, folder)
    assert len(Store(inner).rows()) == 49
    (folder / "signxai-export.json").write_text("{}")
    with pytest.raises(StoreError, match="does not say what the export wrote"):
        export_virelay(store[0], folder)


def test_an_export_that_ends_early_leaves_what_was_there(store, tmp_path, monkeypatch):
    from signxai.datasets import virelay

    folder = tmp_path / "out"
    export_virelay(store[0], folder, ["lrp_z"])

    def full(export, method):
        raise OSError("no space left")

    monkeypatch.setattr(virelay, "_write_method", full)
    with pytest.raises(OSError, match=f"no space left.*{folder}"):
        export_virelay(store[0], folder)
    assert (folder / "lrp_z.project.yaml").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_grey_and_tiny_pictures_have_three_channels_and_their_sums():
    draw = np.random.default_rng(0)
    rendering = PictureRendering(PictureView(), (1, 2, 9))
    maps = draw.normal(size=(4, 1, 2, 9)).astype(np.float32)
    assert rendering.shape == (4, 18, 3)
    assert np.allclose(rendering.maps(maps).sum((1, 2, 3)), maps.sum((1, 2, 3)), atol=1e-5)
    pictures = rendering.pictures(draw.normal(size=(4, 1, 2, 9)))
    assert (pictures.min(), pictures.max(), pictures.shape) == (0, 255, (4, 4, 18, 3))
    assert (pictures == pictures[..., :1]).all()


@pytest.mark.parametrize("samples", [2, 300, 5000])
def test_signals_are_drawn_with_their_relevance_in_place(samples):
    rendering = SignalRendering(2, samples)
    values = np.zeros((1, 2, samples))
    values[0, 1, samples // 2] = 1.0
    picture = rendering.pictures(values)[0]
    height, width, _ = rendering.shape
    column = np.flatnonzero(rendering._starts() <= samples // 2)[-1]
    assert picture.shape == rendering.shape
    assert (picture[height // 2, column] == 0).all(), "the peak is at the top of the second band"
    assert (picture[height // 2 - 1] == 0).all(), "the first lead is flat at its bottom"
    shown = rendering.maps(values)[0].sum(2)
    assert np.isclose(shown.sum(), 1, atol=1e-5)
    assert not shown[: height // 2].any()
    assert width == max(4, min(samples, 1024))


def test_signals_are_exported(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 2, 50)).astype(np.float32)
    store = explain_dataset(network(2, 50), ArraySource(x), ["lrp_z"], tmp_path / "maps.zarr", view=SignalView(100.0))
    export_virelay(store, tmp_path / "out")
    with h5py.File(tmp_path / "out" / "lrp_z.attribution.h5") as file:
        assert file["attribution"].shape == (12, 128, 50, 3)


@pytest.mark.parametrize("wrong", ["numbers", "no inputs", "no method", "no class", "no entry"])
def test_what_cannot_be_exported_is_refused(wrong, tmp_path, store):
    x = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    numbers = explain_dataset(
        network(5), ArraySource(x), ["lrp_z"], tmp_path / "maps.zarr", keep_inputs=wrong == "numbers", view=ValuesView()
    )
    made, options, error, said = {
        "numbers": (numbers, {}, OptionError, r"its entries are arrays \(5,\); pictures"),
        "no inputs": (numbers, {}, OptionError, "has no 'input'|its entries are arrays"),
        "no method": (store[0], {"methods": ["gradient"]}, OptionError, "has no 'gradient'"),
        "no class": (store[0], {"target": "cow"}, TargetError, "cow"),
        "no entry": (store[0], {"target": 2}, OptionError, "no entry of which 2 is explained"),
    }[wrong]
    with pytest.raises(error, match=said):
        export_virelay(made, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_virelay_reads_it(exported):
    model = pytest.importorskip("virelay.model")
    loaded = model.Project(str(exported[1][1]))
    assert loaded.get_analysis_methods() == ["spectral"]
    assert [category.human_readable_name for category in loaded.get_analysis_categories("spectral")] == ["cat", "dog"]
    assert loaded.get_sample(0).data.shape == loaded.get_attribution(0).data.shape == (8, 6, 3)
    loaded.close()
