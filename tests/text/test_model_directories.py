"""Language models from directories: what is loaded, and what is refused."""

from __future__ import annotations

import json
import shutil
import socket
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from saved_models import KINDS, change, save
from signxai.common.errors import InputError, ModelError, OptionError
from signxai.text import explain_text, load_directory
from signxai.text.model_directories import BUNDLED


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save(tmp_path_factory.mktemp("models"), "classifier")


@pytest.fixture
def directory(whole, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture
def no_network(monkeypatch):
    """Whatever is asked of a network fails the test, also where the error is caught."""
    asked = []
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: asked.append(arguments))
    yield
    assert asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_as_it_was_saved(kind, tmp_path, no_network):
    make, tokens = KINDS[kind]
    model, tokenizer = load_directory(save(tmp_path, kind))
    before = make(tokens()).float()
    assert type(model) is type(before)
    assert not model.training
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in model.state_dict().items())
    assert tokenizer.get_vocab() == tokens().get_vocab()
    text = "the [MASK] sat" if kind == "masked" else "the cat sat"
    found, expected = (explain_text(one, of, text, "lrp_z") for one, of in ((model, tokenizer), (before, tokens())))
    assert (found.tokens, found.target.id) == (expected.tokens, expected.target.id)
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_model_is_loaded_in_the_type_that_is_asked_for(whole, dtype):
    assert load_directory(whole, dtype=dtype)[0].dtype == getattr(torch, dtype)


def test_without_a_type_it_is_that_of_the_files(directory):
    weights = {name: value.to(torch.bfloat16) for name, value in load_file(directory / "model.safetensors").items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    change(directory / "config.json", dtype="bfloat16")
    assert load_directory(directory)[0].dtype == torch.bfloat16


def test_a_path_may_be_a_string_and_an_index_of_parts_may_stand_for_the_weights(directory):
    (directory / "model.safetensors").rename(directory / "model-00001-of-00001.safetensors")
    names = load_file(directory / "model-00001-of-00001.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load_directory(str(directory))[0].num_labels == 3


def test_the_name_of_a_bundled_model_stands_for_its_directory(whole, monkeypatch):
    monkeypatch.setitem(BUNDLED, "my_words", whole)
    assert load_directory("my_words")[0].num_labels == 3
    with pytest.raises(InputError, match="or one of the names recall_words, my_words"):
        load_directory("other_words")


def test_transformers_speaks_afterwards_as_before(whole, capfd):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_directory(whole)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


# Refused


def without(directory, *names):
    for name in names:
        (directory / name).unlink()


def pickled(directory):
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    without(directory, "model.safetensors")


def with_weights(directory, spoil):
    weights = load_file(directory / "model.safetensors")
    spoil(weights)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def tokenizer_part(directory, **parts):
    change(directory / "tokenizer.json", **parts)


OWN_CODE = {"AutoModelForCausalLM": "own.Model"}

SPOILT = {
    "no directory": (shutil.rmtree, InputError, r"no such directory.*config\.json.*Nothing is downloaded"),
    "no configuration": (lambda d: without(d, "config.json"), InputError, r"no config\.json"),
    "a broken configuration": (lambda d: (d / "config.json").write_text("{"), InputError, r"config\.json: broken"),
    "a list": (lambda d: (d / "config.json").write_text("[]"), InputError, "holds a list, and an object is expected"),
    "an adapter": (lambda d: (d / "adapter_config.json").write_text("{}"), ModelError, "merge it into its model"),
    "no weights": (lambda d: without(d, "model.safetensors"), ModelError, r"no model\.safetensors; there are no weights"),
    "pickled weights": (pickled, ModelError, r"pytorch_model\.bin would have to be unpickled, which can run code; .*save_pretrained"),
    "no tokenizer": (lambda d: without(d, "tokenizer.json"), InputError, r"no tokenizer \(no tokenizer\.json"),
    "a tokenizer without words": (
        lambda d: (change(d / "tokenizer_config.json", tokenizer_class="BertTokenizer"), (d / "tokenizer.json").rename(d / "vocab.json")),
        InputError,
        "its tokenizer has no words",
    ),
    "a tokenizer of its own": (
        lambda d: change(d / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Tokenizer", None]}),
        ModelError,
        r"needs code of its own \(auto_map in tokenizer_config\.json\), which is not run",
    ),
    "a broken tokenizer": (lambda d: (d / "tokenizer.json").write_text("{"), InputError, "its tokenizer cannot be loaded"),
    "another tokenizer": (lambda d: tokenizer_part(d, model={"type": "X"}), InputError, "its tokenizer cannot be loaded: data did not"),
    "code of its own": (
        lambda d: change(d / "config.json", architectures=["OwnModel"], auto_map=OWN_CODE),
        ModelError,
        r"OwnModel needs code of its own \(auto_map in config\.json\), which is not run",
    ),
    "another kind": (
        lambda d: change(d / "config.json", architectures=["BertForTokenClassification"]),
        ModelError,
        "says BertForTokenClassification, which is not explained; what is: a causal language model.*such as LlamaForCausalLM",
    ),
    "no kind": (lambda d: change(d / "config.json", architectures=None), ModelError, "architectures of config.json is None"),
    "two kinds": (lambda d: change(d / "config.json", architectures=["A", "B"]), ModelError, "it must name one class"),
    "another type": (lambda d: change(d / "config.json", model_type="gpt2"), ModelError, "model_type 'gpt2', and BertForSeq.* of 'bert'"),
    "quantized weights": (
        lambda d: change(d / "config.json", quantization_config={"quant_method": "bitsandbytes"}),
        ModelError,
        "its weights are quantized",
    ),
    "a number that is a word": (lambda d: change(d / "config.json", hidden_size="big"), (InputError, ModelError), "hidden_size"),
    "sizes that do not fit": (lambda d: change(d / "config.json", num_attention_heads=3), ModelError, "not a multiple of the number"),
    "half a file": (
        lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:5000]),
        ModelError,
        "BertForSequenceClassification cannot be loaded from it",
    ),
    "a missing tensor": (
        lambda d: with_weights(d, lambda weights: weights.pop("classifier.weight")),
        ModelError,
        r"its files lack 1 tensor \(classifier\.weight\) of BertForSequenceClassification, which would be random",
    ),
    "another head": (
        lambda d: change(d / "config.json", architectures=["BertForMaskedLM"]),
        ModelError,
        r"lack 6 tensors \(cls\.predictions\.bias",
    ),
    "another shape": (
        lambda d: change(d / "config.json", vocab_size=50),
        ModelError,
        r"word_embeddings\.weight \(18, 16\), not \(50, 16\)",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_is_no_model_is_refused(directory, case, no_network):
    spoil, error, says = SPOILT[case]
    spoil(directory)
    with pytest.raises(error, match=says) as raised:
        load_directory(directory)
    assert str(raised.value).startswith(str(directory))


def test_code_beside_a_model_is_never_run(directory):
    for name in ("own.py", "modeling_bert.py", "tokenization.py"):
        (directory / name).write_text("raise SystemExit('run')")
    change(directory / "config.json", auto_map={"AutoModelForSequenceClassification": "own.Model", "AutoConfig": "own.Config"})
    assert load_directory(directory)[0].num_labels == 3  # by the class of transformers itself


def test_pickled_weights_beside_others_are_not_read(directory):
    (directory / "pytorch_model.bin").write_bytes(b"no pickle")
    assert load_directory(directory)[0].num_labels == 3


def test_tensors_that_are_not_used_are_named(directory):
    with_weights(directory, lambda weights: weights.update({"left.over": torch.zeros(2)}))
    with pytest.warns(UserWarning, match=r"does not use 1 tensor \(left\.over\)"):
        load_directory(directory)


def test_nothing_is_said_of_a_whole_model(whole):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_directory(whole)


@pytest.mark.parametrize("dtype", ["int8", "float", None])
def test_another_type_is_refused(whole, dtype):
    with pytest.raises(OptionError, match="must be auto or one of float16"):
        load_directory(whole, dtype=dtype)


def test_a_file_is_no_directory(whole):
    with pytest.raises(InputError, match="is a file; give one that holds"):
        load_directory(whole / "model.safetensors")
