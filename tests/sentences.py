"""The method names that tests run: the original ones and random sentences over every record of the catalog."""

import random
import re
from importlib.resources import files

from signxai.names import catalog
from signxai.names.spelling import spell_number

# Where the networks of the tests give maps worth comparing; other parameters are drawn from their minimum (or -1) up to 1 above.
RANGES = {
    "epsilon": (0.01, 20),
    "gamma": (0, 10),
    "num_samples": (1, 6),
    "steps": (1, 9),
    "mu": (-1, 1),
    "low": (-9, -6),
    "high": (6, 9),
}


def original_names() -> list[str]:
    """The 152 names of the original package."""
    return (files("signxai.names") / "method_names.txt").read_text().split()


def options(name: str) -> dict[str, float]:
    """The option that ``_x_sign_mu`` without a number leaves to the caller."""
    return {"mu": 0.3} if re.search(r"_x_sign_mu(?!_(neg_)?\d)", name) else {}


def one_of_each_form(names: list[str]) -> list[str]:
    """The first of all names that differ only in numbers other than 0, which leaves out a term of the rule."""
    forms: dict[str, str] = {}
    for name in names:
        forms.setdefault(re.sub(r"(?<=_)(?!0(_[a-z]|$))(neg_)?\d+(_\d+)?(?=_|$)", "#", name), name)
    return list(forms.values())


def is_cam(name: str) -> bool:
    """Whether the method needs a convolution."""
    return "grad_cam" in name


def sentences(count: int) -> list[str]:
    """So many different random sentences, the same ones at every call."""
    found: dict[str, None] = {}
    seed = 0
    while len(found) < count:
        found[sentence(seed)] = None
        seed += 1
    return list(found)


def sentence(seed: int) -> str:
    """One random sentence of the grammar: method, parameters, how attention is treated, multipliers, preset."""
    rng = random.Random(seed)
    parts, attention = _method(rng)
    words = len(parts)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        parts.append(rng.choice(("x_input", "x_sign", "x_sign_mu_" + spell_number(round(rng.uniform(-1, 1), 2)))))
    if rng.random() < 0.2:
        parts.append(rng.choice(catalog.PRESETS))
    if attention and rng.random() < 0.2:
        parts.insert(words, rng.choice(attention))
    return "_".join(parts)


def _method(rng: random.Random) -> tuple[list[str], tuple[str, ...]]:
    tables = catalog.current()
    if rng.random() < 0.35:
        form = tables.form(rng.choice(list(tables.methods)), None)
        spelled = form.head.word
    else:
        rules = [name for name, rule in tables.rule_words.items() for _ in range(1 + 2 * ("NUM" in rule.spelling))]  # numbers vary
        form = tables.form(rng.choice(list(tables.input_words)), rng.choice(rules))
        spelled = f"{form.head.word}_{_rule(rng, form)}"
    following = [f"{word}_{spell_number(_value(rng, parameter))}" for word, parameter in form.following.items()]
    rng.shuffle(following)
    return [spelled, *following[: rng.randint(0, len(following))]], form.attention_words


def _rule(rng: random.Random, form) -> str:
    values = {parameter.keyword: _value(rng, parameter) for parameter in form.spelled.values()}
    if getattr(form.rule, "completed", None):  # one of the numbers follows from another
        values = form.rule.completed({list(values)[-1]: rng.randint(0, 20) / 4})
    numbers = [spell_number(values[parameter.keyword]) for parameter in form.spelled.values()]
    return form.rule.spelling.replace("NUM", "{}").format(*numbers)


def _value(rng: random.Random, parameter) -> float:
    lowest = -1 if parameter.minimum is None else parameter.minimum
    low, high = RANGES.get(parameter.keyword, (lowest, lowest + 1))
    return rng.randint(low, high) if parameter.kind is int else round(rng.uniform(low, high), rng.choice((0, 1, 2)))
