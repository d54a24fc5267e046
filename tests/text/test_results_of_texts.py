"""What explanations of texts give: tokens, words, offsets, pages and figures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib import colors
from matplotlib.figure import Figure
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from language_models import SENTENCES, bert_classifier, gpt2, llama, of_bytes, of_words, t5
from signxai.common.errors import InputError
from signxai.text import GeneratedRelevance, TextRelevance, TextTarget, explain_text, to_figure, to_html
from signxai.text.tokens import vocabulary_of

TEXT = "hello wörld, the cat <b>sat</b>\non € it"


def of_pieces():
    """Byte pairs in which "▁" stands for a space, as in Llama's first vocabularies."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    inner.train_from_iterator(SENTENCES * 3, trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>", "<s>"], show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=inner, clean_up_tokenization_spaces=False, unk_token="<unk>", bos_token="<s>")


def of_word_pieces():
    """Words and their endings, as BERT's vocabulary has them."""
    inner = Tokenizer(models.WordPiece({"[UNK]": 0, "un": 1, "##kind": 2, "word": 3, "##s": 4}, unk_token="[UNK]"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=inner, clean_up_tokenization_spaces=False, unk_token="[UNK]")


@pytest.fixture(scope="module")
def found():
    tokenizer = of_bytes()
    return explain_text(gpt2(tokenizer), tokenizer, TEXT, "lrp_epsilon_0_1", contrast=" the")


@pytest.fixture(scope="module")
def generated():
    tokenizer = of_bytes()
    return explain_text(llama(tokenizer), tokenizer, "the big cat <script>", "lrp_epsilon_0_1", max_new_tokens=4)


@pytest.mark.parametrize(
    ("tokens", "text", "expected"),
    [
        (of_bytes, "hello the €", ["hello", " the", " ", "<0xE2>", "<0x82>", "<0xAC>"]),
        (of_pieces, "the cat", ["the", " cat"]),
        (of_word_pieces, "unkind words", ["un", "kind", "word", "s"]),
        (of_words, "the cat.", ["[CLS]", "the", "cat", ".", "[SEP]"]),
    ],
)
def test_tokens_read_as_people_write(tokens, text, expected):
    tokenizer = tokens()
    names = [
        name.lstrip() if tokens is of_word_pieces else name
        for name in explain_text(llama(tokenizer), tokenizer, text, "gradient_x_input").tokens
    ]
    assert names == expected


@pytest.mark.parametrize("trim_offsets", [False, True])
def test_offsets_give_back_the_text(trim_offsets):
    tokenizer = of_bytes(trim_offsets)
    found = explain_text(gpt2(tokenizer), tokenizer, TEXT, "gradient_x_input")
    for name, (start, end) in zip(found.tokens, found.offsets, strict=True):
        if not name.startswith("<0x"):
            assert TEXT[start:end].strip() == name.strip()
    assert "".join(found.shown()).replace("·", "") == TEXT


def test_special_tokens_have_no_place_in_the_text():
    tokenizer = of_words()
    found = explain_text(bert_classifier(tokenizer), tokenizer, "the cat", "gradient_x_input")
    assert found.offsets == (None, (0, 3), (4, 7), None)


@pytest.mark.parametrize("trim_offsets", [False, True])
def test_words_have_the_relevance_of_their_tokens(trim_offsets):
    tokenizer = of_bytes(trim_offsets)
    found = explain_text(gpt2(tokenizer), tokenizer, TEXT, "lrp_z")
    words = found.words()
    assert [word.text for word in words if word.text.strip()] == TEXT.split()
    assert all(TEXT[word.start : word.end] == word.text for word in words)
    assert [number for word in words for number in word.tokens] == list(range(len(found.tokens)))
    for word in words:
        assert word.relevance == pytest.approx(found.relevance[list(word.tokens)].sum(), rel=1e-12)
    assert sum(word.relevance for word in words) == pytest.approx(found.relevance.sum(), rel=1e-10)


def test_the_words_of_a_decoder_follow_those_of_the_text():
    tokenizer = of_words()
    words = explain_text(t5(tokenizer), tokenizer, "the cat", "gradient_x_input").words()
    assert [(word.text, word.tokens) for word in words] == [("[CLS]", (0,)), ("the", (1,)), ("cat", (2,)), ("[SEP]", (3,)), ("[PAD]", (4,))]


def test_everything_is_plain_in_the_dict(found, generated):
    again = json.loads(json.dumps(found.to_dict()))
    assert again == found.to_dict()
    assert again["relevance"] == found.relevance.tolist()
    assert again["target"]["id"] == found.target.id
    again = json.loads(json.dumps(generated.to_dict()))
    assert np.array_equal(again["matrix"], generated.matrix)


@pytest.mark.parametrize("tokens", [of_bytes, of_pieces, of_words])
def test_a_generated_text_reads_on_from_what_was_given(tokens):
    tokenizer = tokens()
    found = explain_text(llama(tokenizer), tokenizer, "the big cat", "gradient_x_input", max_new_tokens=5)
    for number, step in enumerate(found.steps):
        assert step.text == "the big cat" + found.generated_text[: len(step.text) - len("the big cat")]
        assert len(step.tokens) == len(found.steps[0].tokens) + number
        assert step.ids[len(found.steps[0].ids) :] == tuple(target.id for target in found.targets[:number])


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


NASTY = "<script>alert('a')</script> & \"quoted\" <img src=x onerror=y> 'single'"


@pytest.mark.parametrize("count", [None, 3])
def test_a_text_of_tags_stays_text(count):
    tokenizer = of_bytes()
    page = explain_text(llama(tokenizer), tokenizer, NASTY, "lrp_z", max_new_tokens=count).to_html()
    seen = Page(page)
    assert {tag for tag, _ in seen.tags} <= {"html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "span", "bdi"}
    assert {name for tag, attributes in seen.tags if tag != "meta" for name in attributes} <= {"class", "dir", "style", "title"}
    assert NASTY in seen.text
    assert seen.open == []


def test_names_of_a_model_and_of_a_method_are_escaped_too():
    target = TextTarget(0, "<script>'\"", 1.0, 0.5)
    page = TextRelevance("a", ("<i>",), (0,), (None,), np.ones(1), target, target, "<b>", None).to_html()
    assert not {tag for tag, _ in Page(page).tags} & {"script", "b", "i"}


def test_a_page_asks_for_nothing(found):
    page = found.to_html()
    assert not [word for word in ("http", "url(", "@import", "src=", "href=", "//") if word in page]


def test_a_page_says_what_is_explained_and_each_tokens_number(found):
    page = Page(found.to_html())
    assert all(part in page.text for part in (repr(found.target.name), f"{100 * found.target.probability:.1f} %", found.method, "' the'"))
    spans = [attributes for tag, attributes in page.tags if tag == "span" and "title" in attributes]
    for name, value, attributes in zip(found.tokens, found.relevance, spans, strict=True):
        assert attributes["title"] == f"{name!r}: {value:+.4g}"
        assert attributes["class"].split()[0] == ("positive" if value > 0 else "negative")


def test_the_strongest_token_has_the_full_colour_and_zero_none():
    values = np.array([0.5, -2.0, 0.0])
    target = TextTarget(0, "a", 1.0, None)
    page = Page(TextRelevance("abc", ("a", "b", "c"), (0, 1, 2), ((0, 1), (1, 2), (2, 3)), values, target, None, "m", None).to_html())
    spans = [(one["class"], one["style"]) for tag, one in page.tags if tag == "span" and "title" in one]
    assert spans == [("positive", "--strength:0.250"), ("negative", "--strength:1.000"), ("none", "--strength:0.000")]


def test_letters_from_right_to_left_set_their_own_direction():
    target = TextTarget(0, "a", 1.0, None)
    page = TextRelevance("שלום", ("שלום",), (0,), ((0, 4),), np.ones(1), target, None, "m", None).to_html()
    assert '<p dir="auto"><span' in page


def test_a_figure_of_its_own_holds_all_lines(tmp_path):
    tokenizer = of_bytes()
    found = explain_text(gpt2(tokenizer), tokenizer, "the big cat sat on the red mat, " * 6, "gradient_x_input")
    axes = found.plot()
    axes.figure.savefig(tmp_path / "text.png")
    box = axes.get_window_extent()
    shown = [text for text in axes.texts if text.get_text().strip()]
    assert len({round(text.get_position()[1], 3) for text in shown}) > 1
    for text in shown:
        inner = text.get_window_extent()
        assert box.x0 - 2 <= inner.x0
        assert inner.x1 <= box.x1 + 2
        assert box.y0 <= inner.y0
        assert inner.y1 <= box.y1


def test_several_explanations_stand_on_one_page_and_in_one_figure(found, generated):
    other = explain_text(gpt2(of_bytes()), of_bytes(), TEXT, "gradient_x_input")
    page = Page(to_html([found, other, generated]))
    assert all(page.text.count(one.heading()) == 1 for one in (found, other, generated))
    assert [attributes["class"] for tag, attributes in page.tags if attributes.get("class") == "legend"] == ["legend"] * 3
    figure = to_figure([found, other])
    titles = [axes.get_title("left").replace("\n", " ") for axes in figure.axes if axes.texts]
    assert [title.partition(";")[0] for title in titles] == [found.heading(), other.heading()]
    assert ["a dot within a word" in title for title in titles] == ["a dot within a word" in one.to_html() for one in (found, other)]
    heights = [one.plot().figure.get_size_inches()[1] for one in (found, other)]
    assert figure.get_size_inches()[1] == pytest.approx(sum(heights))
    assert to_figure([generated]).axes[0].images
    with pytest.raises(InputError, match="has a figure of its own"):
        to_figure([found, generated])
    for shown in (to_html, to_figure):
        with pytest.raises(InputError, match="there is nothing to"):
            shown([])


def test_the_colours_of_a_figure_end_at_the_strongest_token_of_the_text():
    values, target = np.array([20.0, 1.0, -0.5]), TextTarget(0, "x", 1.0, 0.5)
    axes = TextRelevance("a b", ("[CLS]", "a", "b"), (0, 1, 2), (None, (0, 1), (2, 3)), values, target, None, "m", 20.0).plot()
    cls, strong, _ = [patch.get_facecolor() for patch in axes.patches]
    assert cls == strong
    [bar] = [other for other in axes.figure.axes if other is not axes]
    assert [label.get_text() for label in bar.get_xticklabels()] == ["-1", "-0.5", "0", "0.5", "1"]


def test_control_characters_are_shown_as_pictures(tmp_path):
    tokenizer = of_bytes()
    found = explain_text(gpt2(tokenizer), tokenizer, "a\0b\x1b\u2028", "gradient_x_input")
    assert "a␀b␛" in Page(found.to_html()).text
    found.plot().figure.savefig(tmp_path / "text.png")  # no letter is missing from the font


def test_bytes_that_are_no_character_stand_where_they_were_generated():
    tokenizer = of_bytes()
    vocabulary = vocabulary_of(tokenizer)
    ids = {vocabulary.name(number): number for number in range(len(tokenizer))}
    assert vocabulary.written([ids["<0x98>"], ids["a"]]) == ["\ufffd", "a"]
    assert vocabulary.written([ids["<0xE2>"], ids["<0x82>"], ids["<0xAC>"], ids["a"]]) == ["", "", "€", "a"]
    assert vocabulary.written([ids["<0xE2>"], ids["<0xE2>"], ids["<0x82>"], ids["<0xAC>"]]) == ["\ufffd", "", "", "€"]


def test_a_figure_is_drawn_into_given_axes(found, generated):
    figure = Figure(figsize=(8, 6))
    above, below = figure.subplots(2)
    assert found.plot(above) is above
    assert generated.plot(below) is below
    assert above.texts
    assert below.images
    figure.canvas.draw()


def test_dollars_are_letters_in_a_figure(tmp_path):
    tokenizer = of_bytes()
    explain_text(gpt2(tokenizer), tokenizer, "$a_1$ \\frac", "gradient_x_input").plot().figure.savefig(tmp_path / "text.png")
    explain_text(gpt2(tokenizer), tokenizer, "$a_1$ \\frac", "gradient_x_input", max_new_tokens=2).plot().figure.savefig(
        tmp_path / "matrix.png"
    )


def test_the_matrix_is_blank_behind_each_token(generated):
    picture = generated.plot().images[0].get_array()
    counts = [len(step.tokens) for step in generated.steps]
    assert [int((~row).sum()) for row in np.ma.getmaskarray(picture)] == counts
    assert counts == list(range(counts[0], counts[0] + 4))


def test_letters_can_be_read_on_every_colour():
    values, target = np.linspace(-1, 1, 21), TextTarget(0, "a", 1.0, None)
    spans = tuple((n, n + 1) for n in range(21))
    axes = TextRelevance("a" * 21, ("a",) * 21, (0,) * 21, spans, values, target, None, "m", None).plot()
    for patch, text in zip(axes.patches, axes.texts, strict=True):
        channels = np.array([patch.get_facecolor()[:3], colors.to_rgb(text.get_color())])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        low, high = sorted(linear @ [0.2126, 0.7152, 0.0722])  # relative luminance and contrast of WCAG 2
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_the_sign_is_seen_without_colour():
    target = TextTarget(0, "a", 1.0, None)
    values = np.array([1.0, -1.0, 0.0])
    axes = TextRelevance("abc", ("a", "b", "c"), (0, 1, 2), ((0, 1), (1, 2), (2, 3)), values, target, None, "m", None).plot()
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]


def of_logits(logit: float, other: float | None = None) -> TextRelevance:
    """The map of LRP that starts with 1 for a token with this logit, maybe rather than one with another."""
    target, contrast = TextTarget(0, "good", logit, 0.1), None if other is None else TextTarget(1, "bad", other, 0.2)
    turned = min(logit, 0.0 if other is None else other) < 0
    spans = ((0, 1), (1, 2))
    return TextRelevance("ab", ("a", "b"), (0, 1), spans, np.array([1.0, -0.5]), target, contrast, "lrp_z", None, signs_turned=turned)


def legend_of(page: str) -> str:
    """What the legend says, without its numbers."""
    return " ".join(re.sub(r"<bdi>\s*<span.*?</bdi>|<[^>]*>", " ", page.split('<div class="legend">')[1].split("</div>")[0]).split())


AS_IS = ("relevance: speaks against (dotted) speaks for (solid)", "speaks against ← relevance → speaks for")
EXCHANGED = (
    "relevance: speaks for (dotted) speaks against (solid); signs turned",
    "speaks for ← relevance → speaks against (signs turned)",
)


@pytest.mark.parametrize(
    ("logits", "ends", "said"),
    [
        ((1.0,), AS_IS, ""),
        ((-1.0,), EXCHANGED, "signs turned: a logit is below 0"),
        ((1.0, 2.0), AS_IS, ""),
        ((-1.0, -2.0), EXCHANGED, "signs turned: both logits are below 0"),
        ((-1.0, 2.0), AS_IS, "signs of the part of 'good' turned: its logit is below 0"),
        ((1.0, -2.0), AS_IS, "signs of the part of 'bad' turned: its logit is below 0"),
    ],
)
def test_the_ends_of_colours_say_what_speaks_for_the_target_where_signs_are_turned(logits, ends, said):
    found = of_logits(*logits)
    assert found.heading() == "; ".join(filter(None, (found.heading().split(";")[0], said)))
    assert legend_of(found.to_html()) == ends[0]
    for figure in (found.plot().figure, to_figure([found])):
        assert [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()] == [ends[1]]


def test_slopes_say_on_pages_and_figures_what_larger_values_do():
    for logit, low, high, signs in ((1.0, "lower", "raise", ""), (-1.0, "raise", "lower", "signs turned")):
        found = replace(of_logits(logit), method="gradient")
        more = f"; {signs}" if signs else ""
        page = f"slope: larger values {low} the score (dotted) {high} it (solid){more}"
        figure = f"larger values {low} the score ← slope → {high} it{signs and f' ({signs})'}"
        generated = GeneratedRelevance("ab", "cd", (found, found))
        assert legend_of(found.to_html()) == legend_of(generated.to_html()) == page
        assert found.plot().figure.axes[-1].get_xlabel() == figure
        assert " ".join(generated.plot().figure.axes[-1].get_ylabel().split()) == figure


def test_rows_of_a_generated_text_say_whose_signs_are_turned():
    for logits, ends in (((1.0, 1.0), AS_IS), ((-1.0, -1.0), EXCHANGED)):
        found = GeneratedRelevance("ab", "cd", tuple(map(of_logits, logits)))
        assert legend_of(found.to_html()) == ends[0]
        assert " ".join(found.plot().figure.axes[-1].get_ylabel().split()) == ends[1]
    some = GeneratedRelevance("ab", "cd", (of_logits(1.0), of_logits(-1.0)))
    page = some.to_html()
    assert legend_of(page) == f"{AS_IS[0]}; reversed where signs are turned"
    assert ["signs turned: a logit is below 0" in part for part in page.split("next token: ")[1:]] == [False, True]
    matrix, bar = some.plot().figure.axes
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["good", "good (turned)"]
    assert " ".join(bar.get_ylabel().split()) == f"{AS_IS[1]} (reversed if turned)"
    matrix.figure.draw_without_rendering()
    label, page = bar.yaxis.label.get_window_extent(), matrix.figure.bbox
    assert page.y0 <= label.y0 < label.y1 <= page.y1
    assert page.x0 <= label.x0 < label.x1 <= page.x1


def test_a_tag_that_is_one_token_stays_text():
    text, target = "<script>alert(1)</script>", TextTarget(0, "a", 1.0, None)
    page = TextRelevance(text, ("<b>",), (0,), ((0, len(text)),), np.ones(1), target, None, "m", None).to_html()
    assert "<script" not in page
    assert text in Page(page).text


def test_tokens_that_end_within_a_character_are_written_with_what_else_they_hold():
    """Byte-level merges may join a letter with the first byte of another character, and its last byte with the next letter."""
    alphabet = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    model = models.BPE({**alphabet, "aÃ": 256, "¯v": 257}, [("a", "Ã"), ("¯", "v")])
    bytes_alone = Tokenizer(model)
    bytes_alone.pre_tokenizer, bytes_alone.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_alone, clean_up_tokenization_spaces=False)
    sizes = {"vocab_size": 258, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)).eval()
    found = explain_text(model, tokenizer, "naïve", "lrp_z", target=1)
    assert found.tokens == ("n", "a<0xC3>", "<0xAF>v", "e")
    assert found.shown() == ["n", "aï", "·v", "e"]
