"""The command on texts."""

from pathlib import Path

import click

from signxai.cli import option_texts
from signxai.cli.arguments import Place, Seed, TextCommand
from signxai.cli.first_imports import importing_for_good
from signxai.cli.interrupts import ended_by_a_signal
from signxai.cli.shared_options import device_option, methods_option, relevance_option
from signxai.names.grammar import parse_method

__all__ = ["text"]


@click.command(cls=TextCommand)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--texts", "file", metavar="FILE", help="Read the texts from a file, one a line; - reads them from the standard input.")
@click.option(
    "--model",
    required=True,
    metavar="DIRECTORY",
    help="Of a language model and its tokenizer, as save_pretrained of transformers writes them: config.json, model.safetensors, "
    "tokenizer.json; or the name of the one that comes along, recall_words. Nothing is downloaded, and no code of it is executed.",
)
@methods_option
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="TOKEN",
    help="What is explained, a token (' Paris') or a class, by name or number (id:7 is always a number); given again, one for each text. "
    "Without it: what the model predicts.",
)
@click.option("--versus", metavar="TOKEN", help="Explain the target rather than this one: the difference of their logits.")
@click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Let the model continue the text by at most N tokens, and explain each of them.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=Place(),
    metavar="FILE",
    help="Write a page (.html), the numbers (.json) or a figure (.png, .pdf, .svg, ...); may be given again.",
)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="As of `signxai explain`.")
@click.option(
    "--account/--no-account",
    default=None,
    help="Say what biases absorbed, by a second pass for each text. Without either: where the method is LRP.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float16", "bfloat16", "float32", "float64"]),
    default="auto",
    show_default=True,
    help="The type to compute in; auto is that of the files.",
)
@relevance_option
@click.option("--seed", type=Seed(), default=0, show_default=True, help="Of the methods with noise.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Most points or generated tokens in one forward pass.")
@device_option
def text(
    texts: tuple[str, ...],
    file: str | None,
    model: str,
    methods: tuple[str, ...],
    targets: tuple[str, ...],
    versus: str | None,
    max_new_tokens: int | None,
    outputs: tuple[Path, ...],
    options: tuple[str, ...],
    account: bool | None,
    dtype: str,
    relevance: str | None,
    seed: int,
    batch_size: int | None,
    device: str,
) -> None:
    """Show which tokens of each TEXT the answer of a language model rests on: a causal or masked one, an encoder-decoder, or a classifier.

    Texts stand before --method, or behind --, as a single word after a method is read as another method.

    \b
    signxai text "The capital of France is" --model ./gpt2 --method lrp_epsilon_0_1 --target " Paris" --versus " Rome"
    signxai text "a fine film" "a dull one" --model ./sentiment --method lrp_epsilon_0_1 --output films.html --output films.json
    signxai text --texts reviews.txt --model ./sentiment --method lrp_epsilon_0_1 gradient_x_input --output reviews.json
    signxai text "Once upon a time" --model ./gpt2 --method lrp_epsilon_0_1 --max-new-tokens 8 --output story.png
    """
    names = tuple(dict.fromkeys(methods))
    for name in names:
        parse_method(name)
    parsed = option_texts.parsed_options(options, names)

    with importing_for_good():
        from signxai.cli.explain_texts import TextRequest, explain_texts

    request = TextRequest(
        *(texts, file, model, names, targets, versus, max_new_tokens, outputs, parsed, account),
        *(dtype, relevance, seed, batch_size, device),
    )
    with ended_by_a_signal(lambda: "nothing was written"):
        explain_texts(request, say=click.echo)
