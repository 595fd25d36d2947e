"""The corpora in the book: passages, measures, figures that show what they are given, and pages that count right."""

from collections import Counter
from itertools import takewhile

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from phalar import plots_corpora
from phalar.corpora import CORPORA, band, harmony
from phalar.corpora.rendering import loudness
from phalar.corpora.studio import PATCHES
from phalar.corpora.styles import styles, table
from phalar.datasets import store
from phalar.errors import InputError
from phalar.paths import PACKAGE
from phalar.study import portrait

RATE = 16_000


@pytest.fixture(autouse=True)
def closed():
    """No figure outlives its test."""
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Two pieces of 24 s: A4 all along, a drum from 8 s, a second voice from 12 to 20 s; a beat is half a second."""
    folder = tmp_path_factory.mktemp("store")
    time = np.arange(24 * RATE) / RATE
    lead = 0.2 * np.sin(2 * np.pi * 440 * time)
    drum = np.where((time >= 8) & (time % 0.5 < 0.05), 0.2, 0)
    second = np.where((time >= 12) & (time < 20), 0.1 * np.sin(2 * np.pi * 220 * time), 0)
    beats = np.column_stack([np.arange(48) / 2, np.arange(48) % 4 + 1])
    for name, split, key in (("one", "test", "A minor"), ("two", "train", "F# major")):
        store.write_track(
            folder,
            name,
            np.round(32767 * np.stack([lead, drum, second])).astype(np.int16),
            split=split,
            stems=["flute", "drum kit", "cello"],
            tags={"title": f"Piece {name}", "style": "folk", "key": key, "roles": ["lead", "drums", "counter"]},
            beats=beats,
            chords=[(0.0, 14.0, "A:min"), (14.0, 24.0, "E:7")],
            notes=[[(0, 24, 69)], [(8 + n / 2, 0.05, 36) for n in range(32)], [(12, 8, 57)]],
        )
    store.write_index(folder, "tiny")
    return store.open_store(folder)


def test_examples_are_spread_over_the_list():
    assert portrait.spread("abcdef", 2) == ["a", "d"]
    assert portrait.spread("abcdef", 6) == list("abcdef")
    assert portrait.spread("ab", 5) == ["a", "b"]
    with pytest.raises(InputError, match="examples=0"):
        portrait.spread("ab", 0)


def test_the_fullest_passage_has_most_sound_begins_at_a_downbeat_and_spares_the_end(tracks):
    # All three sound from 12 to 20 s; a downbeat is every 2 s, and a passage must end by 20 s.
    assert portrait.fullest(tracks[0], 8) == 12
    assert portrait.fullest(tracks[0], 6) == 12
    assert portrait.fullest(tracks[0], 30) == 0


def test_a_passage_is_clipped_and_counted_from_its_beginning(tracks):
    cut = portrait.passage(tracks[0], 11.0, 4.0)
    assert cut.title == "Piece one, folk, from 11.0 s"
    assert cut.picture.shape == (96, 401)
    assert cut.picture.dtype == np.float32
    assert cut.drums == (False, True, False)
    np.testing.assert_allclose(cut.notes[0], [[0, 4, 69]])
    np.testing.assert_allclose(cut.notes[2], [[1, 3, 57]])
    assert len(cut.notes[1]) == 8
    np.testing.assert_allclose(cut.beats[:, 0], np.arange(8) / 2)
    assert cut.chords == ((0.0, 3.0, "A:min"), (3.0, 4.0, "E:7"))


def test_the_picture_is_loudest_where_the_note_is(tracks):
    cut = portrait.passage(tracks[0], 0.0, 4.0)
    assert 12 + cut.picture.mean(axis=1).argmax() == 69


def test_a_passage_must_be_long_enough_for_the_transform(tracks):
    with pytest.raises(InputError, match="seconds=1"):
        portrait.passage(tracks[0], 0.0, 1.0)


def test_measures_say_what_the_corpus_says(tracks):
    table = portrait.measures(tracks).set_index("id")
    assert table.loc["one", ["tonic", "mode", "stems"]].tolist() == ["A", "minor", 3]
    assert table.loc["two", "tonic"] == "Gb"
    assert table.loc["one", "tempo"] == pytest.approx(120)
    assert table.loc["one", "density"] == pytest.approx((1 + 32 + 1) / 24)
    # Of 720 blocks the flute fills 240, the cello 80, and each of 32 strokes one.
    assert table.loc["one", "resting"] == pytest.approx(1 - (240 + 80 + 32) / 720, abs=0.01)


def test_what_a_corpus_does_not_keep_is_unknown(tmp_path):
    audio = np.full((1, 3 * RATE), 1000, np.int16)
    store.write_track(tmp_path, "bare", audio, split="test", stems=["mix"])
    store.write_index(tmp_path, "bare")
    (track,) = store.open_store(tmp_path)
    row = portrait.measures([track]).iloc[0]
    assert row["tonic"] is None
    assert np.isnan(row[["tempo", "density"]].astype(float)).all()
    assert portrait.passage(track, 0, 2).notes is None
    assert np.isnan(portrait.alike(portrait.measures([track])))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C major", ("C", "major")),
        ("f# minor", ("Gb", "minor")),
        ("B- major", ("Bb", "major")),
        ("Eb dorian", ("Eb", "dorian")),
        ("", (None, None)),
        ("H major", (None, None)),
    ],
)
def test_keys_are_read_however_they_are_spelt(name, expected):
    assert portrait.key(name) == expected


def test_loudness_is_that_of_the_mix(tracks):
    mix = tracks[0].excerpt().sum(axis=0)
    assert portrait.loudnesses(tracks[:1]) == [pytest.approx(loudness(mix, RATE))]


def test_shares_are_a_row_a_split_in_their_order(tracks):
    table = portrait.shares(tracks)
    assert table["split"].tolist() == ["train", "test"]
    assert table["pieces"].tolist() == [1, 1]
    assert table["stems"].tolist() == [(3, 3)] * 2
    assert table["hours"].sum() == pytest.approx(48 / 3600)


def test_alike_counts_others_of_one_tempo_and_one_scale():
    def table(*rows):
        return pd.DataFrame(rows, columns=["tempo", "tonic", "mode"])

    same = table((100, "C", "major"), (101, "A", "minor"), (99, "D", "dorian"), (100, "G", "mixolydian"))
    assert portrait.alike(same) == pytest.approx(63)
    assert portrait.alike(same, others=10) == pytest.approx(10)
    assert portrait.alike(table((100, "C", "major"), (100, "A", "major"))) == 0
    assert portrait.alike(table((100, "C", "major"), (110, "C", "major"))) == 0
    half = table((100, "C", "major"), (100, "C", "major"), (150, "C", "major"))
    assert portrait.alike(half, others=3) == pytest.approx(1)  # two of six ordered pairs
    assert np.isnan(portrait.alike(table((100, "C", "major"))))


def test_notes_drums_and_picture_share_time_and_notes_their_pitch(tracks):
    figure = plots_corpora.roll_and_picture(portrait.passage(tracks[0], 10.0, 6.0))
    roll, drums, picture = figure.axes
    assert roll.get_xlim() == drums.get_xlim() == picture.get_xlim() == (0, 6)
    assert roll.get_ylim() == picture.get_ylim()
    assert [text.get_text() for text in roll.get_legend().get_texts()] == ["flute", "cello"]
    assert [label.get_text() for label in drums.get_yticklabels()] == ["drum kit"]
    drawn = {collection.get_label(): collection.get_segments() for collection in roll.collections}
    np.testing.assert_allclose(drawn["cello"][0], [(2, 57), (6, 57)])
    assert [text.get_text() for text in roll.texts] == ["A min", "E 7"]
    assert len(picture.images) == 1


def test_the_loudest_row_of_the_picture_is_drawn_at_the_pitch_of_the_note(tracks):
    image = plots_corpora.roll_and_picture(portrait.passage(tracks[0], 0.0, 4.0)).axes[-1].images[0]
    low, high = image.get_extent()[2:]
    rows = image.get_array()
    centre = low + (np.asarray(rows).mean(axis=1).argmax() + 0.5) * (high - low) / len(rows)
    assert centre == pytest.approx(69)


def test_without_notes_there_is_the_picture_alone(tracks):
    known = portrait.passage(tracks[0], 0.0, 4.0)
    bare = portrait.Passage("x", 4.0, known.picture, ("mix",), None, (False,), known.beats, ())
    assert len(plots_corpora.roll_and_picture(bare).axes) == 1


def test_every_piece_is_in_every_distribution(tracks):
    table = portrait.measures(tracks).assign(loudness=[-20.0, -90.0])  # the second one below the axis
    bare = table.assign(density=np.nan)
    panels = np.reshape(plots_corpora.distributions({"tiny": table, "bare": bare}).axes, (2, 5))
    for axes in panels[0]:
        assert sum(patch.get_height() for patch in axes.patches) == 2
    assert panels[1, 1].get_xticklabels()[9].get_text() == "A"
    assert panels[0, 1].patches[2 * 12 + 9].get_height() == 1  # minor is the third mode, A the tenth tonic
    assert not panels[1, 4].patches
    assert panels[1, 4].texts[0].get_text() == "not kept"


def table_of(page, header):
    """Cells by the first one of their row, of a page's first table with such a line in it."""
    lines = (PACKAGE.parent / "book" / page).read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(header))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in takewhile(bool, lines[first:])]
    return {row[0]: row[1:] for row in rows}


def test_the_pages_count_pieces_as_the_corpora_do():
    splits = {name: Counter(corpus.pieces().values()) for name, corpus in CORPORA.items()}
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
