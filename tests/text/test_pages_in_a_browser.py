"""Pages of explanations as a browser shows them: where Chromium and the package playwright (the extra ``browser``) are there."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from language_models import bert_classifier, llama, of_bytes, of_words, t5
from signxai.text import TextRelevance, TextTarget, explain_text, to_html

driver = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

HEBREW = "שלום עולם"
MIXED = "great 😀 film\n\nnaïve € <script>alert(1)</script> <img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def chromium():
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(chromium, tmp_path):
    """Open a page; what it asks for, complains of or pops up fails the test."""
    contexts, wrong = [], []

    def opened(html, width=800, scheme="light"):
        file = tmp_path / "text.html"
        file.write_text(html, encoding="utf-8")
        contexts.append(chromium.new_context(viewport={"width": width, "height": 600}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: wrong.append(request.url) if request.url != file.as_uri() else None)
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def of_values(text, tokens, values):
    """An explanation with these numbers; tokens stand one behind another in the text."""
    ends = np.cumsum([len(token) for token in tokens])
    spans = tuple((int(end) - len(token), int(end)) for end, token in zip(ends, tokens, strict=True))
    return TextRelevance(
        text, tuple(tokens), tuple(range(len(tokens))), spans, np.array(values), TextTarget(0, "a", 1.0, 0.5), None, "m", None
    )


@pytest.fixture(scope="module")
def mixed():
    tokenizer = of_bytes()
    return explain_text(llama(tokenizer), tokenizer, MIXED, "lrp_epsilon_0_1")


@pytest.fixture(scope="module")
def classified():
    tokenizer = of_words()
    return explain_text(bert_classifier(tokenizer), tokenizer, "the cat sat on the mat", "lrp_z", contrast=2, account=True)


def test_tags_and_scripts_of_a_text_stay_text(show, mixed):
    page = show(mixed.to_html())
    shown = page.locator("p").inner_text().replace("·", "")
    assert shown.split() == MIXED.split()
    assert page.evaluate("document.scripts.length + document.images.length") == 0


# The middle and the width of the widest part of a token, which a line's end may cut.
MIDDLE = """it => [...it.getClientRects()].sort((a, b) => b.width - a.width).slice(0, 1)
  .flatMap(r => [r.x + r.width / 2, r.y + r.height / 2, r.width])"""


def test_the_mouse_over_a_token_shows_its_number(show, mixed):
    page = show(mixed.to_html())
    tokens = page.locator("p span")
    assert tokens.count() == len(mixed.tokens)
    for number, (token, value) in enumerate(zip(mixed.tokens, mixed.relevance, strict=True)):
        box = tokens.nth(number).evaluate(MIDDLE)
        assert box[2] > 1, token  # each can be pointed to, one of white space too
        under_it = page.evaluate("([x, y]) => document.elementFromPoint(x, y).title", box[:2])
        assert under_it == f"{token!r}: {value:+.4g}"


def test_bytes_are_read_as_letters_or_numbers(show, mixed):
    page = show(mixed.to_html())
    titles = page.locator("p span").evaluate_all("all => all.map(it => it.title)")
    assert any(title.startswith("'<0xE2>'") for title in titles)
    assert not {"Ġ", "Ċ", "ð", "\ufffd"} & set("".join(titles) + page.locator("body").inner_text())
    assert "a dot within a word" in page.locator(".note").all_inner_texts()[0]


@pytest.mark.parametrize(("text", "direction"), [(HEBREW, "rtl"), ("مرحبا hello", "rtl"), ("hello שלום", "ltr")])
def test_a_text_has_the_direction_of_its_letters(show, text, direction):
    tokens = [text[:3], text[3:5], text[5:]]
    page = show(of_values(text, tokens, [1.0, -0.5, 0.2]).to_html())
    assert page.locator("p").evaluate("it => getComputedStyle(it).direction") == direction
    first, last = (page.locator("p span").nth(number).bounding_box()["x"] for number in (0, 2))
    assert (first > last) == (direction == "rtl")
    assert page.locator("h1").evaluate("it => getComputedStyle(it).direction") == "ltr"


CONTRASTS = """all => all.map(it => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = rgb => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const own = getComputedStyle(it);
  const paper = numbers(getComputedStyle(it.closest('.signxai-text')).backgroundColor);
  const [r, g, b, a = 1] = numbers(own.backgroundColor);
  const behind = [r, g, b].map((v, i) => a * v + (1 - a) * paper[i]);
  const [low, high] = [luminance(behind), luminance(numbers(own.color).slice(0, 3))].sort((x, y) => x - y);
  return (high + .05) / (low + .05);
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_can_be_read_on_every_colour(show, classified, scheme):
    """The contrast that WCAG 2 asks of small letters."""
    strong = of_values("a" * 21, ["a"] * 21, np.linspace(-1, 1, 21))
    page = show(to_html([strong, classified]), scheme=scheme)
    found = page.locator("h1, p, span, .legend, .note").evaluate_all(CONTRASTS)
    assert len(found) > 40
    assert min(found) >= 4.5


@pytest.mark.parametrize("width", [320, 800])
def test_nothing_stands_beyond_the_edge_of_a_narrow_window(show, classified, width):
    long = of_values("donaudampfschiff" * 20, ["donaudampf", "schiff"] * 20, np.linspace(-1, 1, 40))
    tokenizer = of_words()
    answer = explain_text(t5(tokenizer), tokenizer, "the cat", "gradient_x_input", max_new_tokens=3)
    page = show(to_html([long, classified, answer]), width=width)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_colours_are_printed(show, classified):
    page = show(classified.to_html())
    page.emulate_media(media="print")
    assert page.locator("p span").first.evaluate("it => getComputedStyle(it).printColorAdjust") == "exact"


def test_a_token_of_a_new_line_can_be_seen_and_breaks_the_line(show):
    page = show(of_values("a\nb", ["a", "\n", "b"], [0.1, 1.0, 0.2]).to_html())
    above, below = (page.locator("p span").nth(number).bounding_box()["y"] for number in (0, 2))
    assert below > above
    assert page.locator("p").inner_text() == "a\nb"


def test_a_special_token_that_takes_more_than_all_words_leaves_these_their_colours(show):
    values = [20.0, 1.0, -0.5]
    found = TextRelevance(
        "a b", ("[CLS]", "a", "b"), (0, 1, 2), (None, (0, 1), (2, 3)), np.array(values), TextTarget(0, "x", 1.0, 0.5), None, "m", 20.0
    )
    page = show(found.to_html())
    strengths = page.locator("p span").evaluate_all("all => all.map(it => Number(it.style.getPropertyValue('--strength')))")
    assert strengths == [1.0, 1.0, 0.5]
    assert "'[CLS]' is beyond the colours: +20" in page.locator(".note").all_inner_texts()
    assert page.locator(".legend span").last.inner_text() == "1"
