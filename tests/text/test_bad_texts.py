"""What cannot be explained of a text is refused, with what to do."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from language_models import BERT, bert_classifier, bert_masked, gpt2, of_bytes, of_words, t5
from signxai.common.errors import InputError, ModelError, OptionError, SignxaiError, TargetError
from signxai.targets import contrast, log_probability, margin, token, top
from signxai.text import explain_text


@pytest.fixture(scope="module")
def words():
    return of_words()


@pytest.fixture(scope="module")
def pairs():
    return of_bytes()


@pytest.fixture(scope="module")
def classifier(words):
    return bert_classifier(words)


@pytest.fixture(scope="module")
def causal(pairs):
    return gpt2(pairs)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is empty"),
        (" \n", "is empty"),
        (b"the cat", "not bytes"),
        (None, "not NoneType"),
        ([], "at least one text"),
        (["the cat", 3], "must be a str, not int"),
        (["the cat", ""], "is empty"),
        ("caf\udce9", "half of a character"),
    ],
)
def test_a_text_must_have_letters(classifier, words, text, says):
    with pytest.raises(InputError, match=says):
        explain_text(classifier, words, text, "lrp_z")


def test_a_text_must_fit_into_the_model(classifier, words, causal, pairs):
    with pytest.raises(InputError, match="31 tokens, and the model has 24 positions"):
        explain_text(classifier, words, "the cat sat " * 9 + "on the", "lrp_z")
    with pytest.raises(InputError, match="99 more to come, and the model has 64 positions"):
        explain_text(causal, pairs, "the cat", "lrp_z", max_new_tokens=100)


def test_positions_that_begin_behind_that_of_padding_are_fewer(words):
    sizes = BERT | {"max_position_embeddings": 10, "pad_token_id": 0}
    model = RobertaForSequenceClassification(RobertaConfig(vocab_size=len(words), **sizes)).double().eval()
    assert len(explain_text(model, words, "the cat sat on the mat .", "lrp_z").tokens) == 9
    with pytest.raises(InputError, match="10 tokens, and the model has 9 positions"):
        explain_text(model, words, "the cat sat on the red mat .", "lrp_z")


def test_the_tokenizer_must_be_the_models_own(classifier, pairs):
    with pytest.raises(InputError, match=r"has the id \d+, and the model knows 18 tokens.*another model's tokenizer"):
        explain_text(classifier, pairs, "the cat", "lrp_z")


@pytest.mark.parametrize("tokenizer", [None, "gpt2", str, np.zeros(3)])
def test_a_tokenizer_is_needed(classifier, tokenizer):
    with pytest.raises(InputError, match=r"a tokenizer of transformers is needed.*AutoTokenizer"):
        explain_text(classifier, tokenizer, "the cat", "lrp_z")


def test_a_tokenizer_must_say_where_its_tokens_stand(classifier):
    class Slow:
        is_fast = False

        def __call__(self, text):
            return {"input_ids": [1]}

        def convert_ids_to_tokens(self, ids):
            return "a"

    with pytest.raises(InputError, match=r"Slow is a slow tokenizer.*use_fast=True"):
        explain_text(classifier, Slow(), "the cat", "lrp_z")


@pytest.mark.parametrize(
    ("model", "says"), [(torch.nn.Linear(2, 2), "signxai.explain"), ("gpt2", "torch.nn.Module"), (None, "torch.nn.Module")]
)
def test_a_language_model_is_needed(words, model, says):
    with pytest.raises(ModelError, match=says):
        explain_text(model, words, "the cat", "lrp_z")


def test_a_model_of_another_kind_is_refused(words):
    model = BertForTokenClassification(BertConfig(vocab_size=len(words), **BERT)).double().eval()
    with pytest.raises(ModelError, match=r"BertForTokenClassification returns \(1, 4, 2\).* with a head"):
        explain_text(model, words, "the cat", "lrp_z")


def test_texts_of_several_lengths_need_a_padding_token(causal, pairs):
    with pytest.raises(InputError, match=r"tokenizer.pad_token = tokenizer.eos_token"):
        explain_text(causal, pairs, ["the cat", "the cat sat on the mat"], "lrp_z")
    assert len(explain_text(causal, pairs, ["the cat", "the dog"], "lrp_z")) == 2  # nothing to fill


def test_a_classifier_must_know_the_padding_token(words):
    config = GPT2Config(
        vocab_size=len(words), n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=2, eos_token_id=3, pad_token_id=1
    )
    model = GPT2ForSequenceClassification(config).double().eval()
    with pytest.raises(
        ModelError, match=r"model.config.pad_token_id is 1.*pads with 0.*model.config.pad_token_id = tokenizer.pad_token_id"
    ):
        explain_text(model, words, ["the cat", "the cat sat"], "lrp_z")
    model.config.pad_token_id = words.pad_token_id
    together = explain_text(model, words, ["the cat", "the cat sat"], "lrp_z")
    np.testing.assert_allclose(together[0].relevance, explain_text(model, words, "the cat", "lrp_z").relevance, atol=1e-10)


@pytest.mark.parametrize(("text", "count"), [("the cat sat", 0), ("the [MASK] sat on the [MASK]", 2)])
def test_the_mask_token_stands_in_the_text_once(words, text, count):
    with pytest.raises(InputError, match=rf"has {count} mask tokens; write \[MASK\] once"):
        explain_text(bert_masked(words), words, text, "lrp_z")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("angry", r"'angry' is not a label of the model; its labels are 'calm', 'lively', 'odd'"),
        (3, "target 3 is out of range: the model tells 3 apart"),
        (-1, "out of range"),
        (True, "must be a token or label"),
        (1.0, "must be a token or label"),
        (["odd", "calm"], "2 items for 1 texts"),
    ],
)
@pytest.mark.parametrize("option", ["target", "contrast"])
def test_a_target_is_a_label(classifier, words, option, target, says):
    with pytest.raises(TargetError, match=says):
        explain_text(classifier, words, "the cat", "lrp_z", **{option: target})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": top(2)}, r"top\(2\) does not go with texts: name a token or label, contrast"),
        ({"target": token(0, 1)}, r"token\(0, 1\) does not go with texts"),
        ({"target": contrast(0, 1), "contrast": 2}, "leave contrast= out"),
        ({"contrast": contrast(0, 1)}, "must be a token or label"),
        ({"target": contrast(0, 0)}, "is the target itself"),
        ({"target": contrast(0, 3)}, "out of range"),
        ({"target": contrast("calm", "angry")}, "'angry' is not a label"),
    ],
)
def test_targets_with_names_that_no_text_has(classifier, words, options, says):
    with pytest.raises(TargetError, match=says):
        explain_text(classifier, words, "the cat", "lrp_z", **options)


@pytest.mark.parametrize("target", [log_probability(0), margin()])
def test_a_single_output_has_no_other(words, target):
    model = BertForSequenceClassification(BertConfig(vocab_size=len(words), num_labels=1, **BERT)).double().eval()
    with pytest.raises(TargetError, match="the model has a single output"):
        explain_text(model, words, "the cat", "lrp_z", target=target)


def test_a_target_is_one_token(causal, pairs, words):
    with pytest.raises(TargetError, match=r"'the cat' is 2 tokens \['the', ' cat'\]"):
        explain_text(causal, pairs, "a big", "lrp_z", target="the cat")
    with pytest.raises(TargetError, match="'' is 0 tokens"):
        explain_text(causal, pairs, "a big", "lrp_z", target="")
    with pytest.raises(TargetError, match="'horse' is not in the tokenizer's vocabulary"):
        explain_text(bert_masked(words), words, "the [MASK]", "lrp_z", target="horse")


def test_an_answer_is_not_compared_with_itself(classifier, words):
    with pytest.raises(TargetError, match="contrast 'odd' is the target itself"):
        explain_text(classifier, words, "the cat", "lrp_z", target="odd", contrast=2)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "3"])
def test_the_number_of_new_tokens_is_whole(causal, pairs, count):
    with pytest.raises(OptionError, match="max_new_tokens"):
        explain_text(causal, pairs, "the cat", "lrp_z", max_new_tokens=count)


def test_generation_needs_a_model_that_generates_and_no_target(classifier, words, causal, pairs):
    with pytest.raises(ModelError, match="BertForSequenceClassification generates no text"):
        explain_text(classifier, words, "the cat", "lrp_z", max_new_tokens=2)
    with pytest.raises(OptionError, match="leave target= and contrast= out"):
        explain_text(causal, pairs, "the cat", "lrp_z", max_new_tokens=2, target=3)


def test_a_decoder_must_know_where_to_begin(words):
    model = t5(words)
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = None
    with pytest.raises(ModelError, match=r"model.config.decoder_start_token_id is None: set it"):
        explain_text(model, words, "the cat", "lrp_z")


@pytest.mark.parametrize("option", ["at", "as_tensor", "forward_kwargs", "target_class"])
def test_options_of_other_inputs_do_not_go_with_texts(classifier, words, option):
    with pytest.raises(OptionError, match=f"{option}= does not go with texts"):
        explain_text(classifier, words, "the cat", "lrp_z", **{option: 1})


def test_other_options_are_those_of_explain(classifier, words):
    with pytest.raises(SignxaiError, match="steps"):
        explain_text(classifier, words, "the cat", "lrp_z", steps=3)
    with pytest.raises(SignxaiError, match="banana"):
        explain_text(classifier, words, "the cat", "banana")
    with pytest.raises(OptionError, match="not LRP"):
        explain_text(classifier, words, "the cat", "integrated_gradients", account=True)


class OfNumbers(torch.nn.Module):
    """Takes the ids of a text for numbers, and looks up those of the answer alone."""

    def __init__(self):
        super().__init__()
        self.config = BertConfig(vocab_size=18, is_encoder_decoder=True, decoder_start_token_id=0)
        self.table, self.out = torch.nn.Embedding(18, 2), torch.nn.Linear(2, 18)
        self.double()

    def can_generate(self):
        return True

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids, decoder_input_ids):
        return self.out(self.table(decoder_input_ids)) * (input_ids > 3).double().mean(1).view(-1, 1, 1)


def test_a_model_must_look_up_the_tokens_of_a_text(words):
    with pytest.raises(ModelError, match="does not look them up in an embedding"):
        explain_text(OfNumbers(), words, "the cat", "lrp_z")


def test_a_model_without_a_mask_cannot_tell_padding_from_text(words):
    with pytest.raises(ModelError, match=r"OfNumbers takes no attention_mask.*one text at a time"):
        explain_text(OfNumbers(), words, ["the cat", "the cat sat"], "lrp_z")


@pytest.mark.parametrize("found", ["4.57.6", "none"])
def test_versions_of_transformers_that_were_not_tried_are_refused(found, monkeypatch):
    def version(name):
        if found == "none":
            raise PackageNotFoundError(name)
        return found

    monkeypatch.setattr("signxai.text.tokens.version", version)
    tokenizer = of_words()
    with pytest.raises(OptionError, match=rf"need transformers 5 or later, and here is {found}"):
        explain_text(bert_classifier(tokenizer), tokenizer, "the cat", "lrp_z")
