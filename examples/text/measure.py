"""Measure how often each method points to the tokens that decide an answer of ``recall_words``.

    python examples/text/measure.py --output docs

The model says what stands behind a colour: "red 4 blue 7 green 11 blue ?" is answered by 7. So the reasons are known: the number 7
(the value), the colour before it (the key), and the colour that is asked for. Explained is the answer's logit, in 1008 sentences with
2 to 10 pairs, 112 of each length, drawn by a seed of their own; those with a wrong answer are left out.

A method points to the token with the largest relevance, by sign: that which speaks most for the answer. Where it points is counted
twice: among all tokens, and among the pairs alone, without the question. Intervals are Wilson's, 95 %.

With --output, that folder's text.md gets the table, its images/ the figure, and pointing.json beside this script the numbers; without
it the table is printed. The same machine gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from explanations import METHODS, FloatArray, Model
from pointing_report import figure_of, filled, table
from recall_sentences import MOST_PAIRS, Sentences, drawn
from scipy.stats import binomtest
from tqdm import tqdm
from train import answers_right
from transformers import AutoModelForCausalLM, AutoTokenizer

from signxai.files import write_atomically
from signxai.text import language_model_folder

SEED = 2_000_000
FEWEST_PAIRS, OF_EACH_LENGTH = 2, 112
NUMBERS = Path(__file__).with_name("pointing.json")
PLACE, PICTURE = "pointing", "text_pointing.png"
PARTS = ("value", "key", "asked", "question mark", "other")
IntArray = npt.NDArray[np.int64]


def load(folder: Path) -> Model:
    """The model of a folder, with attention as it is used and as it can be read."""
    plain, readable = (
        AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, attn_implementation=how).eval() for how in ("sdpa", "eager")
    )
    return Model(plain, AutoTokenizer.from_pretrained(folder, local_files_only=True), readable)


def right_sentences(model: Model, of_each_length: int) -> list[Sentences]:
    """The sentences with a right answer, those of each length together."""
    generator = torch.Generator().manual_seed(SEED)
    found = []
    for pairs in range(FEWEST_PAIRS, MOST_PAIRS + 1):
        sentences = drawn(of_each_length, pairs, generator)
        right = answers_right(model.model, sentences)
        if right.any():
            found.append(Sentences(sentences.ids[right], sentences.key[right], sentences.answer[right]))
    return found


def pointed(relevance: FloatArray, sentences: Sentences) -> tuple[IntArray, IntArray]:
    """Which of PARTS the largest relevance lies on, among all tokens and among the pairs alone, (N,) each.

    A map that is nowhere above 0 points nowhere, and counts as other.
    """
    key, length = sentences.key.numpy(), sentences.ids.shape[1]

    def part_of(chosen: FloatArray) -> IntArray:
        places = chosen.argmax(1)
        tests = [places == key + 1, places == key, places == length - 2, places == length - 1]
        parts = np.select(tests, list(range(len(tests))), len(tests))
        return np.where(chosen.max(1) > 0, parts, len(tests)).astype(np.int64)

    return part_of(relevance), part_of(relevance[:, :-2])


def counted(parts: IntArray) -> dict[str, Any]:
    """How many sentences point to each part, and the share of the value and of value or key, with intervals."""
    counts = {name: int((parts == number).sum()) for number, name in enumerate(PARTS)}
    shares = {"value": counts["value"], "key": counts["key"], "value or key": counts["value"] + counts["key"]}
    return {"counts": counts, "shares": {name: share(count, len(parts)) for name, count in shares.items()}}


def share(count: int, total: int) -> dict[str, float]:
    """A share with its 95 % interval, by Wilson."""
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return {"share": round(count / total, 4), "low": round(float(interval.low), 4), "high": round(float(interval.high), 4)}


def measured(model: Model, sentences: Sequence[Sentences], methods: Sequence[str]) -> list[dict[str, Any]]:
    """For each method how often it points where; "by pairs": to the value, among the pairs, by how many there are."""
    rows = []
    for name in tqdm(methods, desc="methods", disable=None):
        family, explain = METHODS[name]
        parts = [pointed(explain(model, part), part) for part in sentences]
        among_all, among_pairs = (np.concatenate(found) for found in zip(*parts, strict=True))
        by_length = {
            str(part.ids.shape[1] // 2 - 1): round(float((found[1] == 0).mean()), 4) for part, found in zip(sentences, parts, strict=True)
        }
        rows.append(
            {"method": name, "family": family, "all tokens": counted(among_all), "pairs": counted(among_pairs), "by pairs": by_length}
        )
    return rows


@torch.no_grad()
def attention(model: Model, sentences: Sequence[Sentences]) -> dict[str, list[float]]:
    """What the heads do, mean over sentences: the circuit that finds the answer, read off the model without any method."""
    before, to_value = [], []
    for part in sentences:
        first, *_, last = model.with_attention(input_ids=part.ids, output_attentions=True).attentions
        before.append(first.diagonal(-1, 2, 3).mean(2))
        to_value.append(last[torch.arange(len(part.ids)), :, -1, part.value])
    return {
        "to the token before, by head of the first layer": [round(float(value), 3) for value in torch.cat(before).mean(0)],
        "from the question mark to the value, by head of the last layer": [round(float(value), 3) for value in torch.cat(to_value).mean(0)],
    }


def summary(model: Model, of_each_length: int, methods: Sequence[str]) -> dict[str, Any]:
    """All numbers, for JSON."""
    sentences = right_sentences(model, of_each_length)
    lengths = {str(part.ids.shape[1] // 2 - 1): len(part.ids) for part in sentences}
    versions = {name: version(name) for name in ("torch", "transformers", "scipy")} | {"Python": platform.python_version()}
    return {
        "drawn": of_each_length * len(sentences),
        "explained": sum(lengths.values()),
        "explained by pairs": lengths,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": versions,
        "attention": attention(model, sentences),
        "methods": measured(model, sentences, methods),
    }


def write(output: Path, numbers: Path, found: Mapping[str, Any]) -> None:
    """The table, the figure and the numbers, all or none."""
    document, picture = output / "text.md", output / "images" / PICTURE
    text = filled(document.read_text(encoding="utf-8"), PLACE, table(found))
    write_atomically(
        {
            document: partial(Path.write_text, data=text, encoding="utf-8"),
            picture: lambda path: figure_of(found).savefig(path, metadata={"Software": None}),
            numbers: partial(Path.write_text, data=json.dumps(found, indent=1) + "\n", encoding="utf-8"),
        }
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=language_model_folder("recall_words"), help="folder of another training's model")
    parser.add_argument("--of-each-length", type=int, default=OF_EACH_LENGTH, help="sentences with each number of pairs")
    parser.add_argument("--method", action="append", choices=METHODS, help="one of the table alone; may be given again")
    parser.add_argument("--output", type=Path, help="folder of text.md")
    parser.add_argument("--numbers", type=Path, default=NUMBERS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = summary(load(options.model), options.of_each_length, options.method or list(METHODS))
    if options.output is None:
        print(table(found))
    else:
        write(options.output, options.numbers, found)


if __name__ == "__main__":
    main()
