"""The book: staged from executed notebooks and records, built with warnings as errors, whole, and off the network."""

import re
import shutil
import zipfile

import nbformat
import pytest
from test_run import notebook

from phalar.errors import InputError, RunError
from phalar.model.variants import VARIANTS
from phalar.paths import PACKAGE
from phalar.study import book, media, tables
from phalar.study.records import REFERENCE, Record, append, read
from phalar.study.run import NOTEBOOKS, study

REPOSITORY = PACKAGE.parent


def stub(*outputs):
    """An executed notebook as papermill leaves it, with some outputs."""
    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.metadata["phalar"] = {"parameters": {"seeds": [0]}, "seconds": 90.0, "records": []}
    made.cells = [
        nbformat.v4.new_markdown_cell("# A page\n\nOf {cite}`marincione2026phalar`: {{ run_steps }} steps."),
        nbformat.v4.new_code_cell("steps = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("steps = 5", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_code_cell("work()", outputs=list(outputs), execution_count=1),
    ]
    return made


def html(text):
    return nbformat.v4.new_output("display_data", data={"text/html": text, "text/plain": "<HTML>"})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in a copy of the checkout's book, with stubs of executed notebooks, one sound and two records."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(REPOSITORY / name, root / name)
    for name in ("book", "phalar"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "weights", "*.so"))
    notebook(root / "notebooks" / "work.ipynb", 'profile_name = ""\nresults_path = ""')
    (root / "notebooks" / "profiles").mkdir()
    (root / "notebooks" / "profiles" / "tiny.yaml").write_text("profile_name: tiny\n")
    made = study("tiny", root=root)
    made.executed.mkdir(parents=True)
    for page in book.pages(root / "_toc.yml"):
        if page.startswith("notebooks/"):
            sound = html(media.player("_build/sound/mix 1.ogg", "The mix"))
            path = made.executed / f"{page.removeprefix('notebooks/')}.ipynb"
            path.parent.mkdir(exist_ok=True)
            nbformat.write(stub(sound), path)
    (root / "_build" / "sound").mkdir()
    (root / "_build" / "sound" / "mix 1.ogg").write_bytes(b"OggS sound")
    base = {"experiment": "retrieval", "dataset": "chorales", "split": "test", "metric": "top1", "seed": 0, "k": 64}
    base |= {"steps": 120, "n": 480, "date": "2026-01-02T03:04:05Z"}
    rows = [Record(variant="phalar", value=0.912, ci_low=0.88, ci_high=0.94, **base)]
    append(made.records, [*rows, Record(variant="gap", value=0.101, ci_low=0.07, ci_high=0.14, **base)])
    return made


@pytest.fixture(autouse=True, scope="module")
def counted():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book.assembly, "parameters", lambda: dict.fromkeys(VARIANTS, 1) | {"phalar": 1_234_567})
        yield


@pytest.fixture(scope="module")
def built(run):
    """The book, built once for this module, from the archive of a run of which nothing else is left."""
    (run.root / "book" / "reference").mkdir(exist_ok=True)
    book.keep(run)
    shutil.rmtree(run.root / "_build")
    assert book.kept(run.root) == run
    append(run.records, [Record(experiment="x", dataset="y", split="z", variant="gap", metric="top1", value=0)])
    with pytest.raises(InputError, match="is a run of your own"):
        book.kept(run.root)
    run.records.unlink()
    assert book.kept(run.root) == run
    return book.build_book(run)


def from_the_network(folder):
    """What the pages of a book load from elsewhere: a link (a) is no load, nor are relations that only name a place."""
    loads = re.compile(r"""<(?!a\b)\w+\b(?![^<>]*\brel=["']?(?:canonical|author|license))[^<>]*"""
                       r"""(?<![\w-])(?:src|href|poster|data)=["']((?:https?:)?//[^"']+)""")  # fmt: skip
    pages = [page for page in folder.rglob("*.html") if "_static" not in page.parts]
    tags = (re.sub(r"(?s)<!--.*?-->|(?<=>)[^<]*", "", page.read_text(encoding="utf-8")) for page in pages)
    return [address for text in tags for address in loads.findall(text)]


def text_of(built, page):
    return (built.parent / f"{page}.html").read_text(encoding="utf-8")


def test_the_book_is_whole_and_its_numbers_are_those_of_the_records(built, run):
    assert built == run.root / "_build" / "html" / run.name / "index.html"
    names = book.pages(REPOSITORY / "_toc.yml")
    assert names[0] == "book/index"
    for name in names:
        page = text_of(built, name)
        assert "<h1>" in page
        words = re.sub(r"(?s)<(script|pre|style|span class=\"math)\b.*?</(script|pre|style|span)>", "", page)
        assert not re.search(r"\{\{ *\w+ *\}\}", words), name
        assert str(run.root) not in page, name
    assert not from_the_network(built.parent)
    for path in (built.parent / "_static").rglob("*.css"):
        assert not re.search(r"""(url\(|@import)\s*["']?(https?:)?//""", path.read_text()), path
    index = text_of(built, "book/index")
    assert str(tables.measured(read(REFERENCE))["studio", "reference", 64]) in index
    assert "2026-01-02" in text_of(built, "book/run-record")
    assert "0.912" in next((built.parent / "_downloads").rglob("results.csv")).read_text()
    assert "1,234,567" in text_of(built, "book/model")
    page = re.sub(r"<[^>]+>", "", text_of(built, "notebooks/retrieval"))
    assert "120 steps" in page
    assert "phalar study run --profile tiny --only retrieval -p seeds" in page
    assert "Finds the stem of a mix among 64 better than COCOLA, MoisesDB" in page
    assert "torch.fft.rfft" in re.sub(r"<[^>]+>", "", text_of(built, "book/model")), "pages show the code they teach"
    assert (built.parent / "_static/mathjax/tex-chtml.js").is_file()
    for name in ("notebooks/retrieval", "notebooks/course/2-a-delay-is-a-turn"):
        (sound,) = re.findall(r'preload="none" src="([^"]*mix 1.ogg)"', text_of(built, name))
        assert ((built.parent / name).parent / sound).read_bytes() == b"OggS sound"


def test_a_fault_stops_the_build_and_leaves_the_last_good_book(built, run):
    page = run.root / "book" / "bibliography.md"
    good = page.read_text()
    page.write_text(good + "\n{{ run_stps }}\n\n![missing](figures/none.svg)\n")
    try:
        with pytest.raises(RunError, match="run_stps") as caught:
            book.build_book(run)
        assert "figures/none.svg" in str(caught.value)
    finally:
        page.write_text(good)
    assert "run_stps" not in text_of(built, "book/bibliography"), "the published book is as it was"


ERROR = nbformat.v4.new_output("error", ename="ValueError", evalue="bad", traceback=[])


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (None, r"notebook retrieval: not executed, .*phalar study run --profile tiny"),
        ([ERROR], "cell 4 .* raised ValueError: bad"),
        ([html(media.player("none.ogg", "x"))], r"the file 'none\.ogg' that it plays or shows is gone"),
    ],
)
def test_what_must_not_reach_a_reader_is_refused(run, outputs, said):
    path = run.executed / "retrieval.ipynb"
    kept = path.read_bytes()
    try:
        path.unlink()
        if outputs:
            nbformat.write(stub(*outputs), path)
        with pytest.raises(RunError, match=said):
            book.stage(run)
        failed = path.with_suffix(".failed.ipynb")
        failed.write_text("{}")
        with pytest.raises(RunError, match="its last run failed"):
            book.stage(run)
        failed.unlink()
    finally:
        path.write_bytes(kept)


def test_a_book_without_one_of_its_pages_is_none(run, monkeypatch, tmp_path):
    monkeypatch.setattr(book, "_sphinx", lambda staged: tmp_path)
    with pytest.raises(RunError, match=r"without its pages book/index, .*book/claims"):
        book.build_book(run)


def test_every_reference_is_cited_and_every_citation_is_a_reference():
    known = set(re.findall(r"^@\w+\{([^,]+),", (REPOSITORY / "book" / "references.bib").read_text(), flags=re.M))
    places = [*(REPOSITORY / "book").glob("*.md"), *(REPOSITORY / "notebooks").rglob("*.ipynb")]
    pages = "".join(path.read_text() for path in places)
    cited = {key.strip() for keys in re.findall(r"\{cite[a-z:]*\}`([^`]+)`", pages) for key in keys.split(",")}
    assert cited == known


def test_the_archive_that_ships_holds_every_notebook_of_the_book():
    with zipfile.ZipFile(REPOSITORY / book.KEPT) as archive:
        kept = {name.split("/notebooks/")[1] for name in archive.namelist() if name.endswith(".ipynb")}
    assert kept == {f"{name}.ipynb" for name in NOTEBOOKS}, "run `phalar study keep`"
