"""From a text to the relevance of its tokens: ``explain_text``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor, nn

from signxai.api import explain, inspect_model
from signxai.common.errors import InputError, ModelError, OptionError, TargetError
from signxai.engine.prediction import predict
from signxai.methods.turned_signs import turns_signs
from signxai.names.grammar import MethodSpec, parse_method
from signxai.text.kinds import Kind, check_fits, decoder_start, end_tokens, forced_first, generates, has_decoder, kind_of, network_of, takes
from signxai.text.results import GeneratedRelevance, TextRelevance, TextTarget
from signxai.text.rows import Rows, only_place, padded
from signxai.text.text_targets import Asked, Entries, TargetOption, answers_of, asked, contrasts_of, targets_of
from signxai.text.tokens import TokenizedText, Vocabulary, check_version, vocabulary_of

__all__ = ["explain_text"]


@overload
def explain_text(
    model: nn.Module,
    tokenizer: Any,
    text_or_texts: str,
    method_name: str | MethodSpec,
    *,
    target: TargetOption = None,
    contrast: TargetOption = None,
    max_new_tokens: None = None,
    account: bool = False,
    **options: Any,
) -> TextRelevance: ...
@overload
def explain_text(
    model: nn.Module,
    tokenizer: Any,
    text_or_texts: Sequence[str],
    method_name: str | MethodSpec,
    *,
    target: TargetOption = None,
    contrast: TargetOption = None,
    max_new_tokens: None = None,
    account: bool = False,
    **options: Any,
) -> list[TextRelevance]: ...
@overload
def explain_text(
    model: nn.Module,
    tokenizer: Any,
    text_or_texts: str,
    method_name: str | MethodSpec,
    *,
    target: TargetOption = None,
    contrast: TargetOption = None,
    max_new_tokens: int,
    account: bool = False,
    **options: Any,
) -> GeneratedRelevance: ...
@overload
def explain_text(
    model: nn.Module,
    tokenizer: Any,
    text_or_texts: Sequence[str],
    method_name: str | MethodSpec,
    *,
    target: TargetOption = None,
    contrast: TargetOption = None,
    max_new_tokens: int,
    account: bool = False,
    **options: Any,
) -> list[GeneratedRelevance]: ...
def explain_text(
    model: nn.Module,
    tokenizer: Any,
    text_or_texts: str | Sequence[str],
    method_name: str | MethodSpec,
    *,
    target: TargetOption = None,
    contrast: TargetOption = None,
    max_new_tokens: int | None = None,
    account: bool = False,
    **options: Any,
) -> Any:
    """Show which tokens of a text a language model's answer rests on.

    What is explained is the logit of one answer. A causal model says the next token, a classifier a class, a masked model the token
    behind the only mask token of the text, an encoder-decoder the first token of its answer: there the token that the decoder begins
    with gets relevance, too.

    Args:
        model: a causal, masked or encoder-decoder language model of transformers, or a classifier of texts.
        tokenizer: the model's own, a fast one.
        text_or_texts: a text, or several, which are run as one padded batch; each has the relevance that it has alone, except that
            rules that look at a whole sample (``std_x``) look at its padding, too.
        method_name: as for ``signxai.explain``, for example ``"lrp_epsilon_0_1"``.
        target: None (the predicted answer), a token or label as a string, or its id; a list: one for each text. Of ``signxai.targets``:
            ``contrast(a, b)``, ``margin()`` (the predicted answer rather than the next one) and ``log_probability(a)``.
        contrast: another answer, written the same way: this one rather than that one, by the difference of their logits.
        max_new_tokens: let the model continue the text by at most so many tokens, each time the most probable one, until it ends the text,
            and explain each of them. Of its ``generation_config`` the tokens of the end and ``forced_bos_token_id`` are followed alone.
        account: True: say how much biases and other constants absorbed, by a second pass per text (LRP only).
        **options: as for ``signxai.explain``: parameters of the method, ``batch_size=``, ``seed=``, ``relevance=``, ``stochastic=``.

    Returns:
        The relevance of the text's tokens, a list of it for several texts; with ``max_new_tokens=`` that of each generated token. It has
        ``.words()``, ``.to_dict()``, ``.to_html()`` and ``.plot()``.

    Raises:
        InputError: an empty text, one that is too long or has not just one mask token; a slow tokenizer, one of another model, or one
            without a padding token where it is needed.
        ModelError: a model of another kind.
        TargetError: a target that is not one answer of the model.
        OptionError: an option that does not go with texts, or that ``signxai.explain`` refuses.

    Token ids get relevance as Achtibat et al., *AttnLRP*, 2024, give it: the sum over the embedding that an id picks out.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    >>> words = Tokenizer(models.WordLevel({"the": 0, "cat": 1, "sat": 2}, unk_token="the"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, clean_up_tokenization_spaces=False)
    >>> sizes = {"vocab_size": 3, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    >>> model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=None, eos_token_id=None))
    >>> found = explain_text(model, tokenizer, "the cat", "lrp_epsilon_0_1", target="sat")
    >>> found.tokens, found.relevance.shape, found.target.id
    (('the', 'cat'), (2,), 2)
    """
    question = _question(model, tokenizer, method_name, account, options)
    is_one = isinstance(text_or_texts, str)
    texts = [question.vocabulary.read(text) for text in _listed(text_or_texts)]
    found: Sequence[TextRelevance | GeneratedRelevance]
    if max_new_tokens is None:
        found = question.of_texts(texts, asked(target, contrast))
    else:
        _check_generation(question, max_new_tokens, target, contrast)
        found = [question.of_generated(text, max_new_tokens) for text in texts]
    return found[0] if is_one else list(found)


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked of a model about each text.

    Attributes:
        model: as the user gave it.
        net: the model of transformers within.
        vocabulary: its tokenizer.
        method: the name of the method.
        account: whether to say what biases absorbed.
        options: for ``signxai.explain``.
    """

    model: nn.Module
    net: Any
    vocabulary: Vocabulary
    method: str | MethodSpec
    account: bool
    options: Mapping[str, Any]

    def of_texts(self, texts: Sequence[TokenizedText], what: Asked) -> list[TextRelevance]:
        """The explanation of each text, from one batch."""
        for text in texts:
            check_fits(self.net, text)
        rows = self._rows(texts)
        logits = self._logits(rows)
        kind = kind_of(self.net, logits)
        self._check_padding(kind, rows)
        places = [self._place(kind, text) for text in texts]
        at_places = [_at(logits, row, place) for row, place in enumerate(places)]
        answers = answers_of(self.net, kind, self.vocabulary)
        what = what.of(answers)
        what.check(logits.shape[-1])
        targets = targets_of(answers, "target", what.targets, at_places)
        contrasts = contrasts_of(answers, what, targets, at_places)
        decoded = TokenizedText("", (), (), ()) if rows.decoder_ids is None else self._answer([int(rows.decoder_ids[0, 0])])
        return self._explained(rows, texts, [decoded] * len(texts), places, targets, contrasts, what)

    def of_generated(self, text: TokenizedText, count: int) -> GeneratedRelevance:
        """The explanation of each token that the model adds."""
        check_fits(self.net, text, 0 if has_decoder(self.net) else count - 1)
        start = (decoder_start(self.net),) if has_decoder(self.net) else ()
        new, logits = self._generated(text.ids, start, count)
        says = answers_of(self.net, Kind.CAUSAL, self.vocabulary)
        targets = [says.target(token_id, values) for token_id, values in zip(new, logits, strict=True)]
        texts = [text if start else self.vocabulary.continued(text, new[:n]) for n in range(len(new))]
        answers = [self._answer([*start, *new[:n]]) if start else TokenizedText("", (), (), ()) for n in range(len(new))]
        places = [(len(start or text.ids) - 1 + n,) for n in range(len(new))]
        steps: list[TextRelevance] = []
        for batch in [slice(0, len(new))] if _goes_by_place(self.method) else [slice(n, n + 1) for n in range(len(new))]:
            rows = padded([texts[batch][-1].ids], self.vocabulary, answers[batch][-1].ids if start else None)
            rows = _repeated(rows, len(texts[batch]))
            steps += self._explained(rows, texts[batch], answers[batch], places[batch], targets[batch], None, Asked(None))
        written = self._answer(new).text if start else self.vocabulary.continued(text, new).text[len(text.text) :]
        return GeneratedRelevance(text.text, written, tuple(steps))

    def _explained(
        self,
        rows: Rows,
        texts: Sequence[TokenizedText],
        decoded: Sequence[TokenizedText],
        places: Sequence[tuple[int, ...]],
        targets: Sequence[TextTarget],
        contrasts: Sequence[TextTarget] | None,
        what: Asked,
    ) -> list[TextRelevance]:
        """The relevance of each row's tokens: those of its text, and of what stands in the decoder before its target."""
        for number, one in enumerate(contrasts or ()):
            if one.id == targets[number].id:
                raise TargetError(f"contrast {one.name!r} is the target itself; give another one, or leave it out")
        others = None if contrasts is None else tuple((*place, one.id) for place, one in zip(places, contrasts, strict=True))
        entries = Entries(tuple((*place, one.id) for place, one in zip(places, targets, strict=True)), others, what.activation)
        maps = explain(self.model, rows.inputs, self.method, entries, forward_kwargs=self._beside(rows), **self.options)
        absorbed = self._absorbed(rows, entries)
        result = []
        for number, (text, answer) in enumerate(zip(texts, decoded, strict=True)):
            own, *of_decoder = rows.relevance_of(maps, number)
            relevance = torch.cat([own[: len(text.ids)], *(part[: len(answer.ids)] for part in of_decoder)])
            result.append(
                TextRelevance(
                    text=text.text,
                    tokens=text.tokens + answer.tokens,
                    ids=text.ids + answer.ids,
                    offsets=text.offsets + answer.offsets,
                    relevance=relevance.numpy(),
                    target=targets[number],
                    contrast=None if contrasts is None else contrasts[number],
                    method=str(self.method),
                    beginning=float(own[0]) if self.vocabulary.is_beginning(text.ids[0]) else None,
                    absorbed_by_bias=absorbed[number][0],
                    absorbed_by_rest=absorbed[number][1],
                    decoder_from=len(text.ids) if of_decoder else None,
                    decoder_text=answer.text,
                    score=what.score,
                    signs_turned=self._turned(targets[number], None if contrasts is None else contrasts[number]),
                )
            )
        return result

    def _turned(self, target: TextTarget, other: TextTarget | None) -> bool:
        """Whether a logit below 0 turns the signs of a map, or of a part of it."""
        below = any(one is not None and one.logit < 0 for one in (target, other))
        return below and turns_signs(self.method, self.options.get("relevance", "one_hot"))

    def _rows(self, texts: Sequence[TokenizedText]) -> Rows:
        start = [decoder_start(self.net)] if has_decoder(self.net) else None
        return padded([text.ids for text in texts], self.vocabulary, start)

    def _logits(self, rows: Rows) -> Tensor:
        shared = {name: self.options[name] for name in ("batch_size", "seed", "output", "stochastic") if name in self.options}
        return predict(self.model, rows.inputs, forward_kwargs=self._beside(rows), **shared).cpu()

    def _beside(self, rows: Rows) -> dict[str, Any]:
        """The arguments of the model that are not explained."""
        own: dict[str, Any] = {"attention_mask": rows.mask} if takes(self.net, "attention_mask") else {}
        if not own and bool((rows.mask == 0).any()):
            raise ModelError(
                f"{type(self.net).__name__} takes no attention_mask, so it cannot tell padding from text; give one text at a time"
            )
        return own

    def _check_padding(self, kind: Kind, rows: Rows) -> None:
        """Refuse a classifier that would look for the end of a text by another padding token than the tokenizer's."""
        known = getattr(self.net.config, "pad_token_id", None)
        if kind is Kind.CLASSIFIER and bool((rows.mask == 0).any()) and known != self.vocabulary.padding:
            raise ModelError(
                f"model.config.pad_token_id is {known}, and the tokenizer pads with {self.vocabulary.padding}, so the model may not find "
                "where a text ends; set model.config.pad_token_id = tokenizer.pad_token_id"
            )

    def _place(self, kind: Kind, text: TokenizedText) -> tuple[int, ...]:
        """At which position of a text's logits the answer stands."""
        if kind is Kind.CLASSIFIER:
            return ()
        if kind is Kind.MASKED:
            return (only_place(text.ids, self.vocabulary, text.text),)
        return (0,) if kind is Kind.ENCODER_DECODER else (len(text.ids) - 1,)

    def _answer(self, ids: Sequence[int]) -> TokenizedText:
        """What the decoder is handed, as tokens and text."""
        return self.vocabulary.continued(TokenizedText("", (), (), ()), ids)

    def _generated(self, ids: Sequence[int], start: Sequence[int], count: int) -> tuple[list[int], list[Tensor]]:
        """The tokens that the model adds, each time the most probable one, or the one that its configuration asks for; and its logits."""
        new: list[int] = []
        logits: list[Tensor] = []
        ends, forced = end_tokens(self.net), forced_first(self.net) if start else None
        while len(new) < count and (not new or new[-1] not in ends):
            rows = padded([ids], self.vocabulary, [*start, *new]) if start else padded([[*ids, *new]], self.vocabulary)
            logits.append(self._logits(rows)[0, -1])
            new.append(forced if forced is not None and not new else int(logits[-1].argmax()))
        return new, logits

    def _absorbed(self, rows: Rows, entries: Entries) -> list[tuple[float | None, float | None]]:
        """What biases and other constants took in each row, and what anything else did, if that is asked for."""
        if not self.account:
            return [(None, None)] * len(rows.ids)
        result: list[tuple[float | None, float | None]] = []
        for row in range(len(rows.ids)):
            own = rows.row(row)
            report = inspect_model(
                self.model, own.inputs, self.method, entries.rows(row, row + 1), forward_kwargs=self._beside(own), **self.options
            )
            result.append((report.absorbed_by_bias, report.absorbed_by_stabilizer + report.absorbed_elsewhere))
        return result


def _question(model: nn.Module, tokenizer: Any, method: str | MethodSpec, account: bool, options: Mapping[str, Any]) -> _Question:
    """What is asked, checked.

    Raises:
        InputError, ModelError, OptionError: if it cannot be.
    """
    check_version()
    taken = [name for name in _NOT_FOR_TEXTS if name in options]
    if taken:
        raise OptionError(f"{taken[0]}= does not go with texts; call signxai.explain with the token ids for it")
    return _Question(model, network_of(model), vocabulary_of(tokenizer), method, account, options)


_NOT_FOR_TEXTS = ("at", "as_tensor", "create_graph", "explained", "forward_kwargs", "progress", "target_class")


def _listed(text_or_texts: object) -> list[object]:
    """The texts, one or several.

    Raises:
        InputError: if there is none.
    """
    if isinstance(text_or_texts, str):
        return [text_or_texts]
    if not isinstance(text_or_texts, Sequence) or isinstance(text_or_texts, bytes):
        raise InputError(f"give a text, a str, or a list of texts, not {type(text_or_texts).__name__}")
    if not text_or_texts:
        raise InputError("the list of texts is empty; give at least one text")
    return list(text_or_texts)


def _check_generation(question: _Question, count: object, target: object, contrast: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise OptionError(f"max_new_tokens={count!r} must be a whole number of at least 1")
    if target is not None or contrast is not None:
        raise OptionError("with max_new_tokens= each generated token is explained by itself; leave target= and contrast= out")
    if not generates(question.net):
        raise ModelError(
            f"{type(question.net).__name__} generates no text; leave max_new_tokens= out, or take a causal or encoder-decoder model"
        )


_BY_PLACE = frozenset(("gradient", "input_t_gradient", "integrated_gradients", "guided_backprop", "deconvnet"))


def _goes_by_place(method: str | MethodSpec) -> bool:
    """Whether what a method says of a text's beginning is the same beside tokens that the model sees later.

    Then each token of a generated text is a target of one batch of the whole text; else it is explained from its own beginning: a rule may
    look at the whole sample (``std_x``), and random numbers are drawn for as many tokens as there are.
    """
    spec = parse_method(method) if isinstance(method, str) else method
    return "std_x" not in spec.rule if spec.rule is not None else spec.method in _BY_PLACE


def _repeated(rows: Rows, count: int) -> Rows:
    """The same text in each of some rows."""
    decoder = None if rows.decoder_ids is None else rows.decoder_ids.repeat(count, 1)
    return Rows(rows.ids.repeat(count, 1), rows.mask.repeat(count, 1), decoder)


def _at(logits: Tensor, row: int, place: tuple[int, ...]) -> Tensor:
    """The logits of one sample at one position (answers,)."""
    index = (row, *place)
    return logits[index]
