"""Probes: scikit-learn as the oracle, what a modulus cannot see, folds that keep their promise."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from phalar.corpora import comping
from phalar.errors import InputError
from phalar.evaluate import chord_folds, chord_probes, chords
from phalar.evaluate.chord_labels import OUTSIDE
from phalar.evaluate.chord_probes import as_real, fit, fit_as_published, fit_scikit_learn, frame_weights


def clouds(frames=300, classes=4, dim=12, spread=1.5, seed=0):
    """Complex points around one centre a class, unevenly many, that overlap: no probe can get all of them."""
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(classes), rng.choice(classes, frames - classes, p=[0.6, 0.2, 0.1, 0.1])])
    middle = rng.standard_normal((classes, dim)) + 1j * rng.standard_normal((classes, dim))
    noise = rng.standard_normal((frames, dim)) + 1j * rng.standard_normal((frames, dim))
    return 3 * middle[targets] / dim**0.5 + spread * noise, targets


# --- the convex probe


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("kind", ["complex", "real"])
def test_the_convex_probe_is_the_one_scikit_learn_finds(kind, balanced):
    z, targets = clouds()
    features = z if kind == "complex" else 5 + 3 * as_real(z)
    ours = fit(features, targets, 4, penalties=[0.02], balanced=balanced)[0]
    theirs = fit_scikit_learn(features, targets, 4, penalty=0.02, balanced=balanced)
    probabilities = [softmax(probe.logits(features), axis=1) for probe in (ours, theirs)]
    assert np.abs(probabilities[0] - probabilities[1]).max() < 1e-3
    assert torch.abs(ours.weight - theirs.weight).max() < 1e-3
    assert np.ptp(probabilities[0], axis=0).min() > 0.3, "a probe that says the same of all frames would agree too"


def test_single_precision_finds_the_same_probe():
    z, targets = clouds()
    double = fit(z, targets, 4)[0]
    single = fit(z.astype(np.complex64), targets, 4)[0]
    assert single.weight.dtype == torch.complex64
    assert np.abs(softmax(double.logits(z), 1) - softmax(single.logits(z), 1)).max() < 1e-3


def test_at_the_end_no_step_in_any_direction_makes_it_better():
    z, targets = clouds()
    weights, matrix = frame_weights(targets, 4, True), chord_probes.principal(torch.from_numpy(z))[1]
    for reading in ("real", "modulus"):
        probe = fit(z, targets, 4, penalties=[0.05], reading=reading)[0]

        def objective(weight, probe=probe):
            moved = chord_probes.Probe(weight @ matrix.T, probe.bias, probe.centre, probe.reading, 0)
            chances = softmax(moved.logits(z), axis=1)[np.arange(len(z)), targets]
            return -np.mean(weights * np.log(chances)) + 0.025 * float((weight.abs() ** 2).sum())

        inner = probe.weight @ torch.linalg.pinv(matrix).T  # the weight that the penalty is on
        best, rng = objective(inner), torch.Generator().manual_seed(0)
        for _ in range(10):
            step = 1e-2 * torch.randn(inner.shape, dtype=torch.complex128, generator=rng)
            assert objective(inner + step) > best
            assert objective(inner - step) > best


def test_solved_to_the_end_it_is_scikit_learns_at_the_size_of_an_embedding():
    """As the notebook checks it: fewer frames than numbers in each, where the last digits take long."""
    rng = np.random.default_rng(4)
    targets = np.arange(92) % 23
    z = (rng.standard_normal((92, 512)) + 1j * rng.standard_normal((92, 512))) * np.logspace(0, -3, 512)
    z += 0.5 * (rng.standard_normal((23, 512)) + 1j * rng.standard_normal((23, 512)))[targets] * np.logspace(0, -3, 512)
    ours = fit(z, targets, 23, penalties=[0.1], steps=2000, tolerance=1e-7)[0]
    theirs = fit_scikit_learn(z, targets, 23, penalty=0.1)
    assert np.abs(softmax(ours.logits(z), 1) - softmax(theirs.logits(z), 1)).max() < 1e-3


def test_features_are_turned_and_stretched_and_nothing_else():
    z = clouds()[0] * np.logspace(0, -4, 12)
    for given in (z, as_real(z) + 7):
        frames, matrix, centre = chord_probes.principal(torch.from_numpy(given))
        assert np.allclose(frames, (given - centre.numpy()) @ matrix.numpy())
        power = (frames.abs() ** 2).mean(dim=0)
        about = given - centre.numpy()
        own = np.linalg.eigvalsh(about.conj().T @ about / len(about))[::-1]
        assert np.allclose(power, own / (own + chord_probes.FLOOR * own.mean()))
        correlation = (frames.mH @ frames / len(frames)).abs()
        assert torch.allclose(correlation, torch.diag(power), atol=1e-9)
    assert (chord_probes.principal(torch.from_numpy(z))[2] == 0).all()


def test_a_probe_is_the_same_whatever_the_unit_and_basis_of_its_features():
    z, targets = clouds()
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)) + 1j)[0]
    plain, moved = fit(z, targets, 4)[0], fit(1e3 * z @ turn, targets, 4)[0]
    assert np.abs(softmax(plain.logits(z), 1) - softmax(moved.logits(1e3 * z @ turn), 1)).max() < 1e-3


def test_the_real_part_of_a_complex_layer_is_a_real_layer_on_both_parts():
    z, targets = clouds()
    probe = fit(z, targets, 4)[0]
    matrix = np.concatenate([probe.weight.real.numpy(), -probe.weight.imag.numpy()], axis=1)
    assert np.allclose(probe.logits(z), as_real(z) @ matrix.T + probe.bias.numpy())
    turned = probe.logits(z * np.exp(1j * 1.0))
    assert np.abs(turned - probe.logits(z)).max() > 0.1


def test_a_modulus_is_blind_to_a_common_rotation_and_sees_what_turns_together():
    rng = np.random.default_rng(1)
    turns = np.exp(2j * np.pi * rng.random(400))[:, None]
    targets = rng.integers(0, 2, 400)
    # Both classes have entries of the same size at any angle; what differs is the angle between two of them.
    between = np.where(targets == 1, 1, -1)[:, None]
    noise = 0.3 * (rng.standard_normal((400, 2)) + 1j * rng.standard_normal((400, 2)))
    z = turns * np.concatenate([np.ones((400, 1)), between], axis=1) + noise
    learn, test = slice(0, 300), slice(300, 400)
    modulus = fit(z[learn], targets[learn], 2, reading="modulus", penalties=[0.01])[0]
    real = fit(z[learn], targets[learn], 2, penalties=[0.01])[0]
    assert np.mean(modulus.predict(z[test]) == targets[test]) > 0.95
    assert np.mean(real.predict(z[test]) == targets[test]) < 0.7
    assert np.allclose(modulus.logits(z), modulus.logits(z * np.exp(1j * 2.0)))


def test_balanced_weights_are_scikit_learns_and_let_rare_classes_count():
    from sklearn.utils.class_weight import compute_sample_weight

    z, targets = clouds(spread=3.0)
    weights = frame_weights(targets, 4, True)
    assert np.allclose(weights, compute_sample_weight("balanced", targets))
    assert np.allclose(frame_weights(targets, 9, True), weights), "classes that do not occur have no weight"

    def rare_found(balanced):
        found = fit(z, targets, 4, penalties=[0.1], balanced=balanced)[0].predict(z)
        return np.mean([np.mean(found[targets == c] == c) for c in (1, 2, 3)])

    assert rare_found(True) > rare_found(False) + 0.1


def test_a_path_of_penalties_gives_what_each_would_alone():
    z, targets = clouds()
    path = fit(z, targets, 4, penalties=[1.0, 0.1, 0.01])
    alone = fit(z, targets, 4, penalties=[0.01])[0]
    assert torch.abs(path[-1].weight - alone.weight).max() < 1e-3
    sizes = [float((probe.weight.abs() ** 2).sum()) for probe in path]
    assert sizes == sorted(sizes)


def test_the_published_probe_learns_and_is_repeatable():
    z, targets = clouds(spread=0.3)
    short = [fit_as_published(z, targets, 4, epochs=1, seed=3) for _ in range(2)]
    assert torch.equal(short[0].weight, short[1].weight)
    long = fit_as_published(z, targets, 4, epochs=80, seed=3)
    assert np.mean(long.predict(z) == targets) > max(0.9, np.mean(short[0].predict(z) == targets))


def test_features_that_never_change_do_no_harm():
    z, targets = clouds()
    for features in (z, as_real(z)):
        with_constant = np.concatenate([features, np.zeros((len(z), 1))], axis=1)
        apart = fit(with_constant, targets, 4)[0].logits(with_constant) - fit(features, targets, 4)[0].logits(features)
        assert np.abs(apart).max() < 0.05, "the mean power is a little less with an axis that has none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reading": "phase"}, "reading='phase': choose from real, modulus"),
        ({"penalties": [0.0]}, "penalty=0.0: it must be above 0"),
        ({"targets": np.zeros(3, int)}, r"targets \(3,\)"),
        ({"targets": np.full(300, 4)}, "targets from 4 to 4: classes are 0 to 3"),
        ({"targets": np.full(300, OUTSIDE)}, "leave out frames whose label has no class"),
        ({"features": np.full((300, 12), np.nan)}, "NaN or infinite"),
        ({"features": np.ones((300, 12)), "reading": "modulus"}, "these are real"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, message):
    z, targets = clouds()
    arguments = {"features": z, "targets": targets, "classes": 4} | change
    with pytest.raises(InputError, match=message):
        fit(**arguments)


# --- folds


def recordings(corpus="comping"):
    if corpus == "comping":
        tags = []
        for piece in comping.pieces():
            player, page = piece.split("_")
            tags.append((piece, player, page.split("-")[0], page))
    else:  # GuitarSet numbers its three progressions, in five styles
        tags = [
            (f"{p}{s}{n}{t}", f"{p:02d}", n, f"{s}{n}-{t}")
            for p in range(6)
            for s in "ABCDE"
            for n in (1, 2, 3)
            for t in (90, 120)
        ]
    return [SimpleNamespace(id=i, dataset=corpus, tags={"player": p, "progression": g, "piece": w})
            for i, p, g, w in tags]  # fmt: skip


@pytest.mark.parametrize("corpus", ["comping", "guitarset"])
@pytest.mark.parametrize("kind", chord_folds.KINDS)
def test_folds_never_share_what_they_promise_not_to_share(kind, corpus):
    tracks = recordings(corpus)
    fold = chord_folds.by(tracks, kind)
    groups = chord_folds.groups_of(tracks, kind)
    for group in set(groups):
        assert len({fold[i] for i, other in enumerate(groups) if other == group}) == 1
    expected = {"recording": 5, "player": 6, "progression": 5 if corpus == "comping" else 3}[kind]
    assert sorted(set(fold.tolist())) == list(range(expected))
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= max(np.unique(groups, return_counts=True)[1])
    assert chord_folds.seen(groups, fold) == 0
    assert (chord_folds.by(tracks, kind) == fold).all()


def test_folds_by_recording_and_player_leak_progressions_and_those_by_progression_leak_players():
    tracks = recordings()
    progressions, players = chord_folds.groups_of(tracks, "progression"), chord_folds.groups_of(tracks, "player")
    assert chord_folds.seen(progressions, chord_folds.by(tracks, "recording")) > 0.95
    assert chord_folds.seen(progressions, chord_folds.by(tracks, "player")) == 1
    assert chord_folds.seen(players, chord_folds.by(tracks, "progression")) == 1


def test_groups_that_cannot_be_folded_are_refused():
    tracks = recordings()
    with pytest.raises(InputError, match="folds by 'style': choose from"):
        chord_folds.groups_of(tracks, "style")
    with pytest.raises(InputError, match="has no tag 'player'"):
        chord_folds.groups_of([SimpleNamespace(id="a", dataset="beats", tags={})], "player")
    with pytest.raises(InputError, match="1 groups in 5 folds"):
        chord_folds.assign(["a", "a"])


# --- cross-validation


def invented(recordings=12, frames=8, classes=4, seed=0):
    z, targets = clouds(recordings * frames, classes, seed=seed, spread=0.4)
    order = np.random.default_rng(seed).permutation(len(z))
    recording = np.repeat(np.arange(recordings), frames)
    return z[order], targets[order], recording


@pytest.mark.parametrize("probe", chords.PROBES)
def test_a_frame_is_named_by_a_probe_that_never_met_its_recording(probe, monkeypatch):
    z, truth, recording = invented()
    groups, met = [f"p{i // 2}" for i in range(12)], []
    original = chords._fitted
    monkeypatch.setattr(chords, "_fitted", lambda name, f, *rest: met.append(f) or original(name, f, *rest))
    fold = chord_folds.assign(groups, 3)
    found = chords.cross_validate(z, truth, recording, groups, fold, 4, probe)
    shown = chord_probes.as_real(z) if probe == "[Re, Im]" else z
    unmet = []  # by each probe: folds of which it saw no frame
    for features in met:
        rows = {row.tobytes() for row in features}
        seen = {k for k, row in zip(fold[recording], shown, strict=True) if row.tobytes() in rows}
        unmet.append(sorted({0, 1, 2} - seen))
    assert sorted(unmet) == [[0], [1], [2]]
    for tested in range(3):
        here = fold[recording] == tested
        assert (found.predicted[here] == found.probes[tested].predict(shown[here])).all()
    if probe in ("real part", "[Re, Im]"):
        assert found.accuracy > 0.8


def test_frames_without_a_class_are_neither_learned_nor_scored_but_named():
    z, truth, recording = invented()
    truth[::3] = OUTSIDE
    found = chords.cross_validate(z, truth, recording, list("abcdefghijkl"), np.arange(12) % 3, 4)
    assert (found.predicted != OUTSIDE).all()
    assert found.confusion().sum() == (truth != OUTSIDE).sum()
    broken = z.copy()
    broken[::3] += 1e6  # whatever those frames hold, the probe is the same
    again = chords.cross_validate(broken, truth, recording, list("abcdefghijkl"), np.arange(12) % 3, 4)
    assert again.accuracy == found.accuracy


def test_scores_of_a_probing_are_what_they_are_called():
    truth = np.array([0, 0, 0, 1, 0, 1, OUTSIDE, 0])
    predicted = np.array([0, 0, 0, 0, 1, 1, 1, 0])
    recording = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    probing = chords.Probing(truth, predicted, recording, np.array([0, 1, 1]), 3, [])
    assert probing.by_recording.tolist() == [0.75, 0.5, 1.0]
    assert probing.accuracy == pytest.approx(0.75)
    low, high = probing.interval()
    assert 0.5 <= low < 0.75 < high <= 1.0
    assert probing.balanced()[0] == pytest.approx((4 / 5 + 1 / 2) / 2), "class 2 never occurs"
    assert probing.confusion().tolist() == [[4, 1, 0], [1, 1, 0], [0, 0, 0]]
    folds = np.array([3 / 4, 2 / 3])
    middle, half = folds.mean(), 1.96 * folds.std(ddof=1) / 2**0.5
    assert probing.published_interval() == pytest.approx((middle - half, middle + half))


def test_the_majority_has_chance_as_its_balanced_accuracy():
    z, truth, recording = invented()
    found = chords.cross_validate(z, truth, recording, list("abcdefghijkl"), np.arange(12) % 3, 4, "majority")
    assert found.balanced()[0] == pytest.approx(1 / 4)
    assert found.accuracy == pytest.approx(np.mean(truth == 0))


def test_fewer_recordings_to_learn_from_are_drawn_by_the_seed(monkeypatch):
    z, truth, recording = invented()
    met, original = [], chords._fitted
    monkeypatch.setattr(chords, "_fitted", lambda name, f, *rest: met.append(f) or original(name, f, *rest))
    for seed in (0, 0, 1):
        chords.cross_validate(
            z, truth, recording, list("abcdefghijkl"), np.arange(12) % 3, 4, "majority", training=3, seed=seed
        )
    # Folds are fitted side by side and meet in any order: sets, not lists, are compared.
    first, again, other = ({frames.tobytes() for frames in met[k : k + 3]} for k in (0, 3, 6))
    assert {len(frames) for frames in met} == {3 * 8}
    assert len(met) == 9
    assert len(first) == 3
    assert first == again
    assert first != other


def test_an_unknown_probe_and_an_empty_fold_are_refused():
    z, truth, recording = invented()
    with pytest.raises(InputError, match="no probe 'linear'; choose from real part"):
        chords.cross_validate(z, truth, recording, list("abcdefghijkl"), np.arange(12) % 3, 4, "linear")
    with pytest.raises(InputError, match="no labelled frame remains"):
        chords.cross_validate(z, np.full(96, OUTSIDE), recording, list("abcdefghijkl"), np.arange(12) % 3, 4)


def test_folds_side_by_side_leave_the_number_of_threads_as_it_was():
    z, truth, recording = invented()
    before = torch.get_num_threads()
    chords.cross_validate(z, truth, recording, list("abcdefghijkl"), np.arange(12) % 3, 4)
    with ThreadPoolExecutor(1) as pool:
        assert [torch.get_num_threads(), pool.submit(torch.get_num_threads).result()] == [before, before]
