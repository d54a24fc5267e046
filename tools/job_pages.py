"""Run the pages of docs/ whose blocks belong together, from the first to the last in one folder, and take the pictures that they show.

    python tools/job_pages.py            # all of them
    python tools/job_pages.py images     # docs/images.md alone

A block of Python that begins with a comment that is a file's name, as ``# fruit.py``, is written to that file; others are run. Of a
command that ends with another status than 0 a comment behind it says so: ``# exit status 3``. A picture docs/images/NAME.png is what the
page's blocks write as NAME.png, with fewer colours and pixels where it is large.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from io import BytesIO
from pathlib import Path

from PIL import Image

from generated_page import DOCS
from signxai.files import write_atomically

PAGES = ("images", "ecg_own_network", "keras")
_MOST_BYTES, _WIDTH = 200_000, 1000


@dataclass(frozen=True)
class Step:
    """A file of the page (`file` is its name), a script, or a command (`status` is how it ends)."""

    content: str
    file: str = ""
    command: tuple[str, ...] = ()
    status: int = 0


def steps(page: str) -> list[Step]:
    """What a page does, in its order."""
    found: list[Step] = []
    for language, block in re.findall(r"^```(python|bash)\n(.*?)^```", page, re.M | re.S):
        if language == "python":
            name = re.match(r"# ([\w/]+\.py)\n", block)
            found.append(Step(block, file=name[1] if name else ""))
        else:
            lines = block.replace("\\\n", " ").splitlines()
            found += [_command(line) for line in lines if line and not line.startswith(("#", "pip", "cd"))]
    return found


def _command(line: str) -> Step:
    status = re.search(r"# exit status (\d+)", line)
    return Step(line, command=tuple(shlex.split(line, comments=True)), status=int(status[1]) if status else 0)


def arguments(step: Step, folder: Path) -> list[str]:
    """What a command is given, with the files that patterns match, as a shell has them."""
    found: list[str] = []
    for word in step.command:
        matching = sorted(str(path.relative_to(folder)) for path in folder.glob(word)) if has_magic(word) else []
        found += matching or [word]
    return found


def run(page: str, folder: Path) -> None:
    """Run a page as a reader does."""
    source = DOCS.parent / "src"
    (folder / "src").symlink_to(source)
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(map(str, (source, folder)))}
    for step in steps(page):
        if step.file:
            (folder / step.file).write_text(step.content, encoding="utf-8")
            continue
        given = ["-m", *arguments(step, folder)] if step.command else ["-W", "error", "-c", step.content]
        done = subprocess.run([sys.executable, *given], cwd=folder, env=environment, check=False)
        if done.returncode != step.status:
            raise SystemExit(f"ended with {done.returncode}, not {step.status}:\n{step.content}")


def small(path: Path) -> bytes:
    """A picture as it is, or, where it is large, with fewer pixels and colours."""
    content = path.read_bytes()
    if len(content) <= _MOST_BYTES:
        return content
    with Image.open(path) as picture:
        shown = picture.convert("RGB")
    size = _WIDTH, round(shown.height * _WIDTH / shown.width)
    # an octree keeps the two ends of the colours of relevance, of which few pixels have any
    fewer = shown.resize(size, Image.Resampling.LANCZOS).quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    written = BytesIO()
    fewer.save(written, "PNG", optimize=True)
    return written.getvalue()


def main() -> None:
    """Run the pages that are asked for, and write their pictures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("pages", nargs="*", default=PAGES, help="their names")
    for name in options.parse_args().pages:
        page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            run(page, Path(folder))
            pictures = {
                DOCS / "images" / shown: small(next(Path(folder).rglob(shown)))
                for shown in re.findall(r"\]\(images/([\w.-]+\.png)\)", page)
            }
        if large := [path.name for path, content in pictures.items() if len(content) > _MOST_BYTES]:
            raise SystemExit(f"{', '.join(large)}: more than {_MOST_BYTES} bytes; show less")
        write_atomically({path: partial(Path.write_bytes, data=content) for path, content in pictures.items()})


if __name__ == "__main__":
    main()
