"""The examples in the README and the documents run as they stand."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from command_line import in_this_process
from places import ROOT, TOOLS
from processes import script

sys.path.append(str(TOOLS))
import job_pages

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
JOBS = [ROOT / "docs" / f"{name}.md" for name in job_pages.PAGES]
BLOCKS = {
    language: [
        pytest.param(block, id=f"{path.name}-{number}")
        for path in DOCUMENTS
        if path not in JOBS
        for number, block in enumerate(re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S))
    ]
    for language in ("python", "bash")
}


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like a checkout, in which examples may write."""
    (tmp_path / "src").symlink_to(ROOT / "src")
    return tmp_path


def runs_here(line):
    """Setting up (make, pip, git) is what brought us here; everything else is run."""
    return line and not line.startswith("#") and shlex.split(line, comments=True)[0] not in ("make", "pip", "git", "cd")


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS["python"])
def test_a_block_of_python_runs_as_it_stands(checkout, block):
    (checkout / "block.py").write_text(block)
    done = script(checkout / "block.py", checkout, HOME=str(checkout))
    assert done.returncode == 0, done.stderr


LINES = r"((?:(?!```).*\n)*)"
PRINTED = re.findall(rf"^```python\n{LINES}```\n\nIt prints:\n\n```text\n{LINES}```", "\n".join(map(Path.read_text, DOCUMENTS)), re.M)


@pytest.mark.slow
@pytest.mark.parametrize(("block", "wanted"), PRINTED)
def test_a_block_prints_what_the_document_says(tmp_path, block, wanted):
    (tmp_path / "network.py").write_text(block)
    done = script(tmp_path / "network.py", tmp_path, HOME=str(tmp_path))
    without_rounding = re.compile(r"unaccounted: .*")
    printed, said = (without_rounding.sub("", text).rstrip().splitlines() for text in (done.stdout, wanted))
    assert printed == said, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS["bash"])
def test_commands_run_as_they_stand(checkout, block, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    if "signxai text" in block:
        save_language_models(checkout)
    lines = block.replace("\\\n", " ").splitlines()
    for command, *arguments in [shlex.split(line, comments=True) for line in lines if runs_here(line)]:
        assert command == "signxai"
        done = in_this_process(*arguments, capsys=capsys)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", JOBS, ids=lambda path: path.name)
def test_a_job_runs_from_its_first_block_to_its_last(page, checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    files = []
    for step in job_pages.steps(page.read_text()):
        if step.command:
            done = in_this_process(*job_pages.arguments(step, checkout)[1:], capsys=capsys)
            assert done.returncode == step.status, done.stderr
        elif step.file:
            (checkout / step.file).write_text(step.content)
            files.append(Path(step.file).stem)
        else:
            (checkout / "block.py").write_text(step.content)
            done = script(checkout / "block.py", checkout, HOME=str(checkout))
            assert done.returncode == 0, done.stderr
    for name in files:
        sys.modules.pop(name, None)
    assert [name for name in re.findall(r"\]\(images/([\w.-]+)\)", page.read_text()) if not list(checkout.rglob(name))] == []


def save_language_models(folder):
    """The directories and the file that commands on texts name: small models with random weights that know the words of these texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    texts = "The capital of France is Paris Rome a fine film dull one Once upon time"
    known = ["[UNK]", "[PAD]", *texts.split()]
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, clean_up_tokenization_spaces=False, unk_token="[UNK]", pad_token="[PAD]", padding_side="right"
    )
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    labels = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    ends = {"bos_token_id": None, "eos_token_id": None}
    for name, model in (
        ("gpt2", GPT2LMHeadModel(GPT2Config(vocab_size=len(known), n_embd=16, n_layer=1, n_head=2, n_positions=32, **ends))),
        ("sentiment", BertForSequenceClassification(BertConfig(vocab_size=len(known), pad_token_id=1, **labels, **sizes))),
    ):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    (folder / "reviews.txt").write_text("a fine film\na dull one\n")


def test_links_and_pictures_exist():
    for path in [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name} points to {target}"


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text())) <= targets


def test_the_costs_that_the_readme_quotes_are_the_measured_ones():
    measured = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    quoted = re.findall(r"^\| `(lrp_\w+)` \| (.*) \|$", (ROOT / "README.md").read_text(), re.M)
    assert quoted
    for method, cells in quoted:
        for network, cell in zip(("VGG16 b1", "ResNet50 b4", "EfficientNet-Lite0 b4"), cells.split(" | "), strict=True):
            of_network = measured.partition(f"### {network}\n")[2].partition("\n##")[0]
            row = re.search(rf"^\| {method} \|.*$", of_network, re.M)[0]
            assert all(f"| {number} (" in row for number in re.findall(r"[\d.]+", cell)), (method, network)


def test_the_costs_of_many_gradients_that_the_readme_quotes_are_the_measured_ones():
    measured = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    quoted = re.findall(r"^\| `(integrated_gradients|smoothgrad|vargrad)` \| (.*) \|$", (ROOT / "README.md").read_text(), re.M)
    assert len(quoted) == 3
    for method, cells in quoted:
        for network, cell in zip(("VGG16 b1", "ResNet50 b4", "1-D CNN b4"), cells.split(" | "), strict=True):
            row = re.search(rf"^\| {network} \| {method} \|.*$", measured, re.M)[0]
            numbers = re.findall(r"[\d.]+", cell)
            assert len(numbers) == 2
            assert all(f"| {number} (" in row for number in numbers), (method, network)


def test_the_page_on_extending_uses_nothing_private():
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "extending.md").read_text(), re.M | re.S)
    assert len(blocks) >= 3
    for block in blocks:
        assert re.findall(r"\b(?<!\w)_(?!_)\w+", block) == []
