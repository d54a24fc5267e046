"""What kind of language model is explained, and what it can be handed."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any

from torch import Tensor, nn

from signxai.common.errors import InputError, ModelError
from signxai.engine.model_loan import unwrapped
from signxai.text.tokens import TokenizedText


class Kind(Enum):
    """What a model says of a text."""

    CAUSAL = "the next token"
    CLASSIFIER = "a class"
    MASKED = "the token behind the mask"
    ENCODER_DECODER = "the next token of an answer"


def network_of(model: object) -> Any:
    """The model of transformers within wrappers, whose configuration can be read.

    Raises:
        ModelError: if it is none.
    """
    net = unwrapped(model)
    if not hasattr(net, "config") or not callable(getattr(net, "get_input_embeddings", None)):
        raise ModelError(
            f"{type(net).__name__} is no language model of transformers: it has no config and no get_input_embeddings(); "
            "for other models call signxai.explain with the token ids"
        )
    return net


def generates(net: Any) -> bool:
    """Whether it is a model that continues texts or answers them."""
    return callable(getattr(net, "can_generate", None)) and bool(net.can_generate())


def has_decoder(net: Any) -> bool:
    """Whether an answer's tokens go into a decoder of their own."""
    return generates(net) and bool(getattr(net.config, "is_encoder_decoder", False))


def kind_of(net: Any, logits: Tensor) -> Kind:
    """What the model says, by its configuration and the shape of its logits.

    Raises:
        ModelError: if it is none of the kinds.
    """
    if type(net).__name__.endswith("ForQuestionAnswering"):
        raise ModelError(
            f"{type(net).__name__} says where an answer begins and ends; explain one of both by signxai.explain with the token ids and "
            "output=lambda returned: returned.start_logits"
        )
    if logits.ndim == 2 and not generates(net):
        return Kind.CLASSIFIER
    if logits.ndim == 3 and generates(net):
        return Kind.ENCODER_DECODER if has_decoder(net) else Kind.CAUSAL
    if logits.ndim == 3 and logits.shape[-1] == vocabulary_size(net):
        return Kind.MASKED
    raise ModelError(
        f"{type(net).__name__} returns {tuple(logits.shape)}: texts are explained for causal, masked and encoder-decoder language models "
        "with a head, such as AutoModelForCausalLM gives, and for classifiers of texts; for others call signxai.explain with the token ids"
    )


def vocabulary_size(net: Any) -> int:
    """How many tokens the model knows."""
    return int(net.get_input_embeddings().weight.shape[0])


def decoder_start(net: Any) -> int:
    """The token that an answer begins with.

    Raises:
        ModelError: if the configuration names none.
    """
    start = getattr(net.config, "decoder_start_token_id", None)
    if start is None:
        start = getattr(getattr(net, "generation_config", None), "decoder_start_token_id", None)
    if start is None:
        raise ModelError("model.config.decoder_start_token_id is None: set it to the id of the token that the decoder begins with")
    return int(start)


def end_tokens(net: Any) -> frozenset[int]:
    """The tokens that end a generated text."""
    for config in (getattr(net, "generation_config", None), net.config):
        end = getattr(config, "eos_token_id", None)
        if end is not None:
            return frozenset([end] if isinstance(end, int) else end)
    return frozenset()


def forced_first(net: Any) -> int | None:
    """The token that every answer begins with behind that of ``decoder_start``, as of models that translate; None: there is none."""
    for config in (getattr(net, "generation_config", None), net.config):
        first = getattr(config, "forced_bos_token_id", None)
        if first is not None:
            return int(first)
    return None


def check_fits(net: Any, text: TokenizedText, more: int = 0) -> None:
    """Refuse a text whose tokens the model does not know, or which is too long for it.

    Args:
        net: the model.
        text: its tokens.
        more: how many tokens will follow.

    Raises:
        InputError: what is wrong.
    """
    size = vocabulary_size(net)
    if max(text.ids) >= size:
        raise InputError(
            f"the token {text.tokens[text.ids.index(max(text.ids))]!r} has the id {max(text.ids)}, and the model knows {size} tokens: "
            "this is another model's tokenizer; take the model's own, or call model.resize_token_embeddings(len(tokenizer))"
        )
    longest = _positions(net)
    if longest is not None and longest < len(text.ids) + more:
        behind = f" and {more} more to come" if more else ""
        raise InputError(f"the text has {len(text.ids)} tokens{behind}, and the model has {longest} positions; cut the text into parts")


def _positions(net: Any) -> int | None:
    """How many tokens the model has positions for; None: for any number."""
    longest = getattr(net.config, "max_position_embeddings", None)
    if not isinstance(longest, int) or longest <= 0:
        return None
    for module in net.modules():
        is_table = isinstance(module, nn.Embedding) and module is not net.get_input_embeddings() and module.num_embeddings == longest
        if is_table and module.padding_idx is not None:  # as in RoBERTa, the positions of a text begin behind that of padding
            return longest - int(module.padding_idx) - 1
    return longest


def takes(net: nn.Module, argument: str) -> bool:
    """Whether the model's forward takes an argument."""
    parameters = inspect.signature(net.forward).parameters
    return argument in parameters or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
