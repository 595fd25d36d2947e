"""A difference counts only beyond the luck of seeds and of tracks, and nothing that cannot be judged is."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import norm

from phalar.cli import main
from phalar.evaluate import retrieval
from phalar.evaluate.statistics import Estimate
from phalar.study import claims, records, simulate, tables
from phalar.study.compare import (
    DIFFERENCE,
    GAINED,
    P_RAW,
    SEEDS,
    Effect,
    Verdict,
    against_full,
    corrected,
    judge,
    of_outcomes,
)
from phalar.study.records import Outcome, Record, frame

REPRODUCED, PARTIAL, NOT, SHOWN, JUDGED = (
    Verdict.REPRODUCED, Verdict.PARTIAL, Verdict.NOT_REPRODUCED, Verdict.NOT_SHOWN, Verdict.NOT_JUDGED,
)  # fmt: skip
VARIANTS = ("phalar", "gap", "magnitude", "cosine", "psd", "hermitian", "mel", "cocola")
WORSE = "Spectral pooling carries it: average pooling (GAP) does worse"
COUNTED = {"phalar": 2_293_104, "cocola": 5_189_980}
HARD = {name: np.random.default_rng(n).normal(0, 0.25, n) for name, n in simulate.TRACKS.items()}


@cache
def a_run(seed, seeds, others, **means):
    """Records of a whole retrieval table and its comparisons, of models with these mean accuracies."""
    rng, means = np.random.default_rng(seed), dict.fromkeys(VARIANTS, others) | means
    keys = [(variant, dataset, 64) for variant in means for dataset in HARD]
    return frame(simulate.compared({k: simulate.drawn(rng, means[k[0]], HARD[k[1]], seeds, 0.03) for k in keys}))


def verdicts(found):
    return {one.claim["claim"]: one.verdict for one in claims.judged(found, COUNTED)}


def test_null_data_through_the_whole_chain_reproduce_nothing():
    found = simulate.judge_many(4, sizes=[0], seeds=[3], lucks=[0.05])
    wrong = found[found["verdict"] == REPRODUCED].groupby("repetition").size()
    assert len(wrong) <= 1, "target 5 % of repetitions: 2 or more of 4 are less likely than 2 %"
    assert {"not shown", "not reproduced"} & set(found["verdict"]), "what was invented is judged"


def test_a_claim_of_every_kind_of_evidence_is_found_where_its_effect_is_large():
    effects = {entry["claim"]: 0.4 for entry in claims.registry()}
    found = verdicts(simulate.invented(np.random.default_rng(0), effects, seeds=5, luck=0.01))
    for entry in claims.registry():
        if isinstance(entry.get("evidence"), dict) and not entry.get("paper"):
            assert found[entry["claim"]] is REPRODUCED, entry["claim"]


def test_a_large_effect_is_reproduced_with_three_seeds_and_not_judged_with_fewer():
    assert verdicts(a_run(1, 5, 0.8, gap=0.45))[WORSE] is REPRODUCED
    assert verdicts(a_run(1, 2, 0.8, gap=0.45))[WORSE] is JUDGED


@pytest.mark.parametrize("ahead", [0.0, 0.05])
@pytest.mark.parametrize(("more", "verdict"), [(0.2, REPRODUCED), (0.5, JUDGED), (None, JUDGED)])  # of a lead of 0.35
def test_a_rival_counts_only_if_it_is_known_not_to_be_catching_up(more, ahead, verdict):
    run = a_run(1, 5, 0.8, gap=0.45)
    gained, own = run["metric"] == GAINED, run["variant"] == "gap"
    run = run.assign(value=run["value"].mask(gained, ahead + own * (more or 0.0)))
    assert verdicts(run[~(gained & own)] if more is None else run)[WORSE] is verdict


def test_seeds_of_one_model_are_never_different():
    rng, means = np.random.default_rng(2), (0.665, 0.34, 0.527)  # as three seeds came out
    one = np.concatenate([simulate.drawn(rng, mean, HARD["chorales"], 1, 0.0) for mean in means])
    same = {("phalar", "chorales", 64): one[:2], ("again", "chorales", 64): one[1:]}
    (found,) = against_full(same).values()
    assert found.corrected > 0.05
    assert found.difference.low < 0 < found.difference.high


def test_a_rival_at_chance_and_an_untrained_model_prove_nothing():
    found = verdicts(a_run(3, 5, -1.0, phalar=0.9))
    assert found["Finds the stem of a mix among 64 better than COCOLA, MoisesDB"] is JUDGED
    found = verdicts(a_run(4, 5, 0.6, phalar=-1.0))
    assert [claim for claim, verdict in found.items() if verdict is REPRODUCED] == ["Less than half the size of COCOLA"]
    assert NOT not in found.values(), "a model that has learned nothing refutes nothing"


def test_seeds_that_scatter_far_more_than_tracks_do_are_luck_whatever_their_intervals():
    """Recorded one by one, each surely above zero: three seeds that agree by chance."""
    entry = next(entry for entry in claims.registry() if entry["claim"].startswith("Some features rotate"))
    about = {"experiment": "rotation", "dataset": "band", "split": "test", "metric": entry["evidence"]["metric"]}
    rows = [Record(variant="untrained", value=0.1, ci_low=0.09, ci_high=0.11, **about)]
    for seed, gained in enumerate((0.05, 0.2, 0.6)):
        apart = about | {"variant": "trained - untrained", "seed": seed}
        rows.append(Record(value=gained, ci_low=gained - 0.02, ci_high=gained + 0.02, **apart))
        rows.append(Record(variant="trained", seed=seed, value=0.1 + gained, ci_low=0.1, ci_high=0.9, **about))
    assert verdicts(frame(rows))[entry["claim"]] is SHOWN
    close = [replace(row, value=0.3, ci_low=0.28, ci_high=0.32) if " - " in row.variant else row for row in rows]
    assert verdicts(frame(close))[entry["claim"]] is REPRODUCED


@pytest.mark.parametrize(("share", "verdict"), [(1.0, REPRODUCED), (1.01, NOT)])
def test_one_score_above_its_bound_refutes_the_bound(share, verdict):
    about = {"experiment": "bounds", "dataset": "all", "split": "test", "metric": claims.OF_BOUND}
    rows = [Record(variant=name, value=value, **about) for name, value in {"phalar": 0.5, "psd": share}.items()]
    claim = next(each["claim"] for each in claims.registry() if each.get("evidence") == "bounds")
    assert verdicts(frame(rows))[claim] is verdict


def test_rows_are_compared_from_their_outcomes_as_from_all_their_scores(tmp_path):
    file, made, rng = tmp_path / "outcomes.jsonl", tmp_path / "results.jsonl", np.random.default_rng(0)
    by_track, last = {}, rng.normal(size=(2, 20, 20))
    for name, good in (("phalar", 3), ("gap", 1)):
        scores = [last, *(rng.normal(size=(3, 2, 20, 20)) + good * np.eye(20))]  # seed 0 is replaced
        for seed, draws in zip((0, 2, 1, 0), scores, strict=True):
            rivals = [retrieval.rivals(of_draw).tolist() for of_draw in draws]
            records.append(file, [Outcome(variant=name, dataset="band", seed=seed, rivals=rivals, config_hash="")])
        by_track[name, "band", 8] = np.stack([retrieval.by_track(draws, 8) for draws in scores[1:]])
    assert main(["study", "differences", str(file), "--out", str(made), "--k", "8"]) == 0
    (one,), values = against_full(by_track).values(), records.read(made).set_index("metric")["value"]
    assert (values[DIFFERENCE], values[P_RAW]) == pytest.approx((one.difference.value, one.p))
    assert main(["study", "differences", str(tmp_path / "none"), "--out", str(made)]) == 2
    records.append(file, [Outcome(variant="gap", dataset="band", seed=3, rivals=[[0] * 64], config_hash="")])
    assert main(["study", "differences", str(file), "--out", str(made)]) == 2


def test_the_reference_run_judges_the_rows_of_three_seeds_alone():
    found = claims.judged(kept := records.read(records.REFERENCE), COUNTED)
    seeds = kept[kept["experiment"] == "ablations"].groupby("variant")["seed"].nunique()
    told = [one for one in found if "paired" in one.claim.get("evidence", {}) and one.here]
    judged = {one.claim["evidence"]["paired"] for one in told if one.verdict is not JUDGED}
    assert judged
    assert all(seeds[name] >= SEEDS for name in judged)
    page = claims.claims_page(found, found)
    assert "**not judged**<br>" in page
    assert "`phalar study run --only retrieval`" in page
    assert "70.87" in page
    drawn = claims.forest(found).set_index("claim")
    assert set(drawn["verdict"]) <= {str(verdict) for verdict in Verdict}
    assert drawn.filter(like="reads chords better", axis=0)["paper"].tolist() == pytest.approx([0.046])


def test_the_reference_runs_comparisons_are_those_of_its_outcomes():
    kept, found = records.read(records.REFERENCE), against_full(of_outcomes(records.OUTCOMES, k=64))
    difference, p = (tables.measured(kept, "ablations", metric) for metric in (DIFFERENCE, P_RAW))
    assert len(found) >= 3
    for (row, corpus, k), one in found.items():
        assert difference[corpus, row, k].value == pytest.approx(one.difference.value)
        assert p[corpus, row, k].value == pytest.approx(one.p)


@pytest.mark.parametrize(
    ("effect", "claimed", "verdict", "why"),
    [
        (Effect(0.1, 0.05, 0.15), 0.1, REPRODUCED, "above zero"),
        (Effect(0.1, 0.05, 0.15), None, REPRODUCED, "above zero"),
        (Effect(0.1, 0.05, 0.15, p=0.049), 0.1, REPRODUCED, "above zero"),
        (Effect(0.1, 0.05, 0.15, p=0.05), 0.1, SHOWN, "corrected p = 0.05"),
        (Effect(0.1, -0.01, 0.2), 0.1, SHOWN, "holds zero"),
        (Effect(0.001, -0.01, 0.001), None, SHOWN, "holds zero"),
        (Effect(0.1), 0.1, JUDGED, "no interval"),
        (Effect(0.1, 0.05, 0.15, seeds=1), 0.1, JUDGED, "one seed"),
        (Effect(0.1, 0.05, 0.15, seeds=2), 0.1, JUDGED, "2 seeds"),
        (Effect(0.1, 0.05, 0.15, seeds=3, behind_low=0.01, chance=0.0156), 0.1, JUDGED, "not trained enough"),
        (Effect(0.1, 0.05, 0.15, seeds=3, behind_low=0.02, chance=0.0156), 0.1, REPRODUCED, "above zero"),
        (Effect(0.015, 0.011, 0.019), 0.1, PARTIAL, "under 1/5"),
        (Effect(0.6, 0.51, 0.7), 0.1, PARTIAL, "over 5 times"),
        (Effect(0.6, 0.49, 0.7), 0.1, REPRODUCED, "above zero"),
        (Effect(-0.1, -0.2, -0.05), 0.1, NOT, "other way round"),
        (Effect(0.0, -0.1, 0.0), None, NOT, "no difference"),
        (Effect(0.001, -0.01, 0.019), 0.1, NOT, "not even 1/5"),
    ],
)
def test_one_corpus(effect, claimed, verdict, why):
    found, reason = judge(effect, claimed)
    assert found is verdict
    assert why in reason


def test_differences_that_a_page_marks_are_corrected_together():
    found = corrected([Estimate(0.1, 0.05, 0.15), Estimate(0.1, 0.05, 0.15), Estimate(0.1)])  # one piece shows nothing
    assert found == pytest.approx([6 * norm.sf(3.92), 6 * norm.sf(3.92), 1.0])


def test_the_level_counts_on_the_papers_own_data_only_against_us():
    assert judge(Effect(0.1, 0.05, 0.15, level=0.7), 0.1, 0.7)[0] is REPRODUCED
    assert judge(Effect(0.1, 0.05, 0.15, level=0.69), 0.1, 0.7)[0] is PARTIAL
    assert judge(Effect(0.1, 0.05, 0.15), 0.1, 0.7)[0] is PARTIAL


def test_the_papers_own_data_decide_where_they_were_tested():
    rows = a_run(1, 5, 0.8, gap=0.45)
    rows = rows.assign(dataset=rows["dataset"].replace({"studio": "moisesdb"}))
    lost = rows["dataset"].eq("moisesdb") & rows["metric"].eq(DIFFERENCE) & rows["variant"].eq("gap")
    rows.loc[lost, ["value", "ci_low", "ci_high"]] = [0.1, 0.05, 0.15]
    assert verdicts(rows)[WORSE] is NOT
