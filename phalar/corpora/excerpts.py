"""A stretch of an arrangement, for corpora of excerpts: what is not heard need not be played."""

from dataclasses import replace

import numpy as np

from phalar.corpora.arrangement import Arrangement

NEAR = 1e-6
"""Quarter notes: closer moments are the same."""


def bar_lines(page: Arrangement) -> np.ndarray:
    """Where bars begin, and where the last one ends, in quarter notes: (bars + 1,)."""
    return np.array([onset for onset, number in page.beats if number == 1] + [page.length])


def crop(page: Arrangement, start: float, end: float) -> Arrangement:
    """What is on a page from one moment to another, beginning at 0.

    Parameters
    ----------
    page : Arrangement
    start, end : float
        Quarter notes, best bar lines. What begins before ``start`` is left out, chords excepted; what lasts beyond
        ``end`` is cut there.

    Returns
    -------
    Arrangement
        With every part, also those that rest.
    """

    def inside(onset: float) -> bool:
        return start - NEAR <= onset < end - NEAR

    chords = [
        replace(c, onset=max(c.onset, start) - start, duration=min(c.onset + c.duration, end) - max(c.onset, start))
        for c in page.chords
        if c.onset < end - NEAR and c.onset + c.duration > start + NEAR
    ]
    parts = [
        replace(
            part,
            strokes=tuple(
                replace(s, onset=s.onset - start, duration=min(s.duration, end - s.onset))
                for s in part.strokes
                if inside(s.onset)
            ),
        )
        for part in page.parts
    ]
    before = [name for onset, name in page.sections if onset <= start + NEAR]
    sections = [(0.0, before[-1])] if before else []
    sections += [(onset - start, name) for onset, name in page.sections if inside(onset) and onset > start + NEAR]
    return replace(
        page,
        beats=tuple((onset - start, number) for onset, number in page.beats if inside(onset)),
        chords=tuple(chords),
        sections=tuple(sections),
        parts=tuple(parts),
    )
