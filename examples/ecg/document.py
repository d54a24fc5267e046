"""Fill in docs/ecg.md: the network's figures, from its training, and the pictures, which the document's own code draws.

    python examples/ecg/document.py

To be run again when the network, or the code in the document, has changed. What ``localize.py`` measures it writes itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from signxai.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "ecg.md"
TRAINING = ROOT / "src" / "signxai" / "data" / "ecg_beats.json"


def filled(text: str, place: str, content: str) -> str:
    """The document with the content in its place, between <!-- place:begin --> and <!-- place:end -->.

    Raises:
        ValueError: the document has no such place.
    """
    begin, end = f"<!-- {place}:begin -->", f"<!-- {place}:end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the document has no place for {place}: write {begin} and {end} into it, each on a line of its own")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def network_figures(training: Mapping[str, Any]) -> str:
    """What ``train.py`` says of the network: its figures for each class, and what it took for what."""
    header = ["annotated", "beats", "sensitivity", "precision", "F1", *(f"predicted {name}" for name in training["classes"])]
    rows = [
        [name, str(values["beats"]), *(f"{100 * values[key]:.1f} %" for key in header[2:5]), *map(str, predicted)]
        for (name, values), predicted in zip(training["figures"].items(), training["confusion"], strict=True)
    ]
    return f"Beats of the records {', '.join(training['reported on'])}:\n\n{table(header, rows)}"


def blocks_that_draw(text: str) -> list[str]:
    """The document's blocks of Python that save a picture."""
    return [block for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "savefig(" in block]


def draw(block: str, folder: Path) -> None:
    """Run a block in the folder, as the tests do: with nothing but the checkout's src in it, and warnings as errors."""
    if not (folder / "src").exists():
        (folder / "src").symlink_to(ROOT / "src")
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-W", "error", "-c", block], cwd=folder, env=environment, check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="its pictures go into images/ beside it")
    parser.add_argument("--training", type=Path, default=TRAINING, help="what train.py wrote beside the weights")
    options = parser.parse_args(arguments)
    text = options.document.read_text(encoding="utf-8")
    text = filled(text, "network", network_figures(json.loads(options.training.read_text(encoding="utf-8"))))
    images = options.document.parent / "images"
    with TemporaryDirectory() as name:
        folder = Path(name)
        for block in tqdm(blocks_that_draw(text), desc="drawing", disable=None):
            draw(block, folder)
        files: dict[Path, Callable[[Path], Any]] = {options.document: partial(Path.write_text, data=text, encoding="utf-8")}
        for picture in sorted(folder.glob("*.png")):
            files[images / picture.name] = partial(Path.write_bytes, data=picture.read_bytes())
        write_atomically(files)


if __name__ == "__main__":
    main()
