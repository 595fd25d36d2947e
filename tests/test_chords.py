"""Chords: labels against mir_eval, windows and features against a second way to get them, folds that keep their
promise, the probes, and the table."""

from dataclasses import replace
from itertools import pairwise

import mir_eval
import numpy as np
import pandas as pd
import pytest
import torch
from music import in_memory

from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import chords
from phalar.evaluate.chords import OUTSIDE, VOCABULARIES, WINDOW, Setting, class_of, folds, probe, windows


@pytest.mark.parametrize(
    ("vocabulary", "labels", "classes"),
    [
        # The published table knows sharp triads only and calls all else silence; ours leave it out.
        ("published", "Bb:maj C:7 B:hdim7 C:maj/3 X A#:maj", "N N N N N A#:maj"),
        ("majmin", "Bb:maj C:7 B:hdim7 C:maj/3 X N D:dim C:sus4", "A#:maj C:maj - C:maj - N - -"),
        ("majmin", "D#:maj7/1 F#:7(*5)/b7 C#:maj/3 B:min7(11)/b3 A:5", "D#:maj - C#:maj B:min -"),  # as in GuitarSet
        ("sevenths", "B:hdim7 D:dim X C:min7", "- - - C:min7"),
        ("root", "B:hdim7 D:dim X C:min7", "B:1 D:1 - C:1"),
    ],
)
def test_labels_have_the_class_that_mir_eval_calls_equal(vocabulary, labels, classes):
    words, counts = [*VOCABULARIES[vocabulary], "-"], {"published": 25, "majmin": 25, "root": 13, "sevenths": 61}
    assert [class_of(word, vocabulary) for word in words[:-1]] == list(range(counts[vocabulary]))
    assert [words[class_of(label, vocabulary)] for label in labels.split()] == classes.split()
    if vocabulary != "published":
        with pytest.raises(InputError, match="'H:maj' cannot be read"):
            class_of("H:maj", vocabulary)


def recording(player: str, progression: str, roots: tuple[int, ...], seconds: float = 9.0) -> Track:
    """Major triads, struck again every half second; ``player`` is an octave."""
    length, octave = seconds / len(roots), 48 + 12 * (player == "high")
    t = np.arange(round(length * 16_000)) / 16_000
    hertz = [[440 * 2 ** ((octave + root + n - 69) / 12) for n in (0, 4, 7)] for root in roots]
    parts = [np.exp(-4 * (t % 0.5)) / 4 * sum(np.sin(2 * np.pi * f * t) for f in notes) for notes in hertz]
    samples = np.concatenate(parts).astype(np.float32)
    spans = tuple((length * k, length * (k + 1), f"{chords.PITCH_CLASSES[r]}:maj") for k, r in enumerate(roots))
    tags = {"player": player, "progression": progression, "piece": progression}
    return in_memory(samples[None], f"{player}_{progression}", "invented", tags=tags, chords=spans)


@pytest.fixture
def invented(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path))
    sheets = {"a": (0, 5, 7), "b": (7, 0, 5), "c": (5, 7, 0)}
    return [recording(player, name, roots) for player in ("low", "high") for name, roots in sheets.items()]


def test_windows_lie_inside_a_hop_apart_and_begin_at_moments_of_their_own(invented):
    for hop in (0.02, 2.0, 30.0):
        cut, step = windows(invented, hop), round(hop * 16_000)
        for track in invented:
            begin = cut.loc[cut["track"] == track.id, "begin"].to_numpy()
            assert 0 <= begin[0] < step
            assert begin[-1] + WINDOW <= track.num_samples < begin[-1] + WINDOW + step or len(begin) == 1
            assert set(np.diff(begin).tolist()) <= {step}
    few, more, whole = (chords.choose([track.id for track in invented], n) for n in (2, 4, 0))
    assert set(few) < set(more) < set(whole)
    cut = windows(invented, 1.0)
    assert len(set((cut["begin"] % 16_000).tolist())) == 6
    assert cut.equals(windows(invented, 1.0))
    for row in cut.itertuples():
        spans = next(track.chords for track in invented if track.id == row.track)
        assert row.start == spans[int(row.begin / 16_000 // 3)][2]
        assert row.centre == spans[int((row.begin / 16_000 + 2.5) // 3)][2]


def test_what_cannot_be_cut_or_probed_is_refused(invented):
    cut, one = windows(invented, 1.0), Setting("x")
    shown = np.random.default_rng(0).standard_normal((len(cut), 3))
    refused = {
        "hop=0.0: seconds between windows": lambda: windows(invented, 0.0),
        "low_a of invented has no chords": lambda: windows([replace(invented[0], chords=None)], 1.0),
        "is shorter than a window of 5 s": lambda: windows([recording("low", "short", (0, 5), 4.0)], 1.0),
        "no probe 'linear'; choose from real part": lambda: probe(cut, shown, Setting("x", "linear")),
        "NaN or infinite": lambda: probe(cut, shown * np.nan, one),
        "no labelled window remains": lambda: probe(cut, shown, one, learn=np.zeros(len(cut), bool)),
        "1 group in folds": lambda: folds(["a", "a"]),
    }
    for message, call in refused.items():
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.parametrize("name", ["phalar", "gap"])
def test_features_are_embeddings_made_once_and_found_again(invented, stirred, monkeypatch, name):
    model, cut, made = stirred(name), windows(invented[:3], 2.0), []
    original = chords.pooled
    monkeypatch.setattr(chords, "pooled", lambda *a, **k: made.append(1) or original(*a, **k))
    first, again = (chords.features(invented[:3], cut, {"it": model}, progress=False) for _ in range(2))
    assert len(made) == 3
    assert (first["it"] == again["it"]).all()
    tracks = {track.id: track for track in invented}
    audio = [tracks[row.track].excerpt(row.begin, WINDOW)[0] for row in cut.itertuples()]
    direct = model.embed(audio, 16_000).numpy()
    assert np.abs(first["it"] - direct).max() < 1e-4 * np.abs(direct).max()


@pytest.mark.parametrize("kind", chords.FOLDS)
def test_folds_never_share_what_they_promise_not_to_share(kind):
    """On GuitarSet's plan: six players, each of whom plays thirty pieces on three progressions."""
    plan = [(f"{p}{s}{n}{t}", str(p), str(n)) for p in range(6) for s in "ABCDE" for n in (1, 2, 3) for t in (90, 120)]
    cut = pd.DataFrame(plan, columns=["track", "player", "progression"])
    fold, again = (folds(cut[kind], chords.FOLDS[kind]) for _ in range(2))
    assert (fold == again).all()
    assert cut.groupby(kind).apply(lambda rows: len(set(fold[rows.index]))).max() == 1
    assert len(set(fold)) == {"track": 5, "player": 6, "progression": 3}[kind]


def clouds(count=300, classes=4, dim=12, spread=1.5, seed=0):
    """Complex points around one centre a class, unevenly many, that overlap: no probe can get all of them."""
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(classes), rng.choice(classes, count - classes, p=[0.6, 0.2, 0.1, 0.1])])
    middle = rng.standard_normal((classes, dim)) + 1j * rng.standard_normal((classes, dim))
    noise = rng.standard_normal((count, dim)) + 1j * rng.standard_normal((count, dim))
    return (3 * middle[targets] / dim**0.5 + spread * noise).astype(np.complex64), targets


def table(targets, per=8):
    """Windows of invented recordings, ``per`` each, two recordings a piece, with these classes as their labels."""
    track = np.arange(len(targets)) // per
    names = {"track": track.astype(str), "player": (track % 3).astype(str), "piece": (track // 2).astype(str)}
    labels = [VOCABULARIES["majmin"][k] if k != OUTSIDE else "X" for k in targets]
    return pd.DataFrame(names | {"progression": names["piece"], "begin": 0, "start": labels, "centre": labels})


@pytest.fixture
def clouded():
    """Points that can be told apart, in any order, their table, and their classes."""
    z, targets = clouds(96, spread=0.4)
    order = np.random.default_rng(1).permutation(96)
    return z[order], table(targets[order]), targets[order]


@pytest.mark.parametrize("kind", chords.PROBES)
def test_a_window_is_named_by_a_probe_that_never_met_its_group(kind, clouded):
    """What the probe of a fold names does not depend on the labels of that fold."""
    z, cut, _ = clouded
    named = probe(cut, z, Setting("x", kind, folds="player"))
    assert named.groupby("player")["fold"].nunique().max() == 1
    here = named["fold"] == 0
    lied = cut.assign(start=np.where(here, "C:maj", cut["start"]))
    again = probe(lied, z, Setting("x", kind, folds="player"))
    assert (named["predicted"][here] == again["predicted"][here]).all()
    assert chords.accuracy(named).value > 0.8 or kind != "real part"
    # A modulus is blind to phases, and so is what looks at nothing.
    turned = (z * np.exp(2j * np.pi * np.random.default_rng(0).random(z.shape))).astype(np.complex64)
    same = (probe(cut, turned, Setting("x", kind, folds="player"))["predicted"] == named["predicted"]).all()
    assert same == (kind in ("modulus", "majority"))


def test_the_published_probe_is_a_complex_layer_read_by_its_real_part():
    z, targets = clouds(spread=0.3)
    short = [chords.PublishedProbe().fit(z, targets, 4, epochs=1) for _ in range(2)]
    assert torch.equal(short[0].weight, short[1].weight)
    weight = short[0].weight.detach()
    assert (weight.dtype, weight.shape) == (torch.complex64, (4, 12))
    stacked = np.concatenate([z.real, z.imag], axis=1) @ torch.cat([weight.real, -weight.imag], dim=1).numpy().T
    logits = short[0].logits(torch.from_numpy(z)).detach().numpy()
    assert np.allclose(logits, stacked + short[0].bias.detach().numpy(), atol=1e-5)
    long = chords.PublishedProbe().fit(z, targets, 4, epochs=80)
    assert np.mean(long.predict(z) == targets) > max(0.9, np.mean(short[0].predict(z) == targets))


def test_windows_without_a_class_or_not_to_learn_from_are_named_but_not_learned(clouded):
    z, _, targets = clouded
    targets[::3] = OUTSIDE
    half = np.arange(96) % 8 < 4
    for learned, learn in ((targets != OUTSIDE, None), (half, half)):
        broken = np.where(learned[:, None], z, z + 1e6)  # whatever the others hold, the probe is the same
        one, other = (probe(table(targets), shown, Setting("x"), learn=learn)["predicted"] for shown in (z, broken))
        assert (one != OUTSIDE).all()
        assert (one[learned] == other[learned]).all()


def test_scores_are_what_they_are_called():
    truth, predicted = np.array([0, 0, 0, 1, 0, 1, OUTSIDE, 0]), np.array([0, 0, 0, 0, 1, 1, 1, 0])
    columns = {"track": list("aaaabbbc"), "piece": list("xxxxxxxy"), "fold": [0, 0, 0, 0, 1, 1, 1, 1]}
    named = pd.DataFrame(columns | {"truth": truth, "predicted": predicted})
    found = chords.accuracy(named)
    assert found.n == 2, "pieces, not recordings, are resampled"
    assert (found.value, found.low, found.high) == pytest.approx((0.75, 0.625, 1.0))
    assert chords.accuracy(named, named.assign(predicted=OUTSIDE)).value == pytest.approx(0.75)
    spans = chords.segments([0.0, 1.0, 2.0], ["C:maj", "C:maj", "N"], 1.0)
    assert spans == [(0.0, 1.5, "C:maj"), (1.5, 2.5, "N")], "half a hop either side"


def test_the_table_says_what_was_measured(invented, stirred):
    rows = [Setting("chroma", folds="player"), Setting("majority", "majority")]
    rows.append(Setting("gap", "as published", "published"))
    found = chords.evaluate(stirred("gap"), invented, 1.0, rows, progress=False)
    found = found.set_index(["variant", "split", "metric"]).sort_index()["estimate"]
    own = found["chroma", "majmin, label at start, folds by player, real part"]
    assert min(own["accuracy"].value, own["majmin"].value) > 0.9, "pure triads are easily read off their chroma"
    assert (own["accuracy"].n, own["outside_vocabulary"].value) == (3, 0)
    assert "sevenths" not in own
    assert found["majority"].xs("balanced_accuracy", level=-1).iloc[0].value <= 1 / 3 + 1e-9
    assert "published, label at start, folds by progression, as published" in found["gap"].index.get_level_values(0)
    most = Setting("majority", "majority", folds="track")
    named = probe(windows(invented, 1.0), np.zeros((24, 1)), most)
    by_fold = chords.measures(named, most, invented, 1.0)["accuracy_by_fold"]
    right = (named["truth"] == named["predicted"]).groupby(named["fold"]).mean()
    half = 1.96 * right.std(ddof=1) / 5**0.5
    assert (by_fold.low, by_fold.high) == pytest.approx((right.mean() - half, right.mean() + half))


def test_weighted_scores_are_those_of_mir_eval_where_both_cover_the_same_time():
    rng = np.random.default_rng(0)
    labels = ["C:maj", "C:min", "A:min7", "G:7", "B:hdim7", "N", "Eb:maj7"]
    for _ in range(5):
        bounds = [[0.0, *np.sort(rng.choice(np.arange(1, 100), 9, replace=False)) / 5, 20.0] for _ in range(2)]
        sides = [[(a, b, str(rng.choice(labels))) for a, b in pairwise(own)] for own in bounds]
        arrays = [(np.array([c[:2] for c in side]), [c[2] for c in side]) for side in sides]
        expected, found = mir_eval.chord.evaluate(*arrays[0], *arrays[1]), chords.weighted_scores(*sides)
        assert found == pytest.approx({name: expected[name] for name in found})
    # Only the time that both cover is scored, and only what a measure is about.
    early, late = [(0.0, 1.0, "B:hdim7")], [(1.0, 9.0, "G:maj")]
    assert chords.weighted_scores([*early, *late], late)["majmin"] == 1
    scores = chords.weighted_scores([*early, *late], [(0.0, 1.0, "B:min")])
    assert np.isnan(scores["majmin"])
    assert scores["root"] == 1
