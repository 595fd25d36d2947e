"""The paper's table of listeners comes back from the published ratings; odd ratings do what is written."""

import json

import numpy as np
import pytest

from phalar.cli import main
from phalar.errors import InputError
from phalar.evaluate import judgements
from phalar.study import records, tables

SONGS = [f"song {i}" for i in range(12)]
PAPER = {(variant, metric): x for (of, _, variant, metric, _), x in tables.paper().items() if of == "judgements"}


def trial(song, instrument, *ratings):
    return {"folder": song, "type": instrument, "scores": dict(zip(judgements.VERSIONS, ratings, strict=False))}


@pytest.fixture
def folder(tmp_path):
    """folder(listeners, **metrics): as published, with the trials of listeners and random scores, if no others."""
    rng = np.random.default_rng(0)

    def write(listeners, **metrics):
        (tmp_path / "user_ratings").mkdir(exist_ok=True)
        for name, trials in listeners.items():
            (tmp_path / "user_ratings" / f"results_{name}.json").write_text(json.dumps(trials))
        for name, of in ({"phalar": None, "audiobox_ce": None} | metrics).items():
            rows = [{"song": song, "gt": 0, "sac": 0, "stage": 0, "moises": 0} for song in SONGS]
            table = of or {"drums": [row | {k: rng.normal() for k in row if k != "song"} for row in rows]}
            (tmp_path / f"results_{name}.json").write_text(json.dumps(table))
        return tmp_path

    return write


def random_trials(seed, songs=SONGS):
    ratings = np.random.default_rng(seed).integers(1, 6, (len(songs), 4)).tolist()
    return [trial(song, "drums", *of_song) for song, of_song in zip(songs, ratings, strict=True)]


@pytest.fixture(scope="module")
def printed(listening_tests):
    """What the command prints of the published ratings, by (variant, split, metric)."""
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr("click.echo", lambda text="", **_: said.append(text))
        assert main(["evaluate", "judgements", "--ratings", str(listening_tests), "--json"]) == 0
    found = json.loads(said[-1])["records"]
    return {(each["variant"], each["split"], each["metric"]): each for each in found}


@pytest.mark.parametrize(("variant", "metric"), [key for key in PAPER if key[1] in ("pearson", "spearman")])
def test_every_correlation_of_the_paper_comes_back_to_three_digits_with_its_interval(printed, variant, metric):
    found = printed[variant, judgements.PUBLISHED, metric]
    sign = -1 if variant == "Audiobox PC" else 1  # printed without its sign
    assert round(found["value"], 3) == sign * PAPER[variant, metric]
    assert found["ci_low"] < found["value"] < found["ci_high"]
    assert found["n"] == 348


def test_the_papers_test_criterion_and_ranking_come_back(printed):
    published = judgements.PUBLISHED
    assert printed["Audiobox CE", published, "steiger_p"]["value"] == pytest.approx(0.123, abs=0.01)
    paper = {variant: x for (variant, metric), x in PAPER.items() if metric == "aic"}
    ours = {name: printed[name, published, "aic"]["value"] for name in paper}
    assert all(ours[name] - ours["phalar"] == pytest.approx(x - paper["phalar"], abs=1.2) for name, x in paper.items())
    for recipe, r, rho in (("by listener", 0.388, 0.421), ("raw, not averaged", 0.289, 0.309)):
        assert [round(printed["phalar", recipe, kind]["value"], 3) for kind in ("pearson", "spearman")] == [r, rho]
    apart = {split: printed["STAGE - SA-ControlNet", split, "mean phalar"] for split in ("all items", "every rating")}
    assert apart["every rating"]["value"] < 0 < apart["all items"]["value"], "reversed as soon as ratings count"
    assert all(each["ci_low"] < 0 < each["ci_high"] for each in apart.values())
    one, most = (printed["listeners", published, name]["value"] for name in ("one against the others", "ceiling"))
    assert printed["phalar", published, "pearson"]["value"] < one < most < 1


def test_the_reference_records_are_of_these_ratings(printed):
    reference = records.read(records.JUDGEMENTS).set_index(["variant", "split", "metric"])["value"]
    assert all(reference[key] == pytest.approx(each["value"], abs=1e-6) for key, each in printed.items())


def test_a_missing_rating_a_constant_listener_and_an_item_rated_once_count_for_what_they_are(folder):
    constant = [trial(song, "drums", 3, 3, 3, 3) for song in SONGS]
    holes = [trial(SONGS[0], "drums", 1, None, 5), trial("song 1", "drums", 4)]
    ratings, scores = judgements.load(folder({"1": random_trials(1), "2": constant, "3": holes}))
    assert ratings.groupby(level="listener").size().to_dict() == {"1": 48, "2": 48, "3": 3}, "null and absent: missing"
    z = judgements.joined(ratings, scores)["listeners"]
    assert (z["2"] == 0).all(), "who tells nothing apart is in the middle"
    once = ratings.drop(index="2")
    agreed = judgements.agreement(judgements.joined(once, scores), resamples=20)
    assert np.isfinite(agreed["pearson"].iloc[0]).all()
    assert judgements.others(once).notna().sum() == 6, "three items were rated twice"
    with pytest.raises(InputError, match="rated alike"):
        judgements.agreement(judgements.joined(ratings[["2"]], scores), resamples=1)
    alone = judgements.evaluate(ratings[["1"]], scores, resamples=20)
    assert not {"icc", "ceiling", "one against the others"} & set(alone["metric"]), "no item was rated twice"


@pytest.mark.parametrize(
    ("trials", "metrics", "said"),
    [
        ([{"folder": "song 1", "type": "drums", "scores": {"suno": 3}}], {}, "unknown version 'suno'"),
        ([trial("song 1", "drums", 3, 6)], {}, "a rating of 6"),
        ([trial("song 1", "drums", 3, 2.5)], {}, "a rating of 2.5"),
        ([trial("song 1", "bass", 3)], {}, "no score of ('song 1', 'bass', 'og', 'Audiobox CE')"),
        ([{"song": "song 1"}], {}, "not of the published form"),
        ([trial("song 1", "drums", 3)], {"phalar": {"drums": [{"song": "song 1", "gtt": 1.0}]}}, "version 'gtt'"),
    ],
)
def test_what_is_not_of_the_published_form_is_refused_by_name(folder, trials, metrics, said):
    with pytest.raises(InputError) as caught:
        judgements.load(folder({"1": trials}, **metrics))
    assert said in str(caught.value)


def test_an_absent_folder_says_where_the_ratings_are(tmp_path, capsys):
    assert main(["evaluate", "judgements", "--ratings", str(tmp_path)]) == 2
    assert "github.com/gladia-research-group/phalar" in capsys.readouterr().err


def test_a_model_with_the_audio_joins_the_metrics(folder, wav, music, tmp_path):
    names = ("input", "ground_truth", "sac_generated", "stage_generated", "moises_generated")
    _, scores = judgements.load(folder({"1": random_trials(1)}))
    items = scores.xs("song 0", drop_level=False).index
    (tmp_path / "song 0").mkdir()
    for name, sound in zip(names, music(5), strict=True):
        wav("x.wav", sound).rename(tmp_path / "song 0" / f"drums_{name}.wav")
    own = judgements.own_scores(tmp_path, items, "phalar")
    assert own.index.equals(items)
    assert own.nunique() == 4
    with pytest.raises(InputError, match="song 1"):
        judgements.own_scores(tmp_path, scores.index, "phalar")


def test_steigers_test_keeps_its_level_where_two_metrics_agree_equally():
    found = judgements.power(0.3, 0.4, 0.5, listeners=[22], gaps=[0.0, 0.4], runs=200)
    assert found[22, 0.0].value < 0.06, "5 %, of which the wrong half does not count"
    assert found[22, 0.4].value > 0.9
