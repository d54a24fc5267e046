"""Relevance of frequencies is the z-rule through the DFT, written here with explicit matrices, and nothing of it is lost."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

import oracles
from signxai.common import InputError, OptionError
from signxai.timeseries.frequency import dft_relevance, stdft_relevance

LENGTHS = [1, 2, 3, 4, 5, 8, 49, 50, 127, 128]
WINDOWS = [
    (8, 4, "half_sine"),
    (8, 3, "half_sine"),
    (7, 7, "rectangular"),
    (10, 2, "rectangular"),
    (5, 1, "half_sine"),
    (1, 1, "half_sine"),
]


def draw(*shape, seed=0, least=0.05, dtype=np.float64):
    """A signal that stays away from zero by `least`, and relevance."""
    random = np.random.default_rng(seed)
    signal = random.normal(size=shape)
    return (signal + least * np.sign(signal)).astype(dtype), random.normal(size=shape).astype(dtype)


# The rule, slowly: every cosine and sine of the DFT is a row, and a layer adds them up to the signal.


def cosines_and_sines(n):
    """The rows whose sum is x: (frequency of each, (rows, n) values in the analysis, their weights in the synthesis)."""
    time = np.arange(n)
    rows = []
    for k in range(n // 2 + 1):
        ends = k == 0 or 2 * k == n
        rows.append((k, np.cos(2 * np.pi * k * time / n), (1 if ends else 2) / n))
        if not ends:
            rows.append((k, np.sin(2 * np.pi * k * time / n), 2 / n))
    frequencies, basis, weights = zip(*rows, strict=True)
    return np.array(frequencies), np.array(basis), np.array(weights)


def contributions(x):
    """What each frequency contributes to each sample, (n // 2 + 1, n)."""
    frequencies, basis, weights = cosines_and_sines(len(x))
    rows = (weights * (basis @ x))[:, None] * basis
    return np.stack([rows[frequencies == k].sum(axis=0) for k in range(len(x) // 2 + 1)])


def dense(x, r):
    frequencies, basis, weights = cosines_and_sines(len(x))
    layer = torch.from_numpy((weights[:, None] * basis).T)
    of_rows = oracles.z(layer, torch.zeros(len(x)), torch.from_numpy(basis @ x), torch.from_numpy(r)).numpy()
    return np.array([of_rows[frequencies == k].sum() for k in range(len(x) // 2 + 1)])


def dense_short_time(x, r, length, hop, window):
    """Every window's contributions to every sample, cut out one by one."""
    weight = np.sin(np.pi * (np.arange(length) + 0.5) / length) if window == "half_sine" else np.ones(length)
    starts = [0]
    while starts[-1] + length < len(x):
        starts.append(starts[-1] + hop)
    size = starts[-1] + length
    x, r = np.pad(x, (0, size - len(x))), np.pad(r, (0, size - len(r)))
    placed = np.array([np.pad(weight, (start, size - start - length)) for start in starts])
    shares = placed / placed.sum(axis=0)
    of_windows = []
    for start, share in zip(starts, shares, strict=True):
        inside = slice(start, start + length)
        real = x[inside] != 0  # behind the end there is nothing to explain
        of_windows.append(contributions(share[inside] * x[inside])[:, real] @ (r[inside][real] / x[inside][real]))
    return np.array(of_windows), shares[:, : len(x)] @ r


@pytest.mark.parametrize("n", LENGTHS)
def test_it_is_the_z_rule_of_the_layer_that_makes_the_signal_from_its_frequencies(n):
    x, r = draw(n, seed=n)
    np.testing.assert_allclose(contributions(x).sum(axis=0), x, atol=1e-12)
    np.testing.assert_allclose(dft_relevance(x, r).relevance, dense(x, r), atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 49, 50, 1000])
def test_float32_gives_the_rule_too(n):
    x, r = draw(n, seed=n, least=0.2)
    result = dft_relevance(x.astype(np.float32), r.astype(np.float32)).relevance
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, dense(x, r), atol=1e-5 * max(1, np.abs(dense(x, r)).max()))


def published(x, r, nyquist, stabilizer=1e-6):
    """The matrices of the paper's authors, in float32: rows 1, 2 cos, `nyquist`, -2 sin, all times 1 / sqrt(n); n is even."""
    n, middle = len(x), len(x) // 2
    angles = 2 * np.pi * np.outer(np.arange(n), np.arange(n)) / n
    scale = 1 / np.sqrt(n)
    forward = (scale * np.vstack([np.cos(angles[: middle + 1]), -np.sin(angles[1:middle])])).astype(np.float32)
    ends = np.ones((1, n)), np.broadcast_to(nyquist, (1, n))
    backward = (scale * np.vstack([ends[0], 2 * np.cos(angles[1:middle]), ends[1], -2 * np.sin(angles[1:middle])])).astype(np.float32)
    both = (forward @ x) * (backward @ (r / (x + np.float32(stabilizer))))
    relevance = both[: middle + 1]
    relevance[1:middle] += both[middle + 1 :]
    return relevance


@pytest.mark.parametrize("n", [2, 4, 50, 500])
def test_it_agrees_with_the_published_matrices_in_every_bin_but_the_one_at_half_the_sampling_rate(n):
    x, r = draw(n, seed=n, least=0.2, dtype=np.float32)
    np.testing.assert_allclose(dft_relevance(x, r).relevance[:-1], published(x, r, nyquist=1.0)[:-1], atol=1e-4)


@pytest.mark.parametrize("n", [2, 4, 50, 500])
def test_it_agrees_with_them_in_that_bin_too_once_its_cosine_alternates_in_sign(n):
    x, r = draw(n, seed=n, least=0.2, dtype=np.float32)
    np.testing.assert_allclose(dft_relevance(x, r).relevance, published(x, r, nyquist=np.cos(np.pi * np.arange(n))), atol=1e-4)


@pytest.mark.parametrize(("length", "hop", "window"), WINDOWS)
@pytest.mark.parametrize("n", [10, 31, 64])
def test_in_windows_it_is_the_z_rule_of_the_layer_that_adds_up_all_windows_frequencies(n, length, hop, window):
    x, r = draw(n, seed=n)
    expected, of_windows = dense_short_time(x, r, length, hop, window)
    result = stdft_relevance(x, r, window_length=length, hop=hop, window=window)
    np.testing.assert_allclose(result.relevance, expected, atol=1e-10)
    np.testing.assert_allclose(result.relevance.sum(axis=-1), of_windows, atol=1e-10)


def test_one_rectangular_window_over_all_of_it_is_the_whole_signal():
    x, r = draw(3, 40)
    whole, windows = dft_relevance(x, r), stdft_relevance(x, r, window_length=40, window="rectangular")
    np.testing.assert_allclose(windows.relevance[:, 0], whole.relevance, atol=1e-12)


# Nothing is lost


NUMBERS = st.one_of(st.just(0.0), st.floats(-1e3, 1e3, allow_subnormal=False), st.floats(-1e-12, 1e-12))


@st.composite
def signals(draw, dtype=np.float64):
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=3, max_side=20))
    x, r = (draw(arrays.arrays(np.float64, shape, elements=NUMBERS)) for _ in range(2))
    return x.astype(dtype), r.astype(dtype)


def assert_conserved(parts, whole, r):
    """To rounding: a sum of numbers is as exact as the largest of them is."""
    axes = tuple(range(whole.ndim, parts.ndim))
    scale = np.abs(parts).max(axis=axes) + np.abs(r.astype(np.float64)).sum(axis=-1)
    error = np.abs(parts.astype(np.float64).sum(axis=axes) - whole)
    assert np.all(error <= 100 * np.finfo(parts.dtype).eps * scale + np.finfo(np.float32).tiny)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=75, deadline=None)
@given(data=st.data())
def test_frequencies_sum_to_samples(dtype, data):
    x, r = data.draw(signals(dtype))
    assert_conserved(dft_relevance(x, r).relevance, r.astype(np.float64).sum(axis=-1), r)


@pytest.mark.parametrize("window", ["half_sine", "rectangular"])
@settings(max_examples=75, deadline=None)
@given(data=st.data())
def test_windows_sum_to_their_shares_and_all_windows_to_the_samples(window, data):
    x, r = data.draw(signals())
    length = data.draw(st.integers(1, x.shape[-1]))
    hop = data.draw(st.integers(1, length))
    result = stdft_relevance(x, r, window_length=length, hop=hop, window=window)
    _, of_windows = dense_short_time(np.ones(x.shape[-1]), r.reshape(-1, x.shape[-1])[0], length, hop, window)
    assert_conserved(result.relevance.reshape(-1, *result.relevance.shape[-2:])[0], of_windows, r.reshape(-1, x.shape[-1])[:1])
    assert_conserved(result.relevance, r.sum(axis=-1), r)


def test_sums_of_many_long_float32_signals_are_equal_to_1e_5():
    random = np.random.default_rng(0)
    x, r = random.normal(size=(2, 8, 12, 5000)).astype(np.float32)  # some samples lie close to zero
    of_frequencies, of_samples = (v.astype(np.float64).sum(axis=-1) for v in (dft_relevance(x, r).relevance, r))
    np.testing.assert_allclose(of_frequencies, of_samples, atol=1e-5 * np.abs(r).sum(axis=-1).min())


@pytest.mark.parametrize("n", [1, 2, 9, 10])
def test_the_relevance_of_a_sample_at_zero_is_shared_by_mean_squared_contribution(n):
    x, r = draw(n, seed=n)
    x[n // 2], left = 0.0, r[n // 2]
    others = np.where(x == 0, 0.0, r)
    shares = (contributions(x) ** 2).mean(axis=1)
    shares = shares / shares.sum() if n > 1 else np.ones(1)
    np.testing.assert_allclose(dft_relevance(x, r).relevance, dense(np.where(x == 0, 0.0, x), others) + shares * left, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 9, 10])
def test_in_a_signal_of_zeros_every_cosine_and_sine_gets_the_same(n):
    frequencies = cosines_and_sines(n)[0]
    expected = [(frequencies == k).sum() / n for k in range(n // 2 + 1)]
    np.testing.assert_allclose(dft_relevance(np.zeros(n), np.full(n, 1 / n)).relevance, expected, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_what_counts_as_zero_goes_by_the_signals_largest_value(scale):
    x, r = np.array([8.0, 0.4, -3.0, 2.0]), np.array([0.0, 5.0, 0.0, 0.0])
    power = np.abs(np.fft.rfft(x)) ** 2 * [1, 2, 1]
    as_zero, as_it_is = (dft_relevance(scale * x, r, zero_below=share).relevance for share in (0.0501, 0.0499))
    np.testing.assert_allclose(as_zero, 5 * power / power.sum(), atol=1e-10)
    np.testing.assert_allclose(as_it_is, dense(x, r), atol=1e-10)


# What the numbers mean


def test_the_relevance_of_a_sine_wave_lies_at_its_frequency():
    time = np.arange(1000) / 250
    r = np.random.default_rng(0).normal(size=1000)
    result = dft_relevance(np.sin(2 * np.pi * 12.5 * time), r, sampling_rate=250)
    assert result.frequencies[np.abs(result.relevance) > 1e-4] == pytest.approx([12.5])
    assert result.relevance.max(initial=0, where=result.frequencies == 12.5) + result.relevance.min() == pytest.approx(r.sum(), abs=1e-3)


def test_frequencies_are_in_hz_and_times_in_seconds():
    x, r = draw(1000)
    np.testing.assert_allclose(dft_relevance(x, r, sampling_rate=250).frequencies, np.fft.rfftfreq(1000, 1 / 250))
    result = stdft_relevance(x, r, window_length=100, hop=50, sampling_rate=250)
    np.testing.assert_allclose(result.frequencies, np.fft.rfftfreq(100, 1 / 250))
    np.testing.assert_allclose(result.times, [(50 * frame + 49.5) / 250 for frame in range(19)])
    assert result.relevance.shape == (19, 51)


def test_a_burst_is_relevant_in_its_window_at_its_frequency():
    time = np.arange(1000) / 250
    x = np.where((time > 2) & (time < 2.4), np.sin(2 * np.pi * 25 * time), 0.001 * np.cos(2 * np.pi * 5 * time))
    result = stdft_relevance(x, np.abs(x), window_length=100, sampling_rate=250)
    frame, bin_ = np.unravel_index(np.argmax(result.relevance), result.relevance.shape)
    assert result.times[frame] == pytest.approx(2.2, abs=0.01)
    assert result.frequencies[bin_] == 25


def test_it_is_linear_in_the_relevance():
    x, r = draw(3, 50)
    other = draw(3, 50, seed=1)[1]
    combined = dft_relevance(x, 2 * r - 3 * other).relevance
    np.testing.assert_allclose(combined, 2 * dft_relevance(x, r).relevance - 3 * dft_relevance(x, other).relevance, atol=1e-10)


@pytest.mark.parametrize("scale", [-1.0, 1e-3, 1e200, 1e-200])
def test_the_signals_unit_and_polarity_do_not_matter(scale):
    x, r = draw(2, 50)
    np.testing.assert_allclose(dft_relevance(scale * x, r).relevance, dft_relevance(x, r).relevance, atol=1e-9)
    short = [stdft_relevance(values, r, window_length=8).relevance for values in (scale * x, x)]
    np.testing.assert_allclose(*short, atol=1e-9)


@pytest.mark.parametrize("moved", [lambda v: np.roll(v, 7, axis=-1), lambda v: v[..., ::-1]])
def test_where_the_signal_starts_and_which_way_it_runs_do_not_matter(moved):
    x, r = draw(2, 51)
    np.testing.assert_allclose(dft_relevance(moved(x), moved(r)).relevance, dft_relevance(x, r).relevance, atol=1e-9)


def test_relevance_in_proportion_to_energy_is_the_power_spectrum():
    x, _ = draw(50)
    power = np.abs(np.fft.rfft(x)) ** 2 / 50
    power[1:-1] *= 2
    np.testing.assert_allclose(dft_relevance(x, x**2).relevance, power, atol=1e-10)


# Back again


@pytest.mark.parametrize("n", LENGTHS)
def test_the_inverse_gives_the_samples_relevance_back(n):
    x, r = draw(2, n, seed=n)
    np.testing.assert_allclose(dft_relevance(x, r).inverse(x), r, atol=1e-10)


@pytest.mark.parametrize(("length", "hop", "window"), WINDOWS)
def test_the_inverse_of_windows_gives_the_samples_relevance_back(length, hop, window):
    x, r = draw(2, 31)
    result = stdft_relevance(x, r, window_length=length, hop=hop, window=window)
    np.testing.assert_allclose(result.inverse(x), r, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(signals(), st.integers(1, 20))
def test_the_inverse_conserves_relevance_for_every_signal(drawn, length):
    x, r = drawn
    for result in (dft_relevance(x, r), stdft_relevance(x, r, window_length=min(length, x.shape[-1]))):
        scale = np.abs(np.asarray(result.parts)).sum() + np.abs(r).sum()
        np.testing.assert_allclose(result.inverse(x).sum(axis=-1), r.sum(axis=-1), atol=1e-9 * scale + 1e-300)


def test_the_parts_are_those_of_cosines_and_sines():
    x, r = draw(9)
    frequencies, basis, weights = cosines_and_sines(9)
    of_rows = (weights * (basis @ x)) * (basis @ (r / x))
    parts = dft_relevance(x, r).parts
    np.testing.assert_allclose(np.r_[parts[0].real, np.stack([parts.real, parts.imag], axis=-1)[1:].ravel()], of_rows, atol=1e-10)
    np.testing.assert_array_equal(frequencies, np.r_[0, np.repeat(np.arange(1, 5), 2)])


# Forms, gradients, cost


def test_a_batch_gives_what_its_signals_give_one_by_one():
    x, r = draw(4, 3, 50)
    batch = dft_relevance(x, r).relevance, stdft_relevance(x, r, window_length=8).relevance
    for index in np.ndindex(4, 3):
        np.testing.assert_allclose(batch[0][index], dft_relevance(x[index], r[index]).relevance, atol=1e-12)
        np.testing.assert_allclose(batch[1][index], stdft_relevance(x[index], r[index], window_length=8).relevance, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_give_tensors_and_arrays_give_arrays_of_their_type(dtype):
    x, r = (torch.from_numpy(values).to(dtype) for values in draw(2, 50))
    for result in (dft_relevance(x, r), stdft_relevance(x, r, window_length=8)):
        assert result.relevance.dtype == result.frequencies.dtype == result.inverse(x).dtype == dtype
    array = dft_relevance(x.numpy(), r.numpy())
    assert isinstance(array.relevance, np.ndarray)
    assert array.relevance.dtype == r.numpy().dtype
    np.testing.assert_array_equal(array.relevance, dft_relevance(x, r).relevance.numpy())


def test_the_relevance_says_which_form_the_result_has():
    x, r = draw(50)
    assert isinstance(dft_relevance(torch.from_numpy(x).requires_grad_(), r).relevance, np.ndarray)
    assert isinstance(dft_relevance(x, torch.from_numpy(r)).relevance, torch.Tensor)


def test_integers_read_only_arrays_and_foreign_byte_orders_are_read():
    x, r = np.array([3, -4, 5, 2], dtype=">i2"), np.array([1, 2, 3, 4.0], dtype=">f4")
    x.flags.writeable = r.flags.writeable = False
    result = dft_relevance(x, r).relevance
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, dense(x.astype(float), r.astype(float)), rtol=1e-5)


def in_windows(x, r):
    return stdft_relevance(x, r, window_length=4, hop=3)


@pytest.mark.parametrize("of", [dft_relevance, in_windows])
@pytest.mark.parametrize("zero", [None, 4, slice(None)])
def test_gradients_flow_to_the_signal_and_to_its_relevance(of, zero):
    x, r = draw(2, 9, least=0.3)
    if zero is not None:
        x[0, zero] = 0.0
    nonzero = torch.from_numpy(x != 0)
    signal, relevance = (torch.from_numpy(values).requires_grad_() for values in (x, r))

    def relevance_of_frequencies(signal, relevance):
        # A sample that counts as zero must not move, or it does not count as zero any more.
        return of(torch.where(nonzero, signal, 0.0), relevance).relevance

    assert gradcheck(relevance_of_frequencies, (signal, relevance))


@pytest.mark.parametrize("of", [dft_relevance, in_windows])
def test_gradients_flow_back_and_forth(of):
    signal, relevance = (torch.from_numpy(values).requires_grad_() for values in draw(2, 9, least=0.3))
    assert gradcheck(lambda x, r: of(x, r).inverse(2 * x**2 + x), (signal, relevance))


class LargestResult(TorchDispatchMode):
    """Notes the most numbers that any operation gave."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.most = max(self.most, result.numel())
        return result


@pytest.mark.parametrize("of", [dft_relevance, lambda x, r: stdft_relevance(x, r, window_length=250, hop=125)])
def test_memory_grows_as_the_input_does(of):
    x, r = torch.randn(2, 2, 3, 5000, generator=torch.Generator().manual_seed(0))
    with LargestResult() as seen:
        of(x, r)
    assert x.numel() <= seen.most <= 2.1 * x.numel()  # windows overlap by half


# Mistakes


@pytest.mark.parametrize(
    ("signal", "relevance", "words"),
    [
        ([], [], "at least one sample"),
        (1.0, 1.0, "at least one sample"),
        ([1.0, 2.0], [1.0], r"\(1,\).*\(2,\)"),
        ([1.0, np.nan], [1.0, 1.0], "signal has NaN"),
        ([1.0, 1.0], [1.0, np.inf], "relevance has NaN or infinity"),
        ([1j], [1.0], "signal holds complex128"),
        ([1.0], ["a"], "relevance holds <U1"),
        (np.ones(2, dtype=np.float16), np.ones(2), "float16"),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2), "bfloat16"),
        (np.ones(2, dtype=np.longdouble), np.ones(2), "float32, float64"),
        (torch.ones(2, dtype=torch.bool), torch.ones(2), "bool"),
    ],
)
def test_what_is_no_signal_and_its_relevance_is_refused(signal, relevance, words):
    with pytest.raises(InputError, match=words):
        dft_relevance(signal, relevance)


@pytest.mark.parametrize(
    "options",
    [
        {"window_length": 0},
        {"window_length": 11},
        {"window_length": 4, "hop": 0},
        {"window_length": 4, "hop": 5},
        {"window_length": 4, "window": "hann"},
        {"window_length": 4, "sampling_rate": 0.0},
        {"window_length": 4, "sampling_rate": np.nan},
        {"window_length": 4, "zero_below": 1.0},
        {"window_length": 4, "zero_below": -0.1},
        {"window_length": 4.5},
    ],
)
def test_options_out_of_range_are_refused(options):
    *_, name = options
    with pytest.raises(OptionError, match=name):
        stdft_relevance(*draw(10), **options)


def test_the_inverse_of_another_signal_is_refused():
    x, r = draw(2, 10)
    for result in (dft_relevance(x, r), stdft_relevance(x, r, window_length=4)):
        for other in (x[0], x[:, :3], draw(2, 17)[0], np.ones((2, 0))):
            with pytest.raises(InputError, match="shape"):
                result.inverse(other)
