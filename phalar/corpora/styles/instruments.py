"""What may play: General MIDI instruments that the sampler plays in tune, and the keys each is asked for.

Left out is what TimGM6mb plays out of tune (celesta, glockenspiel, music box, tubular bells in part) or hardly at all.
Organs sound an octave below too, as a sixteen-foot stop does.
"""

from dataclasses import dataclass

from phalar.errors import InputError


@dataclass(frozen=True)
class Instrument:
    """A General MIDI ``program`` counted from 0 (of bank 128 if ``drums``), and its lowest and highest key in use."""

    name: str
    program: int
    low: int
    high: int
    drums: bool = False


INSTRUMENTS = {
    name: Instrument(name, program, low, high)
    for name, program, low, high in (
        ("acoustic piano", 0, 40, 96),
        ("bright piano", 1, 40, 96),
        ("honky-tonk piano", 3, 45, 91),
        ("electric piano", 4, 40, 91),
        ("harpsichord", 6, 41, 89),
        ("clavinet", 7, 40, 84),
        ("vibraphone", 11, 53, 89),
        ("marimba", 12, 48, 91),
        ("xylophone", 13, 60, 91),
        ("drawbar organ", 16, 40, 84),
        ("rock organ", 18, 40, 84),
        ("reed organ", 20, 40, 84),
        ("accordion", 21, 48, 72),
        ("harmonica", 22, 55, 86),
        ("steel guitar", 25, 40, 83),
        ("clean guitar", 27, 40, 83),
        ("muted guitar", 28, 40, 83),
        ("overdriven guitar", 29, 40, 86),
        ("distorted guitar", 30, 40, 86),
        ("acoustic bass", 32, 28, 55),
        ("finger bass", 33, 28, 55),
        ("fretless bass", 35, 28, 55),
        ("slap bass", 36, 28, 55),
        ("deep synth bass", 39, 28, 55),
        ("violin", 40, 55, 93),
        ("viola", 41, 48, 84),
        ("pizzicato strings", 45, 43, 86),
        ("harp", 46, 40, 91),
        ("string ensemble", 48, 43, 88),
        ("slow strings", 49, 43, 88),
        ("synth strings", 50, 43, 88),
        ("trumpet", 56, 55, 84),
        ("trombone", 57, 40, 72),
        ("tuba", 58, 28, 55),
        ("horn", 60, 43, 77),
        ("brass section", 61, 46, 82),
        ("alto saxophone", 65, 50, 80),
        ("tenor saxophone", 66, 45, 76),
        ("oboe", 68, 58, 88),
        ("clarinet", 71, 50, 88),
        ("piccolo", 72, 74, 98),
        ("flute", 73, 60, 93),
        ("recorder", 74, 60, 91),
        ("pan flute", 75, 60, 91),
        ("square lead", 80, 48, 89),
        ("saw lead", 81, 48, 89),
        ("warm pad", 89, 43, 84),
        ("polysynth", 90, 43, 84),
        ("banjo", 105, 50, 86),
        ("fiddle", 110, 55, 93),
        ("steel drum", 114, 60, 86),
    )
}
"""Melodic instruments by name."""

KITS = {
    name: Instrument(name, program, 27, 87, drums=True)
    for name, program in (
        ("drum kit", 0),
        ("room drum kit", 8),
        ("808 drum machine", 25),
        ("jazz drum kit", 32),
    )
}
"""Drum kits by name."""

HANDS = {
    name: Instrument(name, 0, 27, 87, drums=True) for name in ("tambourine", "shaker", "congas", "bongos", "hand claps")
}
"""Hand percussion by name; all of it lies in the standard kit."""


def instrument(name: str) -> Instrument:
    """Look an instrument up by name.

    Raises
    ------
    InputError
        If there is none.
    """
    found = INSTRUMENTS.get(name) or KITS.get(name) or HANDS.get(name)
    if found is None:
        raise InputError(f"no instrument {name!r}: choose one of {', '.join([*INSTRUMENTS, *KITS, *HANDS])}")
    return found
