"""The page of a comparison as a browser shows it: where Chromium and the package playwright (the extra ``browser``) are there."""

import shutil

import pytest

from networks import inputs, network
from signxai import compare_methods

driver = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

LONG = "smoothgrad_noise_0_3_samples_20_x_sign"


def brightness(colour):
    """Of a colour as a browser gives it, rgb(27, 27, 27), from 0 to 255."""
    return sum(map(float, colour.strip("rgba()").split(",")[:3])) / 3


def test_a_page_is_read_by_light_and_by_dark_and_names_stay_whole(tmp_path):
    options = {"metrics": ["srg", "gini"], "metric_options": {"steps": 3}, "draws": 50}
    compare_methods(network("cnn1d"), inputs("cnn1d", 6), ["gradient", LONG], 0, **options).to_html(tmp_path / "page.html")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme, width, is_dark in (("light", 1200, False), ("dark", 1200, True), ("light", 400, False)):
            page, wrong = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800}), []
            page.on("console", lambda message, wrong=wrong: wrong.append(message.text))
            page.on(
                "request", lambda request, wrong=wrong: wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else 0
            )
            page.goto((tmp_path / "page.html").as_uri())
            assert [url for url in wrong if not url.startswith(("file:", "data:"))] == []
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            names = page.locator("tbody th code").all()
            assert next(name for name in names if name.inner_text() == LONG).bounding_box()["height"] < 25
            paper, ink, glyph = (
                brightness(page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}"))
                for where, what in (("html", "backgroundColor"), ("td", "color"), ("svg", "fill"))
            )
            assert (paper < 60, ink > 200, glyph > 200) == (is_dark,) * 3
        browser.close()
