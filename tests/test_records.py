"""Records say everything, whole or not at all; tables of them never mix paper, this run and the reference run."""

import json
import math
import os

import numpy as np
import pandas as pd
import pytest

from phalar.errors import InputError, RunError
from phalar.evaluate.statistics import Estimate
from phalar.study import records, tables
from phalar.study.compare import differing
from phalar.study.records import Record, append, frame, merge, read


def record(**changes):
    """A plausible record with some fields changed."""
    fields = {"experiment": "retrieval", "dataset": "chorales", "split": "test", "variant": "phalar", "metric": "top1"}
    fields |= {"seed": 0, "k": 64, "value": 0.9, "ci_low": 0.86, "ci_high": 0.93, "n": 480, "steps": 120}
    fields |= {"config_hash": "c1"}
    return Record(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"value": -math.inf}, "value=-inf is not finite"),
        ({"wall_seconds": np.float32("nan")}, "wall_seconds=.* is not finite"),
        ({"ci_low": math.nan}, "ci_low=nan is not finite"),
        ({"value": 90.0, "ci_low": None, "ci_high": None}, "value=90.0 of 'top1' is not a share"),
        ({"ci_low": 0.95, "ci_high": 0.9}, "upside down"),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_name(changes, named):
    with pytest.raises(InputError, match=named):
        record(**changes)


def test_a_record_of_an_estimate_has_its_interval_and_names_code_and_day_but_no_place():
    about = {"experiment": "beats", "dataset": "beats", "split": "test", "variant": "phalar", "metric": "f1"}
    made = records.record(Estimate(0.5, 0.4, 0.6, 9), **about)
    assert (made.value, made.ci_low, made.ci_high, made.n) == (0.5, 0.4, 0.6, 9)
    assert made.device.startswith("cpu (")
    assert {"python", "torch"} <= set(made.versions)
    assert "/" not in json.dumps(vars(made))
    assert records.record(0.5, **about).ci_low is None


def test_what_is_appended_is_read_back_and_the_newest_of_a_key_counts(tmp_path):
    path = tmp_path / "new" / "folder" / "results.jsonl"
    torch = {"torch": "2.11.0"}
    append(path, [record(value=0.87), record(seed=np.int64(1), k=None, versions=torch), record(config_hash="c2")])
    append(path, [record(value=0.92)])
    table = read(path)
    assert list(table.columns) == list(vars(record()))
    assert table["value"].tolist() == [0.9, 0.9, 0.92]
    assert table["versions"].iloc[0] == torch
    assert pd.isna(table["k"].iloc[0])
    assert table["k"].dtype == "Int64"
    assert [line["value"] for line in map(json.loads, path.read_text().splitlines())] == [0.87, 0.9, 0.9, 0.92]


@pytest.mark.parametrize("line", [b"{broken", b"[1]", b"", b'{"experiment": "retrieval"}', b"\xff\xfe"])
def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path, line):
    path = tmp_path / "results.jsonl"
    append(path, [record(seed=0), record(seed=1)])
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + b"\n" + second)
    with pytest.raises(RunError, match=r"results\.jsonl, line 2: not a record"):
        read(path)


def test_files_of_several_machines_become_one_with_the_newest_of_each(tmp_path):
    append(tmp_path / "a", [record(value=0.1, date="2026-01-01"), record(seed=1, date="2026-01-03")])
    append(tmp_path / "b", [record(value=0.2, date="2026-01-02")])
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "a") == 2
    assert read(tmp_path / "a")["value"].tolist() == [0.2, 0.9]
    with pytest.raises(InputError, match=r"missing: .*none"):
        merge([tmp_path / "none"], tmp_path / "a")
    with pytest.raises(InputError, match="nothing to merge"):
        merge([], tmp_path / "a")
    assert read(tmp_path / "a")["value"].tolist() == [0.2, 0.9], "as it was"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def some():
    rows = [record(), record(variant="gap", value=0.5, ci_low=0.4, ci_high=0.6), record(k=8, value=0.95)]
    return frame([*rows, record(seed=1, value=0.8, ci_low=0.7, ci_high=0.85), record(dataset="moisesdb", value=0.7)])


def test_results_over_seeds_never_hide_the_worst_and_never_mix_lengths():
    row = tables.measured(some())["chorales", "phalar", 64]
    assert (row.value, row.low, row.high, row.seeds) == (pytest.approx(0.85), 0.7, 0.93, 2)
    assert str(row) == "85.0\u00a0% [70.0, 93.0]"
    longer = frame([record(), record(seed=1, steps=999, value=0.99, ci_high=1.0)])
    assert tables.measured(longer)["chorales", "phalar", 64].value == 0.99
    for steps in ((None, 999), (999, None)):  # weights of unknown length are of another length
        known = frame([record(seed=seed, steps=each, value=0.99 if each else 0.8, ci_low=0.7, ci_high=1.0)
                       for seed, each in enumerate(steps)])  # fmt: skip
        assert tables.measured(known)["chorales", "phalar", 64].value == (0.99 if steps[1] else 0.8)


def test_paper_this_run_and_reference_have_a_line_each_and_other_k_are_folded_below_64():
    text = tables.results_table(some(), frame([record(value=0.88)]), tables.CAPTION, "label", datasets=["chorales"])
    first, others = text.replace("\u00a0", " ").split("<details>")
    assert first.startswith(":::{table} **K = 64.** Top-1")
    assert "| model |  | chorales (stand-in), n = 480 |\n" in first
    assert f"| {tables.PAPER}<br>reference run<br>this run | 98.61<br>88.0 [86.0, 93.0]<br>85.0 [70.0, 93.0] |" in first
    assert f"| COCOLA | {tables.PAPER} | 89.34 |" in first
    assert "<br>this run | 99.65<br>95.0 [86.0, 93.0] |" in others.partition("**K = 8.**")[2]


def test_runs_differ_where_their_intervals_do_not_meet(tmp_path):
    append(tmp_path / "a", [record(), record(k=8, value=0.95, ci_low=0.94, ci_high=0.96)])
    append(tmp_path / "b", [record(value=0.87, config_hash="other"), record(k=8, value=0.99, ci_low=0.98, ci_high=1)])
    assert differing(tmp_path / "a", tmp_path / "a").empty
    (found,) = differing(tmp_path / "a", tmp_path / "b").to_dict("records")
    assert (found["k"], found["value_a"], found["value_b"]) == (8, 0.95, 0.99)
    append(tmp_path / "c", [record(seed=1, k=8, value=0.99, ci_low=0.98, ci_high=1)])
    assert len(differing(tmp_path / "a", tmp_path / "c")) == 1, "seeds are taken together"
    with pytest.raises(InputError, match="no measurement in common"):
        differing(tmp_path / "a", tmp_path / "none")
