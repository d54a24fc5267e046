"""How long a report of many small pictures takes to write and to open: python tools/measure_report.py [COUNT [REPORT]].

It makes a store of COUNT (5,000) pictures of 64 x 64 with three methods, writes its report, and opens it in headless Chromium; of a
REPORT that is there it only does the last. It needs the extra ``browser``.
"""

import logging
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright
from torch import nn

from signxai.datasets import ArraySource, explain_dataset
from signxai.reports import write_report

METHODS = ["lrp_epsilon_0_25_std_x", "gradient_x_input", "smoothgrad_samples_2"]
VISIBLE = """() => [...document.querySelectorAll('a.thumb, a.mean')].filter(it => {
  const box = it.getBoundingClientRect();
  return box.top < innerHeight && box.bottom > 0;
})"""
DRAWN = f"() => document.body.dataset.drawn && ({VISIBLE})().every(it => it.querySelector('canvas'))"
FRAMES = """async () => {
  const times = [];
  for (let step = 0; step < 60; step += 1) {
    const start = performance.now();
    window.scrollBy(0, 400);
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[57];
}"""
_LOG = logging.getLogger("measure_report")


def store(folder: Path, count: int) -> Path:
    """A store of pictures with a network of random weights."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)]
    values = np.random.default_rng(0).normal(size=(count, 3, 64, 64)).astype("f4")
    labels = [index % 10 for index in range(count)]
    explain_dataset(nn.Sequential(*layers).eval(), ArraySource(values, labels), METHODS, folder / "maps.zarr")
    return folder / "maps.zarr"


def written(folder: Path, count: int) -> Path:
    """A report, with what it took on the log."""
    path = store(folder, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    report = write_report(path, folder / "report").parent
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = sum(file.stat().st_size for file in report.rglob("*") if file.is_file())
    each = seconds / count / len(METHODS)
    _LOG.info("written in %.1f s, %.2f ms per entry and method; %.0f MB", seconds, each * 1000, size / 1e6)
    _LOG.info("largest memory %.0f MB, and %.0f MB before", after / 1024, before / 1024)
    return report


def opened(report: Path) -> None:
    """Open its pages, with what that took on the log."""
    entry = sorted((report / "entries").iterdir())[-1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in ("index.html", "gallery.html", "gallery.html#sort=typicality&down=1", f"entries/{entry.name}#target=0"):
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            page.on("console", lambda message: _LOG.error("console: %s", message.text))
            page.on("pageerror", lambda error: _LOG.error("error: %s", error))
            start = time.perf_counter()
            page.goto(f"{report.resolve().as_uri()}/{name}")
            page.wait_for_function(DRAWN)
            _LOG.info("%s: drawn after %.2f s", name, time.perf_counter() - start)
            if name == "gallery.html":
                _LOG.info("scrolling: 95%% of frames within %.0f ms", page.evaluate(FRAMES))
        browser.close()


def main() -> None:
    """Measure."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as folder:
        opened(Path(sys.argv[2]) if len(sys.argv) > 2 else written(Path(folder), count))


if __name__ == "__main__":
    main()
