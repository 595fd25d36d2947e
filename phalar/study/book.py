"""Stage and build the book, and look at what came out.

Sphinx never sees the checkout itself. A copy is staged under ``_build/book-src/<profile>/``: the pages, the executed
notebooks with the sound they saved, the source files that pages quote, and what is generated from the result records.
So the tracked tree stays clean, and two profiles' books never mix.

Numbers reach the prose as MyST substitutions (``{{ phalar_chorales_64 }}``), written into the staged ``_config.yml``
from the records. Glue would need every page to name a notebook's cell that ran; a substitution needs only the
records, exists under every profile (reading "not run in this profile" where it must), works inside tables and
captions, and a misspelt one stops the build. Tables are Markdown files that pages include.

``jupyter-book`` exits 0 with a page missing, so the outcome is checked here: every page of the contents exists, no
picture, sound or link leads nowhere, and nothing on a page is loaded from the network.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import yaml

from phalar.errors import RunError
from phalar.model import checkpoints
from phalar.model.variants import VARIANTS
from phalar.study import media
from phalar.study.card import results_markdown, training_markdown
from phalar.study.claims import claims_page, claims_table
from phalar.study.comparisons import recipes_markdown
from phalar.study.paper import read_paper
from phalar.study.profiles import load_profile, notebooks_folder
from phalar.study.prose import slug, substitutions
from phalar.study.results import BENCHES, PRESETS, REFERENCE, read
from phalar.study.run import check_profile_name, executed_folder, first_failure, media_folders, tidy
from phalar.study.tables import bench_markdown, retrieval_markdown, retrieval_table, variants_table

LOG_LINES = 40  # of a failed build's log are shown


def build_book(profile: str | Path = "laptop", *, root: Path | None = None) -> Path:
    """Build the book from the notebooks executed under a profile.

    Returns
    -------
    Path
        ``_build/html/<profile>/index.html``. It is only replaced by a book that was built and checked whole.

    Raises
    ------
    InputError
        For an unknown profile.
    RunError
        If a notebook was not executed or failed, if Sphinx warns of anything, or if a page, a picture or a sound is
        missing or would need the network.
    """
    root = root or notebooks_folder().parent
    values = load_profile(profile, root / "notebooks")
    name = check_profile_name(values["profile_name"])
    records = values.get("results_path", f"_build/results/{name}/results.jsonl")
    source = stage(name, root / records, root)
    built = _sphinx(source)
    check(built, pages(root / "_toc.yml"))
    target = root / "_build" / "html" / name
    mirror(_contents(built), target)
    return target / "index.html"


def pages(toc: Path) -> list[str]:
    """Every page of the table of contents, the root page first, as paths without suffix."""

    def walk(node: dict) -> Iterator[str]:
        for key in ("root", "file"):
            if key in node:
                yield os.path.splitext(node[key])[0] if node[key].endswith((".md", ".ipynb")) else node[key]
        for key in ("parts", "chapters", "sections", "subtrees", "entries"):
            for child in node.get(key, []):
                yield from walk(child)

    return list(walk(yaml.safe_load(toc.read_text(encoding="utf-8"))))


def stage(profile: str, records_path: Path, root: Path) -> Path:
    """Bring the book's sources together in ``_build/book-src/<profile>/`` and return that folder.

    Only files that differ are written, so that Sphinx rebuilds only the pages that changed.
    """
    target = root / "_build" / "book-src" / profile
    files: dict[str, bytes] = {"_toc.yml": (root / "_toc.yml").read_bytes()}
    files |= {f"book/{path}": data for path, data in _contents(root / "book").items()}
    files |= {
        f"phalar/{path}": data for path, data in _contents(root / "phalar").items() if path.endswith((".py", ".csv"))
    }
    listed = [page for page in pages(root / "_toc.yml") if page.startswith("notebooks/")]
    for page in listed:
        files |= _notebook(page.removeprefix("notebooks/"), profile, root)
    files |= {f"book/figures/run/{path}": data for path, data in _contents(records_path.parent / "figures").items()}
    records, paper, parameters = read(records_path), read_paper(), parameter_counts()
    reference = read(root / REFERENCE)
    files["book/generated/claims.md"] = claims_table(records, paper, parameters).encode()
    files["book/generated/claims-page.md"] = claims_page(records, paper, parameters).encode()
    differs = {name: row.differs for name, row in VARIANTS.items()}
    files["book/generated/variants.md"] = variants_table(differs, parameters).encode()
    files["book/generated/retrieval.md"] = retrieval_markdown(
        retrieval_table(records, paper, reference), name="retrieval-table"
    ).encode()
    files["book/generated/weights.md"] = training_markdown(checkpoints.notes(checkpoints.REFERENCE)).encode()
    files["book/generated/weights-results.md"] = results_markdown(records, reference).encode()
    files["book/generated/presets.md"] = recipes_markdown(read(root / PRESETS), "short").encode()
    benches = (root / BENCHES).read_text(encoding="utf-8").splitlines() if (root / BENCHES).is_file() else []
    files["book/generated/bench.md"] = bench_markdown(map(json.loads, benches)).encode()
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    counted = {f"parameters_{slug(name)}": f"{count:,}" for name, count in parameters.items()}
    config.setdefault("parse", {})["myst_substitutions"] = substitutions(records, paper, profile) | counted
    files["_config.yml"] = yaml.safe_dump(config, allow_unicode=True, sort_keys=False).encode()
    mirror(files, target, keep="_build")
    return target


def parameter_counts() -> dict[str, int]:
    """Real parameters of every model of the registry, counted in freshly built ones."""
    from phalar.evaluate.cost import count_parameters

    return {name: count_parameters(name) for name in VARIANTS}


def _notebook(name: str, profile: str, root: Path) -> dict[str, bytes]:
    """An executed notebook and its media as staged files; refuses one that was not executed or failed."""
    folder = executed_folder(profile, root)
    path, again = folder / f"{name}.ipynb", f"run `phalar study run --profile {profile}` first"
    if (folder / f"{name}.failed.ipynb").exists():
        raise RunError(f"notebook {name}: its last run failed, see {folder / f'{name}.failed.ipynb'}; {again}")
    if not path.is_file():
        raise RunError(f"notebook {name}: not executed under profile {profile!r}; {again}")
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise RunError(f"notebook {name}: {path} is damaged; delete it and {again}") from error
    failure = first_failure(notebook)
    if failure:
        raise RunError(f"notebook {name}: {failure}; correct it and {again}")
    files, addresses = {}, {}
    for source in media.sources(notebook):
        found = media.find(source, media_folders(path, root))
        if found is None:
            raise RunError(f"notebook {name}: the file {source!r} that it plays or shows is gone; {again}")
        staged = f"_static/media/{name}/{found.name}"
        if files.get(f"book/{staged}", found.read_bytes()) != found.read_bytes():
            raise RunError(f"notebook {name}: plays two different files called {found.name}; give them two names")
        files[f"book/{staged}"] = found.read_bytes()
        addresses[source] = f"../{staged}"
    media.redirect(notebook, addresses)
    notebook = tidy(notebook, root)
    notebook.metadata.pop("phalar", None)
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    if any("injected-parameters" in names for names in tags):
        # What ran are the injected values; the defaults with their comments fold away above them.
        for names in tags:
            if "parameters" in names and "hide-input" not in names:
                names.append("hide-input")
    return files | {f"notebooks/{name}.ipynb": nbformat.writes(notebook).encode()}


def _contents(folder: Path) -> dict[str, bytes]:
    """Files below a folder by their path in it; hidden ones and byte code are left out; none if it does not exist."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
    }


def mirror(files: dict[str, bytes], target: Path, keep: str = "") -> None:
    """Make a folder hold exactly these files. What is equal is not touched; ``keep`` names a subfolder left alone."""
    for name, data in files.items():
        path = target / name
        if path.is_file() and path.read_bytes() == data:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(data)
        os.replace(partial, path)
    for path in sorted(target.rglob("*"), reverse=True):
        name = path.relative_to(target)
        if keep and name.parts[0] == keep:
            continue
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif name.as_posix() not in files:
            path.unlink()


def _sphinx(source: Path) -> Path:
    """Run jupyter-book over the staged book with every warning an error; return the folder of the pages.

    Sphinx does not repeat a warning about a page it does not read again, so a build that did not end well is never
    built upon: only after a success does the next one go on from there.
    """
    build, succeeded = source / "_build", source / "_build" / ".succeeded"
    if not succeeded.exists():
        shutil.rmtree(build, ignore_errors=True)
    succeeded.unlink(missing_ok=True)
    # The interpreter that runs this; -P, so that no staged folder is taken for a module.
    command = [sys.executable, "-P", "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += ["-n", "-W", "--keep-going", str(source)]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
        env=environment, cwd=source,
    )  # fmt: skip
    if done.returncode != 0:
        log = source.with_name(f"{source.name}.log")
        log.write_text(done.stdout, encoding="utf-8")
        raise RunError(f"the book did not build without warnings, see {log}; from it:\n{last_lines(done.stdout)}")
    succeeded.touch()
    return build / "html"


def last_lines(log: str) -> str:
    """The warnings and errors of a log, if any stand out, and then its end; without colour codes."""
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", log).splitlines() if line.strip()]
    alarming = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL|SEVERE)\b", line)]
    return "\n".join((alarming or lines)[-LOG_LINES:])


def check(built: Path, names: list[str]) -> None:
    """Look at a built book: every page is there, what pages refer to is there, and nothing needs the network.

    Raises
    ------
    RunError
        Naming every page that is missing and every address that leads nowhere or elsewhere.
    """
    missing = [name for name in ("index", *names) if not (built / f"{name}.html").is_file()]
    faults = [f"page {name}.html was not made" for name in missing]
    for path in sorted(built.rglob("*.html")):
        if path.relative_to(built).parts[0] in ("_static", "_sources"):
            continue
        page = path.relative_to(built).as_posix()
        for tag, address in references(path.read_text(encoding="utf-8")):
            if address.startswith("//") or urlsplit(address).scheme in ("http", "https"):
                if tag != "a":
                    faults.append(f"{page}: <{tag}> loads {address} from the network")
            elif media.is_local(address):
                target = path.parent / unquote(urlsplit(address).path)
                if urlsplit(address).path and not target.exists():
                    faults.append(f"{page}: <{tag}> refers to {address}, which does not exist")
    for path in sorted((built / "_static").rglob("*.css")):
        for address in re.findall(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')]+)""", path.read_text("utf-8")):
            faults.append(f"{path.relative_to(built)}: loads {address} from the network")
    if faults:
        raise RunError("the book was built but is not whole:\n" + "\n".join(faults[:LOG_LINES]))


class _References(HTMLParser):
    """Collects (tag, address) of everything a page loads or links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        # These relations only name an address; a browser loads nothing from them.
        passive = tag == "link" and set((values.get("rel") or "").split()) & {"canonical", "author", "license"}
        for name in ("src", "href", "poster", "data"):
            if values.get(name) and not passive:
                self.found.append((tag, values[name].strip()))


def references(page: str) -> list[tuple[str, str]]:
    """What an HTML page loads (``script``, ``link``, ``img``, ``audio``, ...) or links to (``a``), with its tag."""
    parser = _References()
    parser.feed(page)
    return parser.found
