"""Reports as a browser shows them: where Chromium and the package playwright (the extra ``browser``) are there."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("zarr")

from signxai.datasets import SignalView, Store
from signxai.reports import write_report
from stores import HOSTILE, NAMES, pictures
from test_reports import series, values_store

driver = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Pictures, with clusters of one class."""
    found = pictures(tmp_path_factory.mktemp("store") / "maps.zarr", count=400)
    target = int(found.array("target", [0])[0])
    rows = found.rows(target=target)
    ids = np.arange(len(rows)) % 3 - 1
    clusters = SimpleNamespace(
        rows=rows,
        embeddings=dict.fromkeys(("tsne", "spectral"), np.random.default_rng(0).normal(size=(len(rows), 2))),
        clusterings={"k2": ids},
        shown="tsne",
        chosen="k2",
    )
    store = Store(found.path)
    store.clustered = lambda: [("gradient_x_input", target)]
    store.clusters = lambda method, number: clusters
    return store


@pytest.fixture(scope="module")
def report(store):
    return write_report(store, store.path.parent / "report").parent


@pytest.fixture(scope="module")
def chromium():
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(chromium, report):
    """Open a page of a report; what it asks elsewhere for, complains of or pops up fails the test."""
    contexts, wrong = [], []

    def opened(name, width=1000, scheme="light", folder=report):
        contexts.append(chromium.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
        page.goto(f"{folder.as_uri()}/{name}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def cells(page):
    page.wait_for_selector("body[data-drawn]")
    return page.locator("#grid .cell").evaluate_all(
        "all => all.sort((a, b) => a.offsetTop - b.offsetTop || a.offsetLeft - b.offsetLeft).map(it => Number(it.dataset.place))"
    )


FILTERS = {
    "all": ("", lambda store: store.rows()),
    "a class": ("target=1", lambda store: store.rows(target=1)),
    "a label": ("label=cat", lambda store: store.rows(label=0)),
    "wrong": ("right=0&predicted=2", lambda store: store.rows(wrong=True, predicted=2)),
    "a text": ("text=OLDER/39", lambda store: []),
    "a text within": ("text=39", lambda store: [row for row in store.rows() if "39" in str(row)]),
}


def test_filters_in_the_address_leave_the_entries_of_the_store(show, store):
    page = show("gallery.html")
    cells(page)
    for case, (given, wanted) in FILTERS.items():
        page.evaluate("given => { location.hash = given; }", given)
        rows = list(wanted(store))
        page.wait_for_function("text => document.querySelector('#count').textContent.split(' ')[0] === text", arg=str(len(rows)))
        shown = cells(page)
        assert shown == np.searchsorted(store.rows(), rows).tolist()[: len(shown)], case
        assert len(shown) >= min(len(rows), 12), case
        assert page.locator("#nothing").is_visible() == (not rows)


def test_only_what_is_near_the_window_is_in_the_page(show, store):
    page = show("gallery.html")
    first = cells(page)
    assert len(first) < 60
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("!document.querySelector('[data-place=\"0\"]')")
    last = cells(page)
    assert last[-1] == len(store.rows()) - 1
    assert len(last) < 60
    page.wait_for_function("document.querySelector('#grid .cell:last-child canvas')")


def test_choosing_a_filter_goes_to_the_address_and_back_again(show, store):
    page = show("gallery.html")
    cells(page)
    page.select_option("select[name=group]", label=f"{HOSTILE} 1")
    page.wait_for_function("document.querySelector('#count').textContent.includes(' of ')")
    assert page.locator("#count").inner_text() == f"{len(store.rows(group=f'{HOSTILE} 1'))} of {len(store.rows())} entries"
    assert "group=" in page.evaluate("location.hash")
    page.go_back()
    page.wait_for_function("!document.querySelector('#count').textContent.includes(' of ')")
    assert page.locator("select[name=group]").input_value() == ""


def test_a_cluster_is_a_filter(show, store):
    [page_file] = (store.path.parent / "report" / "clusters").iterdir()
    page = show(f"clusters/{page_file.name}")
    page.wait_for_selector("body[data-drawn]")
    said = page.locator(".cluster h2 small").first.inner_text().split()[0]
    assert page.evaluate("[...document.querySelector('#scatter').getContext('2d').getImageData(0, 0, 700, 400).data].some(Boolean)")
    page.get_by_text("All in the gallery").first.click()
    cells(page)
    assert page.locator("#count").inner_text().split()[0] == said


@pytest.mark.parametrize(("name", "kind", "of"), [("sum", "sum", np.abs), ("logit", "explained", np.asarray)])
def test_entries_are_sorted_by_numbers(show, store, name, kind, of):
    page = show(f"gallery.html#sort={name}&down=1")
    shown = cells(page)
    rows = store.rows()
    logits = np.take_along_axis(store.array("logits", rows), store.array("target", rows)[:, None], 1)[:, 0]
    values = of(logits if kind == "explained" else store.array("sum/lrp_epsilon_0_1", rows))
    assert np.allclose(values[shown], np.sort(values)[::-1][: len(shown)], rtol=1e-4)


def test_entries_are_gone_through_as_the_gallery_is_filtered(show, store):
    page = show("gallery.html#target=1")
    places = cells(page)
    page.locator("#grid .cell").nth(1).click()
    page.wait_for_selector("body[data-page=entry][data-drawn]")
    page.wait_for_function("document.querySelector('#position').textContent.includes('filter')")
    rows = store.rows()
    for key, place in (("ArrowRight", places[2]), ("ArrowLeft", places[1])):
        page.keyboard.press(key)
        page.wait_for_url(f"**/entries/{rows[place]:06d}.html*")
        page.wait_for_function("document.querySelector('#position').textContent.includes('filter')")
    page.keyboard.press("g")
    page.wait_for_url("**/gallery.html#target=1")
    page.wait_for_selector("body[data-page=gallery][data-drawn]")
    page.keyboard.press("o")
    page.wait_for_url("**/index.html")


def test_all_of_it_works_by_keys(show):
    page = show("gallery.html")
    first = cells(page)
    page.keyboard.press("/")
    page.keyboard.type("m39")  # no command while one writes
    assert page.locator("[name=text]").input_value() == "m39"
    page.locator("[name=text]").fill("")
    page.locator("#grid .cell").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    columns = page.evaluate("Math.floor(document.querySelector('#grid').clientWidth / 192)")
    assert page.evaluate("Number(document.activeElement.dataset.place)") == first[1 + columns]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("m")
    assert page.locator("#method").input_value() == "1"
    page.keyboard.press("s")
    assert page.locator("#own").is_checked()
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()


# Of a copy, as Chromium complains of canvases on the graphics card that are read again and again.
PIXEL = """([selector, x, y]) => {
  const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  copy.drawImage(document.querySelector(selector), -x, -y);
  return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


def pixel(page, selector, x, y):
    return page.evaluate(PIXEL, [selector, x, y])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_red_speaks_for_and_blue_against(show, store, scheme):
    page = show("entries/000020.html", scheme=scheme)
    page.wait_for_selector("body[data-drawn]")
    relevance = store.relevance("lrp_epsilon_0_1", [20])[0].sum(0)
    for place, channel in ((relevance.argmax(), 0), (relevance.argmin(), 2)):
        y, x = np.unravel_index(place, relevance.shape)
        colour = pixel(page, "[data-figure='1'] canvas", int(x), int(y))
        assert max(range(3), key=colour.__getitem__) == channel
    page.keyboard.press("i")
    assert page.locator("#overlay").is_checked()


def test_scales_and_tiles_say_whose_signs_are_turned(show, tmp_path):
    store = pictures(tmp_path / "maps.zarr", count=10, failing=None, target="label", methods=["lrp_epsilon_0_1"])
    folder = write_report(store, tmp_path / "report").parent
    negative = (store.logits_of_targets() < 0).tolist()
    page = show("gallery.html", folder=folder)
    assert cells(page) == list(range(10))
    page.wait_for_function("document.querySelectorAll('#grid .cell canvas').length >= 10")
    marked = dict(page.locator("#grid .cell").evaluate_all("all => all.map(it => [it.dataset.place, it.classList.contains('turned')])"))
    assert [marked[str(place)] for place in range(10)] == negative
    for row in (negative.index(True), negative.index(False)):
        page = show(f"entries/{row:06d}.html", folder=folder)
        page.wait_for_selector("body[data-drawn]")
        words = page.locator("[data-figure='1'] .words span").all_inner_texts()
        assert words == (["← speaks for", "speaks against →"] if negative[row] else ["← speaks against", "speaks for →"])


def test_the_scale_of_the_colours_has_numbers(show, store):
    page = show("entries/000020.html")
    page.wait_for_selector("body[data-drawn]")
    maps = store.relevance("lrp_epsilon_0_1", store.rows()).sum(1)
    ends = page.locator("[data-figure='1'] .ends").first.locator("span").all_inner_texts()
    assert float(ends[-1]) == pytest.approx(np.percentile(np.abs(maps), 99), rel=0.06)
    assert "one scale" in page.locator("#scale-note").inner_text()
    page.keyboard.press("s")
    ends = page.locator("[data-figure='1'] .ends").first.locator("span").all_inner_texts()
    assert float(ends[-1]) == pytest.approx(np.abs(store.relevance("lrp_epsilon_0_1", [20]).sum(1)).max(), rel=0.06)
    assert "its own scale" in page.locator("#scale-note").inner_text()


def test_classes_are_sorted_by_their_columns(show):
    page = show("index.html")
    page.get_by_role("button", name="explained entries", exact=True).click()
    numbers = [int(text) for text in page.locator("#classes tbody td:nth-child(2)").all_inner_texts()]
    assert numbers == sorted(numbers)
    page.get_by_role("button", name="explained entries", exact=True).click()
    assert page.locator("#classes tbody td:nth-child(2)").first.inner_text() == str(numbers[-1])
    assert page.locator("#classes a").first.inner_text() in NAMES


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_stands_beyond_the_edge(show, report, width):
    page = show("index.html", width=width)
    for name in ("index.html", "gallery.html", "entries/000003.html", "classes/0001.html"):
        page.goto(f"{report.as_uri()}/{name}")
        page.wait_for_selector("body[data-drawn]")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


CONTRASTS = """all => all.filter(it => it.offsetParent && it.textContent.trim()).map(it => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = rgb => rgb.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  let behind = it;
  while (behind.parentElement && (numbers(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
  const [low, high] = [behind, it].map((one, i) => luminance(numbers(getComputedStyle(one)[i ? 'color' : 'backgroundColor'])))
    .sort((x, y) => x - y);
  return (high + .05) / (low + .05);
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read(show, scheme):
    page = show("entries/000020.html", scheme=scheme)
    page.wait_for_selector("body[data-drawn]")
    found = page.locator("h1, h2, dt, dd, th, td, p, a:not([aria-disabled]):not(.skip), .ends span, label").evaluate_all(CONTRASTS)
    assert len(found) > 40
    assert min(found) >= 4.5


@pytest.mark.parametrize("make", [series, values_store])
def test_signals_and_numbers_are_drawn(show, make, tmp_path):
    folder = write_report(make(tmp_path / "maps.zarr"), tmp_path / "report").parent
    page = show("gallery.html", folder=folder)
    for name in ("gallery.html", "entries/000002.html", next(folder.glob("classes/*")).relative_to(folder)):
        page.goto(f"{folder.as_uri()}/{name}")
        page.wait_for_selector("canvas" if make is series or not str(name).startswith("entries") else ".bars .for")


UNDRAWN = "[...document.querySelectorAll('a.thumb')].filter(it => !it.closest('[hidden]') && !it.querySelector('canvas')).length"


@pytest.mark.parametrize("name", ["index.html", "classes/0001.html", "gallery.html"])
def test_a_print_has_what_nobody_scrolled_to(show, store, name):
    page = show(name)
    page.wait_for_selector("body[data-printable]")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # nothing is waited for, as a browser does not
    assert page.evaluate(UNDRAWN) == 0
    if name == "gallery.html":
        assert page.locator(".cell").count() == len(store.rows())
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert name != "gallery.html" or page.locator(".cell").count() < 60


def test_a_print_of_thousands_says_what_is_left_out(show, tmp_path):
    folder = write_report(values_store(tmp_path / "maps.zarr", count=500), tmp_path / "report").parent
    page = show("gallery.html", folder=folder)
    page.wait_for_selector("body[data-printable]")
    assert not page.locator("#printed").is_visible()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#printed").inner_text() == "The first 480 of 500 entries; filters choose others."
    assert page.locator(".cell").count() == 480


BRIGHTNESS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  canvas.drawImage(document.querySelector('.figure canvas'), 0, 0);
  const opaque = [...canvas.getImageData(150, 0, 150, 150).data].filter((_, at, all) => all[at - at % 4 + 3] > 250 && at % 4 < 3);
  return opaque.reduce((sum, value) => sum + value, 0) / opaque.length;
}"""


def test_a_print_is_dark_on_white_whatever_the_screen_is(show, tmp_path):
    folder = write_report(series(tmp_path / "maps.zarr"), tmp_path / "report").parent
    page = show("entries/000002.html", folder=folder, scheme="dark")
    page.wait_for_selector("body[data-drawn]")
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink')"
    on_screen = page.evaluate(ink)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(ink) != on_screen
    on_paper = page.evaluate(BRIGHTNESS)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert on_paper < 80 < 150 < page.evaluate(BRIGHTNESS)


WRITTEN = """(() => { window.written = []; const { fillText } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
  window.written.push(text);
  return fillText.call(this, text, ...where);
}; })()"""
AXES = {
    "known": (
        SignalView(250.0, ("II", "channel 2 (V1 or V5 by recording)"), "mV", 0.08, "the beat's annotation"),
        "seconds from the beat's annotation",
    ),
    "an event": (SignalView(250.0, zero_at_s=0.08), "seconds from the event"),
    "no event": (SignalView(250.0), "seconds"),
    "nothing": (SignalView(), "sample, counted from 0"),
}


@pytest.mark.parametrize("case", AXES)
def test_axes_say_what_they_are(show, case, tmp_path):
    view, words = AXES[case]
    folder = write_report(series(tmp_path / "maps.zarr", view=view), tmp_path / "report").parent
    page = show("index.html", folder=folder)
    page.add_init_script(WRITTEN)
    page.goto(f"{folder.as_uri()}/entries/000002.html")
    page.wait_for_selector("body[data-drawn]")
    written = page.evaluate("window.written")
    assert words in written
    assert " ".join(view.lead_names[1].split() if view.lead_names else ["channel 2"]) in " ".join(written)
    note = page.locator(".figure .note").all_inner_texts()
    unit = "Amplitude: in mV" if view.units else "Amplitude: as the network takes it, unit unknown"
    assert note == [f"{unit}; all channels on one scale, each about its own middle. Colours: one scale for all channels."]
