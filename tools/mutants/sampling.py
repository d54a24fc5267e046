"""A seeded sample that is spread over the packages, and stays nearly the same where a little of the source changes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from mutants.mutant import Mutant, Place


def allotted(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """How many of ``count`` fall to each stratum by its size, by largest remainders.

    >>> allotted({"engine": 70, "methods": 20, "names": 10}, 11)
    {'engine': 8, 'methods': 2, 'names': 1}
    """
    total = sum(sizes.values())
    count = min(count, total)
    exact = {name: count * size / total for name, size in sizes.items()} if total else {}
    result = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (result[name] - exact[name], name))
    for name in by_remainder[: count - sum(result.values())]:
        result[name] += 1
    return result


def sample(places: Iterable[Place], count: int, seed: int, make: Callable[[Place], Mutant | None]) -> list[Mutant]:
    """``count`` mutants; places at which ``make`` finds none are passed over.

    Each place has a rank that depends on the seed and its name alone, so a change elsewhere in the source changes no other's rank.
    """
    strata: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        strata[place.package].append(place)
    result = []
    for package, wanted in allotted({name: len(strata[name]) for name in sorted(strata)}, count).items():
        made = (make(place) for place in sorted(strata[package], key=lambda place: _rank(place, seed)))
        result += [mutant for mutant, _ in zip((mutant for mutant in made if mutant is not None), range(wanted), strict=False)]
    return sorted(result, key=lambda mutant: (mutant.place.path, mutant.place.line, mutant.place.column, mutant.place.operator))


def _rank(place: Place, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{place.name}".encode()).hexdigest()
