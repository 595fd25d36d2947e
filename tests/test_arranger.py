"""The arranger: every style in every metre, parts that fit the chords and the instruments, voices that move little."""

from itertools import pairwise, product

import numpy as np
import pytest

from phalar.corpora import arranger
from phalar.corpora.leadsheet import INTERVALS, Chord, LeadSheet
from phalar.corpora.score import Written
from phalar.corpora.styles import accompaniment, bass, drums, lines, table
from phalar.corpora.styles.chart import PATTERN_LENGTH, SCALES, Bar, family, steps
from phalar.corpora.styles.instruments import INSTRUMENTS, instrument
from phalar.corpora.styles.voicing import lead, power, voicings
from phalar.errors import InputError

METRES = ((4, 1.0), (2, 1.0), (2, 2.0), (3, 1.0), (2, 1.5), (3, 1.5), (4, 1.5))


def invent(beats_per_bar=4, beat=1.0, bars=16, pickup=0.0, mode="major", seed=0) -> LeadSheet:
    """A tune of steps and small leaps, and chords that change once or twice a bar."""
    rng = np.random.default_rng(seed)
    bar, chords, at = beats_per_bar * beat, [], pickup
    qualities = {0: "maj", 2: "min7", 5: "maj7", 7: "7", 9: "min", 10: "9", 4: "hdim7"}
    for _ in range(bars):
        root = int(rng.choice(list(qualities)))
        if rng.random() < 0.3:
            chords += [Chord(at, beat, root, qualities[root]), Chord(at + beat, bar - beat, 7, "7", bass=11)]
        else:
            chords.append(Chord(at, bar, root, qualities[root]))
        at += bar
    melody, onset, pitch = [], 0.0, 72
    while onset < at:
        duration = min(float(rng.choice([0.5, 0.5, 1.0, 1.0, 2.0])), at - onset)
        pitch = int(np.clip(pitch + rng.choice([-4, -2, -1, 1, 2, 3]), 62, 81))
        melody.append(Written(onset, duration, pitch))
        onset += duration
    return LeadSheet("invented", "Invented", 0, mode, beats_per_bar, beat, pickup, tuple(melody), tuple(chords))


@pytest.fixture(scope="module")
def arrangements():
    """Two arrangements in every style, the metres and lengths of the tunes taking turns."""
    made, count = [], 0
    for which in PATTERN_LENGTH:
        metres = [m for m in METRES if family(invent(*m)) == which]
        for style in (name for name, row in table.STYLES.items() if row.family == which):
            for _ in range(2):
                metre = metres[count % len(metres)]
                tune = invent(*metre, (8, 16, 17)[count % 3], (0.0, 0.5)[count % 2], list(SCALES)[count % 4], count)
                made.append(arranger.arrange(tune, style, np.random.default_rng(count)))
                count += 1
    return made


def bar_length(arrangement) -> float:
    return arrangement.beat * max(number for _, number in arrangement.beats)


def chord_at(arrangement, quarter) -> Chord:
    return next(c for c in reversed(arrangement.chords) if c.onset <= quarter + 1e-6)


# --- form ---------------------------------------------------------------------------------------------------------


def test_there_are_styles_for_every_metre():
    assert len(arranger.STYLES) >= 12
    for metre in METRES:
        fitting = arranger.styles_for(invent(*metre))
        assert len(fitting) >= 4
        assert set(fitting) < set(arranger.STYLES)
    assert not set(arranger.styles_for(invent(3, 1.0))) & set(arranger.styles_for(invent(2, 1.5)))


@pytest.mark.parametrize("metre", METRES)
def test_every_style_arranges_every_metre_it_claims(metre):
    for number, style in enumerate(arranger.styles_for(invent(*metre))):
        made = arranger.arrange(invent(*metre, pickup=0.5), style, np.random.default_rng(number))
        assert 4 <= len(made.parts) <= 9
        assert all(part.strokes for part in made.parts)
        assert made.parts[0].role == "drums"
        assert made.parts[1].role == "bass"
        assert sum(part.role == "lead" for part in made.parts) == 1
        assert made.bpm in table.STYLES[style].bpm


def test_beats_chords_and_sections_cover_the_piece(arrangements):
    for made in arrangements:
        bar = bar_length(made)
        onsets, numbers = np.array(made.beats).T
        np.testing.assert_allclose(onsets, made.beat * np.arange(len(onsets)), atol=1e-9)
        np.testing.assert_array_equal(numbers, 1 + np.arange(len(numbers)) % round(bar / made.beat))
        assert len(onsets) * made.beat == pytest.approx(made.length)
        assert made.chords[0].onset == 0
        for one, following in pairwise(made.chords):
            assert one.onset + one.duration == pytest.approx(following.onset)
        assert made.sections[0] == (0.0, "intro")
        assert made.sections[-1][1] == "ending"
        assert all(onset % bar == pytest.approx(0) for onset, _ in made.sections)
        assert 40 <= made.length / made.beat * 60 / made.bpm <= 60
        last = made.chords[-1]
        assert last.root == made.tonic


@pytest.mark.parametrize(("seconds", "style"), [((20, 26), "rock"), ((34, 40), "ballad"), ((80, 90), "latin")])
def test_the_length_is_as_asked(seconds, style):
    for seed in range(8):
        made = arranger.arrange(invent(), style, np.random.default_rng(seed), seconds)
        assert seconds[0] <= made.length * 60 / made.bpm <= seconds[1]


def test_keys_and_tempi_are_few(arrangements):
    collections = {frozenset((made.tonic + step) % 12 for step in SCALES[made.mode]) for made in arrangements}
    assert len(collections) <= 4
    assert len({made.bpm for made in arrangements}) <= 14
    assert all(60 <= made.bpm <= 200 for made in arrangements)


def test_chords_are_the_sheets_transposed():
    sheet = invent(bars=16, pickup=1.0, seed=5)
    made = arranger.arrange(sheet, "pop", np.random.default_rng(1))
    start = next(onset for onset, name in made.sections if name == "A")
    shift = made.tonic - sheet.tonic
    for offset in np.arange(0, 16, 0.5):
        source = next(c for c in reversed(sheet.chords) if c.onset <= sheet.pickup + offset + 1e-6)
        chord = chord_at(made, start + offset)
        assert (chord.root, chord.quality) == ((source.root + shift) % 12, source.quality)


def test_the_same_seed_gives_the_same_arrangement_and_another_gives_another():
    one, again, other = (arranger.arrange(invent(), "funk", np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one == again
    assert one.parts != other.parts


def test_bad_requests_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"'polka'.*rock"):
        arranger.arrange(invent(), "polka", rng)
    with pytest.raises(InputError, match=r"'waltz'.*invented.*rock"):
        arranger.arrange(invent(), "waltz", rng)
    with pytest.raises(InputError, match="5 beats"):
        arranger.styles_for(invent(5, 1.0))
    with pytest.raises(InputError, match="10 to 11 s"):
        arranger.arrange(invent(), "ballad", rng, (10, 11))
    with pytest.raises(InputError, match="'theremin'"):
        instrument("theremin")


# --- parts --------------------------------------------------------------------------------------------------------


def test_strokes_lie_in_the_piece_and_in_their_instruments(arrangements):
    for made in arrangements:
        for part in made.parts:
            player = instrument(part.instrument)
            assert (part.program, part.drums) == (player.program, player.drums)
            assert [s.onset for s in part.strokes] == sorted(s.onset for s in part.strokes)
            for s in part.strokes:
                assert 0 <= s.onset < made.length
                assert s.duration > 0
                assert part.drums or s.onset + s.duration <= made.length + 1.01
                assert player.low <= s.pitch <= player.high, (part.role, part.instrument, s)
                assert 1 <= s.velocity <= 127
        assert len({part.instrument for part in made.parts}) == len(made.parts)


def test_the_bass_has_chord_tones_on_strong_beats_and_begins_chords_on_their_bass(arrangements):
    strong, roots = 0, []
    for made in arrangements:
        bar, line = bar_length(made), made.parts[1].strokes
        for stroke in line:
            chord = chord_at(made, stroke.onset)
            lowest = chord.root if chord.bass is None else chord.bass
            middle = bar == 4 * made.beat and stroke.onset % bar == pytest.approx(2 * made.beat)
            if stroke.onset % bar == pytest.approx(0) or middle:
                strong += 1
                assert stroke.pitch % 12 in {*chord.pitch_classes, lowest}, (made.style, stroke, chord)
            if stroke.onset == pytest.approx(chord.onset):
                roots.append(stroke.pitch % 12 == lowest)
    assert strong > 500
    assert np.mean(roots) > 0.97


def test_accompanists_play_the_chords(arrangements):
    """Every note of those who play chords belongs to the chord; none is held into the next one, pads' common tones
    and ringing arpeggios aside."""
    checked = 0
    for made in arrangements:
        for part in made.parts:
            if part.role not in ("strum", "comp", "pad", "arpeggio"):
                continue
            for s in part.strokes:
                chord = chord_at(made, s.onset)
                tones = {*chord.pitch_classes, (chord.root + 7) % 12} if made.style == "metal" else chord.pitch_classes
                assert s.pitch % 12 in tones, (made.style, part.role, s, chord)
                if part.role in ("strum", "comp"):
                    assert s.onset + s.duration <= chord.onset + chord.duration + 1e-6
                if part.role == "pad":
                    assert s.pitch % 12 in chord_at(made, s.onset + s.duration - 0.1).pitch_classes
                checked += 1
    assert checked > 5000


def test_the_lead_sings_the_tune():
    """Most of the tune's notes are there at their moments, up to octaves, in a style that hardly decorates."""
    sheet = invent(bars=16, pickup=1.0, seed=2)
    made = arranger.arrange(sheet, "rock", np.random.default_rng(0))
    (part,) = [p for p in made.parts if p.role == "lead"]
    start = next(onset for onset, name in made.sections if name == "A")
    sung = {(round(s.onset - start + sheet.pickup, 3), s.pitch % 12) for s in part.strokes}
    tune = [(n.onset, (n.pitch + made.tonic - sheet.tonic) % 12) for n in sheet.melody if n.onset < 16]
    assert np.mean([note in sung for note in tune]) > 0.8
    assert (0.0, tune[0][1]) in sung  # the upbeat


def test_a_quick_tune_is_thinned_and_keeps_its_beats():
    sheet = invent(bars=8)
    quick = tuple(Written(0.25 * n, 0.25, 60 + n % 12) for n in range(128))
    sheet = LeadSheet("quick", "Quick", 0, "major", 4, 1.0, 0.0, quick, sheet.chords)
    made = arranger.arrange(sheet, "ballad", np.random.default_rng(0))
    (part,) = [p for p in made.parts if p.role == "lead"]
    gaps = np.diff([s.onset for s in part.strokes]) * 60 / made.bpm
    assert np.median(gaps) > 0.2
    on_beats = {round(s.onset, 3) for s in part.strokes if s.onset % 1 == 0}
    assert len(on_beats) > 20


def test_players_rest_and_come_back(arrangements):
    """In every piece several stems are silent for two seconds and more, after or before they play."""
    shares, returns = [], 0
    for made in arrangements:
        quarter = 60 / made.bpm / made.beat
        resting = 0
        for part in made.parts:
            edges = [(0.0, 0.0), *[(s.onset, s.onset + s.duration) for s in part.strokes]]
            end, longest = 0.0, 0.0
            for onset, stop in edges:
                longest = max(longest, onset - end)
                returns += end > 0 and (onset - end) * quarter >= 2
                end = max(end, stop)
            resting += longest * quarter >= 2
        shares.append(resting / len(made.parts))
    assert min(shares) > 0
    assert np.mean(shares) > 0.5
    assert returns > len(arrangements)


def test_repeats_vary(arrangements):
    """Two bars of one part are hardly ever the same."""
    same = total = 0
    for made in arrangements:
        bar = bar_length(made)
        for part in made.parts:
            contents = {}
            for s in part.strokes:
                contents.setdefault(int(s.onset // bar), []).append((s.onset % bar, s.pitch, s.velocity))
            kept = [tuple(c) for c in contents.values() if len(c) > 2]
            same += len(kept) - len(set(kept))
            total += len(kept)
    assert same < 0.01 * total


def test_drummers_fill_at_the_ends_of_sections_and_crash_after(arrangements):
    crashes = fills = ends = 0
    for made in arrangements:
        hits = [(s.onset, s.pitch) for s in made.parts[0].strokes]
        bar = bar_length(made)
        usual = np.mean([pitch in (38, 43, 45, 47, 50) for _, pitch in hits])
        for onset, _ in made.sections[1:]:
            before = [pitch for at, pitch in hits if onset - 0.25 * bar <= at < onset - 1e-6]
            if before:
                ends += 1
                fills += np.mean([pitch in (38, 43, 45, 47, 50) for pitch in before]) > usual
            crashes += (onset, 49) in hits
    assert fills > 0.6 * ends
    assert crashes > len(arrangements)


def test_drums_keep_the_metre(arrangements):
    """The kick drum prefers the first beat of the bar, and everything lies on sixteenths."""
    for made in arrangements:
        bar = bar_length(made)
        offsets = np.array([s.onset % bar for s in made.parts[0].strokes])
        assert np.abs(offsets * 4 - np.round(offsets * 4)).max() < 1e-6
    first = [s.onset % bar_length(m) < 1e-6 for m in arrangements for s in m.parts[0].strokes if s.pitch == 36]
    assert np.mean(first) > 0.2


# --- patterns -----------------------------------------------------------------------------------------------------


def written():
    """Every pattern, with its family of metres and the characters it may have."""
    for style, row in table.STYLES.items():
        for groove in drums.GROOVES[style]:
            yield from ((row.family, line, "Xxog?") for line in groove.values())
        yield from ((row.family, line, "R3578a") for line in bass.PATTERNS[style] if line != bass.WALK)
        yield from ((row.family, line, "dumb") for line in accompaniment.STRUMS[style])
        yield from ((row.family, line, "Xxob") for line in accompaniment.COMPS[style])
    for which in PATTERN_LENGTH:
        yield from ((which, line, "0123") for line in accompaniment.ARPEGGIOS[which])
        yield from ((which, line, "x") for line in lines.RIFFS[which])
        for fill in drums.FILLS[which]:
            yield from ((which, line, "xXgo") for line in fill.values())
        for rhythms in drums.PERCUSSION.values():
            yield from ((which, line, "Xxo?") for rhythm in rhythms[which] for line in rhythm.values())


def test_patterns_are_as_long_as_their_metre():
    """A character too many would shift every beat."""
    for which, line, symbols in written():
        for turn in line.split("|"):
            assert len(turn) == {"duple": 16, "triple": 12, "compound": 12}[which], line
            assert set(turn) <= set(symbols + ".-"), line


def test_a_pattern_is_read_as_written():
    bar = Bar(8.0, 4.0, 0, True, 0, 0, False)
    assert list(steps("x-.......X---...", bar, "duple")) == [(8.0, "x", 0.5), (10.25, "X", 1.0)]
    second = Bar(8.0, 2.0, 0, True, 0, 1, False)  # 2/4: the second half of the pattern
    assert list(steps("x-.......X---...", second, "duple")) == [(8.25, "X", 1.0)]
    nine = Bar(0.0, 4.5, 0, True, 0, 0, False)  # 9/8: the pattern, and its second half once more
    assert [onset for onset, _, _ in steps("x.....o.....", nine, "compound")] == [0.0, 1.5, 3.0]
    turns = [
        list(steps("x...............|....x...........", Bar(0, 4.0, 0, True, 0, n, False), "duple")) for n in (0, 1)
    ]
    assert [t[0][0] for t in turns] == [0.0, 1.0]


def test_every_instrument_named_is_known():
    for row in table.STYLES.values():
        for names in (row.drums, row.bass, row.lead, row.counter, *[n for _, n in row.rhythm + row.extras]):
            for name in names:
                instrument(name)
        assert all(INSTRUMENTS[name].low <= bass.LOW + 8 for name in row.bass)


# --- voicings -----------------------------------------------------------------------------------------------------

CHORDS = [Chord(0.0, 4.0, root, quality) for root, quality in product(range(12), INTERVALS)]


def brute_force(chord: Chord, voices: int, low: int, high: int) -> set[tuple[int, ...]]:
    """Rising keys of the chord, no gap above nine semitones, all its notes sounding."""
    keys = [k for k in range(low, high + 1) if k % 12 in chord.pitch_classes]
    found = {()}
    for _ in range(voices):
        found = {(*f, k) for f in found for k in keys if not f or 0 < k - f[-1] <= 9}
    return {f for f in found if {k % 12 for k in f} == set(chord.pitch_classes)}


@pytest.mark.parametrize(("quality", "voices"), [("maj", 3), ("min", 4), ("7", 4), ("hdim7", 4), ("dim", 3)])
def test_voicings_are_all_there_are(quality, voices):
    chord = Chord(0, 4, 2, quality)
    ways = {tuple(way) for way in voicings(chord.pitch_classes, voices, 50, 69).tolist()}
    assert ways <= brute_force(chord, voices, 50, 69)
    # Four voices on a triad double the root or the fifth, not the third.
    third = chord.pitch_classes[1]
    wanted = {w for w in brute_force(chord, voices, 50, 69) if sum(k % 12 == third for k in w) == 1}
    assert ways == wanted


def test_voices_move_little():
    """In random progressions no voice leaps, and no other voicing would have moved clearly less."""
    rng = np.random.default_rng(0)
    leaps, totals = [], []
    for voices in (3, 4):
        before = None
        for index in rng.integers(len(CHORDS), size=300):
            chord = CHORDS[index]
            after = lead(chord, voices, 52, 71, before)
            assert all(52 <= key <= 71 for key in after)
            assert {key % 12 for key in after} <= set(chord.pitch_classes)
            if before is not None and len(before) == len(after) == voices:
                moved = np.abs(np.subtract(after, before))
                leaps.append(moved.max())
                totals.append(moved.sum())
                least = min(
                    (np.abs(np.subtract(w, before)).sum() for w in brute_force(chord, voices, 52, 71)), default=99
                )
                assert moved.sum() <= least + 2 or len(chord.pitch_classes) != voices
            before = after
    assert max(leaps) <= 9
    assert np.mean(np.array(leaps) <= 4) > 0.9
    assert np.mean(totals) < 7


def test_a_repeated_chord_stays_where_it_is():
    chord = Chord(0, 4, 5, "maj7")
    first = lead(chord, 4, 50, 69, None)
    assert lead(chord, 4, 50, 69, first) == first


@pytest.mark.parametrize("quality", INTERVALS)
def test_a_power_chord_is_a_root_its_fifth_and_its_octave(quality):
    for root in range(12):
        chord = Chord(0, 4, root, quality)
        low, fifth, octave = power(chord)
        assert (low % 12, octave - low) == (root, 12)
        assert fifth - low == {"dim": 6, "dim7": 6, "hdim7": 6, "aug": 8}.get(quality, 7)
