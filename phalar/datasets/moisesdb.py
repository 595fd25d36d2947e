"""MoisesDB (Pereira et al. 2023): 240 songs, recorded in a studio, each source in a file of its own.

Layout: ``[train|valid|test/]SONG/STEM/SOURCE.wav`` and ``SONG/data.json``, where a song and a source are named by
UUIDs. Taught in ``book/datasets.md``.
"""

import random
import re
from functools import cache
from itertools import chain
from pathlib import Path

from phalar.datasets.listing import SPLIT_FOLDERS, Entries, Found, Survey, printable, survey
from phalar.datasets.sources import Dataset, Listing, SourceStem
from phalar.errors import InputError

_IDS = """
014f3712 01c8ba69 028c6f6a 02ee37da 0358fd1e 04204031 045dcfd1 046ab651 04798708 04f22a24 05b0ab77 05e7af85 06114cc2
06bfc6e7 07c17c22 07fb2df2 0a589d65 0d528a19 0e0d57cd 0f5fb60c 11845abc 125fc63d 13f233aa 152d4f5d 169628c5 16fb6c39
174a115f 1921a83e 1a32e987 1ade22ad 1afe1b3b 1e957e76 1ee489e8 1f98fe4d 1fc37390 212bb137 215391aa 21ce1331 22d265ef
22ea41a3 24f8a652 25516a0f 25789239 25be35fb 260c431b 28748b6e 2973adc9 2a3fd99d 2b4e8304 2c020edb 2d39a32d 2dc237cd
2e5d996d 30cfc60a 312bec8d 322f4d9d 334ed0e5 33b1d4e9 35983cdd 35a19148 36ee7fc6 378742ba 390b4fea 3a047d1a 3a6023c3
3c3b5fdb 3c557409 3e389000 3e41f238 3e656eec 3e7985e5 3f5233cb 4380ad97 43ca388d 444fcc6d 46bc5393 4857878a 48c78ca6
491c1ff5 49478a32 4999a0bf 49ed7cef 4a896cde 4b9f86f4 4cbd6c36 524ab371 53808b95 553048ce 5640831d 58efddfb 58fa04aa
5a6df5c7 5f04798d 6031b120 606e3380 63b68795 64549dc5 664cc931 6681f493 69dff382 6a67c964 6b168ae6 6b48c9de 6c70d5e0
6cd44645 6ce087b4 6ceda40a 6de41c50 6e50565e 704f1de9 7180bffa 72c6f013 731893c6 737356b2 73efd911 747d5c98 7524054e
75be2864 763641c7 765d5131 78ef22ce 793b98a0 7a9f3169 7ba734f0 7bfa233c 7dd515b0 7e74ce11 7efcb55d 8042b88a 810d7318
825f697d 8427760a 87a5da23 8804c154 88b545e5 89c515c9 89f2c781 8a307c5d 8a6c9c1f 8b83ba75 8ba20549 8ce11544 8e2d0c5c
8f36f17f 92ba4404 93dda0e8 94fafb2a 95378cf3 9653a690 97b07e0e 9ac2612b 9c8a5c66 9ce23a79 9eb8bc50 9efa702f 9f581867
a0b9a4e4 a199697c a1dcaeb2 a56d9450 aa600069 aaf0fc7b ad6c3742 ad9bbefc adb5e3fd aefc1609 afca84b2 b207da3d b876b54b
b8a79d39 b8d6f3eb b92cb1ca bacbb01f baea951d bb45cf1a bb6d72a2 bbf40b5a bc1f2967 bc964128 bd065894 bdcc429e bdd109ec
c228818e c2330200 c2ba72ec c6d73235 c70471f9 c8752696 c8f42ad5 ca080447 cc3e4991 cc7f7675 cda46831 cff5bcde d028d7c2
d2401d3d d4262245 d45bb3a6 d4df499c d4fe2408 d624037a d7d28204 d890ff35 d8f0e410 dbb07bdc dc61c44e dda2c057 de22c812
dfb0e076 e1108928 e2ccbc17 e2e4ce50 e37cdb09 e3ab3975 e4de8632 e62afdcd e9336d31 ea29ab4d ea898682 ebea0f1d ed7576a1
ed90a89a ee082817 ef1510e0 f0101ed8 f0c565c5 f40ffd10 f4b735de f4d79498 f76e2c13 f97e0ccd f9a1d21b f9e58f4d fa46f72c
faad432d fac94d9a fc3c9e48 fcd1937f fd6e4b4a fe3ae408
"""

SONGS = tuple(_IDS.split())
"""The first eight digits of every song's id, in order. Kept, so that the split of an incomplete copy is the same."""

UNITS = ("source", "stem")

_SONG = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@cache
def published_split() -> dict[str, str]:
    """Split of every song, by the first eight digits of its id, as PHALAR and COCOLA make it.

    The sorted ids are shuffled by Python's generator seeded with 42, and cut after 80 % and 90 %: 192, 24 and 24 songs.
    """
    songs = list(SONGS)
    random.Random(42).shuffle(songs)
    train, valid = int(0.8 * len(songs)), int(0.1 * len(songs))
    splits = ["train"] * train + ["valid"] * valid + ["test"] * (len(songs) - train - valid)
    return dict(zip(songs, splits, strict=True))


def list_tracks(root: Path, unit: str = "source") -> Listing:
    """List a copy of MoisesDB.

    Songs moved into split folders have the split of their folder. Otherwise they have the published split, which does
    not depend on what else is there.

    Parameters
    ----------
    root : Path
        The folder of the songs or of the splits, or one above.
    unit : {"source", "stem"}
        ``"source"``, as PHALAR and COCOLA have it: every file is a stem (kick and snare are two). ``"stem"``, as the
        official library has it: the files of one stem folder (all drums) are summed. Scores of the two do not compare.

    Returns
    -------
    Listing
        Stems are named by their ``trackType`` (``"kick_drum"``) or their folder (``"drums"``); tag ``stem_names``
        gives the folder of each.

    Raises
    ------
    InputError
        If there is no song under ``root``, or no such unit.
    """
    if unit not in UNITS:
        raise InputError(f"unit={unit!r} is none of {', '.join(UNITS)}")
    copy = survey(root)
    place = copy.locate(_holds_songs, "folders named by UUIDs, or train, valid and test with such folders in them")
    return copy.listing("moisesdb", [(song, *_read(copy, song, unit)) for song in _songs(copy, place)])


def _holds_songs(entries: Entries) -> bool:
    return any(_SONG.fullmatch(name) or name.lower() in SPLIT_FOLDERS for name in entries.folders)


def _songs(copy: Survey, place: Path) -> list[Found]:
    folders = copy.entries(place).folders
    moved = [song for song in copy.tracks_in_splits(place, folders) if _is_song(copy, song.path)]
    names = {song.name for song in moved}
    flat = []
    for name in folders:
        path, split = place / name, published_split().get(name[:8].lower())
        if name in names:
            copy.leave_out(path, "was moved into a split folder too: only that one is used")
        elif name.lower() in SPLIT_FOLDERS or not _is_song(copy, path):
            continue
        elif split is None:
            copy.leave_out(path, "is not among the 240 songs of MoisesDB v0.1, so it has no published split")
        else:
            flat.append(Found(name, split, path))
    other = [song for song in moved if published_split().get(song.name[:8].lower()) != song.split]
    if other:
        copy.note(place, f"{len(other)} songs, such as {other[0].name}, were moved to another split than the published")
    if not moved and not flat:
        raise InputError(f"{place} holds no song of MoisesDB: expected folders named by UUIDs")
    return moved + flat


def _is_song(copy: Survey, path: Path) -> bool:
    if not _SONG.fullmatch(path.name):
        copy.leave_out(path, "is not named by a UUID, so it is no song")
        return False
    return True


def _read(copy: Survey, song: Found, unit: str) -> tuple[list[SourceStem], dict]:
    entries = copy.entries(song.path)
    about: dict = {}
    if "data.json" in entries.files:
        about = copy.json(song.path / "data.json")
    else:
        copy.note(song.path, "has no data.json: sources are named by their folders")
    kinds = _kinds(about)
    files: dict[str, list[tuple[str, Path]]] = {}
    for stem in entries.folders:
        folder = song.path / stem
        sources = copy.audio_files(folder, copy.entries(folder).files, (".wav", ".flac"))
        files[stem] = [(source, folder / name) for source, name in sources.items()]
        if not sources:
            copy.note(folder, "holds no audio")
    absent = kinds.keys() - {source for source, _ in chain.from_iterable(files.values())}
    if absent:
        example = min(absent)
        text = f"lists {len(absent)} sources without a file, such as {example[:80]!r} ({kinds[example][:80]!r})"
        copy.note(song.path / "data.json", text)
    if unit == "stem":
        stems = [SourceStem(stem, tuple(path for _, path in sources)) for stem, sources in files.items() if sources]
        stem_names = [stem.name for stem in stems]
    else:
        units = [(stem, source, path) for stem, sources in files.items() for source, path in sources]
        stems = [SourceStem(kinds.get(source) or stem, (path,)) for stem, source, path in units]
        stem_names = [stem for stem, _, _ in units]
    stems = [SourceStem(printable(stem.name), stem.files) for stem in stems]
    words = {
        tag: printable(about[key]).strip()
        for tag, key in (("title", "song"), ("artist", "artist"), ("genre", "genre"))
        if isinstance(about.get(key), str)
    }
    return stems, {"title": song.name, **words, "stem_names": [printable(name) for name in stem_names]}


def _kinds(about: dict) -> dict[str, str]:
    """The ``trackType`` of every source that the metadata describe, by id; empty text where it has none.

    One stem's name may come in several entries, and any part may be missing or of another type.
    """
    kinds = {}
    for stem in _objects(about.get("stems")):
        for source in _objects(stem.get("tracks")):
            if isinstance(source.get("id"), str):
                kind = source.get("trackType")
                kinds[source["id"]] = kind.strip() if isinstance(kind, str) else ""
    return kinds


def _objects(value: object) -> list[dict]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


DATASET = Dataset(
    name="moisesdb",
    title="MoisesDB v0.1",
    licence="CC BY-NC-SA 4.0; the audio must not be passed on",
    size="83 GB to download, 120 to 150 GB unpacked (as users report)",
    source="by a form on the research pages of Moises (Music.AI): moisesdb.zip, MD5 13cf74eda129c38b914a51ea79fb1778",
    citation="I. Pereira, F. Araújo, F. Korzeniowski, R. Vogl: MoisesDB: A Dataset for Source Separation Beyond "
    "4-Stems. ISMIR 2023.",
    expected={"train": 192, "valid": 24, "test": 24},
    list=list_tracks,
    options={"unit": ("source", "source: every file is a stem, as in PHALAR; stem: the files of a stem are summed")},
)
