"""Verdicts follow the rule and nothing else; the pages of claims show what ran, and say what did not."""

import math
import re

import pytest

from phalar.paths import PACKAGE
from phalar.study.claims import ROTATING, STAYING, claims, claims_page, claims_table
from phalar.study.paper import read_paper
from phalar.study.results import Record, frame
from phalar.study.verdicts import RULE, SIZE, Effect, Verdict, at_level, judge, judge_share, judge_sizes, together

PARAMETERS = {"phalar": 2_293_104, "cocola": 5_189_980}


# --- the rule


@pytest.mark.parametrize(
    ("effect", "claimed", "verdict", "why"),
    [
        (Effect(0.1, 0.05, 0.15), 0.1, Verdict.REPRODUCED, "excludes zero"),
        (Effect(0.1, 0.05, 0.15), None, Verdict.REPRODUCED, "excludes zero"),
        (Effect(0.1, 0.05, 0.15, p=0.049), 0.1, Verdict.REPRODUCED, "excludes zero"),
        (Effect(0.1, 0.05, 0.15, p=0.05), 0.1, Verdict.PARTIAL, "corrected p = 0.05"),
        (Effect(0.1, -0.01, 0.2), 0.1, Verdict.PARTIAL, "includes zero"),
        (Effect(0.1, 0.0, 0.2), None, Verdict.PARTIAL, "includes zero"),
        (Effect(0.1), 0.1, Verdict.PARTIAL, "no interval"),
        (Effect(0.015, 0.011, 0.019), 0.1, Verdict.PARTIAL, "under 1/5"),
        (Effect(0.015, 0.011, 0.021), 0.1, Verdict.REPRODUCED, "excludes zero"),
        (Effect(0.6, 0.51, 0.7), 0.1, Verdict.PARTIAL, "over 5 times"),
        (Effect(0.6, 0.49, 0.7), 0.1, Verdict.REPRODUCED, "excludes zero"),
        (Effect(-0.1, -0.2, -0.05), 0.1, Verdict.NOT_REPRODUCED, "other way round"),
        (Effect(-0.01, -0.2, 0.18), 0.1, Verdict.NOT_REPRODUCED, "other way round"),
        (Effect(0.0, -0.1, 0.1), None, Verdict.NOT_REPRODUCED, "no difference"),
        (Effect(0.0, 0.0, 0.0, p=1), 0.1, Verdict.NOT_REPRODUCED, "no difference"),
        (Effect(0.001, -0.01, 0.019), 0.1, Verdict.NOT_REPRODUCED, "not even 1/5"),
        (Effect(0.001, -0.01, 0.021), 0.1, Verdict.PARTIAL, "includes zero"),
        (Effect(0.001, -0.01, 0.001), None, Verdict.PARTIAL, "includes zero"),
    ],
)
def test_one_corpus(effect, claimed, verdict, why):
    found, reason = judge(effect, claimed)
    assert found is verdict
    assert why in reason


def test_a_wider_interval_or_a_larger_p_never_betters_a_verdict():
    order = [Verdict.NOT_REPRODUCED, Verdict.PARTIAL, Verdict.REPRODUCED]
    for value in (-0.02, 0.0, 0.004, 0.1, 0.9):
        for claimed in (None, 0.1):
            verdicts = [judge(Effect(value, value - w, value + w), claimed)[0] for w in (0.001, 0.01, 0.1, 1.0)]
            if value > 0.1 / SIZE and value < 0.1 * SIZE:
                assert [order.index(v) for v in verdicts] == sorted((order.index(v) for v in verdicts), reverse=True)
            if value <= 0:
                assert set(verdicts) == {Verdict.NOT_REPRODUCED}
            sure, unsure = (judge(Effect(value, value - 0.001, value + 0.001, p), claimed)[0] for p in (0.01, 0.9))
            assert order.index(unsure) <= order.index(sure)


def test_corpora_together():
    yes, no, part = Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.PARTIAL
    assert together([yes, yes, yes]) is yes
    assert together([no, no]) is no
    assert together([yes, no]) is together([yes, part]) is together([no, part]) is part
    assert together([]) is Verdict.NOT_RUN


def test_the_level_counts_on_the_papers_own_data_only_against_us():
    assert at_level(Verdict.REPRODUCED, "x", 0.7, 0.7) == (Verdict.REPRODUCED, "x")
    assert at_level(Verdict.REPRODUCED, "x", 0.69, 0.7)[0] is Verdict.PARTIAL
    assert at_level(Verdict.REPRODUCED, "x", math.nan, 0.7)[0] is Verdict.PARTIAL
    assert at_level(Verdict.NOT_REPRODUCED, "x", 0.9, 0.7) == (Verdict.NOT_REPRODUCED, "x")


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        ((0.4, 0.3, 0.5), Verdict.REPRODUCED),
        ((0.01, 0.005, 0.02), Verdict.PARTIAL),
        ((0.98, 0.97, 0.995), Verdict.PARTIAL),
        ((0.4,), Verdict.PARTIAL),
        ((0.0, 0.0, 0.001), Verdict.NOT_REPRODUCED),
        ((1.0, 1.0, 1.0), Verdict.NOT_REPRODUCED),
    ],
)
def test_some_do_and_others_do_not(share, verdict):
    assert judge_share(*share)[0] is verdict


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [(2_293_104, Verdict.REPRODUCED), (2_360_000, Verdict.PARTIAL), (2_700_000, Verdict.NOT_REPRODUCED)],
)
def test_sizes(ours, verdict):
    assert judge_sizes(ours, 5_189_980, 2.3e6, 5.2e6, unit=1e5)[0] is verdict


# --- claims out of records


def record(experiment, dataset, variant, metric, value, half=None, **more):
    ends = {} if half is None else {"ci_low": value - half, "ci_high": value + half}
    return Record(experiment=experiment, dataset=dataset, split="test", variant=variant, metric=metric, value=value,
                  **(ends | more))  # fmt: skip


def compared(dataset, variant, difference, half, p, experiment="ablations", k=64):
    """The two records of a paired comparison: variant minus PHALAR."""
    return [record(experiment, dataset, variant, "top1_minus_phalar", difference, half, k=k),
            record(experiment, dataset, variant, "p_value", p, k=k)]  # fmt: skip


def top1(dataset, variant, value, half=0.03, experiment="retrieval", k=64, steps=80):
    return record(experiment, dataset, variant, "top1", value, half, k=k, steps=steps)


def found(records, text):
    (one,) = [one for one in claims(frame(records), read_paper(), PARAMETERS) if text in one.text]
    return one


def test_without_records_nothing_is_judged_but_what_needs_none():
    everything = claims(frame([]), read_paper(), {})
    assert {one.verdict for one in everything} == {Verdict.NOT_RUN, Verdict.NOT_TESTABLE}
    assert all(one.why for one in everything if one.verdict is Verdict.NOT_TESTABLE)
    assert len({one.text for one in everything}) == len(everything) == 19
    assert found([], "half the size").verdict is Verdict.REPRODUCED


@pytest.mark.parametrize("variant", ["gap", "magnitude", "cosine", "psd", "mel"])
def test_an_ablation_is_judged_by_its_paired_difference_in_the_papers_direction(variant):
    text = {"gap": "Spectral pooling", "magnitude": "Phase matters", "cosine": "learned W", "psd": "indefinite"}
    text = text.get(variant, "CQT helps")
    worse, better = compared("studio", variant, -0.05, 0.02, 0.003), compared("studio", variant, 0.05, 0.02, 0.003)
    assert found(worse, text).verdict is Verdict.REPRODUCED
    assert found(better, text).verdict is Verdict.NOT_REPRODUCED
    assert found(compared("studio", variant, -0.05, 0.02, 0.2), text).verdict is Verdict.PARTIAL
    mixed = found([*worse, *compared("band", variant, 0.05, 0.02, 0.003)], text)
    assert mixed.verdict is Verdict.PARTIAL
    assert "*studio* interval excludes zero; *band* the other way round" in mixed.why
    real = found([*worse, *compared("moisesdb", variant, 0.05, 0.02, 0.003)], text)
    assert real.verdict is Verdict.NOT_REPRODUCED, "the paper's own data decides"
    assert any(cell.startswith("MoisesDB: ") for cell in real.here)
    assert "−5.0 [−7.0, −3.0] points" in real.here[-1]
    assert found(compared("chorales", "hermitian", -0.3, 0.02, 0.003), text).verdict is Verdict.NOT_RUN


def test_an_ablation_is_shown_with_both_accuracies_the_difference_and_its_p_value():
    accuracies = [
        top1("studio", name, value, experiment="ablations") for name, value in (("phalar", 0.7), ("gap", 0.4))
    ]
    one = found([*accuracies, *compared("studio", "gap", -0.3, 0.04, 0.0004)], "Spectral pooling")
    assert one.here == ("*studio*: 70.0 → 40.0\u00a0%, +30.0 [+26.0, +34.0] points, p < 0.001",)
    assert "70.87 → 51.97" in one.paper
    assert "+18.9 points" in one.paper
    small = found(compared("studio", "gap", -0.3, 0.04, 0.02, k=8), "Spectral pooling")
    assert small.here == ("*studio* (K=8): +30.0 [+26.0, +34.0] points, p = 0.02",)


def test_the_papers_number_of_candidates_is_taken_where_it_is_there():
    rows = [row for k, d in ((8, -0.1), (64, -0.2), (256, -0.4)) for row in compared("band", "gap", d, 0.01, 0.01, k=k)]
    assert found(rows, "Spectral pooling").here == (
        "*band*: +20.0 [+19.0, +21.0] points, p = 0.01",
    )  # fmt: skip
    accuracies = [top1("band", "phalar", 0.9 - k / 512, k=k) for k in (8, 64, 256)]
    assert "PHALAR 77.5" in found(accuracies, "Slakh2100").here[0]


def test_without_a_paired_difference_two_results_of_equal_length_stand_in():
    clear = [top1("band", "phalar", 0.7), top1("band", "gap", 0.4)]
    one = found(clear, "Spectral pooling")
    assert (one.verdict, one.here) == (
        Verdict.REPRODUCED,
        ("*band*: 70.0 → 40.0\u00a0%, outside both intervals",),
    )
    close = found([top1("band", "phalar", 0.7), top1("band", "gap", 0.65)], "Spectral pooling")
    assert close.verdict is Verdict.PARTIAL
    assert "the intervals meet" in close.here[0]
    unequal = found([top1("band", "phalar", 0.7), top1("band", "gap", 0.4, steps=20)], "Spectral pooling")
    assert unequal.verdict is Verdict.NOT_RUN, "trained for another time: no comparison"
    paired = found([*clear, *compared("band", "gap", 0.1, 0.02, 0.01, experiment="retrieval")], "Spectral pooling")
    assert paired.verdict is Verdict.NOT_REPRODUCED, "a paired difference counts before two results"


def test_retrieval_is_judged_by_the_lead_over_cocola():
    alone = found([top1("studio", "phalar", 0.7)], "MoisesDB")
    assert (alone.verdict, alone.why) == (Verdict.NOT_RUN, "COCOLA was not run")
    assert alone.here == ("*studio*: PHALAR 70.0\u00a0% [67.0, 73.0]",)
    both = [top1("studio", "phalar", 0.7), top1("studio", "cocola", 0.5)]
    one = found([*both, *compared("studio", "cocola", -0.2, 0.05, 0.001, experiment="retrieval")], "MoisesDB")
    assert one.verdict is Verdict.REPRODUCED
    assert "COCOLA 50.0\u00a0% [47.0, 53.0], +20.0 [+15.0, +25.0] points" in one.here[0]
    assert one.here[0].endswith("relative gain +40.0\u00a0%")
    gain = record("retrieval", "studio", "cocola", "relative_gain", 0.4, 0.1, k=64)
    assert found([*both, gain], "MoisesDB").here[0].endswith("relative gain +40.0 [+30.0, +50.0]\u00a0%")
    assert found(both, "Slakh2100").verdict is Verdict.NOT_RUN, "a stand-in stands for its own data set alone"
    assert "41.84" in one.paper
    assert "+69.4" in one.paper


def test_retrieval_on_the_papers_data_must_reach_its_level_too():
    def on(value):
        pair = [top1("moisesdb", "phalar", value), top1("moisesdb", "cocola", value - 0.2)]
        return found([*pair, *compared("moisesdb", "cocola", -0.2, 0.05, 0.001)], "MoisesDB")

    assert on(0.7).verdict is Verdict.REPRODUCED
    assert (on(0.5).verdict, on(0.5).why) == (Verdict.PARTIAL, "below the paper's level")


def test_mert_waits_for_its_weights():
    text = "large frozen encoder"
    assert found([], text).verdict is Verdict.NOT_TESTABLE
    assert found(compared("band", "mert-complex", -0.2, 0.05, 0.001), text).verdict is Verdict.REPRODUCED


def test_listeners():
    def heard(pearson, spearman, rival, half=0.09):
        rows = [("phalar", "pearson", pearson, half), ("phalar", "spearman", spearman, half)]
        rows += [("cocola", "pearson", rival, half), ("cocola", "spearman", rival, half)]
        return found([record("judgements", "MUSDB18-HQ", *row) for row in rows], "listeners")

    assert heard(0.388, 0.421, 0.187).verdict is Verdict.REPRODUCED
    assert heard(0.388, 0.421, 0.187).here == (
        "Pearson 0.388 [0.298, 0.478], next COCOLA 0.187",
        "Spearman 0.421 [0.331, 0.511], next COCOLA 0.187",
    )
    assert "not above COCOLA" in heard(0.388, 0.421, 0.4).why
    assert heard(0.388, 0.421, 0.4).verdict is Verdict.PARTIAL
    assert heard(0.388, 0.2, 0.1).verdict is Verdict.PARTIAL, "below the paper's level"
    assert heard(-0.1, -0.1, 0.1).verdict is Verdict.NOT_REPRODUCED


def test_beats():
    def tracked(dataset, ours, floor, half=0.03):
        rows = [("phalar", ours), ("phalar published", ours - 0.1), ("untrained", floor)]
        return [record("beats", dataset, name, "f1", value, half) for name, value in rows]

    one = found(tracked("beats", 0.5, 0.3), "beat")
    assert one.verdict is Verdict.REPRODUCED, "on a stand-in the level is not judged"
    assert one.here[0].startswith("*beats*: F1 0.500 [0.470, 0.530], published decoding 0.400")
    assert found(tracked("beats", 0.5, 0.46), "beat").verdict is Verdict.PARTIAL
    assert found(tracked("beats", 0.3, 0.5), "beat").verdict is Verdict.NOT_REPRODUCED
    below = found(tracked("beats", 0.8, 0.3) + tracked("gtzan", 0.5, 0.3), "beat")
    assert (below.verdict, below.why) == (Verdict.PARTIAL, "below the paper's level")
    assert found(tracked("gtzan", 0.62, 0.3), "beat").verdict is Verdict.REPRODUCED
    assert found(tracked("beats", 0.5, 0.3)[:1], "beat").why == "the untrained network was not run"


def test_chords_are_to_beat_both_the_majority_and_the_untrained_network():
    def probed(ours, majority, untrained):
        rows = [("phalar", ours), ("majority", majority), ("untrained", untrained)]
        return [record("chords", "comping", name, "accuracy", value, 0.02) for name, value in rows]

    text = "hold the harmony"
    assert found(probed(0.5, 0.1, 0.3), text).verdict is Verdict.REPRODUCED
    assert found(probed(0.5, 0.1, 0.48), text).verdict is Verdict.PARTIAL
    assert found(probed(0.5, 0.6, 0.3), text).verdict is Verdict.NOT_REPRODUCED
    assert found(probed(0.5, 0.1, 0.3)[:2], text).verdict is Verdict.NOT_RUN
    setting = "majmin, label at start, folds by progression, {}"
    probes = ["real part", "majority", "real part"]
    named = [
        Record(**(row.as_dict() | {"split": setting.format(probe)}))
        for row, probe in zip(probed(0.5, 0.1, 0.3), probes, strict=True)
    ]
    other = Record(**(named[0].as_dict() | {"value": 0.9, "ci_high": 0.95, "split": setting.format("modulus")}))
    one = found([*named, other], text)
    assert one.verdict is Verdict.REPRODUCED
    assert "PHALAR 50.0" in one.here[0], "the setting that counts, not the best one"


def test_rotation_is_judged_by_the_embedding_of_the_trained_network():
    rotating = record("rotation", "studio", "trained", ROTATING, 0.4, 0.05)
    staying, nothing = (record("rotation", "studio", "trained", STAYING, *share) for share in ((0.2, 0.05), (0.0, 0.0)))
    assert found([rotating, staying], "Some features rotate").verdict is Verdict.REPRODUCED
    assert found([rotating], "Some features rotate").verdict is Verdict.NOT_RUN, "half of the claim"
    half = found([rotating, nothing], "Some features rotate")
    assert half.verdict is Verdict.PARTIAL, "what does not rotate need not stay"
    assert len(half.here) == 2
    assert "stay within half a circle: hardly any do" in half.why
    none = [record("rotation", "studio", "trained", ROTATING, 0.0, 0.0), nothing]
    assert found(none, "Some features rotate").verdict is Verdict.NOT_REPRODUCED


def test_the_names_that_the_chord_notebook_gives_are_understood():
    split = "majmin, label at start, folds by progression, real part"
    rows = [
        Record(**(record("chords", "comping", name, "accuracy", value, 0.02).as_dict() | {"split": split}))
        for name, value in (("PHALAR", 0.6), ("untrained", 0.3), ("majority", 0.2))
    ]
    assert found(rows, "Embeddings hold the harmony").verdict is Verdict.REPRODUCED


def test_limits_are_drops_from_the_plain_excerpts():
    plain, rubato, lossy = (
        top1(f"stress-{name}", "reference", value, experiment="limits")
        for name, value in (("plain", 0.8), ("rubato-3", 0.4), ("mp3-8", 0.79))
    )
    one = found([plain, rubato], "rubato")
    assert one.verdict is Verdict.REPRODUCED
    assert one.here == ("*stress-plain* 80.0\u00a0% [77.0, 83.0], *stress-rubato-3* 40.0\u00a0% [37.0, 43.0]",)
    assert found([plain], "rubato").verdict is Verdict.NOT_RUN
    assert found([plain, lossy], "lossy").verdict is Verdict.PARTIAL


# --- the pages


def cells(text):
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| ")]


def test_the_page_counts_judges_and_states_the_rule():
    records = [top1("band", "phalar", 0.7), top1("band", "gap", 0.4)]
    text = claims_page(frame(records), read_paper(), PARAMETERS)
    rows = cells(text)[1:]
    assert {len(row) for row in rows} == {4}
    assert text.startswith("19 claims: 2 reproduced, 3 not testable here, 14 not run yet.")
    verdicts = [re.match(r" \*\*([a-z ]+)\*\*", row[3]) for row in rows[1:]]
    assert {match[1] for match in verdicts} <= {str(verdict) for verdict in Verdict}
    assert RULE in text
    for verdict in Verdict:
        assert f"**{verdict}**" in RULE or f"**{verdict}" in RULE.replace("\n", " ")


def test_the_first_page_has_the_same_verdicts():
    records = frame([top1("band", "phalar", 0.7), top1("band", "gap", 0.4)])
    short = cells(claims_table(records, read_paper(), PARAMETERS))[2:]
    for one, row in zip(claims(records, read_paper(), PARAMETERS), short, strict=True):
        assert row[0].strip() == one.text
        assert (f"**{one.verdict}**" in row[2]) != (one.verdict is Verdict.NOT_RUN and bool(one.here))


def test_the_page_of_claims_includes_what_is_generated_and_types_no_number_of_ours():
    page = (PACKAGE.parent / "book" / "claims.md").read_text(encoding="utf-8")
    assert "```{include} generated/claims-page.md" in page
    assert "phalar/study/verdicts.py" in page
