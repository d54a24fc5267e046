"""Measure whether methods find the cause where it is known: it was planted, and the network rests on it.

    python examples/planted/measure.py --output docs

Twelve tasks, six in pictures of 32 x 32 pixels and six in signals of 256 samples, draw samples of two classes: with a planted cause, and
with the same cause taken out. For each task three networks are trained, from different samples and weights. A network's answers count as
known only if it is right in 98 % of held-out samples, if taking the cause out of those that it tells turns the class over in 95 %, and if
another thing that is taken out turns it over in at most 5 %; where that thing accompanied the cause in training, the network must ignore
it: at most 1 %, and at most 2 % of the cause's effect on the logit. Else this script ends with an error.

The class with the cause is explained, in 80 held-out samples for each network, of those that it tells. Each method's maps are scored by the
metrics of localization. 95 % intervals are those of a bootstrap over networks and their samples.

With --output, that folder's evidence_planted.md gets the tables, its images/ the figure, and planted.json and TABLES.md beside this script
all numbers; without it the tables are printed. One thread computes; the same kind of machine with the same versions gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from known_answers.methods import METHODS, explained
from known_answers.networks import LEAST_ACCURACY, Facts, UnknownAnswerError, facts_of, logits_of, require_known, trained
from known_answers.numbers import Measured, report
from known_answers.report import figure_of, filled, full_tables, tables
from known_answers.scene import FloatArray, Planted, Task, drawn
from known_answers.scores import RESAMPLES, chances, scored
from known_answers.tasks import TASKS
from tqdm import tqdm

from signxai.files import write_atomically

SCENES, STEPS, HELD_OUT, EXPLAINED, SEEDS = 1500, 200, 250, 80, 3
NUMBERS = Path(__file__).with_name("planted.json")
TABLES, PICTURE = "TABLES.md", "evidence_planted.png"


def samples(task: Task, count: int, seed: int, held_out: bool) -> Planted:
    """What a network is trained on, or held-out samples; each by draws of its own."""
    return drawn(task, count, np.random.default_rng([TASKS.index(task), seed, held_out]))


def measured(task: Task, seeds: int, steps: int, held_out: int, most: int, least_accuracy: float) -> Measured:
    """Train a task's networks, see that their answers are known, and score the maps of all methods."""
    found = [_by_network(task, seed, steps, held_out, most, least_accuracy) for seed in range(seeds)]
    facts, chance, scores, known_by = zip(*found, strict=True)
    return Measured(task, facts, _mean(chance), scores, known_by[0])


def _by_network(
    task: Task, seed: int, steps: int, held_out: int, most: int, least_accuracy: float
) -> tuple[Facts, dict[str, float], FloatArray, dict[str, float]]:
    scenes, tested = samples(task, SCENES, seed, False), samples(task, held_out, seed, True)
    network = trained(task, scenes, seed, steps)
    logits = logits_of(network, tested)
    facts = facts_of(logits)
    require_known(task, facts, least_accuracy)
    told = tested[logits[:, 0, 0].argmax(-1) == 1][:most]
    maps = explained(network, told.x, float(scenes.x.mean()), seed)
    return facts, chances(told, task.margin), scored(maps, told, task.margin), fingerprint(tested)


def fingerprint(planted: Planted) -> dict[str, float]:
    """What tells other samples, or the same drawn otherwise, from these: of the first ten."""
    few = planted[:10]
    return {
        "mean": round(float(few.states.mean(dtype=np.float64)), 6),
        "deviation": round(float(few.states.std(dtype=np.float64)), 6),
        "inside": round(float(few.inside.mean()), 6),
    }


def _mean(chance: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([own[name] for own in chance])) for name in chance[0]}


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on, as the options say."""
    names = ("seeds", "steps", "held_out", "explained", "least_accuracy")
    return {"scenes": SCENES, "resamples": RESAMPLES, **{name: getattr(options, name) for name in names}}


def summary(options: argparse.Namespace) -> dict[str, Any]:
    """All numbers, for JSON."""
    chosen = [task for task in TASKS if options.task is None or name_of(task) in options.task]
    arguments = (options.seeds, options.steps, options.held_out, options.explained, options.least_accuracy)
    found = [measured(task, *arguments) for task in tqdm(chosen, desc="tasks", disable=None)]
    versions = {name: version(name) for name in ("torch", "numpy")} | {"Python": platform.python_version()}
    return {
        "parameters": parameters(options),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": versions,
        "method names": list(METHODS),
        **report(found),
    }


def name_of(task: Task) -> str:
    """As it is called on the command line: "signal:near zero"."""
    return f"{task.kind}:{task.name}"


def as_json(found: Mapping[str, Any]) -> str:
    """Lines of JSON, lists of numbers on one."""
    text = json.dumps(found, indent=1)
    return re.sub(r"\[[\s\d.,eNa-]*\]", lambda match: re.sub(r"\s+", " ", match[0]).replace("[ ", "[").replace(" ]", "]"), text) + "\n"


def write(output: Path, numbers: Path, found: Mapping[str, Any]) -> None:
    """The tables, the figure and the numbers, all or none."""
    document, text = output / "evidence_planted.md", (output / "evidence_planted.md").read_text(encoding="utf-8")
    for place, content in tables(found).items():
        text = filled(text, place, content)
    contents = {document: text, numbers: as_json(found), numbers.with_name(TABLES): full_tables(found)}
    write_atomically(
        {path: partial(Path.write_text, data=content, encoding="utf-8") for path, content in contents.items()}
        | {output / "images" / PICTURE: lambda path: figure_of(found).savefig(path, metadata={"Software": None})}
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="folder of evidence_planted.md and images/")
    parser.add_argument("--numbers", type=Path, default=NUMBERS, help="where the numbers go with --output (default: beside this script)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; take the numbers of the last time")
    parser.add_argument("--task", action="append", choices=[name_of(task) for task in TASKS], help="this one alone; may be given again")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="networks for each task")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="samples on which a network is tested")
    parser.add_argument("--explained", type=int, default=EXPLAINED, help="of these that are explained, at most")
    parser.add_argument("--least-accuracy", type=float, default=LEAST_ACCURACY, help="below which no network counts")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        found = json.loads(options.numbers.read_text(encoding="utf-8")) if options.redraw else summary(options)
    except UnknownAnswerError as error:
        sys.exit(f"error: {error}")
    if options.output is None:
        print("\n\n".join(tables(found).values()))
    else:
        write(options.output, options.numbers, found)


if __name__ == "__main__":
    main()
