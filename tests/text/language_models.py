"""Tokenizers and tiny random language models, made in memory."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran", "on", "under", "mat", "a", "big", "red", ".", "!"]
SENTENCES = ["the cat sat on the mat", "a big dog ran under the red mat", "hello world, hello again", "the dog and the cat said hello"]


def of_words() -> PreTrainedTokenizerFast:
    """A token for each word, between a beginning and an end."""
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, clean_up_tokenization_spaces=False, **special)


def of_bytes(trim_offsets: bool = False) -> PreTrainedTokenizerFast:
    """Byte pairs as GPT-2 has them, without a padding token."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator(SENTENCES * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, clean_up_tokenization_spaces=False, bos_token="<|end|>", eos_token="<|end|>")


def _made(kind, config):
    torch.manual_seed(0)
    model = kind(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases too, and larger than a fresh model's, so that answers differ
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model


def gpt2(tokenizer, **settings):
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return _made(GPT2LMHeadModel, GPT2Config(vocab_size=len(tokenizer), **sizes, **ends, **settings))


def llama(tokenizer):
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    return _made(
        LlamaForCausalLM,
        LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=96, bos_token_id=None, eos_token_id=None, **sizes),
    )


BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "type_vocab_size": 1,
}


def bert_classifier(tokenizer, **settings):
    labels = {0: "calm", 1: "lively", 2: "odd"}
    names = {"id2label": labels, "label2id": {name: number for number, name in labels.items()}}
    config = BertConfig(vocab_size=len(tokenizer), **names, **BERT, **settings)
    return _made(BertForSequenceClassification, config)


def bert_masked(tokenizer):
    return _made(BertForMaskedLM, BertConfig(vocab_size=len(tokenizer), **BERT))


def t5(tokenizer):
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    ends = {"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": tokenizer.sep_token_id}
    return _made(T5ForConditionalGeneration, T5Config(vocab_size=len(tokenizer), **sizes, **ends))


def bart(tokenizer):
    sizes = {"d_model": 16, "max_position_embeddings": 24}
    for part in ("encoder", "decoder"):
        sizes |= {f"{part}_layers": 2, f"{part}_attention_heads": 2, f"{part}_ffn_dim": 24}
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3, "forced_eos_token_id": None}
    return _made(BartForConditionalGeneration, BartConfig(vocab_size=len(tokenizer), **sizes, **ends))
