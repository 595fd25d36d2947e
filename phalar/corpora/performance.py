"""How an arrangement is played: one clock that all follow, and players around it.

The clock bends with drift, rubato, fermatas and the last ritardando, and with it every part alike. Around it each
player has habits: ahead of the beat or behind it, more or less exact, louder or softer, legato or detached. Strokes are
written straight; swing is applied here. How much of each there is says one :class:`Feel`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np

from phalar.corpora.leadsheet import NEAR, Arrangement, Part
from phalar.corpora.sampler import Note
from phalar.corpora.styles import table

LIMIT = 3.0  # standard deviations beyond which no player strays
SHORTEST = 0.03  # seconds that a note lasts at least


@dataclass(frozen=True)
class Feel:
    """How a piece is played. The defaults are a machine's; what is relative is a share of the beat."""

    looseness: float = 0.0  # standard deviation, in seconds, of a player's onsets around where this player aims
    push: Mapping[str, float] = field(default_factory=dict)  # by role, seconds by which players aim behind the beat
    swing: float | None = None  # where the second half of a beat falls, instead of where the arrangement says
    velocity: float = 0.0  # standard deviation of velocities
    strum: float = 0.0  # seconds from one string to the next
    drift: float = 0.0  # standard deviation, relative, of the tempo's slow wander
    rubato: float = 0.0  # the same within phrases: 0.1 is a singer's freedom, 0.3 hardly keeps a pulse
    ritardando: float = 0.0  # how much longer a beat lasts at the end, relative, slowing over eight beats
    fermata: float = 0.0  # the same under a fermata, slowing over two quarter notes before it
    arch: float = 0.0  # velocity steps between the edge of a phrase and its middle
    accent: float = 0.0  # velocity steps between the first beat of a bar and a note off the beat
    detached: float = 0.0  # share of a note's length that a player leaves out at most, most of them less
    lead_in: float = 0.1  # seconds before the first beat, so that who plays ahead of it is not cut


TIGHT = Feel(looseness=0.005, velocity=4.0, strum=0.009)
"""To a click, as well as people do it: `band`, and the straight half of `beats`."""


def draw_feel(name: str, rng: np.random.Generator, lean: float = 0.0) -> Feel:
    """A feel of one of the kinds in ``styles.yaml``: ``"click"``, ``"free"``, ``"expressive"`` or ``"hymn"``. Players
    of a band have habits by role, ``lean`` seconds behind the beat, and the lead comes a little later still."""
    drawn = {key: max(float(rng.uniform(low, high)), 0.0) for key, (low, high) in table()["feels"][name].items()}
    roles = ("percussion", "bass", "strum", "comp", "pad", "arpeggio", "riff", "lead", "counter")
    aims = lean * rng.uniform(0.2, 1.2, len(roles)) + 0.004 * np.clip(rng.standard_normal(len(roles)), -LIMIT, LIMIT)
    late = rng.uniform(0, 0.015) * np.array([role == "lead" for role in roles])
    return Feel(push={} if name == "hymn" else dict(zip(roles, (aims + late).tolist(), strict=True)), **drawn)


def perform(page: Arrangement, feel: Feel, rng: np.random.Generator) -> tuple[list[list[Note]], np.ndarray]:
    """Play an arrangement: the notes of each part, by onset, and the seconds of every beat, (beats,). One generator
    gives performances that differ by ``feel`` alone: what is drawn depends on neither feel nor pitch. Taught in
    ``book/band-and-studio.md``."""
    seconds = clock(page, feel, rng)
    return [_play(part, page, seconds, feel, rng) for part in page.parts], seconds


def clock(page: Arrangement, feel: Feel, rng: np.random.Generator) -> np.ndarray:
    """Seconds of every beat, (beats,): the tempo is constant within a beat and changes from one to the next."""
    written, count = np.array([quarter for quarter, _ in page.beats]), len(page.beats)
    beat = np.arange(count)
    periods, phases = np.array([31, 53, 97]) * rng.uniform(0.8, 1.25, 3), rng.random(3)
    wander = np.sin(2 * np.pi * (beat[:, None] / periods + phases)).sum(1) / np.sqrt(1.5)
    # Rubato: a phrase of eight beats or so presses on towards its middle and yields at its end, and no two are alike.
    period, phase = rng.uniform(6, 10), rng.random()
    phrase = np.cos(2 * np.pi * (beat / period + phase)) * rng.uniform(0.6, 1.4, count)
    own = _drifting(rng.standard_normal(count), 0.6, 0.8)
    free = np.clip(0.8 * phrase + 0.6 * own, -2.5, 2.5)
    slowing, middle = feel.ritardando * np.clip((beat - (count - 9)) / 8, 0, 1) ** 2, written + page.beat / 2
    for onset, end in page.fermatas:
        approach = np.clip((middle - onset + 2) / 2, 0, 1) ** 2
        slowing = np.maximum(slowing, np.where(middle < end, feel.fermata * approach, 0))
    lasting = 60 / page.bpm * np.exp(feel.drift * wander + feel.rubato * free) * (1 + slowing)
    return feel.lead_in + np.concatenate([[0.0], np.cumsum(lasting[:-1] * np.diff(written) / page.beat)])


def _drifting(shocks: np.ndarray, keep: float, add: float) -> np.ndarray:
    """A walk that forgets: every value is ``keep`` of the one before and ``add`` of a shock."""
    return np.array(list(accumulate(add * shocks, lambda before, shock: keep * before + shock)))


def moment(page: Arrangement, seconds: np.ndarray, quarters) -> np.ndarray:
    """When moments of the page are reached: seconds of ``quarters`` (quarter notes), given those of the beats. Before
    the first beat and after the last the tempo goes on as it was there."""
    written, quarters = np.array([quarter for quarter, _ in page.beats]), np.asarray(quarters, np.float64)
    pace = np.diff(seconds) / np.diff(written)
    before, after = np.minimum(quarters - written[0], 0), np.maximum(quarters - written[-1], 0)
    return np.interp(quarters, written, seconds) + before * pace[0] + after * pace[-1]


def chords(page: Arrangement, seconds: np.ndarray) -> list[tuple[float, float, str]]:
    """The chords as they were played: start and end in seconds, and label, contiguous; ``N`` where there is none."""
    spans = [(chord.onset, chord.end, chord.label) for chord in page.chords]
    edges = [(0.0, 0.0, ""), *spans, (page.length, page.length, "")]
    gaps = [(a[1], b[0], "N") for a, b in pairwise(edges) if b[0] - a[1] > NEAR]
    starts, ends, labels = zip(*sorted(spans + gaps), strict=True)
    return list(zip(*moment(page, seconds, [starts, ends]).round(4).tolist(), labels, strict=True))


def swung(quarters, page: Arrangement, swing: float) -> np.ndarray:
    """Where straight moments fall when the second half of every beat begins at ``swing`` of it. Triplets (thirds of a
    beat) stay: they swing already."""
    origin = page.beats[0][0]
    whole, share = np.divmod((np.asarray(quarters, np.float64) - origin) / page.beat + 1e-9, 1)
    thirds = (np.abs(share * 3 - np.round(share * 3)) < 0.02) & (share > 0.1) & (share < 0.9)
    bent = np.where(share < 0.5, 2 * swing * share, swing + 2 * (1 - swing) * (share - 0.5))
    return origin + page.beat * (whole + np.where(thirds, share, bent) - 1e-9)


def _stress(page: Arrangement, feel: Feel, quarters: np.ndarray) -> np.ndarray:
    """Velocity steps for the place in the phrase, which swells and fades, and for the beat of the bar."""
    edges = np.array([0.0, *[end for _, end in page.fermatas], page.length + 1])
    after = np.clip(np.searchsorted(edges, quarters, "right"), 1, len(edges) - 1)
    place = (quarters - edges[after - 1]) / (edges[after] - edges[after - 1])
    strength = {quarter: {1: 1.0, 3: 0.5}.get(number, 0.3) for quarter, number in page.beats}
    beats = np.array([strength.get(quarter, 0.0) for quarter in quarters])
    return feel.arch * (np.sin(np.pi * np.clip(place, 0, 1)) - 0.5) + feel.accent * (beats - 0.4)


def _play(part: Part, page: Arrangement, seconds: np.ndarray, feel: Feel, rng: np.random.Generator) -> list[Note]:
    """One player's notes. Habits are drawn for the player, strays for each moment, and a little more for each note."""
    habit, intonation, vibrato, vibrato_hz = *rng.standard_normal(2), *rng.uniform([0.5, 4.8], [1.2, 6.4])
    depth = table()["vibrato"].get(part.program, 0) if part.pitched else 0
    exact = 3.0 if depth else 0.0  # cents: whose pitch is made by the player, and not by a fret or a key
    strokes, count = sorted(part.strokes, key=lambda stroke: stroke.onset), len(part.strokes)
    written = np.array([(s.onset, s.end) for s in strokes]).reshape(-1, 2)
    times = moment(page, seconds, swung(written, page, page.swing if feel.swing is None else feel.swing))
    # A repeated note has to be let go first, and under a fermata one breathes.
    held = {onset for onset, _ in page.fermatas}
    again = [a.pitch == b.pitch and b.onset < a.end + NEAR for a, b in pairwise(strokes)] + [False]
    breath = np.array([0.1 * twice or 0.07 * (s.onset in held) for s, twice in zip(strokes, again, strict=False)])
    left_out = np.maximum(feel.detached * rng.random() ** 2, breath * (feel.detached > 0))
    # What is struck together is one stray, and one louder or softer; each note has a little of its own.
    first = np.diff(written[:, 0], prepend=-1) > NEAR
    group, place = np.cumsum(first) - 1, np.arange(count) - np.maximum.accumulate(np.where(first, np.arange(count), 0))
    walk, stray, loud = rng.standard_normal((3, int(first.sum())))
    stray = np.clip(0.5 * habit + _drifting(walk, 0.7, 0.5) + 0.5 * stray, -LIMIT, LIMIT)[group]
    own = np.clip(rng.standard_normal((3, count)), -LIMIT, LIMIT)
    late = feel.push.get(part.role, 0.0) + feel.looseness * (stray + 0.2 * own[0])
    onsets = np.maximum(times[:, 0] + late + feel.strum * place * (part.role == "strum"), 0.0)
    lengths = np.maximum((times[:, 1] - times[:, 0]) * (1 - left_out), SHORTEST)
    velocity = np.array([stroke.velocity for stroke in strokes]) + _stress(page, feel, written[:, 0])
    velocity = np.clip(velocity + 0.7 * feel.velocity * (loud[group] + own[1]), 1, 127)
    cents = exact * (intonation + 0.5 * own[2])
    rows = zip(onsets.tolist(), lengths.tolist(), strokes, velocity.tolist(), cents.tolist(), strict=True)
    notes = [Note(at, held, s.pitch, loud, tune, depth * vibrato, vibrato_hz) for at, held, s, loud, tune in rows]
    return sorted(notes, key=lambda note: note.onset)
