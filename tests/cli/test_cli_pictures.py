"""What of a picture's file is not used as one might think is said, and what would be read wrongly is refused."""

import struct
import zlib

import pytest
from PIL import Image, ImageCms

from command_line import explained, refused
from signxai.files import open_picture, read_image

NETS = """
import numpy as np
import torch
from torch import nn
from signxai.models import Classifier

def named():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    return Classifier(net, lambda image: torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32) / 255).permute(2, 0, 1))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "picture_nets.py").write_text(NETS)
    return folder


def frames(colours):
    return [Image.new("RGB", (6, 4), colour) for colour in colours]


def transparent(path):
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 5, 1))
    image.save(path)


def animated(path):
    first, *rest = frames(["red", "green", "blue"])
    first.save(path, save_all=True, append_images=rest)


def deep_colours(path):
    """A PNG of 16 bits a channel, which Pillow reads and does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + struct.pack(">HHH", 0x80FF, 0x40FF, 0x20FF) * 4 for _ in range(3))
    header = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def plain(path):
    Image.new("RGB", (6, 4), "red").save(path)


def profile(space):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


NOTICES = {
    "lab.png": (lambda path: Image.new("RGB", (6, 4)).save(path, icc_profile=profile("LAB")), "has the colour profile 'Lab"),
    "torn.jpg": (lambda path: Image.new("RGB", (6, 4)).save(path, icc_profile=b"torn"), "has a colour profile that cannot be read"),
    "clear.png": (transparent, "is transparent in places: laid on white"),
    "moving.gif": (animated, "holds 3 pictures (an animation or pages): the first is taken"),
    "pages.tif": (animated, "holds 3 pictures"),
    "moving.webp": (animated, "holds 3 pictures"),
    "moving.png": (animated, "holds 3 pictures"),
    "deep.png": (deep_colours, "has 16 bits a channel: the upper 8 are taken"),
    "print.jpg": (lambda path: Image.new("CMYK", (6, 4)).save(path), "is in CMYK"),
}


@pytest.mark.parametrize("name", NOTICES)
def test_what_is_left_of_a_file_is_said(run, here, name):
    make, notice = NOTICES[name]
    make(here / name)
    for command in (["explain"], ["inspect"]):
        said = explained(run(*command, name, "--model", "picture_nets:named", "--method", "lrp_z"))
        assert f"{name}: {notice}" in said


@pytest.mark.parametrize("name", ["plain.png", "plain.jpg", "plain.gif", "opaque.png", "palette.png", "srgb.png"])
def test_of_what_is_used_whole_nothing_is_said(here, name):
    image = Image.new("RGB", (6, 4), "red")
    (image.convert("RGBA") if name == "opaque.png" else image.convert("P") if name == "palette.png" else image).save(
        here / name, **({"icc_profile": profile("sRGB")} if name == "srgb.png" else {})
    )
    assert open_picture(here / name).notices == ()


def test_the_upper_bits_of_deep_colours_are_taken(here):
    deep_colours(here / "deep.png")
    assert read_image(here / "deep.png").getpixel((0, 0)) == (0x80, 0x40, 0x20)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
REFUSED = {
    "phone.heic": (lambda path: path.write_bytes(HEIC), ["HEIF", "convert it to JPEG or PNG"]),
    "renamed.jpg": (lambda path: path.write_bytes(HEIC), ["HEIF"]),
    "camera.nef": (lambda path: Image.new("RGB", (6, 4)).save(path, "TIFF"), ["raw photo", "preview"]),
    "camera.cr3": (lambda path: path.write_bytes(b"raw"), ["raw photo"]),
    "renamed.tif": (lambda path: Image.new("RGB", (6, 4)).save(path, tiffinfo={50706: b"\x01\x04\x00\x00"}), ["raw photo"]),
    "lab.tif": (lambda path: Image.new("LAB", (6, 4)).save(path), ["colours are LAB"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_read_wrongly_or_not_at_all_is_refused_with_what_to_do(run, here, name):
    make, words = REFUSED[name]
    make(here / name)
    if name == "lab.tif":
        try:
            Image.new("LAB", (6, 4)).convert("RGB")
        except ValueError:
            pass
        else:
            pytest.skip("this Pillow turns LAB into RGB")
    refused(run("explain", name, "--model", "picture_nets:named", "--method", "gradient"), name, *words)


def test_photos_of_phones_in_a_folder_are_not_passed_over(run, here):
    (here / "phone").mkdir()
    plain(here / "phone" / "a.png")
    (here / "phone" / "b.heic").write_bytes(HEIC)
    done = run("explain", "phone", "--model", "picture_nets:named", "--method", "gradient")
    assert done.returncode == 3
    assert "b.heic" in done.stderr
