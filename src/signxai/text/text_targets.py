"""Which token or label is explained: what a user writes, as an entry of the model's logits."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import TargetError
from signxai.targets import Contrast, LogProbability, Margin, Token, Top
from signxai.text.kinds import Kind
from signxai.text.results import TextTarget
from signxai.text.tokens import Vocabulary

TargetOption: TypeAlias = "int | str | Sequence[int | str | None] | Contrast | Margin | LogProbability | None"
"""A token or a label, or its id; None: the predicted one; a list: one for each text; or one of ``signxai.targets``."""

_OWN = "its own"
_RUNNER_UP = "the most probable answer but the target"


@dataclass(frozen=True)
class Asked:
    """What a user asks of each text.

    Attributes:
        targets: tokens or labels, or their ids; None: the predicted one.
        contrasts: what is subtracted, in the same way; None: nothing; ``_RUNNER_UP``: the most probable answer but the target.
        activation: what is explained is the logarithm of the probability by this one, "softmax" or "sigmoid", or by the one that the
            model's labels have, ``_OWN``; None: the logit.
    """

    targets: Any
    contrasts: Any = None
    activation: str | None = None

    def of(self, answers: Answers) -> Asked:
        """The same for a model that can say this."""
        own = "sigmoid" if answers.kind is Kind.CLASSIFIER and answers.several else "softmax"
        return replace(self, activation=own) if self.activation == _OWN else self

    def check(self, count: int) -> None:
        """Refuse the logarithm of a probability that is always 1.

        Raises:
            TargetError: the model has a single output, and a softmax is asked for.
        """
        if self.activation == "softmax" and count == 1:
            raise TargetError("log_probability(): the model has a single output, which a softmax makes 1; take activation='sigmoid'")

    @property
    def score(self) -> str:
        """What of the target is explained, in words."""
        return {None: "logit", "softmax": "log-probability", "sigmoid": "log-probability by a sigmoid"}[self.activation]


def asked(target: object, contrast: object) -> Asked:
    """What is asked, of the two options of ``explain_text``; targets with names stand for both.

    Raises:
        TargetError: a target with a name that no text has, or one beside ``contrast=``.
    """
    named = [one for one in (target, contrast) if isinstance(one, Contrast | Margin | LogProbability | Top | Token)]
    if not named:
        return Asked(target, contrast)
    if target is not named[0]:
        raise TargetError(f"contrast={contrast!r} must be a token or label, or its id")
    if contrast is not None:
        raise TargetError(f"target={target!r} says by itself what is explained; leave contrast= out")
    if isinstance(target, Margin):
        return Asked(None, _RUNNER_UP)
    if isinstance(target, Contrast):
        if target.rather_than is None:
            raise TargetError(f"target={target!r} names nothing to compare with; name two tokens or labels, or take the target alone")
        return Asked(target.target, target.rather_than)
    if isinstance(target, LogProbability):
        return Asked(target.target, None, target.activation or _OWN)
    raise TargetError(f"target={target!r} does not go with texts: name a token or label, contrast(...), margin() or log_probability(...)")


@dataclass(frozen=True)
class Entries:
    """An entry of each sample's logits, or its difference from another one: a target of ``signxai.explain``.

    Attributes:
        places: of each sample the index for each axis after the batch.
        others: what is subtracted; None: nothing.
        activation: the logarithm of the probability by this one, "softmax" or "sigmoid"; None: the logit.
    """

    places: tuple[tuple[int, ...], ...]
    others: tuple[tuple[int, ...], ...] | None = None
    activation: str | None = None

    def __call__(self, outputs: Tensor) -> Tensor:
        """The score of each sample (N,); of points made of these samples, round by round."""
        if self.activation is not None:
            outputs = outputs.log_softmax(-1) if self.activation == "softmax" else F.logsigmoid(outputs)
        found = _entries(outputs, self.places)
        return found if self.others is None else found - _entries(outputs, self.others)

    def rows(self, start: int, stop: int) -> Entries:
        """The target of some of the samples."""
        return Entries(self.places[start:stop], None if self.others is None else self.others[start:stop], self.activation)

    def fixed(self, outputs: Tensor) -> Entries:
        """The same for points that are made of samples with these outputs."""
        return self


def _entries(outputs: Tensor, places: Sequence[tuple[int, ...]]) -> Tensor:
    of_each = [(row, *places[row % len(places)]) for row in range(len(outputs))]
    return outputs[tuple(torch.tensor(of_each, device=outputs.device).unbind(1))]


@dataclass(frozen=True)
class Answers:
    """What a model can say: the tokens of its vocabulary, or its labels.

    Attributes:
        kind: of the model.
        vocabulary: its tokenizer.
        labels: from a class to its label.
        several: whether each label has a probability of its own.
    """

    kind: Kind
    vocabulary: Vocabulary
    labels: dict[int, str]
    several: bool

    def target(self, given: object, logits: Tensor) -> TextTarget:
        """What a user asks for.

        Args:
            given: None (the largest logit), an id, or a token or label.
            logits: (answers,), of one sample at one place.

        Raises:
            TargetError: if it is none of the answers.
        """
        number = int(logits.argmax()) if given is None else self._number(given, len(logits))
        return TextTarget(number, self._name(number), float(logits[number]), self._probability(logits, number))

    def runner_up(self, target: TextTarget, logits: Tensor) -> TextTarget:
        """The most probable answer but the target.

        Raises:
            TargetError: if there is no other.
        """
        if len(logits) < 2:
            raise TargetError("margin(): the model has a single output, which has no runner-up")
        best = logits.topk(2).indices.tolist()
        return self.target(best[1] if best[0] == target.id else best[0], logits)

    def _number(self, given: object, count: int) -> int:
        read = _whole if not isinstance(given, str) else self._class if self.kind is Kind.CLASSIFIER else self._token
        number = read(given)
        if not 0 <= number < count:
            raise TargetError(f"target {number} is out of range: the model tells {count} apart, 0 to {count - 1}")
        return number

    def _class(self, label: object) -> int:
        found = [number for number, name in self.labels.items() if name == label]
        if len(found) != 1:
            raise TargetError(f"target {label!r} is not a label of the model; its labels are {', '.join(map(repr, self.labels.values()))}")
        return found[0]

    def _token(self, text: Any) -> int:
        ids = self.vocabulary.ids_of(text)
        if len(ids) != 1:
            names = [self.vocabulary.name(token_id) for token_id in ids]
            raise TargetError(
                f"target {text!r} is {len(ids)} tokens {names}, and one is explained at a time: give a string that is a single token (the "
                "white space before a word often belongs to it), or the id of one"
            )
        if self.vocabulary.is_unknown(ids[0], text):
            raise TargetError(f"target {text!r} is not in the tokenizer's vocabulary; give a token that is, or the id of one")
        return ids[0]

    def _name(self, number: int) -> str:
        return self.labels.get(number, str(number)) if self.kind is Kind.CLASSIFIER else self.vocabulary.name(number)

    def _probability(self, logits: Tensor, number: int) -> float | None:
        values = logits.double()
        if self.kind is Kind.CLASSIFIER and self.several:
            return float(values[number].sigmoid())
        return float(values.softmax(0)[number]) if len(values) > 1 else None


def answers_of(net: Any, kind: Kind, vocabulary: Vocabulary) -> Answers:
    """What a model can say, by its configuration."""
    labels = {int(number): str(name) for number, name in (getattr(net.config, "id2label", None) or {}).items()}
    several = getattr(net.config, "problem_type", None) == "multi_label_classification"
    return Answers(kind, vocabulary, labels, several)


def contrasts_of(answers: Answers, question: Asked, targets: Sequence[TextTarget], logits: Sequence[Tensor]) -> list[TextTarget] | None:
    """What is subtracted of each text; None: nothing.

    Raises:
        TargetError: if it is no answer of the model, or the target itself.
    """
    if question.contrasts is None:
        return None
    if question.contrasts is _RUNNER_UP:
        return [answers.runner_up(target, values) for target, values in zip(targets, logits, strict=True)]
    return targets_of(answers, "contrast", question.contrasts, logits)


def targets_of(answers: Answers, name: str, given: TargetOption, logits: Sequence[Tensor]) -> list[TextTarget]:
    """A target for each text, with what the model says of it.

    Raises:
        TargetError: if it is no answer of the model, or they are not as many as the texts.
    """
    wanted = one_for_each(name, given, len(logits))
    return [answers.target(one, values) for one, values in zip(wanted, logits, strict=True)]


def one_for_each(name: str, given: TargetOption, count: int) -> list[int | str | None]:
    """A target for each text.

    Raises:
        TargetError: if they are not as many.
    """
    if not isinstance(given, list | tuple):
        return [given] * count  # type: ignore[list-item]
    if len(given) != count:
        raise TargetError(f"{name}= has {len(given)} items for {count} texts; give one for all, or one for each")
    return list(given)


def _whole(given: object) -> int:
    if not isinstance(given, bool):
        try:
            return operator.index(given)  # type: ignore[arg-type]
        except TypeError:
            pass
    raise TargetError(f"target {given!r} must be a token or label as a string, its id as an integer, or None for the predicted one")
