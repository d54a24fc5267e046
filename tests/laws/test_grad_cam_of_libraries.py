"""Grad-CAM of networks of torchvision and Hugging Face as they are: a plain forward hook on the layer gives the same map."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

import oracles
from comparing import deviation
from networks import drawn, randomized
from signxai import explain
from signxai.methods.cam import GradCAMAnalyzer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")]
TARGETS = range(6)


def as_it_is(values):
    return values


def channels_last(values):
    return values.permute(0, -1, *range(1, values.ndim - 1))


def tokens(*grid, in_front=0):
    def arranged(values):
        count = int(np.prod(grid))
        return values[:, in_front : in_front + count].transpose(1, 2).reshape(len(values), -1, *grid)

    return arranged


def plain(name, **options):
    return lambda: getattr(models, name)(weights=None, num_classes=6, **options)


def small_vit():
    return models.VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=6)


def small_convnext():
    block = models.convnext.CNBlockConfig
    return models.ConvNeXt([block(8, 16, 1), block(16, 24, 1), block(24, None, 1)], num_classes=6)


def small_swin(**options):
    return models.SwinTransformer([4, 4], 12, [2, 2, 2], [2, 2, 2], [4, 4], num_classes=6, **options)


def small_swin_v2():
    swin = models.swin_transformer
    return small_swin(block=swin.SwinTransformerBlockV2, downsample_layer=swin.PatchMergingV2)


def small_maxvit():
    return models.MaxVit((64, 64), 8, 4, block_channels=[8, 16], block_layers=[1, 1], head_dim=4, stochastic_depth_prob=0.0, num_classes=6)


def small_mvit():
    video, kernel = models.video.mvit, [3, 3, 3]
    blocks = [
        video.MSBlockConfig(2, 8, 8, kernel, kernel, [1, 1, 1], [1, 2, 2]),
        video.MSBlockConfig(2, 8, 16, kernel, kernel, [1, 2, 2], [1, 1, 1]),
    ]
    options = {"residual_pool": False, "residual_with_cls_embed": True, "rel_pos_embed": False, "proj_after_attn": False}
    return video.MViT((32, 32), 4, blocks, num_classes=6, **options)


def heads_of_tokens(values):
    """Of a norm inside of MViT's attention (N, heads, 1 + tokens, C)."""
    return values[:, :, 1:].transpose(2, 3).flatten(1, 2).unflatten(2, (2, 8, 8))


def small_r3d():
    video = models.video.resnet
    return video.VideoResNet(video.BasicBlock, [video.Conv3DSimple] * 4, [1, 1, 1, 2], video.BasicStem, num_classes=6)


def small_swin3d():
    return models.video.SwinTransformer3d([2, 4, 4], 8, [2, 2], [2, 2], [2, 4, 4], num_classes=6)


def windows_of_a_grid(values):
    """Of MaxViT's grid attention (N, cells in a window, windows, C): windows are spread over the image."""
    n, count, size, channels = values.shape
    rows, window = int(count**0.5), int(size**0.5)
    return values.view(n, rows, rows, window, window, channels).permute(0, 5, 3, 1, 4, 2).reshape(n, channels, rows * window, -1)


IMAGE = (3, 64, 64)
TORCHVISION = {
    "alexnet": (plain("alexnet"), IMAGE, "features.10", as_it_is, (2, 3)),
    "resnet18": (plain("resnet18"), IMAGE, "layer4.1.conv2", as_it_is, (2, 3)),
    "resnext50": (plain("resnext50_32x4d"), IMAGE, "layer4.2.conv3", as_it_is, (2, 3)),
    "squeezenet": (plain("squeezenet1_1"), IMAGE, "classifier.1", as_it_is, (2, 3)),
    "densenet121": (plain("densenet121"), IMAGE, "features.denseblock4.denselayer16.conv2", as_it_is, (2, 3)),
    "googlenet": (plain("googlenet", init_weights=False), IMAGE, "inception5b.branch4.1.conv", as_it_is, (2, 3)),
    "inception_v3": (plain("inception_v3", init_weights=False), (3, 128, 128), "Mixed_7c.branch_pool.conv", as_it_is, (2, 3)),
    "mobilenet_v2": (plain("mobilenet_v2"), IMAGE, "features.18.0", as_it_is, (2, 3)),
    "mobilenet_v3": (plain("mobilenet_v3_small"), IMAGE, "features.12.0", as_it_is, (2, 3)),
    "mnasnet": (plain("mnasnet0_5"), IMAGE, "layers.14", as_it_is, (2, 3)),
    "shufflenet": (plain("shufflenet_v2_x0_5"), IMAGE, "conv5.0", as_it_is, (2, 3)),
    "efficientnet_b0": (plain("efficientnet_b0"), IMAGE, "features.8.0", as_it_is, (2, 3)),
    "regnet": (plain("regnet_y_400mf"), IMAGE, "trunk_output.block4.block4-5.f.c.0", as_it_is, (2, 3)),
    "convnext": (small_convnext, IMAGE, "features.5.0.block.2", channels_last, (2, 3)),
    "swin": (small_swin, IMAGE, "norm", channels_last, (2, 3)),
    "swin_v2": (small_swin_v2, (3, 60, 72), "norm", channels_last, (2, 3)),
    "vit": (small_vit, (3, 32, 32), "encoder.layers.encoder_layer_1.ln_1", tokens(4, 4, in_front=1), (2, 3)),
    "maxvit": (small_maxvit, IMAGE, "blocks.1.layers.0.layers.grid_attention.mlp_layer.0", windows_of_a_grid, (2, 3)),
    "r3d": (small_r3d, (3, 8, 32, 32), "layer4.1.conv2.0", as_it_is, (2, 3, 4)),
    "swin3d": (small_swin3d, (3, 4, 32, 32), "norm", channels_last, (2, 3, 4)),
    "mvit": (small_mvit, (3, 4, 32, 32), "blocks.1.attn.pool_v.norm_act.0", heads_of_tokens, (2, 3, 4)),
}  # fmt: skip


def agrees(net, x, name, arrange, space):
    """Whether all maps are those of the hook, that of a batch is that of its samples, and some are not zero."""
    layer = net.get_submodule(name)
    found = 0.0
    for count, target in enumerate(TARGETS):
        if count > 1 and found > 0:
            break
        expected = oracles.hooked_grad_cam(net, layer, x, target, arrange, space)
        got = explain(net, x, "grad_cam", target)
        assert deviation(got, expected) < 1e-9
        found += expected.max()
    assert GradCAMAnalyzer(net).feature_map(x, target).layer == name
    assert found > 0
    single = np.concatenate([explain(net, sample[None], "grad_cam", 0) for sample in x])
    assert deviation(single, explain(net, x, "grad_cam", 0)) < 1e-9


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    build, shape, layer, arrange, space = TORCHVISION[name]
    torch.manual_seed(0)
    net = randomized(build())
    agrees(net, drawn(2, *shape), layer, arrange, space)


def test_the_auxiliary_head_of_a_segmentation_network_is_passed_over():
    net = randomized(models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True, num_classes=6))
    x, target = drawn(2, 3, 64, 64), (1, 20, 30)
    values, gradient = oracles.hooked(net, net.classifier[4], x, lambda output: output["out"][:, 1, 20, 30])[0]
    expected = oracles.divided_by_maximum(oracles.up_sampled(oracles.class_activation(values, gradient), (64, 64))[:, None].expand_as(x))
    for output in (None, lambda returned: returned["out"]):
        assert deviation(explain(net, x, "grad_cam", target, output=output), expected) < 1e-9
    assert GradCAMAnalyzer(net, output=lambda returned: returned["aux"]).feature_map(x, target).layer == "aux_classifier.4"


# --- Hugging Face


class Called(nn.Module):
    """A network as a function of one tensor, given by a keyword."""

    def __init__(self, model, keyword="pixel_values"):
        super().__init__()
        self.model, self.keyword = model, keyword

    def forward(self, x):
        return self.model(**{self.keyword: x}).logits


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "num_labels": 4}
PATCHES = {"image_size": 32, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1], "num_labels": 4}
VIDEO = {**SIZES, **PATCHES, "num_frames": 4}
SWIN = {"patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4, "num_labels": 4}
SPEECH = {"conv_dim": [8] * 3, "conv_kernel": [10, 3, 3], "conv_stride": [5, 2, 2], "num_conv_pos_embeddings": 8,
          "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 8}  # fmt: skip
SPECTRA = {"num_mel_bins": 32, "max_length": 48}


def frames_of_tokens(values):
    """Of TimeSformer (N * frames, 1 + tokens, C)."""
    return values[:, 1:].unflatten(0, (-1, 4)).permute(0, 3, 1, 2).unflatten(3, (4, 4))


STAGED = {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "num_attention_heads": [1, 1, 2, 2], "num_labels": 4}
BEFORE = "layers.1.layernorm_before"
IMAGES, SMALL, VIDEOS = (3, 64, 64), (3, 32, 32), (4, 3, 32, 32)
HUGGING_FACE = {
    "ViT": ("ViTForImageClassification", {**SIZES, **PATCHES}, SMALL, f"vit.{BEFORE}", tokens(4, 4, in_front=1), (2, 3)),
    "DeiT": ("DeiTForImageClassification", {**SIZES, **PATCHES}, SMALL, f"deit.{BEFORE}", tokens(4, 4, in_front=2), (2, 3)),
    "DINOv2 with registers": ("Dinov2WithRegistersForImageClassification", {**SIZES, **PATCHES}, SMALL,
                              "dinov2_with_registers.layernorm", tokens(4, 4, in_front=5), (2, 3)),
    "Swin, padded": ("SwinForImageClassification", {**SWIN, "image_size": 36}, (3, 36, 36), "swin.layernorm", tokens(9, 9), (2, 3)),
    "ConvNeXt": ("ConvNextForImageClassification", STAGES, IMAGES, "convnext.encoder.stages.3.layers.0.layernorm", channels_last, (2, 3)),
    "ResNet": ("ResNetForImageClassification", {**STAGES, "embedding_size": 8}, IMAGES,
               "resnet.encoder.stages.3.layers.0.shortcut.convolution", as_it_is, (2, 3)),
    "AST": ("ASTForAudioClassification", {**SIZES, **SPECTRA}, (48, 32), f"audio_spectrogram_transformer.{BEFORE}",
            lambda values: tokens(2, 4, in_front=2)(values).transpose(2, 3), (1, 2)),
    "VideoMAE": ("VideoMAEForVideoClassification", VIDEO, VIDEOS, "videomae.encoder.layer.1.layernorm_after", tokens(2, 4, 4), (1, 3, 4)),
    "TimeSformer": ("TimesformerForVideoClassification", VIDEO, VIDEOS, "timesformer.encoder.layer.1.layernorm_before",
                    frames_of_tokens, (1, 3, 4)),
    "ViViT": ("VivitForVideoClassification", {**VIDEO, "tubelet_size": [2, 8, 8]}, VIDEOS, f"vivit.{BEFORE}",
              tokens(2, 4, 4, in_front=1), (1, 3, 4)),
    "SegFormer": ("SegformerForImageClassification", STAGED, IMAGES, "segformer.stages.3.layer_norm", tokens(2, 2), (2, 3)),
    "wav2vec 2.0": ("Wav2Vec2ForSequenceClassification", {**SIZES, **SPEECH}, (1600,), "wav2vec2.encoder.layers.1.final_layer_norm",
                    tokens(79), (1,)),
    "BERT on embeddings": ("BertForSequenceClassification", {**SIZES, "vocab_size": 50}, (7, 16), "bert.encoder.layer.0.output.LayerNorm",
                           tokens(7), (1,)),
}  # fmt: skip
KEYWORDS = {"AST": "input_values", "wav2vec 2.0": "input_values", "BERT on embeddings": "inputs_embeds"}


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_hugging_face(name):
    transformers = pytest.importorskip("transformers")
    kind, sizes, shape, layer, arrange, space = HUGGING_FACE[name]
    torch.manual_seed(0)
    if not hasattr(transformers, kind):
        pytest.skip("this version of transformers does not have it")
    model_class = getattr(transformers, kind)
    model = model_class(model_class.config_class(**sizes))
    net = randomized(Called(model, KEYWORDS.get(name, "pixel_values")))
    if f"model.{layer}" not in dict(net.named_modules()):
        pytest.skip("this version of transformers names its layers otherwise")
    agrees(net, drawn(2, *shape), f"model.{layer}", arrange, space)
