"""GTZAN: a thousand clips of half a minute in ten genres (Tzanetakis and Cook 2002), with beats by other hands.

What is in it, what is wrong with it and what this study does about it: book page *Real data sets*, "GTZAN".
"""

import re
from pathlib import Path

from phalar.datasets.beat_files import Beats, read_beats
from phalar.datasets.listing import KNOWN_FAULT, Entries, Survey, survey
from phalar.datasets.sources import Dataset, Listing, SourceStem, SourceTrack
from phalar.errors import InputError

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")

HEADERS = {".wav": b"RIFF", ".au": b".snd"}
"""First four bytes of a readable clip. Kaggle's ``jazz.00054.wav`` begins otherwise."""

WITHOUT_BEATS = {"reggae.00086"}
"""In the published beat files, which are 999."""

PLACES = (".", "genres", "genres_original", "Data/genres_original")
"""Of the genre folders, below the root."""

ANNOTATION_PLACES = (".", "beats", "annotations/beats", "gtzan/annotations/beats", "jams")
"""Of the annotations, below theirs; the first that has any is used."""

CLIP = re.compile(rf"({'|'.join(GENRES)})\.(\d{{5}})(\.wav|\.au)")
BEAT_FILES = (  # their names, the first form that is there
    re.compile(rf"gtzan_({'|'.join(GENRES)})_(\d{{5}})\.beats"),
    re.compile(rf"({'|'.join(GENRES)})\.(\d{{5}})(?:\.wav|\.au)?\.jams"),
)


def list_tracks(root: Path, annotations: Path | None = None) -> Listing:
    """List a copy of GTZAN. A track is a clip, its one stem is called ``"mix"``, and all of them are for testing.

    Parameters
    ----------
    root : Path
        The folder ``genres`` of the original, ``genres_original`` or ``Data`` of Kaggle's copy, or a folder above.
    annotations : Path, optional
        The folder of the beat annotations: ``.beats`` files (of beat_this_annotations or gtzan_tempo_beat), or the
        ``.jams`` of GTZAN-Rhythm. Without it tracks have no beats.

    Returns
    -------
    Listing
        Ids are ``genre.NNNNN``; the tag is ``genre``. A clip whose beats are missing or unreadable is listed without.

    Raises
    ------
    InputError
        If there is no clip under the root, or no beat annotation under ``annotations``.
    """
    copy = survey(root)
    clips = _clips(copy)
    beat_files = None if annotations is None else _beat_files(Survey(Path(annotations), copy.problems))
    if beat_files is None:
        copy.note(copy.root, "no beats are listed: name the folder of the annotations")
    tracks = []
    for name, path in sorted(clips.items()):
        if fault := _unreadable(path):
            copy.leave_out(path, fault)
            continue
        beats = None if beat_files is None else _beats(copy, name, path, beat_files)
        tags = {"genre": name.split(".")[0]}
        tracks.append(SourceTrack(name, "test", (SourceStem("mix", (path,)),), tags, beats))
    return Listing("gtzan", tuple(tracks), tuple(copy.problems))


def _clips(copy: Survey) -> dict[str, Path]:
    """The file of each clip, by id; ``.wav`` where a clip is there in both forms."""
    for place in PLACES:
        copy.problems.clear()  # of places where no clips are
        found: dict[str, Path] = {}
        for genre in _entries(copy, copy.root / place).folders:
            if genre not in GENRES:
                continue
            for name in _entries(copy, copy.root / place / genre).files:
                path = copy.root / place / genre / name
                if path.suffix.lower() not in HEADERS:
                    continue  # images, features, lists of files
                match = CLIP.fullmatch(name)
                if match is None or match[1] != genre:
                    copy.leave_out(path, f"is not named like {genre}.00000.wav, so it is no clip")
                elif match[3] == ".wav" or f"{genre}.{match[2]}" not in found:
                    found[f"{genre}.{match[2]}"] = path
        if found:
            return found
    raise InputError(
        f"no GTZAN clip under {copy.root}: the folder that holds blues/blues.00000.wav and so on was expected "
        f"(genres, or genres_original in Kaggle's copy), or one above it"
    )


def _entries(copy: Survey, folder: Path) -> Entries:
    """What is in a folder; nothing if there is no such folder."""
    return copy.entries(folder) if folder.is_dir() else Entries([], [])


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            header = file.read(4)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    expected = HEADERS[path.suffix]
    return None if header == expected else f"is no sound file: it begins with {header!r} instead of {expected!r}"


def _beat_files(copy: Survey) -> dict[str, Path]:
    """The annotation of each clip, by the clip's id: one form, from one place."""
    for place in ANNOTATION_PLACES:
        names = _entries(copy, copy.root / place).files
        for form in BEAT_FILES:
            if matches := [match for name in names if (match := form.fullmatch(name))]:
                return {f"{match[1]}.{match[2]}": copy.root / place / match[0] for match in matches}
    raise InputError(
        f"no beats of GTZAN under {copy.root}: a folder of files like gtzan_blues_00000.beats or "
        f"blues.00000.wav.jams was expected"
    )


def _beats(copy: Survey, name: str, clip: Path, beat_files: dict[str, Path]) -> Beats | None:
    if name in beat_files:
        try:
            return read_beats(beat_files[name])
        except InputError as error:
            copy.leave_out(beat_files[name], f"{error}; the clip {name} is listed without beats")
    else:
        known = KNOWN_FAULT if name in WITHOUT_BEATS else ""
        copy.note(clip, f"{known}no annotation of its beats, so it is listed without")
    return None


DATASET = Dataset(
    name="gtzan",
    title="GTZAN",
    licence="none stated; excerpts of sold recordings, so never pass the audio on (beat annotations: MIT)",
    size="1.2 GB",
    source=(
        "audio: genres.tar.gz of the Marsyas project (MD5 5b3d6dddb579ab49814ab86dba69e7c7), or Kaggle's 'GTZAN "
        "Dataset'; beats: the GitHub repository CPJKU/beat_this_annotations, v1.0, folder gtzan"
    ),
    citation="G. Tzanetakis, P. Cook: Musical genre classification of audio signals. IEEE Transactions on Speech and "
    "Audio Processing 10(5), 2002. Beats: U. Marchand, Q. Fresnel, G. Peeters: GTZAN-Rhythm: Extending the GTZAN "
    "Test-Set with Beat, Downbeat and Swing Annotations. ISMIR late-breaking session, 2015.",
    expected={"test": 1000},
    list=list_tracks,
    options={"annotations": (None, "folder of the beat annotations (.beats files, or GTZAN-Rhythm's .jams)")},
)
