"""The book: staged from executed notebooks and records, built with warnings as errors, whole, and off the network."""

import re
import shutil

import nbformat
import pytest
import yaml

from phalar.errors import RunError
from phalar.paths import PACKAGE
from phalar.study import book, media
from phalar.study.results import Record, append
from phalar.study.run import executed_folder

REPOSITORY = PACKAGE.parent
DECLARED = 'profile_name = "x"\nresults_path = "_build/results/tiny/results.jsonl"'


def stub(*outputs, title="# Stem retrieval"):
    """An executed notebook as papermill leaves it, with some outputs."""
    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.metadata["papermill"] = {"input_path": "/somewhere/secret/in.ipynb", "exception": None}
    made.cells = [
        nbformat.v4.new_markdown_cell(f"{title}\n\nOf {{cite}}`marincione2026phalar`: {{{{ phalar_chorales_64 }}}}."),
        nbformat.v4.new_code_cell(DECLARED, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("# Parameters\nsteps = 5", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_code_cell("work()", outputs=list(outputs), execution_count=1),
    ]
    return made


def html(text):
    return nbformat.v4.new_output("display_data", data={"text/html": text, "text/plain": "<HTML>"})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A copy of the checkout's book with a stub of an executed notebook, one sound and one record."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(REPOSITORY / name, root / name)
    skip = shutil.ignore_patterns("__pycache__", "weights", "*.so")
    for name in ("book", "phalar"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=skip)
    source = stub()
    for page in book.pages(root / "_toc.yml"):
        if page.startswith("notebooks/"):
            (root / "notebooks").mkdir(exist_ok=True)
            nbformat.write(source, root / f"{page}.ipynb")
            target = executed_folder("tiny", root) / f"{page.removeprefix('notebooks/')}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(stub(html(media.player("_build/sound/mix 1.ogg", "The mix"))), target)
    (root / "notebooks" / "profiles").mkdir()
    (root / "notebooks" / "profiles" / "tiny.yaml").write_text("results_path: _build/results/tiny/results.jsonl\n")
    (root / "_build" / "sound").mkdir(parents=True)
    (root / "_build" / "sound" / "mix 1.ogg").write_bytes(b"OggS sound")
    base = {"experiment": "retrieval", "dataset": "chorales", "split": "test", "metric": "top1", "seed": 0, "k": 64}
    base |= {"steps": 120, "n": 480, "date": "2026-01-02T03:04:05Z"}
    append(
        root / "_build/results/tiny/results.jsonl",
        [
            Record(variant="phalar", value=0.912, ci_low=0.88, ci_high=0.94, **base),
            Record(variant="gap", value=0.101, ci_low=0.07, ci_high=0.14, **base),
        ],
    )
    return root


@pytest.fixture(scope="module")
def built(root):
    """The book, built once for this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book, "parameter_counts", lambda: dict.fromkeys(book.VARIANTS, 1) | {"phalar": 1_234_567})
        yield book.build_book("tiny", root=root)


@pytest.fixture
def counted(monkeypatch):
    """The same counts for tests that stage or build again."""
    counts = dict.fromkeys(book.VARIANTS, 1) | {"phalar": 1_234_567}
    monkeypatch.setattr(book, "parameter_counts", lambda: counts)


def text_of(built, page):
    return (built.parent / f"{page}.html").read_text(encoding="utf-8")


def test_every_page_of_the_contents_is_there(built, root):
    assert built == root / "_build" / "html" / "tiny" / "index.html"
    assert "url=book/index.html" in built.read_text()
    names = book.pages(REPOSITORY / "_toc.yml")
    assert names[0] == "book/index"
    assert {"book/how-to-read", "book/model", "book/corpora", "book/training"} <= set(names)
    assert {"notebooks/retrieval", "book/bibliography"} <= set(names)
    for name in names:
        assert "<h1>" in text_of(built, name)


def test_numbers_on_the_pages_are_those_of_the_records_and_of_the_paper(built):
    index = text_of(built, "book/index")
    assert "91.2\u00a0% [88.0, 94.0]" in index
    assert "91.2 → 10.1\u00a0%, outside both intervals" in index
    assert "70.87" in index
    assert "2026-01-02" in index
    assert "1,234,567" in text_of(built, "book/model")
    assert "91.2\u00a0%" in text_of(built, "notebooks/retrieval")


def test_no_substitution_is_left_unfilled(built, root):
    for name in book.pages(root / "_toc.yml"):
        words = re.sub(
            r"<(script|pre|style|span class=\"math)\b.*?</(script|pre|style|span)>",
            "",
            text_of(built, name),
            flags=re.S,
        )
        assert not re.search(r"\{\{ *\w+ *\}\}", words), name


def test_no_page_loads_anything_from_the_network(built):
    pages = [path for path in built.parent.rglob("*.html") if "_static" not in path.parts]
    assert len(pages) >= 6
    for path in pages:
        for tag, address in book.references(path.read_text(encoding="utf-8")):
            assert tag == "a" or not re.match(r"(https?:)?//", address), (path.name, tag, address)
    assert "mathjax/tex-chtml.js" in text_of(built, "book/model")
    assert (built.parent / "_static/mathjax/tex-chtml.js").is_file()


def test_sound_moves_with_the_book_and_is_not_loaded_until_played(built):
    page = text_of(built, "notebooks/retrieval")
    assert 'preload="none" src="../_static/media/retrieval/mix 1.ogg"' in page
    assert (built.parent / "_static/media/retrieval/mix 1.ogg").read_bytes() == b"OggS sound"


def test_nothing_tells_of_the_machine(built, root):
    for path in built.parent.rglob("*"):
        if path.suffix in (".html", ".ipynb", ".md", ".js") and "mathjax" not in path.parts:
            text = path.read_text(encoding="utf-8", errors="replace")
            assert "/somewhere/secret" not in text, path
            assert str(root) not in text, path


def test_the_model_page_shows_the_code_it_teaches(built):
    page = re.sub(r"<[^>]+>", "", text_of(built, "book/model"))
    assert "torch.fft.rfft" in page
    assert "def symmetrised" in page


def test_a_second_build_takes_over_what_did_not_change(built, root, counted):
    staged = root / "_build" / "book-src" / "tiny"
    before = {
        path: path.stat().st_mtime_ns for path in staged.rglob("*") if "_build" not in path.relative_to(staged).parts
    }
    book.stage("tiny", root / "_build/results/tiny/results.jsonl", root)
    after = {
        path: path.stat().st_mtime_ns for path in staged.rglob("*") if "_build" not in path.relative_to(staged).parts
    }
    files = [path for path in before if path.is_file()]
    assert len(files) > 20
    assert {path: before[path] for path in files} == {path: after[path] for path in files}


def test_a_page_with_a_misspelt_number_stops_the_build_every_time(built, root, counted):
    page = root / "book" / "bibliography.md"
    good = page.read_text()
    page.write_text(good + "\n{{ phalar_chorals_64 }}\n\n![missing](figures/none.svg)\n")
    try:
        for _ in range(2):  # Sphinx alone would pass the second time: it does not read an unchanged page again
            with pytest.raises(RunError) as caught:
                book.build_book("tiny", root=root)
            assert "phalar_chorals_64" in str(caught.value)
            assert "figures/none.svg" in str(caught.value)
            assert "phalar_chorals_64" in (root / "_build" / "book-src" / "tiny.log").read_text()
    finally:
        page.write_text(good)
    assert "phalar_chorals_64" not in text_of(built, "book/bibliography"), "the published book is as it was"


# --- staging refuses what must not reach a reader


def staging(root, notebook=None, name="retrieval"):
    path = executed_folder("tiny", root) / f"{name}.ipynb"
    kept = path.read_bytes()
    try:
        if notebook is not None:
            nbformat.write(notebook, path)
        else:
            path.unlink()
        return book.stage("tiny", root / "_build/results/tiny/results.jsonl", root)
    finally:
        path.write_bytes(kept)


def test_a_notebook_that_was_not_executed_is_named_with_the_remedy(root, counted):
    with pytest.raises(RunError, match=r"notebook retrieval: not executed .*phalar study run --profile tiny"):
        staging(root)


def test_a_notebook_that_failed_is_refused_even_where_papermill_did_not_say_so(root, counted):
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="bad", traceback=[])
    with pytest.raises(RunError, match=r"cell 4 .* raised ValueError: bad"):
        staging(root, stub(error))
    marked = stub()
    marked.metadata["papermill"]["exception"] = True
    with pytest.raises(RunError, match="marked as failed"):
        staging(root, marked)
    failed = executed_folder("tiny", root) / "retrieval.failed.ipynb"
    failed.write_text("{}")
    with pytest.raises(RunError, match="its last run failed"):
        staging(root, stub())
    failed.unlink()


def test_a_sound_that_is_gone_is_named(root, counted):
    with pytest.raises(RunError, match=r"the file 'none\.ogg' that it plays or shows is gone"):
        staging(root, stub(html(media.player("none.ogg", "x"))))


def test_two_sounds_of_one_name_must_be_the_same(root, counted):
    (root / "_build" / "sound" / "other").mkdir(exist_ok=True)
    (root / "_build" / "sound" / "other" / "mix 1.ogg").write_bytes(b"another")
    both = [html(media.player(f"_build/sound/{name}", "x")) for name in ("mix 1.ogg", "other/mix 1.ogg")]
    with pytest.raises(RunError, match=r"two different files called mix 1\.ogg"):
        staging(root, stub(*both))


def test_folded_defaults_and_generated_pages_are_staged(root, counted):
    staged = staging(root, stub())
    notebook = nbformat.read(staged / "notebooks" / "retrieval.ipynb", as_version=4)
    assert notebook.cells[1].metadata["tags"] == ["parameters", "hide-input"]
    assert "1,234,567" in (staged / "book/generated/variants.md").read_text()
    config = yaml.safe_load((staged / "_config.yml").read_text())
    assert config["parse"]["myst_substitutions"]["phalar_chorales_64"] == "91.2\u00a0%"
    assert config["execute"]["execute_notebooks"] == "off"


def test_a_run_without_records_says_so_in_every_number(root, counted, tmp_path):
    staged = book.stage("tiny", tmp_path / "none.jsonl", root)
    config = yaml.safe_load((staged / "_config.yml").read_text())
    assert config["parse"]["myst_substitutions"]["phalar_chorales_64"] == "not run in this profile"


# --- the look at what was built


PAGE = '<html><body><img src="a.png"><a href="b.html#x">b</a><a href="https://x.org">x</a><audio src="s.ogg"></audio>'


def site(folder, **pages):
    for name, text in ({"index": PAGE, "b": "<p id=x>"} | pages).items():
        (folder / f"{name}.html").write_text(text)
    (folder / "a.png").touch()
    (folder / "s.ogg").touch()
    (folder / "_static").mkdir(exist_ok=True)
    return folder


def test_a_whole_site_passes(tmp_path):
    book.check(site(tmp_path), ["b"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<img src="gone.png">', "<img> refers to gone.png"),
        ('<audio><source src="gone.ogg"></audio>', "<source> refers to gone.ogg"),
        ('<a href="gone.html">', "<a> refers to gone.html"),
        ('<script src="https://cdn.org/x.js"></script>', "<script> loads https://cdn.org/x.js"),
        ('<link rel="stylesheet" href="//fonts.org/f.css">', "<link> loads //fonts.org/f.css"),
        ('<iframe src="http://x.org"></iframe>', "<iframe> loads http://x.org"),
        ('<img src="https://x.org/a.png">', "<img> loads https://x.org/a.png"),
    ],
)
def test_a_page_that_is_not_whole_is_named_with_what_it_lacks(tmp_path, text, said):
    with pytest.raises(RunError) as caught:
        book.check(site(tmp_path, b=text), ["b"])
    assert f"b.html: {said}" in str(caught.value)


def test_a_missing_page_and_a_style_from_the_network_are_named(tmp_path):
    site(tmp_path)
    (tmp_path / "_static" / "x.css").write_text(
        '@import "https://fonts.org/f.css"; a { background: url(//x.org/y.png) }'
    )
    with pytest.raises(RunError) as caught:
        book.check(tmp_path, ["b", "book/lost"])
    assert "page book/lost.html was not made" in str(caught.value)
    assert "https://fonts.org/f.css" in str(caught.value)
    assert "//x.org/y.png" in str(caught.value)


def test_a_canonical_address_is_no_fault(tmp_path):
    book.check(site(tmp_path, b='<link rel="canonical" href="https://x.org/b.html">'), ["b"])


# --- the tracked sources of the book


def test_the_configuration_keeps_what_the_book_relies_on():
    text = (REPOSITORY / "_config.yml").read_text()
    config = yaml.safe_load(text)
    assert len(re.findall(r"^execute:", text, flags=re.M)) == 1
    assert config["execute"]["execute_notebooks"] == "off", "a bare off would be the truth value false"
    assert config["only_build_toc_files"] is True
    assert config["sphinx"]["config"]["html_static_path"] == ["book/_static"]
    assert config["copyright"]


def test_every_reference_is_cited_and_every_citation_is_a_reference():
    known = set(re.findall(r"^@\w+\{([^,]+),", (REPOSITORY / "book" / "references.bib").read_text(), flags=re.M))
    places = [*(REPOSITORY / "book").glob("*.md"), *(REPOSITORY / "notebooks").glob("*.ipynb")]
    pages = "".join(path.read_text() for path in places)
    cited = {key.strip() for keys in re.findall(r"\{cite[a-z:]*\}`([^`]+)`", pages) for key in keys.split(",")}
    assert cited == known
