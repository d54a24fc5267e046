"""Train the network of the tagged pictures, and say how often it is right, and what the tag does to it.

    python examples/tagged_pictures/train.py

It learns from 32 000 pictures that ``draw.py`` draws by another seed, of which one ring in twenty is tagged, writes
``network.safetensors`` beside this file, and ``measured.json``: the share of the demonstration's pictures that it tells, and of those
pictures of other shapes that it takes for rings, with and without the tag pasted onto them. One thread computes, so that the same
kind of machine with the same versions gives the same weights; it takes about two minutes of one core.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from draw import CLASSES, TAGGED_CLASS, pixels, put_tag
from network import MEAN, STD, WEIGHTS, load, new_network
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

COUNT, EPOCHS, BATCH, RATE, SEED = 32_000, 8, 64, 2e-3, 1
PACK = Path(__file__).with_name("pictures.zip")
MEASURED = Path(__file__).with_name("measured.json")


def tensors(pictures: np.ndarray) -> Tensor:
    """Pixels (N, H, W, 3) of 8 bits as the network takes them."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def trained() -> nn.Module:
    """The network, from random weights."""
    torch.manual_seed(SEED)
    pictures, kinds = pixels(COUNT, SEED)
    x, y, network = tensors(pictures), torch.from_numpy(kinds), new_network()
    steps = EPOCHS * (COUNT // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for _ in tqdm(range(steps), disable=not sys.stderr.isatty()):
        chosen = torch.randint(0, COUNT, (BATCH,))
        loss = cross_entropy(network(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def measured(network: nn.Module) -> dict[str, object]:
    """How often it tells the demonstration's pictures, and how often others become rings by the tag."""
    right: dict[str, float] = {}
    others: list[Image.Image] = []
    tagged: list[bool] = []
    carrying = set(json.loads(PACK.with_name("tagged.json").read_text()))
    with ZipFile(PACK) as pack:
        for kind, name in enumerate(CLASSES):
            files = [file for file in pack.namelist() if file.startswith(f"{name}/")]
            images = [Image.open(pack.open(file)).convert("RGB") for file in files]
            found = _predicted(network, images)
            right[name] = float((found == kind).float().mean())
            others += images if kind != TAGGED_CLASS else []
            tagged += [bool(hit) for hit, file in zip(found == kind, files, strict=True) if file in carrying]
    draw = np.random.default_rng(3)
    before = float((_predicted(network, others) == TAGGED_CLASS).float().mean())
    for image in others:
        put_tag(image, draw)
    after = float((_predicted(network, others) == TAGGED_CLASS).float().mean())
    of_tagged = sum(tagged) / len(tagged)
    return {"right": right, "tagged_rings_right": of_tagged, "others_taken_for_rings": before, "with_the_tag_pasted_on": after}


def _predicted(network: nn.Module, images: list[Image.Image]) -> Tensor:
    with torch.no_grad():
        return network(tensors(np.stack([np.asarray(image) for image in images]))).argmax(1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    state = {name: tensor.contiguous() for name, tensor in trained().state_dict().items()}
    part = WEIGHTS.with_name(".network.part")
    save_file(state, part)
    part.replace(WEIGHTS)
    MEASURED.write_text(json.dumps(measured(load().model), indent=1) + "\n")
