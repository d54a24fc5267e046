"""Reports: what stands on the pages is what the store holds, whatever it holds and whatever it is called."""

import base64
import errno
import io
import json
import re
import shutil
import zlib
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("zarr")

import torch
from PIL import Image
from torch import nn

from command_line import explained, in_this_process, refused
from signxai.common import InputError, OptionError, StoreError
from signxai.datasets import ArraySource, PictureView, SignalView, Store, ValuesView, cluster_maps, explain_dataset, image_folder
from signxai.reports import write_report
from signxai.reports.folders import MARKER
from stores import HOSTILE, METHODS, NAMES, Keyed, network, pictures


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("store") / "maps.zarr")


@pytest.fixture(scope="module")
def report(store):
    return write_report(store, store.path.parent / "report", title=f"Title {HOSTILE}").parent


class Page(HTMLParser):
    """The tags of a page, and what its tables and scripts hold."""

    def __init__(self, file):
        super().__init__()
        self.tags, self.rows, self.scripts, self.text = [], [], [], []
        self._stack = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self._stack and self._stack.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" in self._stack:
            self.scripts.append(data)
            return
        self.text.append(data)
        if {"td", "th"} & set(self._stack) and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    @property
    def payload(self):
        return json.loads(self.scripts[-1])


def data(report, name):
    """What a file of numbers hands to the report's script."""
    text = (report / "data" / f"{name}.js").read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r"signxaiReport\.\w+\((.*)\);\n", text, re.S)[1])


def unpacked(text, dtype):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def drawn(content, shape):
    """Maps as the report's script decodes them."""
    codes = unpacked(content["data"], np.int8).reshape(-1, *shape).astype(float) / 127
    own = np.array(content["own"]).reshape(-1, 1, 1)
    return np.sign(codes) * codes**2 * own


def summed(store, method, rows=None):
    return store.relevance(method, store.rows() if rows is None else rows).astype(float).sum(1)


def of_length_1(maps):
    """Maps (n, ...), each divided by the root of the sum of its squares."""
    return np.array([one / np.sqrt((one**2).sum()) for one in maps])


def close(text, value):
    return float(text.replace("−", "-").rstrip("%")) == pytest.approx(value, rel=1e-3, abs=1e-3)


def test_the_numbers_of_a_class_are_those_of_the_store(store, report):
    rows, target, label = store.rows(), store.array("target"), store.array("label")
    predicted = store.array("logits").argmax(1)
    by_name = {row[0]: row[1:] for row in Page(report / "index.html").rows if row and row[0] in NAMES and len(row) == 9}
    assert len(by_name) == len({*target[rows].tolist(), *label[rows].tolist()})
    for number in set(target[rows].tolist()):
        of_class, of_label, so_predicted = (rows[column[rows] == number] for column in (target, label, predicted))
        cells = by_name[NAMES[number]]
        assert [cells[0], cells[1], cells[3]] == [str(len(some)) for some in (of_class, so_predicted, of_label)]
        assert close(cells[2], 100 * (label[so_predicted] == number).mean())
        assert close(cells[4], 100 * (predicted[of_label] == number).mean())
        quartiles = np.percentile(store.array("absorbed/lrp_epsilon_0_1", of_class), [50, 25, 75])
        assert all(map(close, re.findall(r"−?[\d.]+", cells[5]), quartiles))


def test_the_confusions_are_those_of_the_store(store, report):
    rows = store.rows()
    counts = Counter(zip(store.array("label", rows).tolist(), store.array("logits")[rows].argmax(1).tolist(), strict=True))
    page = (report / "index.html").read_text()
    table = re.search(r'<table class="matrix".*?</table>', page, re.S)[0]
    found = [[int(number) for number in re.findall(r">(\d+)<", row)] for row in table.split("<tr>")[2:]]
    present = sorted({number for pair in counts for number in pair})
    assert found == [[counts.get((row, column), 0) for column in present] for row in present]


@pytest.mark.parametrize("method", range(len(METHODS)))
def test_maps_on_pages_and_in_the_gallery_are_those_of_the_store(store, report, method):
    wanted = summed(store, METHODS[method])
    sheets = sorted((report / "data" / f"maps-{method}-0").iterdir())
    found = np.concatenate([drawn(data(report, f"maps-{method}-0/{sheet.stem}"), (12, 12)) for sheet in sheets])
    largest = np.abs(wanted).max((1, 2), keepdims=True)
    assert np.abs(found - wanted).max() <= (largest / 127).max()
    assert np.abs((found - wanted) / largest).max() < 1.1 / 127
    page = Page(report / "entries" / "000020.html").payload
    figure = next(one for one in page["figures"] if one.get("method") == method)
    assert np.allclose(drawn(figure["map"], (12, 12)), summed(store, METHODS[method], [20]), atol=largest.max() / 127)


def test_an_entry_of_the_gallery_is_the_one_of_its_row(store, report):
    entries, rows = data(report, "entries"), store.rows()
    assert entries["rows"] == rows.tolist()
    assert entries["keys"] == [key.removeprefix("folder/") for key in store.keys(rows)]
    assert entries["target"] == store.array("target", rows).tolist()
    assert entries["right"] == [int(row in set(store.rows(wrong=False).tolist())) for row in rows.tolist()]
    assert [entries["label"]["names"][place] for place in entries["label"]["of"]] == [NAMES[row % 3] for row in rows]
    assert np.allclose(entries["sum"][0], store.array("sum/lrp_epsilon_0_1", rows), rtol=1e-4)
    assert np.allclose(entries["absorbed"][0], store.array("absorbed/lrp_epsilon_0_1", rows), rtol=1e-4)
    assert entries["absorbed"][1] is None


@pytest.mark.parametrize("method", range(len(METHODS)))
def test_typicality_is_the_cosine_to_the_mean_of_the_class(store, report, method):
    rows, targets = store.rows(), store.array("target", store.rows())
    maps = summed(store, METHODS[method]).reshape(len(rows), -1)
    means = {number: of_length_1(maps[targets == number]).mean(0) for number in set(targets.tolist())}
    wanted = [row @ means[t] / np.linalg.norm(row) / np.linalg.norm(means[t]) for row, t in zip(maps, targets.tolist(), strict=True)]
    found = np.array(data(report, "entries")["typicality"][method])
    assert np.allclose(found, wanted, atol=1e-4)
    number = int(targets[0])
    order = [place for place in np.argsort(-np.array(wanted)) if targets[place] == number]
    text = (report / "classes" / f"{number:04d}.html").read_text()
    section = text.split('<section aria-labelledby="method-')[1 + method]
    assert [int(place) for place in re.findall(r'data-place="(\d+)"', section)] == [*order[:4], *order[4:][-4:][::-1]]


def test_mean_maps_are_means(store, report):
    number = int(store.array("target", store.rows())[0])
    payload = Page(report / "classes" / f"{number:04d}.html").payload
    for method, figure in enumerate(payload["figures"]):
        wanted = of_length_1(summed(store, METHODS[method], store.rows(target=number))).mean(0)
        assert np.allclose(drawn(figure["map"], (12, 12))[0], wanted, atol=np.abs(wanted).max() / 100)


def test_the_scale_ends_at_the_99th_percentile(store, report):
    scales = data(report, "meta")["scales"]
    assert np.allclose([one[0] for one in scales], [np.percentile(np.abs(summed(store, name)), 99) for name in METHODS])


def test_the_page_of_an_entry_can_be_read_without_a_script(store, report):
    page = Page(report / "entries" / "000020.html")
    words = " ".join(page.text)
    logits = store.array("logits", [20])[0].astype(float)
    shares = np.exp(logits) / np.exp(logits).sum()
    by_name = {row[0]: row[1:] for row in page.rows if len(row) == 3 and row[0] in NAMES}
    for number, name in enumerate(NAMES):
        assert close(by_name[name][0], logits[number])
        assert close(by_name[name][1], 100 * shares[number]) or abs(float(by_name[name][1].rstrip("%")) - 100 * shares[number]) < 0.06
    ledger = {row[0]: row[1] for row in page.rows if len(row) == 3 and row[0] in ("sum", "absorbed", "logit")}
    assert close(ledger["logit"], store.logits_of_targets([20])[0])
    sums = [row[1] for row in page.rows if row and row[0] == "sum"]
    assert all(map(close, sums, [store.array(f"sum/{name}", [20])[0] for name in METHODS]))
    assert ("h1", {"title": "folder/20"}) in page.tags
    assert "a probability only of a network whose classes exclude each other" in words


def test_failures_are_listed_with_their_reasons(report):
    page = Page(report / "index.html")
    assert ["17", "17", "the entry holds NaN or infinity"] in page.rows
    assert not (report / "entries" / "000017.html").exists()


def test_names_stay_text(report):
    pages = [report / "index.html", report / "gallery.html", *sorted(report.glob("classes/*")), report / "entries" / "000003.html"]
    for file in pages:
        page = Page(file)
        assert {tag for tag, _ in page.tags} & {"img", "b", "iframe"} == set()
        assert [attributes for tag, attributes in page.tags if tag == "script" and "src" not in attributes] in (
            [],
            [{"type": "application/json", "id": "payload"}],
        )
        assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []
    assert ("h1", {"title": f"folder/{HOSTILE}"}) in Page(report / "entries" / "000003.html").tags
    assert all("</" not in file.read_text() for file in report.glob("data/**/*.js"))


def test_pages_load_nothing_from_elsewhere(report):
    for file in [*report.glob("*.html"), *report.glob("assets/*"), *sorted(report.glob("entries/*"))[:3]]:
        assert re.findall(r"https?://", file.read_text()) == []
    page = Page(report / "entries" / "000003.html")
    linked = [attributes.get("src") or attributes.get("href") for _, attributes in page.tags if {"src", "href"} & set(attributes)]
    for link in linked:
        assert link.startswith("#") or (report / "entries" / unescape(link).partition("#")[0]).resolve().exists(), link


def test_methods_are_chosen_and_ordered(store, tmp_path):
    write_report(store, tmp_path / "report", methods=METHODS[::-1])
    assert data(tmp_path / "report", "meta")["methods"] == METHODS[::-1]
    write_report(str(store.path), tmp_path / "report", methods=METHODS[1:])
    assert data(tmp_path / "report", "meta")["methods"] == METHODS[1:]
    with pytest.raises(OptionError, match=r"has no 'lrp_z'; it has lrp_epsilon_0_1"):
        write_report(store, tmp_path / "report", methods=["lrp_z"])


def series(path, **options):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 3, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(12, 2)).eval()
    values = np.random.default_rng(0).normal(size=(options.pop("count", 9), 2, options.pop("length", 50))).astype("f4")
    return explain_dataset(net, ArraySource(values), ["gradient"], path, **options)


def test_clusters_of_signals_have_one_axis_with_the_others(tmp_path):
    store = series(tmp_path / "maps.zarr", target=1)
    ids = np.arange(9) % 2
    spectral = np.random.default_rng(0).normal(size=(9, 3))
    found = SimpleNamespace(
        rows=store.rows(), embeddings={"tsne": spectral[:, :2], "spectral": spectral}, clusterings={"k": ids}, shown="tsne", chosen="k"
    )
    store.clustered, store.clusters = lambda: [("gradient", 1)], lambda method, number: found
    page = Page(write_report(store, tmp_path / "report").parent / "clusters" / "0-1.html")
    means = np.stack([store.inputs()[ids == number].mean(0) for number in (0, 1)])
    wanted = [means.min((0, 2)), means.max((0, 2))]
    assert all(np.allclose(figure["span"], wanted, atol=1e-6) for figure in page.payload["figures"])
    assert " ".join(page.text).count("mean input (line) and mean relevance (colour)") == 4
    assert "t-SNE, the plane in which neighbours stay neighbours" in " ".join(page.text)


def test_signals_are_drawn_with_their_leads_and_times(tmp_path):
    store = series(tmp_path / "maps.zarr", view=SignalView(250.0, ("I", "<II>"), "mV", 0.08))
    report = write_report(store, tmp_path / "report").parent
    [part] = data(report, "meta")["parts"]
    assert (part["leads"], part["units"], part["rate"], part["zero"]) == (["I", "<II>"], "mV", 250.0, 0.08)
    payload = Page(report / "entries" / "000004.html").payload
    given, wanted = payload["inputs"][0], store.inputs([4])[0]
    halves = unpacked(given["data"], np.uint8).reshape(2, -1).astype(np.uint16)
    codes = (halves[0] + 256 * halves[1]).reshape(2, 50).cumsum(1, dtype=np.uint16)
    low, high = (np.array(given[name])[:, None] for name in ("low", "high"))
    assert np.allclose(low + codes / 65535 * (high - low), wanted, atol=1e-3)
    assert np.allclose(drawn(payload["figures"][1]["map"], (2, 50))[0], store.relevance("gradient", [4])[0], atol=0.01)


@pytest.mark.parametrize("length", [2500, 7001])
def test_long_signals_keep_their_extremes(tmp_path, length):
    store = series(tmp_path / "maps.zarr", length=length, count=2)
    report = write_report(store, tmp_path / "report").parent
    [part] = data(report, "meta")["parts"]
    assert part["shape"][1] <= 2000
    assert part["step"] == -(-length // part["shape"][1])
    page = Page(report / "entries" / "000001.html")
    assert f"extreme of {part['step']} samples" in " ".join(page.text)
    found, wanted = drawn(page.payload["figures"][1]["map"], part["shape"])[0], store.relevance("gradient", [1])[0]
    assert np.allclose(np.abs(found).max(1), np.abs(wanted).max(1), rtol=0.02)


def values_store(path, shape=(5,), view=None, **options):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 3)).eval()
    values = np.random.default_rng(0).normal(size=(options.pop("count", 6), *shape)).astype("f4")
    return explain_dataset(net, ArraySource(values), options.pop("methods", ["gradient_x_input"]), path, view=view, **options)


def test_numbers_are_listed_with_their_names(tmp_path):
    names = ("age", "<b>weight</b>", "a", "b", "c")
    store = values_store(tmp_path / "maps.zarr", view=ValuesView(names))
    page = Page(write_report(store, tmp_path / "report").parent / "entries" / "000002.html")
    listed = {row[0]: row for row in page.rows if row and row[0] in names}
    assert set(listed) == set(names)
    for place, name in enumerate(names):
        assert close(listed[name][1], store.inputs([2])[0, place])
        assert close(listed[name][2], store.relevance("gradient_x_input", [2])[0, place])


def test_arrays_of_other_shapes_list_their_largest_places(tmp_path):
    store = values_store(tmp_path / "maps.zarr", shape=(2, 3, 4, 5))
    page = Page(write_report(store, tmp_path / "report").parent / "entries" / "000002.html")
    relevance = store.relevance("gradient_x_input", [2])[0]
    place = np.unravel_index(np.abs(relevance).argmax(), relevance.shape)
    assert page.rows[[row[0] for row in page.rows].index("place") + 1][0] == ", ".join(map(str, place))
    assert "Of the 120 numbers (2 x 3 x 4 x 5) the 40" in " ".join(page.text)


CASES = {
    "without inputs": {"keep_inputs": False},
    "half precision": {"dtype": "float16"},
    "no labels": {"columns": False},
    "no names": {"class_names": ()},
    "one entry": {"count": 1, "failing": None},
    "one target": {"target": 1},
    "view of its shape": {"view": None},
}


@pytest.mark.parametrize("case", CASES)
def test_stores_of_every_kind_have_a_report(case, tmp_path):
    store = pictures(tmp_path / "maps.zarr", **{"count": 10, "failing": 4, **CASES[case]})
    report = write_report(store, tmp_path / "report").parent
    assert len(list(report.glob("entries/*"))) == len(store.rows())
    assert ("made without inputs" in (report / "index.html").read_text()) == (case == "without inputs")
    words = " ".join(Page(next(report.glob("entries/*"))).text)
    assert bool(re.search(r"class \d", words)) == (case == "no names")


def test_entries_without_a_label_are_neither_right_nor_wrong(tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 3, 12, 12)).astype("f4")
    source = ArraySource(values)
    object.__setattr__(source.entries, "labels", [None if index % 2 else index % 3 for index in range(12)])
    store = explain_dataset(network(), source, ["gradient"], tmp_path / "maps.zarr")
    report = write_report(store, tmp_path / "report").parent
    predicted, labels = store.array("logits").argmax(1), store.array("label")
    right = (predicted == labels)[::2]
    assert f"{right.sum()} of {len(right)}" in " ".join(Page(report / "index.html").text)
    lines = [row for row in Page(report / "index.html").rows if row and re.fullmatch(r"class \d", row[0]) and len(row) == 8]
    for row in lines:
        part = right[predicted[::2] == int(row[0].split()[1])]
        assert row[2] == str(len(part))
        assert row[3] == "–" if not len(part) else close(row[3], 100 * part.mean())
    assert data(report, "entries")["right"] == [-1 if row % 2 else int(right[row // 2]) for row in range(12)]


@pytest.mark.parametrize("label", ["zz", "", None])
def test_labels_that_are_all_no_class_have_a_report(label, tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 5)).astype("f4")
    source = ArraySource(values, labels=[label] * 12)
    store = explain_dataset(nn.Linear(5, 3), source, ["gradient"], tmp_path / "maps.zarr", class_names=["a", "b", "c"])
    words = " ".join(Page(write_report(store, tmp_path / "report")).text)
    assert "No entry that is labelled as a class of the model has a prediction." in words
    assert ("and count as predicted wrongly: zz." in words) == (label == "zz")


def test_classes_that_are_labelled_and_never_explained_have_a_row(tmp_path):
    net = nn.Linear(5, 3)
    nn.init.constant_(net.weight, 0.1)
    net.bias.data = torch.tensor([9.0, 0.0, 0.0])
    values = np.random.default_rng(0).normal(size=(12, 5)).astype("f4")
    source = ArraySource(values, labels=["a"] * 7 + ["b"] * 5)
    store = explain_dataset(net, source, ["gradient"], tmp_path / "maps.zarr", class_names=["a", "b", "c"])
    rows = Page(write_report(store, tmp_path / "report")).rows
    assert ["b", "0", "0", "–", "5", "0.0%", "–", "entries"] in rows
    assert not [row for row in rows if row[0] == "c"]


def test_maps_that_are_all_zero_have_a_report(tmp_path):
    net = nn.Linear(4, 2)
    net.weight.data.zero_()
    store = explain_dataset(net, ArraySource(np.ones((3, 4), "f4")), ["gradient"], tmp_path / "maps.zarr")
    report = write_report(store, tmp_path / "report").parent
    assert data(report, "meta")["scales"] == [[1.0]]
    assert data(report, "entries")["typicality"] == [[None] * 3]
    assert "none is more typical" in (report / "index.html").read_text()


def test_logits_that_are_not_finite_predict_nothing(tmp_path):
    import zarr

    store = pictures(tmp_path / "maps.zarr", count=4, failing=None)
    zarr.open_group(store.path, mode="r+")["logits"][2, 1] = np.inf
    report = write_report(Store(store.path), tmp_path / "report").parent
    assert data(report, "entries")["predicted"][2] == -1


def test_a_run_that_has_not_ended_says_so(tmp_path, monkeypatch):
    from signxai.datasets import store_writer

    commit = store_writer.StoreWriter.commit

    def ended(self, result):
        if result.number == 3:
            raise KeyboardInterrupt
        commit(self, result)

    monkeypatch.setattr(store_writer.StoreWriter, "commit", ended)
    with pytest.raises(KeyboardInterrupt):
        pictures(tmp_path / "maps.zarr")
    report = write_report(tmp_path / "maps.zarr", tmp_path / "report").parent
    assert "The run has not ended: 23 of 60 entries" in " ".join(Page(report / "index.html").text)


def test_many_classes_are_a_table(tmp_path):
    torch.manual_seed(0)
    net = nn.Linear(6, 40)
    values = np.random.default_rng(0).normal(size=(300, 6)).astype("f4")
    store = explain_dataset(net, ArraySource(values, labels=[row % 40 for row in range(300)]), ["gradient"], tmp_path / "maps.zarr")
    report = write_report(store, tmp_path / "report").parent
    page = (report / "index.html").read_text()
    assert "Most frequent confusions" in page
    assert "data-place" not in page
    assert len(list(report.glob("classes/*"))) == len(set(store.array("target").tolist()))


def clustered(store):
    """The store with clusters, as ``Store`` hands them out."""
    rows = store.rows(target=int(store.array("target", store.rows())[0]))
    target = int(store.array("target", rows[:1])[0])
    ids = np.arange(len(rows)) % 3 - 1
    found = SimpleNamespace(
        rows=rows,
        embeddings={
            name: np.random.default_rng(axes).normal(size=(len(rows), axes)).astype("f4") for name, axes in (("tsne", 2), ("spectral", 5))
        },
        clusterings={"k2": ids, "other": ids * 0},
        shown="tsne",
        chosen="k2",
    )
    with_clusters = Store(store.path)
    with_clusters.clustered = lambda: [("gradient_x_input", target)]
    with_clusters.clusters = lambda method, number: found
    return with_clusters, rows, ids, target


def apart(points, ids):
    """The clusters, those that stand farthest apart first, and of each the places of its entries, those nearest its centre first."""
    centres = {number: points[ids == number].mean(0) for number in set(ids.tolist()) - {-1}}
    found, near = {}, {}
    for number, centre in centres.items():
        shares = []
        for point in points[ids == number]:
            own = np.sqrt(((point - centre) ** 2).sum())
            other = min(np.sqrt(((point - centres[name]) ** 2).sum()) for name in centres if name != number)
            shares.append((other - own) / max(own, other))
        found[number] = np.mean(shares)
        near[number] = sorted(np.flatnonzero(ids == number), key=lambda place: ((points[place] - centre) ** 2).sum())
    return sorted(found, key=lambda number: -found[number]), near


def test_clusters_that_stand_apart_come_first_with_what_stands_out(store, tmp_path):
    with_clusters, rows, ids, target = clustered(store)
    found = with_clusters.clusters("", target)
    draw = np.random.default_rng(1)
    groups = store.array("group", rows)
    ids[:] = np.where(groups == groups[0], 8, np.arange(len(rows)) % 8)  # one cluster is a group, and none of the others is
    found.embeddings["spectral"] = draw.normal(size=(len(rows), 5)) + np.where(ids == 8, 20, 0)[:, None]
    order, near = apart(found.embeddings["spectral"], ids)
    assert order[0] == 8
    page = (write_report(with_clusters, tmp_path / "report").parent / "index.html").read_text()
    shown = page.partition("Clusters</h2>")[2].partition("</section>")[0]
    heads = [unescape(re.sub("<[^>]*>", "", head)) for head in re.findall(r"<h4>(.*?)</h4>", shown)]
    assert [int(head.split()[1].rstrip(",")) for head in heads] == order
    assert f"group {groups[0]}: 100.0% (others 0.0%)" in heads[0]
    [first] = re.findall(r"<h4>.*?cluster 8.*?</h4>(.*?)<h4>", shown, re.DOTALL)
    assert store.rows()[[int(place) for place in re.findall(r'data-place="(\d+)"', first)]].tolist() == rows[near[8][:2]].tolist()


def test_clusters_have_a_page_with_the_numbers_of_their_entries(store, tmp_path):
    with_clusters, rows, ids, target = clustered(store)
    report = write_report(with_clusters, tmp_path / "report").parent
    page = Page(report / "clusters" / f"1-{target}.html")
    text = " ".join(" ".join(page.text).split())
    order, near = apart(with_clusters.clusters("", target).embeddings["spectral"].astype(float), ids)
    for position, number in enumerate([*order, -1]):
        members = rows[ids == number]
        assert f"{f'cluster {number}' if number >= 0 else 'in no cluster'} {len(members)} entries" in text
        figure = page.payload["figures"][4 * position + 1]
        wanted = of_length_1(summed(store, "gradient_x_input", members)).mean(0)
        assert np.allclose(drawn(figure["map"], (12, 12))[0], wanted, atol=np.abs(wanted).max() / 100)
    entries = data(report, "entries")
    assert [entries["rows"][place] for place in entries["clusters"][f"1-{target}"]["places"]] == rows.tolist()
    assert f"gallery.html#cluster=1-{target}:0" in (report / "clusters" / f"1-{target}.html").read_text()
    page = (report / "index.html").read_text()
    assert f"</code>, {NAMES[target]}</a>: 2 clusters</h3>" in unescape(page)
    shown = page.partition("Clusters</h2>")[2].partition("</section>")[0]
    for number, places in zip(order, np.reshape(re.findall(r'data-place="(\d+)"', shown), (2, 2)), strict=True):
        assert store.rows()[places.astype(int)].tolist() == rows[near[number][:2]].tolist()
    assert page.index("Methods</h2>") < page.index("Clusters</h2>") < page.index(f"clusters/1-{target}.html") < page.index("Classes</h2>")


@pytest.mark.parametrize("start", ["one_hot", "logit"])
def test_what_is_absorbed_is_a_share_of_1_where_relevance_starts_with_it(start, tmp_path):
    store = pictures(tmp_path / "maps.zarr", count=10, failing=None, relevance=start)
    report = write_report(store, tmp_path / "report").parent
    for page in ("index.html", f"classes/{store.array('target')[0]:04d}.html"):
        words = (report / page).read_text()
        assert ("</em> is the 1 with which relevance starts, less the sum of the map" in words) == (start == "one_hot")
        assert ("</em> is the logit of the explained class, with which relevance starts, less the sum" in words) == (start == "logit")


@pytest.mark.parametrize("start", ["one_hot", "logit"])
def test_it_is_said_whose_signs_are_turned(start, tmp_path):
    store = pictures(tmp_path / "maps.zarr", count=10, failing=None, relevance=start, target="label")
    report = write_report(store, tmp_path / "report").parent
    negative = store.logits_of_targets() < 0
    assert 0 < negative.sum() < len(negative)
    turning = [name.startswith("lrp") == (start == "one_hot") for name in store.methods]
    for row, is_below in enumerate(negative):
        assert (report / f"entries/{row:06d}.html").read_text().count("Signs are turned") == sum(turning) * is_below
    for page in ("index.html", "gallery.html"):
        assert (report / page).read_text().count(f"Signs are turned in {negative.sum()} of 10 maps") == sum(turning)
    for target in np.unique(store.array("target")):
        below = negative[store.array("target") == target]
        said = f"Signs are turned in {below.sum()} of {len(below)} maps"
        assert (report / f"classes/{target:04d}.html").read_text().count(said) == sum(turning) * below.any()


def test_marks_and_scales_of_turned_signs_are_those_of_the_maps(tmp_path):
    store = pictures(tmp_path / "maps.zarr", count=10, failing=None, target="label", methods=["gradient", "lrp_epsilon_0_1"])
    report = write_report(store, tmp_path / "report").parent
    negative = (store.logits_of_targets() < 0).tolist()
    assert data(report, "entries")["turned"] == [[1] if is_below else [] for is_below in negative]
    assert data(report, "meta")["turnedSides"] == [["raises", "lowers"], ["speaks for", "speaks against"]]
    for row, is_below in enumerate(negative):
        figures = Page(report / f"entries/{row:06d}.html").payload["figures"]
        assert {one["method"]: one.get("turned", False) for one in figures if "method" in one} == {0: False, 1: is_below}


def test_ends_of_scales_say_what_the_numbers_of_each_method_are(tmp_path):
    store = pictures(tmp_path / "maps.zarr", count=4, failing=None, methods=["gradient", "lrp_epsilon_0_1"])
    report = write_report(store, tmp_path / "report").parent
    data = (report / "data/meta.js").read_text()
    for name in store.methods:
        said = ["lowers", "raises"] if name == "gradient" else ["speaks against", "speaks for"]
        assert json.dumps(said).replace(", ", ",") in data.replace(", ", ",")
    assert "of gradient, blue to red: larger values lower the score" in data
    page = (report / "entries/000000.html").read_text()
    assert "relevance by gradient" in page
    assert page.count("red speaks for the class, blue against it") == sum(name != "gradient" for name in store.methods)


class TwoInputs(Store):
    """The store of pictures as one of a model that takes two inputs: the picture, and three numbers."""

    def __init__(self, path):
        super().__init__(path)
        self.view = {"photo": self.view, "means": ValuesView(("red", "green", "<blue>"))}

    def relevance(self, method, rows=None):
        found = super().relevance(method, rows)
        return {"photo": found, "means": found.sum((2, 3))}

    def inputs(self, rows=None):
        found = super().inputs(rows)
        return {"photo": found, "means": found.mean((2, 3))}


def test_clusters_stand_beside_the_others(store, tmp_path):
    with_clusters, rows, ids, target = clustered(store)
    report = write_report(with_clusters, tmp_path / "report").parent
    page = Page(report / "clusters" / f"1-{target}.html")
    maps = of_length_1(summed(store, "gradient_x_input", rows))
    pictures = store.inputs(rows).astype(float) + 0.3  # the preprocessing undone
    wrong = np.isin(rows, store.rows(wrong=True))
    text = " ".join(" ".join(page.text).split())
    order = [*apart(with_clusters.clusters("", target).embeddings["spectral"].astype(float), ids)[0], -1]
    for position, number in enumerate(order):
        found = page.payload["figures"][4 * position :][:4]
        for side, members in enumerate((ids == number, ids != number)):
            mean_input, mean_map = found[2 * side :][:2]
            wanted = maps[members].mean(0)
            assert np.allclose(drawn(mean_map["map"], (12, 12))[0], wanted, atol=np.abs(wanted).max() / 100)
            image = Image.open(io.BytesIO(base64.b64decode(page.payload["inputs"][mean_input["input"]]["image"].partition(",")[2])))
            wanted = np.clip(pictures[members].mean(0), 0, 1).transpose(1, 2, 0)
            assert np.abs(np.asarray(image) / 255 - wanted).max() < 1 / 255
        assert found[1]["end"] == found[3]["end"]
        assert f"predicted wrongly: {wrong[ids == number].mean():.1%} (the others {wrong[ids != number].mean():.1%})" in text
    label = store.array("label", rows)
    here, elsewhere = label[ids == order[0]], label[ids != order[0]]
    for number, count in Counter(here.tolist()).items():
        cells = [str(count), f"{count / len(here):.1%}", f"{(elsewhere == number).mean():.1%}"]
        assert [NAMES[number], *cells] in page.rows


@pytest.mark.parametrize(
    ("ids", "words"), [([0] * 9, "one cluster: no pattern stands apart"), ([0] * 8 + [-1], "1 of 9 entries in no cluster")]
)
def test_one_cluster_is_said_to_be_no_pattern(ids, words, tmp_path):
    store = series(tmp_path / "maps.zarr", target=1)
    found = SimpleNamespace(
        rows=store.rows(),
        embeddings={"tsne": np.zeros((9, 2)), "spectral": np.zeros((9, 3))},
        clusterings={"k": np.array(ids)},
        shown="tsne",
        chosen="k",
    )
    store.clustered = lambda: [("gradient", 1)]
    store.clusters = lambda method, number: found
    report = write_report(store, tmp_path / "report").parent
    for page in ("index.html", "classes/0001.html", "clusters/0-1.html"):
        assert words in " ".join(Page(report / page).text), page
    assert ("the others" in (report / "clusters" / "0-1.html").read_text().partition("<section")[2]) == (-1 in ids)


class Scaled(Store):
    """The store with each map multiplied by a number of its own."""

    def relevance(self, method, rows=None):
        found = super().relevance(method, rows)
        return found * (10.0 ** (np.arange(len(self))[rows] % 7))[:, None, None, None]


def test_large_maps_count_no_more_than_others(store, report, tmp_path):
    scaled = write_report(Scaled(store.path), tmp_path / "report").parent
    for method in range(len(METHODS)):
        same = [np.array(data(folder, "entries")["typicality"][method]) for folder in (report, scaled)]
        assert np.allclose(*same, atol=1e-4)
        means = [drawn(data(folder, f"means-{method}-0/00000"), (12, 12)) for folder in (report, scaled)]
        assert np.allclose(*means, atol=1e-3)
    assert "each map is brought to one length (L2 norm 1)" in " ".join(Page(report / "index.html").text)


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_maps_of_very_large_and_very_small_numbers_are_reported_like_others(size, store, report, tmp_path):
    class Sized(Store):
        def relevance(self, method, rows=None):
            return (super().relevance(method, rows) * size).astype("f4")

    sized = write_report(Sized(store.path), tmp_path / "report").parent
    for method in range(len(METHODS)):
        same = [np.array(data(folder, "entries")["typicality"][method]) for folder in (report, sized)]
        assert np.allclose(*same, atol=1e-4)
        assert np.isfinite(same[1].astype(float)).all()


def test_a_network_of_one_logit_predicts_nothing_and_is_never_right(tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 5)).astype("f4")
    source = ArraySource(values, labels=["no", "yes"] * 6)
    store = explain_dataset(nn.Linear(5, 1), source, ["gradient"], tmp_path / "maps.zarr", class_names=["no", "yes"])
    report = write_report(store, tmp_path / "report").parent
    for page in (report / "index.html", report / "classes" / "0000.html", report / "entries" / "000003.html"):
        words = " ".join(Page(page).text)
        assert "the logit (no or yes)" in words
        assert not re.search(r"%|predicted as|precision|softmax of", words), page
    assert "The network has one logit" in (report / "index.html").read_text()
    entries = data(report, "entries")
    assert (entries["predicted"], entries["right"]) == (None, None)


def test_pages_are_called_by_what_they_are_of(store, report, tmp_path):
    with_clusters, _, _, target = clustered(store)
    called = write_report(with_clusters, tmp_path / "report").parent
    whole = "Report of an array, explained by Sequential"
    titles = {
        "index.html": "Overview",
        "gallery.html": "Gallery",
        f"classes/{target:04d}.html": f"Explained class {NAMES[target]}",
        f"clusters/1-{target}.html": f"Clusters of {NAMES[target]} by gradient_x_input",
        "entries/000020.html": "Entry 20",
    }
    for page, title in titles.items():
        found = re.search("<title>(.*)</title>", (called / page).read_text())[1]
        assert unescape(found) == f"{title} – {whole}"
    assert f"<h1>{whole}</h1>" in (called / "index.html").read_text()
    assert unescape(re.search("<title>(.*)</title>", (report / "index.html").read_text())[1]) == f"Overview – Title {HOSTILE}"


@pytest.mark.parametrize(
    ("keys", "short"),
    [
        (["/data/set/a/1.png", "/data/set/b/2.png"], ["a/1.png", "b/2.png"]),
        (["/data/set/a/1.png"], ["…/a/1.png"]),
        (["rec.hea beat 1", "rec.hea beat 2"], ["rec.hea beat 1", "rec.hea beat 2"]),
    ],
)
def test_long_keys_are_short_and_whole_where_one_points(keys, short, tmp_path):
    source = Keyed(np.ones((len(keys), 4), "f4"), keys)
    store = explain_dataset(nn.Linear(4, 2), source, ["gradient"], tmp_path / "maps.zarr")
    report = write_report(store, tmp_path / "report").parent
    assert data(report, "entries")["keys"] == short
    for row, key in enumerate(keys):
        page = Page(report / "entries" / f"{row:06d}.html")
        assert ("h1", {"title": key}) in page.tags
        assert short[row] in page.text
        assert key == short[row] or key not in page.text


def with_view(store, view):
    """The store as one that an earlier run wrote with this view."""
    from signxai.datasets.views import kept

    file = store.path / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"]["view"] = kept(view)
    file.write_text(json.dumps(content))
    return Store(store.path)


@pytest.mark.parametrize("act", [lambda store, folder: write_report(store, folder), lambda store, folder: cluster_maps(store, "gradient")])
def test_a_view_that_does_not_fit_is_said(act, tmp_path):
    store = with_view(series(tmp_path / "maps.zarr", count=12, target=0), PictureView())
    with pytest.raises(InputError, match=r"the shape \(2, 50\) have the view of a picture, which is \(C, H, W\)"):
        act(store, tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(("times", "shared"), [(3, True), (40, False)])
def test_channels_have_one_scale_if_none_would_be_flat(times, shared, tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 2, 50)).astype("f4") * np.array([[1], [times]], "f4")
    net = nn.Sequential(nn.Flatten(), nn.Linear(100, 2))
    store = explain_dataset(net, ArraySource(values), ["gradient"], tmp_path / "maps.zarr", view=SignalView(250.0, event="the beat"))
    [part] = data(write_report(store, tmp_path / "report").parent, "meta")["parts"]
    assert part["shared"] == shared
    assert (part["leads"], part["event"]) == (["channel 1", "channel 2"], "the beat")


def test_means_of_numbers_are_listed_with_those_of_the_inputs(tmp_path):
    store = values_store(tmp_path / "maps.zarr", view=ValuesView(tuple("abcde")), target=1)
    page = Page(write_report(store, tmp_path / "report").parent / "classes" / "0001.html")
    means = zip(store.inputs().mean(0), of_length_1(store.relevance("gradient_x_input")).mean(0), strict=True)
    listed = {row[0]: row[1:3] for row in page.rows if row and row[0] in tuple("abcde")}
    for name, wanted in zip("abcde", means, strict=True):
        assert all(map(close, listed[name], wanted))


class Masked(nn.Module):
    """Takes a signal, and which of its samples are there."""

    def forward(self, signal, mask):
        return (signal * mask).reshape(len(signal), -1)[:, :2]


def test_inputs_without_relevance_are_no_part_of_a_report(tmp_path):
    arrays = {"signal": np.random.default_rng(0).normal(size=(4, 2, 9)).astype("f4"), "mask": np.ones((4, 1, 9), bool)}
    store = explain_dataset(Masked(), ArraySource(arrays), ["gradient"], tmp_path / "maps.zarr")
    report = write_report(store, tmp_path / "report").parent
    assert [part["name"] for part in data(report, "meta")["parts"]] == ["signal"]


class Aged(nn.Module):
    """Takes a signal, and one number."""

    def forward(self, signal, age):
        return signal.mean(2) + age


def test_sums_of_several_inputs_are_told_for_each(tmp_path):
    draw = np.random.default_rng(0)
    arrays = {"signal": draw.normal(size=(4, 2, 9)).astype("f4"), "age": draw.normal(size=(4, 1)).astype("f4")}
    store = explain_dataset(Aged(), ArraySource(arrays), ["gradient_x_input"], tmp_path / "maps.zarr")
    page = Page(write_report(store, tmp_path / "report").parent / "entries" / "000002.html")
    told = {row[0]: row[1] for row in page.rows if row and row[0].startswith("sum of")}
    assert set(told) == {"sum of signal", "sum of age"}
    for name, relevance in store.relevance("gradient_x_input", [2]).items():
        assert close(told[f"sum of {name}"], relevance.sum())
    [listed] = [row for row in page.rows if row and row[0] == "age"]
    assert close(listed[2], store.relevance("gradient_x_input", [2])["age"][0, 0])


def test_failures_do_not_repeat_the_path(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "b.png").write_text("no picture")
    source = image_folder(tmp_path / "photos", preprocess=lambda picture: np.asarray(picture, dtype="f4").transpose(2, 0, 1) / 255)
    store = explain_dataset(network(), source, ["gradient"], tmp_path / "maps.zarr")
    page = Page(write_report(store, tmp_path / "report"))
    [failed] = [row for row in page.rows if row and row[1:2] == ["b.png"]]
    assert (failed[0], "b.png" in failed[2], "picture" in failed[2]) == ("1", False, True)


def test_entries_of_several_inputs_have_several_parts(store, tmp_path):
    report = write_report(TwoInputs(store.path), tmp_path / "report").parent
    assert [(part["kind"], part["name"]) for part in data(report, "meta")["parts"]] == [("picture", "photo"), ("values", "means")]
    page = Page(report / "entries" / "000020.html")
    relevance = store.relevance(METHODS[0], [20])[0]
    assert np.allclose(drawn(page.payload["figures"][1]["map"], (12, 12))[0], relevance.sum(0), atol=np.abs(relevance).max() / 30)
    listed = [row for row in page.rows if row and row[0] == "<blue>"]
    assert len(listed) == len(METHODS)
    assert close(listed[0][2], relevance[2].sum())
    assert {path.name for path in (report / "data").iterdir()} >= {"maps-0-0", "maps-0-1", "means-1-1", "input-0"}


# The folder, and the command.


def test_a_report_replaces_a_report_and_nothing_else(store, tmp_path):
    write_report(store, tmp_path / "report", title="first")
    (tmp_path / "report" / "data" / "left.js").write_text("of the first")
    write_report(store, tmp_path / "report", title="second")
    assert not (tmp_path / "report" / "data" / "left.js").exists()
    assert "second" in (tmp_path / "report" / "index.html").read_text()
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.txt").write_text("cat")
    with pytest.raises(OptionError, match="no report of signxai"):
        write_report(store, other)
    assert [path.name for path in other.iterdir()] == ["cat.txt"]
    with pytest.raises(OptionError, match="lies in the store"):
        write_report(store, store.path / "report")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "report"]


def test_a_report_takes_nothing_with_it_that_is_no_part_of_one(store, tmp_path):
    report = write_report(store, tmp_path / "report").parent
    (report / "notes.txt").write_text("mine")
    with pytest.raises(OptionError, match=r"holds 'notes\.txt', which no report wrote"):
        write_report(store, report)
    (report / "notes.txt").unlink()
    inner = shutil.copytree(store.path, report / "data" / "maps.zarr")
    with pytest.raises(OptionError, match="lies in it"):
        write_report(inner, report)
    assert len(Store(inner).rows()) == 59


def test_empty_folders_are_taken_and_missing_ones_made(store, tmp_path):
    (tmp_path / "empty").mkdir()
    for place in ("empty", "no/folder/yet"):
        assert write_report(store, tmp_path / place).is_file()


def test_a_full_disk_is_said_of_the_report(store, tmp_path, monkeypatch):
    from signxai.reports import pages

    def full(pages, path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pages.Pages, "_put", full)
    with pytest.raises(OSError, match=f"No space left on device.*{tmp_path / 'report'}"):
        write_report(store, tmp_path / "report")
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_what_was_there(store, tmp_path, monkeypatch):
    from signxai.reports import entry_pages

    write_report(store, tmp_path / "report")
    before = {path: path.read_bytes() for path in (tmp_path / "report").rglob("*") if path.is_file()}
    monkeypatch.setattr(entry_pages.EntryWriter, "_write_page", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for folder in ("report", "fresh"):
        with pytest.raises(KeyboardInterrupt):
            write_report(store, tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert before == {path: path.read_bytes() for path in (tmp_path / "report").rglob("*") if path.is_file()}


def test_what_a_killed_writer_left_is_removed_but_no_folder_of_another(store, tmp_path):
    left = tmp_path / ".report.part"
    left.mkdir()
    (left / MARKER).write_text("{}")
    write_report(store, tmp_path / "report")
    assert not left.exists()
    left.mkdir()
    with pytest.raises(OptionError, match="no report of signxai"):
        write_report(store, tmp_path / "report")


def test_nothing_explained_is_an_error(tmp_path):
    store = pictures(tmp_path / "maps.zarr", count=3, failing=None)
    manifest = store.path / "manifest" / "zarr.json"
    content = json.loads(manifest.read_text())
    content["attributes"]["done"] = []
    manifest.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="not one entry is explained"):
        write_report(store.path, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_the_command_writes_a_report(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = explained(in_this_process("report", store.path, "--output", "report", "--title", "T", "-m", METHODS[1], capsys=capsys))
    assert said.startswith("59 of 60 entries, ")
    assert "report/index.html" in said
    assert data(tmp_path / "report", "meta")["methods"] == [METHODS[1]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.zarr", "--output", "report"], ["nowhere.zarr", "no store"]),
        (["STORE", "--output", "here"], ["here", "no report of signxai"]),
        (["STORE", "--output", "report", "-m", "lrp_z"], ["lrp_z", "it has"]),
        (["STORE"], ["--output"]),
    ],
)
def test_mistakes_end_in_one_line(store, tmp_path, arguments, words, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "cat.txt").write_text("cat")
    given = [str(store.path) if word == "STORE" else word for word in arguments]
    refused(in_this_process("report", *given, capsys=capsys), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
