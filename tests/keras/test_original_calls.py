"""The calls of the original package, on Keras models: its wrappers, its helpers, and what they refuse."""

import numpy as np
import pytest
import torch
from PIL import Image

from signxai import explain
from signxai.common.errors import InputError, MethodNameError, ModelError, OptionError
from signxai.methods.wrappers import calculate_relevancemap, calculate_relevancemaps
from signxai.utils.utils import (
    aggregate_and_normalize_relevancemap_rgb,
    calculate_explanation_innvestigate,
    download_image,
    download_model,
    load_image,
    normalize_heatmap,
    remove_softmax,
)

keras = pytest.importorskip("keras")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

X = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, activation="relu", name="conv", bias_initializer="normal"),
            layers.Flatten(),
            layers.Dense(5, activation="softmax", name="last", bias_initializer="normal"),
        ]
    )


def weights_of(model):
    """All weights, copied."""
    return [weight.value.detach().cpu().numpy().copy() for weight in model.weights]


# iNNvestigate's call, and the name here that says the same.
SAME = [
    ("lrp_z", {"method": "lrp.z"}),
    ("lrpsign_epsilon_0_1_std_x", {"method": "lrp.stdxepsilon", "stdfactor": 0.1, "input_layer_rule": "SIGN"}),
    ("lrp_epsilon_0_25_std_x", {"method": "lrp.stdxepsilon"}),
    ("lrpz_epsilon_0_5", {"method": "lrp.epsilon", "epsilon": 0.5, "input_layer_rule": "Z"}),
    ("lrpz_epsilon_1", {"method": "lrp.epsilon", "epsilon": 1, "bias": True, "input_layer_rule": "Z"}),
    ("lrp.epsilon", {}),
    ("lrpsign_epsilon_100_mu_0_5", {"method": "lrp.epsilon", "epsilon": 100, "input_layer_rule": "SIGNmu", "mu": 0.5}),
    ("w2lrp_alpha_1_beta_0", {"method": "lrp.alpha_1_beta_0", "input_layer_rule": "WSquare"}),
    ("lrp_alpha_2_beta_1", {"method": "lrp.alpha_2_beta_1"}),
    ("lrp_alpha_3_beta_2", {"method": "lrp.alpha_beta", "alpha": 3, "beta": 2}),
    ("flatlrp_sequential_composite_a", {"method": "lrp.sequential_composite_a", "input_layer_rule": "Flat"}),
    ("lrp_sequential_composite_b", {"method": "lrp.sequential_composite_b"}),
    ("lrp_zplus", {"method": "lrp.z_plus"}),
    ("lrp_wsquare", {"method": "lrp.w_square"}),
    ("lrp_flat", {"method": "lrp.flat"}),
    ("zblrp_z_VGG16ILSVRC", {"method": "lrp.z", "input_layer_rule": "Bounded", "low": -123.68, "high": 151.061}),
    ("zblrp_z_VGG16ILSVRC", {"method": "lrp.z", "input_layer_rule": (-123.68, 151.061)}),
    ("gradient", {"method": "gradient"}),
    ("input_t_gradient", {"method": "input_t_gradient"}),
    ("guided_backprop", {"method": "guided_backprop"}),
    ("deconvnet", {"method": "deconvnet"}),
    ("integrated_gradients_steps_16", {"method": "integrated_gradients"}),
    ("integrated_gradients_steps_5", {"method": "integrated_gradients", "steps": 5, "reference_inputs": np.zeros_like(X[0])}),
    ("smoothgrad_samples_3_noise_0_1", {"method": "smoothgrad", "augment_by_n": 3, "noise_level": 0.1}),
    ("vargrad_samples_3_noise_0_1", {"method": "vargrad", "augment_by_n": 3, "noise_level": 0.1}),
]


@pytest.mark.parametrize(("name", "call"), SAME, ids=[f"{number}-{name}" for number, (name, _) in enumerate(SAME)])
def test_a_call_in_the_words_of_innvestigate_gives_the_map_of_the_name(model, name, call):
    expected = calculate_relevancemap(name, X[0], model, neuron_selection=2)
    found = calculate_explanation_innvestigate(model, X[0], neuron_selection=2, **call)
    assert found.shape == X[0].shape
    assert np.array_equal(found, expected)


def test_every_method_of_innvestigate_is_computed_or_refused_with_advice(model):
    for method in ("deep_lift", "lrp", "lrp.gamma", "lrp.z_IB", "lrp.epsilon_IB", "lrp.alpha_2_beta_1_IB", "lrp.alpha_1_beta_0_IB",
                   "lrp.z_plus_fast", "lrp.rule_until_index", "lrp.banana", "lrp_z"):  # fmt: skip
        with pytest.raises(MethodNameError, match="no counterpart"):
            calculate_explanation_innvestigate(model, X[0], method=method)


REFUSED = [
    ({"bias": False}, "biases"),
    ({"until_layer_idx": 1}, "AdvancedLRPAnalyzer"),
    ({"bn_layer_rule": "Z"}, "batch norm"),
    ({"input_layer_rule": "Alpha1Beta0"}, "'SIGN'"),
    ({"input_layer_rule": ["Z"]}, "'SIGN'"),
    ({"input_layer_rule": "Bounded"}, "low= and high="),
    ({"input_layer_rule": "SIGNmu"}, "mu="),
    ({"input_layer_rule": "SIGN", "mu": 1.0}, "SIGNmu"),
    ({"stdfactor": 0.1}, "stdfactor"),
    ({"method": "lrp.z", "epsilon": 0.1}, "epsilon"),
    ({"method": "lrp.alpha_beta", "alpha": 2}, "beta="),
    ({"method": "smoothgrad", "noise_scale": 0.2}, "noise_level="),
    ({"method": "smoothgrad"}, "noise_level="),
    ({"method": "integrated_gradients", "reference_inputs": 0, "baseline": 0}, "one option"),
    ({"method": "gradient", "postprocess": "abs"}, "absolute value"),
    ({"banana": 1}, "banana"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED, ids=[str(call) for call, _ in REFUSED])
def test_a_keyword_that_says_nothing_here_is_refused_with_advice(model, call, words):
    with pytest.raises(OptionError, match=words):
        calculate_explanation_innvestigate(model, X[0], **call)


def test_numbers_out_of_range_are_refused(model):
    with pytest.raises((MethodNameError, OptionError), match="epsilon"):
        calculate_explanation_innvestigate(model, X[0], epsilon=-1.0)
    with pytest.raises((MethodNameError, OptionError), match="alpha"):
        calculate_explanation_innvestigate(model, X[0], method="lrp.alpha_beta", alpha=2, beta=2)


def test_lrp_starts_with_the_logit_and_gradients_with_one(model):
    logits = remove_softmax(model)(X).detach().cpu().numpy()
    one = calculate_relevancemap("lrp_z", X[0], model, neuron_selection=2)
    np.testing.assert_allclose(one, explain(model, X[:1], "lrp_z", 2)[0] * logits[0, 2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(calculate_relevancemap("gradient", X[0], model), explain(model, X[:1], "gradient")[0], rtol=1e-5, atol=1e-6)


def test_several_samples_are_explained_in_turn_and_batches_at_once(model):
    maps = calculate_relevancemaps("lrpsign_z", X, model, neuron_selection=1)
    assert maps.shape == X.shape
    np.testing.assert_allclose(
        maps, calculate_relevancemap("lrpsign_z", X, model, neuron_selection=1, batchmode=True), rtol=1e-4, atol=1e-6
    )
    assert np.array_equal(maps[1], calculate_relevancemap("lrpsign_z", X[1], model, neuron_selection=1))
    found = calculate_explanation_innvestigate(model, X, "lrp.z", 1, True, input_layer_rule="SIGN")
    np.testing.assert_allclose(maps, found, rtol=1e-4, atol=1e-6)


def test_wrappers_take_the_keywords_of_the_original(model):
    by_keyword = calculate_relevancemap(m="grad_cam", x=X[0], model_no_softmax=model, last_conv_layer_name="conv")
    assert np.array_equal(by_keyword, calculate_relevancemap("grad_cam", X[0], model, layer="conv"))
    selected = calculate_relevancemap("lrp_z", X[0], model, neuron_selection="max_activation")
    assert np.array_equal(selected, calculate_relevancemap("lrp_z", X[0], model))
    assert calculate_relevancemaps(m="gradient_x_sign_mu", X=list(X), model_no_softmax=model, mu=0.5).shape == X.shape
    with pytest.raises(OptionError, match="one option"):
        calculate_relevancemap("grad_cam", X[0], model, last_conv_layer_name="conv", layer="conv")
    with pytest.raises(OptionError, match="explain_all"):
        calculate_relevancemaps(["gradient", "lrp_z"], X, model)


@pytest.mark.parametrize("activation", [None, "linear"])
def test_a_softmax_set_to_nothing_beforehand_gives_the_same_map(model, activation):
    bare = remove_softmax(model)
    bare.layers[-1].activation = keras.activations.softmax
    expected = calculate_relevancemap("lrpsign_epsilon_0_1", X[0], bare)
    bare.layers[-1].activation = activation and keras.activations.get(activation)
    assert np.array_equal(calculate_relevancemap("lrpsign_epsilon_0_1", X[0], bare), expected)


# --- remove_softmax ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "tanh", "relu", None])
def test_remove_softmax_takes_any_last_activation_off_and_leaves_the_model(activation):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="tanh"), layers.Dense(2, activation=activation, bias_initializer="normal")]
    )
    before, config, x = weights_of(model), model.get_config(), np.ones((2, 4), np.float32)
    bare = remove_softmax(model)
    assert isinstance(bare, keras.Model)
    inner, weights = model.layers[0](x), weights_of(model.layers[1])
    np.testing.assert_allclose(bare(x).detach().numpy(), inner.detach().numpy() @ weights[0] + weights[1], rtol=1e-5)
    assert model.get_config() == config
    assert all(np.array_equal(one, other) for one, other in zip(weights_of(model), before, strict=True))
    bare.layers[-1].kernel.assign(np.zeros((3, 2)))
    assert np.array_equal(weights_of(model)[2], before[2])


@pytest.mark.parametrize("last", ["Activation", "Softmax", "ReLU", "LeakyReLU"])
def test_remove_softmax_takes_off_a_layer_that_is_an_activation(last):
    x, layers = keras.Input((4,)), keras.layers
    hidden = layers.Dense(3, name="logits")(x)
    layer = layers.Activation("softmax") if last == "Activation" else getattr(layers, last)()
    bare = remove_softmax(keras.Model(x, layer(hidden)))
    points = np.ones((2, 4), np.float32)
    assert torch.equal(bare(points), bare.get_layer("logits")(points))


def test_remove_softmax_leaves_the_activation_before_a_softmax_layer():
    x, layers = keras.Input((4,)), keras.layers
    inner = layers.Dense(3, activation="relu", name="inner")(x)
    for model in (keras.Model(x, layers.Softmax()(inner)), keras.Sequential([x, layers.Dense(3, "relu", name="inner"), layers.Softmax()])):
        points = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
        assert torch.equal(remove_softmax(model)(points), model.get_layer("inner")(points))


def test_remove_softmax_of_a_nested_model_and_of_two_outputs():
    x, layers = keras.Input((4,)), keras.layers
    head = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")], name="head")
    bare = remove_softmax(keras.Model(x, [head(x), layers.Dense(2, activation="sigmoid", name="other")(x)]))
    points = np.ones((1, 4), np.float32)
    for found, layer in zip(bare(points), (head.layers[0], bare.get_layer("other")), strict=True):
        kernel = weights_of(layer)[0]
        np.testing.assert_allclose(found.detach().numpy(), points @ kernel, rtol=1e-5)


def test_remove_softmax_keeps_dtype_and_frozen_layers():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,), dtype="float64"), layers.Dense(3, dtype="float64"), layers.Dense(2, "softmax", dtype="float64")]
    )
    model.layers[0].trainable = False
    bare = remove_softmax(model)
    assert bare.layers[1].kernel.dtype == "float64"
    assert [layer.trainable for layer in bare.layers] == [False, True]


def test_remove_softmax_refuses_what_it_would_change_elsewhere_or_cannot_rebuild():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ModelError, match="subclassed"):
        remove_softmax(Own())
    with pytest.raises(ModelError, match="not built"):
        remove_softmax(keras.Sequential([keras.layers.Dense(2, activation="softmax")]))
    x = keras.Input((4,))
    square = keras.layers.Dense(4, activation="softmax", name="twice")
    with pytest.raises(ModelError, match="twice"):
        remove_softmax(keras.Model(x, square(square(x))))
    with pytest.raises(ModelError, match="PReLU"):
        remove_softmax(keras.Model(x, keras.layers.PReLU()(x)))


def softmax_head(kind, last="dense"):
    """A model of one layer with a softmax, or of one that ends in a layer of softmax."""
    layers, x = keras.layers, keras.Input((3,))
    inner = [layers.Dense(3, activation="softmax", name="inner")] if last == "dense" else [layers.Dense(3), layers.Softmax()]
    head = keras.Sequential([x, *inner])
    return keras.Model(x, head(x), name="head") if kind == "functional" else head


def functional(*layers):
    x = y = keras.Input((3,))
    for layer in layers:
        y = layer(y)
    return keras.Model(x, y)


def sequential(*layers):
    return keras.Sequential([keras.Input((3,)), *layers])


@pytest.mark.parametrize("build", [functional, sequential])
@pytest.mark.parametrize("kind", ["layer", "functional", "sequential", "nested", "before", "wrapped", "layer of softmax"])
def test_remove_softmax_refuses_a_last_layer_that_runs_elsewhere_too(build, kind):
    layers = keras.layers
    shared = layers.Dense(3, activation="softmax", name="shared")
    if kind == "layer":
        net = build(shared, shared)
    elif kind == "nested":
        net = build(build(build(shared)), layers.Dense(3), build(shared))
    elif kind == "before":
        net = build(build(shared), shared)
    elif kind == "wrapped":
        net = build(layers.Reshape((1, 3)), layers.TimeDistributed(shared), layers.Flatten(), shared)
    else:
        head = softmax_head(kind, "softmax" if kind == "layer of softmax" else "dense")
        net = build(head, head)
    before = net.get_config(), weights_of(net)
    with pytest.raises(ModelError, match="also read by"):
        remove_softmax(net)
    assert net.get_config() == before[0]
    assert all(np.array_equal(one, other) for one, other in zip(weights_of(net), before[1], strict=True))


def test_remove_softmax_of_a_model_that_is_also_an_input_of_another_layer_is_refused():
    head, x = softmax_head("sequential"), keras.Input((3,))
    hidden = head(x)
    with pytest.raises(ModelError, match="also read by"):
        remove_softmax(keras.Model(x, [hidden, keras.layers.Dense(2)(hidden)]))


def test_remove_softmax_refuses_a_layer_that_a_model_within_shares():
    hidden = keras.layers.Dense(3)
    with pytest.raises(ModelError, match="also stands in a model or wrapper within it"):
        remove_softmax(sequential(sequential(hidden), hidden, keras.layers.Dense(2, activation="softmax")))


def test_remove_softmax_of_a_layer_that_gives_two_outputs_and_of_one_that_is_shared_before():
    layers, x, points = keras.layers, keras.Input((3,)), np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    last, hidden, linear = layers.Dense(3, activation="softmax"), layers.Dense(3, activation="tanh"), layers.Dense(3)
    twice = keras.Model(x, [last(x), last(hidden(hidden(x)))])
    inner = hidden(hidden(points)).detach().numpy()
    kernel, bias = map(np.array, weights_of(last))
    for found, read in zip(remove_softmax(twice)(points), (points, inner), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), read @ kernel + bias, rtol=1e-5, atol=1e-6)
    bare = remove_softmax(sequential(linear, layers.Softmax(), linear))
    expected = linear(keras.ops.softmax(linear(points)))
    np.testing.assert_allclose(bare(points).detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_remove_softmax_of_a_pytorch_model_is_the_wrapper():
    net = torch.nn.Linear(4, 3)
    bare = remove_softmax(torch.nn.Sequential(net, torch.nn.Softmax(dim=1)))
    assert torch.equal(bare(torch.ones(2, 4)), net(torch.ones(2, 4)))


# --- pictures ------------------------------------------------------------------------------------------------------------


def test_load_image_is_caffes_preprocessing_of_keras(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    img, x = load_image(path)
    theirs = keras.utils.load_img(path, target_size=(224, 224))
    pixels = keras.utils.img_to_array(theirs)
    assert np.array_equal(np.asarray(img), np.asarray(theirs))
    np.testing.assert_allclose(x, keras.applications.vgg16.preprocess_input(pixels.copy()), rtol=1e-6, atol=1e-5)
    assert x.dtype == np.float32
    assert np.array_equal(load_image(str(path), expand_dims=True)[1], x[None])


def test_load_image_says_which_file_it_could_not_read(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "none.png", ""):
        with pytest.raises(InputError, match=name or "cannot be read"):
            load_image(tmp_path / name)


def test_heatmaps_are_divided_by_their_largest_value():
    relevance = np.random.default_rng(0).normal(size=(4, 5, 3))
    summed = relevance[:, :, 0] + relevance[:, :, 1] + relevance[:, :, 2]
    np.testing.assert_allclose(aggregate_and_normalize_relevancemap_rgb(relevance), summed / np.abs(summed).max())
    assert not normalize_heatmap(np.zeros((2, 2))).any()
    for wrong in ([], [np.nan], [np.inf]):
        with pytest.raises(InputError):
            normalize_heatmap(wrong)
    with pytest.raises(InputError, match="channels last"):
        aggregate_and_normalize_relevancemap_rgb(np.ones((4, 5)))


@pytest.mark.parametrize("download", [download_image, download_model])
def test_nothing_is_downloaded_and_the_error_says_which_file_to_give(download, tmp_path):
    with pytest.raises(InputError, match=r"file\.h5"):
        download(tmp_path / "file.h5")
    assert not list(tmp_path.iterdir())


def test_an_activation_within_a_layer_that_runs_at_each_step_is_refused():
    net = keras.Sequential([keras.Input((5, 4)), keras.layers.TimeDistributed(keras.layers.Dense(3, activation="softmax"))])
    with pytest.raises(ModelError, match="at each step"):
        remove_softmax(net)
    plain = keras.Sequential([keras.Input((5, 4)), keras.layers.TimeDistributed(keras.layers.Dense(3)), keras.layers.Activation("softmax")])
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(remove_softmax(plain)(x), plain.layers[0](x))
