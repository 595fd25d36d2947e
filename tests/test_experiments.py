"""What notebooks ask for is found when it was made before, and made when it was not."""

import numpy as np
import pytest

from phalar import corpora, paths
from phalar.evaluate import retrieval
from phalar.evaluate.shortcuts import SHORTCUTS, shortcut_scores
from phalar.study import experiments, heard, kept_scores


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Corpora as they are, and a cache of scores that starts empty."""
    real = paths.cache()
    monkeypatch.setattr(corpora.paths, "cache", lambda: real)
    monkeypatch.setattr(kept_scores, "paths", type("paths", (), {"cache": staticmethod(lambda: tmp_path)}))
    return tmp_path


def test_shortcuts_are_scored_on_the_models_pairs_and_kept(cache, monkeypatch):
    records = heard.find_or_hear("chorales", [4, 8], draws=2, limit=8, progress=False)
    assert set(records) == set(SHORTCUTS)
    tracks = corpora.load("chorales", "test", limit=8)
    scores = [shortcut_scores(retrieval.fixed_pairs(tracks, draw))["tempo"] for draw in range(2)]
    expected = [retrieval.summarise(np.stack(scores), k).accuracy for k in (4, 8)]
    assert [r.value for r in records["tempo"]] == pytest.approx(expected)
    assert [(r.variant, r.k, r.n, r.seed) for r in records["tempo"]] == [("tempo", 4, 8, None), ("tempo", 8, 8, None)]
    calls = []
    monkeypatch.setattr(heard, "shortcut_scores", lambda pairs, **_: calls.append(1) or shortcut_scores(pairs))
    again = heard.find_or_hear("chorales", [4], draws=2, limit=8, progress=False)
    assert not calls, "both draws were kept"
    assert again["chroma"][0].value == records["chroma"][0].value
    heard.find_or_hear("chorales", [4], draws=3, limit=8, progress=False)
    assert len(calls) == 1, "only the third draw was missing"


def test_real_data_that_is_not_at_hand_is_said_and_left_out(tmp_path):
    found, absent = experiments.present(["slakh2100", f"musdb18hq={tmp_path / 'nowhere'}", "chorals"], progress=False)
    assert found == []
    assert "phalar datasets prepare slakh2100 ROOT" in absent["slakh2100"]
    assert "nowhere" in absent["musdb18hq"]
    assert "chorals" in absent["chorals"]


def test_a_copy_named_with_its_root_is_prepared_and_then_loaded_like_a_corpus(tmp_path, monkeypatch):
    from skeletons import Sound, musdb18hq

    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    musdb18hq(tmp_path / "musdb18hq", sound=Sound("wav", 44_100, 2, 3.0, False))
    found, absent = experiments.present([f"musdb18hq={tmp_path / 'musdb18hq'}"], progress=False)
    assert (found, absent) == (["musdb18hq"], {})
    tracks = corpora.load("musdb18hq", "test", limit=2)
    assert [track.split for track in tracks] == ["test", "test"]
    assert experiments.present(["musdb18hq"], progress=False) == (["musdb18hq"], {})
    assert corpora.version("musdb18hq").startswith("musdb18hq-")
