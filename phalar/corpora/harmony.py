"""Chords for a melody: functional harmony found by dynamic programming, then dressed in the colour of a style.

A tune is cut into slots, two a bar. Every chord of a vocabulary is scored in every slot, and every step between chords;
the sequence of highest sum is found exactly. Then a style's substitutions are put in where the melody bears them. Roots
count from the tonic. The numbers were set by hand; the book's page *From a tune to a band* has the formula.
"""

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from phalar.corpora.leadsheet import INTERVALS, Chord, LeadSheet, merged
from phalar.corpora.styles import read_table
from phalar.errors import InputError

VOCABULARY = {
    "major": """0 maj T .3, 2 min S .1, 4 min T 0, 5 maj S .3, 7 maj D .1, 9 min T .25, 11 dim D -.9
        | 0 7 A -.4, 2 7 A -.4, 4 7 A -.4, 9 7 A -.4 | 10 maj S -.2, 5 min S -.5, 3 maj T -.7, 8 maj S -.6""",
    "minor": """0 min T .3, 2 dim S -.8, 3 maj T .1, 5 min S .1, 7 maj D .2, 7 min D -.2, 8 maj S .1, 10 maj D .1
        | 0 7 A -.4, 2 7 A -.4, 10 7 A -.4 | 5 maj S -.6""",
    "dorian": """0 min T .6, 2 min S -.2, 3 maj T 0, 5 maj S .1, 7 min D 0, 10 maj D .1, 7 maj D -.9
        | 10 7 A -.4 | 8 maj S -.5""",
    "mixolydian": """0 maj T .3, 2 min S 0, 5 maj S .1, 7 min D 0, 9 min T 0, 10 maj D .3, 7 maj D -.9
        | 2 7 A -.6, 9 7 A -.6 | 3 maj T -.6""",
}
"""Root in semitones above the tonic, quality, function and prior of the chords of each mode; of dominants of other
degrees ("applied", function A); and of chords borrowed from the parallel key."""

Symbol = namedtuple("Symbol", "root quality function prior")
Colour = namedtuple("Colour", "applied borrowed middle stay back cadence")
COLOURS = {
    "folk": Colour(applied=-0.3, borrowed=None, middle=-1.1, stay=-0.3, back=-0.5, cadence=1.2),
    "pop": Colour(applied=-0.5, borrowed=0.0, middle=-1.6, stay=-0.8, back=0.1, cadence=0.6),
    "jazz": Colour(applied=0.3, borrowed=-0.2, middle=-0.4, stay=-0.8, back=-0.6, cadence=1.4),
    "blues": Colour(applied=0.0, borrowed=0.0, middle=-1.6, stay=-0.2, back=0.4, cadence=0.9),
    "modal": Colour(applied=None, borrowed=0.4, middle=-2.0, stay=-0.5, back=0.3, cadence=0.2),
}
"""What a family of styles adds for applied and borrowed chords (None: not used), for a change in the middle of a bar,
to stay over a bar line, to go back from a dominant to a subdominant, and for the cadence that closes a strain."""

FIT = 2.5  # of a slot full of chord tones, against the other scores
# Of a melody note that is no chord tone (those count 1): left by step off the beat; else; a semitone off on a beat.
STEP, LEAP, CLASH = -0.25, -0.8, -1.4
CARRIED = {quality: {step % 12 for step in steps} for quality, steps in INTERVALS.items()} | {"maj7": {4, 7, 11}}
"""What counts as a chord tone: not the root of a major seventh, which rubs against the seventh."""
# For a root that goes up by so many semitones (5 is the fall of a fifth), and for a step from function to function.
MOTION = {5: 0.6, 2: 0.2, 9: 0.3, 8: 0.3, 7: 0.1, 10: 0.1, 6: -0.6, 1: -0.3, 11: -0.3, 0: -0.4}
PROGRESS = {("S", "D"): 0.4, ("A", "D"): 0.4, ("D", "T"): 0.5, ("T", "S"): 0.1, ("T", "A"): 0.1}
TONIC_LAST, TONIC_FIRST, HALF_CLOSE = 1.5, 0.4, 0.5
"""For the tonic at the end and at the beginning of a strain, and for a dominant after every four bars."""
TASTE, VARIATION = 0.45, 0.25
"""Standard deviation of how much a piece favours each chord, and by how much this differs from strain to strain."""

RULES = Path(__file__).with_name("substitutions.csv")
"""What a colour puts in place of plain chords, tried in this order: qualities and degrees that it is for, semitones up
to the next root (``+``: any, but not at the end), which part of the chord it replaces (halves are of chords of a bar or
more), how often, and what by: the first quality (with ``7:``, seven semitones up) that carries the melody as well."""


def vocabulary(mode: str, colour: str) -> list[Symbol]:
    """What a style may choose from in a mode."""
    found = []
    for entries, ease in zip(VOCABULARY[mode].split("|"), (0.0, *COLOURS[colour][:2]), strict=True):
        for root, quality, function, prior in map(str.split, entries.split(",") if ease is not None else ()):
            found.append(Symbol(int(root), quality, function, float(prior) + ease))
    return found


def harmonise(tune: LeadSheet, colour: str, rng: np.random.Generator) -> LeadSheet:
    """A tune with chords in a colour of :data:`COLOURS`, the last one on the tonic. The generator draws the piece's
    taste, and which of the style's substitutions are made. An `InputError` if there is no such colour."""
    if colour not in COLOURS:
        raise InputError(f"colour {colour!r}: use one of {', '.join(COLOURS)}")
    symbols, plain = vocabulary(tune.mode, colour), []
    path, _ = best_path(*scores(tune, symbols, COLOURS[colour], rng))
    for (begin, end), s in zip(slots(tune), path, strict=True):
        plain.append(Chord(begin, end - begin, symbols[s].root, symbols[s].quality))
    rules = [rule for rule in read_table(RULES) if rule["colour"] == colour]
    dressed, plain = [], merged(plain)
    for chord, following in zip(plain, [*plain[1:], None], strict=True):
        dressed += dress(chord, following and (following.root - chord.root) % 12, rules, tune, rng)
    return replace(tune, chords=tuple(replace(c, root=(c.root + tune.tonic) % 12) for c in merged(dressed)))


def slots(tune: LeadSheet) -> list[tuple[float, float]]:
    """Where chords may change: two slots a bar, in three-beat bars of two beats and one. (begin, end) in quarters."""
    middle = tune.beat * (2 if tune.beats_per_bar in {3, 4} else 1)
    edges = [tune.pickup + n * tune.bar + x for n in range(tune.bars) for x in (0, middle)]
    return list(pairwise([*edges, tune.length]))


def strength(tune: LeadSheet, onset: float) -> float:
    """Weight of a place in the bar: bar line 1, other beats 0.8, between beats 0.5."""
    beat = (onset - tune.pickup) / tune.beat
    return 0.5 if abs(beat - round(beat)) > 1e-3 else 0.8 if round(beat) % tune.beats_per_bar else 1.0


def fit(tune: LeadSheet, edges: Sequence[tuple[float, float]], chords: Sequence[Symbol | Chord]) -> np.ndarray:
    """How well each chord carries the melody of each stretch: at most 1, where all of it are chord tones on bar lines.
    Roots count from the tonic. (edges, chords), float64."""
    tones = np.array([[(degree - c.root) % 12 in CARRIED[c.quality] for degree in range(12)] for c in chords])
    beside = np.roll(tones, 1, axis=1) | np.roll(tones, -1, axis=1)
    found = np.zeros((len(edges), len(chords)))
    for note, following in pairwise([*tune.melody, tune.melody[-1]]):
        degree, steps = (note.pitch - tune.tonic) % 12, 0 < abs(following.pitch - note.pitch) <= 2
        for i, (begin, end) in enumerate(edges):
            share = (min(note.end, end) - max(note.onset, begin)) / (end - begin)
            if share > 1e-6:
                weight = strength(tune, max(note.onset, begin))
                foreign = np.where(beside[:, degree], CLASH, LEAP) if weight > 0.5 else STEP if steps else LEAP
                found[i] += weight * share * np.where(tones[:, degree], 1.0, foreign)
    return found


def scores(tune: LeadSheet, symbols: Sequence[Symbol], colour: Colour, rng: np.random.Generator):
    """What each chord is worth in each slot (slots, symbols), and each step from slot to slot (slots - 1, symbols,
    symbols), from the earlier chord to the later one; float64."""
    bar, middle = np.divmod(np.arange(2 * tune.bars), 2)
    firsts = np.array([round((onset - tune.pickup) / tune.bar) for onset, _ in tune.strains])
    begins, ends = np.isin(bar, firsts), np.isin(bar + 1, [*firsts, tune.bars])
    strain = np.searchsorted(firsts, bar, side="right") - 1
    half = middle * ~ends * ((bar - firsts[strain]) % 4 == 3)
    tonic = np.array([s.root == 0 and s.function == "T" for s in symbols])
    dominant = np.array([s.function == "D" for s in symbols])
    pace = rng.uniform(0.7, 1.3) * (1.6 if tune.bar <= 2 else 1.0)  # how unwillingly chords change within a bar

    taste = TASTE * rng.standard_normal(len(symbols))
    local = FIT * fit(tune, slots(tune), symbols) + [s.prior for s in symbols] + taste
    local += VARIATION * rng.standard_normal((len(firsts), len(symbols)))[strain]
    local += np.outer(TONIC_FIRST * begins * ~middle.astype(bool) + TONIC_LAST * ends * middle, tonic)
    local += HALF_CLOSE * np.outer(half, dominant)
    local[-1, ~tonic] = -1e3  # the end

    hurried = ends | np.isin(bar + 2, [*firsts, tune.bars])  # near a close chords change faster
    change = np.where(middle, colour.middle * pace * np.where(hurried, 0.5, 1.0), 0.0)[1:, None, None]
    stay = np.where(middle, 0.0, colour.stay / pace)[1:, None, None]
    moves = np.array([[_step(one, other, colour) for other in symbols] for one in symbols])
    moves = moves + np.where(np.eye(len(symbols), dtype=bool), stay, change)
    return local, moves + colour.cadence * ends[1:, None, None] * np.outer(dominant, tonic)


def _step(one: Symbol, other: Symbol, colour: Colour) -> float:
    if one == other:
        return 0.0
    up = (other.root - one.root) % 12
    worth = MOTION.get(up, 0.0) + PROGRESS.get((one.function, other.function), 0.0)
    worth += colour.back * (one.function == "D" and other.function in "SA")
    if one.function == "A":  # it resolves down a fifth, best to a chord that rests
        worth += -3.0 if up != 5 else 0.0 if other.function == "A" else 0.5
    return worth


def best_path(local: np.ndarray, moves: np.ndarray) -> tuple[list[int], float]:
    """The sequence of states, one a slot, of highest sum, and that sum, by Viterbi's algorithm. ``local`` is u, what
    states are worth, (slots, states); ``moves`` is psi, what steps are, (slots - 1, states, states):
    M_1(c) = u_1(c), M_t(c) = u_t(c) + max over c' of M_{t-1}(c') + psi_t(c', c)."""
    best, origins = local[0], []
    for u, psi in zip(local[1:], moves, strict=True):
        through = best[:, None] + psi
        origins.append(through.argmax(0))
        best = u + through.max(0)
    path = [int(best.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1], float(best.max())


def dress(chord: Chord, up: int | None, rules: Sequence[dict[str, str]], tune: LeadSheet, rng) -> list[Chord]:
    """A chord, counted from the tonic, after the first of the :data:`RULES` that applies; what that leaves of the chord
    goes on to the rules that follow. The next root is ``up`` semitones higher."""
    middle = min((begin for begin, _ in slots(tune)), key=lambda at: abs(at - (chord.onset + chord.end) / 2))
    first = replace(chord, duration=middle - chord.onset)
    second = replace(chord, onset=middle, duration=chord.end - middle)
    parts = {"all": chord} | ({"first": first, "second": second} if chord.duration > tune.bar - 1e-6 else {})
    for i, rule in enumerate(rules):
        fits = chord.quality in rule["qualities"].split() and rule["part"] in parts
        fits = fits and (rule["degrees"] == "*" or str(chord.root) in rule["degrees"].split())
        fits = fits and (rule["motion"] in ("*", str(up)) or (rule["motion"] == "+" and up is not None))
        for other in rule["replacements"].split() if fits and rng.random() < float(rule["often"]) else ():
            (shift, _, quality), part = other.rpartition(":"), parts[rule["part"]]
            new = replace(part, root=(part.root + int(shift or 0)) % 12, quality=quality)
            old, instead = fit(tune, [(part.onset, part.end)], [part, new])[0]
            if instead >= old - 1e-6:
                before = dress(first, None, rules[i + 1 :], tune, rng) if part is second else []
                return [*before, new, *(dress(second, up, rules[i + 1 :], tune, rng) if part is first else [])]
    return [chord]
