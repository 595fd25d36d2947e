"""The ablation grid: cells differ in what they say, jobs are independent, a failure is told and the rest goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from phalar.errors import InputError
from phalar.model import checkpoints
from phalar.model.assembly import build
from phalar.study import cells, comparisons, grid, results, shipping, tables
from phalar.study.paper import read_paper
from phalar.study.profiles import load_profile
from phalar.study.results import Record
from phalar.train.config import PRESETS, config

# ---------------------------------------------------------------- cells


def test_a_cell_differs_from_the_full_model_in_one_thing():
    for cell in cells.CELLS.values():
        differing = [
            name
            for name in ("variant", "target", "preset", "seconds", "symmetrised")
            if getattr(cell, name) != getattr(cells.FULL, name)
        ]
        assert len(differing) == (cell is not cells.FULL), cell.name
        assert cell.differs


def test_chosen_cells_keep_the_tables_order_and_the_full_model():
    assert [cell.name for cell in cells.chosen(["mel", "gap"])] == ["phalar", "gap", "mel"]
    with pytest.raises(InputError, match="unknown cell 'gapp'; the grid has phalar, gap, "):
        cells.chosen(["gapp"])


def test_cells_that_are_trained_alike_share_a_job(tmp_path):
    wanted = ["one-direction", "2-seconds", "hard-targets", "gap", "cocola", "recipe-published", "recipe-short"]
    profile = tmp_path / "mine.yaml"
    values = load_profile("laptop") | {"cells": wanted, "seeds": [0, 1]}
    profile.write_text(json.dumps(values))  # JSON is YAML, too
    alike = [("cocola",), ("phalar", "recipe-short", "one-direction", "2-seconds"), ("gap",), ("hard-targets",)]
    alike.append(("recipe-published",))
    listed = grid.jobs(profile)[1]
    assert [(tuple(cell.name for cell in job.cells), job.seed) for job in listed] == [
        (names, seed) for seed in (0, 1) for names in alike
    ]
    assert [job.config.recipe for job in listed[4:5]] == [PRESETS["published"]]
    assert [cell.name for cell in cells.chosen(wanted) if not cell.trained] == ["one-direction", "2-seconds"]


def test_the_loss_of_a_run_is_the_presets_the_cells_or_cocolas():
    assert config("phalar", ["chorales"], steps=1, preset="short").recipe == PRESETS["short"]
    assert config("phalar", ["chorales"], steps=1, target=1.0).recipe.target == 1.0
    cocola = config("cocola", ["chorales"], steps=1, preset="short").recipe
    assert cocola == replace(PRESETS["short"], target=1.0, vector_lr=4e-3, form_lr=4e-3)
    with pytest.raises(InputError, match=r"target = 1.5"):
        config("phalar", ["chorales"], steps=1, target=1.5)


# ---------------------------------------------------------------- jobs


def test_the_list_of_jobs_numbers_trainings_and_names_their_cells():
    spend, listed = grid.jobs("laptop")
    assert [job.index for job in listed] == list(range(len(listed)))
    assert len({job.config.hash for job in listed}) == len(listed)
    named = [cell.name for job in listed for cell in job.cells]
    assert {"phalar", "gap", "magnitude", "cosine", "psd", "mel", "cocola"} <= set(named)
    assert all(job.config.steps == spend.steps for job in listed)
    assert {job.config.variant for job in grid.jobs("gpu")[1]} > {"projected", "parts", "components-16"}


def test_a_job_that_is_not_listed_is_refused():
    with pytest.raises(InputError, match=r"job 99 of \d+; give a number from 0 to"):
        grid.run_job("smoke", 99)


def test_models_are_trained_on_the_mixture_or_each_on_its_own():
    spend, _ = grid.jobs("smoke")
    mixed, each = grid.budgets(spend, "mixture"), grid.budgets(spend, "each")
    assert all(one == spend for one in mixed.values())
    assert {name: one.trained for name, one in each.items()} == {name: (name,) for name in spend.trained}
    with pytest.raises(InputError, match="trained_on = 'both'"):
        grid.budgets(spend, "both")


def test_a_failing_job_is_reported_and_the_others_go_on(monkeypatch):
    """Stand-ins for the jobs' processes: one prints records, one fails with a message, one dies without a word."""
    fields = {
        "experiment": "ablations",
        "dataset": "d",
        "split": "test",
        "variant": "v",
        "metric": "top1",
        "value": 0.5,
    }
    scripts = [
        f"import json; print(json.dumps({{'records': [{fields}]}}))",
        "import sys; print('phalar: error: no such corpus', file=sys.stderr); sys.exit(2)",
        "import os; os._exit(9)",
    ]
    real = grid.jobs("laptop")
    monkeypatch.setattr(grid, "jobs", lambda profile: (real[0], real[1][:3]))
    started = grid.subprocess.Popen
    monkeypatch.setattr(
        grid.subprocess,
        "Popen",
        lambda words, **how: started([words[0], "-c", scripts[int(words[words.index("--index") + 1])]], **how),
    )
    told = []
    outcomes = grid.run_all("laptop", 2, tell=told.append, progress=False)
    assert [len(each.records) for each in outcomes] == [1, 0, 0]
    assert outcomes[1].error == "no such corpus (exit status 2)"
    assert "exit status 9" in outcomes[2].error
    assert len(told) == 3
    with pytest.raises(InputError, match="jobs = 0"):
        grid.run_all("laptop", 0)


# ---------------------------------------------------------------- comparisons


def test_presets_are_shown_by_the_mean_of_their_seeds_and_their_difference_to_the_studys_own():
    def record(variant, metric, value, seed=None, **ends):
        about = {"experiment": "ablations", "dataset": "band", "split": "test", "k": 64, "steps": 30}
        return Record(variant=variant, metric=metric, value=value, seed=seed, **about, **ends)

    made = [record("phalar", "top1", 0.5 + s / 10, s, ci_low=0.4 + s / 10, ci_high=0.6 + s / 10) for s in (0, 1)]
    made += [record("recipe-published", "top1", 0.2, s, ci_low=0.1, ci_high=0.3) for s in (0, 1)]
    made += [record("recipe-published", comparisons.DIFFERENCE, -0.35, ci_low=-0.4, ci_high=-0.3)]
    made += [record("recipe-published", comparisons.P_VALUE, 0.01)]
    made += [record("gap", "top1", 0.9, 0)]
    table = comparisons.recipes_markdown(results.frame(made), "short")
    assert "| `short` | 2 | 55.0 [40.0, 70.0] |" in table
    assert "| `published` | 2 | 20.0 [10.0, 30.0]; −35.0 [−40.0, −30.0], p = 0.010 |" in table
    assert "gap" not in table
    assert comparisons.recipes_markdown(results.frame([]), "short") == tables.NOT_RUN


def test_differences_are_taken_track_by_track_and_corrected_together():
    rng = np.random.default_rng(0)
    full = rng.random((2, 40))
    by_track = {
        ("phalar", "band", 64): full,
        ("gap", "band", 64): full - 0.3,
        ("psd", "band", 64): full + rng.permutation([0.01, -0.01] * 20),
        ("gap", "studio", 64): full,  # the full model was not tested there
    }
    found = {each.variant: each for each in comparisons.against_full(by_track)}
    assert set(found) == {"gap", "psd"}
    assert found["gap"].difference.difference == pytest.approx(-0.3)
    assert found["gap"].p == pytest.approx(2 * found["gap"].difference.p, rel=1e-6)  # the smallest of two, times two
    assert found["psd"].p > 0.5
    records = comparisons.comparison_records(list(found.values()), "ablations", steps=7)
    assert {(r.variant, r.metric) for r in records} == {
        (variant, metric) for variant in ("gap", "psd") for metric in ("top1_minus_phalar", "p_value", "relative_gain")
    }
    assert all(r.ci_low <= r.value <= r.ci_high for r in records if r.metric == "top1_minus_phalar")


def test_the_table_shows_the_papers_drop_beside_ours():
    values = np.full((1, 10), 0.8)
    by_track = {("phalar", "studio", 64): values, ("gap", "studio", 64): values - 0.2}
    compared = comparisons.against_full(by_track)
    accuracies = {("phalar", "studio", 64): (0.8, 0.7, 0.9), ("gap", "studio", 64): (0.6, 0.5, 0.7)}
    text = comparisons.ablation_markdown(
        [("phalar", "the full model"), ("gap", "an average")], accuracies, compared, read_paper(), {"studio": 64}
    )
    row = next(line for line in text.splitlines() if line.startswith("| `gap`"))
    assert "52.0 (−18.9)" in row
    assert "60.0 [50.0, 70.0]; −20.0 [−20.0, −20.0], p = " in row
    assert "stand-in" in text
    drops = comparisons.drops([("phalar", "a"), ("gap", "a")], compared, {"studio": 64})
    assert drops.to_dict("records") == [
        {"group": "a", "variant": "gap", "corpus": "studio", "drop": pytest.approx(0.2), "low": pytest.approx(0.2),
         "high": pytest.approx(0.2)}
    ]  # fmt: skip
    assert comparisons.paper_drops(read_paper())["gap"] == pytest.approx(0.189)
    assert comparisons.gain_of_full(compared[0]).startswith("+33.3 [+33.3, +33.3]")


# ---------------------------------------------------------------- merging and shipping


def record(**changes) -> Record:
    fields = {"experiment": "ablations", "dataset": "band", "split": "test", "variant": "gap", "metric": "top1"}
    return Record(**(fields | {"value": 0.5, "seed": 0, "k": 64, "date": "2026-01-01T00:00:00Z"} | changes))


def test_merging_keeps_the_newest_of_each_measurement(tmp_path):
    a, b, out = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "out.jsonl"))
    results.append(a, [record(value=0.4, date="2026-01-02T00:00:00Z"), record(variant="mel")])
    results.append(b, [record(value=0.9, date="2026-01-01T00:00:00Z"), record(seed=1)])
    assert results.merge([a, b], out) == 3
    table = results.read(out)
    assert table.loc[(table["variant"] == "gap") & (table["seed"] == 0), "value"].tolist() == [0.4]
    assert results.merge([out, b], out) == 3, "a source may be the target"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    with pytest.raises(InputError, match="does not exist"):
        results.merge([tmp_path / "none.jsonl"], out)


def test_shipping_takes_a_finished_run_and_writes_down_how_it_was_trained(tmp_path):
    run, target = tmp_path / "run", tmp_path / "weights" / "reference.safetensors"
    run.mkdir()
    with pytest.raises(InputError, match="holds no finished training run"):
        shipping.ship(run, target)
    model = build("phalar", seed=1)
    checkpoints.save(model, run / "best.safetensors", steps=12, valid=0.75, seed=0, corpora=["chorales"])
    about = {"variant": "gap", "steps": 20, "batch_size": 4, "shards": 2, "seed": 0, "corpora": ["chorales"],
             "preset": "long", "seconds": [2.0, 5.0]}  # fmt: skip
    (run / "config.json").write_text(json.dumps(about))
    (run / "done.json").write_text("{}")
    with pytest.raises(InputError, match="holds a 'gap'"):
        shipping.ship(run, target)
    (run / "config.json").write_text(json.dumps(about | {"variant": "phalar"}))
    (run / "done.json").write_text(json.dumps({"best_valid": 0.75, "seconds": 61.4, "history": []}))
    notes = shipping.ship(run, target)
    assert (notes["steps"], notes["of_steps"], notes["pairs"], notes["valid"]) == (12, 20, 96, 0.75)
    assert checkpoints.notes(target) == notes
    assert target.stat().st_size < 10_000_000
    assert all((a == b).all() for a, b in zip(checkpoints.load(target).parameters(), model.parameters(), strict=True))
