"""The language model that comes with the package: it answers right, is explained as its documents say, and is made again by its script."""

from __future__ import annotations

import json
import random
import re
import shlex

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from command_line import in_a_process
from places import PACKAGE_DATA, ROOT
from processes import forked, loaded
from signxai.common.errors import ModelError, OptionError
from signxai.models import load_classifier
from signxai.text import explain_text, language_model_folder, load_language_model, tokens
from signxai.text.bundled import LANGUAGE_MODELS

FOLDER = PACKAGE_DATA / "recall_words"
EXAMPLES = ROOT / "examples" / "text"
MEASURED = EXAMPLES / "pointing.json"


@pytest.fixture(scope="module")
def recall():
    return load_language_model("recall_words")


def sentences(tokenizer, count, seed=5):
    """Sentences written here by the model card's words, with where the value stands and what it is: no code is shared with the training."""
    draw = random.Random(seed)
    words = [word for word in tokenizer.get_vocab() if word.isalnum()]
    numbers, colours = sorted(filter(str.isdecimal, words)), sorted(word for word in words if word.isalpha())
    assert (len(numbers), len(colours)) == (20, 20)
    for _ in range(count):
        pairs = draw.randint(2, 10)
        behind = dict(zip(draw.sample(colours, pairs), draw.sample(numbers, pairs), strict=True))
        place, asked = draw.choice(list(enumerate(behind)))
        yield " ".join([*(f"{colour} {number}" for colour, number in behind.items()), asked, "?"]), 2 * place + 1, behind[asked]


def test_the_weights_are_small_and_the_model_evaluates(recall):
    assert (FOLDER / "model.safetensors").stat().st_size <= 1_000_000
    assert not recall[0].training
    assert {parameter.dtype for parameter in recall[0].parameters()} == {torch.float32}


def test_it_answers_right_in_more_than_99_of_100_sentences(recall):
    model, tokenizer = recall
    right = 0
    with torch.no_grad():
        for text, _, answer in sentences(tokenizer, 400):
            said = int(model(**tokenizer(text, return_tensors="pt")).logits[0, -1].argmax())
            right += tokenizer.convert_ids_to_tokens(said) == answer
    assert right / 400 > 0.99


def test_the_figures_of_its_training_add_up_and_reach_what_is_promised():
    content = json.loads((FOLDER / "accuracy.json").read_text())
    for name in ("sentences", "right"):
        assert sum(one[name] for one in content["by pairs"].values()) == content[name]
    assert content["sentences"] == 10_000
    assert content["right"] / content["sentences"] > 0.99
    share = f"{content['right']} | {100 * content['right'] / content['sentences']:.2f} %"
    assert share in (FOLDER / "README.md").read_text()


def test_transformers_reads_the_folder_by_itself(recall):
    model, tokenizer = recall
    theirs = AutoModelForCausalLM.from_pretrained(language_model_folder("recall_words"), local_files_only=True)
    assert theirs.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(own, model.state_dict()[name]) for name, own in theirs.state_dict().items())
    again = AutoTokenizer.from_pretrained(language_model_folder("recall_words"), local_files_only=True)
    assert again("blue 7 blue?")["input_ids"] == tokenizer("blue 7 blue ?")["input_ids"]


def test_loading_draws_nothing_from_the_callers_generator_and_says_nothing(capsys):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    load_language_model("recall_words")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert capsys.readouterr() == ("", "")


def test_where_it_lies_is_known_without_transformers():
    code = "from signxai.text import language_model_folder; language_model_folder('recall_words')"
    assert loaded(code, "transformers") == []


def test_another_name_is_refused_with_the_names_there_are():
    for find in (language_model_folder, load_language_model):
        with pytest.raises(ModelError, match=r"'recall_word' comes .*'recall_words'"):
            find("recall_word")
    assert [path.parent.name for path in PACKAGE_DATA.glob("*/config.json")] == list(LANGUAGE_MODELS)


@pytest.mark.parametrize("found", ["none", "4.57.1"])
def test_without_the_packages_the_error_names_the_extra(monkeypatch, found):
    def version(name):
        if found == "none":
            raise tokens.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(tokens, "version", version)
    with pytest.raises(OptionError, match=r"signxai\[text\]"):
        load_language_model("recall_words")


def test_as_a_classifier_it_is_refused_with_what_to_do():
    with pytest.raises(ModelError, match=r"recall_words.*explain_text"):
        load_classifier("recall_words")


def test_attnlrp_points_to_the_value_as_often_as_the_document_says(recall):
    model, tokenizer = recall
    [committed] = [row for row in json.loads(MEASURED.read_text())["methods"] if row["method"] == "lrp_epsilon_0_1"]
    share = committed["pairs"]["shares"]["value"]["share"]
    drawn = list(sentences(tokenizer, 60))
    found = explain_text(model, tokenizer, [text for text, _, _ in drawn], "lrp_epsilon_0_1")
    pairs = [(one.relevance[:-2], value) for one, (_, value, answer) in zip(found, drawn, strict=True) if one.target.name == answer]
    assert len(pairs) >= 58
    hits = sum(relevance.argmax() == value for relevance, value in pairs) / len(pairs)
    assert hits == pytest.approx(share, abs=4 * (share * (1 - share) / len(pairs)) ** 0.5 + 0.02)


def test_the_table_of_the_document_is_of_the_committed_numbers():
    document = (ROOT / "docs" / "text.md").read_text()
    for row in json.loads(MEASURED.read_text())["methods"]:
        counts = row["all tokens"]["counts"]
        for part in ("value", "key"):
            share = row["all tokens"]["shares"][part]
            assert share["share"] == pytest.approx(counts[part] / sum(counts.values()), abs=1e-4)
            assert share["low"] <= share["share"] <= share["high"]
            assert f" {100 * share['share']:.1f} ({100 * share['low']:.1f}, {100 * share['high']:.1f}) " in document


def script(name, *arguments, **options):
    done = forked(EXAMPLES / name, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_training_script_writes_a_model_that_explain_text_takes(tmp_path):
    """Two steps make no good model, but a whole one; the same twice."""
    for folder in ("first", "second"):
        script("train.py", tmp_path / folder, "--steps", 2)
    first, second = ((tmp_path / folder / "model.safetensors").read_bytes() for folder in ("first", "second"))
    assert first == second
    made = tmp_path / "first"
    assert {path.name for path in made.iterdir()} == {path.name for path in FOLDER.iterdir()} - {"README.md"}
    for name in ("config.json", "tokenizer.json"):
        own, shipped = (json.loads((folder / name).read_text()) for folder in (made, FOLDER))
        own.pop("transformers_version", None), shipped.pop("transformers_version", None)
        assert own == shipped
    model = AutoModelForCausalLM.from_pretrained(made, local_files_only=True)
    found = explain_text(model, AutoTokenizer.from_pretrained(made, local_files_only=True), "red 4 red ?", "lrp_epsilon_0_1")
    assert found.tokens == ("red", "4", "red", "?")


def test_the_measure_says_which_part_of_a_sentence_has_the_largest_relevance():
    """Sentences as text, in which the parts are looked up anew."""
    code = """
import numpy, torch
from measure import PARTS, pointed
from recall_sentences import drawn
sentences = drawn(5, 3, torch.Generator().manual_seed(0))
words = [text.split() for text in sentences.texts]
relevance = -numpy.ones((5, 8))
key = [row.index(row[-2]) for row in words]
relevance[range(4), [key[0] + 1, key[1], 6, 7]] = 1
among_all, among_pairs = pointed(relevance, sentences)
print([PARTS[number] for number in among_all], [PARTS[number] for number in among_pairs])
"""
    expected = "['value', 'key', 'asked', 'question mark', 'other'] ['value', 'key', 'other', 'other', 'other']"
    assert forked("-c", code, cwd=EXAMPLES).stdout.strip() == expected


@pytest.mark.slow
def test_the_measuring_script_prints_and_writes_what_it_counts(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "text.md").write_text("before\n<!-- pointing:begin -->\n<!-- pointing:end -->\nafter\n")
    numbers = tmp_path / "pointing.json"
    chosen = ("lrp_epsilon_0_1", "attention rollout", "replacement")
    only = [word for name in chosen for word in ("--method", name)]
    script("measure.py", "--of-each-length", 2, *only, "--output", tmp_path, "--numbers", numbers)
    methods = {row["method"]: row for row in json.loads(numbers.read_text())["methods"]}
    assert sum(methods["lrp_epsilon_0_1"]["all tokens"]["counts"].values()) == 18
    assert tuple(methods) == chosen
    text = (tmp_path / "text.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| `lrp_epsilon_0_1` |" in text
    assert (tmp_path / "images" / "text_pointing.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_demo_writes_a_page_and_a_picture(tmp_path):
    demo = re.search(r"\$\(BIN\)/signxai (text .*)\\\n(.*)", (ROOT / "Makefile").read_text())
    done = in_a_process(*shlex.split(demo[1] + demo[2].replace("out/", f"{tmp_path}/")))
    assert done.returncode == 0, done.stderr
    assert "7" in done.stdout
    assert "blue" in (tmp_path / "demo-text.html").read_text()
    assert (tmp_path / "demo-text.png").read_bytes().startswith(b"\x89PNG")
