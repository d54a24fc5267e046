"""The token ids of several texts as a model takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from signxai.common.errors import InputError, ModelError
from signxai.text.tokens import Vocabulary


@dataclass(frozen=True, eq=False)
class Rows:
    """Token ids of N texts, padded.

    Attributes:
        ids: (N, L).
        mask: (N, L), 1 where a token is, 0 where padding is.
        decoder_ids: (N, D), what the decoder is handed; None: there is no decoder.
    """

    ids: Tensor
    mask: Tensor
    decoder_ids: Tensor | None = None

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What is explained, by its keyword."""
        return {"input_ids": self.ids} | ({} if self.decoder_ids is None else {"decoder_input_ids": self.decoder_ids})

    @property
    def lengths(self) -> list[int]:
        """The number of each text's tokens."""
        return [int(length) for length in self.mask.sum(1)]

    def row(self, number: int) -> Rows:
        """One text alone, without padding."""
        decoder = None if self.decoder_ids is None else self.decoder_ids[number : number + 1]
        own = slice(self.lengths[number])
        return Rows(self.ids[number : number + 1, own], self.mask[number : number + 1, own], decoder)

    def relevance_of(self, maps: Mapping[str, Any], row: int) -> list[Tensor]:
        """A text's part of the maps, without padding: that of its tokens, and of the decoder's, 0 if none arrived there.

        Raises:
            ModelError: if the method gives its tokens no map.
        """
        if "input_ids" not in maps:
            raise ModelError("no relevance reaches the text's token ids by this method: the model does not look them up in an embedding")
        parts = [(name, self.lengths[row] if name == "input_ids" else ids.shape[1]) for name, ids in self.inputs.items()]
        return [
            torch.as_tensor(maps[name][row, :length], device="cpu").double() if name in maps else torch.zeros(length, dtype=torch.float64)
            for name, length in parts
        ]


def padded(texts: Sequence[Sequence[int]], vocabulary: Vocabulary, decoder_ids: Sequence[int] | None = None) -> Rows:
    """Texts as one batch, padded at their ends.

    Padding stands behind the texts whatever side the tokenizer pads on: there, the positions of a text's tokens are those that they
    have when it stands alone, however the model counts them.

    Args:
        texts: the ids of each.
        vocabulary: knows the padding token.
        decoder_ids: what the decoder is handed for each; None: there is no decoder.

    Raises:
        InputError: if there is no padding token, and it is needed.
    """
    longest = max(map(len, texts))
    fill = vocabulary.padding if any(len(ids) < longest for ids in texts) else 0
    ids = torch.tensor([[*ids, *[fill] * (longest - len(ids))] for ids in texts], device="cpu")
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in texts], device="cpu")
    decoder = None if decoder_ids is None else torch.tensor([list(decoder_ids)] * len(texts), device="cpu")
    return Rows(ids, mask, decoder)


def only_place(ids: Sequence[int], vocabulary: Vocabulary, text: str) -> int:
    """Where the mask token stands in a text.

    Raises:
        InputError: if it does not stand there just once.
    """
    tokenizer = vocabulary.tokenizer
    if tokenizer.mask_token_id is None:
        raise InputError("the tokenizer has no mask token, and the model says what stands behind one; set tokenizer.mask_token")
    places = [place for place, token_id in enumerate(ids) if token_id == tokenizer.mask_token_id]
    if len(places) != 1:
        raise InputError(
            f"the text {text!r} has {len(places)} mask tokens; write {tokenizer.mask_token} once, in the "
            "place of the token that is explained"
        )
    return places[0]
