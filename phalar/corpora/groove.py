"""How a band plays what an arrangement asks for: one clock that all follow, and players around it.

The clock is the band's: tempo drift, rubato and the last ritardando bend it, and with it every part alike, since
players follow each other. Around it each player has habits: ahead of the beat or behind it, more or less exact, the
notes of a chord not quite together. Strokes are written straight; swing is applied here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from phalar.corpora.arrangement import Arrangement, Part, Stroke
from phalar.corpora.sampler import Note

LEAD_IN = 0.1
"""Seconds before the first beat, so that who plays ahead of it is not cut."""

LIMIT = 3.0
"""Standard deviations beyond which no player strays."""

SHORTEST = 0.03
"""Seconds that a note lasts at least."""

VIBRATO = (
    dict.fromkeys(range(40, 43), 14)
    | {43: 6, 44: 12, 48: 6, 49: 6, 52: 8, 53: 10, 54: 6}
    | {
        **dict.fromkeys(range(56, 61), 5),
        **dict.fromkeys(range(64, 68), 9),
        **{68: 9, 69: 8, 70: 5, 72: 8, 73: 12, 74: 6, 75: 10, 78: 10, 22: 6, 110: 10},
    }
)
"""Peak depth in cents that an instrument invites, by General MIDI program counted from 0; none for the others."""


@dataclass(frozen=True)
class Feel:
    """How a band plays.

    Attributes
    ----------
    looseness : float
        Standard deviation, in seconds, of a player's onsets around where this player aims.
    push : mapping of str to float
        Seconds by which the players of a role aim behind the beat (laid back), or before it if negative (pushing).
    swing : float, optional
        Where the second half of a beat falls, instead of where the arrangement says.
    velocity : float
        Standard deviation of velocities around what is written.
    strum : float
        Seconds from one string to the next in a strummed chord.
    drift : float
        Standard deviation of the tempo's slow wander, relative.
    ritardando : float
        How much longer the last beat lasts, relative; the slowing begins eight beats before.
    rubato : float
        Standard deviation of the tempo within phrases, relative: 0.1 is a singer's freedom, 0.3 hardly keeps a pulse.
    """

    looseness: float = 0.0
    push: Mapping[str, float] = field(default_factory=dict)
    swing: float | None = None
    velocity: float = 0.0
    strum: float = 0.0
    drift: float = 0.0
    ritardando: float = 0.0
    rubato: float = 0.0


TIGHT = Feel(looseness=0.005, velocity=4.0, strum=0.009)
"""To a click, as well as people do it: `band`, and the straight half of `beats`."""

LAID_BACK = {"hip-hop", "soul", "reggae", "blues", "ballad", "bossa", "swing", "gospel", "lo-fi", "jazz", "waltz"}
PUSHING = {"rock", "metal", "punk", "march", "polka", "latin", "country", "bluegrass", "ska", "samba"}
CLICK = {"disco", "hip-hop", "house", "techno", "synthpop", "edm", "electro", "trap", "pop"}
"""Styles by how they sit on the beat, and those usually recorded to a click. Others are in between."""


def studio_feel(style: str, rng: np.random.Generator) -> Feel:
    """How the band of one studio song plays.

    Half of the bands, and most of those whose style asks for it, record to a click; the others drift by a few percent.
    """
    lean = 0.012 * (style in LAID_BACK) - 0.007 * (style in PUSHING)
    roles = ("percussion", "bass", "strum", "comp", "pad", "arpeggio", "riff", "lead", "counter")
    push = {
        role: float(np.clip(lean * rng.uniform(0.2, 1.2) + 0.004 * rng.standard_normal(), -0.02, 0.03))
        for role in roles
    }
    push["lead"] += rng.uniform(0, 0.015)
    to_click = rng.random() < (0.8 if style in CLICK else 0.4)
    return Feel(
        looseness=rng.uniform(0.004, 0.012),
        push={"drums": 0.0} | push,
        velocity=rng.uniform(4, 9),
        strum=rng.uniform(0.006, 0.016),
        drift=rng.uniform(0.0, 0.002) if to_click else rng.uniform(0.006, 0.02),
        ritardando=0.0 if to_click or rng.random() < 0.4 else rng.uniform(0.15, 0.6),
        rubato=0.0 if to_click else rng.uniform(0.0, 0.02),
    )


def expressive_feel(rng: np.random.Generator) -> Feel:
    """Nobody counts in: drift, rubato and a last ritardando that a listener notices (the other half of `beats`)."""
    return Feel(
        looseness=rng.uniform(0.005, 0.012),
        push={"lead": rng.uniform(0, 0.015), "bass": rng.uniform(-0.004, 0.008)},
        velocity=rng.uniform(5, 10),
        strum=rng.uniform(0.008, 0.018),
        drift=rng.uniform(0.015, 0.035),
        ritardando=rng.uniform(0.3, 0.9),
        rubato=rng.uniform(0.04, 0.1),
    )


def perform(arrangement: Arrangement, feel: Feel, rng: np.random.Generator) -> tuple[list[list[Note]], np.ndarray]:
    """Play an arrangement.

    The same generator gives performances that differ by ``feel`` alone: how much is drawn does not depend on it.

    Parameters
    ----------
    arrangement : Arrangement
    feel : Feel
    rng : np.random.Generator

    Returns
    -------
    (list of list of Note, np.ndarray, (beats,))
        The notes of each part, by onset, and the seconds of every beat of the arrangement. Taught in
        ``book/corpora.md``.
    """
    seconds = clock(arrangement, feel, rng)
    return [_play(part, arrangement, seconds, feel, rng) for part in arrangement.parts], seconds


def clock(arrangement: Arrangement, feel: Feel, rng: np.random.Generator) -> np.ndarray:
    """Seconds of every beat, (beats,): the tempo is constant within a beat and changes from one to the next."""
    count = len(arrangement.beats)
    beat = np.arange(count)
    wander = sum(
        np.sin(2 * np.pi * (beat / (period * rng.uniform(0.8, 1.25)) + rng.random())) for period in (31, 53, 97)
    )
    slow = feel.drift * wander / np.sqrt(1.5)
    # Rubato: a phrase of eight beats or so presses on towards its middle and yields at its end, and no two are alike.
    period, phase = rng.uniform(6, 10), rng.random()
    phrase = np.cos(2 * np.pi * (beat / period + phase)) * rng.uniform(0.6, 1.4, count)
    own = np.zeros(count)
    for n, shock in enumerate(rng.standard_normal(count)):
        own[n] = 0.6 * own[n - 1] + 0.8 * shock
    free = feel.rubato * np.clip(0.8 * phrase + 0.6 * own, -2.5, 2.5)
    ending = feel.ritardando * np.clip((beat - (count - 9)) / 8, 0, 1) ** 2
    lengths = np.diff([quarter for quarter, _ in arrangement.beats]) / arrangement.beat
    lasting = 60 / arrangement.bpm * np.exp(slow + free)[:-1] * (1 + ending[:-1]) * lengths
    return LEAD_IN + np.concatenate([[0.0], np.cumsum(lasting)])


def moment(arrangement: Arrangement, seconds: np.ndarray, quarters) -> np.ndarray:
    """When moments of the page are reached: seconds of ``quarters`` (quarter notes), given those of the beats.

    Before the first beat and after the last the tempo goes on as it was there.
    """
    written = np.array([quarter for quarter, _ in arrangement.beats])
    quarters = np.asarray(quarters, np.float64)
    first, last = (
        (seconds[1] - seconds[0]) / (written[1] - written[0]),
        (seconds[-1] - seconds[-2]) / (written[-1] - written[-2]),
    )
    before, after = np.minimum(quarters - written[0], 0), np.maximum(quarters - written[-1], 0)
    return np.interp(quarters, written, seconds) + before * first + after * last


def chords(arrangement: Arrangement, seconds: np.ndarray) -> list[tuple[float, float, str]]:
    """The chords as they were played: start and end in seconds, and label, contiguous."""
    edges = [chord.onset for chord in arrangement.chords] + [arrangement.length]
    times = moment(arrangement, seconds, edges).round(4).tolist()
    return [(start, end, c.label) for (start, end), c in zip(pairwise(times), arrangement.chords, strict=True)]


def swung(quarters, arrangement: Arrangement, swing: float) -> np.ndarray:
    """Where straight moments fall when the second half of every beat begins at ``swing`` of it.

    Triplets (thirds of a beat) stay: they swing already.
    """
    origin = arrangement.beats[0][0]
    whole, share = np.divmod((np.asarray(quarters, np.float64) - origin) / arrangement.beat + 1e-9, 1)
    thirds = (np.abs(share * 3 - np.round(share * 3)) < 0.02) & (share > 0.1) & (share < 0.9)
    bent = np.where(share < 0.5, 2 * swing * share, swing + 2 * (1 - swing) * (share - 0.5))
    return origin + arrangement.beat * (whole + np.where(thirds, share, bent) - 1e-9)


def _play(
    part: Part, arrangement: Arrangement, seconds: np.ndarray, feel: Feel, rng: np.random.Generator
) -> list[Note]:
    """One player's notes."""
    swing = arrangement.swing if feel.swing is None else feel.swing
    habit, drift = 0.5 * rng.standard_normal(), 0.0
    intonation, vibrato, vibrato_hz = rng.standard_normal(), rng.uniform(0.5, 1.2), rng.uniform(4.8, 6.4)
    depth = VIBRATO.get(part.program, 0) if not part.drums else 0
    exact = 3.0 if depth else 0.0  # cents: whose pitch is made by the player, and not by a fret or a key
    strokes = sorted(part.strokes, key=lambda s: (s.onset, s.pitch))
    written = [[s.onset, s.onset + s.duration] for s in strokes]
    times = moment(arrangement, seconds, swung(np.reshape(written, (-1, 2)), arrangement, swing))
    notes = []
    for group in _together(strokes):
        drift = 0.7 * drift + 0.5 * rng.standard_normal()
        stray = _within(habit + drift + 0.5 * rng.standard_normal(), -LIMIT, LIMIT)
        aim = feel.push.get(part.role, 0.0) + feel.looseness * stray
        louder = 0.7 * feel.velocity * rng.standard_normal()
        for place, index in enumerate(_in_playing_order(group, strokes, part.role, arrangement)):
            (start, stop), stroke = times[index], strokes[index]
            late = aim + 0.2 * feel.looseness * _within(rng.standard_normal(), -LIMIT, LIMIT)
            if part.role == "strum":
                late += feel.strum * place
            velocity = stroke.velocity + louder + 0.7 * feel.velocity * rng.standard_normal()
            notes.append(
                Note(
                    onset=max(float(start) + late, 0.0),
                    duration=max(float(stop - start), SHORTEST),
                    pitch=stroke.pitch,
                    velocity=_within(velocity, 1, 127),
                    cents=float(exact * (intonation + 0.5 * rng.standard_normal())),
                    vibrato_cents=float(depth * vibrato),
                    vibrato_hz=float(vibrato_hz),
                )
            )
    return sorted(notes, key=lambda note: (note.onset, note.pitch))


def _within(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))


def _together(strokes: Sequence[Stroke]) -> list[list[int]]:
    """Indices of strokes, in groups that are written at the same moment."""
    groups: list[list[int]] = []
    for index, stroke in enumerate(strokes):
        if groups and stroke.onset - strokes[groups[-1][0]].onset < 1e-6:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _in_playing_order(group: list[int], strokes: Sequence[Stroke], role: str, arrangement: Arrangement) -> list[int]:
    """A strum goes down (from the lowest string) on the first half of a beat, up on the second."""
    share = (strokes[group[0]].onset - arrangement.beats[0][0]) / arrangement.beat % 1
    return group[::-1] if role == "strum" and 0.45 < share < 0.95 else group
