"""Pairs of submixes that belong together: what the model trains and is tested on (paper section 4, "Data").

A pair is cut from one track at one place: the *anchor* is the sum of some of its stems, the *positive* the sum of some
of the others. Nothing but the music ties them together. Book page *How it is trained*, "A pair".
"""

from dataclasses import dataclass

import numpy as np

from phalar.datasets.tracks import SILENCE, Track
from phalar.errors import InputError, RunError

TRIES = 50  # excerpts of one track tried for sound before giving up on it


@dataclass(frozen=True)
class Pair:
    """Where a pair was cut: enough to cut it again."""

    track: Track
    start: int  # first sample
    length: int  # samples
    anchor: tuple[int, ...]  # stems summed to the anchor
    positive: tuple[int, ...]  # stems summed to the positive; none of the anchor's

    def audio(self) -> np.ndarray:
        """Anchor and positive waveform, (2, length) float32."""
        stems = self.track.excerpt(self.start, self.length)
        return np.stack([stems[list(self.anchor)].sum(axis=0), stems[list(self.positive)].sum(axis=0)])


def draw_stems(stems: int, rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split stems at random into an anchor and a positive: two non-empty sets that share none.

    Sizes are uniform: the anchor takes 1 to S - 1 stems, the positive 1 to all of the rest.
    """
    if stems < 2:
        raise InputError(f"a track with {stems} stem(s) has no pair; at least 2 are needed")
    order = rng.permutation(stems)
    first = int(rng.integers(1, stems))
    second = int(rng.integers(1, stems - first + 1))
    return tuple(sorted(order[:first].tolist())), tuple(sorted(order[first : first + second].tolist()))


def draw_pair(track: Track, length: int, rng: np.random.Generator) -> tuple[Pair, np.ndarray, int]:
    """One random pair of a track, its audio (2, length), and how many silent ones were drawn before it.

    A submix that is silent throughout the excerpt has nothing to match, so another is drawn; the published code keeps
    such pairs. A track shorter than ``length`` samples is padded with zeros at its end.
    """
    latest = max(0, track.num_samples - length)
    for tries in range(TRIES):
        anchor, positive = draw_stems(len(track.stems), rng)
        pair = Pair(track, int(rng.integers(0, latest + 1)), length, anchor, positive)
        waves = pair.audio()
        if np.abs(waves).max(axis=1).min() > SILENCE:
            return pair, waves, tries
    raise RunError(
        f"track {track.id}: {TRIES} excerpts of {length} samples in a row had a silent side; leave this track out"
    )
