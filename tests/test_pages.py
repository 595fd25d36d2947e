"""What the pages on the corpora count is what the code has."""

from collections import Counter
from itertools import takewhile

from phalar.corpora import CORPORA, band, harmony
from phalar.corpora.studio import PATCHES
from phalar.corpora.styles import styles, table
from phalar.paths import PACKAGE


def table_of(page, header):
    """Cells by the first one of their row, of a page's first table with such a line in it."""
    lines = (PACKAGE.parent / "book" / page).read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(header))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in takewhile(bool, lines[first:])]
    return {row[0]: row[1:] for row in rows}


def test_the_pages_count_pieces_as_the_corpora_do():
    splits = {name: Counter(corpus.module.pieces().values()) for name, corpus in CORPORA.items()}
    rows = table_of("corpora.md", "| | `chorales`")
    names = [cell.strip("`") for cell in rows[""]]
    assert rows["pieces"] == [str(splits[name].total()) for name in names]
    for name, told in zip(names, rows["train, valid, test"], strict=True):
        counts = [splits[name][split] for split in ("train", "valid", "test")]
        assert told == ("test only" if counts[:2] == [0, 0] else ", ".join(map(str, counts)))
    seconds = dict(zip(names, rows["a piece"], strict=True))
    assert seconds["band"] == "{:.0f} to {:.0f}\u00a0s".format(*band.SECONDS)
    rows = table_of("band-and-studio.md", "| | train")
    for name in ("band", "studio", "beats"):
        assert rows[f"`{name}`"] == [str(splits[name][split] or "–") for split in rows[""]]


def test_the_page_counts_styles_instruments_and_settings_as_the_code_does():
    page = " ".join((PACKAGE.parent / "book" / "band-and-studio.md").read_text(encoding="utf-8").split())
    families = Counter(style.family for style in styles().values())
    assert f"There are {len(styles())}: {families['duple']} for duple metres" in page
    assert (families["triple"], families["compound"]) == (1, 2)
    assert f"{len(table()['instruments'])} melodic instruments, " in page
    assert (len(table()["kits"]), len(table()["percussion"])) == (4, 5)
    assert f"table of {len(PATCHES)} patches" in page
    assert f"\\lambda = {harmony.FIT}" in page
    assert f"\\mathcal N(0, {harmony.TASTE}^2)$ for each chord" in page
    assert f"{harmony.TONIC_FIRST} for the tonic where a strain begins, {harmony.TONIC_LAST} where it ends" in page
    assert f"up to {max(colour.cadence for colour in harmony.COLOURS.values())} for a dominant" in page
