"""``signxai text`` as a user meets it: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from command_line import MAIN, explained, in_a_process, in_this_process, refused, with_arguments
from processes import forked
from saved_models import change, save
from signxai.text import explain_text, load_directory

LRP = "lrp_epsilon_0_1"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind in ("gpt2", "classifier", "masked", "t5"):
        save(folder, kind)
    return folder


@pytest.fixture
def run(capsys, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*args, model="classifier"):
        return in_this_process("text", *args, "--model", models / model, capsys=capsys)

    return call


def size(path):
    with Image.open(path) as picture:
        return picture.size


def numbers(done):
    """The relevance that a report prints, by token."""
    rows = [line.split(maxsplit=1) for line in explained(done).partition("token\n")[2].splitlines() if "'" in line]
    return [(token, float(value)) for value, token in rows]


@pytest.mark.slow
def test_a_command_of_its_own_prints_what_the_library_says(models, tmp_path):
    done = in_a_process(
        "text", "the cat sat", "--model", models / "gpt2", "--method", LRP, "--target", " the", "--versus", "!", cwd=tmp_path
    )
    found = explain_text(*load_directory(models / "gpt2"), "the cat sat", LRP, target=" the", contrast="!", account=True, relevance="logit")
    printed = numbers(done)
    assert [token for token, _ in printed] == [repr(token) for token in found.tokens]
    np.testing.assert_allclose([value for _, value in printed], found.relevance, rtol=1e-3)
    assert found.heading() in done.stdout
    assert f"logit {found.target.logit:.4g}" in done.stdout
    assert f"absorbed {found.absorbed_by_bias:+.4g}" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_command_asks_nothing_of_a_network(models, tmp_path):
    spy = """import socket, sys
asked = lambda *a, **k: sys.exit("a network was asked")
socket.socket.connect = socket.getaddrinfo = asked
print("watched")"""
    done = forked("-c", f"{spy}\n{with_arguments('text', 'the cat', '--model', models / 't5', '-m', LRP)}\n{MAIN}")
    assert explained(done).startswith("watched")
    assert "'cat'" in done.stdout


def test_the_beginning_and_the_biases_are_said(run, models):
    out = explained(run("a dog ran", "-m", "lrp_z"))
    found = explain_text(*load_directory(models / "classifier"), "a dog ran", "lrp_z", account=True)
    assert f"the beginning token '[CLS]' has {found.beginning:+.4g}" in out
    assert f"absorbed {found.absorbed_by_bias:+.4g}" in out
    assert f"sum over all tokens: {found.relevance.sum():+.4g}" in out
    assert "absorbed" not in explained(run("a dog ran", "-m", "lrp_z", "--no-account"))
    assert "absorbed" not in explained(run("a dog ran", "-m", "gradient_x_input"))


def test_each_file_holds_what_its_name_says(run, models, tmp_path):
    out = explained(run("a dog ran", "-m", LRP, "--target", "odd", *(f"--output=t.{suffix}" for suffix in ("html", "json", "png"))))
    assert [line for line in out.splitlines() if line.startswith("wrote")] == ["wrote t.html", "wrote t.json", "wrote t.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.html", "t.json", "t.png"]
    found = explain_text(*load_directory(models / "classifier"), "a dog ran", LRP, target="odd", account=True)
    content = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    [result] = content.pop("results")
    np.testing.assert_allclose(result.pop("relevance"), found.relevance, rtol=1e-4, atol=1e-6)
    assert (result["target"]["name"], result["method"], result["score"], result["options"]) == ("odd", LRP, "logit", {})
    assert content["versions"].keys() == {"signxai", "torch", "transformers", "tokenizers"}
    assert (content["architecture"], content["dtype"], content["relevance"]) == ("BertForSequenceClassification", "float32", "one_hot")
    assert found.heading().replace("'", "&#x27;") in (tmp_path / "t.html").read_text(encoding="utf-8")
    assert size(tmp_path / "t.png")[0] > 500


def test_texts_of_arguments_and_of_a_file_by_several_methods_stand_in_one_file(run, tmp_path):
    (tmp_path / "texts.txt").write_bytes("\ufeffthe cat\r\n\n  \na big dog\u2028ran\n".encode())
    explained(run("a dog ran", "--texts", "texts.txt", "-m", LRP, "gradient_x_input", "--output", "t.json", "--output", "t.png"))
    results = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["results"]
    texts = ["a dog ran", "the cat", "a big dog\u2028ran"]
    assert [(one["method"], one["text"]) for one in results] == [(method, text) for method in (LRP, "gradient_x_input") for text in texts]
    explained(run("a dog ran", "-m", LRP, "--output", "one.png"))
    width, height = size(tmp_path / "one.png")
    wide, high = size(tmp_path / "t.png")
    line = 1.5 * 11 / 72 * 150  # of a title, in pixels: that of "one.png" may have one more, which names tokens beyond the colours
    assert wide == width
    assert any(6 * height - high == pytest.approx(more * line, abs=6) for more in range(7))


def test_texts_come_from_the_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"the cat\nthe dog\n")))
    out = explained(run("--texts", "-", "-m", LRP))
    assert "text 1 of 2: 'the cat'" in out
    assert "text 2 of 2: 'the dog'" in out


def test_each_text_may_have_a_target_of_its_own(run, tmp_path):
    explained(run("the cat", "the dog", "-m", "lrp_z", "--target", "ODD", "--target", "id:1", "--versus", "0", "--output", "t.json"))
    results = json.loads((tmp_path / "t.json").read_text())["results"]
    assert [(one["target"]["name"], one["contrast"]["name"]) for one in results] == [("odd", "calm"), ("lively", "calm")]


def test_a_text_gets_what_it_gets_alone(run, tmp_path):
    """Noise and rules that look at a whole sample, too."""
    for method in ("smoothgrad_x_input", "lrp_epsilon_0_25_std_x"):
        explained(run("the cat", "a big dog ran", "-m", method, "--output", "both.json"))
        both = json.loads((tmp_path / "both.json").read_text())["results"]
        for text, result in zip(("the cat", "a big dog ran"), both, strict=True):
            explained(run(text, "-m", method, "--output", "one.json"))
            [alone] = json.loads((tmp_path / "one.json").read_text())["results"]
            np.testing.assert_allclose(result["relevance"], alone["relevance"], rtol=1e-4, atol=1e-6)


def test_each_generated_token_is_explained(run, models, tmp_path):
    out = explained(run("the big cat", "-m", LRP, "--max-new-tokens", "3", "--output=t.json", "--output=t.png", model="gpt2"))
    found = explain_text(*load_directory(models / "gpt2"), "the big cat", LRP, max_new_tokens=3)
    assert all(f"  {target}" in out for target in found.targets)
    [result] = json.loads((tmp_path / "t.json").read_text())["results"]
    np.testing.assert_allclose(result["matrix"], found.matrix, rtol=1e-4, atol=1e-6)
    assert all(step["absorbed_by_bias"] is not None for step in result["steps"])


def test_options_are_handed_to_the_method(run, tmp_path):
    explained(run("the cat", "-m", "integrated_gradients", "--option", "steps=7", "--relevance", "logit", "--output", "t.json"))
    content = json.loads((tmp_path / "t.json").read_text())
    assert (content["results"][0]["options"], content["relevance"]) == ({"steps": 7}, "logit")
    refused(run("the cat", "-m", LRP, "--option", "steps=7"), "steps")
    refused(run("the cat", "-m", LRP, "--option", "target=odd"), "--target")


def test_a_number_that_names_another_number_is_refused(run):
    """As a token, "3" has the id 19."""
    refused(run("the cat", "-m", LRP, "--target", "3", model="gpt2"), "is a number, and the name of number 19", "id:3 or id:19")
    assert "number 3," in explained(run("the cat", "-m", LRP, "--target", "id:3", model="gpt2"))
    assert "number 19," in explained(run("the cat", "-m", LRP, "--target", "id:19", model="gpt2"))


def test_letters_that_a_terminal_obeys_are_spelled_out(run):
    out = explained(run("the\x1b[31m cat\a", "-m", LRP, model="gpt2"))
    assert "\x1b" not in out
    assert "\a" not in out


def test_tensors_that_are_not_used_are_said(run, models, tmp_path):
    from safetensors.torch import load_file, save_file

    other = save(tmp_path, "classifier")
    save_file({**load_file(other / "model.safetensors"), "left.over": load_file(other / "model.safetensors")["classifier.bias"].clone()},
              other / "model.safetensors", metadata={"format": "pt"})  # fmt: skip
    assert "note: the model does not use 1 tensor (left.over)" in explained(run("the cat", "-m", LRP, model=other))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-m", LRP], ["no text is given", "--texts FILE"]),
        (["the cat", "-m", "lrp_epsilom_0_1"], ["unknown method 'lrp_epsilom_0_1'"]),
        (["-m", LRP, "cat"], ["unknown method 'cat'"]),
        (["", "-m", LRP], ["is empty"]),
        (["  ", "-m", LRP], ["is empty"]),
        (["the cat", "-m", LRP, "--target", "angry"], ["'angry' is not a label", "'calm', 'lively', 'odd'"]),
        (["the cat", "-m", LRP, "--target", "3"], ["target 3 is out of range"]),
        (["the cat", "-m", LRP, "--target", "-1"], ["-1"]),
        (["the cat", "-m", LRP, "--target", "odd", "--target", "calm"], ["2 targets for 1 texts"]),
        (["the cat", "-m", LRP, "--target", "odd", "--versus", "odd"], ["is the target itself"]),
        (["the cat", "-m", LRP, "--output", "t.docx"], [".html", ".json", ".png"]),
        (["the cat", "-m", LRP, "--output", "no/t.html"], ["there is no folder"]),
        (["the cat", "-m", LRP, "--output", "t.html", "--output", "./t.html"], ["one would be lost"]),
        (["the cat", "-m", LRP, "--max-new-tokens", "2"], ["generates no text"]),
        (["the cat", "-m", LRP, "--max-new-tokens", "2", "--target", "odd"], ["--target", "leave one of them out"]),
        (["the cat", "-m", LRP, "--max-new-tokens", "0"], ["--max-new-tokens"]),
        (["a", "b", "-m", LRP, "--max-new-tokens", "2", "--output", "t.png"], ["a figure of its own"]),
        ([*"abcdefghi", "-m", LRP, "--output", "t.png"], ["at most 8 texts, and here are 9"]),
        (["the cat", "--texts", "no.txt", "-m", LRP], ["no.txt"]),
        (["the cat", "-m", LRP, "--device", "cuda:99"], ["cuda:99"]),
        (["the cat", "-m", LRP, "--dtype", "int8"], ["--dtype"]),
        (["the cat", "-m", "integrated_gradients", "--account"], ["not LRP"]),
        (["the cat", "-m", LRP, "--option", "at=bert"], ["at= does not go with texts"]),
    ],
)
def test_a_mistake_ends_in_one_line_and_leaves_no_file(run, tmp_path, args, words):
    refused(run(*args), *words)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_text_is_refused(run, tmp_path):
    (tmp_path / "texts.txt").write_bytes(b"caf\xe9\n")
    refused(run("--texts", "texts.txt", "-m", LRP), "texts.txt: no UTF-8")
    (tmp_path / "empty.txt").write_text("\n \n")
    refused(run("--texts", "empty.txt", "-m", LRP), "empty.txt: holds no text")
    refused(run("--texts", "empty.txt", "-m", LRP, "--output", "empty.txt"), "must end in")


def test_a_token_that_is_several_is_refused(run):
    refused(run("the cat", "-m", LRP, "--target", "the cat", model="gpt2"), "is 2 tokens ['the', ' cat']", "a single token")
    refused(run("the [MASK]", "-m", LRP, "--target", "horse", model="masked"), "not in the tokenizer's vocabulary")


def test_what_is_no_model_is_refused(run, models, tmp_path):
    refused(run("the cat", "-m", LRP, model="nowhere"), "nowhere: no such directory", "Nothing is downloaded")
    other = save(tmp_path, "classifier")
    (other / "model.safetensors").rename(other / "pytorch_model.bin")
    refused(run("the cat", "-m", LRP, model=other), "would have to be unpickled")
    change(other / "config.json", architectures=["OwnModel"], auto_map={"AutoModel": "own.Model"})
    (other / "pytorch_model.bin").rename(other / "model.safetensors")
    refused(run("the cat", "-m", LRP, model=other), "OwnModel needs code of its own")


def test_what_stood_in_a_file_stays_where_an_explanation_fails(run, tmp_path):
    (tmp_path / "t.html").write_text("before")
    refused(run("the cat", "", "-m", LRP, "--output", "t.html"), "is empty")
    assert (tmp_path / "t.html").read_text() == "before"


@pytest.mark.parametrize("found", ["4.57.6", None])
def test_the_packages_of_the_extra_are_needed(run, monkeypatch, found):
    from importlib.metadata import PackageNotFoundError

    def version(name):
        if found is None:
            raise PackageNotFoundError(name)
        return found

    monkeypatch.setattr("signxai.text.tokens.version", version)
    refused(run("the cat", "-m", LRP), "texts need transformers 5 or later", "pip install signxai[text]")


@pytest.mark.parametrize("relevance", ["one_hot", "logit"])
def test_a_logit_below_zero_that_turns_the_signs_is_told(run, models, relevance):
    loaded = load_directory(models / "classifier")
    methods = (LRP, "gradient_x_input")
    by_class = {target: explain_text(*loaded, "the cat", LRP, target=target) for target in (0, 1)}
    signs = {target: found.target.logit < 0 for target, found in by_class.items()}
    low = next((target for target, is_below in signs.items() if is_below), None)
    assert low is not None
    said = explained(run("the cat", "-m", *methods, "--target", f"id:{low}", "--relevance", relevance, "--output", "t.html"))
    turned = methods[relevance == "logit"]
    headings = [line for line in said.splitlines() if line.startswith("Relevance for")]
    assert ["signs turned" in line for line in headings] == [f"by {turned}" in line for line in headings]


def test_one_token_rather_than_another_is_the_difference_of_their_logits(run, models):
    args = ["the cat", "-m", LRP, "--target", "id:0", "--versus", "id:1", "--output", "t.json"]
    explained(run(*args))
    kept = json.loads(Path("t.json").read_text(encoding="utf-8"))
    assert kept["relevance"] == "logit"
    found = explain_text(*load_directory(models / "classifier"), "the cat", LRP, target=0, contrast=1, relevance="logit")
    np.testing.assert_allclose(kept["results"][0]["relevance"], found.relevance, rtol=1e-6)
    assert not kept["results"][0]["signs_turned"]
