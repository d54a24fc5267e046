"""Stores with files that are broken or gone: told in a line by whoever opens, reads, or goes on with them, never taken for maps."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from signxai.common import StoreError
from signxai.datasets import ArraySource, Store, cluster_maps, explain_dataset, export_virelay
from signxai.reports import write_report

pytest.importorskip("zarr")

METHOD, LRP = "gradient", "lrp_z"
FAILING, BATCH, COUNT = (3, 4, 5, 7), 3, 14
"""The second batch has nothing but failures, so that its files are not there by right."""


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()


def source():
    values = np.random.default_rng(0).normal(size=(COUNT, 3, 4, 4)).astype("f4")
    values[list(FAILING), 0, 0, 0] = np.nan
    return ArraySource(values, [index % 3 for index in range(COUNT)], groups=["a"] * COUNT)


def go_on(path):
    return explain_dataset(network(), source(), [METHOD, LRP], path, target=1, batch_size=BATCH, dtype="float16")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = go_on(tmp_path_factory.mktemp("whole") / "maps.zarr").path
    cluster_maps(path, METHOD)
    return path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "maps.zarr")


def attributes_of(path, file, **changed):
    """Let the attributes of a group be others."""
    content = json.loads((path / file).read_text())
    content["attributes"] |= changed
    (path / file).write_text(json.dumps(content))


def said_by(call):
    with pytest.raises(StoreError) as raised:
        call()
    [line] = str(raised.value).splitlines()
    return line


def run_with(path, **changed):
    return json.loads((path / "zarr.json").read_text())["attributes"]["run"] | changed


ATTRIBUTES = {
    "run is null": ({"run": None}, "says of its run None"),
    "view is null": ({"view": None}, "says of its view None"),
    "a view of half a kind": ({"view": {"kind": "signal"}}, "says of its view {'kind'"),
    "a view of no kind": ({"view": {"kind": "film", "names": []}}, "says of its view"),
    "class names are null": ({"class_names": None}, "says of its class_names None"),
    "a class without a name": ({"class_names": ["a", None, "c"]}, "says of its class_names"),
    "too few names": ({"class_names": ["a", "b"]}, "names 2 classes, and has logits of 3"),
    "two classes of one name": ({"class_names": ["a", "b", "a"]}, "names two classes 'a'"),
    "arrays are a word": ({"arrays": "label"}, "says of its arrays 'label'"),
    "an array that is not there": ({"arrays": ["sum/lrp_w2"]}, "sum/lrp_w2 is missing or broken"),
    "inputs are a word": ({"inputs": "ecg"}, "says of its inputs 'ecg'"),
    "a batch of none": ({"batch_size": 0}, "says of its batch_size 0"),
    "a batch of words": ({"batch_size": "3"}, "says of its batch_size '3'"),
    "the format as text": ({"format": "1"}, "of the format '1', and formats are counted from 1"),
    "format 0": ({"format": 0}, "of the format 0"),
}


@pytest.mark.parametrize("what", ATTRIBUTES)
def test_what_a_store_says_of_itself_is_checked(what, path):
    changed, said = ATTRIBUTES[what]
    attributes_of(path, "zarr.json", **changed)
    assert said in said_by(lambda: Store(path))


@pytest.mark.parametrize(
    ("name", "value"), [("model", None), ("source", []), ("methods", "x"), ("settings", None), ("options", 1), ("versions", None)]
)
def test_what_a_store_says_of_its_run_is_checked(name, value, path):
    attributes_of(path, "zarr.json", run=run_with(path, **{name: value}))
    assert f"says of its {name} {value!r}" in said_by(lambda: Store(path))


@pytest.mark.parametrize(("name", "value"), [("model", {"name": "net"}), ("source", {"kind": "array"}), ("methods", {}), ("settings", {})])
def test_half_of_what_must_be_said_of_a_run_is_not_enough(name, value, path):
    attributes_of(path, "zarr.json", run=run_with(path, **{name: value}))
    assert f"says of its {name} {value!r}" in said_by(lambda: Store(path))


MANIFESTS = {
    "a batch too many": ({"done": [[0, 6]]}, "lists the batches 0 to 5 of 5"),
    "a batch twice": ({"done": [[0, 3], [2, 5]]}, "lists the batches 2 to 4"),
    "a batch before the first": ({"done": [[-1, 5]]}, "lists the batches -1 to 4"),
    "half a batch": ({"done": [[0, 1.5]]}, "missing or broken"),
    "done is null": ({"done": None}, "missing or broken"),
    "a failure beyond the last": ({"failed": [[14, "14", "broken"]]}, "lists entry 14 of 14 as failed"),
    "a failure before the first": ({"failed": [[-1, "x", "broken"]]}, "lists entry -1 of 14 as failed"),
    "a failure of a batch that is not done": ({"done": [[0, 2]], "failed": [[13, "13", "broken"]]}, "lists entry 13"),
    "a failure without a reason": ({"failed": [[3, "3", None]]}, "lists entry 3"),
    "a failure twice": ({"failed": [[3, "3", "broken"], [3, "3", "broken"]]}, "lists entry 3 of 14 as failed twice"),
    "a failure by another's key": ({"failed": [[3, "4", "broken"]]}, "lists entry 3 as failed and calls it '4', which is '3'"),
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_what_a_manifest_lists_is_in_the_store(what, path):
    changed, said = MANIFESTS[what]
    attributes_of(path, "manifest/zarr.json", **changed)
    assert said in said_by(lambda: Store(path))
    assert said in said_by(lambda: go_on(path))


BROKEN = {
    "key": None,
    "logits": b"",
    "target": b"null",
    f"sum/{METHOD}": b"\xff",
    f"relevance/{METHOD}": b'{"zarr_format": 3, "node_type": "array"}',
    f"absorbed/{LRP}": None,
    "label": b"{",
    "group": None,
    "input": None,
}


@pytest.mark.parametrize("array", BROKEN)
def test_an_array_that_must_be_there_is(array, path):
    file = path / array / "zarr.json"
    file.unlink() if BROKEN[array] is None else file.write_bytes(BROKEN[array])
    assert f"{array} is missing or broken" in said_by(lambda: Store(path))
    assert f"{array} is missing or broken" in said_by(lambda: go_on(path))


@pytest.mark.parametrize("folder", [f"relevance/{METHOD}", "absorbed", f"absorbed/{LRP}", "label", "group", f"rounding/{METHOD}"])
def test_an_array_that_is_gone_is_missed_when_the_store_is_opened(folder, path, tmp_path):
    shutil.rmtree(path / folder)
    for read in (lambda: Store(path), lambda: write_report(path, tmp_path / "report"), lambda: go_on(path)):
        assert f"{folder}{f'/{LRP}' if folder == 'absorbed' else ''} is missing or broken" in said_by(read)


def test_stores_of_early_versions_do_not_list_their_arrays(path):
    content = json.loads((path / "zarr.json").read_text())
    assert sorted(content["attributes"].pop("arrays")) == sorted(
        [f"{kind}/{method}" for kind in ("relevance", "sum", "rounding") for method in (METHOD, LRP)]
        + [f"absorbed/{LRP}", "rounding/input", "key", "label", "group", "input", "logits", "target"]
    )
    (path / "zarr.json").write_text(json.dumps(content))
    shutil.rmtree(path / "group")
    assert len(Store(path).rows(label=1)) == 3


@pytest.mark.parametrize(("array", "shape"), [("key", [13]), ("logits", [14, 2]), (f"relevance/{METHOD}", [14, 1, 4, 4]), ("label", [5])])
def test_arrays_have_the_shape_that_the_run_gave_them(array, shape, path):
    content = json.loads((path / array / "zarr.json").read_text())
    (path / array / "zarr.json").write_text(json.dumps(content | {"shape": shape}))
    assert f"{array} is of the shape {tuple(shape)}" in said_by(lambda: Store(path).array(array))


LOST = {"logits": "c.2.0", "target": "c.2", f"sum/{METHOD}": "c.2", f"relevance/{METHOD}": "c.2.0.0.0", "input": "c.2.0.0.0"}


@pytest.mark.parametrize("array", LOST)
@pytest.mark.parametrize("in_its_place", [Path.touch, Path.mkdir], ids=["an empty file", "a folder"])
def test_a_finished_run_does_not_go_on_over_what_is_no_file_of_a_batch(array, in_its_place, path):
    (path / array / LOST[array]).unlink()
    in_its_place(path / array / LOST[array])
    assert f"{array} lacks the file of batch 2 (entries 6 to 8), or it is empty" in said_by(lambda: go_on(path))
    assert f"{path}: {array} " in said_by(lambda: Store(path).array(array))


@pytest.mark.parametrize("array", LOST)
def test_a_batch_that_was_done_and_whose_file_is_gone_is_no_map_of_nan(array, path):
    (path / array / LOST[array]).unlink()
    said = (
        f"{path}: {array} lacks the file of batch 2 (entries 6 to 8), or it is empty, though it was written once; delete the store or run "
        "again into a new one"
    )
    assert said_by(lambda: Store(path).array(array)) == said
    assert said_by(lambda: Store(path).array(array, [0, -8])) == said
    assert said_by(lambda: Store(path).array(array, np.arange(COUNT) == 8)) == said
    assert said_by(lambda: go_on(path)) == said
    assert len(Store(path).array(array, [0, 1, 2, 4, 7, 9])) == 6  # of other batches, and an entry that failed


@pytest.mark.parametrize(
    "read", [write_report, lambda path, folder: export_virelay(path, folder), lambda path, _: cluster_maps(path, METHOD)]
)
def test_reports_exports_and_clusters_are_of_no_maps_that_are_gone(read, path, tmp_path):
    (path / "relevance" / METHOD / "c.0.0.0.0").unlink()
    assert f"relevance/{METHOD} lacks the file of batch 0 (entries 0 to 2)" in said_by(lambda: read(path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_batches_of_failures_and_of_what_is_not_done_have_no_files(path):
    assert not (path / "relevance" / METHOD / "c.1.0.0.0").exists()
    assert np.isnan(Store(path).relevance(METHOD, [3, 4, 5])).all()
    attributes_of(path, "manifest/zarr.json", done=[[0, 4]])
    (path / "relevance" / METHOD / "c.4.0.0.0").unlink()
    assert np.isnan(Store(path).relevance(METHOD, [12, 13])).all()
    assert np.isfinite(go_on(path).relevance(METHOD, [12, 13])).all()


def test_whole_numbers_that_are_all_zero_have_no_files_and_are_no_loss(tmp_path):
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding.from_pretrained(torch.arange(12.0).view(4, 3))

        def forward(self, words):
            return self.table(words).sum(1)

    words = ArraySource({"words": np.zeros((4, 2), dtype="i8")})
    for _ in range(2):
        store = explain_dataset(Embedded().eval(), words, [METHOD], tmp_path / "maps.zarr")
        assert (store.inputs()["words"] == 0).all()


def test_an_entry_that_was_explained_has_a_map(path):
    attributes_of(path, "manifest/zarr.json", failed=[[index, str(index), "broken"] for index in FAILING[:-1]])
    assert "relevance/gradient has no values of entry 7, which was explained" in said_by(lambda: Store(path).relevance(METHOD, [7]))


def test_names_that_are_gone_are_missed(path):
    (path / "key" / "c" / "0").unlink()
    assert "key lacks the file of entries 0 to 13" in said_by(lambda: Store(path).keys())


@pytest.mark.parametrize("array", ["key", "label", "group"])
def test_a_run_does_not_go_on_where_what_it_knew_of_entries_is_gone(array, path):
    (path / array / "c" / "0").unlink()
    assert f"{array} is not what was written once" in said_by(lambda: go_on(path))


@pytest.mark.parametrize("file", ["zarr.json", "rows/c/0", "embedding/spectral/c/0/0"])
def test_broken_clusters_are_told_and_can_be_found_anew(file, path):
    folder = path / "cluster" / METHOD / "1"
    (folder / file).unlink()
    assert f"{folder}: clusters are broken" in said_by(lambda: Store(path).clusters(METHOD, 1))
    cluster_maps(path, METHOD)
    assert len(Store(path).clusters(METHOD, 1).rows) == COUNT - len(FAILING)


def test_clusters_do_not_go_beside_broken_ones(path):
    (path / "cluster" / METHOD / "zarr.json").write_text("null")
    assert "clusters are broken" in said_by(lambda: cluster_maps(path, METHOD))


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "maps.zarr").write_text("")
    assert "no store of relevance maps, but a file" in said_by(lambda: Store(tmp_path / "maps.zarr"))
    assert "no store of relevance maps, but a file" in said_by(lambda: go_on(tmp_path / "maps.zarr"))


@pytest.mark.parametrize("place", ["x", f"relevance/{METHOD}/x", "made/for/it"])
def test_a_store_does_not_lie_in_another(place, path):
    before = sorted(path.rglob("*"))
    assert f"{path / place}: lies in {path}" in said_by(lambda: go_on(path / place))
    assert sorted(path.rglob("*")) == before


@pytest.mark.parametrize("place", ["/proc/maps.zarr", "/dev/fd/maps.zarr"])
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no such folders")
def test_where_nothing_can_be_written_no_other_run_writes(place):
    with pytest.raises(OSError, match="no store can be written there") as raised:
        go_on(place)
    assert raised.value.filename == place
