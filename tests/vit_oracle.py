"""AttnLRP (Achtibat et al. 2024) and CP-LRP (Ali et al. 2022) for torchvision's VisionTransformer.

In plain formulas: no autograd, and nothing here imports signxai.

One image at a time; T tokens of width D, H heads of width E. A rule is a function ``(w, b, x, r) -> relevance of x`` of a linear layer with
the weight ``w`` (J, I) and the bias ``b`` (J,), of its input ``x`` (T, I) and of the relevance ``r`` (T, J) of its output.

- linear layers: the rule; the patch embedding is one too, from the pixels of each patch
- sums: each term its share; what a constant (class token, positions) gets is absorbed
- layer norm: the variance is a constant; each input its share of the affine rest, whose bias absorbs
- query times key, and attention times value: half to each factor, by its share; by CP-LRP all of the latter to the value, by its share
- softmax: ``R_i = x_i (R_i - s_i sum_j R_j)``; the scale in front of it and GELU pass relevance on
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torchvision.models import VisionTransformer

from oracles import share

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


# Rules


def epsilon(w: Tensor, b: Tensor, x: Tensor, r: Tensor, e: float = 0.0) -> Tensor:
    """R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j."""
    return x * (share(r, x @ w.T + b, e) @ w)


def epsilon_std_x(w: Tensor, b: Tensor, x: Tensor, r: Tensor, k: float) -> Tensor:
    """Epsilon with e = k times the population standard deviation of all the layer's inputs in this image."""
    return epsilon(w, b, x, r, float(k * ((x - x.mean()) ** 2).mean().sqrt()))


def alpha_beta(w: Tensor, b: Tensor, x: Tensor, r: Tensor, alpha: float, beta: float) -> Tensor:
    """Alpha * share among the positive contributions - beta * share among the negative ones, each with its part of the bias."""
    x_up, x_down, w_up, w_down = x.clamp(min=0), x.clamp(max=0), w.clamp(min=0), w.clamp(max=0)
    positive = share(r, x_up @ w_up.T + x_down @ w_down.T + b.clamp(min=0))
    negative = share(r, x_up @ w_down.T + x_down @ w_up.T + b.clamp(max=0))
    return alpha * (x_up * (positive @ w_up) + x_down * (positive @ w_down)) - beta * (
        x_up * (negative @ w_down) + x_down * (negative @ w_up)
    )


def gamma(w: Tensor, b: Tensor, x: Tensor, r: Tensor, g: float) -> Tensor:
    """Outputs above zero favour the positive contributions by 1 + g, those below zero the negative ones, those at zero pass nothing."""
    x_up, x_down, w_up, w_down = x.clamp(min=0), x.clamp(max=0), w.clamp(min=0), w.clamp(max=0)
    z = x @ w.T + b
    above = torch.where(z > 0, share(r, z + g * (x_up @ w_up.T + x_down @ w_down.T + b.clamp(min=0))), 0.0)
    below = torch.where(z < 0, share(r, z + g * (x_up @ w_down.T + x_down @ w_up.T + b.clamp(max=0))), 0.0)
    favoured = x_up * (above @ w_up + below @ w_down) + x_down * (above @ w_down + below @ w_up)
    return x * ((above + below) @ w) + g * favoured


def sign(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
    """R_i = s_i sum_j w_ij R_j / z_j with s_i = +1 where x_i >= 0, else -1."""
    return torch.where(x >= 0, 1.0, -1.0) * (share(r, x @ w.T + b) @ w)


# The other operations, each as (values of the forward pass, relevance of the output) -> relevance of the inputs


def sum_(a: Tensor, b: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """``a + b``."""
    s = share(r, a + b)
    return a * s, b * s


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The output over the last axis, and the factors that count as constants."""
    centred = x - x.mean(-1, keepdim=True)
    scale = weight / ((centred**2).mean(-1, keepdim=True) + eps).sqrt()
    return centred * scale + bias, scale


def layer_norm_relevance(x: Tensor, scale: Tensor, output: Tensor, r: Tensor) -> Tensor:
    """Of ``y_j = scale_j (x_j - mean_i x_i) + b_j``, input i contributes ``scale_j ([i = j] - 1 / D) x_i`` to output j."""
    s = scale * share(r, output)
    return x * (s - s.mean(-1, keepdim=True))


def product(a: Tensor, b: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """``a @ b``: ``a_ij b_jk`` gets its share of output ik; half of it goes to each factor."""
    s = share(r, a @ b) / 2
    return a * (s @ b.transpose(-2, -1)), b * (a.transpose(-2, -1) @ s)


def values_alone(a: Tensor, b: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """``a @ b`` with a constant ``a``: ``a_ij b_jk`` gets its share of output ik, which is that of ``b_jk``."""
    return torch.zeros_like(a), b * (a.transpose(-2, -1) @ share(r, a @ b))


def softmax_relevance(x: Tensor, s: Tensor, r: Tensor) -> Tensor:
    """Of a softmax over the last axis."""
    return x * (r - s * r.sum(-1, keepdim=True))


# The network


def patches_of(x: Tensor, size: int) -> Tensor:
    """The image (C, rows, columns) as the pixels of its patches (patches, C * size * size)."""
    channels, rows, columns = x.shape
    grid = x.reshape(channels, rows // size, size, columns // size, size)
    return grid.permute(1, 3, 0, 2, 4).reshape(-1, channels * size * size)


def image_of(patches: Tensor, shape: torch.Size, size: int) -> Tensor:
    """The same back."""
    channels, rows, columns = shape
    grid = patches.reshape(rows // size, columns // size, channels, size, size)
    return grid.permute(2, 0, 3, 1, 4).reshape(shape)


class Block:
    """One encoder block on one image: forward on construction, then ``relevance``."""

    def __init__(self, layer: torch.nn.Module, x: Tensor, rule: Rule, attention: str) -> None:
        self.layer, self.rule, self.x = layer, rule, x
        self.attention_rule = {"attnlrp": product, "cp": values_alone}[attention]
        self.of_heads = torch.zeros(0)
        attention, ln_1, ln_2 = layer.self_attention, layer.ln_1, layer.ln_2
        self.heads = attention.num_heads
        self.normed, self.scale = layer_norm(x, ln_1.weight, ln_1.bias, ln_1.eps)
        self.projections = list(zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True))
        self.q, self.k, self.v = (self.split(self.normed @ w.T + b) for w, b in self.projections)
        self.scores = self.q @ self.k.transpose(1, 2) / self.q.shape[2] ** 0.5
        powers = (self.scores - self.scores.amax(-1, keepdim=True)).exp()
        self.attended = powers / powers.sum(-1, keepdim=True)
        self.mixed = self.joined(self.attended @ self.v)
        self.attention = self.mixed @ attention.out_proj.weight.T + attention.out_proj.bias
        self.between = x + self.attention
        self.normed_2, self.scale_2 = layer_norm(self.between, ln_2.weight, ln_2.bias, ln_2.eps)
        self.up, self.down = layer.mlp[0], layer.mlp[3]
        hidden = self.normed_2 @ self.up.weight.T + self.up.bias
        self.hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        self.mlp = self.hidden @ self.down.weight.T + self.down.bias
        self.output = self.between + self.mlp

    def split(self, tokens: Tensor) -> Tensor:
        """(T, D) to (H, T, E)."""
        return tokens.reshape(len(tokens), self.heads, -1).transpose(0, 1)

    def joined(self, heads: Tensor) -> Tensor:
        """(H, T, E) to (T, D)."""
        return heads.transpose(0, 1).flatten(1)

    def relevance(self, r: Tensor) -> Tensor:
        """From the output's relevance (T, D) to the input's."""
        to_between, r = sum_(self.between, self.mlp, r)
        r = self.rule(self.down.weight, self.down.bias, self.hidden, r)
        r = self.rule(self.up.weight, self.up.bias, self.normed_2, r)
        r = to_between + layer_norm_relevance(self.between, self.scale_2, self.normed_2, r)
        to_x, r = sum_(self.x, self.attention, r)
        out = self.layer.self_attention.out_proj
        r = self.rule(out.weight, out.bias, self.mixed, r)
        self.of_heads = self.split(r).sum((1, 2))
        to_attended, to_v = self.attention_rule(self.attended, self.v, self.split(r))
        to_scores = softmax_relevance(self.scores, self.attended, to_attended)
        to_q, to_k = product(self.q, self.k.transpose(1, 2), to_scores)
        parts = (to_q, to_k.transpose(1, 2), to_v)
        r = sum(self.rule(w, b, self.normed, self.joined(part)) for (w, b), part in zip(self.projections, parts, strict=True))
        return to_x + layer_norm_relevance(self.x, self.scale, self.normed, r)


@torch.no_grad()
def attnlrp(
    model: VisionTransformer,
    images: Tensor,
    target: int,
    rule: Rule,
    first: Rule | None = None,
    relevance: str = "one_hot",
    attention: str = "attnlrp",
) -> tuple[Tensor, Tensor]:
    """Relevance of the pixels (N, 3, rows, columns), and the logits (N, classes); ``first`` is the patch embedding's rule."""
    found = [_one(model, x, target, rule, first or rule, relevance, attention) for x in images]
    return torch.stack([r for r, _, _ in found]), torch.stack([logits for _, logits, _ in found])


@torch.no_grad()
def of_heads(model: VisionTransformer, images: Tensor, target: int, rule: Rule, attention: str) -> Tensor:
    """Relevance at what each head of each block gives, in front of the projection behind: (blocks, heads), summed over images."""
    return sum(_one(model, x, target, rule, rule, "one_hot", attention)[2] for x in images)


def _one(
    model: VisionTransformer, x: Tensor, target: int, rule: Rule, first: Rule, relevance: str, attention: str
) -> tuple[Tensor, Tensor, Tensor]:
    embedding, size = model.conv_proj, model.patch_size
    weight, patches = embedding.weight.flatten(1), patches_of(x, size)
    tokens = torch.cat([model.class_token[0], patches @ weight.T + embedding.bias])
    positions = model.encoder.pos_embedding[0]
    blocks, h = [], tokens + positions
    for layer in model.encoder.layers:
        blocks.append(Block(layer, h, rule, attention))
        h = blocks[-1].output
    ln, head = model.encoder.ln, model.heads.head
    normed, scale = layer_norm(h, ln.weight, ln.bias, ln.eps)
    logits = normed[0] @ head.weight.T + head.bias
    start = torch.zeros_like(logits)
    start[target] = logits[target] if relevance == "logit" else 1.0
    r = torch.zeros_like(normed)
    r[:1] = rule(head.weight, head.bias, normed[:1], start[None])
    r = layer_norm_relevance(h, scale, normed, r)
    for block in reversed(blocks):
        r = block.relevance(r)
    r, _ = sum_(tokens, positions, r)
    heads = torch.stack([block.of_heads for block in blocks])
    return image_of(first(weight, embedding.bias, patches, r[1:]), x.shape, size), logits, heads


RULES: dict[str, dict[str, Rule]] = {
    "lrp_z": {"rule": epsilon},
    "lrp_epsilon_0_1": {"rule": partial(epsilon, e=0.1)},
    "lrp_epsilon_1": {"rule": partial(epsilon, e=1.0)},
    "lrp_epsilon_0_25_std_x": {"rule": partial(epsilon_std_x, k=0.25)},
    "lrp_alpha_1_beta_0": {"rule": partial(alpha_beta, alpha=1.0, beta=0.0)},
    "lrp_alpha_2_beta_1": {"rule": partial(alpha_beta, alpha=2.0, beta=1.0)},
    "lrp_gamma_0_25": {"rule": partial(gamma, g=0.25)},
    "lrpz_epsilon_0_1": {"rule": partial(epsilon, e=0.1), "first": epsilon},
    "lrpsign_epsilon_0_1": {"rule": partial(epsilon, e=0.1), "first": sign},
    "lrp_sequential_composite_a": {"rule": partial(epsilon, e=0.1), "first": partial(alpha_beta, alpha=1.0, beta=0.0)},
}
"""The arguments of ``attnlrp`` for methods by name."""
