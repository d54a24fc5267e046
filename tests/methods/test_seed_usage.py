"""The usage calls of the document that signxai was first described in run as they stand there; only weights and photo are replaced."""

# ruff: noqa: F401, I001 - the document's own imports, in its own order

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from networks import randomized


@pytest.fixture
def model():
    layers = [nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(inplace=True)]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 10))
    return randomized(net).float()


@pytest.fixture
def input_tensor():
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("example.jpg")


def is_a_map(explanation, like):
    assert isinstance(explanation, np.ndarray)
    assert explanation.shape == tuple(like.shape)
    assert np.isfinite(explanation).all()
    assert np.abs(explanation).max() > 0


def test_explain_and_analyzers(model, input_tensor):
    class_idx = 3

    from signxai.api import explain
    from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer, LRPAnalyzer, LRPSequential

    explanation = explain(model, input_tensor, method_name="lrp_epsilon_0_1")
    is_a_map(explanation, input_tensor)
    analyzer = LRPAnalyzer(model, rule="epsilon", epsilon=0.1)
    explanation = analyzer.analyze(input_tensor, target_class=class_idx)
    is_a_map(explanation, input_tensor)

    explanation = explain(model, input_tensor, method_name="lrp_alpha_1_beta_0")
    is_a_map(explanation, input_tensor)
    analyzer = LRPAnalyzer(model, rule="alphabeta")  # Default alpha=1, beta=0
    explanation = analyzer.analyze(input_tensor, target_class=class_idx)
    is_a_map(explanation, input_tensor)

    analyzer = AdvancedLRPAnalyzer(
        model,
        rule_type="zbox",
        low=-123.68,
        high=151.061
    )  # fmt: skip
    explanation = analyzer.analyze(input_tensor, target_class=class_idx)
    is_a_map(explanation, input_tensor)

    explanation = explain(model, input_tensor, method_name="lrp_sequential_composite_a")
    is_a_map(explanation, input_tensor)
    analyzer = LRPSequential(
        model,
        first_layer_rule="zbox",
        middle_layer_rule="alphabeta",
        last_layer_rule="epsilon"
    )  # fmt: skip
    explanation = analyzer.analyze(input_tensor, target_class=class_idx)
    is_a_map(explanation, input_tensor)

    explanation = explain(model, input_tensor, method_name="gradient")
    is_a_map(explanation, input_tensor)


def test_the_attributes_that_the_document_shows(model):
    from signxai.torch_signxai.methods.zennit_impl import (
        DeepTaylorAnalyzer,
        GradientAnalyzer,
        GradientXSignAnalyzer,
        IntegratedGradientsAnalyzer,
        LRPAnalyzer,
        SmoothGradAnalyzer,
        VarGradAnalyzer,
    )

    analyzer = LRPAnalyzer(model, rule="epsilon", epsilon=1e-6)
    assert (analyzer.model, analyzer.rule) == (model, "epsilon")
    assert GradientAnalyzer(model).model is model
    analyzer = IntegratedGradientsAnalyzer(model, steps=50, baseline=None)
    assert (analyzer.model, analyzer.steps, analyzer.baseline) == (model, 50, None)
    analyzer = SmoothGradAnalyzer(model, noise_level=0.2, num_samples=50)
    assert (analyzer.model, analyzer.noise_level, analyzer.num_samples) == (model, 0.2, 50)
    analyzer = VarGradAnalyzer(model, num_samples=50, noise_level=0.2)
    assert (analyzer.model, analyzer.noise_level, analyzer.num_samples) == (model, 0.2, 50)
    analyzer = GradientXSignAnalyzer(model, mu=0.0)
    assert (analyzer.model, analyzer.mu) == (model, 0.0)
    analyzer = DeepTaylorAnalyzer(model, epsilon=1e-6)
    assert (analyzer.model, analyzer.epsilon) == (model, 1e-6)


def test_every_class_of_the_document_analyzes_a_tensor_and_an_array(model, input_tensor):
    import signxai.torch_signxai.methods.zennit_impl as zennit_impl

    classes = ["GradientAnalyzer", "IntegratedGradientsAnalyzer", "SmoothGradAnalyzer", "VarGradAnalyzer", "GuidedBackpropAnalyzer",
               "GradCAMAnalyzer", "LRPAnalyzer", "AdvancedLRPAnalyzer", "LRPSequential", "DeepTaylorAnalyzer", "GradientXSignAnalyzer",
               "GradientXInputAnalyzer", "DeconvNetAnalyzer"]  # fmt: skip
    for name in classes:
        arguments = {"rule_type": "epsilon"} if name == "AdvancedLRPAnalyzer" else {}
        analyzer = getattr(zennit_impl, name)(model, **arguments)
        for target in (None, 3, torch.tensor(3), [3]):
            is_a_map(analyzer.analyze(input_tensor, target), input_tensor)
        is_a_map(analyzer.analyze(input_tensor.numpy()), input_tensor)


def test_the_usage_example(model, photo):
    from signxai.api import explain
    from signxai.common.visualization import normalize_relevance_map, overlay_heatmap, relevance_to_heatmap
    from signxai.torch_signxai.utils import remove_softmax

    model.eval()

    # Remove softmax (required for proper explanations)
    model_no_softmax = remove_softmax(model)

    # Load and preprocess image
    img = Image.open("example.jpg").resize((224, 224))
    img_tensor = torch.FloatTensor(np.array(img)).permute(2, 0, 1) / 255.0
    img_tensor = img_tensor.unsqueeze(0)  # Add batch dimension

    # Calculate relevance maps using different LRP methods with dynamic parsing
    lrp_eps = explain(model_no_softmax, img_tensor, method_name="lrp_epsilon_0_1")
    lrp_ab = explain(model_no_softmax, img_tensor, method_name="lrp_alpha_1_beta_0")
    lrp_composite = explain(model_no_softmax, img_tensor, method_name="lrp_sequential_composite_a")

    # Visualize relevance maps
    fig, axs = plt.subplots(1, 4, figsize=(16, 4))

    # Original image
    axs[0].imshow(img)
    axs[0].set_title("Original")

    # LRP-Epsilon
    norm_lrp_eps = normalize_relevance_map(lrp_eps[0].sum(axis=0))
    heatmap = relevance_to_heatmap(norm_lrp_eps)
    axs[1].imshow(overlay_heatmap(np.array(img) / 255.0, heatmap))
    axs[1].set_title("LRP-Epsilon")

    # LRP-AlphaBeta
    norm_lrp_ab = normalize_relevance_map(lrp_ab[0].sum(axis=0))
    heatmap = relevance_to_heatmap(norm_lrp_ab)
    axs[2].imshow(overlay_heatmap(np.array(img) / 255.0, heatmap))
    axs[2].set_title("LRP-AlphaBeta")

    # LRP-Composite
    norm_lrp_comp = normalize_relevance_map(lrp_composite[0].sum(axis=0))
    heatmap = relevance_to_heatmap(norm_lrp_comp)
    axs[3].imshow(overlay_heatmap(np.array(img) / 255.0, heatmap))
    axs[3].set_title("LRP-Composite")

    plt.tight_layout()
    fig.canvas.draw()
    plt.close(fig)
    for explanation in (lrp_eps, lrp_ab, lrp_composite):
        is_a_map(explanation, img_tensor)
    assert heatmap.shape == (224, 224, 3)


def test_the_advanced_configuration(model, input_tensor):
    class_idx = 3

    from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer
    from zennit.composites import EpsilonPlusFlat

    # Create custom composite with layer-specific rules
    from zennit.composites import LayerMapComposite
    from zennit.rules import Epsilon, ZPlus, Gamma
    from zennit.types import Convolution, Linear

    # Define layer mapping
    layer_map = {
        Convolution: ZPlus(),  # Use ZPlus for convolutional layers
        Linear: Epsilon(epsilon=0.1)  # Use Epsilon for linear layers
    }  # fmt: skip

    # Create analyzer with custom composite
    analyzer = AdvancedLRPAnalyzer(model, rule_type="custom", composite=LayerMapComposite(layer_map))
    explanation = analyzer.analyze(input_tensor, target_class=class_idx)
    is_a_map(explanation, input_tensor)


def test_sign_of_a_gradient(model, input_tensor):
    from signxai.api import explain
    from signxai.torch_signxai.methods.signed import calculate_sign_mu

    # Calculate sign with threshold mu
    sign = calculate_sign_mu(input_tensor, mu=0.0)

    # Use with gradient-based methods
    grad = explain(model, input_tensor, method_name="gradient")
    grad_sign = grad * sign
    np.testing.assert_array_equal(grad_sign, explain(model, input_tensor, "gradient_x_sign"))


@pytest.mark.slow
def test_vgg16_of_torchvision_without_weights():
    from torchvision import models

    from signxai.api import explain

    model = models.vgg16(weights=None, num_classes=7)
    model.eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    is_a_map(explain(model, x, method_name="lrpsign_epsilon_0_25_std_x"), x)
    np.testing.assert_array_equal(explain(model, x, "grad_cam_VGG16ILSVRC", 1), explain(model, x, "grad_cam", 1, layer=model.features[28]))
