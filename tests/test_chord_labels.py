"""Chord labels to classes: mir_eval as the oracle, the published table's flaw, real annotations, the circle."""

from pathlib import Path

import mir_eval
import numpy as np
import pytest

from phalar.corpora import comping
from phalar.corpora.leadsheet import PITCH_CLASSES as WRITTEN
from phalar.datasets.guitarset import read_chords
from phalar.datasets.jams import read_jams
from phalar.errors import InputError
from phalar.evaluate import chord_labels
from phalar.evaluate.chord_labels import OUTSIDE, VOCABULARIES, by_fifths, relation, vocabulary

PERFORMED = ["D#:sus2(7)/1", "G#:maj6(*5)/1", "D#:maj7/1", "F#:7(*5)/b7", "C#:maj/3", "B:min7(11)/b3", "A:5", "E:(1)"]
LABELS = [
    *(f"{root}:{quality}" for root in WRITTEN for quality in ("maj", "min", "7", "maj7", "min7", "hdim7", "dim7")),
    *PERFORMED,
    "N",
    "X",
    "C",
    "B#:min",
    "Cb:maj/5",
]


@pytest.mark.parametrize("name", ["majmin", "sevenths", "root"])
def test_a_label_has_a_class_if_and_only_if_mir_eval_scores_it_and_calls_them_equal(name):
    words, compare = vocabulary(name), getattr(mir_eval.chord, name)
    for label in LABELS:
        equal = [word for word in words.classes if compare([label], [word])[0] == 1]
        index = words.index(label)
        assert [words.classes[index]] * (index != OUTSIDE) == equal, label


def test_classes_are_the_published_number_and_are_their_own_class():
    assert {name: len(words.classes) for name, words in VOCABULARIES.items()} == {
        "published": 25,
        "majmin": 25,
        "root": 13,
        "sevenths": 61,
    }
    for words in VOCABULARIES.values():
        assert words.indices(words.classes).tolist() == list(range(len(words.classes)))
        assert words.classes[0] == "N"


def test_the_published_table_knows_sharp_triads_only_and_calls_all_else_silence():
    words = vocabulary("published")
    assert [words.classes[words.index(label)] for label in ("Bb:maj", "C:7", "B:hdim7", "C:maj/3", "X")] == ["N"] * 5
    assert words.classes[words.index("A#:maj")] == "A#:maj"
    assert words.unlisted(["Bb:maj", "N", "C:7", "Bb:maj", "C:maj"]) == {"Bb:maj": 2, "C:7": 1}
    proper = vocabulary("majmin")
    assert [proper.classes[proper.index(label)] for label in ("Bb:maj", "C:7")] == ["A#:maj", "C:maj"]


def test_what_has_no_class_is_counted_and_never_taken_for_silence():
    labels = ["B:hdim7", "B:hdim7", "C:sus4", "X", "N", "C:min7"]
    for name in ("majmin", "sevenths"):
        words = vocabulary(name)
        assert words.indices(labels).tolist()[:4] == [OUTSIDE] * 4
        assert words.unlisted(labels) == {"B:hdim7": 2, "C:sus4": 1, "X": 1}
    assert vocabulary("root").unlisted(labels) == {"X": 1}


def test_every_label_of_comping_can_be_read():
    qualities = {
        word.partition(":")[2] for page in comping.PROGRESSIONS.values() for word in page.split() if ":" in word
    }
    for quality in qualities:
        for name in ("majmin", "root", "sevenths"):
            vocabulary(name).index(f"Gb:{quality}")
    lost = {quality for quality in qualities if vocabulary("majmin").index(f"C:{quality}") == OUTSIDE}
    assert lost == {"hdim7", "dim7"}


def test_real_annotations_are_read_and_counted():
    folder = Path(__file__).resolve().parents[2] / "shared" / "fixtures" / "guitarset" / "annotation"
    if not folder.is_dir():
        pytest.skip(f"the samples of GuitarSet are not at {folder}")
    jams = read_jams(folder / "00_BN1-129-Eb_comp.jams", ["chord"])
    asked = [label for _, _, label in read_chords(jams, "instructed")]
    played = [label for _, _, label in read_chords(jams, "performed")]
    assert asked == ["D#:maj", "G#:maj", "D#:maj", "A#:maj", "G#:maj", "D#:maj"]
    majmin = vocabulary("majmin")
    assert [majmin.classes[i] for i in majmin.indices(asked)] == asked
    assert majmin.unlisted(played) == {"D#:sus2(7)/1": 1, "G#:maj6(*5)/1": 1, "G#:maj6(2,b5,*5)/1": 1}
    assert sum(vocabulary("published").unlisted(played).values()) == len(played), "all of them carry a bass"
    assert not vocabulary("root").unlisted(played)


def test_what_is_no_label_is_refused_by_name():
    with pytest.raises(InputError, match="'H:maj' cannot be read"):
        vocabulary("majmin").index("H:maj")
    with pytest.raises(InputError, match="'triads'; choose from published, majmin, root, sevenths"):
        vocabulary("triads")


def test_the_circle_of_fifths_puts_relatives_below_their_majors_and_fifths_side_by_side():
    classes = vocabulary("majmin").classes
    order = [classes[k] for k in by_fifths(classes)]
    assert sorted(order) == sorted(classes)
    assert order[:4] == ["C:maj", "G:maj", "D:maj", "A:maj"]
    assert order[12:15] == ["A:min", "E:min", "B:min"]
    for k in range(12):
        assert relation(order[k], order[k + 12]) == relation(order[k + 12], order[k]) == "relative"
        assert relation(order[k], order[(k + 1) % 12]) == "a fifth away"
        assert relation(order[12 + (k + 1) % 12], order[k + 12]) == "a fifth away"


@pytest.mark.parametrize(
    ("truth", "guess", "name"),
    [
        ("C:maj", "C:maj", "right"),
        ("C:maj", "C:min", "parallel"),
        ("C:maj", "F#:maj", "other"),
        ("C:maj", "E:min", "other"),
        ("N", "C:maj", "N or a chord"),
        ("C:min", "N", "N or a chord"),
        ("N", "N", "right"),
    ],
)
def test_relations_have_their_names(truth, guess, name):
    assert relation(truth, guess) == name


def test_relatives_share_two_notes_of_three():
    classes = [label for label in vocabulary("majmin").classes if label != "N"]
    notes = {label: _notes(label) for label in classes}
    for truth in classes:
        relatives = [guess for guess in classes if relation(truth, guess) == "relative"]
        assert len(relatives) == 1
        assert len(notes[truth] & notes[relatives[0]]) == 2
        fifths = [guess for guess in classes if relation(truth, guess) == "a fifth away"]
        assert [len(notes[truth] & notes[guess]) for guess in fifths] == [1, 1]


def _notes(label: str) -> set[int]:
    root, semitones = chord_labels.encoded(label)
    return {(root + step) % 12 for step in np.flatnonzero(semitones)}
