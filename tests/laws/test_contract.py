"""What holds for every method on every kind of network: shape, batch invariance, determinism, and every sentence of the grammar."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from contract import TARGETS, keeps_the_contract, quick, runs_on
from networks import SHAPES, Written, drawn, inputs, network
from sentences import is_cam, one_of_each_form, options, original_names, sentences
from signxai import explain, explain_all, inspect_model, list_methods, parse_method
from signxai.common import ModelError, TargetError
from signxai.engine.prediction import predict


@pytest.fixture(scope="module")
def nets():
    return {kind: (network(kind), inputs(kind)) for kind in SHAPES}


ALL = list_methods()
FORMS = one_of_each_form(ALL)
EVERYWHERE = [(kind, name) for kind in SHAPES for name in FORMS if runs_on(name, kind)]


def test_the_original_names_are_listed():
    assert len(original_names()) == 152
    assert set(original_names()) <= set(ALL)


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("name", ALL)
def test_every_name_has_a_map(nets, name):
    net, x = nets["cnn1d"]
    relevance = explain(net, x, name, TARGETS, **quick(name))
    assert relevance.shape == x.shape
    assert np.isfinite(relevance).all()
    assert np.abs(relevance).max() > 0


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize(("kind", "name"), EVERYWHERE)
def test_every_method_on_every_network(nets, kind, name):
    keeps_the_contract(*nets[kind], name)


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("name", FORMS)
def test_a_sigmoid_behind_the_network_changes_no_map(nets, name):
    net, x = nets["cnn2d"]
    ended = explain(nn.Sequential(net, nn.Sigmoid()), x, name, TARGETS, **quick(name))
    assert deviation(ended, explain(net, x, name, TARGETS, **quick(name))) < 1e-10


DRAWS = {"smoothgrad", "vargrad", "random_uniform"}
LAYOUTS = {"cnn1d": (0, 2, 1), "cnn2d": (0, 2, 3, 1)}


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("name", [name for name in FORMS if parse_method(name).method not in DRAWS])  # those draw in the input's shape
def test_a_network_that_takes_channels_last_gives_the_same_map_channels_last(nets, kind, name):
    net, x = nets[kind]
    to_last = LAYOUTS[kind]
    to_first = tuple(np.argsort(to_last))
    twin = Written(lambda m, t: m["body"](t.permute(to_first)), body=net)
    last = explain(twin, x.permute(to_last), name, TARGETS, **quick(name))
    assert deviation(last, explain(net, x, name, TARGETS, **quick(name)).transpose(to_last)) < 1e-10


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("name", FORMS)
def test_threads_give_the_map_of_one(nets, name):
    net, x = nets["cnn2d"]
    alone = explain(net, x, name, TARGETS, **quick(name))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: explain(net, x, name, TARGETS, **quick(name)), range(8)):
            np.testing.assert_array_equal(found, alone)


ENDINGS = {
    "logits": lambda z: z,
    "sigmoid": torch.sigmoid,
    "sigmoid by hand": lambda z: 1 / (1 + torch.exp(-z)),
    "softmax by hand": lambda z: torch.exp(z) / torch.exp(z).sum(1, keepdim=True),
    "an operation without a rule": lambda z: torch.i0(z),
}


@pytest.fixture
def what_is_there_already_is_not_searched():
    """By the search for garbage, which takes long among all modules."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.filterwarnings("ignore::signxai.engine.relevance.UnknownOperationWarning")
@pytest.mark.parametrize(
    ("name", "ending"),
    [(name, "sigmoid by hand") for name in FORMS if parse_method(name).rule is None or name.startswith("lrp_")]
    + [(name, ending) for name in ("explain_all", "inspect_model", "predict", "an error") for ending in ENDINGS],
)
def test_nothing_is_kept_of_a_model(name, ending, what_is_there_already_is_not_searched):
    body, x = network("cnn2d"), inputs("cnn2d")
    net = Written(lambda m, t: ENDINGS[ending](m["body"](t)), body=body)
    model, weight = weakref.ref(net), weakref.ref(next(net.parameters()))
    if name == "explain_all":
        explain_all(net, x, ["gradient", "lrp_z", "guided_backprop"])
    elif name == "inspect_model":
        inspect_model(net, x, "lrp_epsilon_0_1")
    elif name == "predict":
        predict(net, x)
    elif name == "an error":
        with pytest.raises(TargetError):
            explain(net, x, "lrp_z", 99)
    else:
        explain(net, x, name, TARGETS, **quick(name))
    del net, body
    gc.collect()
    assert (model(), weight()) == (None, None)


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize(("kind", "name"), EVERYWHERE)
def test_a_batch_equals_single_calls_in_float32(kind, name):
    x = torch.cat([inputs(kind, seed=seed) for seed in (3, 13, 17)]).float()  # logits near 0 among them
    net, targets = network(kind).float(), TARGETS * 3
    batch = explain(net, x, name, targets, **quick(name))
    assert batch.dtype == np.float32
    single = [explain(net, x[i : i + 1], name, targets[i], **quick(name)) for i in range(len(x))]
    for seed in range(3):
        of_seed = slice(4 * seed, 4 * seed + 4)
        assert deviation(np.concatenate(single[of_seed]), batch[of_seed]) < 1e-5, f"seed {(3, 13, 17)[seed]}"


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("name", [name for name in FORMS if is_cam(name)])
def test_a_cam_without_convolution_is_refused(nets, kind, name):
    with pytest.raises(ModelError, match=r"(?i)convolution"):
        explain(*nets[kind], name)


@pytest.mark.parametrize("sentence", sentences(200))
def test_a_random_sentence_of_the_grammar(nets, sentence):
    spec = parse_method(sentence)
    assert parse_method(str(spec)) == spec
    for kind in ("cnn2d", "cnn1d", "mlp"):
        net, x = nets[kind]
        if runs_on(sentence, kind):
            got = explain(net, x[:2], sentence, 1)
            assert got.shape == x[:2].shape
            assert np.isfinite(got).all()
            np.testing.assert_array_equal(explain(net, x[:2], str(spec), 1), got)
        else:
            with pytest.raises(ModelError, match=r"(?i)convolution"):
                explain(net, x, sentence)


@pytest.mark.parametrize("name", [name for name in FORMS if parse_method(name).rule is not None])
def test_relevance_of_lrp_may_start_with_the_logit(nets, name):
    net, x = nets["cnn2d"]
    with torch.no_grad():
        logits = net(x)[range(4), TARGETS].numpy()
    expected = explain(net, x, name, TARGETS, **options(name)) * logits.reshape(4, 1, 1, 1)
    assert deviation(explain(net, x, name, TARGETS, relevance="logit", **options(name)), expected) < 1e-10


@pytest.mark.parametrize("name", ["smoothgrad", "vargrad", "random_uniform"])
def test_a_seed_is_zero_by_default_and_another_seed_gives_another_map(nets, name):
    net, x = nets["cnn1d"]
    np.testing.assert_array_equal(explain(net, x, name, 1, seed=0), explain(net, x, name, 1))
    assert deviation(explain(net, x, name, 1, seed=1), explain(net, x, name, 1)) > 1e-2


@pytest.mark.parametrize("name", ["smoothgrad", "random_uniform"])
def test_the_global_random_state_is_neither_read_nor_written(nets, name):
    net, x = nets["cnn1d"]
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first = explain(net, x, name, 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(8)
    np.testing.assert_array_equal(explain(net, x, name, 1), first)


def test_random_uniform_is_noise_between_minus_one_and_one_the_same_in_every_channel(nets):
    net, x = nets["cnn2d"]
    noise = explain(net, x, "random_uniform")
    assert np.abs(noise).max() <= 1
    assert noise.min() < -0.9 < 0.9 < noise.max()
    assert (noise == noise[:, :1]).all()


@pytest.mark.parametrize("name", ["gradient", "lrpsign_z_x_sign", "grad_cam", "smoothgrad", "random_uniform"])
def test_as_tensor_gives_the_same_numbers_as_a_tensor(nets, name):
    net, x = nets["cnn2d"]
    tensor = explain(net, x, name, 1, as_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.float64
    assert not tensor.requires_grad
    np.testing.assert_array_equal(tensor.numpy(), explain(net, x, name, 1))


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_25_std_x", "grad_cam", "smoothgrad"])
@pytest.mark.parametrize(
    "convert", [torch.Tensor.numpy, torch.Tensor.float, lambda x: x.float().numpy(), lambda x: x.clone().requires_grad_()]
)
def test_an_array_or_another_float_type_is_brought_to_the_model(nets, name, convert):
    net, x = nets["cnn2d"]
    got = explain(net, convert(x), name, 1)
    assert got.dtype == np.float64
    assert deviation(got, explain(net, x, name, 1)) < 1e-4


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_integer_input_is_converted(nets, dtype):
    net, _ = nets["cnn2d"]
    x = torch.randint(0, 255, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=dtype)
    np.testing.assert_array_equal(explain(net, x, "lrp_z_x_input", 1), explain(net, x.double(), "lrp_z_x_input", 1))


def read_only(x):
    array = x.numpy().copy()
    array.setflags(write=False)  # as numpy.asarray(photo) and memory maps are
    return array


@pytest.mark.parametrize("convert", [read_only, lambda x: x.numpy().astype(">f8"), lambda x: x.numpy()[::-1][::-1]])
def test_an_array_of_any_memory_layout(nets, convert):
    net, x = nets["cnn2d"]
    np.testing.assert_array_equal(explain(net, convert(x), "lrpsign_z_x_input", 1), explain(net, x, "lrpsign_z_x_input", 1))


@pytest.mark.parametrize("name", ["gradient_x_input", "lrp_z", "lrpsign_z", "smoothgrad", "grad_cam"])
def test_the_input_is_not_changed(nets, name):
    net, x = nets["cnn2d"]
    kept = x.clone().requires_grad_()
    explain(net, kept, name, 1)
    assert torch.equal(kept, x)
    assert kept.grad is None
    assert kept.requires_grad


@pytest.mark.parametrize(("shape", "kind"), [((1, 3, 8, 8), "cnn2d"), ((7, 3, 8, 8), "cnn2d"), ((1, 4, 5), "mlp"), ((3, 12), "linear")])
def test_any_number_of_samples(nets, kind, shape):
    x = drawn(*shape, seed=0)
    for name in ("gradient", "lrpsign_epsilon_0_25_std_x_mu_0_5", "smoothgrad", "zblrp_z"):
        assert explain(nets[kind][0], x, name).shape == shape


def test_a_batch_axis_without_requirement_on_memory_layout(nets):
    net, x = nets["cnn2d"]
    turned = x.transpose(2, 3).contiguous().transpose(2, 3)
    last = x.contiguous(memory_format=torch.channels_last)
    for name in ("gradient", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "zblrp_z", "smoothgrad", "guided_grad_cam"):
        assert deviation(explain(net, turned, name, 1), explain(net, x, name, 1)) < 1e-12
        assert deviation(explain(net, last, name, 1), explain(net, x, name, 1)) < 1e-12


@pytest.mark.parametrize(
    "name", ["gradient", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrpsign_z", "guided_backprop", "grad_cam", "smoothgrad"]
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_of_half_precision(nets, name, dtype):
    got = explain(network("cnn1d").to(dtype), nets["cnn1d"][1], name, 1)
    assert np.issubdtype(got.dtype, np.floating)
    assert deviation(got, explain(*nets["cnn1d"], name, 1)) < 0.05


@pytest.mark.parametrize("name", ["gradient", "lrpsign_epsilon_0_1", "guided_backprop", "grad_cam", "integrated_gradients"])
def test_a_frozen_model_gives_the_same_map(nets, name):
    frozen = network("cnn2d").requires_grad_(False)
    np.testing.assert_array_equal(explain(frozen, nets["cnn2d"][1], name, 1), explain(*nets["cnn2d"], name, 1))
