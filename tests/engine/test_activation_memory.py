"""How many samples a batch of a repeated method has, from what a first one took."""

import pytest
import torch

from signxai.engine.activation_memory import MeasuringPass, TooLargeError

MIB = 1 << 20

# threads, on the CPU, MiB of activations per sample, MiB of the largest one -> most samples
CASES = [
    (2, True, 1, 0.1, 64),  # 64 MiB of activations are kept from pass to pass
    (2, True, 100, 1, 10),  # five rows a thread
    (1, True, 100, 1, 5),
    (2, True, 200, 1, 4),  # five rows a thread, but not beyond 1 GiB; both threads finish together
    (2, True, 40, 15, 2),  # no tensor over 32 MiB
    (2, True, 40, 30, 2),  # but a row a thread
    (4, True, 10, 5, 4),  # four threads finish together
    (4, True, 600, 1, 1),
    (2, False, 40, 30, 25),  # elsewhere only 1 GiB counts
    (2, False, 3000, 30, 1),
]


@pytest.mark.parametrize(("threads", "on_cpu", "of_all", "of_largest", "most"), CASES)
@pytest.mark.parametrize("samples", [1, 7])
def test_most_samples(monkeypatch, threads, on_cpu, of_all, of_largest, most, samples):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    measured = MeasuringPass()
    measured.samples, measured.on_cpu = samples, on_cpu
    measured.bytes, measured.largest = int(of_all * MIB * samples), int(of_largest * MIB * samples)
    assert measured.most_samples() == most


def test_before_anything_is_measured_nobody_knows():
    assert MeasuringPass().most_samples() == 0


def test_activations_that_take_nothing_allow_all_that_is_quick(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    measured = MeasuringPass()
    measured.samples = 1
    assert measured.most_samples() == 1 << 25  # of bytes that count as one


def test_a_pass_that_may_stop_does_so_beyond_a_gibibyte():
    class Large:
        """Stands for a tensor of which only the size matters."""

        def __init__(self, nbytes):
            self.nbytes, self.is_cpu = nbytes, True

    measured = MeasuringPass(may_stop=True)
    measured.saves(Large(1 << 30))
    with pytest.raises(TooLargeError, match="batch_size="):
        measured.saves(Large(1))
    measured = MeasuringPass()
    measured.saves(Large(1 << 31))
    measured.saves(Large(1 << 20))
    assert (measured.bytes, measured.largest) == ((1 << 31) + (1 << 20), 1 << 31)
