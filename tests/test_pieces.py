"""What pieces `band`, `comping` and `beats` have: enough, balanced, and none given away by its tempo or key."""

from collections import Counter

import numpy as np

from phalar.corpora import arranger, band, beats, seeds, tunes
from phalar.corpora.chart import SCALES
from phalar.corpora.styles import styles


def test_splits_of_band_hold_well_over_64_compositions_and_styles_take_turns():
    sizes = Counter(band.pieces().values())
    assert (sum(sizes.values()) >= 700, sizes["test"] >= 100, sizes["valid"] >= 50) == (True, True, True)
    for split in ("train", "test"):
        counts = Counter(band.style_of()[piece] for piece, name in band.pieces().items() if name == split)
        assert set(counts) == set(styles())
        for which in ("duple", "triple", "compound"):
            assert np.ptp([counts[name] for name, style in styles().items() if style.family == which]) <= 1


def test_tempo_and_key_do_not_tell_which_piece_it_is():
    """Of 64 test pieces most share their tempo with a third of the others, and tempo and scale with several."""
    tempo, both = [], []
    for piece in [piece for piece, split in band.pieces().items() if split == "test"][:64]:
        rng = seeds.generator("band", band.SEED, "arrangement", piece)
        mode = tunes.table()[piece]["mode"]
        tempo.append(float(rng.choice(styles()[band.style_of()[piece]].bpm)))
        tonic = rng.choice(arranger.KEYS[mode], p=arranger.KEY_SHARES)
        both.append((tempo[-1], frozenset((int(tonic) + step) % 12 for step in SCALES[mode])))
    assert np.median([Counter(tempo)[bpm] for bpm in tempo]) > 64 / 3
    assert np.mean([Counter(both)[pair] > 3 for pair in both]) > 0.75


def test_beats_has_ten_genres_of_twenty_two_in_four_ways_and_any_first_part_of_it_too():
    cast = beats.castings()
    assert set(beats.pieces().values()) == {"test"}
    assert list(beats.pieces()) == list(cast)
    assert Counter(c.genre for c in cast.values()) == dict.fromkeys(beats.GENRES, 22)
    assert len(beats.GENRES) == 10
    ways = Counter((c.genre, c.feel, c.sound) for c in cast.values())
    assert (len(ways), set(ways.values())) == (40, {5, 6})
    assert all(c.style in beats.GENRES[c.genre] for c in cast.values())
    assert {c.style for c in cast.values()} == set(styles())
    first = [cast[piece] for piece in list(beats.pieces())[:40]]
    assert set(Counter(c.genre for c in first).values()) == {4}
    assert set(Counter((c.feel, c.sound) for c in first).values()) == {10}
