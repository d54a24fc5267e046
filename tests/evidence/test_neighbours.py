"""What ROAD's imputer fills in is the solution of one sparse system, on grids of any size and shape."""

import itertools

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from networks import drawn
from signxai.evidence import NoisyLinear
from signxai.evidence.multigrid import neighbour_sums
from signxai.evidence.neighbours import from_neighbours


def weights(shape: tuple[int, ...]) -> sparse.csr_matrix:
    """Of the neighbours of each place, one over their squared distance."""
    places = np.arange(np.prod(shape)).reshape(shape)
    matrix = sparse.lil_matrix((places.size, places.size))
    for place in itertools.product(*map(range, shape)):
        for step in itertools.product((-1, 0, 1), repeat=len(shape)):
            other = tuple(a + b for a, b in zip(place, step, strict=True))
            if any(step) and all(0 <= a < size for a, size in zip(other, shape, strict=True)):
                matrix[places[place], places[other]] = 1 / sum(a * a for a in step)
    return matrix.tocsr()


def solved(x: np.ndarray, gone: np.ndarray, matrix: sparse.csr_matrix) -> np.ndarray:
    """One channel by a direct solver."""
    own, kept = gone.ravel(), ~gone.ravel()
    laplacian = sparse.diags(np.asarray(matrix.sum(1)).ravel()) - matrix
    result = x.copy().ravel()
    result[own] = spsolve(laplacian[own][:, own].tocsc(), matrix[own][:, kept] @ x.ravel()[kept])
    return result.reshape(x.shape)


def holes(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Scattered places, almost all of them, one block, and all but a corner."""
    draws = np.random.default_rng(1).random(shape)
    block, corner = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    block[tuple(slice(size > 2, size - (size > 2)) for size in shape)] = True
    corner[(0,) * len(shape)] = False
    return {"scattered": corner & (draws < 0.5), "almost all": corner & (draws < 0.97), "a block": block, "all but a corner": corner}


@pytest.mark.parametrize("shape", [(33, 46), (17, 64), (1, 50), (9, 8, 11), (3, 2)], ids=str)
def test_removed_places_are_what_a_direct_solver_gives(shape):
    x, matrix, given = drawn(4, 2, *shape), weights(shape), np.stack(list(holes(shape).values()))
    found = from_neighbours(x, torch.from_numpy(given[:, None])).numpy()
    wanted = [[solved(channel, gone, matrix) for channel in own] for own, gone in zip(x.numpy(), given, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    each = np.stack([given, np.roll(given, 1, axis=0)], axis=1)  # another hole in the second channel
    found = from_neighbours(x, torch.from_numpy(each)).numpy()
    wanted = [[solved(*pair, matrix) for pair in zip(own, gone, strict=True)] for own, gone in zip(x.numpy(), each, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


def test_single_precision_is_met_and_large_numbers_do_no_harm():
    shape = (33, 46)
    x, gone = drawn(4, 2, *shape), torch.from_numpy(np.stack(list(holes(shape).values())))[:, None]
    wanted = from_neighbours(x, gone)
    for scale in (1.0, 1e30, 1e-30):
        found = from_neighbours((scale * x).float(), gone) / scale
        assert float((found - wanted).abs().max()) < 1e-5, scale


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_large_pictures_are_filled_in_to_1e_5_of_their_range_in_single_precision(share):
    x, ranked = drawn(1, 3, 160, 161).cumsum(3), drawn(1, 1, 160, 161)
    ranked[..., 20:90, 30:100] += 1.0  # a hole in which many places lie far from those that are kept
    gone = ranked > ranked.quantile(1 - share)
    error = from_neighbours(x.float(), gone) - from_neighbours(x, gone)
    assert float(error.abs().max()) < 1e-5 * float(x.max() - x.min())


def test_a_point_has_the_same_solution_alone_and_in_a_batch():
    shape = (33, 46)
    x, gone = drawn(4, 2, *shape), torch.from_numpy(np.stack(list(holes(shape).values())))[:, None]
    together = from_neighbours(x, gone)
    for row in range(4):
        np.testing.assert_allclose(from_neighbours(x[row : row + 1], gone[row : row + 1])[0], together[row], rtol=0, atol=1e-12)


def test_kept_places_stay_and_where_nothing_is_kept_the_mean_stands():
    x = drawn(3, 2, 12, 9)
    gone = torch.zeros(3, 2, 12, 9, dtype=torch.bool)
    gone[1] = True
    gone[2, 0] = True
    found = from_neighbours(x, gone)
    assert torch.equal(found[0], x[0])
    assert torch.equal(found[2, 1], x[2, 1])
    for whole, own in ((found[1, 0], x[1, 0]), (found[1, 1], x[1, 1]), (found[2, 0], x[2, 0])):
        np.testing.assert_allclose(whole, own.mean().expand(12, 9), atol=1e-12)


@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 4, 5)], ids=str)
def test_sums_over_neighbours(shape):
    x = drawn(2, 3, *shape)
    wanted = x.flatten(2).numpy() @ weights(shape).toarray()
    np.testing.assert_allclose(neighbour_sums(x).flatten(2), wanted, atol=1e-12)


def test_points_of_samples_have_the_noise_of_their_sample():
    x, seeds, imputer = drawn(2, 3, 8, 8), [5, 6], NoisyLinear(0.1)
    rows, gone = [0, 0, 1, 0], torch.from_numpy(np.random.default_rng(0).random((4, 1, 8, 8)) < 0.5)
    wanted = imputer(x[rows], gone, [seeds[row] for row in rows])
    assert torch.equal(imputer.prepared(x, seeds)(rows, gone), wanted)
