"""Explain networks of public libraries, one small random one of each kind, and write docs/zoo.md: python tools/zoo.py FAMILY ...

Families: causal, sequence, masked, seq2seq, image, audio, forecast (Hugging Face), torchvision, timm and segmentation (which must be
installed beside: timm, segmentation-models-pytorch), series (the networks for time series of tests/series_networks).
Each network is explained by ``lrp_epsilon_0_1`` with ``strict=True``: does every operation have a rule where relevance arrives, is
nothing unaccounted, does a batch equal its samples, is the model untouched?
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signxai import explain, inspect_model

OUTPUT = Path(__file__).parents[1] / "docs" / "zoo.md"
METHOD, MOST_PARAMETERS, SECONDS = "lrp_epsilon_0_1", 50_000_000, 90
SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "d_ff", "ffn_dim", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim"), 48),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "embedding_size"), 16),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "state_size", "patch_size", "sliding_window"), 8),
    **{"vocab_size": 99, "num_key_value_heads": 2, "max_position_embeddings": 64, "image_size": 32, "num_experts_per_tok": 2},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_labels": 3, "n_group": 1, "topk_group": 1, "use_cache": False},
}
LAYERS = {key: size for key, size in SIZES.items() if "layer" in key}
FURTHER: tuple[dict[str, Any], ...] = (
    {"num_key_value_heads": 4},
    {"mamba_n_heads": 8, "mamba_d_head": 8, "num_heads": 8, "rotary_dim": 4},
    {"attention_types": [[["global", "local"], 1]], "num_experts_per_tok": 1, "num_hidden_layers": 3, "num_key_value_heads": 4},
    {"num_hidden_layers": 6},
)
"""What some need besides: as many keys as queries, heads that divide their sizes, a layer of each kind."""
SMALL = ("atto", "femto", "pico", "nano", "_xxs", "tiny", "_ti", "_xs", "mini", "_s", "small", "t0", "18", "10", "b0", "base")
"""What libraries call their small networks, the smallest first."""
MAPPINGS = {
    "causal": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "sequence": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "masked": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "seq2seq": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "image": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "audio": "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
}
Case = tuple[str, Callable[[], tuple[nn.Module, Tensor]]]


class Called(nn.Module):
    """A network as a function of one tensor."""

    def __init__(self, network: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.network, x)


# --- families


def hugging_face(family: str) -> Iterator[Case]:
    """The smallest configuration of every model class of a family that can be had by a few sizes."""
    import transformers
    from transformers.models.auto import configuration_auto, modeling_auto

    transformers.logging.set_verbosity_error()
    calls: dict[str, Callable[[nn.Module, Tensor], Any]] = {
        "image": lambda m, x: m(pixel_values=x).logits,
        "audio": lambda m, x: m(x).logits,
        "seq2seq": lambda m, x: m(input_ids=x.long(), decoder_input_ids=x.long()[:, :3]).logits[:, -1],
        "sequence": lambda m, x: m(input_ids=x.long()).logits,
    }
    call = calls.get(family, lambda m, x: m(input_ids=x.long()).logits[:, -1])

    def build(kind: str, name: str) -> tuple[nn.Module, Tensor]:
        failed: Exception | None = None
        for sizes in (SIZES, *(SIZES | more for more in FURTHER), LAYERS | {"vocab_size": 99}, LAYERS, {}):
            try:
                configuration = configured(configuration_auto.CONFIG_MAPPING[kind], sizes)
                network = Called(small(lambda: getattr(transformers, name)(configuration)), call).double().eval()  # noqa: B023
                x = example(family, configuration)
                with torch.no_grad():
                    network(x)
            except TimeoutError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever a library raises on a configuration that it does not like
                failed = failed or error
            else:
                return network, x
        assert failed is not None
        raise failed

    for kind, names in getattr(modeling_auto, MAPPINGS[family]).items():
        name = names if isinstance(names, str) else names[0]
        yield name, lambda kind=kind, name=name: build(kind, name)  # type: ignore[misc]


def configured(kind: Any, sizes: dict[str, Any]) -> Any:
    """A configuration of those sizes that it has; of a model of several parts, the language model's."""
    default = kind()
    if not hasattr(default, "vocab_size") and hasattr(default, "get_text_config"):
        kind = type(default.get_text_config())
        default = kind()
    known = {key: size for key, size in sizes.items() if _has(default, key, size)}
    configuration = kind(**known)
    configuration._experts_implementation = "eager"  # the other one has no float64
    return configuration


def _has(configuration: Any, key: str, size: Any) -> bool:
    """Whether a configuration takes a size: there, of this type or not set, and no property of others."""
    try:
        if not isinstance(getattr(configuration, key), type(size) | None):
            return False
        setattr(configuration, key, size)
    except Exception:  # noqa: BLE001  # each library has errors of its own for that
        return False
    return True


def example(family: str, configuration: Any) -> Tensor:
    """An input of two samples: token ids, photos or sound."""
    if family == "audio":
        return torch.randn(2, 1600)
    if family != "image":
        return torch.randint(3, 90, (2, 7)).double()
    size = getattr(configuration, "image_size", None) or 64
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return torch.randn(2, getattr(configuration, "num_channels", 3), height, width)


def timm_models(_: str) -> Iterator[Case]:
    """The smallest model of every module of timm."""
    timm: Any = importlib.import_module("timm")

    def build(module: str) -> tuple[nn.Module, Tensor]:
        sizes: dict[str, int] = {}
        names = timm.list_models(module=module)
        for name in sorted(names, key=lambda name: (min([SMALL.index(word) for word in SMALL if word in name], default=99), len(name))):
            with torch.device("meta"):
                sizes[name] = parameters_of(timm.create_model(name, num_classes=10))
            if sizes[name] < MOST_PARAMETERS:
                break
        name = min(sizes, key=lambda name: sizes[name])
        network = randomized(small(lambda: timm.create_model(name, num_classes=10)))
        return network.double().eval(), torch.randn(2, *network.default_cfg["input_size"]).double()

    for module in timm.list_modules():
        if timm.list_models(module=module):
            yield module, lambda module=module: build(module)  # type: ignore[misc]


def torchvision_models(_: str) -> Iterator[Case]:
    """Segmentation, detection (the score of the first box), video and optical flow."""
    from torchvision.models import detection, optical_flow, segmentation, video

    def mask(m: nn.Module, x: Tensor) -> Tensor:
        return m(x)["out"].mean((2, 3))

    def score(m: nn.Module, x: Tensor) -> Tensor:
        return torch.stack([found["scores"][:1].sum()[None] for found in m(list(x))])

    def flow(m: nn.Module, x: Tensor) -> Tensor:
        return m(x[:, :3], x[:, 3:], num_flow_updates=2)[-1].mean((2, 3))

    bare = {"weights": None, "weights_backbone": None}
    boxes = {**bare, "min_size": 64, "max_size": 64}
    table: list[tuple[Any, str, dict[str, Any], Callable[[nn.Module, Tensor], Tensor], tuple[int, ...]]] = [
        *((segmentation, name, bare, mask, (3, 64, 64)) for name in ("fcn_resnet50", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large")),
        (detection, "retinanet_resnet50_fpn", {**boxes, "score_thresh": 0.0}, score, (3, 64, 64)),
        (detection, "fcos_resnet50_fpn", {**boxes, "score_thresh": 0.0}, score, (3, 64, 64)),
        (detection, "fasterrcnn_resnet50_fpn", {**boxes, "box_score_thresh": 0.0}, score, (3, 64, 64)),
        (detection, "ssdlite320_mobilenet_v3_large", {**bare, "score_thresh": 0.0}, score, (3, 320, 320)),
        *((video, name, {}, lambda m, x: m(x), (3, 8, 56, 56)) for name in ("r3d_18", "mc3_18", "r2plus1d_18", "swin3d_t")),
        *((optical_flow, name, {}, flow, (6, 128, 128)) for name in ("raft_small", "raft_large")),
    ]
    for package, name, options, call, shape in table:

        def build(
            package: Any = package, name: str = name, options: Any = options, call: Any = call, shape: Any = shape
        ) -> tuple[nn.Module, Tensor]:
            network = randomized(small(lambda: getattr(package, name)(**options)))
            return Called(network, call).double().eval(), torch.rand(2, *shape).double()

        yield name, build


def forecasters(_: str) -> Iterator[Case]:
    """Hugging Face's models for time series: what is explained is one value of a forecast, or a class."""
    import transformers

    patches = {"num_input_channels": 2, "context_length": 32, "d_model": 16, "num_hidden_layers": 2}
    mixer = {**patches, "patch_length": 8, "patch_stride": 8}
    small_patches = {**patches, "patch_length": 8, "patch_stride": 8, "num_attention_heads": 2, "ffn_dim": 32}
    sequence = {"prediction_length": 4, "context_length": 16, "lags_sequence": [1, 2], "d_model": 16, "input_size": 1}
    layers = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_time_features": 1}
    times = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "head_dim": 8, "num_attention_heads": 2}
    times |= {"patch_length": 8, "context_length": 32, "horizon_length": 8}

    def named(output: str) -> Callable[[nn.Module, Tensor], Tensor]:
        return lambda m, x: getattr(m(past_values=x), output).flatten(1)

    def from_past(m: nn.Module, x: Tensor) -> Tensor:
        past, future = torch.linspace(0, 1, x.shape[1]).to(x), torch.linspace(1, 1.2, 4).to(x)
        found = m(
            past_values=x,
            past_time_features=past.view(1, -1, 1).expand(len(x), -1, -1),
            past_observed_mask=torch.ones_like(x),
            future_values=torch.zeros(len(x), 4).to(x),
            future_time_features=future.view(1, -1, 1).expand(len(x), -1, -1),
        )
        return found.last_hidden_state.flatten(1)

    def times_fm(m: nn.Module, x: Tensor) -> Tensor:
        return m(past_values=list(x)).mean_predictions.flatten(1)

    whole = (2, 32, 2)
    table: list[tuple[str, dict[str, Any], Callable[[nn.Module, Tensor], Tensor], tuple[int, ...]]] = [
        ("PatchTSTForClassification", {**small_patches, "num_targets": 3}, named("prediction_logits"), whole),
        ("PatchTSTForPrediction", {**small_patches, "prediction_length": 4, "loss": "mse"}, named("prediction_outputs"), whole),
        ("PatchTSTForRegression", {**small_patches, "num_targets": 3, "loss": "mse"}, named("regression_outputs"), whole),
        ("PatchTSTModel", small_patches, named("last_hidden_state"), whole),
        ("PatchTSMixerForTimeSeriesClassification", {**mixer, "num_targets": 3}, named("prediction_outputs"), whole),
        ("PatchTSMixerForPrediction", {**mixer, "prediction_length": 4}, named("prediction_outputs"), whole),
        ("PatchTSMixerForRegression", {**mixer, "num_targets": 3}, named("regression_outputs"), whole),
        ("PatchTSMixerModel", mixer, named("last_hidden_state"), whole),
        ("AutoformerModel", {**sequence, **layers, "moving_average": 5}, from_past, (2, 18)),
        ("InformerModel", {**sequence, **layers}, from_past, (2, 18)),
        ("TimeSeriesTransformerModel", {**sequence, **layers}, from_past, (2, 18)),
        ("TimesFmModelForPrediction", times, times_fm, (2, 32)),
        ("TimesFm2_5ModelForPrediction", {**times, "num_key_value_heads": 2}, times_fm, (2, 32)),
    ]
    for name, options, call, shape in table:

        def build(name: str = name, options: Any = options, call: Any = call, shape: Any = shape) -> tuple[nn.Module, Tensor]:
            kind: Any = getattr(transformers, name)
            network = randomized(small(lambda: kind(kind.config_class(**options))))
            return Called(network, call).double().eval(), torch.randn(shape).double().cumsum(1) * 0.3

        yield name, build


def segmenters(_: str) -> Iterator[Case]:
    """Every architecture of segmentation-models-pytorch on a small encoder: the mean of a class's mask."""
    smp: Any = importlib.import_module("segmentation_models_pytorch")
    kinds = (
        "Unet",
        "UnetPlusPlus",
        "FPN",
        "PSPNet",
        "DeepLabV3",
        "DeepLabV3Plus",
        "Linknet",
        "MAnet",
        "PAN",
        "UPerNet",
        "Segformer",
        "DPT",
    )
    encoders = {"DPT": "tu-vit_tiny_patch16_224", "Segformer": "mit_b0"}

    def build(name: str) -> tuple[nn.Module, Tensor]:
        encoder = encoders.get(name, "resnet18")
        network = randomized(small(lambda: getattr(smp, name)(encoder_name=encoder, encoder_weights=None, classes=3)))
        size = {"DPT": 224, "PAN": 128}.get(name, 64)
        return Called(network, lambda m, x: m(x).mean((2, 3))).double().eval(), torch.rand(2, 3, size, size).double()

    for name in kinds:
        yield name, lambda name=name: build(name)  # type: ignore[misc]


def series(_: str) -> Iterator[Case]:
    """Hand-written networks for time series, those of the tests."""
    sys.path.append(str(OUTPUT.parents[1] / "tests"))
    networks: Any = importlib.import_module("series_networks")
    for name, kind in networks.series_networks().items():
        yield name, lambda kind=kind: (networks.built(kind), networks.recordings(2))  # type: ignore[misc]


FAMILIES: dict[str, Callable[[str], Iterator[Case]]] = {
    **dict.fromkeys(MAPPINGS, hugging_face),
    "forecast": forecasters,
    "torchvision": torchvision_models,
    "segmentation": segmenters,
    "timm": timm_models,
    "series": series,
}


def small(make: Callable[[], nn.Module]) -> Any:
    """A network of moderate size; it is counted before it takes memory."""
    try:
        with torch.device("meta"):
            count = parameters_of(make())
    except RuntimeError:  # it computes with what it initializes
        count = 0
    if count > MOST_PARAMETERS:
        raise ValueError(f"{count} parameters")
    torch.manual_seed(0)
    return make()


def parameters_of(network: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def randomized(network: Any) -> Any:
    """A network whose batch norms have statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(getattr(module, "running_mean", None), Tensor):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


# --- what is asked of each

DRAWING = ("InformerModel",)
"""Networks that draw random numbers by design (which keys to sample): explained with the draws of the seed."""
TEXT = ("causal", "sequence", "masked", "seq2seq")


def row(name: str, make: Callable[[], tuple[nn.Module, Tensor]], reads_ids: bool) -> list[str] | None:
    """A network's row of the table; None if it cannot be built or run here."""
    try:
        network, x = make()
        with torch.no_grad():
            network(x)
    except Exception:  # noqa: BLE001  # whatever a library raises on a configuration that it does not like
        return None
    before = {key: value.clone() for key, value in network.state_dict().items()}
    try:
        target, draws = 0, {"stochastic": name in DRAWING}
        gradient = 0.0 if reads_ids else _seconds(lambda: explain(network, x[:1], "gradient", target, **draws))
        started = time.perf_counter()
        alone = explain(network, x[:1], METHOD, target, strict=True, **draws)
        cost = f"{(time.perf_counter() - started) / gradient:.1f}" if gradient else ""
        together = explain(network, x, METHOD, target, strict=True, **draws)
        unaccounted = abs(inspect_model(network, x[:1], METHOD, target, strict=True, **draws).unaccounted)
    except Exception as error:  # noqa: BLE001  # is the row
        return [name, "refused", str(error).partition(";")[0].replace("|", "/"), "", "", ""]
    differs = float(np.abs(together[:1] - alone).max() / max(np.abs(alone).max(), 1e-300))
    touched = any(not torch.equal(before[key], value) for key, value in network.state_dict().items())
    return [name, "touched" if touched else "runs", "", f"{unaccounted:.0e}", f"{differs:.0e}", cost]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def section(family: str, limit: int | None) -> str:
    """The table of a family."""
    rows, unbuilt = [], []
    for number, (name, make) in enumerate(FAMILIES[family](family)):
        if limit is not None and number >= limit:
            break
        signal.alarm(SECONDS)
        try:
            found = row(name, make, family in TEXT)
        except TimeoutError:
            found = None
        signal.alarm(0)
        sys.stderr.write(f"{name} {found}\n")
        (rows if found else unbuilt).append(found or [name])
    runs = sum(cells[1] == "runs" for cells in rows)
    header = "| network | | reason | unaccounted | batch against alone | cost in gradients |\n| --- | --- | --- | ---: | ---: | ---: |"
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    not_built = f"\n\nNot built here by these sizes: {', '.join(name for (name,) in unbuilt)}." if unbuilt else ""
    return f"## {family}\n\n{runs} of {len(rows)} run.\n\n{header}\n{body}{not_built}\n"


def _too_slow(*_: object) -> None:
    raise TimeoutError


def main() -> None:
    """Measure the families that the command line names, and keep the sections of the others."""
    parser = argparse.ArgumentParser(description="Explain networks of public libraries.")
    parser.add_argument("families", nargs="+", choices=sorted(FAMILIES))
    parser.add_argument("--limit", type=int, help="only so many of each family")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--path", type=Path, help="a folder with further packages, such as timm")
    options = parser.parse_args()
    if options.path:
        sys.path.append(str(options.path))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # some make tensors of the default type on their way
    signal.signal(signal.SIGALRM, _too_slow)
    old = options.output.read_text().split("\n## ")[1:] if options.output.exists() else []
    sections = {text.partition("\n")[0]: f"## {text.rstrip()}\n" for text in old}
    for family in options.families:
        sections[family] = section(family, options.limit)
        options.output.write_text("\n".join([HEAD, *(sections[name] for name in FAMILIES if name in sections)]))


HEAD = f"""# Networks of public libraries

`python tools/zoo.py FAMILY` explains small random networks by `{METHOD}` with `strict=True`, in float64: one configuration of
every class of Hugging Face's families, the smallest model of every module of timm, torchvision's models for segmentation,
detection, video and optical flow, the architectures of segmentation-models-pytorch, and hand-written networks for time series.
A network runs if every operation has a rule where relevance arrives and nothing in it is touched. **unaccounted**: relevance that
the report cannot account for, of 1; **batch against alone**: the largest deviation of a sample's map in a batch of two from its
map alone, relative to the largest value; **cost**: one run, of a tiny network, in gradients of it. Models that compute parts of
themselves in float32, as Bloom's attention, OLMo's norms and the router of Switch Transformers do, are accounted for to that
precision.
"""

if __name__ == "__main__":
    main()
