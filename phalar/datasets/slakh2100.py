"""Slakh2100 (Manilow et al. 2019): 2,100 MIDI files played by virtual instruments; the redux, without repeated MIDI.

Layout: ``[train|validation|test/]TrackNNNNN/stems/SNN.flac`` (or wav), and ``TrackNNNNN/metadata.yaml``. The full set
at 44.1 kHz, its copy at 16 kHz and BabySlakh are laid out alike, BabySlakh without splits. Taught in
``book/datasets.md``.
"""

import re
from pathlib import Path

from phalar.datasets.listing import KNOWN_FAULT, SPLIT_FOLDERS, Entries, Found, Survey, survey
from phalar.datasets.sources import Dataset, Listing, SourceStem
from phalar.errors import InputError

_NUMBERS = """
49 77 146 170 212 232 240 251 256 280 296 299 350 356 365 366 386 401 422 424 425 450 470 476 486 495 504 521 536
539 554 566 602 611 613 620 623 640 642 646 647 675 678 688 697 699 706 714 715 719 720 732 744 750 757 762 764 773
790 796 800 810 820 821 829 833 847 848 851 862 877 884 895 899 916 919 925 933 934 935 942 956 960 961 962 964 969
981 982 990 997 1000 1011 1020 1028 1046 1052 1061 1066 1067 1068 1071 1079 1081 1087 1090 1093 1099 1109 1111 1116
1117 1120 1129 1130 1132 1133 1137 1139 1140 1143 1144 1147 1152 1156 1162 1169 1171 1176 1179 1180 1182 1186 1187
1189 1191 1200 1207 1209 1210 1219 1220 1227 1230 1233 1235 1239 1240 1248 1256 1261 1282 1283 1289 1291 1292 1294
1295 1299 1304 1305 1306 1308 1312 1316 1317 1319 1325 1326 1329 1338 1344 1345 1348 1352 1357 1371 1372 1378 1391
1400 1402 1407 1410 1412 1416 1417 1423 1424 1429 1435 1436 1438 1441 1442 1444 1445 1446 1447 1450 1455 1467 1469
1470 1472 1478 1484 1490 1493 1498 1499 1506 1534 1535 1536 1538 1541 1543 1544 1547 1549 1550 1553 1555 1562 1567
1569 1572 1577 1585 1587 1593 1596 1600 1601 1603 1608 1609 1610 1617 1627 1633 1636 1637 1638 1640 1648 1651 1658
1663 1667 1668 1669 1671 1673 1680 1682 1683 1684 1686 1687 1699 1704 1711 1712 1721 1722 1726 1728 1729 1734 1736
1740 1748 1752 1755 1759 1764 1765 1767 1780 1784 1786 1794 1798 1800 1801 1808 1810 1811 1816 1817 1818 1822 1829
1831 1832 1833 1834 1839 1842 1844 1846 1847 1850 1853 1854 1857 1859 1862 1863 1864 1866 1868 1871 1872 1879 1885
1890 1894 1909 1910 1912 1914 1915 1919 1921 1922 1923 1924 1926 1933 1938 1939 1941 1942 1944 1946 1953 1958 1964
1966 1969 1970 1971 1979 1983 1984 1988 1991 1992 1999 2006 2009 2011 2012 2015 2021 2022 2025 2027 2028 2033 2034
2035 2039 2041 2043 2055 2057 2058 2059 2060 2065 2066 2068 2071 2072 2073 2075 2076 2077 2078 2080 2085 2089 2091
2097 2099 2100
"""

OMITTED = frozenset(f"Track{int(number):05d}" for number in _NUMBERS.split())
"""The 390 tracks that redux leaves out, so that no MIDI file comes twice: needed to list the original layout."""

FAULTS = {
    **dict.fromkeys(
        (
            ("Track00357", "S03"),
            ("Track00377", "S07"),
            ("Track00385", "S00"),
            ("Track00398", "S00"),
            ("Track00400", "S00"),
            ("Track00629", "S01"),
            ("Track00633", "S01"),
            ("Track00749", "S01"),
            ("Track01629", "S00"),
        ),
        "white noise",
    ),
    ("Track01500", "S12"): "one endless tone",
    ("Track01500", "S13"): "one endless tone",
    ("Track01876", "S01"): "notes are missing",
    ("Track01908", "S05"): "notes are missing",
    ("Track01993", "S01"): "notes are missing",
    ("Track02024", "S13"): "notes are missing",
}
"""Stems that are not what their MIDI says, as users of the set reported."""

TWINS = {("Track00022", "S12"): "S11", ("Track00157", "S04"): "S03", ("Track00676", "S08"): "S07"}
"""Stems that are another of the same track, byte for byte: as a wrong answer one would equal the right answer."""

_TRACK = re.compile(r"Track([0-9]{5})")
_STEM = re.compile(r"S[0-9]{1,4}")


def list_tracks(root: Path) -> Listing:
    """List a copy of Slakh2100, in any of its layouts.

    Tracks have the split of their folder, or without split folders the one that redux gives their number. The folder
    ``omitted`` is never opened, and tracks that redux omits are left out wherever they are. What is a stem is decided
    by the audio files alone; metadata, which are wrong in places, only name them.

    Parameters
    ----------
    root : Path
        The folder of the splits or of the tracks, or one above.

    Returns
    -------
    Listing
        Stems are named by their ``inst_class`` (``"Bass"``), or ``"unknown"``. For each, tag ``programs`` has the name
        of its General MIDI program, ``is_drum`` whether it is a drum kit; tag ``composition`` identifies the MIDI file.

    Raises
    ------
    InputError
        If there is no track under ``root``.
    """
    copy = survey(root)
    layout = "folders Track00001, Track00002, ..., or train, validation and test with such folders in them"
    place = copy.locate(_holds_tracks, layout)
    tracks = _tracks(copy, place)
    if not tracks:
        raise InputError(f"{place} holds no track of Slakh2100: expected {layout}")
    return copy.listing("slakh2100", [(track, *_read(copy, track)) for track in tracks])


def _holds_tracks(entries: Entries) -> bool:
    return any(_TRACK.fullmatch(name) or name.lower() in SPLIT_FOLDERS for name in entries.folders)


def _tracks(copy: Survey, place: Path) -> list[Found]:
    folders = copy.entries(place).folders
    found = copy.tracks_in_splits(place, folders)
    for track in found:
        if not _TRACK.fullmatch(track.name):
            copy.leave_out(track.path, "is not named like Track00001, so it is no track")
    names = {track.name for track in found}
    for name in folders:
        if name in names:
            copy.leave_out(place / name, "is in a split folder too: only that one is used")
        elif match := _TRACK.fullmatch(name):
            found.append(Found(name, _split(int(match[1])), place / name))
    tracks = [track for track in found if _TRACK.fullmatch(track.name)]
    if repeated := sum(track.name in OMITTED for track in tracks):
        copy.note(place, f"{repeated} tracks are left out, as redux leaves them out: their MIDI is that of others")
    return [track for track in tracks if track.name not in OMITTED]


def _split(number: int) -> str:
    return "train" if number <= 1500 else "valid" if number <= 1875 else "test"


def _read(copy: Survey, track: Found) -> tuple[list[SourceStem], dict]:
    entries = copy.entries(track.path)
    folder = track.path / "stems"
    found = copy.entries(folder).files if "stems" in entries.folders else []
    files = copy.audio_files(folder, found, (".flac", ".wav"))
    files = {stem: name for stem, name in files.items() if _STEM.fullmatch(stem)}
    about: dict[str, dict[str, str]] = {}
    if "metadata.yaml" in entries.files:
        about = read_metadata(copy.text(track.path / "metadata.yaml") or "")
        if not about:
            copy.note(track.path / "metadata.yaml", "describes no stem: the stems' names are unknown")
    else:
        copy.note(track.path, "has no metadata.yaml: the stems' names are unknown")
    rendered = {stem for stem, words in about.items() if words.get("audio_rendered") == "true"}
    if absent := sorted(rendered - files.keys()):
        copy.note(folder, f"has no audio of {' '.join(absent)}, though metadata.yaml says that it was rendered")
    for stem in sorted(files):
        twin = TWINS.get((track.name, stem))
        if fault := FAULTS.get((track.name, stem)) or (f"the same audio as {twin}" if twin in files else None):
            copy.leave_out(folder / files.pop(stem), KNOWN_FAULT + fault)
    described = [about.get(stem, {}) for stem in files]
    stems = [
        SourceStem(words.get("inst_class") or words.get("midi_program_name") or "unknown", (folder / name,))
        for name, words in zip(files.values(), described, strict=True)
    ]
    tags = {
        "title": track.name,
        "programs": [words.get("midi_program_name", "unknown") for words in described],
        "is_drum": [words.get("is_drum") == "true" for words in described],
    }
    composition = about.get("", {}).get("UUID")
    return stems, {**tags, "composition": composition} if composition else tags


def read_metadata(text: str) -> dict[str, dict[str, str]]:
    """The entries of a ``metadata.yaml`` of Slakh: for every stem its keys and values as text; for the file under "".

    The files are one key a line in two levels, all written by one program. To read them so is several times as fast as
    PyYAML's parser in C, which also crashes on deep nesting; and one damaged line does not hide the others.
    """
    entries: dict[str, dict[str, str]] = {}
    current = ""
    for match in _LINE.finditer(text):
        indent, key, value = match[1], match[2], match[3].strip()
        if not indent:
            current = ""
        elif not value and _STEM.fullmatch(key):
            current = key
            entries[current] = {}
        if value:
            entries.setdefault(current, {})[key] = _unquoted(value)
    return entries if entries.keys() - {""} else {}


_LINE = re.compile(r"^( *)(\w+):(.*)$", re.MULTILINE)


def _unquoted(value: str) -> str:
    return value[1:-1].strip() if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


DATASET = Dataset(
    name="slakh2100",
    title="Slakh2100 redux",
    licence="CC BY 4.0",
    size="104 GB at 44.1 kHz, 49 GB at 16 kHz (as users report)",
    source="Zenodo record 4599666 (slakh2100_flac_redux.tar.gz, MD5 f4b71b6c45ac9b506f59788456b3f0c4) or 7708270 "
    "(slakh2100_redux_16k.tar.gz); for a first look: 4603870 (babyslakh_16k.tar.gz, 20 tracks)",
    citation="E. Manilow, G. Wichern, P. Seetharaman, J. Le Roux: Cutting Music Source Separation Some Slakh: "
    "A Dataset to Study the Impact of Training Data Quality and Quantity. WASPAA 2019.",
    expected={"train": 1289, "valid": 270, "test": 151},
    list=list_tracks,
)
