"""Train ``recall_words``, a small language model whose answers have known reasons, and say how often it answers right.

    python examples/text/train.py OUTPUT
    python examples/text/train.py OUTPUT --steps 2

OUTPUT is a folder; it gets what transformers reads (``config.json``, ``model.safetensors``, ``tokenizer.json``,
``tokenizer_config.json``), ``accuracy.json`` with the figures, and, where the model card ``README.md`` lies there, its table. The
package's own lies in ``src/signxai/data/recall_words``.

The model, a Llama of two layers, starts from random weights. It learns from sentences with four questions each, and in equal parts
from random words that are said twice: from these it learns to look for what followed a word before, which answers are made of. Trials
without them stayed at chance for 2000 steps. One thread computes, so that the number of cores changes nothing: the same kind of machine
with the same versions gives the same weights. It takes about three minutes of one core, and needs the extras ``text`` and ``ecg`` (for
SciPy).
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from recall_sentences import MOST_PAIRS, PADDING, UNKNOWN, VOCABULARY, Sentences, drawn_of_all_lengths, lessons, repetitions
from safetensors.torch import save_model
from scipy.stats import binomtest
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from signxai.files import write_atomically

SEED, STEPS, BATCH, RATE = 0, 5000, 64, 3e-3
QUESTIONS = 4
FEWEST_REPEATED, MOST_REPEATED = 4, 11
HELD_OUT, HELD_OUT_SEED = 10_000, 1_000_000  # drawn by a seed of its own: there are so many sentences that hardly any was trained on
POSITIONS = 64


def new_model() -> LlamaForCausalLM:
    """The network with random weights, larger than Llama's own: of small ones, queries and keys have hardly any gradient at first.

    Positions turn fast (a base of 10 instead of 10 000) and queries and keys have biases, so that a head can learn to look at the token
    before, wherever it stands.
    """
    sizes = {"vocab_size": len(VOCABULARY), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "attention_bias": True}
    positions = {"max_position_embeddings": POSITIONS, "rope_parameters": {"rope_type": "default", "rope_theta": 10.0}}
    ends = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": VOCABULARY.index(PADDING)}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, **positions, **ends, tie_word_embeddings=False, initializer_range=0.1))


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each word."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": UNKNOWN, "pad_token": PADDING}
    return PreTrainedTokenizerFast(tokenizer_object=words, clean_up_tokenization_spaces=False, model_max_length=POSITIONS, **special)


def train(steps: int) -> LlamaForCausalLM:
    """The network after so many steps, in evaluation mode."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = new_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps, pct_start=0.1)
    for step in tqdm(range(steps), desc="training", disable=None, leave=False):
        answered, repeated = loss_of_lessons(model, generator), loss_of_repetitions(model, generator)
        optimizer.zero_grad()
        (answered + repeated).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 500 == 0:
            print(f"step {step + 1}: loss of answers {answered.item():.4f}, of repeated tokens {repeated.item():.4f}", flush=True)
    return model.eval()


def loss_of_lessons(model: LlamaForCausalLM, generator: torch.Generator) -> Tensor:
    """Of the answers to the questions, and of nothing else: the rest of a sentence cannot be known."""
    pairs = _one_of(2, MOST_PAIRS, generator)
    ids = lessons(BATCH, pairs, QUESTIONS, generator)
    asked = torch.arange(2 * pairs + 1, ids.shape[1], 3)
    logits = model(input_ids=ids[:, :-1]).logits[:, asked]
    return cross_entropy(logits.flatten(0, 1), ids[:, asked + 1].flatten())


def loss_of_repetitions(model: LlamaForCausalLM, generator: torch.Generator) -> Tensor:
    """Of the tokens that were said before, from the second one on."""
    length = _one_of(FEWEST_REPEATED, MOST_REPEATED, generator)
    ids = repetitions(BATCH, length, generator)
    logits = model(input_ids=ids[:, :-1]).logits[:, length:]
    return cross_entropy(logits.flatten(0, 1), ids[:, length + 1 :].flatten())


def _one_of(fewest: int, most: int, generator: torch.Generator) -> int:
    return int(torch.randint(fewest, most + 1, (1,), generator=generator))


@torch.no_grad()
def answers_right(model: LlamaForCausalLM, sentences: Sentences) -> Tensor:
    """Whether each answer is right: of all tokens, not of the numbers alone, the most probable one (N,)."""
    said = torch.cat([model(input_ids=part).logits[:, -1].argmax(1) for part in sentences.ids.split(500)])
    return said == sentences.answer


def accuracy(model: LlamaForCausalLM) -> dict[str, Any]:
    """How often it answers right, by the number of pairs, on sentences drawn for this alone."""
    sentences = drawn_of_all_lengths(HELD_OUT, torch.Generator().manual_seed(HELD_OUT_SEED))
    by_pairs = {}
    for part in sentences:
        by_pairs[str(part.ids.shape[1] // 2 - 1)] = {"sentences": len(part.ids), "right": int(answers_right(model, part).sum())}
    return {"seed": HELD_OUT_SEED, "sentences": HELD_OUT, "right": sum(one["right"] for one in by_pairs.values()), "by pairs": by_pairs}


def table(found: Mapping[str, Any]) -> str:
    """The figures in Markdown."""
    rows = {f"{pairs} pairs": one for pairs, one in found["by pairs"].items()} | {"all": found}
    lines = ["| sentences with | sentences | right | accuracy (95 % interval) |", "| --- | ---: | ---: | ---: |"]
    for name, one in rows.items():
        interval = binomtest(one["right"], one["sentences"]).proportion_ci(method="wilson")
        share = f"{100 * one['right'] / one['sentences']:.2f} % ({100 * interval.low:.2f} to {100 * interval.high:.2f})"
        lines.append(f"| {name} | {one['sentences']} | {one['right']} | {share} |")
    return "\n".join(lines)


def write(output: Path, model: LlamaForCausalLM, figures: Mapping[str, Any]) -> None:
    """All files of the model, each beside its place first, then renamed."""
    output.mkdir(parents=True, exist_ok=True)
    card = output / "README.md"
    with TemporaryDirectory() as name:
        made = Path(name)
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(made)
        new_tokenizer().save_pretrained(made)
        files: dict[Path, Any] = {
            output / path.name: partial(Path.write_text, data=path.read_text(encoding="utf-8").rstrip() + "\n", encoding="utf-8")
            for path in sorted(made.iterdir())
        }
    files[output / "model.safetensors"] = lambda path: save_model(model, str(path), metadata={"format": "pt"})
    files[output / "accuracy.json"] = partial(Path.write_text, data=json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if card.exists():
        files[card] = partial(Path.write_text, data=_filled(card.read_text(encoding="utf-8"), table(figures)), encoding="utf-8")
    write_atomically(files)


def _filled(card: str, content: str) -> str:
    begin, end = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{content}\n{end}", card, flags=re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder for the model")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args(arguments)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    started, used = time.perf_counter(), time.process_time()
    model = train(options.steps)
    print(f"trained in {time.perf_counter() - started:.0f} s, {time.process_time() - used:.0f} s of one core")
    figures = accuracy(model)
    print(table(figures))
    write(options.output, model, figures)


if __name__ == "__main__":
    main()
