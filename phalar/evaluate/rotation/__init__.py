"""Phasors one can see: what the network's features do while a stem is moved in time against its mix.

`shifting` moves the stem, `trajectories` follows each feature through the complex plane and says whether it rotates,
`twin` predicts the same from the shift theorem, `survey` gathers both for an excerpt, `coherence` follows the score.
Book notebook *Phasors one can see and hear*.
"""

from phalar.evaluate.rotation.coherence import Contrast, contrast, scores
from phalar.evaluate.rotation.shifting import STEP, Excerpt, by_beats, by_steps, choose, choose_all, loop, loop_length
from phalar.evaluate.rotation.survey import Moved, measure
from phalar.evaluate.rotation.trajectories import (
    ALIASES,
    KINDS,
    Motion,
    Trace,
    arc,
    motion,
    radius_spread,
    speeds,
    steadiness,
    trace,
    trace_wrapped,
    winding,
)
from phalar.evaluate.rotation.twin import BORDER, explained, period, turned, wrapped, wrapped_picture

__all__ = [
    "ALIASES",
    "BORDER",
    "KINDS",
    "STEP",
    "Contrast",
    "Excerpt",
    "Motion",
    "Moved",
    "Trace",
    "arc",
    "by_beats",
    "by_steps",
    "choose",
    "choose_all",
    "contrast",
    "explained",
    "loop",
    "loop_length",
    "measure",
    "motion",
    "period",
    "radius_spread",
    "scores",
    "speeds",
    "steadiness",
    "trace",
    "trace_wrapped",
    "turned",
    "winding",
    "wrapped",
    "wrapped_picture",
]
