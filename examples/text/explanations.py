"""Where each method sees the reasons of an answer: a function from sentences to a number for each of their tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from recall_sentences import COLOURS, NUMBERS, UNKNOWN, VOCABULARY, Sentences
from torch import Tensor, nn

from signxai.text import explain_text

FloatArray: TypeAlias = npt.NDArray[np.float64]
SEED = 0
REPLACEMENTS = 5


@dataclass(frozen=True)
class Model:
    """What is explained: the model, its tokenizer, and the same model with attention that can be read."""

    model: nn.Module
    tokenizer: Any
    with_attention: nn.Module


Explain: TypeAlias = Callable[[Model, Sentences], FloatArray]
"""From sentences to the relevance of their tokens, (N, tokens)."""


def relevance(model: Model, sentences: Sentences, method: str, rather_than_runner_up: bool = False, **options: Any) -> FloatArray:
    """What `explain_text` gives, for the answer, or for the answer rather than the number of the sentence that comes next."""
    contrast = runner_ups(model, sentences) if rather_than_runner_up else None
    found = explain_text(model.model, model.tokenizer, sentences.texts, method, contrast=contrast, seed=SEED, **options)
    return np.array([one.relevance for one in found], dtype=np.float64)


@torch.no_grad()
def runner_ups(model: Model, sentences: Sentences) -> list[int]:
    """Of the other numbers in each sentence the one with the largest logit."""
    numbers = sentences.ids[:, 1:-2:2]
    logits = model.model(input_ids=sentences.ids).logits[:, -1].gather(1, numbers)
    others = logits.masked_fill(numbers == sentences.answer[:, None], -torch.inf)
    return [int(token_id) for token_id in numbers.gather(1, others.argmax(1, keepdim=True))[:, 0]]


@torch.no_grad()
def rollout(model: Model, sentences: Sentences) -> FloatArray:
    """Attention rollout (Abnar & Zuidema 2020): each layer's mean over heads, half of it and half of the identity, multiplied."""
    attentions = model.with_attention(input_ids=sentences.ids, output_attentions=True).attentions
    flow = torch.eye(sentences.ids.shape[1])
    for layer in attentions:
        flow = (0.5 * layer.mean(1) + 0.5 * torch.eye(layer.shape[-1])) @ flow
    return np.asarray(flow[:, -1].numpy(), dtype=np.float64)


@torch.no_grad()
def last_attention(model: Model, sentences: Sentences) -> FloatArray:
    """To which tokens the question mark attends in the last layer, mean over heads."""
    attentions = model.with_attention(input_ids=sentences.ids, output_attentions=True).attentions
    return np.asarray(attentions[-1].mean(1)[:, -1].numpy(), dtype=np.float64)


@torch.no_grad()
def replacement(model: Model, sentences: Sentences) -> FloatArray:
    """By how much the answer's logit falls when a token is replaced: mean over five tokens of its kind that the sentence has not.

    It asks the model itself, and no derivative: what a method says can be held against it. The question mark, of whose kind there is
    no other, is replaced by [UNK].
    """
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.arange(len(sentences.ids))
    before = model.model(input_ids=sentences.ids).logits[rows, -1, sentences.answer]
    fall = torch.zeros(sentences.ids.shape)
    for place in range(sentences.ids.shape[1]):
        for others in _others(sentences.ids, place, generator):
            changed = sentences.ids.clone()
            changed[:, place] = others
            fall[:, place] += before - model.model(input_ids=changed).logits[rows, -1, sentences.answer]
    return np.asarray(fall.numpy() / REPLACEMENTS, dtype=np.float64)


def _others(ids: Tensor, place: int, generator: torch.Generator) -> list[Tensor]:
    """For each sentence five tokens of the kind that stands at a place, none of which it has."""
    if place == ids.shape[1] - 1:
        return [torch.full((len(ids),), VOCABULARY.index(UNKNOWN))] * REPLACEMENTS
    is_number = place % 2 == 1
    kind = torch.tensor([VOCABULARY.index(word) for word in (NUMBERS if is_number else COLOURS)])
    order = torch.rand(len(ids), len(kind), generator=generator)
    order[(ids[:, :, None] == kind).any(1)] = 2.0  # those of the sentence come last
    return list(kind[order.argsort(1)[:, :REPLACEMENTS]].T)


METHODS: Mapping[str, tuple[str, Explain]] = {
    "random": ("Noise", partial(relevance, method="random_uniform")),
    "gradient": ("Gradient", partial(relevance, method="gradient")),
    "gradient_x_input": ("Gradient", partial(relevance, method="gradient_x_input")),
    "smoothgrad": ("Gradient", partial(relevance, method="smoothgrad")),
    "smoothgrad_x_input": ("Gradient", partial(relevance, method="smoothgrad_x_input")),
    "integrated_gradients, from zeros": ("Gradient", partial(relevance, method="integrated_gradients", steps=200)),
    "integrated_gradients, from [UNK]": (
        "Gradient",
        partial(relevance, method="integrated_gradients", steps=200, baseline_ids=VOCABULARY.index(UNKNOWN)),
    ),
    "attention rollout": ("Attention", rollout),
    "attention of the last layer": ("Attention", last_attention),
    "lrp_z": ("AttnLRP", partial(relevance, method="lrp_z")),
    "lrp_epsilon_0_001": ("AttnLRP", partial(relevance, method="lrp_epsilon_0_001")),
    "lrp_epsilon_0_1": ("AttnLRP", partial(relevance, method="lrp_epsilon_0_1")),
    "lrp_epsilon_0_25_std_x": ("AttnLRP", partial(relevance, method="lrp_epsilon_0_25_std_x")),
    "lrp_gamma_0_25": ("AttnLRP", partial(relevance, method="lrp_gamma_0_25")),
    "lrp_epsilon_0_1, rather than the runner-up": ("AttnLRP", partial(relevance, method="lrp_epsilon_0_1", rather_than_runner_up=True)),
    "replacement": ("The model itself", replacement),
}
"""Each method's family and function, by the name in the table."""
