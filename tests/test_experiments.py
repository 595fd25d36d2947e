"""What notebooks ask for is found when it was made before, and made when it was not."""

from phalar import corpora
from phalar.study import experiments


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
