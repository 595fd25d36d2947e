"""GuitarSet: a guitarist at a time, accompanying or soloing over a lead sheet, with chords (Xi et al. 2018).

What is in it, what is wrong with it and what this study does about it: book page *Real data sets*, "GuitarSet".
"""

import re
from itertools import zip_longest
from pathlib import Path

from phalar.datasets.beat_files import LONGEST_BAR, Beats, rising
from phalar.datasets.jams import Annotation, Jams, Observation, read_jams
from phalar.datasets.listing import Survey, survey
from phalar.datasets.sources import Dataset, Listing, SourceStem, SourceTrack
from phalar.errors import InputError

ANNOTATIONS, AUDIO = "annotation", "audio_mono-mic"
MODES = ("comp", "solo")
CHORDS = ("instructed", "performed")

TITLE = re.compile(r"(?P<player>\d\d)_(?P<piece>(?P<style>[A-Za-z]+)(?P<progression>\d)-(?P<tempo>\d{2,3})-"
                   r"(?P<key>[A-G][#b]?))_(?P<mode>comp|solo)")  # fmt: skip

OVERLAP = 1e-3  # seconds by which rounding may let chords overlap

Chords = tuple[tuple[float, float, str], ...]


def list_tracks(root: Path, mode: str = "comp", chords: str = "instructed") -> Listing:
    """List a copy of GuitarSet. A track is one take, its one stem is the microphone's, and all are for testing.

    Parameters
    ----------
    root : Path
        The folder in which ``annotation`` and ``audio_mono-mic`` lie, or one above.
    mode : str
        ``"comp"``, the accompaniments (as PHALAR), or ``"solo"``.
    chords : str
        ``"instructed"``, what the lead sheet asks for (as PHALAR), or ``"performed"``, what was inferred from the notes
        played.

    Returns
    -------
    Listing
        An id is the take's name with ``s`` for ``#``; the name itself is the tag ``title``. Other tags: ``player``,
        ``style``, ``progression``, ``tempo`` (BPM), ``key``, and ``piece``, which six players share, chords and all.
        Chord labels are as written. A take whose annotation is missing or unreadable is listed without chords.

    Raises
    ------
    InputError
        If an option has another value, or the two folders are not under the root.
    """
    if mode not in MODES:
        raise InputError(f"mode={mode!r}: choose {' or '.join(MODES)}")
    if chords not in CHORDS:
        raise InputError(f"chords={chords!r}: choose {' or '.join(CHORDS)}")
    copy = survey(root)
    layout = (
        f"the folders {ANNOTATIONS} and {AUDIO}, from annotation.zip and audio_mono-mic.zip, which are flat inside: "
        f"unpack each into a folder of its own"
    )
    place = copy.locate(lambda entries: {ANNOTATIONS, AUDIO} <= set(entries.folders), layout)
    sounds = _takes(copy, place / AUDIO, "_mic.wav", mode)
    notes = _takes(copy, place / ANNOTATIONS, ".jams", mode)
    for title in sorted(notes.keys() - sounds.keys()):
        copy.leave_out(notes[title], f"has no recording: {AUDIO}/{title}_mic.wav is missing")
    tracks = [_track(copy, title, path, notes.get(title), chords) for title, path in sounds.items()]
    return Listing("guitarset", tuple(sorted(tracks, key=lambda track: track.id)), tuple(copy.problems))


def performed(annotation: Annotation) -> bool:
    """Whether a chord annotation is the one inferred from the notes played.

    That one says how it was made; the one of the lead sheet has empty metadata. Their order is not relied on.
    """
    return annotation.data_source != ""


def read_chords(jams: Jams, chords: str) -> Chords:
    """Start, end (seconds) and label of each chord; one without a duration lasts until the next, or the file's end.

    Raises
    ------
    InputError
        If there is not exactly one annotation of the kind, or its chords overlap, have no label, or do not end.
    """
    annotations = [a for a in jams.annotations if a.namespace == "chord" and performed(a) == (chords == "performed")]
    if len(annotations) != 1:
        raise InputError(f"{len(annotations)} chord annotations are of the kind {chords!r} where 1 was expected")
    seen = annotations[0].observations
    if not seen:
        raise InputError(f"the annotation of {chords} chords is empty")
    return tuple(_chord(this, following, jams.duration) for this, following in zip_longest(seen, seen[1:]))


def read_beats(jams: Jams) -> Beats | None:
    """Seconds and number in the bar of each beat, or None where the file has no beat positions."""
    annotations = [a for a in jams.annotations if a.namespace == "beat_position"]
    if len(annotations) > 1:
        raise InputError(f"{len(annotations)} annotations of beat positions where 1 was expected")
    if not annotations or not annotations[0].observations:
        return None
    return rising(tuple((seen.time, _number(seen)) for seen in annotations[0].observations))


def _takes(copy: Survey, folder: Path, ending: str, mode: str) -> dict[str, Path]:
    """Files of the takes of one mode, by title."""
    found = {}
    for name in copy.entries(folder).files:
        if not name.endswith(ending):
            continue
        match = TITLE.fullmatch(name.removesuffix(ending))
        if match is None:
            copy.leave_out(folder / name, f"is not named like 00_BN1-129-Eb_comp{ending}, so it is no take")
        elif match["mode"] == mode:
            found[match[0]] = folder / name
    return found


def _track(copy: Survey, title: str, sound: Path, notes: Path | None, chords: str) -> SourceTrack:
    tags = TITLE.fullmatch(title).groupdict()
    tags |= {"title": title, "progression": int(tags["progression"]), "tempo": int(tags["tempo"])}
    found, beats = None, None
    if notes is None:
        copy.note(sound, f"has no annotation, so it is listed without chords: {ANNOTATIONS}/{title}.jams is missing")
    else:
        try:
            jams = read_jams(notes, ["chord", "beat_position"])
            found, beats = read_chords(jams, chords), read_beats(jams)
        except InputError as error:
            copy.leave_out(notes, f"{error}; the take is listed without chords")
    return SourceTrack(title.replace("#", "s"), "test", (SourceStem("guitar", (sound,)),), tags, beats, found)


def _chord(this: Observation, following: Observation | None, duration: float | None) -> tuple[float, float, str]:
    if not isinstance(this.value, str) or not this.value.strip():
        raise InputError(f"the chord at {this.time} s has the label {this.value!r:.40}")
    limit = duration if following is None else following.time
    end = limit if this.duration is None else this.time + this.duration
    if end is None:
        raise InputError(f"the chord at {this.time} s does not end, and the file does not state its length")
    if following is not None:
        if end > following.time + OVERLAP:
            raise InputError(f"the chord at {this.time} s lasts until {end} s, into the one at {following.time} s")
        end = min(end, following.time)
    if end <= this.time:
        raise InputError(f"the chord at {this.time} s ends at {end} s")
    return this.time, end, this.value


def _number(seen: Observation) -> int:
    number = seen.value.get("position") if isinstance(seen.value, dict) else None
    if number not in range(1, LONGEST_BAR + 1):
        raise InputError(f"the beat at {seen.time} s has the position {number!r:.40}; it counts from 1")
    return int(number)


DATASET = Dataset(
    name="guitarset",
    title="GuitarSet 1.1.0",
    licence="CC BY 4.0",
    size="1.5 h of accompaniment, 0.5 GB unpacked, and the solos",
    source="Zenodo record 3371780: annotation.zip and audio_mono-mic.zip, each to be unpacked into its own folder",
    citation="Q. Xi, R. M. Bittner, J. Pauwels, X. Ye, J. P. Bello: GuitarSet: A Dataset for Guitar Transcription. "
    "ISMIR 2018.",
    expected={"test": 180},
    list=list_tracks,
    options={
        "mode": ("comp", "comp (accompaniments) or solo"),
        "chords": ("instructed", "instructed (lead sheet) or performed (inferred from the notes)"),
    },
)
