"""A store is gone on with by the network that began it, and by no other that has the same weights and names."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import to_tensor

from signxai.common import StoreError
from signxai.datasets import ArraySource, Store, explain_dataset, image_folder
from signxai.models import Classifier

pytest.importorskip("zarr")

X = np.random.default_rng(0).normal(size=(20, 6)).astype("f4")


class Factor(nn.Module):
    """A network of which the weights do not say all."""

    def __init__(self, factor, act=nn.ReLU):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), act(), nn.Linear(8, 3))
        self.factor = factor

    def forward(self, x):
        return self.net(x) * self.factor


class Ending(ArraySource):
    def read(self, index):
        if index == 17:
            raise KeyboardInterrupt
        return super().read(index)


@pytest.fixture(params=["begun", "complete"])
def begun(request, tmp_path):
    """A run that is to be gone on with, or has nothing left to do."""

    def begin(net, **options):
        path = tmp_path / "maps.zarr"
        source = ArraySource(X) if request.param == "complete" else Ending(X)
        with suppress(KeyboardInterrupt):
            explain_dataset(net, source, ["gradient"], path, batch_size=8, **options)
        return path

    return begin


def go_on(path, net, **options):
    return explain_dataset(net, ArraySource(X), ["gradient"], path, batch_size=8, **options)


def test_the_same_network_goes_on(begun):
    assert go_on(begun(Factor(1.0)), Factor(1.0 + 1e-5)).is_complete


@pytest.mark.parametrize("factor", [1.005, -1.0, 0.0])
def test_a_network_that_says_something_else_is_refused(factor, begun):
    path = begun(Factor(1.0))
    with pytest.raises(
        StoreError, match=r"the network .or its preprocessing. gives other logits for '0': they were .*, and are .*; name another"
    ):
        go_on(path, Factor(factor))
    Store(path)


def test_another_choice_of_the_outputs_is_refused(begun):
    path = begun(Factor(1.0), output=lambda outputs: outputs)
    with pytest.raises(StoreError, match="gives other logits"):
        go_on(path, Factor(1.0), output=lambda outputs: outputs.flip(1))
    with pytest.raises(StoreError, match="gives other logits"):
        go_on(path, Factor(1.0), output=lambda outputs: outputs[:, :2])


@pytest.mark.parametrize(
    ("one", "other"),
    [(nn.ReLU, nn.Tanh), (lambda: nn.Dropout(0.1), lambda: nn.Dropout(0.2)), (lambda: nn.LeakyReLU(0.1), lambda: nn.LeakyReLU(0.2))],
    ids=["class", "setting", "slope"],
)
def test_other_modules_are_refused(one, other, begun):
    path = begun(Factor(1.0, one))
    with pytest.raises(StoreError, match=r"of another run: model\.structure"):
        go_on(path, Factor(1.0, other))
    assert go_on(path, Factor(1.0, one)).is_complete


class Addressed(nn.Identity):
    def extra_repr(self):
        return f"{object()}"


class Silent(nn.Identity):
    def extra_repr(self):
        raise KeyError("settings")


@pytest.mark.parametrize("kind", [Addressed, Silent])
def test_what_modules_say_of_addresses_is_no_setting(kind, begun):
    assert go_on(begun(Factor(1.0, kind)), Factor(1.0, kind)).is_complete


def test_classes_of_other_names_are_refused(begun):
    path = begun(Factor(1.0), class_names=["a", "b", "c"])
    with pytest.raises(StoreError, match=r"class_names\.0 was 'a' and is 'b'; class_names\.1 was 'b' and is 'a'; name another store"):
        go_on(path, Factor(1.0), class_names=["b", "a", "c"])
    with pytest.raises(StoreError, match=r"class_names\.0 was 'a' and is None"):
        go_on(path, Factor(1.0))
    assert go_on(path, Factor(1.0), class_names=["a", "b", "c"]).is_complete


def test_another_preprocessing_is_refused(tmp_path):
    for name in "abc":
        Image.fromarray(np.full((2, 1, 3), ord(name), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    net = nn.Sequential(nn.Flatten(), Factor(1.0))
    names = (tmp_path / "maps.zarr", ["gradient"])
    explain_dataset(Classifier(net, to_tensor), image_folder(tmp_path), names[1], names[0])
    assert explain_dataset(Classifier(net, to_tensor), image_folder(tmp_path), names[1], names[0]).is_complete
    with pytest.raises(StoreError, match=r"or its preprocessing. gives other logits for 'a\.png'"):
        explain_dataset(Classifier(net, lambda picture: to_tensor(picture) - 0.5), image_folder(tmp_path), names[1], names[0])


class Drawing(Factor):
    def forward(self, x):
        return super().forward(x) + torch.rand(len(x), 1)


def test_a_network_that_draws_by_the_seed_goes_on(begun):
    path = begun(Drawing(1.0), stochastic=True)
    with pytest.raises(StoreError, match="gives other logits"):
        go_on(path, Drawing(1.1), stochastic=True)
    assert go_on(path, Drawing(1.0), stochastic=True).is_complete


def test_what_is_read_otherwise_each_time_is_not_compared(tmp_path):
    class Noisy(ArraySource):
        def read(self, index):
            return super().read(index) + np.random.default_rng().normal(size=6).astype("f4")

    for _ in range(2):
        explain_dataset(Factor(1.0), Noisy(X), ["gradient"], tmp_path / "maps.zarr")


def test_a_store_that_knows_no_logits_is_gone_on_with(begun):
    zarr = pytest.importorskip("zarr")
    path = begun(Factor(1.0))
    group = zarr.open_group(path, mode="r+")
    probe = dict(group.attrs)["probe"]
    for broken in ({}, 3, probe | {"entry": 20}, probe | {"logits": "many"}):
        group.attrs["probe"] = broken
        with pytest.raises(StoreError, match=r"says of its probe .*; it is broken"):
            go_on(path, Factor(1.0))
    del group.attrs["probe"]
    assert go_on(path, Factor(2.0)).is_complete
