"""Chords for a melody: functional harmony found by dynamic programming, then dressed in the colour of a style.

A tune is cut into slots, two a bar. Every chord of a vocabulary is scored in every slot: for the melody notes that are
chord tones, weighted by length and place in the bar, for its place in the phrase (a cadence closes each strain, four
bars before it often stands a half close), and for the step from the chord before (fifths fall, subdominants go to
dominants, applied dominants resolve). The sequence with the highest sum is found exactly, by Viterbi's algorithm. Then
a style's sevenths, suspensions, inversions, ii-V pairs and tritone substitutions are put in where the melody bears
them.

All is reckoned from the tonic, so a transposed tune gets the same chords transposed. Numbers below were set by hand,
looking at the statistics that the page shows. See the page on the built-in corpora in the book.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np

from phalar.corpora.abc_tunes import Tune, display_title
from phalar.corpora.leadsheet import INTERVALS, Chord, LeadSheet
from phalar.corpora.score import Written
from phalar.errors import InputError


@dataclass(frozen=True)
class Symbol:
    """A chord as a degree: ``root`` in semitones above the tonic, ``quality`` as in
    :data:`phalar.corpora.leadsheet.INTERVALS`, ``function`` ``"T"``, ``"S"`` or ``"D"``, ``prior`` how readily it is
    used, ``applied`` whether it is the dominant of another degree than the tonic."""

    root: int
    quality: str
    function: str
    prior: float = 0.0
    applied: bool = False

    @property
    def tones(self) -> frozenset[int]:
        """Semitones above the tonic, octaves dropped."""
        return frozenset((self.root + interval) % 12 for interval in INTERVALS[self.quality])


DEGREES = {
    "major": (
        Symbol(0, "maj", "T", 0.3),
        Symbol(2, "min", "S", 0.1),
        Symbol(4, "min", "T", 0.0),
        Symbol(5, "maj", "S", 0.3),
        Symbol(7, "maj", "D", 0.1),
        Symbol(9, "min", "T", 0.25),
        Symbol(11, "dim", "D", -0.9),
    ),
    "minor": (
        Symbol(0, "min", "T", 0.3),
        Symbol(2, "dim", "S", -0.8),
        Symbol(3, "maj", "T", 0.1),
        Symbol(5, "min", "S", 0.1),
        Symbol(7, "maj", "D", 0.2),
        Symbol(7, "min", "D", -0.2),
        Symbol(8, "maj", "S", 0.1),
        Symbol(10, "maj", "D", 0.1),
        Symbol(5, "maj", "S", -0.6),
    ),
    "dorian": (
        Symbol(0, "min", "T", 0.6),
        Symbol(2, "min", "S", -0.2),
        Symbol(3, "maj", "T", 0.0),
        Symbol(5, "maj", "S", 0.1),
        Symbol(7, "min", "D", 0.0),
        Symbol(10, "maj", "D", 0.1),
        Symbol(7, "maj", "D", -0.9),
    ),
    "mixolydian": (
        Symbol(0, "maj", "T", 0.3),
        Symbol(2, "min", "S", 0.0),
        Symbol(5, "maj", "S", 0.1),
        Symbol(7, "min", "D", 0.0),
        Symbol(9, "min", "T", 0.0),
        Symbol(10, "maj", "D", 0.3),
        Symbol(7, "maj", "D", -0.9),
    ),
}
"""What every style may use in a mode."""

APPLIED = {
    "major": tuple(Symbol(root, "7", "S", -0.4, applied=True) for root in (0, 2, 4, 9)),
    "minor": tuple(Symbol(root, "7", "S", -0.4, applied=True) for root in (0, 2, 10)),
    "dorian": (Symbol(10, "7", "S", -0.4, applied=True),),
    "mixolydian": (Symbol(2, "7", "S", -0.6, applied=True), Symbol(9, "7", "S", -0.6, applied=True)),
}
"""Dominants of other degrees: of IV, V, vi and ii in major."""

BORROWED = {
    "major": (
        Symbol(10, "maj", "S", -0.2),
        Symbol(5, "min", "S", -0.5),
        Symbol(3, "maj", "T", -0.7),
        Symbol(8, "maj", "S", -0.6),
    ),
    "minor": (),
    "dorian": (Symbol(8, "maj", "S", -0.5),),
    "mixolydian": (Symbol(3, "maj", "T", -0.6),),
}
"""From the parallel key: bVII, iv, bIII, bVI in major."""


@dataclass(frozen=True)
class Colour:
    """How a family of styles harmonises.

    Attributes
    ----------
    applied, borrowed : float
        Added to the prior of applied dominants and of borrowed chords; None if it does not use them.
    middle, stay : float
        For a change in the middle of a bar, and for keeping a chord over a bar line.
    retrogression : float
        For going from a dominant to a subdominant.
    cadence : float
        For a dominant before the tonic at the end of a strain.
    inverted : float
        How often a chord that would join its neighbours' basses by step is inverted.
    """

    applied: float | None
    borrowed: float | None
    middle: float
    stay: float
    retrogression: float
    cadence: float
    inverted: float


COLOURS = {
    "folk": Colour(applied=-0.3, borrowed=None, middle=-1.1, stay=-0.3, retrogression=-0.5, cadence=1.2, inverted=0.5),
    "pop": Colour(applied=-0.5, borrowed=0.0, middle=-1.6, stay=-0.8, retrogression=0.1, cadence=0.6, inverted=0.6),
    "jazz": Colour(applied=0.3, borrowed=-0.2, middle=-0.4, stay=-0.8, retrogression=-0.6, cadence=1.4, inverted=0.0),
    "blues": Colour(applied=0.0, borrowed=0.0, middle=-1.6, stay=-0.2, retrogression=0.4, cadence=0.9, inverted=0.2),
    "modal": Colour(applied=None, borrowed=0.4, middle=-2.0, stay=-0.5, retrogression=0.3, cadence=0.2, inverted=0.2),
}
"""``modal`` serves rock and metal."""

FIT = 2.5
"""Of a slot full of chord tones, against the other scores."""

STEP, LEAP, CLASH = -0.25, -0.8, -1.4
"""Of a melody note that is no chord tone, where a chord tone counts 1: left by step and off the beat; otherwise; and a
semitone off a chord tone on a strong beat."""

MOTION = {5: 0.6, 2: 0.2, 9: 0.3, 8: 0.3, 7: 0.1, 10: 0.1, 6: -0.6, 1: -0.3, 11: -0.3}
"""For a root that goes up by so many semitones; 5 is the fall of a fifth."""

PROGRESS = {("S", "D"): 0.4, ("D", "T"): 0.5, ("T", "S"): 0.1}
"""For a step from function to function."""

TONIC_LAST, TONIC_FIRST, HALF_CLOSE = 1.5, 0.4, 0.5
"""For the tonic at the end and at the beginning of a strain, and for a dominant after every four bars."""

TASTE, VARIATION = 0.45, 0.25
"""Standard deviation of how much a piece favours each chord, and by how much this differs from strain to strain."""

SHORT_BAR = 1.6
"""How much less readily chords change within a bar of 2/4 than within longer ones."""

NEVER = -1e3


def harmonise(tune: Tune, colour: str, rng: np.random.Generator) -> LeadSheet:
    """Find chords for a tune.

    Parameters
    ----------
    tune : Tune
    colour : str
        A key of :data:`COLOURS`.
    rng : numpy.random.Generator
        Draws the piece's taste, and which of a style's substitutions are made.

    Returns
    -------
    LeadSheet
        Its last chord is on the tonic.

    Raises
    ------
    InputError
        If there is no such colour.
    """
    if colour not in COLOURS:
        raise InputError(f"colour {colour!r}: use one of {', '.join(COLOURS)}")
    edges = slots(tune)
    symbols = vocabulary(tune.mode, colour)
    local, moves = scores(tune, edges, symbols, COLOURS[colour], rng)
    path, _ = best_path(local, moves)
    chosen = [
        Chord(on, off - on, symbols[s].root, symbols[s].quality) for (on, off), s in zip(edges, path, strict=True)
    ]
    dressed = merged(DRESS[colour](merged(chosen), ground(tune), rng))
    dressed = invert(dressed, COLOURS[colour].inverted, rng)
    return LeadSheet(
        id=tune.id,
        title=display_title(tune.titles[0]) if tune.titles else tune.id,
        tonic=tune.tonic,
        mode=tune.mode,
        beats_per_bar=tune.beats_per_bar,
        beat=tune.beat,
        pickup=tune.pickup,
        melody=tune.melody,
        chords=tuple(_transposed(chord, tune.tonic) for chord in dressed),
    )


def _transposed(chord: Chord, steps: int) -> Chord:
    bass = None if chord.bass is None else (chord.bass + steps) % 12
    return replace(chord, root=(chord.root + steps) % 12, bass=bass)


# --- the search ---------------------------------------------------------------------------------------------------


def slots(tune: Tune) -> list[tuple[float, float]]:
    """Where chords may change: two slots a bar, in three-beat bars of two beats and one. (begin, end) in quarters."""
    middle = tune.beat * (2 if tune.beats_per_bar in {3, 4} else 1)
    edges = [tune.pickup + n * tune.bar + part for n in range(tune.bars) for part in (0.0, middle)]
    return list(pairwise([*edges, tune.length]))


def vocabulary(mode: str, colour: str) -> tuple[Symbol, ...]:
    """What a style may choose from in a mode."""
    manner = COLOURS[colour]
    more: list[Symbol] = []
    for group, ease in ((APPLIED, manner.applied), (BORROWED, manner.borrowed)):
        if ease is not None:
            more += [Symbol(s.root, s.quality, s.function, s.prior + ease, s.applied) for s in group[mode]]
    return (*DEGREES[mode], *more)


def scores(
    tune: Tune,
    edges: Sequence[tuple[float, float]],
    symbols: Sequence[Symbol],
    manner: Colour,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """What each chord is worth in each slot, and each step between two slots.

    Returns
    -------
    local : (slots, symbols), float64
    moves : (slots - 1, symbols, symbols), float64
        From the chord of a slot, to the chord of the next.
    """
    local = FIT * fit(tune, edges, symbols)
    local += [s.prior for s in symbols]
    pace = rng.uniform(0.7, 1.3) * (SHORT_BAR if tune.bar <= 2 else 1.0)
    taste = TASTE * rng.standard_normal(len(symbols))
    begins = [onset for onset, _ in tune.strains]
    strain = np.searchsorted(begins, [begin + 1e-6 for begin, _ in edges])
    varied = VARIATION * rng.standard_normal((len(begins) + 1, len(symbols)))
    local += taste + varied[strain]

    tonic = np.array([s.root == 0 and not s.applied for s in symbols])
    dominant = np.array([s.function == "D" for s in symbols])
    firsts = {round((onset - tune.pickup) / tune.bar) for onset in begins}
    lasts = {first - 1 for first in firsts} | {tune.bars - 1}
    moves = np.stack([_steps(symbols, manner)] * (len(edges) - 1))
    same = np.eye(len(symbols), dtype=bool)
    since = 0
    for slot in range(len(edges)):
        bar, middle = divmod(slot, 2)
        if not middle:
            since = 0 if bar in firsts else since + 1
            if bar in firsts:
                local[slot, tonic] += TONIC_FIRST
        elif bar in lasts:
            local[slot, tonic] += TONIC_LAST
        elif since % 4 == 3:
            local[slot, dominant] += HALF_CLOSE
        if not slot:
            continue
        if middle:
            cadential = bar in lasts or bar + 1 in lasts  # chords change faster there
            moves[slot - 1][~same] += manner.middle * pace * (0.5 if cadential else 1.0)
        else:
            moves[slot - 1][same] += manner.stay / pace
        if bar in lasts:
            moves[slot - 1][np.ix_(dominant, tonic)] += manner.cadence
    local[-1, ~tonic] = NEVER
    return local, moves


def fit(tune: Tune, edges: Sequence[tuple[float, float]], symbols: Sequence[Symbol]) -> np.ndarray:
    """How well each chord carries the melody in each slot: at most 1, where all of it are chord tones on bar lines.
    (slots, symbols), float64."""
    sounding, weak, strong = profile(tune, edges)
    tones = np.array([[degree in s.tones for degree in range(12)] for s in symbols])
    beside = np.roll(tones, 1, axis=1) | np.roll(tones, -1, axis=1)
    accented = np.where(tones, 0.0, np.where(beside, CLASH, LEAP))
    return sounding @ tones.T + weak @ ~tones.T + strong @ accented.T


def profile(tune: Tune, edges: Sequence[tuple[float, float]]) -> np.ndarray:
    """What is heard of each degree in each slot, as a share of the slot, weighted by :func:`strength`.

    Returns
    -------
    (3, slots, 12), float64
        Everything; what is off the beat, times what it is worth if it is no chord tone; what is on a beat.
    """
    heard = np.zeros((3, len(edges), 12))
    begins = np.array([begin for begin, _ in edges])
    for note, following in zip(tune.melody, [*tune.melody[1:], tune.melody[-1]], strict=True):
        end = note.onset + note.duration
        first, last = np.searchsorted(begins, [note.onset + 1e-6, end - 1e-6])
        for slot in range(max(first - 1, 0), last):
            begin, until = edges[slot]
            onset = max(note.onset, begin)
            share = strength(tune, onset) * (min(end, until) - onset) / (until - begin)
            degree = (note.pitch - tune.tonic) % 12
            heard[0, slot, degree] += share
            if strength(tune, onset) >= STRONG:
                heard[2, slot, degree] += share
            else:
                heard[1, slot, degree] += share * (STEP if 0 < abs(following.pitch - note.pitch) <= 2 else LEAP)
    return heard


STRONG = 0.8
"""The least :func:`strength` of what begins on a beat."""


def strength(tune: Tune | LeadSheet, onset: float) -> float:
    """Weight of a place in the bar: bar line 1, other beats 0.8, between beats 0.5."""
    beat = (onset - tune.pickup) / tune.beat
    if abs(beat - round(beat)) > 1e-3:
        return 0.5
    return 1.0 if round(beat) % tune.beats_per_bar == 0 else STRONG


def _steps(symbols: Sequence[Symbol], manner: Colour) -> np.ndarray:
    table = np.zeros((len(symbols), len(symbols)))
    for i, one in enumerate(symbols):
        for j, other in enumerate(symbols):
            if i == j:
                continue
            up = (other.root - one.root) % 12
            table[i, j] = MOTION.get(up, 0.0) + PROGRESS.get((one.function, other.function), 0.0)
            if (one.function, other.function) == ("D", "S"):
                table[i, j] += manner.retrogression
            if one.applied:
                table[i, j] += 0.5 if up == 5 and not other.applied else 0.0 if up == 5 else -3.0
            if up == 0:
                table[i, j] -= 0.4
    return table


def best_path(local: np.ndarray, moves: np.ndarray) -> tuple[list[int], float]:
    """The sequence of highest sum, one state a slot, by Viterbi's algorithm.

    Parameters
    ----------
    local : (slots, states) array
        Score of a state in a slot.
    moves : (slots - 1, states, states) array
        Score of going from a state to another.

    Returns
    -------
    path : list of int
        One state a slot.
    score : float
    """
    reached, came = local[0], []
    for here, move in zip(local[1:], moves, strict=True):
        through = reached[:, None] + move
        came.append(through.argmax(0))
        reached = through.max(0) + here
    path = [int(reached.argmax())]
    for origin in reversed(came):
        path.append(int(origin[path[-1]]))
    return path[::-1], float(reached.max())


def merged(chords: Sequence[Chord]) -> list[Chord]:
    """Equal neighbours as one chord."""
    found = []
    for _, group in groupby(chords, key=lambda c: (c.root, c.quality, c.bass)):
        same = list(group)
        length = same[-1].onset + same[-1].duration - same[0].onset
        found.append(Chord(same[0].onset, length, same[0].root, same[0].quality, same[0].bass))
    return found


# --- the dress ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """What chords are dressed over.

    Attributes
    ----------
    accents : tuple of Written
        Melody notes that begin on a beat; pitches counted from the tonic.
    begins : tuple of float
        Where chords may change.
    bar : float
        Quarter notes.
    minor : bool
        Whether the tonic chord is.
    """

    accents: tuple[Written, ...]
    begins: tuple[float, ...]
    bar: float
    minor: bool

    def under(self, chord: Chord) -> tuple[Written, ...]:
        """The accents that begin while the chord lasts."""
        end = chord.onset + chord.duration
        first, last = (bisect_left(self.accents, at - 1e-6, key=lambda n: n.onset) for at in (chord.onset, end))
        return self.accents[first:last]

    def clash(self, chord: Chord) -> float:
        """Quarter notes of accents that are no chord tones and lie a semitone from one. Under a major seventh the root
        counts too: it rubs against the seventh."""
        tones, total = set(chord.pitch_classes), 0.0
        for note in self.under(chord):
            degree = note.pitch % 12
            foreign = degree not in tones and tones & {(degree + 1) % 12, (degree - 1) % 12}
            if foreign or (chord.quality == "maj7" and degree == chord.root):
                total += min(note.duration, chord.onset + chord.duration - note.onset)
        return total

    def bears(self, chord: Chord, other: Chord) -> bool:
        """Whether the melody clashes no more with another chord in a chord's place."""
        return self.clash(other) <= self.clash(chord) + 1e-6

    def first(self, chord: Chord, *qualities: str) -> Chord:
        """The chord in the first of these qualities that the melody bears; as it is if there is none."""
        others = (replace(chord, quality=quality) for quality in qualities)
        return next((other for other in others if self.bears(chord, other)), chord)

    def halves(self, chord: Chord) -> tuple[Chord, Chord] | None:
        """A chord of a bar or more in two, split where chords may change."""
        end = chord.onset + chord.duration
        places = [at for at in self.begins if chord.onset + 1e-6 < at < end - 1e-6]
        if not places or chord.duration < self.bar - 1e-6:
            return None
        middle = min(places, key=lambda at: abs(at - (chord.onset + end) / 2))
        return replace(chord, duration=middle - chord.onset), replace(chord, onset=middle, duration=end - middle)


def ground(tune: Tune) -> Ground:
    """What the chords of a tune are dressed over."""
    accents = [replace(n, pitch=n.pitch - tune.tonic) for n in tune.melody if strength(tune, n.onset) >= STRONG]
    return Ground(tuple(accents), tuple(on for on, _ in slots(tune)), tune.bar, tune.mode in {"minor", "dorian"})


def _falls(chord: Chord, following: Chord | None) -> bool:
    return following is not None and (following.root - chord.root) % 12 == 5


def _followed(chords: Sequence[Chord]):
    """Every chord with the next one; with None at the end."""
    return zip(chords, [*chords[1:], None], strict=True)


def _folk(chords: Sequence[Chord], over: Ground, rng: np.random.Generator) -> list[Chord]:
    """Triads; a seventh on some dominants and subdominants."""
    dressed = []
    for chord, following in _followed(chords):
        if chord.quality == "maj" and chord.root == 7 and _falls(chord, following) and rng.random() < 0.6:
            chord = over.first(chord, "7")
        elif chord.quality == "min" and chord.root in {2, 5} and rng.random() < 0.2:
            chord = over.first(chord, "min7")
        dressed.append(chord)
    return dressed


SUSPENDED = {0: 0.12, 7: 0.3, 10: 0.3}
"""How often pop begins a major chord of a bar or more on this degree with a suspension."""


def _pop(chords: Sequence[Chord], over: Ground, rng: np.random.Generator) -> list[Chord]:
    """Suspensions that resolve, added seconds, soft sevenths."""
    dressed = []
    for chord, following in _followed(chords):
        halves, draw = over.halves(chord), rng.random()
        if following is None:
            dressed.append(chord)
        elif chord.quality == "maj" and halves and draw < SUSPENDED.get(chord.root, 0.0):
            dressed += [over.first(halves[0], "sus4", "sus2"), halves[1]]
        elif chord.quality == "maj" and chord.root in {0, 3, 5, 8} and draw < 0.5:
            dressed.append(over.first(chord, *(("sus2", "maj7") if chord.root == 0 else ("maj7", "sus2"))))
        elif chord.quality == "min" and draw < 0.5:
            dressed.append(over.first(chord, "min7"))
        elif chord.quality == "maj" and chord.root == 7 and draw > 0.6:
            dressed.append(over.first(chord, "7", "9"))
        else:
            dressed.append(chord)
    return dressed


def _jazz(chords: Sequence[Chord], over: Ground, rng: np.random.Generator) -> list[Chord]:
    """Sevenths and sixths throughout, ii-V for V, tritone substitutions, passing diminished sevenths."""
    dressed = []
    for chord, following in _followed(chords):
        if chord.quality == "7" or (chord.quality == "maj" and chord.root == 7 and _falls(chord, following)):
            dressed += _two_five(chord, following, over, rng)
        elif chord.quality == "maj" and chord.root == 7:
            dressed.append(over.first(chord, "7", "9", "maj6"))
        elif chord.quality == "maj":
            dressed.append(over.first(chord, *(("maj7", "maj6") if rng.random() < 0.7 else ("maj6", "maj7"))))
        elif chord.quality == "min":
            sixth = chord.root in {0, 5} and over.minor and rng.random() < 0.5
            dressed.append(over.first(chord, *(("min6", "min7") if sixth else ("min7", "min6"))))
        else:
            dressed.append(over.first(chord, "hdim7", "dim7"))
    return _passing(merged(dressed), over, rng)


def _two_five(chord: Chord, following: Chord | None, over: Ground, rng: np.random.Generator) -> list[Chord]:
    """A dominant seventh; before it, if there is room, the second degree of the key it leads to; or in its place the
    seventh chord a tritone away, which leads to the same tonic."""
    halves, before = over.halves(chord), []
    if halves and rng.random() < 0.7:
        minor = following is not None and following.quality.startswith("min")
        second = replace(halves[0], root=(chord.root + 7) % 12, quality="hdim7" if minor else "min7")
        if over.bears(halves[0], second):
            before, chord = [second], halves[1]
    substitute = replace(chord, root=(chord.root + 6) % 12, quality="7")
    if _falls(chord, following) and rng.random() < 0.3 and over.bears(chord, substitute):
        return [*before, substitute]
    return [*before, over.first(chord, *(("9", "7") if rng.random() < 0.5 else ("7",)))]


def _passing(chords: Sequence[Chord], over: Ground, rng: np.random.Generator) -> list[Chord]:
    """Diminished sevenths between chords whose roots lie a whole tone apart, in the second half of the first."""
    dressed = []
    for chord, following in _followed(chords):
        halves = over.halves(chord)
        if halves and following is not None and (following.root - chord.root) % 12 == 2 and rng.random() < 0.4:
            between = replace(halves[1], root=(chord.root + 1) % 12, quality="dim7")
            dressed += [halves[0], between] if over.bears(halves[1], between) else [chord]
        else:
            dressed.append(chord)
    return dressed


def _blues(chords: Sequence[Chord], over: Ground, rng: np.random.Generator) -> list[Chord]:
    """Minor sevenths on every degree, the tonic too."""
    dressed = []
    for chord in chords:
        if chord.quality == "maj":
            ninth = chord.root in {5, 7} and rng.random() < 0.4
            chord = over.first(chord, *(("9", "7", "maj6") if ninth else ("7", "maj6")))
        elif chord.quality == "min":
            chord = over.first(chord, "min7", "min6")
        dressed.append(chord)
    return dressed


def _modal(chords: Sequence[Chord], over: Ground, rng: np.random.Generator) -> list[Chord]:
    """Power chords in half of the pieces, suspensions that stay."""
    power = rng.random() < 0.5
    dressed = []
    for chord, following in _followed(chords):
        draw = rng.random()
        if chord.quality in {"maj", "min"} and power and draw < 0.6:
            chord = over.first(chord, "5")
        elif chord.quality in {"maj", "min"} and following is not None and draw < 0.3:
            chord = over.first(chord, *(("sus2", "sus4") if draw < 0.15 else ("sus4", "sus2")))
        elif chord.quality == "min" and draw < 0.6:
            chord = over.first(chord, "min7")
        dressed.append(chord)
    return dressed


DRESS = {"folk": _folk, "pop": _pop, "jazz": _jazz, "blues": _blues, "modal": _modal}
"""Puts a colour's sevenths and substitutions into chords counted from the tonic."""


def invert(chords: Sequence[Chord], often: float, rng: np.random.Generator) -> list[Chord]:
    """Put a third or a fifth into the bass where it lies a step from the basses before and after it, or between."""
    found = list(chords)
    for i in range(1, len(found) - 1):
        before, chord, after = found[i - 1], found[i], found[i + 1]
        draw = rng.random()
        if chord.quality not in {"maj", "min", "7"} or draw >= often:
            continue
        low = before.root if before.bass is None else before.bass
        for tone in chord.pitch_classes[1:3]:
            if _step(low, tone) and _step(tone, after.root) and not (_step(low, chord.root) and chord.root != low):
                found[i] = Chord(chord.onset, chord.duration, chord.root, chord.quality, tone)
                break
    return found


def _step(one: int, other: int) -> bool:
    return (one - other) % 12 in {1, 2, 10, 11}
