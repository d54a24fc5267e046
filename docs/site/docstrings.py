"""Docstrings as they are meant, plain English, in which |R| and ``**options`` are no markup, and signatures that can be read."""

import re
from typing import Any

from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.util.typing import stringify_annotation

_SPELLED_OUT = tuple(stringify_annotation(ArrayLike, mode) for mode in ("smart", "fully-qualified-except-typing"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Have docstrings read so, after their sections are found."""
    attributes = next(field for field in PyObject.doc_field_types if field.name == "variable")
    attributes.label, attributes.rolename = "Attributes", ""  # else each would be a link to whatever else has its name
    app.connect("autodoc-process-docstring", _read_docstring, priority=600)
    app.connect("autodoc-process-signature", _read_signature)
    return {"parallel_read_safe": True}


def plain(text: str) -> str:
    """A line of a docstring with what is no markup escaped; literals stay as they are.

    >>> print(plain("the largest |R|, by ``a | b``, with **options"))
    the largest \\|R\\|, by ``a | b``, with \\*\\*options
    """
    parts = re.split(r"(``.+?``)", text)
    return "".join(part if part.startswith("``") else re.sub(r"(?<!\\)(\||\*\*(?=\w))", _escaped, part) for part in parts)


def one_by_one(text: str) -> str:
    """A docstring in which attributes that share a description have one each.

    >>> one_by_one(":ivar mean, std: of the last step,\\n  per channel")
    ':ivar mean: of the last step,\\n  per channel\\n:ivar std: of the last step,\\n  per channel'
    """
    shared = r"^:ivar (\w+(?:, \w+)+):(.*(?:\n[ ].*)*)"
    return re.sub(shared, lambda found: "\n".join(f":ivar {name}:{found[2]}" for name in found[1].split(", ")), text, flags=re.M)


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"\\{sign}" for sign in found[0])


def in_short(signature: str) -> str:
    """A signature in which numpy's ``ArrayLike`` and ``NDArray`` are not spelled out.

    >>> in_short("(x: ~numpy.ndarray[tuple[~typing.Any, ...], ~numpy.dtype[~numpy.float64]])")
    '(x: NDArray[~numpy.float64])'
    """
    for spelled_out in _SPELLED_OUT:
        signature = signature.replace(spelled_out, "ArrayLike")
    return re.sub(r"~?numpy\.ndarray\[tuple\[[^]]*\], ~?numpy\.dtype\[(~?[\w.]+)\]\]", r"NDArray[\1]", signature)


def _read_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = one_by_one("\n".join(lines)).split("\n")
    example = False  # and what it prints, to the next empty line
    for number, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        lines[number] = line if example else plain(line)


def _read_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    return signature and in_short(signature), returned and in_short(returned)
