"""What ``signxai text`` does: read the texts and the model, explain each text by each method, report, write."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn
from tqdm import tqdm

from signxai._version import __version__
from signxai.cli.turned_signs import as_kept, starts_of
from signxai.common.errors import InputError, OptionError, TargetError
from signxai.common.terminals import bar_columns
from signxai.figures.saving import write_to
from signxai.files import FIGURE_SUFFIXES, check_destination, check_different, write_atomically
from signxai.models import move_to
from signxai.names.grammar import parse_method
from signxai.text import GeneratedRelevance, TextRelevance, explain_text, to_figure, to_html
from signxai.text.model_directories import BUNDLED, Loaded, directory_of, named, read_directory
from signxai.text.tokens import vocabulary_of

__all__ = ["TextRequest", "explain_texts"]

Result: TypeAlias = "TextRelevance | GeneratedRelevance"

_OWN_OPTIONS = {
    "account": "--account",
    "batch_size": "--batch-size",
    "contrast": "--versus",
    "max_new_tokens": "--max-new-tokens",
    "relevance": "--relevance",
    "seed": "--seed",
    "target": "--target",
}
_SUFFIXES = (".html", ".json", *FIGURE_SUFFIXES)
_STRONGEST = 5  # tokens that the report names for each generated one
_MOST_FIGURES = 8  # rows of tokens in one figure


@dataclass(frozen=True)
class TextRequest:
    """What the user asked for: see ``signxai text --help``. `options` are by method, then by name; `file` holds more texts."""

    texts: tuple[str, ...]
    file: str | None
    model: str
    methods: tuple[str, ...]
    targets: tuple[str, ...]
    versus: str | None
    max_new_tokens: int | None
    outputs: tuple[Path, ...]
    options: Mapping[str, Mapping[str, object]]
    account: bool | None
    dtype: str
    relevance: str | None
    seed: int
    batch_size: int | None
    device: str

    @property
    def starts(self) -> dict[str, str]:
        """What relevance starts with, by method."""
        return starts_of(self.methods, self.relevance, self.versus is not None)


def explain_texts(request: TextRequest, say: Callable[[str], None]) -> None:
    """Carry out the request; nothing is written before everything is computed.

    Args:
        request: what to do.
        say: takes each line of the report.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    _check_request(request)
    texts = _texts(request)
    _check_counts(request, len(texts))
    with _offline():
        loaded = read_directory(directory_of(request.model), request.dtype)
    if loaded.unused:
        say(f"note: the model does not use {named(loaded.unused)} of its files")
    model = move_to(loaded.model, request.device)
    results = _explain_all(request, replace(loaded, model=model), texts)
    for number, result in enumerate(results):
        for line in _report(result, number % len(texts), len(texts), not request.outputs):
            say(line)
    for path in _write(request, model, results):
        say(f"wrote {path}")


@contextmanager
def _offline() -> Iterator[None]:
    """Tell the packages of Hugging Face, as they are imported, that there is no network."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# The request


def _check_request(request: TextRequest) -> None:
    inputs = (Path(request.file),) if request.file not in (None, "-") else ()
    for path in request.outputs:
        check_destination(path, _SUFFIXES, inputs)
    check_different(request.outputs)
    for options in request.options.values():
        for name in options.keys() & _OWN_OPTIONS.keys():
            raise OptionError(f"--option {name}=: this one has an option of its own, {_OWN_OPTIONS[name]}")
    if request.max_new_tokens is not None and (request.targets or request.versus is not None):
        given = "--target" if request.targets else "--versus"
        raise OptionError(f"{given}: with --max-new-tokens each generated token is explained by itself; leave one of them out")


def _texts(request: TextRequest) -> list[str]:
    """The texts of the arguments, then those of the file.

    Raises:
        InputError: none, or a file that is no text.
    """
    texts = [*request.texts, *(() if request.file is None else _lines(request.file))]
    if not texts:
        where = f"{request.file}: holds no text" if request.file is not None else "no text is given"
        raise InputError(f"{where}; give texts as arguments, or a file with one a line: --texts FILE")
    return texts


def _lines(file: str) -> list[str]:
    """The lines of a file that are not empty."""
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        whole = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: no UTF-8 text ({error}); save it as UTF-8") from error
    return [line for line in (part.rstrip("\r") for part in whole.split("\n")) if line.strip()]


def _check_counts(request: TextRequest, texts: int) -> None:
    """Refuse what cannot be carried out, before seconds go into loading."""
    if len(request.targets) not in (0, 1, texts):
        raise OptionError(f"{len(request.targets)} targets for {texts} texts; give one for all, or one for each")
    shown = texts * len(request.methods)
    figures = [path for path in request.outputs if path.suffix.lower() in FIGURE_SUFFIXES]
    if figures and shown > 1 and request.max_new_tokens is not None:
        raise OptionError(f"{figures[0]}: the matrix of a generated text has a figure of its own: give one text and one method, or .html")
    if figures and shown > _MOST_FIGURES:
        raise OptionError(f"{figures[0]}: a figure shows at most {_MOST_FIGURES} texts, and here are {shown}; give .html or .json")


# Explaining


def _explain_all(request: TextRequest, loaded: Loaded, texts: Sequence[str]) -> list[Result]:
    """All texts by the first method, then by the next."""
    results: list[Result] = []
    pairs = [(method, number) for method in request.methods for number in range(len(texts))]
    *targets, versus = _targets((*request.targets, request.versus), loaded)
    for method, number in tqdm(pairs, desc="explaining", unit="text", leave=False, disable=None, ncols=bar_columns()):
        options: dict[str, Any] = dict(request.options[method], relevance=request.starts[method], seed=request.seed)
        options["account"] = _has_an_account(method) if request.account is None else request.account
        if request.batch_size is not None:
            options["batch_size"] = request.batch_size
        if request.max_new_tokens is None:
            options |= {"target": targets[number % len(targets)] if targets else None, "contrast": versus}
        # One at a time: rules that look at a whole sample, and noise, see no padding then, and no padding token is needed.
        asked = {"max_new_tokens": request.max_new_tokens, **options}
        results.append(explain_text(loaded.model, loaded.tokenizer, texts[number], method, **asked))
    return results


def _has_an_account(method: str) -> bool:
    """Whether what it gives tokens and biases are shares of one relevance."""
    return parse_method(method).method.startswith("lrp")


def _targets(texts: Sequence[str | None], loaded: Loaded) -> list[int | str | None]:
    """Tokens or classes as the user writes them; None stays None.

    Raises:
        TargetError: numbers that are the names of other ones, too.
    """
    found: list[int | str | None] = []
    ambiguous: list[str] = []
    for text in texts:
        try:
            found.append(None if text is None else _target(text, loaded))
        except TargetError as error:
            ambiguous.append(str(error))
    if ambiguous:
        raise TargetError("; ".join(dict.fromkeys(ambiguous)))
    return found


def _target(text: str, loaded: Loaded) -> int | str:
    """A token or a class as the user writes it.

    Raises:
        TargetError: a number that is the name of another one, too.
    """
    if found := re.fullmatch(r"id:(\d+)", text.strip()):
        return int(found[1])
    named_so = _classes(text, loaded.model) if loaded.is_classifier else _token(text, loaded.tokenizer)
    if not text.strip().isdecimal():
        return named_so[0] if len(named_so) == 1 else text
    if named_so and named_so != [int(text)]:
        raise TargetError(f"target {text!r} is a number, and the name of number {named_so[0]}; write id:{int(text)} or id:{named_so[0]}")
    return int(text)


def _classes(text: str, model: Any) -> list[int]:
    """The classes with this label, in any case of letters where none has it as it is."""
    labels = {int(number): str(name) for number, name in (model.config.id2label or {}).items()}
    exact = [number for number, name in labels.items() if name == text]
    return exact or [number for number, name in labels.items() if name.lower() == text.strip().lower()]


def _token(text: str, tokenizer: Any) -> list[int]:
    """The only token that a text is; nothing where it is several, or unknown."""
    ids = vocabulary_of(tokenizer).ids_of(text)
    return ids if len(ids) == 1 and ids != [tokenizer.unk_token_id] else []


# The report


def _report(result: Result, number: int, texts: int, is_whole: bool) -> Iterator[str]:
    """What is explained of a text; where the report is whole, with the relevance of its tokens."""
    if texts > 1:
        yield f"text {number + 1} of {texts}: {_short(result.text)!r}"
    yield result.heading()
    if isinstance(result, GeneratedRelevance):
        for step in result.steps:
            yield f"  {step.target}{_strongest(step) if is_whole else ''}"
    else:
        for line in _of_text(result, is_whole):
            yield f"  {line}"
    if is_whole and number + 1 == texts:
        yield ""


def _of_text(result: TextRelevance, is_whole: bool) -> Iterator[str]:
    for name, target in (("target", result.target), ("versus", result.contrast)):
        if target is not None:
            yield f"{name}: {target}, number {target.id}, logit {target.logit:.4g}"
    if is_whole:
        yield f"{'relevance':>12}  token"
        for place, (token, value) in enumerate(zip(result.tokens, result.relevance, strict=True)):
            part = " (decoder)" if result.decoder_from is not None and place >= result.decoder_from else ""
            yield f"{value:+12.4g}  {token!r}{part}"
    yield from result.sums()


def _strongest(step: TextRelevance) -> str:
    """The tokens with most relevance, for and against."""
    order = sorted(range(len(step.tokens)), key=lambda place: -abs(step.relevance[place]))[:_STRONGEST]
    rest = len(step.tokens) - len(order)
    shown = ", ".join(f"{step.tokens[place]!r} (token {place}) {step.relevance[place]:+.3g}" for place in order)
    return f":  {shown}" + (f", {rest} more" if rest else "")


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


# Files


def _write(request: TextRequest, model: nn.Module, results: Sequence[Result]) -> list[Path]:
    writers: dict[Path, Callable[[Path], None]] = {}
    for path in request.outputs:
        if path.suffix.lower() == ".html":
            writers[path] = partial(_write_text, content=to_html(results))
        elif path.suffix.lower() == ".json":
            writers[path] = partial(_write_text, content=json.dumps(_content(request, model, results), ensure_ascii=False, indent=1))
        else:
            writers[path] = partial(write_to, to_figure(results))
    write_atomically(writers)
    return list(writers)


def _write_text(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def _content(request: TextRequest, model: Any, results: Sequence[Result]) -> dict[str, Any]:
    """What the .json file holds: what was asked of which model by which versions, and the results in order."""
    is_bundled = request.model in BUNDLED
    return {
        "versions": {"signxai": __version__, **{name: version(name) for name in ("torch", "transformers", "tokenizers")}},
        "model": request.model if is_bundled else str(Path(request.model).resolve()),
        "architecture": type(model).__name__,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": request.device,
        "relevance": as_kept(request.starts),
        "seed": request.seed,
        "results": [{**result.to_dict(), "options": dict(request.options[result.method])} for result in results],
    }
