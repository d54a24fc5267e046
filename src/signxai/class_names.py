"""The names of classes, from the files in which people keep them."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from signxai.common.errors import InputError

__all__ = ["read_class_names"]

_TABLES = {".csv": ",;", ".tsv": "\t"}
"""Suffixes of tables, and what may part their columns."""
_NUMBERED = re.compile(r"(\d+)(\s*[\t,;:=]\s*| +)(\S.*)")


def read_class_names(path: Path) -> list[str]:
    """The names of classes in a file, in the order of the network's outputs.

    Args:
        path: UTF-8: a text with a name on each line, in which each may stand behind its number; .csv or .tsv with a column of names, and
            one of numbers or none; or .json: a list of names, names by number ({"0": "cat"}, or {"0": ["n02121808", "cat"]}), numbers by
            name ({"cat": 0}), or a model's configuration with one of these under "id2label".

    Raises:
        InputError: no such names in it, or numbers that do not go from 0 on.
        OSError: it cannot be opened.
    """
    suffix = path.suffix.lower()
    try:
        text = path.read_text(encoding="utf-8-sig")
        if suffix == ".json":
            names = _of_json(json.loads(text, object_pairs_hook=_without_repetition))
        else:
            names = _of_table(text, _TABLES[suffix]) if suffix in _TABLES else _of_lines(text)
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: no names of classes in UTF-8: {error}") from error
    if not names or not all(names):
        where = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise InputError(f"{path}: {where}; write a name for each class, one a line, in the order of the network's outputs")
    return names


# Texts and tables


def _of_lines(text: str) -> list[str]:
    """The names on lines; where every line begins with another number from 0 on, that is the class's.

    Raises:
        ValueError: every line begins with a number, set off by more than a blank, and these are others.

    >>> _of_lines("cat\\ndog"), _of_lines("1: dog\\n0: cat"), _of_lines("1 euro\\n2 euro")
    (['cat', 'dog'], ['cat', 'dog'], ['1 euro', '2 euro'])
    """
    lines = [line.strip() for line in text.strip().splitlines()]
    found = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    numbers = [int(match[1]) for match in found]
    if found and sorted(numbers) == list(range(len(lines))):
        return _ordered({number: match[3] for number, match in zip(numbers, found, strict=True)})
    if len(found) == len(lines) > 1 and all(match[2].strip(" ") for match in found):
        raise ValueError("its lines begin with numbers, which are not those of the classes, each from 0 on")
    return lines


def _of_table(text: str, parting: str) -> list[str]:
    """The names in a table: of one column, or of two, in which the other one has the numbers.

    Raises:
        ValueError: it is another table.

    >>> _of_table("class\\ncat\\ndog", ","), _of_table('index;name\\n1;dog\\n0;cat', ",;")
    (['cat', 'dog'], ['cat', 'dog'])
    """
    between = max(parting, key=text.partition("\n")[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.strip().splitlines(), delimiter=between)]
    widths = {len(row) for row in rows}
    if widths == {1}:
        names = [row[0] for row in rows]
        return names[1:] if names[0].lower() in _HEADERS else names
    if widths != {2}:
        raise ValueError("its rows have other than one column (names) or two (names and their numbers, from 0 on)")
    return _of_columns(rows)


_HEADERS = ("class", "classes", "name", "names", "label", "labels", "class_name", "class name")


def _of_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    for column in (0, 1):
        for body in (rows, rows[1:]):  # without and with a header
            numbers = [_number(row[column]) for row in body]
            if body and sorted(numbers) == list(range(len(body))):
                return _ordered({number: row[1 - column] for number, row in zip(numbers, body, strict=True)})
    raise ValueError("neither of its two columns has the numbers of the classes, each from 0 on")


def _ordered(by_number: Mapping[int, str]) -> list[str]:
    return [by_number[number] for number in range(len(by_number))]


# JSON


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of two values under one key the last would count, without a word."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return content


def _of_json(content: object) -> list[str]:
    """The names in JSON.

    Raises:
        ValueError: it has another form.

    >>> _of_json(["cat", "dog"]), _of_json({"1": "dog", "0": "cat"}), _of_json({"dog": 1, "cat": 0})
    (['cat', 'dog'], ['cat', 'dog'], ['cat', 'dog'])
    >>> _of_json({"0": ["n02121808", "cat"], "1": ["n02084071", "dog"]})
    ['cat', 'dog']
    """
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return [name.strip() for name in content]
    if isinstance(content, dict) and isinstance(content.get("id2label"), dict):
        return _of_json(content["id2label"])
    if isinstance(content, dict):
        by_number = {
            _number(value if isinstance(value, int) else key): key if isinstance(value, int) else value for key, value in content.items()
        }
        names = [_name(by_number.get(number)) for number in range(len(content))]
        if len(by_number) == len(content) and all(name is not None for name in names):
            return [name.strip() for name in names if name is not None]
    raise ValueError('it must be a list of names, {"0": "cat", "1": "dog"} or {"cat": 0, "dog": 1}, with each number from 0 on')


def _name(value: object) -> str | None:
    """A class's name; of a synset of WordNet and a name, as the index of ImageNet has them, the name."""
    if isinstance(value, list) and len(value) == 2 and re.fullmatch(r"n\d{8}", str(value[0])):
        value = value[1]
    return value if isinstance(value, str) else None


def _number(value: object) -> int:
    """A class's number, as a number or as a text of digits; -1: it is none."""
    return int(str(value)) if str(value).isdecimal() and not isinstance(value, bool) else -1
