"""Texts explained: each kind of model, alone and in a batch, by several methods."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import signxai
import signxai.text.explaining
from crossing import in_turn
from language_models import bart, bert_classifier, bert_masked, gpt2, llama, of_bytes, of_words, t5
from signxai.targets import contrast, log_probability, margin, token
from signxai.text import explain_text

METHODS = ["lrp_z", "lrp_epsilon_0_1", "gradient_x_input"]


def of_padded_bytes():
    tokenizer = of_bytes()
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


MODELS = {
    "gpt2": (gpt2, of_padded_bytes, ["hello wörld, the cat", "the dog", "a big dog ran under the red mat"]),
    "llama": (llama, of_padded_bytes, ["the dog", "hello again"]),
    "bert_classifier": (bert_classifier, of_words, ["the cat sat on the mat", "a dog ran."]),
    "bert_masked": (bert_masked, of_words, ["the [MASK] sat on the mat", "a dog [MASK]."]),
    "t5": (t5, of_words, ["the cat sat on the mat", "a dog ran."]),
    "bart": (bart, of_words, ["the cat sat on the mat", "a dog ran."]),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    make, tokens, texts = MODELS[request.param]
    tokenizer = tokens()
    return make(tokenizer), tokenizer, texts


@pytest.mark.parametrize("method", METHODS)
def test_a_text_among_others_has_the_relevance_that_it_has_alone(case, method):
    model, tokenizer, texts = case
    close = 1e-6 if model.config.model_type == "t5" else 1e-10  # some versions take its softmax in float32
    tokenizer.padding_side = "left"  # which changes nothing: positions are those of the text alone
    together = explain_text(model, tokenizer, texts, method)
    for text, found in zip(texts, together, strict=True):
        alone = explain_text(model, tokenizer, text, method)
        assert found.tokens == alone.tokens
        assert found.target.id == alone.target.id
        np.testing.assert_allclose(found.relevance, alone.relevance, rtol=close, atol=close)


@pytest.mark.parametrize("method", METHODS)
def test_the_tokens_have_the_relevance_that_explain_gives_their_ids(method):
    tokenizer = of_bytes()
    model, ids = gpt2(tokenizer), tokenizer("hello wörld, the cat", return_tensors="pt")
    target = int(model(**ids).logits[0, -1].argmax())
    mask = {"attention_mask": ids["attention_mask"]}
    expected = signxai.explain(model, {"input_ids": ids["input_ids"]}, method, token(-1, target), forward_kwargs=mask)
    found = explain_text(model, tokenizer, "hello wörld, the cat", method)
    assert found.target.id == target
    np.testing.assert_allclose(found.relevance, expected["input_ids"][0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [gpt2, llama])
def test_attention_weights_are_constants_by_name_or_by_option(make):
    tokenizer = of_bytes()
    model = make(tokenizer)
    found = explain_text(model, tokenizer, "hello, the cat", "lrp_z_cp", account=True)
    same = explain_text(model, tokenizer, "hello, the cat", "lrp_z", attention="cp", account=True)
    other = explain_text(model, tokenizer, "hello, the cat", "lrp_z", account=True)
    np.testing.assert_array_equal(found.relevance, same.relevance)
    assert (found.absorbed_by_bias, found.method) == (same.absorbed_by_bias, "lrp_z_cp")
    assert np.abs(found.relevance - other.relevance).max() > 1e-3 * np.abs(other.relevance).max()
    assert found.absorbed_by_bias != other.absorbed_by_bias


def test_of_an_encoder_decoder_the_start_of_the_answer_is_explained_beside_the_text():
    tokenizer = of_words()
    model = t5(tokenizer)
    found = explain_text(model, tokenizer, "the cat", "gradient_x_input", target="mat")
    encoded = tokenizer("the cat", return_tensors="pt")
    both = {"input_ids": encoded["input_ids"], "decoder_input_ids": torch.tensor([[0]])}
    expected = signxai.explain(model, both, "gradient_x_input", (0, found.target.id))
    assert (found.tokens, found.decoder_from) == (("[CLS]", "the", "cat", "[SEP]", "[PAD]"), 4)
    np.testing.assert_allclose(found.relevance, np.concatenate([expected["input_ids"][0], expected["decoder_input_ids"][0]]), rtol=1e-10)


def test_the_target_has_the_models_own_logit_and_probability():
    tokenizer = of_words()
    model = bert_classifier(tokenizer)
    logits = model(**{name: ids for name, ids in tokenizer("a dog ran", return_tensors="pt").items() if name != "token_type_ids"}).logits[0]
    for number, label in enumerate(("calm", "lively", "odd")):
        target = explain_text(model, tokenizer, "a dog ran", "gradient_x_input", target=label).target
        assert (target.id, target.name) == (number, label)
        assert target.logit == pytest.approx(float(logits[number].detach()), rel=1e-12)
        assert target.probability == pytest.approx(float(logits.softmax(0)[number].detach()), rel=1e-12)


def test_labels_that_are_found_one_by_one_have_probabilities_of_their_own():
    tokenizer = of_words()
    model = bert_classifier(tokenizer, problem_type="multi_label_classification")
    target = explain_text(model, tokenizer, "a dog ran", "gradient_x_input", target="calm").target
    assert target.probability == pytest.approx(1 / (1 + np.exp(-target.logit)), rel=1e-12)


def test_the_probability_of_a_label_that_is_found_by_itself_is_by_a_sigmoid():
    tokenizer = of_words()
    model = bert_classifier(tokenizer, problem_type="multi_label_classification")
    own, sigmoid, softmax = (
        explain_text(model, tokenizer, "a dog ran", "gradient_x_input", target=log_probability(2, *activation))
        for activation in ((), ("sigmoid",), ("softmax",))
    )
    np.testing.assert_array_equal(own.relevance, sigmoid.relevance)
    assert abs(own.relevance - softmax.relevance).max() > 1e-6
    assert own.score == "log-probability by a sigmoid"


@pytest.mark.parametrize("method", ["gradient_x_input", "lrp_z", "lrp_epsilon_0_1"])
def test_a_contrast_is_the_difference_of_both_explanations(method):
    tokenizer = of_words()
    model, text = bert_masked(tokenizer), "the [MASK] sat"
    both = explain_text(model, tokenizer, text, method, target="cat", contrast="dog")
    cat, dog = (explain_text(model, tokenizer, text, method, target=word) for word in ("cat", "dog"))
    if method == "gradient_x_input":  # the one that is linear in what it starts with
        np.testing.assert_allclose(both.relevance, cat.relevance - dog.relevance, rtol=1e-10, atol=1e-12)
    assert (both.target.name, both.contrast.name) == ("cat", "dog")
    assert not np.allclose(both.relevance, cat.relevance)


ANSWERS = {
    "contrast(2, 0)": (contrast(2, 0), lambda logits: logits[2] - logits[0], "logit"),
    "margin()": (margin(), lambda logits: logits.topk(2).values.diff()[0].neg(), "logit"),
    "log_probability(2)": (log_probability(2), lambda logits: logits.log_softmax(0)[2], "log-probability"),
    "log_probability(2, 'sigmoid')": (
        log_probability(2, "sigmoid"),
        lambda logits: logits[2].sigmoid().log(),
        "log-probability by a sigmoid",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_targets_with_names_are_explained_and_said(name):
    target, score, said = ANSWERS[name]
    tokenizer = of_words()
    model, texts = bert_classifier(tokenizer), ["a dog ran", "the cat sat on the mat"]
    together = explain_text(model, tokenizer, texts, "gradient_x_input", target=target)
    for text, found in zip(texts, together, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        read = model.get_input_embeddings()(ids).detach().requires_grad_(True)
        logits = model(inputs_embeds=read).logits[0]
        [gradient] = torch.autograd.grad(score(logits), read)
        np.testing.assert_allclose(found.relevance, (gradient * read).sum(-1)[0].detach(), rtol=1e-9, atol=1e-12)
        content = found.to_dict()
        order = logits.argsort(descending=True).tolist()
        expected = {"margin()": order[:2], "contrast(2, 0)": [2, 0]}.get(name, [2, None])
        assert [content["target"]["id"], content["contrast"] and content["contrast"]["id"]] == expected
        assert content["score"] == said
        assert said == "logit" or f"the {said} of 'odd'" in found.heading()


def test_a_contrast_with_names_takes_words():
    tokenizer = of_words()
    model = bert_masked(tokenizer)
    found = explain_text(model, tokenizer, "the [MASK] sat", "lrp_z", target=contrast("cat", "dog"))
    plain = explain_text(model, tokenizer, "the [MASK] sat", "lrp_z", target="cat", contrast="dog")
    assert found.to_dict() == plain.to_dict()


def test_each_text_may_have_a_target_of_its_own():
    tokenizer = of_words()
    model, texts = bert_classifier(tokenizer), ["the cat sat on the mat", "a dog ran"]
    together = explain_text(model, tokenizer, texts, "lrp_z", target=["odd", 0], contrast=["calm", "lively"], batch_size=1)
    for text, target, other, found in zip(texts, ["odd", "calm"], ["calm", "lively"], together, strict=True):
        alone = explain_text(model, tokenizer, text, "lrp_z", target=target, contrast=other)
        np.testing.assert_allclose(found.relevance, alone.relevance, rtol=1e-10, atol=1e-10)
        assert (found.target.name, found.contrast.name) == (target, other)


def test_methods_of_many_points_take_the_same_targets():
    tokenizer = of_words()
    model, texts = bert_classifier(tokenizer), ["the cat sat on the mat", "a dog ran"]
    together = explain_text(model, tokenizer, texts, "integrated_gradients", target=["odd", "calm"], steps=7)
    for text, target, found in zip(texts, ["odd", "calm"], together, strict=True):
        alone = explain_text(model, tokenizer, text, "integrated_gradients", target=target, steps=7)
        np.testing.assert_allclose(found.relevance, alone.relevance, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore::signxai.methods.repeated.IncompleteWarning")  # of three steps
@pytest.mark.parametrize(
    ("method", "make"),
    in_turn(
        ["lrp_epsilon_0_1", "gradient_x_input", "lrp_epsilon_0_25_std_x", "smoothgrad_x_input", "integrated_gradients_steps_3",
         "lrpsign_z", "input_t_gradient", "lrp_gamma_0_25_cp", "lrpz_alpha_1_beta_0"],
        [gpt2, llama],
        names=lambda one: one if isinstance(one, str) else one.__name__,
    ),
)  # fmt: skip
def test_each_row_of_a_generated_text_explains_the_text_before_its_token(make, method):
    tokenizer = of_bytes()
    model = make(tokenizer)
    found = explain_text(model, tokenizer, "the big cat", method, max_new_tokens=4)
    ids = tokenizer("the big cat")["input_ids"]
    for row, target in zip(found.matrix, found.targets, strict=True):
        expected = signxai.explain(model, {"input_ids": torch.tensor([ids])}, method, token(-1, target.id))["input_ids"][0]
        np.testing.assert_allclose(row[: len(ids)], expected, rtol=1e-10, atol=1e-10)
        assert not row[len(ids) :].any()
        ids = [*ids, target.id]


@pytest.mark.parametrize(("method", "passes"), [("lrp_epsilon_0_1", 1), ("gradient_x_input", 1), ("lrp_epsilon_0_25_std_x", 4)])
@pytest.mark.parametrize(("make", "tokens"), [(gpt2, of_bytes), (t5, of_words)])
def test_generated_tokens_are_one_batch_where_a_rule_looks_at_no_whole_sample(make, tokens, method, passes, monkeypatch):
    calls = []
    explain = signxai.text.explaining.explain
    monkeypatch.setattr("signxai.text.explaining.explain", lambda *given, **options: calls.append(given) or explain(*given, **options))
    tokenizer = tokens()
    found = explain_text(make(tokenizer), tokenizer, "the big cat", method, max_new_tokens=4)
    assert (len(found.steps), len(calls)) == (4, passes)


@pytest.mark.parametrize("make", [t5, bart])
def test_of_an_answer_each_token_rests_on_the_text_and_the_answer_before_it(make):
    tokenizer = of_words()
    model = make(tokenizer)
    found = explain_text(model, tokenizer, "the big cat", "gradient_x_input", max_new_tokens=3)
    encoded, answer = tokenizer("the big cat", return_tensors="pt")["input_ids"], [model.config.decoder_start_token_id]
    for step in found.steps:
        both = {"input_ids": encoded, "decoder_input_ids": torch.tensor([answer])}
        expected = signxai.explain(model, both, "gradient_x_input", token(-1, step.target.id))
        whole = np.concatenate([expected["input_ids"][0], expected["decoder_input_ids"][0]])
        np.testing.assert_allclose(step.relevance, whole, rtol=1e-9, atol=1e-9 * abs(whole).max())
        answer.append(step.target.id)
    assert found.matrix.shape == (len(found.steps), 5 + len(found.steps))


@pytest.mark.parametrize(("make", "tokens"), [(gpt2, of_bytes), (llama, of_bytes), (t5, of_words), (bart, of_words)])
def test_what_is_generated_is_what_the_model_generates(make, tokens):
    tokenizer = tokens()
    model, encoded = make(tokenizer), tokenizer("the big cat", return_tensors="pt")
    found = explain_text(model, tokenizer, "the big cat", "gradient_x_input", max_new_tokens=5)
    plain = {"do_sample": False, "max_new_tokens": 5, "pad_token_id": 0}
    whole = model.generate(encoded["input_ids"], attention_mask=encoded["attention_mask"], **plain)[0].tolist()
    prompt = 1 if model.config.is_encoder_decoder else encoded["input_ids"].shape[1]
    assert [target.id for target in found.targets] == whole[prompt:]


def test_an_answer_begins_with_the_token_that_the_configuration_asks_for():
    """As of models that translate, which are told the language so."""
    tokenizer = of_words()
    model, encoded = bart(tokenizer), tokenizer("the big cat", return_tensors="pt")
    model.generation_config.forced_bos_token_id = 7
    found = explain_text(model, tokenizer, "the big cat", "gradient_x_input", max_new_tokens=3)
    plain = {"do_sample": False, "max_new_tokens": 3}
    whole = model.generate(encoded["input_ids"], attention_mask=encoded["attention_mask"], **plain)[0].tolist()
    assert [target.id for target in found.targets] == whole[1:]
    assert found.targets[0].id == 7


def test_a_text_ends_where_the_model_ends_it():
    tokenizer = of_bytes()
    model = gpt2(tokenizer)
    first = explain_text(model, tokenizer, "the big cat", "gradient_x_input").target.id
    model.generation_config.eos_token_id = first
    assert len(explain_text(model, tokenizer, "the big cat", "gradient_x_input", max_new_tokens=5).steps) == 1


def test_the_account_says_what_biases_took():
    tokenizer = of_words()
    model = bert_classifier(tokenizer)
    texts = ["the cat sat on the mat", "a dog ran"]
    for text, found in zip(texts, explain_text(model, tokenizer, texts, "lrp_z", account=True), strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        ids, mask = {"input_ids": encoded["input_ids"]}, {"attention_mask": encoded["attention_mask"]}
        report = signxai.inspect_model(model, ids, "lrp_z", found.target.id, forward_kwargs=mask)
        assert found.absorbed_by_bias == pytest.approx(report.absorbed_by_bias, rel=1e-8)
    assert explain_text(model, tokenizer, "a dog ran", "lrp_z").absorbed_by_bias is None


def test_what_the_beginning_token_took_is_said_by_itself():
    tokenizer = of_words()
    found = explain_text(bert_classifier(tokenizer), tokenizer, "a dog ran", "lrp_z")
    assert (found.tokens[0], found.beginning) == ("[CLS]", found.relevance[0])
    tokenizer = of_bytes()  # adds none
    assert explain_text(gpt2(tokenizer), tokenizer, "a dog ran", "lrp_z").beginning is None


def test_the_model_comes_back_as_it_was():
    tokenizer = of_words()
    model = bert_classifier(tokenizer).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain_text(model, tokenizer, ["a dog ran", "the cat"], "lrp_z")
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
