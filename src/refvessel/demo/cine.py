"""Synthetic cine runs: contrast agent that fills a coronary tree and is washed out of it, on a beating heart.

One injection per run. A bolus enters at the ostium and runs on at one speed, so that a vessel's arrival time is
its distance from there; its tail follows once the injection ends, and what is left pales. Motion is periodic: the tree
goes to one end of its motion and back with every beat. Patient, exposure and catheter stay the same within a run.
The same (seed, patient, run, frames) always gives the same run.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from refvessel.demo.anatomy import Tube
from refvessel.demo.angiogram import Angiogram, Motion, drawn_exposure, expose, fill, scene_of


class CineFrame(NamedTuple):
    """A frame of a run.

    Attributes:
        angiogram: image and truth; a vessel is there where contrast agent is.
        contracted: how far the heart is contracted, from 0 to 1.
        filled: share of the tree's length that holds contrast agent, from 0 to 1.
    """

    angiogram: Angiogram
    contracted: float
    filled: float


class _Bolus(NamedTuple):
    """Times as shares of the run: when contrast agent arrives and ends, and how long each takes to the last vessel."""

    arrival: float
    end: float
    filling: float
    washing: float
    pale: float  # attenuation at the end of the run, as a share of that before


def cine_run(seed: int, patient: int, run: int, frames: int) -> Iterator[CineFrame]:
    """Yield the frames of run `run` of patient `patient`, in order.

    Args:
        seed: of all patients.
        patient: its number, as `angiogram` takes it: the same tree and background.
        run: its number among the patient's runs.
        frames: how many there are, two at least.
    """
    scene = scene_of(seed, patient)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient, run, frames)))
    contrast, wall = drawn_exposure(rng)
    beat, period, start = _beat(rng), rng.uniform(6, 11), rng.uniform(0, 1)
    bolus = _bolus(rng)
    longest = max(tube.path[-1] for tube in scene.tree) + 40.0
    for number in range(frames):
        time = number / (frames - 1)
        contracted = float(0.5 - 0.5 * np.cos(2 * np.pi * (number / period + start)))
        tree = beat.share(contracted).of(scene.tree)
        front = longest * (time - bolus.arrival) / bolus.filling
        tail = longest * (time - bolus.end) / bolus.washing
        filled = fill(tree, front, tail if tail > 0 else -np.inf)
        paled = 1 - (1 - bolus.pale) * max(0.0, (time - bolus.end) / (1 - bolus.end))
        drawn = expose(rng, scene, tree, filled, contrast * paled, wall)
        yield CineFrame(drawn, contracted, _length(filled) / _length(tree))


def _bolus(rng: np.random.Generator) -> _Bolus:
    """An injection that reaches the whole tree and ends in time to be seen to leave it."""
    return _Bolus(
        arrival=rng.uniform(0.05, 0.2),
        end=rng.uniform(0.55, 0.75),
        filling=rng.uniform(0.25, 0.35),
        washing=rng.uniform(0.45, 0.8),
        pale=rng.uniform(0.5, 0.8),
    )


def _beat(rng: np.random.Generator) -> Motion:
    """The far end of the heart's motion, contracted."""
    shift, bend = rng.normal(0, 6, size=2), rng.normal(0, 5, size=2)
    return Motion(
        rng.normal(0, 0.05), rng.uniform(0.9, 0.98), shift, bend, phase=rng.uniform(0, 2 * np.pi, size=2)
    )


def _length(tubes: list[Tube]) -> float:
    """Of the centrelines together, in pixels."""
    return float(sum(tube.path[-1] - tube.path[0] for tube in tubes))
