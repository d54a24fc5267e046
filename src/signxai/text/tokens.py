"""Texts as the tokens of a model, and tokens as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from signxai.common.errors import InputError, OptionError
from signxai.text.words import Span


@dataclass(frozen=True)
class TokenizedText:
    """A text and its tokens.

    Attributes:
        text: as it was given.
        ids: of its tokens, special ones too.
        tokens: as people read them.
        offsets: where each stands in the text; None: a special token, which stands for no part of it.
    """

    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    offsets: tuple[Span | None, ...]


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer of Hugging Face's, asked for what explanations need.

    Attributes:
        tokenizer: a fast one.
    """

    tokenizer: Any

    def read(self, text: object) -> TokenizedText:
        """The tokens of a text, with the special tokens that the tokenizer adds.

        Raises:
            InputError: if it is no text, or has no token.
        """
        if not isinstance(text, str):
            raise InputError(f"a text must be a str, not {type(text).__name__}; several texts are a list of them")
        if not _is_unicode(text):
            raise InputError(
                f"the text {text!r} holds half of a character (a surrogate), as bytes that are no UTF-8 become; decode them first"
            )
        if not text.strip():
            raise InputError(f"the text {text!r} is empty: there is nothing that relevance could be given to")
        encoded = self.tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        ids = tuple(map(int, encoded["input_ids"]))
        spans = [(int(start), int(end)) for start, end in encoded["offset_mapping"]]
        added = encoded["special_tokens_mask"]
        offsets = tuple(None if is_added and start == end else (start, end) for (start, end), is_added in zip(spans, added, strict=True))
        if not any(span is not None for span in offsets):
            raise InputError(f"the tokenizer makes no token of the text {text!r}: there is nothing that relevance could be given to")
        return TokenizedText(text, ids, tuple(_in_place(self.name(one), text, at) for one, at in zip(ids, offsets, strict=True)), offsets)

    def continued(self, given: TokenizedText, new: Sequence[int]) -> TokenizedText:
        """A text followed by tokens that a model generated."""
        texts = self.written(new, given.text)
        offsets, start = list(given.offsets), len(given.text)
        for part, token_id in zip(texts, new, strict=True):
            offsets.append(None if token_id in self.special_ids else (start, start + len(part)))
            start += len(part)
        tokens = (*given.tokens, *map(self.name, new))
        return TokenizedText(given.text + "".join(texts), (*given.ids, *new), tokens, tuple(offsets))

    def written(self, ids: Sequence[int], before: str = "") -> list[str]:
        """What each of some tokens in a row adds to the text; "" for special ones, and for parts of a character but the last."""
        result: list[str] = []
        plain = [token_id for token_id in ids if token_id not in self.special_ids]
        known, count, whole = "", 0, self._decoded(plain)
        for token_id in ids:
            if token_id in self.special_ids:
                result.append("")
                continue
            count += 1
            now = self._decoded(plain[:count])
            if now.endswith("\ufffd") and not whole.startswith(now):  # the rest of a character is still to come
                result.append("")
                continue
            part = now[len(known) :]
            if not known and before and not before[-1].isspace() and self._inside(token_id).startswith(" ") and not part.startswith(" "):
                part = " " + part  # decoders take the white space off the first token
            result.append(part)
            known = now
        return result

    def name(self, token_id: int) -> str:
        """A token of the vocabulary as people read it: white space as such, bytes that are no character as <0xE2>."""
        raw = self.tokenizer.convert_ids_to_tokens(token_id)
        if raw is None:
            return f"<{token_id}>"
        if token_id in self.special_ids:
            return str(raw)
        text = self._inside(token_id)
        if text.strip() == raw:  # white space that the decoder puts between any two tokens is no part of them
            return str(raw)
        if "\ufffd" in text and all(letter in _BYTES for letter in raw):
            text = bytes(_BYTES[letter] for letter in raw).decode("utf-8", "surrogateescape")
            return "".join(f"<0x{ord(letter) - 0xDC00:02X}>" if "\udc80" <= letter <= "\udcff" else letter for letter in text)
        return text or str(raw)

    @property
    def special_ids(self) -> frozenset[int]:
        """The ids of the tokens that stand for no text."""
        return frozenset(self.tokenizer.all_special_ids)

    @property
    def padding(self) -> int:
        """The id of the token that fills shorter texts up.

        Raises:
            InputError: if there is none.
        """
        if self.tokenizer.pad_token_id is None:
            raise InputError(
                "texts of several lengths are padded, and the tokenizer has no padding token; set one, as in "
                "tokenizer.pad_token = tokenizer.eos_token (which one does not matter), or explain one text at a time"
            )
        return int(self.tokenizer.pad_token_id)

    def ids_of(self, text: str) -> list[int]:
        """The tokens of a text alone, without special ones; none of a text that is no Unicode."""
        if not _is_unicode(text):
            return []
        return [int(token_id) for token_id in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def is_unknown(self, token_id: int, text: str) -> bool:
        """Whether a token stands for whatever the vocabulary has not, and the text did not name just that."""
        return bool(token_id == self.tokenizer.unk_token_id and text != self.tokenizer.unk_token)

    def is_beginning(self, token_id: int) -> bool:
        """Whether a token marks the beginning of a text."""
        return token_id in (self.tokenizer.bos_token_id, self.tokenizer.cls_token_id)

    def _inside(self, token_id: int) -> str:
        """What a token is in the middle of a text; decoders treat the first one in their own way."""
        return self._decoded([token_id, token_id])[len(self._decoded([token_id])) :]

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _in_place(name: str, text: str, span: Span | None) -> str:
    """A token without the white space that its vocabulary writes before it, where the text has none there."""
    if span is None or not name.startswith(" ") or not name.strip():
        return name
    has_space = text[span[0] : span[0] + 1].isspace() or text[max(span[0] - 1, 0) : span[0]].isspace()
    return name if has_space else name.lstrip(" ")


def check_version() -> None:
    """Refuse a version of transformers whose models were not tried.

    Raises:
        OptionError: if it is older than the extra ``text`` asks for.
    """
    try:
        found = version("transformers")
    except PackageNotFoundError:
        found = "none"
    major = found.partition(".")[0]
    if not major.isdigit() or int(major) < LEAST_TRANSFORMERS:
        raise OptionError(f"texts need transformers {LEAST_TRANSFORMERS} or later, and here is {found}: pip install signxai[text]")


LEAST_TRANSFORMERS = 5
"""The first major version that texts were tried with."""


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """A tokenizer, checked.

    Raises:
        InputError: if it is none, or one that cannot say where its tokens stand in a text.
    """
    if isinstance(tokenizer, type) or not (callable(tokenizer) and hasattr(tokenizer, "convert_ids_to_tokens")):
        what = f"the class {tokenizer.__name__}" if isinstance(tokenizer, type) else type(tokenizer).__name__
        raise InputError(f"a tokenizer of transformers is needed, not {what}; take that of the model: AutoTokenizer.from_pretrained(...)")
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"{type(tokenizer).__name__} is a slow tokenizer, which cannot say where its tokens stand in the text; take a fast one: "
            "AutoTokenizer.from_pretrained(..., use_fast=True), or transformers.PreTrainedTokenizerFast(tokenizer_object=...)"
        )
    return Vocabulary(tokenizer)


def _alphabet_of_bytes() -> dict[str, int]:
    """The letters by which GPT-2's vocabulary, and all byte-level ones after it, write bytes: printable ones as themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTES = _alphabet_of_bytes()
