"""What Prepare estimates gets its price, and stands in the status."""

import pytest

import kube_objects
from simulation import Simulation

PARTS = {"weights": 16_000_000_000, "adapter": 100_000_000, "overhead": 1_900_000_000}


def status_of(estimate, *, prices=None, gpus=2):
    """`status.estimate` after a Prepare that told `estimate`."""
    profile = kube_objects.fine_tune_profile(default=True, prices=prices or {})
    sim = Simulation(profiles={"default": profile}, resources={"gpusPerNode": gpus})
    sim.step()
    word = kube_objects.prepared()
    word["result"]["estimate"] = estimate
    sim.ends("prepare", 1, 0, word)
    sim.step()
    return sim.status.get("estimate")


def test_seconds_of_all_gpus_have_their_price():
    told = {"gpuMemoryBytes": 18_000_000_000, "parts": PARTS, "durationSeconds": 5400}

    found = status_of(told, prices={"gpuHour": 2.5, "currency": "EUR"})

    assert found == {**told, "cost": 7.5, "currency": "EUR"}  # 1.5 hours of two GPUs


@pytest.mark.parametrize(
    ("told", "prices"),
    [
        ({"gpuMemoryBytes": 18_000_000_000, "parts": PARTS}, {"gpuHour": 2.5}),
        ({"gpuMemoryBytes": 18_000_000_000, "parts": PARTS, "durationSeconds": 5400}, {}),
        ({"memoryBytes": 2_000_000_000, "parts": PARTS, "durationSeconds": 300}, {}),
    ],
)
def test_without_a_duration_or_a_price_there_is_no_cost(told, prices):
    assert status_of(told, prices=prices) == told


def test_damaged_parts_do_not_cost_the_rest():
    assert status_of({"gpuMemoryBytes": 1, "parts": {"weights": "many"}}) == {"gpuMemoryBytes": 1}
