"""Explain one sentence with ``recall_words``, and write it as a page and as a picture.

    python examples/text/demo.py --output out/demo-text

OUTPUT.html and OUTPUT.png show the sentence in the colours of relevance.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from signxai.files import write_atomically
from signxai.text import explain_text, load_language_model

SENTENCE = "red 4 blue 7 green 11 gray 2 violet 16 blue ?"
METHOD = "lrp_epsilon_0_1"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentence", nargs="?", default=SENTENCE)
    parser.add_argument("--method", default=METHOD)
    parser.add_argument("--output", type=Path, required=True, help="path of the files, without their endings")
    options = parser.parse_args(arguments)
    model, tokenizer = load_language_model("recall_words")
    found = explain_text(model, tokenizer, options.sentence, options.method)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        {
            options.output.with_suffix(".html"): partial(Path.write_text, data=found.to_html(), encoding="utf-8"),
            options.output.with_suffix(".png"): lambda path: found.plot().figure.savefig(path),
        }
    )
    print(found.heading())
    for word in found.words():
        print(f"{word.relevance:+.3f}  {word.text}")


if __name__ == "__main__":
    main()
