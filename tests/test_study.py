"""The main job on a sliver: every notebook through papermill with the smoke profile, then the book from it."""

import ast
import json
import re
from importlib.resources import files

import nbformat
import pytest
from browser import needs_browser
from test_book import from_the_network

from phalar.evaluate import others
from phalar.paths import repository
from phalar.study import records, tables
from phalar.study.book import build_book, pages
from phalar.study.run import NOTEBOOKS, run_study, study


@pytest.fixture(scope="module")
def executed():
    return run_study(study("smoke"), jobs=2)


@pytest.fixture(scope="module")
def index(executed):
    return build_book(study("smoke"))


def test_the_study_runs_and_the_book_is_built_from_it(executed, index):
    run = study("smoke")
    assert [one["name"] for one in executed] == list(NOTEBOOKS)
    for notebook in executed:
        cells = nbformat.read(notebook["path"], as_version=4).cells
        assert all(c.execution_count for c in cells if c.cell_type == "code" and c.source.strip())
        assert str(repository()) not in notebook["path"].read_text(), "nothing of this machine goes into the book"
        drawn = [c for c in cells for o in c.get("outputs", ()) if any("image/" in kind for kind in o.get("data", ()))]
        assert all(len(c.metadata["mystnb"]["image"]["alt"]) > 40 for c in drawn), "figures say what is seen"
    found = records.read(run.records)
    newest = found[(found["experiment"] == "retrieval") & ~found["variant"].isin([*others.OTHERS])]
    assert set(newest["variant"]) == {"reference", "phalar", "gap", *tables.SHORTCUTS, *tables.ALIGNED}
    shares = found[found["metric"].isin(["top1", "accuracy", "f1"])]
    assert shares["value"].between(0, 1).all()
    alone = shares["ci_low"].isna()
    assert (shares["n"][alone] == 1).all(), "what has no interval is of one piece"
    assert (shares["ci_low"] <= shares["value"])[~alone].all()
    assert {"ablations", "beats", "chords", "limits", "rotation", "sensitivity"} <= set(found["experiment"])
    assert all(one["reused"] for one in run_study(run)), "nothing changed: nothing is executed again"
    page = (index.parent / "notebooks" / "retrieval.html").read_text()
    assert page.count("<audio") >= 3, "the mix, the stem ranked first and the true stem can be played"
    assert "stand-in" in page
    assert not from_the_network(index.parent)
    claims = (index.parent / "book" / "claims.html").read_text()
    assert "one seed" in claims, "a run of one seed judges no model"


# Contrast is measured here: axe takes seconds for a long page.
READ = """(async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"], runOnly: ["heading-order", "image-alt",
    "duplicate-id", "label", "link-name", "button-name", "role-img-alt"] });
  return violations.flatMap((each) => each.nodes.map((node) => [each.id, node.html.slice(0, 300)]));
})()"""
FAINT = """(() => {
  document.documentElement.dataset.theme = document.documentElement.dataset.mode = "THEME";
  const shade = (text) => text.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((x, i) => a * x + (1 - a) * below[i]);
  const ground = (each) => !each ? [255, 255, 255] :
    over(shade(getComputedStyle(each).backgroundColor), ground(each.parentElement));
  const linear = (x) => x <= 10 ? x / 3294.6 : ((x / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
  const written = (each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll("body :not(svg *, script, style, noscript)")].filter((each) => {
    if (!written(each) || !each.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return false;
    const below = ground(each), { color, fontSize } = getComputedStyle(each);
    const ratio = light(over(shade(color), below)) / light(below);
    return Math.max(ratio, 1 / ratio) < (Number.parseFloat(fontSize) < 24 ? 4.5 : 3);
  }).map((each) => each.outerHTML.slice(0, 300));
})()"""
STILL = "document.head.insertAdjacentHTML('beforeend', '<style>* { transition: none !important }</style>')"


@needs_browser
@pytest.mark.parametrize("name", [*pages(repository() / "_toc.yml"), "search"])
def test_a_page_can_be_read_by_everybody_and_opens_as_a_file_without_a_word_on_the_console(index, browser, name):
    browser.open(index.parent / f"{name}.html", "?q=modReLU")
    assert name != "search" or browser.until("document.querySelector('#search-results li a')")
    browser.run(f"{(files('axe_core_python') / 'axe.min.js').read_text()}; {STILL}")
    assert browser.run(READ) == []
    for theme in ("light", "dark"):
        assert browser.run(FAINT.replace("THEME", theme)) == []
    for width in (1280, 390):
        browser.wide(width)
        assert browser.run("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    assert browser.faults == []


@needs_browser
def test_one_player_plays_at_a_time_and_those_of_a_group_change_without_a_gap(index, browser):
    browser.open(index.parent / "notebooks/course/1-a-number-that-turns.html")
    browser.run("[one, two] = document.querySelectorAll('audio'); one.play()")
    assert browser.until("one.currentTime > 0.1")
    browser.run("two.play()")
    assert browser.until("two.currentTime > 0.1 && one.paused")
    browser.open(index.parent / "notebooks/rotation.html")
    browser.run("[one, two] = document.querySelectorAll('.together audio'); one.play().catch(() => 0)")
    assert browser.until("one.currentTime > 0.1 && !two.paused && two.muted")
    browser.run("document.querySelectorAll('.together input')[1].click()")
    assert browser.run("one.muted && !two.muted && !two.paused && Math.abs(two.currentTime - one.currentTime) < 0.1")
    browser.run("was = two.closest('figure').querySelector('[data-span]').style.cssText")
    assert browser.until("two.closest('figure').querySelector('[data-span]').style.cssText !== was"), "the line goes on"
    assert browser.faults == []


PIECES = [
    ("notebooks/course/2-a-delay-is-a-turn", ".phasor-loop", ".wave"),
    ("notebooks/rotation", ".phasor-piece", ".waves"),
    ("notebooks/course/4-layers", ".phasor-plane", ".before"),
    ("notebooks/own-stems", ".phalar-guess", ""),
    ("book/index", ".phalar-guess", ""),
]


@needs_browser
@pytest.mark.parametrize(("page", "piece", "dragged"), PIECES)
def test_a_piece_follows_keys_and_a_finger(index, browser, page, piece, dragged):
    browser.open(index.parent / f"{page}.html", width=390)
    state = f"""[...document.querySelectorAll("{piece} input")].map((each) => [each.value, each.checked]).join() +
      document.querySelector("{piece} output").textContent"""
    states = [browser.run(state)]
    browser.press(f"{piece} input", "ArrowRight", 39)
    states.append(browser.run(state))
    if dragged:
        browser.drag(f"{piece} {dragged}")
    else:
        browser.press(f"{piece} button", "Enter", 13)
    assert len({*states, browser.run(state)}) == 3
    assert browser.faults == []


def test_notebooks_are_kept_without_outputs_and_with_short_cells():
    for path in (repository() / "notebooks").rglob("*.ipynb"):
        notebook = json.loads(path.read_text())
        code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        assert not any(c["outputs"] or c["execution_count"] for c in code), path.name
        assert all(len("".join(c["source"]).splitlines()) < 40 for c in code), path.name
        (parameters,) = ["".join(c["source"]) for c in code if "parameters" in c["metadata"].get("tags", [])]
        values = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(parameters).body}
        assert values["results_path"] == "_build/results/own/results.jsonl", "what a reader tries is a run of its own"
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        assert not re.search(r"globals\(\)", "".join("".join(c["source"]) for c in code)), path.name
