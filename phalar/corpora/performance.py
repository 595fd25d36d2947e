"""From the page to a performance: when, how loud and how long each note is played.

A player does not play the page. The tempo breathes and yields before a fermata, lines swell and fade, strong beats are
leaned on, notes are joined or detached, and four people are never exactly together. Each of these is one function
below; how much of each a piece gets is drawn once per piece (:class:`Style`), so that pieces differ as players do.
"""

from dataclasses import dataclass

import numpy as np

from phalar.corpora.sampler import Note
from phalar.corpora.score import Score, Written

GRID = 0.25
"""Quarter notes between two points of the tempo curve."""


@dataclass(frozen=True)
class Style:
    """How one piece is played.

    Attributes
    ----------
    bpm : int
        Quarter notes a minute.
    rubato : float
        Standard deviation of the slow wander of the tempo, relative.
    slowing : float
        How much longer a quarter note lasts at a fermata, relative; nothing two quarter notes before.
    looseness : float
        Standard deviation, in seconds, of the players' onsets around the beat.
    arch : float
        Velocity steps between the edge of a phrase and its middle.
    accent : float
        Velocity steps between the strongest beat and a note off the beat.
    loudness : float
        Velocity of an ordinary note.
    """

    bpm: int
    rubato: float
    slowing: float
    looseness: float
    arch: float
    accent: float
    loudness: float


def draw_style(rng: np.random.Generator) -> Style:
    """A way of playing a hymn. Tempi are whole numbers within CocoChorales' 50 to 150 BPM, most of them 70 to 105."""
    return Style(
        bpm=int(np.clip(round(86 * np.exp(0.25 * rng.standard_normal())), 50, 150)),
        rubato=rng.uniform(0.005, 0.025),
        slowing=rng.uniform(0.05, 0.35),
        looseness=rng.uniform(0.004, 0.012),
        arch=rng.uniform(6, 16),
        accent=rng.uniform(3, 10),
        loudness=rng.uniform(72, 92),
    )


def fermatas(score: Score) -> list[tuple[float, float]]:
    """Onset and end, in quarter notes, of every held note: the top voice's fermatas, and the last note."""
    held = {(n.onset, n.onset + n.duration) for n in score.voices[0] if n.fermata}
    last = score.voices[0][-1]
    return sorted(held | {(last.onset, last.onset + last.duration)})


def tempo_curve(score: Score, style: Style, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """When each moment of the page is reached.

    Returns
    -------
    (np.ndarray, np.ndarray)
        Quarter notes and seconds, both increasing; interpolate linearly between them.
    """
    quarters = np.arange(0, score.length + 2 * GRID, GRID)
    middle = quarters[:-1] + GRID / 2
    wander = np.zeros_like(middle)
    for period in (7.0, 13.0, 29.0):  # quarter notes: nothing as quick as a bar, nothing that repeats with it
        wander += np.sin(2 * np.pi * (middle / (period * rng.uniform(0.8, 1.25)) + rng.random()))
    wander *= style.rubato / np.sqrt(1.5)
    slowing = np.zeros_like(middle)
    for onset, end in fermatas(score):
        approach = np.clip((middle - (onset - 2)) / 2, 0, 1) ** 2
        slowing = np.maximum(slowing, np.where(middle < end, approach, 0))
    seconds = 60 / style.bpm * (1 + wander + style.slowing * slowing)
    return quarters, np.concatenate([[0.0], np.cumsum(seconds * GRID)])


def phrase_position(score: Score, quarter: float) -> float:
    """Where in its phrase (from one fermata to the next) a moment lies: 0 at the edges, 1 in the middle."""
    ends = [end for _, end in fermatas(score)]
    begin = max([0.0, *[end for end in ends if end <= quarter]])
    end = min([e for e in ends if e > quarter], default=score.length)
    return float(np.sin(np.pi * np.clip((quarter - begin) / max(end - begin, GRID), 0, 1)))


def play_voice(
    score: Score,
    voice: tuple[Written, ...],
    style: Style,
    curve: tuple[np.ndarray, np.ndarray],
    vibrato: float,
    rng: np.random.Generator,
) -> list[Note]:
    """One player's notes.

    Parameters
    ----------
    score, voice : Score, tuple of Written
        The piece and this player's part in it.
    style : Style
        Shared by all players of the piece.
    curve : (np.ndarray, np.ndarray)
        :func:`tempo_curve`'s answer, also shared: players follow each other.
    vibrato : float
        Depth in cents that the instrument invites.
    rng : np.random.Generator
        This player's own habits are drawn from it.

    Returns
    -------
    list of Note
        Onsets and durations in seconds. Taught in ``book/corpora.md``.
    """
    joined = rng.choice([1.0, 0.96, 0.88, 0.72], p=[0.35, 0.3, 0.2, 0.15])  # from legato to detached
    habit = style.looseness * rng.standard_normal()  # always a little early, or a little late
    intonation = 4 * rng.standard_normal()
    louder = 4 * rng.standard_normal() + (5 if voice is score.voices[0] else 0)
    vibrato, vibrato_hz = vibrato * rng.uniform(0.5, 1.2), rng.uniform(4.8, 6.4)
    centre = np.mean([n.pitch for n in voice])
    strength = {quarter: 1.0 if number == 1 else 0.5 if number == 3 else 0.3 for quarter, number in score.beats}
    held = {onset for onset, _ in fermatas(score)}

    notes, drift = [], 0.0
    for written, following in zip(voice, [*voice[1:], None], strict=True):
        end = written.onset + written.duration
        start, stop = np.interp([written.onset, end], *curve)
        drift = 0.7 * drift + 0.7 * style.looseness * rng.standard_normal()
        onset = max(start + np.clip(habit + drift, -0.03, 0.03), 0.0)
        share = joined
        if following is not None and following.onset <= end and following.pitch == written.pitch:
            share = min(share, 0.9)  # a repeated note has to be let go first
        if written.onset in held:
            share = min(share, 0.93)  # breath
        length = stop - start
        duration = max(length - min((1 - share) * length, 0.35) - (onset - start), 0.06)
        velocity = (
            style.loudness
            + louder
            + style.arch * (phrase_position(score, written.onset) - 0.5)
            + style.accent * (strength.get(written.onset, 0.0) - 0.4)
            + 0.4 * (written.pitch - centre)
            + 2.5 * rng.standard_normal()
        )
        notes.append(
            Note(
                onset=float(onset),
                duration=float(duration),
                pitch=written.pitch,
                velocity=float(np.clip(velocity, 35, 122)),
                cents=float(intonation + 2 * rng.standard_normal()),
                vibrato_cents=float(vibrato),
                vibrato_hz=float(vibrato_hz),
            )
        )
    return notes
