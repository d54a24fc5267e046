"""The method names that tests run: the original ones and random sentences of the grammar."""

import random
import re
from importlib.resources import files

PRESETS = ("VGG16ILSVRC", "VGG16MITPL365", "MNISTCNN")
PLAIN = ("gradient", "input_t_gradient", "integrated_gradients", "smoothgrad", "vargrad", "guided_backprop", "deconvnet", "grad_cam",
         "grad_cam_timeseries", "guided_grad_cam", "deep_taylor", "random_uniform")  # fmt: skip
INPUT_RULES = ("lrp", "lrpsign", "lrpz", "zblrp", "w2lrp", "flatlrp")
FIXED_RULES = ("z", "zplus", "wsquare", "flat", "sequential_composite_a", "sequential_composite_b", "epsilon_plus", "epsilon_plus_flat",
               "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box")  # fmt: skip


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


def number(rng: random.Random, low: float, high: float) -> str:
    """A random number of at most two decimals, spelt as names spell it: 0_25, neg_0_5, 100."""
    value = round(rng.uniform(low, high), rng.choice((0, 1, 2)))
    text = f"{abs(value):.2f}".rstrip("0").rstrip(".").replace(".", "_")
    return ("neg_" if value < 0 else "") + text


def sentence(seed: int) -> str:
    """One random sentence of the grammar: method, parameters, multipliers, preset."""
    rng = random.Random(seed)
    parts = _method(rng)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        parts.append(rng.choice(("x_input", "x_sign", "x_sign_mu_" + number(rng, -1, 1))))
    if rng.random() < 0.2:
        parts.append(rng.choice(PRESETS))
    return "_".join(parts)


def sentences(count: int) -> list[str]:
    """So many different random sentences, the same ones at every call."""
    found: dict[str, None] = {}
    seed = 0
    while len(found) < count:
        found[sentence(seed)] = None
        seed += 1
    return list(found)


def _method(rng: random.Random) -> list[str]:
    if rng.random() < 0.35:
        method = rng.choice(PLAIN)
        params = {
            "smoothgrad": [f"noise_{number(rng, 0, 1)}", f"samples_{rng.randint(1, 6)}"],
            "vargrad": [f"noise_{number(rng, 0, 1)}", f"samples_{rng.randint(1, 6)}"],
            "integrated_gradients": [f"steps_{rng.randint(1, 9)}"],
        }.get(method, [])
    else:
        input_rule, rule = rng.choice(INPUT_RULES), _rule(rng)
        method, params = f"{input_rule}_{rule}", []
        if input_rule == "lrpsign":
            params.append(f"mu_{number(rng, -1, 1)}")
        if input_rule == "zblrp" or rule == "epsilon_gamma_box":
            params += [f"low_{number(rng, -9, -6)}", f"high_{number(rng, 6, 9)}"]
    rng.shuffle(params)
    return [method, *params[: rng.randint(0, len(params))]]


def _rule(rng: random.Random) -> str:
    kind = rng.choice(("epsilon", "epsilon_std_x", "alpha_beta", "gamma", "fixed", "fixed"))
    if kind == "fixed":
        return rng.choice(FIXED_RULES)
    if kind == "gamma":
        return f"gamma_{number(rng, 0, 10)}"
    if kind == "alpha_beta":
        beta = rng.randint(0, 20) / 4
        return "alpha_{}_beta_{}".format(*(f"{v:g}".replace(".", "_") for v in (beta + 1, beta)))
    return f"epsilon_{number(rng, 0.01, 20)}" + ("_std_x" if kind == "epsilon_std_x" else "")
