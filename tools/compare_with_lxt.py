"""Compare AttnLRP and CP-LRP with their reference implementation, lxt, on the same weights: python tools/compare_with_lxt.py

Both packages change what they find installed, so this runs in an environment of its own:

    python -m venv .venv-lxt
    .venv-lxt/bin/pip install . lxt==2.1 transformers==4.52.4
    .venv-lxt/bin/python tools/compare_with_lxt.py

Random tiny networks in float64, two texts of nine tokens (or two images), relevance of the embeddings (or pixels) for one logit,
``lrp_z`` and ``lrp_z_cp`` from the logit. It prints the largest deviation of each relative to the largest value. (The norms of Llama's
kin compute in float32 whatever they are given. What lxt has for torchvision's vision transformer is CP-LRP; for AttnLRP its attention
takes lxt's own wrapper for attention functions, as its language models do. For CP-LRP language models take lxt's attention of CP-LRP, and
all else as for AttnLRP: lxt's own selection makes the gates of gated MLPs constants too. For BERT it has no CP-LRP.)
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODELS = {
    "Llama, 4 layers": ("Llama", "ForCausalLM", {}),
    "Llama, 16 layers": ("Llama", "ForCausalLM", {"num_hidden_layers": 16}),
    "Qwen2": ("Qwen2", "ForCausalLM", {}),
    "Qwen3": ("Qwen3", "ForCausalLM", {"head_dim": 8}),
    "Gemma3": ("Gemma3", "ForCausalLM", {"head_dim": 8}),
    "GPT-2": ("GPT2", "LMHeadModel", {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64}),
    "BERT": ("Bert", "ForSequenceClassification", {}),
}
SIZES = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48}
VIT = "ViT of torchvision"
MORE_SIZES = {"num_key_value_heads": 2, "max_position_embeddings": 64}


class OfEmbeddings(nn.Module):
    """A language model as a function of embeddings: the logits of the last token, or of the text."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(inputs_embeds=x).logits
        return logits[:, -1] if logits.ndim == 3 else logits


def random_model(name: str) -> Any:
    """A model with weights far from their small start."""
    transformers = importlib.import_module("transformers")
    kind, head, sizes = MODELS[name]
    configuration = getattr(transformers, f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config")
    sizes = {"vocab_size": 99, **sizes} if kind == "GPT2" else {**SIZES, **MORE_SIZES, **sizes}
    torch.manual_seed(0)
    model = getattr(transformers, kind + head)(configuration(attn_implementation="eager", **sizes))
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


def vision_transformer(module: Any) -> nn.Module:
    """torchvision's, with weights far from their small start; the last layer is zero there to begin with."""
    torch.manual_seed(0)
    model: nn.Module = module.VisionTransformer(32, 8, num_layers=4, num_heads=4, hidden_dim=32, mlp_dim=48, num_classes=5).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


def patches_of_images() -> dict[type[nn.Module], Any]:
    """What lxt makes of the parts of a vision transformer, with AttnLRP in the attention."""
    patches = importlib.import_module("lxt.efficient.patches")
    attention = patches.wrap_attention_forward(plain_attention)

    def forward(self: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, **_: Any) -> tuple[Tensor, None]:
        width = query.shape[-1] // self.num_heads
        projections = zip((query, key, value), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        heads = (F.linear(t, weight, bias).unflatten(-1, (-1, width)).transpose(1, 2) for t, weight, bias in projections)
        return self.out_proj(attention(self, *heads)[0].transpose(1, 2).flatten(2)), None

    return {
        nn.GELU: partial(patches.patch_method, patches.non_linear_forward, keep_original=True),
        nn.LayerNorm: partial(patches.patch_method, patches.layer_norm_forward),
        nn.MultiheadAttention: partial(patches.patch_method, forward),
    }


def plain_attention(_: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, None]:
    """Attention of heads (N, heads, tokens, width), as lxt wraps such functions."""
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    return scores.softmax(-1) @ value, None


def patches_of_texts(module: Any, attention: str) -> dict[Any, Any] | None:
    """What lxt makes of the parts of a language model; None: its own selection."""
    if attention == "attnlrp":
        return None
    patches = importlib.import_module("lxt.efficient.patches")
    chosen = importlib.import_module("lxt.efficient.models").get_default_map(module)
    assert patches.patch_attention in chosen.values()
    return {part: patches.patch_cp_attention if patch is patches.patch_attention else patch for part, patch in chosen.items()}


def deviation_of_images(attention: str) -> float:
    """The same of torchvision's vision transformer, on pixels."""
    from signxai import explain

    module = importlib.import_module("torchvision.models.vision_transformer")
    model, images = vision_transformer(module), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    ours = explain(model, images, "lrp_z", 1, relevance="logit", strict=True, attention=attention)
    importlib.import_module("lxt.efficient").monkey_patch(module, patches_of_images() if attention == "attnlrp" else None)
    patched = vision_transformer(module)
    patched.load_state_dict(model.state_dict())
    x = images.clone().requires_grad_()
    patched(x)[:, 1].sum().backward()
    assert x.grad is not None
    theirs = (x * x.grad).detach().numpy()
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def deviation(name: str, attention: str) -> float:
    """The largest deviation of our map from that of lxt, which is computed last: it changes the package of the model."""
    from signxai import explain

    if name == VIT:
        return deviation_of_images(attention)
    model = random_model(name)
    embeddings = model.get_input_embeddings()(torch.randint(3, 90, (2, 9))).detach()
    ours = explain(OfEmbeddings(model), embeddings, "lrp_z", 1, relevance="logit", strict=True, attention=attention)
    module = importlib.import_module(type(model).__module__)
    importlib.import_module("lxt.efficient").monkey_patch(module, patches_of_texts(module, attention))
    patched = getattr(module, type(model).__name__)(model.config).double().eval()
    patched.load_state_dict(model.state_dict())
    x = embeddings.clone().requires_grad_()
    OfEmbeddings(patched)(x)[:, 1].sum().backward()
    assert x.grad is not None
    theirs = (x * x.grad).detach().numpy()
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def main() -> None:
    """One process for each model and variant: a patched package stays patched."""
    if len(sys.argv) > 1:
        sys.stdout.write(f"| {' | '.join(sys.argv[1:])} | {deviation(*sys.argv[1:]):.1e} |\n")
        return
    for name in (*MODELS, VIT):
        for attention in ("attnlrp",) if name == "BERT" else ("attnlrp", "cp"):
            subprocess.run([sys.executable, __file__, name, attention], check=True)


if __name__ == "__main__":
    main()
