"""Files in, files out: pictures and arrays to explain, figures and relevance maps to keep."""

import os
import pickle
import re
import signal
import struct
import tokenize
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from threading import current_thread, main_thread
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from signxai.common.errors import InputError, OptionError

__all__ = [
    "ARRAY_SUFFIXES",
    "FIGURE_SUFFIXES",
    "PICTURE_SUFFIXES",
    "Picture",
    "array_names",
    "check_destination",
    "check_different",
    "check_folder",
    "check_source",
    "open_picture",
    "read_array",
    "read_arrays",
    "read_image",
    "read_tensors",
    "refuse_complex",
    "why_unreadable",
    "write_atomically",
]

Array = npt.NDArray[Any]

ARRAY_SUFFIXES = (".npy", ".npz", ".pt", ".pth")
FIGURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg", ".tif", ".tiff", ".webp")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

_INPUT_KEY = "x"
_NUMBERS = "biufc"  # NumPy's kinds of numbers, and of booleans
# What Pillow's and NumPy's readers raise on broken files, beside OSError.
_BROKEN = (ValueError, SyntaxError, EOFError, KeyError, IndexError, struct.error, BadZipFile, MemoryError, tokenize.TokenError)


@dataclass(frozen=True)
class Picture:
    """A picture as it was read.

    Attributes:
        image: 8-bit RGB, upright as its EXIF data says, transparency laid on white.
        notices: what of the file is not in it, or was turned into something else; none: it is all there.
    """

    image: Image.Image
    notices: tuple[str, ...] = ()


def read_image(path: Path) -> Image.Image:
    """The image of ``open_picture``, which says what is refused."""
    return open_picture(path).image


def open_picture(path: Path) -> Picture:
    """Read a picture as 8-bit RGB, upright as its EXIF data says, transparency laid on white; of several frames the first.

    Raises:
        InputError: no picture that Pillow can read, one of gray values deeper than 8 bits, a raw photo, of which Pillow would read the
            preview, or one so large that it may be a decompression bomb (Pillow's `Image.MAX_IMAGE_PIXELS`).
        OSError: the file cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a picture up to twice as large as it finds safe.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with path.open("rb") as file, Image.open(file) as image:
                _refuse_raw(path, image)
                notices = list(_unread(image))
                image.load()
                upright = ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path}: the picture is too large to be safe to open ({error}); scale it down first") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: {_unknown(path)}") from error
    except OSError as error:
        if error.errno is not None:  # the system's own errors name the file already
            raise
        raise InputError(f"{path}: the picture is broken: {error}") from error
    except _BROKEN as error:
        raise InputError(f"{path}: the picture is broken: {error}") from error
    rgb, more = _rgb(upright, path)
    return Picture(rgb, (*notices, *more))


_RAW_SUFFIXES = (".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".orf", ".rw2", ".pef", ".raf", ".srw")
_DNG_VERSION = 50706  # the tag of TIFF by which a raw photo says that it is one
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")


def _refuse_raw(path: Path, image: Image.Image) -> None:
    """Raise for a raw photo: it is a TIFF file, whose first picture is a small preview."""
    if path.suffix.lower() in _RAW_SUFFIXES or _DNG_VERSION in getattr(image, "tag_v2", ()):
        raise InputError(f"{path}: a raw photo, of which only the preview could be read here; develop it to JPEG, PNG or TIFF first")


def _unread(image: Image.Image) -> Iterator[str]:
    """What of a file that was opened is not read."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # the further pictures of a phone's photo are previews and maps of depth
        yield f"holds {frames} pictures (an animation or pages): the first is taken"
    yield from _foreign_profile(image)
    if any(";16" in str(part) for tile in getattr(image, "tile", ()) for part in tile) and not image.mode.startswith("I"):
        yield "has 16 bits a channel: the upper 8 are taken"


def _foreign_profile(image: Image.Image) -> Iterator[str]:
    """That colours are taken as sRGB where a picture says that they are others, as photos of phones do (Display P3)."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "P"):
        return
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError):
        yield "has a colour profile that cannot be read: its colours are taken as sRGB"
        return
    if "srgb" not in name.lower() and name not in _SHORT_NAMES_OF_SRGB:
        yield f"has the colour profile {name!r}: its colours are taken as sRGB"


_SHORT_NAMES_OF_SRGB = ("c2", "c2ci")


def _unknown(path: Path) -> str:
    """What is wrong with a file in which Pillow finds no picture."""
    with path.open("rb") as file:
        start = file.read(12)
    if not start:
        return "an empty file, of 0 bytes"
    if path.suffix.lower() in _RAW_SUFFIXES:
        return "a raw photo, which Pillow cannot read; develop it to JPEG, PNG or TIFF first"
    if path.suffix.lower() in (".heic", ".heif") or (start[4:8] == b"ftyp" and start[8:] in _HEIF_BRANDS):
        return "a picture in HEIF (.heic, .avif), which Pillow cannot read here; convert it to JPEG or PNG first"
    return f"neither a picture that Pillow can read nor an array ({', '.join(ARRAY_SUFFIXES)})"


def _rgb(image: Image.Image, path: Path) -> tuple[Image.Image, list[str]]:
    """A picture as RGB, and what was turned into something else."""
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: its pixels are deeper than 8 bits (Pillow's mode {image.mode}); convert it to 8 bits, or give an array")
    if not image.has_transparency_data:
        said = ["is in CMYK: turned into RGB without a colour profile"] if image.mode == "CMYK" else []
        return _converted(image, path), said
    layer = image.convert("RGBA")
    said = ["is transparent in places: laid on white"] if any(layer.getchannel("A").histogram()[:255]) else []
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"), said


def _converted(image: Image.Image, path: Path) -> Image.Image:
    try:
        return image.convert("RGB")
    except ValueError as error:  # of LAB and HSV not every Pillow knows the way
        raise InputError(f"{path}: its colours are {image.mode}, which Pillow does not turn into RGB; convert it to RGB first") from error


def read_array(path: Path, *, booleans: bool = False) -> Array:
    """Read an array: .npy, .npz or .pt (a tensor); of several arrays in one file the one named ``x``.

    Nothing in the file is executed: neither NumPy nor torch may unpickle objects from it.

    Args:
        path: the file.
        booleans: whether it may hold booleans, as a mask does.

    Raises:
        InputError: no such array in the file, or an object that only unpickling could restore.
        OSError: the file cannot be opened.
    """
    content = _read_torch(path) if path.suffix.lower() in (".pt", ".pth") else _read_numpy(path)
    array = _only_array(content, path) if isinstance(content, Mapping) else content
    if not np.issubdtype(array.dtype, np.number) and not (booleans and array.dtype == np.bool_):
        raise InputError(f"{path}: the array holds {array.dtype}, not numbers")
    refuse_complex(array.dtype, str(path))
    return array


def refuse_complex(dtype: np.dtype[Any], named: str) -> None:
    """Refuse an array of complex numbers, as no network's input is one.

    Raises:
        InputError: it is of this type; the error begins with what it is called.
    """
    if dtype.kind == "c":
        raise InputError(f"{named}: complex numbers ({dtype}); a network's input is real: save real and imaginary parts")


def array_names(path: Path) -> tuple[str, ...]:
    """The names of the arrays in a file that holds several by name, an .npz or a dict in a .pt; none of any other.

    Raises:
        InputError: the file is broken, or holds an object that only unpickling could restore.
        OSError: the file cannot be opened.
    """
    if path.suffix.lower() == ".npz":
        arrays = _npz(path)
        if isinstance(arrays, np.ndarray):
            return ()
        with arrays:
            return tuple(arrays.files)
    content = _read_torch(path) if path.suffix.lower() in (".pt", ".pth") else None
    return tuple(content) if isinstance(content, Mapping) else ()


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """Arrays of such a file by name, in their types.

    Raises:
        InputError: one of them holds neither numbers nor booleans, or the file is broken.
        OSError: the file cannot be opened.
    """
    content: Mapping[str, Any]
    if path.suffix.lower() == ".npz":
        try:
            with _npz(path) as arrays:
                content = {key: arrays[key] for key in names}
        except (*_BROKEN, OSError) as error:
            raise InputError(f"{path}: no arrays that NumPy reads without unpickling{why_unreadable(error)}") from error
    else:
        tensors = dict(_read_torch(path))
        content = {key: tensors[key] for key in names}
    for key, array in content.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in _NUMBERS:
            held = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(f"{path}: {key!r} holds {held}, neither numbers nor booleans")
        refuse_complex(array.dtype, f"{path}: {key!r}")
    return dict(content)


def _npz(path: Path) -> Any:
    check_source(path)
    try:
        return np.load(path, allow_pickle=False)
    except (*_BROKEN, OSError) as error:
        raise InputError(f"{path}: no array that NumPy reads without unpickling{why_unreadable(error)}") from error


def why_unreadable(error: Exception) -> str:
    """What NumPy says, but for its advice to unpickle what it takes for a pickle, as any file that is no array."""
    return "; it is broken, or holds objects" if "pickle" in str(error) else f": {error}"


def _only_array(arrays: Mapping[str, Any], path: Path) -> Array:
    key = next(iter(arrays)) if len(arrays) == 1 else _INPUT_KEY
    if not isinstance(arrays.get(key), np.ndarray):
        raise InputError(f"{path}: holds {', '.join(arrays) or 'nothing'}; the array to explain must be the only one, or named 'x'")
    return np.asarray(arrays[key])


def _read_numpy(path: Path) -> Array | dict[str, Array]:
    check_source(path)
    try:
        # Mapped, a file that declares more values than it has is an error before memory is taken for them.
        content = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix.lower() == ".npy" else None)
        if isinstance(content, np.ndarray):
            return np.array(content)
        with content:
            return {key: content[key] for key in ([_INPUT_KEY] if _INPUT_KEY in content.files else content.files)}
    except (*_BROKEN, OSError) as error:
        raise InputError(f"{path}: no array that NumPy reads without unpickling{why_unreadable(error)}") from error


def _read_torch(path: Path) -> Array | dict[str, Any]:
    content = read_tensors(path)
    if isinstance(content, Mapping):
        return {str(key): _to_numpy(value) if hasattr(value, "detach") else value for key, value in content.items()}
    if hasattr(content, "detach"):
        return _to_numpy(content)
    raise InputError(f"{path}: holds a {type(content).__name__}, not a tensor")


def read_tensors(path: Path) -> Any:
    """Read what a .safetensors, .pt or .pth file holds, on the CPU, with ``weights_only=True``: no code in it is run.

    Raises:
        InputError: the file is broken, or holds objects that only unpickling could restore.
        OSError: the file cannot be opened.
    """
    import torch  # torch takes seconds to load: only these files need it
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_source(path)
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # what torch warns of is refused: programs of TorchScript, and tensors that are not dense
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except (*_BROKEN, OSError, RuntimeError, AttributeError, TypeError, pickle.UnpicklingError, SafetensorError) as error:
        raise InputError(f"{path}: {_unreadable(error)}") from error


_NOT_ALLOWED = re.compile(r"GLOBAL ([\w.]+)")  # as torch names what it would have to import


def _unreadable(error: Exception) -> str:
    """Why a file of tensors cannot be read."""
    if "TorchScript" in str(error):
        return "a program of TorchScript, whose modules cannot be seen; save the state_dict() of the module that it was made of"
    if found := _NOT_ALLOWED.search(str(error)):
        return (
            f"holds more than tensors ({found[1]}), which only unpickling could restore, and that may run any code; where you trust the "
            "file, load it by torch.load(..., weights_only=False) and save tensors alone, as model.state_dict()"
        )
    if isinstance(error, pickle.UnpicklingError):
        return "broken, or holds more than tensors, which is never unpickled; save tensors alone"
    return "broken, or no file of tensors; write it again"


def check_source(path: Path) -> None:
    """Raise the system's error, which names the file, before a reader finds words of its own for it."""
    with path.open("rb"):
        pass


def _to_numpy(tensor: Any) -> Array:
    # NumPy has no bfloat16; float32 holds every value of it.
    return np.asarray((tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).detach().cpu())


def check_destination(path: Path, suffixes: tuple[str, ...], inputs: tuple[Path, ...] = ()) -> None:
    """Refuse a place that cannot be written to, before anything is computed for it.

    Raises:
        OptionError: another suffix than allowed, no such folder, or one that nothing can be written into, all of it also of what a link
            leads to; a folder itself, or one of the files that are read.
    """
    for place in (path, _led_to(path)):  # a link is followed
        if place.suffix.lower() not in suffixes:
            led = "" if place is path else f"leads to {place}; "
            raise OptionError(f"{path}: {led}its name must end in {'one of ' if len(suffixes) > 1 else ''}{', '.join(suffixes)}")
        if place.is_dir():
            raise OptionError(f"{path}: is a folder")
        check_folder(place.parent, path)
    if any(path.resolve() == given.resolve() for given in inputs):
        raise OptionError(f"{path}: is read too and would be lost; choose another name")


def check_folder(folder: Path, path: Path) -> None:
    """Refuse a folder in which no file can be made, before anything is computed for it.

    Args:
        folder: the folder.
        path: what is to be written, which the error names.

    Raises:
        OptionError: there is no such folder, or the system lets nobody, or not this user, make a file in it.
    """
    if not folder.is_dir():
        raise OptionError(f"{path}: there is no folder {folder}; create it first")
    try:
        with TemporaryFile(dir=folder):  # permissions do not tell it: some folders, as those in /proc, take no file from anybody
            pass
    except OSError as error:
        raise OptionError(f"{path}: nothing can be written into the folder {folder} ({error.strerror}); choose another one") from error


def _led_to(path: Path) -> Path:
    """What a path leads to.

    Raises:
        OptionError: it is a link that leads to itself.
    """
    refusal = f"{path}: is a link that leads nowhere; remove it, or choose another name"
    try:
        place = path.resolve()
    except (RuntimeError, OSError) as error:
        raise OptionError(refusal) from error
    # From Python 3.13 on, a link that leads to itself is no error; and to Path.is_symlink too long a name is one.
    if os.path.islink(place):
        raise OptionError(refusal)
    return place


def check_different(paths: Sequence[Path]) -> None:
    """Refuse to write two results to one file, of which one would be lost.

    Raises:
        OptionError: two of the paths lead to one file.
    """
    places = [path.resolve() for path in paths]
    for number, path in enumerate(paths):
        if places[number] in places[:number]:
            raise OptionError(f"{path}: two outputs go to this file, and one would be lost; give each its own name")


def write_atomically(writers: Mapping[Path, Callable[[Path], None]], written: list[Path] | None = None) -> None:
    """Write files so that each is there whole or not at all: beside its place first, then renamed, all of them together.

    Args:
        writers: for each file, what writes its content to the path it is given.
        written: gets each of the files when it is there.

    Raises:
        OSError: a file cannot be written, which the error names; then none of them has changed.
        KeyboardInterrupt: after Ctrl-C; then all of them are there or none.
    """
    # The suffix stays at the end: writers choose the format by it. A link is followed, not replaced.
    parts = {path.resolve(): path.resolve().with_name(f".{path.stem}.{os.getpid()}{path.suffix}") for path in writers}
    try:
        for (path, write), part in zip(writers.items(), parts.values(), strict=True):
            with _naming(path, part):
                write(part)
        with _uninterrupted():
            for path, part in zip(writers, parts.values(), strict=True):
                part.replace(path.resolve())
                if written is not None:
                    written.append(path)
    finally:
        for part in parts.values():
            with suppress(FileNotFoundError):
                part.unlink()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """While entered, Ctrl-C waits."""
    if current_thread() is not main_thread() or (before := signal.getsignal(signal.SIGINT)) is None:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def _naming(path: Path, part: Path) -> Iterator[None]:
    """While entered, errors of writing name the file that was to be written, not the one beside it, or none, as on a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(part), part):
            raise
        if error.errno is None or error.strerror is None:
            raise OSError(f"{path}: could not be written: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error
