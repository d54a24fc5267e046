"""Every metric is what plain loops over samples, steps and units give."""

import numpy as np
import pytest
import torch

import plain_metrics as plain
from networks import inputs, network
from signxai import evidence, explain
from signxai.evidence.imputers import Blur, Interpolation, Mean, NoisyLinear
from signxai.evidence.masks import dilated

N, TARGETS = 2, [3, 1]
IMPUTERS = {
    "constant": (0.3, plain.constant(0.3)),
    "mean": ("mean", plain.mean_of_channels),
    "blur": (Blur(1.5), plain.blurred(1.5)),
    "interpolation": ("interpolation", plain.interpolated),
    "noisy linear": (NoisyLinear(noise=0.0), plain.from_neighbours),
}


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def case(kind):
    net, x = network(kind), inputs(kind, N)
    return net, x, explain(net, x, "lrp_epsilon_0_1", TARGETS)


def plainly(metric, net, x, relevance, *arguments, **options):
    samples = zip(x.numpy(), relevance, TARGETS, strict=True)
    return [metric(net, own, own_map, target, *arguments, **options) for own, own_map, target in samples]


@pytest.mark.parametrize("imputer", IMPUTERS)
@pytest.mark.parametrize("kind", ["linear", "cnn1d", "cnn2d", "cnn3d"])
def test_perturbation_curves(kind, imputer):
    net, x, relevance = case(kind)
    ours, fill = IMPUTERS[imputer]
    units = plain.pixels(tuple(x.shape[1:]))
    how = {"imputer": ours, "steps": 5}
    close(evidence.srg(net, x, relevance, TARGETS, **how), plainly(plain.srg, net, x, relevance, units, fill))


def test_what_is_made_of_curves():
    net, x, relevance = case("cnn1d")
    units, fill = plain.pixels((3, 16)), plain.constant(0.0)
    arguments, how = (net, x, relevance, units, fill), {"imputer": 0.0, "steps": 5}
    close(evidence.srg(net, x, relevance, TARGETS, score="probability", **how), plainly(plain.srg, *arguments, kind="probability"))
    close(evidence.aopc(net, x, relevance, TARGETS, **how), plainly(plain.aopc, *arguments))
    close(evidence.deletion(net, x, relevance, TARGETS, **how), plainly(plain.deletion, *arguments))
    close(evidence.insertion(net, x, relevance, TARGETS, **how), plainly(plain.insertion, *arguments))


def test_road():
    net, x, relevance = case("cnn2d")
    targets = net(x).argmax(1).tolist()
    shares = [0.02, 0.05, 0.1, 0.3, 0.9]
    wanted = [
        plain.road(net, own, own_map, target, plain.pixels((3, 8, 8)), plain.from_neighbours, shares)
        for own, own_map, target in zip(x.numpy(), relevance, targets, strict=True)
    ]
    assert len(set(wanted)) > 1
    close(evidence.road(net, x, relevance, targets, imputer=NoisyLinear(noise=0.0), steps=shares), wanted)


def test_random_subsets():
    net, x, relevance = case("cnn2d")
    arguments = net, x, relevance, plain.pixels((3, 8, 8)), plain.mean_of_channels
    how = {"imputer": "mean", "samples": 20}
    close(evidence.faithfulness_correlation(net, x, relevance, TARGETS, **how), plainly(plain.faithfulness_correlation, *arguments))
    sizes = (0.1, 0.5)
    wanted = plainly(plain.sensitivity_n, *arguments, sizes, 20)
    close(evidence.sensitivity_n(net, x, relevance, TARGETS, sizes=sizes, **how), wanted)
    for options in ({}, {"kind": "sensitivity"}, {"scaled": True}):
        close(evidence.infidelity(net, x, relevance, TARGETS, **how, **options), plainly(plain.infidelity, *arguments, **options))


def test_completeness():
    net, x, relevance = case("cnn1d")
    close(evidence.completeness(net, x, relevance, TARGETS, baseline=0.5), plainly(plain.completeness, net, x, relevance, baseline=0.5))
    assert np.allclose(
        evidence.completeness(net, x, explain(net, x, "lrp_z", TARGETS), TARGETS, baseline=None),
        np.abs(explain(net, x, "lrp_z", TARGETS).sum((1, 2)) - net(x)[[0, 1], TARGETS].detach().numpy()),
    )


def of_samples(metric, net, x, **options):
    return [metric(net, own, target, **options) for own, target in zip(x.numpy(), TARGETS, strict=True)]


def test_sensitivities():
    net, x, _ = case("cnn1d")
    how = {"radius": 0.1, "samples": 5}
    wanted = np.array(of_samples(plain.sensitivities, net, x))
    assert wanted.max() > 0.1
    close(evidence.max_sensitivity(net, x, "gradient", TARGETS, **how), wanted.max(1))
    close(evidence.average_sensitivity(net, x, "gradient", TARGETS, **how), wanted.mean(1))
    absolute = np.array(of_samples(plain.sensitivities, net, x, of_range=False))
    close(evidence.sensitivities(net, x, "gradient", TARGETS, of_range=False, **how), absolute)


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "independent"])
def test_parameter_randomization(order):
    net, x, _ = case("cnn2d")
    close(evidence.mprt(net, x, "gradient", TARGETS, order=order), of_samples(plain.mprt, net, x, order=order))


def test_other_randomizations():
    net, x, _ = case("cnn2d")
    close(evidence.smprt(net, x, "gradient", TARGETS, smoothed=3), of_samples(plain.smprt, net, x))
    close(evidence.emprt(net, x, "gradient", TARGETS), of_samples(plain.emprt, net, x))
    close(evidence.random_logit(net, x, "gradient", TARGETS), of_samples(plain.random_logit, net, x))


def a_map_with_ties():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(4, 7, 6)).round(1)
    values[3] = -np.abs(values[3]) - 0.1
    values[2, 2, 2] = values[2, 5, 1] = 9.0
    return values, rng.random((4, 7, 6)) < 0.3


def test_localization():
    values, inside = a_map_with_ties()
    pairs = list(zip(values, inside, strict=True))
    maps = values[:, None]
    for tolerance in (0, 1, 2):
        found = evidence.pointing_game(maps, inside, tolerance=tolerance)
        close(found, [plain.pointing_game(*pair, tolerance) for pair in pairs])
    close(evidence.relevance_mass(maps, inside), [plain.relevance_mass(*pair) for pair in pairs])
    close(evidence.auc(maps, inside), [plain.auc(*pair) for pair in pairs])


def test_shares_of_the_top():
    values = np.random.default_rng(0).permuted(np.tile(np.arange(42.0), (4, 1)), axis=1).reshape(4, 7, 6)
    inside = a_map_with_ties()[1]
    values[0].flat[[3, 8]] = 32.5  # one tie, at the edge of the ten largest
    pairs = list(zip(values, inside, strict=True))
    maps = values[:, None]
    close(evidence.relevance_rank(maps, inside), [plain.share_of_top(*pair, int(pair[1].sum())) for pair in pairs])
    for k in (1, 10, 42):
        close(evidence.top_k_intersection(maps, inside, k=k), [plain.share_of_top(*pair, k) for pair in pairs])


def test_channels_of_a_place_are_pooled_where_the_mask_has_none():
    maps = np.random.default_rng(0).normal(size=(3, 4, 6, 5))
    inside = np.random.default_rng(1).random((3, 6, 5)) < 0.4
    pooled = {"sum": maps.sum(1), "positive": maps.clip(0).sum(1), "max": maps.max(1), "norm": np.linalg.norm(maps, axis=1)}
    for pool, values in pooled.items():
        for mask in (inside, inside[:, None]):
            close(evidence.auc(maps, mask, pool=pool), [plain.auc(*pair) for pair in zip(values, inside, strict=True)])
    whole = np.repeat(inside[:, None], 4, axis=1)
    pairs = list(zip(maps, whole, strict=True))
    close(evidence.auc(maps, whole), [plain.auc(*pair) for pair in pairs])
    close(evidence.relevance_mass(maps, whole), [plain.relevance_mass(*pair) for pair in pairs])
    close(evidence.relevance_mass(maps, inside), [plain.relevance_mass(*pair) for pair in pairs])


def test_masks_of_several_inputs_count_together():
    maps = {"signal": np.random.default_rng(0).normal(size=(3, 1, 9)), "table": np.random.default_rng(1).normal(size=(3, 4))}
    masks = {name: np.random.default_rng(2).random(one.shape) < 0.5 for name, one in maps.items()}
    values, inside = (np.concatenate([one.reshape(3, -1) for one in parts.values()], axis=1) for parts in (maps, masks))
    pairs = list(zip(values, inside, strict=True))
    close(evidence.auc(maps, masks), [plain.auc(*pair) for pair in pairs])
    close(evidence.relevance_mass(maps, masks), [plain.relevance_mass(*pair) for pair in pairs])
    close(evidence.gini(maps), [plain.gini(own) for own in values])


def test_complexity():
    values = a_map_with_ties()[0]
    close(evidence.gini(values), [plain.gini(own) for own in values])
    close(evidence.entropy(values), [plain.entropy(own) for own in values])
    close(evidence.effective_complexity(values, threshold=0.2), [plain.effective_complexity(own, 0.2) for own in values])


def test_a_dilated_mask_has_all_places_within_the_distance():
    inside = np.zeros((1, 1, 9, 8), dtype=bool)
    inside[0, 0, 4, 2] = True
    rows, columns = np.indices((9, 8))
    np.testing.assert_array_equal(dilated(inside, 3)[0, 0], (rows - 4) ** 2 + (columns - 2) ** 2 <= 9)


@pytest.mark.parametrize(("kind", "mask_axes"), [("cnn1d", 2), ("cnn1d", 1), ("cnn2d", 2), ("cnn2d", 3), ("cnn3d", 3), ("linear", 1)])
def test_imputers_keep_what_is_kept_and_fill_in_the_rest(kind, mask_axes):
    x = inputs(kind, 3)
    shape = x.shape[1:] if mask_axes == x.ndim - 1 else (1, *x.shape[2:])
    removed = torch.from_numpy(np.random.default_rng(0).random((3, *shape)) < 0.6)
    for name, (_, fill) in IMPUTERS.items():
        ours = {"constant": evidence.Constant(0.3), "mean": Mean(), "blur": Blur(1.5), "interpolation": Interpolation()}.get(
            name, NoisyLinear(noise=0.0)
        )
        found = ours(x, removed, [0, 0, 0]).numpy()
        whole = removed.expand_as(x).numpy()
        np.testing.assert_array_equal(found[~whole], x.numpy()[~whole])
        close(found, [fill(own, gone) for own, gone in zip(x.numpy(), whole, strict=True)])


def test_the_noise_of_road_is_drawn_by_sample():
    x = inputs("cnn2d", 3)
    removed = torch.ones(3, 1, 8, 8, dtype=torch.bool)
    removed[:, :, 0] = False
    quiet, loud = (NoisyLinear(noise)(x, removed, [5, 6, 5]) for noise in (0.0, 0.5))
    noise = (loud - quiet)[:, :, 1:]
    assert 0.4 < float(noise.std()) < 0.6
    assert torch.allclose(noise[0], noise[2])
    assert not torch.allclose(noise[0], noise[1])


def test_means_of_data():
    data = np.random.default_rng(0).normal(size=(5, 3, 8, 8))
    gone = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    found = Mean(data)(inputs("cnn2d", 2), gone, [0, 0])
    close(found[:, :, 0, 0].numpy(), np.tile(data.mean((0, 2, 3)), (2, 1)))
    table = np.random.default_rng(0).normal(size=(5, 12))
    close(Mean(table)(inputs("linear", 2), torch.ones(2, 12, dtype=torch.bool), [0, 0])[1].numpy(), table.mean(0))
