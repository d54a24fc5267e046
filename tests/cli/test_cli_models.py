"""Models as people have them: checkpoints as training code writes them, timm's networks, names of classes, preparation of pictures."""

import json
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from command_line import explained, refused
from signxai.common.errors import InputError, ModelError, OptionError
from signxai.models import load_classifier
from signxai.picture_input import PictureInput, PictureSize, read_channels
from signxai.weights import load_weights

NETS = """
import numpy as np
import torch
from torch import nn
from signxai.models import Classifier

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))

def other():
    torch.manual_seed(1)
    return nn.Sequential(*small(), nn.Linear(3, 3))

def parallel():
    return nn.DataParallel(small())

def opaque():
    return Classifier(small(), lambda image: torch.zeros(3, 8, 8))

def ecg():
    from signxai.timeseries import SignalInput
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), signal_input=SignalInput())
"""
SMALL = ["--model", "model_nets:small", "--method", "gradient"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "model_nets.py").write_text(NETS)
    random = np.random.default_rng(0)
    np.save(folder / "x.npy", random.normal(size=(2, 3, 8, 8)))
    Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / "photo.png")
    (folder / "names.txt").write_text("\ufefflynx\ncrane \nowl\n", encoding="utf-8")
    return folder


@pytest.fixture
def state(here, monkeypatch):
    """Weights of another seed than the network's own."""
    monkeypatch.syspath_prepend(here)
    import model_nets

    torch.manual_seed(5)
    model = model_nets.small()
    return {name: torch.rand_like(value) if value.is_floating_point() else value for name, value in model.state_dict().items()}


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


# Checkpoints

WRAPPED = {
    "alone": (lambda state: state, ""),
    "state_dict": (lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "lr": 0.1}}, "'state_dict'"),
    "model": (lambda state: {"model": state, "args": "words"}, "'model'"),
    "DataParallel": (lambda state: prefixed(state, "module."), "'module.' taken off"),
    "lightning": (lambda state: {"state_dict": prefixed(state, "model."), "epoch": 1}, "'state_dict', with 'model.' taken off"),
    "both": (lambda state: {"state_dict": prefixed(state, "model.module.")}, "'model.module.' taken off"),
    "compiled": (lambda state: prefixed(state, "_orig_mod."), "'_orig_mod.' taken off"),
    "deep": (lambda state: {"last": {"model": {"weights": state}}, "epoch": 3}, "those under 'last.model.weights'"),
    "averaged": (lambda state: {"n_averaged": torch.tensor(3), **prefixed(state, "module.")}, "'module.' taken off"),
    "before batches were counted": (lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, ""),
    "half": (lambda state: {k: v.half() for k, v in state.items()}, ""),
}


@pytest.mark.parametrize("kind", WRAPPED)
@pytest.mark.parametrize("suffix", [".pt", ".pth.tar"])
def test_weights_are_taken_out_of_what_training_code_wraps_them_in(run, here, state, kind, suffix):
    wrap, notice = WRAPPED[kind]
    torch.save(wrap(state), here / f"weights{suffix}")
    said = explained(run("explain", "x.npy", *SMALL, "--weights", f"weights{suffix}", "--save", "maps.npz"))
    assert ("weights are" in said) == bool(notice)
    assert notice in said
    import model_nets

    model = model_nets.small().eval()
    model.load_state_dict({name: value.half() for name, value in state.items()} if kind == "half" else state)
    with np.load("maps.npz") as kept:
        np.testing.assert_allclose(kept["logits"], model(torch.tensor(kept["x"]).float()).detach(), rtol=1e-5)


def test_of_several_weights_those_are_taken_that_are_named(run, here, state):
    torch.save({"model": state, "model_ema": {"n_averaged": torch.tensor(2), **prefixed(state, "module.")}}, here / "two.bin")
    refused(run("explain", "x.npy", *SMALL, "--weights", "two.bin"), "under 'model' and under 'model_ema'", "as two.bin:model_ema")
    said = explained(run("explain", "x.npy", *SMALL, "--weights", "two.bin:model_ema", "--save", "maps.npz"))
    assert "two.bin: the weights are those under 'model_ema', with 'module.' taken off their names" in said
    refused(run("explain", "x.npy", *SMALL, "--weights", "two.bin:ema"), "no state dict under 'ema'", "'model', 'model_ema'")
    (here / "two.npz").hardlink_to(here / "two.bin")
    (here / "save.bin").symlink_to("two.npz")
    refused(run("explain", "x.npy", *SMALL, "--weights", "save.bin:model", "--save", "two.npz"), "is read too")


def test_a_network_in_a_wrapper_takes_the_weights_of_the_bare_one(here, state):
    import model_nets

    torch.save(state, here / "weights.pt")
    model = model_nets.parallel()
    assert "'module.' put before" in load_weights(model, here / "weights.pt")
    assert torch.equal(model.module[0].weight, state["0.weight"])


def test_weights_are_named_by_text_as_on_the_command_line(here, state):
    import model_nets

    torch.save({"model": state, "model_ema": {name: 2 * value for name, value in state.items()}}, here / "named.bin")
    model = model_nets.small()
    assert "'model_ema'" in load_weights(model, f"{here / 'named.bin'}:model_ema")
    assert torch.equal(model[0].weight, 2 * state["0.weight"])


REFUSED = {
    "two of them": (lambda state: {"model": state, "model_ema": state}, ["'model' and under 'model_ema'"]),
    "another name behind a prefix": (
        lambda state: {**prefixed(state, "model."), "loss.weight": torch.ones(2)},
        ["1 unknown (loss.weight)"],
    ),
    "another network": (lambda state: {"state_dict": {**state, "6.weight": torch.ones(3, 3)}}, ["1 unknown (6.weight)"]),
    "a part is missing": (lambda state: prefixed({k: v for k, v in state.items() if k != "5.bias"}, "module."), ["1 missing (5.bias)"]),
    "another shape behind a prefix": (lambda state: prefixed({**state, "5.bias": torch.ones(7)}, "module."), ["(5.bias: (7,), not (3,))"]),
    "no tensors": (lambda state: {"epoch": 3}, ["a checkpoint", "epoch"]),
    "rounded to integers": (lambda state: {**state, "5.bias": torch.ones(3, dtype=torch.int8)}, ["another kind (5.bias: torch.int8)"]),
    "complex": (lambda state: {**state, "5.bias": torch.ones(3, dtype=torch.complex64)}, ["another kind (5.bias: torch.complex64)"]),
    "sparse": (lambda state: {**state, "5.weight": state["5.weight"].to_sparse()}, ["another kind (5.weight", "sparse"]),
    "without values": (lambda state: {**state, "5.bias": state["5.bias"].to("meta")}, ["another kind (5.bias", "without values"]),
    "a setting": (lambda state: {"state_dict": state, "args": SimpleNamespace(lr=1)}, ["more than tensors (types.SimpleNamespace)"]),
    "a number of NumPy": (lambda state: {"state_dict": state, "best": np.float64(0.9)}, ["multiarray.scalar", "save tensors alone"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_exactly_is_refused_by_name(run, here, state, kind):
    wrap, words = REFUSED[kind]
    torch.save(wrap(state), here / "weights.pt")
    refused(run("explain", "x.npy", *SMALL, "--weights", "weights.pt"), "weights.pt", *words)


def test_a_program_of_torchscript_is_refused_with_the_reason(run, here, state):
    import model_nets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(model_nets.small().eval(), torch.zeros(1, 3, 8, 8)), here / "script.pt")
    refused(run("explain", "x.npy", *SMALL, "--weights", "script.pt"), "script.pt: a program of TorchScript")


def test_a_checkpoint_of_torchvision_has_its_number_of_classes(here, run):
    from torchvision.models import squeezenet1_1

    torch.save({"state_dict": prefixed(squeezenet1_1(num_classes=7).state_dict(), "module.")}, here / "seven.pth")
    said = explained(
        run("explain", "photo.png", "--model", "torchvision:squeezenet1_1", "--weights", "seven.pth", "-m", "gradient", "--save", "7.npz")
    )
    assert "'module.' taken off" in said
    assert "pictures are prepared as for SqueezeNet1_1_Weights.IMAGENET1K_V1" in said
    with np.load("7.npz") as kept:
        assert kept["class_names"].tolist() == [f"class {index}" for index in range(7)]


# timm


class Named(nn.Sequential):
    @property
    def pretrained_cfg(self):
        return {"num_classes": 1000, "tag": "a1_in1k"}


@pytest.fixture
def timm(monkeypatch):
    """What is used of timm, which nothing is downloaded by."""

    def create_model(name, pretrained, num_classes=1000):
        assert not pretrained
        torch.manual_seed(0)
        return Named(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, num_classes))

    config = {"input_size": (3, 16, 16), "mean": (0.5,) * 3, "std": (0.25,) * 3, "crop_pct": 0.875}
    steps = transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)])
    data = SimpleNamespace(resolve_data_config=lambda args, model: config, create_transform=lambda is_training, **config: steps)
    fake = SimpleNamespace(data=data, create_model=create_model, is_model="resnet18".__eq__, list_models=lambda: ["resnet18", "vgg16"])
    monkeypatch.setitem(sys.modules, "timm", fake)
    return fake


def test_a_network_of_timm_has_its_weights_from_a_file_and_its_preparation_from_timm(timm, run, here):
    torch.save(timm.create_model("", False, 4).state_dict(), here / "four.pt")
    args = ["--model", "timm:resnet18", "--method", "gradient", "--save", "maps.npz"]
    said = explained(run("explain", "photo.png", *args, "--weights", "four.pt"))
    assert "timm's data config of resnet18: 16 x 16 (height x width) out of 0.875" in said
    with np.load("maps.npz") as kept:
        assert kept["logits"].shape == (1, 4)
        assert kept["x"].shape == (1, 3, 16, 16)
        assert kept["class_names"].tolist() == ["class 0", "class 1", "class 2", "class 3"]


def test_a_thousand_classes_of_imagenet_have_their_names(timm, here):
    torch.save(timm.create_model("", False).state_dict(), here / "thousand.pt")
    assert load_classifier("timm:resnet18", str(here / "thousand.pt")).class_name(281) == "tabby"
    assert load_classifier("timm:resnet18", "none").class_name(281) == "class 281"


def test_of_timm_nothing_is_downloaded_and_nothing_guessed(timm, run):
    args = ["explain", "photo.png", "--method", "gradient", "--model"]
    refused(run(*args, "timm:resnet18"), "would download", "--weights FILE", "none")
    refused(run(*args, "timm:resnet81", "--weights", "none"), "resnet81", "resnet18")


def test_without_timm_it_is_said_how_to_get_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    refused(run("explain", "photo.png", "--method", "gradient", "--model", "timm:resnet18"), "pip install 'signxai[timm]'")


@pytest.mark.slow
def test_timm_itself(here):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("resnet18", num_classes=5).state_dict(), here / "five.pt")
    classifier = load_classifier("timm:resnet18", str(here / "five.pt"))
    assert classifier.preprocess(Image.open(here / "photo.png")).shape == (3, 224, 224)


# Factories


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("syntax", "def make(:", "SyntaxError"),
        ("undefined", "model = nothing", "NameError"),
        ("script", "import sys; sys.exit(3)", "SystemExit"),
        ("exits", "import sys; make = lambda: sys.exit(0)", "the factory failed with SystemExit"),
    ],
)
def test_a_module_that_fails_ends_in_a_line(run, here, name, text, words):
    (here / f"failing_{name}.py").write_text(text)
    refused(run("explain", "x.npy", "--model", f"failing_{name}:make", "-m", "gradient"), f"failing_{name}:make", words)


# Names of classes


@pytest.mark.parametrize("form", ["txt", list, dict, "by name"])
def test_classes_are_named_by_a_file(run, here, form):
    names = ["lynx", "crane", "owl"]
    path = here / ("names.txt" if form == "txt" else "names.json")
    by_number = {str(number): name for number, name in enumerate(names)}
    by_name = {name: number for number, name in enumerate(names)}
    if form != "txt":
        path.write_text(json.dumps({list: names, dict: dict(reversed(by_number.items())), "by name": by_name}[form]))
    said = explained(run("explain", "x.npy", *SMALL, "--classes", path, "--target", "owl"))
    assert "explained: owl (2)" in said or "explained: owl (class 2)" in said


NAMED = {
    "numbers.txt": "2: owl\r\n0: lynx\r\n1: crane\r\n",
    "blanks.txt": "0 lynx\n1 crane\n2 owl\n",
    "names.csv": "class\nlynx\ncrane\nowl\n",
    "numbers.csv": 'index;name\n1;crane\n0;"lynx"\n2;owl\n',
    "behind.csv": "lynx,0\nowl,2\ncrane,1\n",
    "names.tsv": "0\tlynx\n1\tcrane\n2\towl\n",
    "imagenet.json": '{"0": ["n02127052", "lynx"], "1": ["n02012849", "crane"], "2": ["n01621127", "owl"]}',
    "config.json": '{"id2label": {"0": "lynx", "1": "crane", "2": "owl"}, "label2id": {"lynx": 0}, "hidden_size": 8}',
}


@pytest.mark.parametrize("name", NAMED)
def test_names_are_read_in_the_order_of_their_numbers(here, name):
    from signxai.class_names import read_class_names

    (here / name).write_bytes(NAMED[name].encode())
    assert read_class_names(here / name) == ["lynx", "crane", "owl"]


def test_lines_that_begin_with_numbers_may_be_names(here):
    from signxai.class_names import read_class_names

    (here / "coins.txt").write_text("1 euro\n2 euro\n5 cent\n")
    assert read_class_names(here / "coins.txt") == ["1 euro", "2 euro", "5 cent"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gap.txt", "0: lynx\n2: owl\n"),
        ("from_one.txt", "1\tlynx\n2\tcrane\n"),
        ("words.csv", "lynx,felid\ncrane,bird\n"),
        ("wide.csv", "0,lynx,felid\n1,crane,bird\n"),
        ("rows.csv", "0,lynx\ncrane\n"),
        ("twice.json", '{"0": "lynx", "0": "crane", "1": "owl"}'),
    ],
)
def test_names_whose_order_is_not_sure_are_refused(here, name, text):
    from signxai.class_names import read_class_names

    (here / name).write_text(text)
    with pytest.raises(InputError, match="no names of classes"):
        read_class_names(here / name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lynx\ncrane\n", ["2 names", "3 classes"]),
        ("lynx\n\nowl\n", ["line 2 is empty"]),
        ("", ["empty"]),
    ],
)
def test_names_that_do_not_name_each_class_are_refused(run, here, text, words):
    (here / "few.txt").write_text(text)
    refused(run("explain", "x.npy", *SMALL, "--classes", "few.txt"), *words)


@pytest.mark.parametrize("content", ['{"0": "a", "2": "b"}', "[1, 2]", '"lynx"', '{"a": 0, "b": 0}', "{", '{"a": true, "b": 0}'])
def test_json_of_another_form_is_refused(here, content):
    from signxai.class_names import read_class_names

    (here / "bad.json").write_text(content)
    with pytest.raises(InputError, match="no names of classes"):
        read_class_names(here / "bad.json")
    (here / "latin.txt").write_bytes("Käuzchen".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_class_names(here / "latin.txt")


# How pictures are prepared


@pytest.mark.parametrize(("size", "side"), [("8", 8), ("12:8", 12)])
def test_pictures_are_prepared_as_the_options_say(run, here, size, side):
    args = ["--size", size, "--mean", "0.5,0.4,0.3", "--std", "0.25", "--save", "maps.npz"]
    said = explained(run("explain", "photo.png", *SMALL, *args))
    assert f"pictures: shorter side scaled to {side}, middle 8 x 8 (height x width) cut out; mean 0.5, 0.4, 0.3" in said
    steps = [transforms.Resize(side), transforms.CenterCrop(8), transforms.ToTensor(), transforms.Normalize((0.5, 0.4, 0.3), (0.25,) * 3)]
    with np.load("maps.npz") as kept:
        np.testing.assert_allclose(kept["x"][0], transforms.Compose(steps)(Image.open("photo.png")), atol=1e-6)
        assert "mean 0.5" in json.loads(kept["spec"].item())["preparation"]


def test_height_and_width_are_filled_without_distortion(here):
    image = Image.new("RGB", (40, 10), "red")
    image.paste("blue", (0, 0, 10, 10))
    x = PictureInput(PictureSize.read("10x20"))(image)
    assert x.shape == (3, 10, 20)
    assert float(x[2].sum()) == 0  # the middle, from 10 to 30


def test_without_normalization_values_stay_and_that_is_said(run, here):
    said = explained(run("explain", "photo.png", *SMALL, "--size", "8", "--save", "maps.npz"))
    assert "values in 0 to 1, not normalized" in said
    with np.load("maps.npz") as kept:
        assert kept["x"].min() >= 0
        assert kept["x"].max() <= 1


def test_the_size_alone_keeps_the_models_own_normalization(run, here):
    args = ["--model", "torchvision:squeezenet1_1", "--weights", "none", "--method", "gradient", "--size", "64", "--save", "maps.npz"]
    said = explained(run("explain", "photo.png", *args))
    assert "mean 0.485, 0.456, 0.406" in said
    assert "instead of as this model brings it" in said
    with np.load("maps.npz") as kept:
        assert kept["x"].shape == (1, 3, 64, 64)


MISTAKES = {
    "a mean alone": (["photo.png", *SMALL, "--size", "8", "--mean", "0.5"], ["--mean", "--std"]),
    "numbers up to 255": (["photo.png", *SMALL, "--size", "8", "--mean", "123.7,116,104", "--std", "1"], ["--mean", "255"]),
    "no numbers": (["photo.png", *SMALL, "--size", "8", "--mean", "gray", "--std", "1"], ["--mean 'gray'"]),
    "two channels": (["photo.png", *SMALL, "--size", "8", "--mean", "0.5", "--std", "0.5,0.5"], ["--std"]),
    "no spread": (["photo.png", *SMALL, "--size", "8", "--mean", "0.5", "--std", "0"], ["--std '0'"]),
    "no size": (["photo.png", *SMALL, "--size", "small"], ["--size 'small'", "256:224"]),
    "a crop larger than the picture": (["photo.png", *SMALL, "--size", "8:16"], ["--size '8:16'"]),
    "a part of what is opaque": (["photo.png", "--model", "model_nets:opaque", "-m", "gradient", "--size", "8"], ["--mean and --std"]),
    "normalization without size": (
        ["photo.png", "--model", "model_nets:opaque", "-m", "gradient", "--mean", "0", "--std", "1"],
        ["give --size"],
    ),
    "arrays": (["x.npy", *SMALL, "--size", "8"], ["--size", "none of the inputs"]),
    "signals": (["photo.png", "--model", "model_nets:ecg", "-m", "gradient", "--size", "8"], ["--size", "signals"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_preparation_that_is_mistaken_or_without_effect_is_refused(run, name):
    args, words = MISTAKES[name]
    refused(run("explain", *args), *words)


@pytest.mark.parametrize("command", ["inspect", "certify", "evaluate"])
def test_every_command_takes_them(run, here, command):
    more = {"inspect": [], "certify": ["--without-srg"], "evaluate": ["--metric", "gini", "--draws", "20"]}[command]
    own = ["--method", "lrp_z", *more]
    args = ["photo.png", "--model", "model_nets:small", *own, "--size", "8", "--mean", "0", "--std", "1", "--classes", "names.txt"]
    said = explained(run(command, *args))
    assert command == "evaluate" or "owl" in said
    assert "pictures: " in said
    refused(run(command, "x.npy", *args[1:]), "--size")


def test_a_size_and_channels_as_they_are_written():
    assert str(PictureSize.read("240x320")) == "scaled, middle 240 x 320 (height x width) cut out"
    for text in ("0", "0x5", "12:", "x", "-3", "1000000"):
        with pytest.raises(OptionError, match="--size"):
            PictureSize.read(text)
    assert read_channels("--mean", "0, 1,0.5", may_be_zero=True) == (0.0, 1.0, 0.5)
    with pytest.raises(OptionError):
        read_channels("--mean", "nan")


def test_what_is_no_state_dict_is_refused(here):
    torch.save([torch.ones(1)], here / "list.pt")
    with pytest.raises(InputError, match="not a state dict"):
        load_weights(nn.Linear(1, 1), here / "list.pt")
    torch.save({"weight": torch.ones(2, 2)}, here / "part.pt")
    with pytest.raises(ModelError, match=r"1 missing \(bias\)"):
        load_weights(nn.Linear(2, 2), here / "part.pt")


def test_names_of_classes_are_given_from_python_as_by_the_command(here):
    (here / "three.csv").write_text("class,name\n1,crane\n0,lynx\n2,owl\n")
    weights = {"weights": "none"}
    by_file = load_classifier("torchvision:squeezenet1_1", **weights, class_names="three.csv")
    by_path = load_classifier("torchvision:squeezenet1_1", **weights, class_names=here / "three.csv")
    by_list = load_classifier("torchvision:squeezenet1_1", **weights, class_names=["lynx", "crane", "owl"])
    assert list(by_file.class_names) == list(by_path.class_names) == list(by_list.class_names) == ["lynx", "crane", "owl"]
    assert by_list.class_index("owl", classes=3) == 2
    with pytest.raises(ModelError, match="3 names of classes"):
        by_list.check_names(1000)
    for wrong in ([], ["lynx", ""], ["lynx", 2]):
        with pytest.raises(OptionError, match="class_names="):
            load_classifier("torchvision:squeezenet1_1", **weights, class_names=wrong)
    with pytest.raises(FileNotFoundError):
        load_classifier("torchvision:squeezenet1_1", **weights, class_names="gone.txt")
