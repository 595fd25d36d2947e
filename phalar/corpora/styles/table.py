"""The styles: tempo, swing, harmony, and who plays."""

from dataclasses import dataclass

STRINGS = ("string ensemble", "slow strings", "synth strings")


@dataclass(frozen=True)
class Style:
    """What a band knows of a style before it sees the tune.

    Attributes
    ----------
    family : str
        Metres it fits: ``"duple"``, ``"triple"`` or ``"compound"``.
    bpm : tuple of int
        Tempi it is played at: beats a minute (a quarter note; in compound metres a dotted one). Few, and many shared
        between styles, so that a tempo does not tell which piece it is.
    swing : float
        Where the second half of a beat falls.
    colour : str
        How the tune is harmonised (``phalar.corpora.tunes``).
    drums, bass, lead, counter : tuple of str
        Instruments to choose from.
    rhythm : tuple of (str, tuple of str)
        Role and instruments of those who play the chords; the first is always there.
    extras : tuple of (str, tuple of str)
        Likewise, who else may join.
    """

    family: str
    bpm: tuple[int, ...]
    swing: float
    colour: str
    drums: tuple[str, ...]
    bass: tuple[str, ...]
    rhythm: tuple[tuple[str, tuple[str, ...]], ...]
    extras: tuple[tuple[str, tuple[str, ...]], ...]
    lead: tuple[str, ...]
    counter: tuple[str, ...]


STYLES = {
    "rock": Style(
        family="duple",
        bpm=(108, 120, 132, 144),
        swing=0.5,
        colour="pop",
        drums=("drum kit", "room drum kit"),
        bass=("finger bass",),
        rhythm=(
            ("strum", ("overdriven guitar", "steel guitar", "clean guitar")),
            ("comp", ("rock organ", "acoustic piano", "bright piano")),
        ),
        extras=(
            ("riff", ("distorted guitar", "overdriven guitar", "saw lead")),
            ("pad", STRINGS),
            ("arpeggio", ("clean guitar", "muted guitar")),
            ("percussion", ("tambourine", "hand claps")),
        ),
        lead=("overdriven guitar", "distorted guitar", "alto saxophone", "harmonica", "saw lead"),
        counter=("rock organ", "violin", "clean guitar", "trumpet"),
    ),
    "pop": Style(
        family="duple",
        bpm=(96, 108, 120),
        swing=0.5,
        colour="pop",
        drums=("drum kit", "room drum kit", "808 drum machine"),
        bass=("finger bass", "deep synth bass"),
        rhythm=(
            ("comp", ("acoustic piano", "electric piano", "bright piano")),
            ("strum", ("steel guitar", "clean guitar")),
        ),
        extras=(
            ("pad", ("synth strings", "warm pad", "string ensemble")),
            ("arpeggio", ("polysynth", "clean guitar", "muted guitar", "marimba")),
            ("riff", ("square lead", "brass section", "clavinet")),
            ("percussion", ("shaker", "tambourine")),
        ),
        lead=("flute", "square lead", "clean guitar", "alto saxophone", "saw lead", "violin"),
        counter=("string ensemble", "horn", "clarinet", "polysynth"),
    ),
    "funk": Style(
        family="duple",
        bpm=(96, 108),
        swing=0.5,
        colour="blues",
        drums=("drum kit", "room drum kit"),
        bass=("slap bass", "finger bass", "deep synth bass"),
        rhythm=(("strum", ("clean guitar", "muted guitar")), ("comp", ("clavinet", "electric piano", "drawbar organ"))),
        extras=(
            ("riff", ("brass section", "muted guitar", "clavinet")),
            ("pad", ("synth strings", "warm pad")),
            ("percussion", ("congas", "shaker", "hand claps")),
        ),
        lead=("alto saxophone", "tenor saxophone", "trumpet", "saw lead", "square lead"),
        counter=("trombone", "brass section", "electric piano"),
    ),
    "swing": Style(
        family="duple",
        bpm=(120, 132, 144, 168),
        swing=0.64,
        colour="jazz",
        drums=("jazz drum kit",),
        bass=("acoustic bass",),
        rhythm=(("comp", ("acoustic piano", "clean guitar", "vibraphone")), ("strum", ("clean guitar",))),
        extras=(
            ("pad", ("brass section", "string ensemble")),
            ("riff", ("brass section", "trombone", "clarinet")),
            ("arpeggio", ("vibraphone",)),
        ),
        lead=("trumpet", "tenor saxophone", "alto saxophone", "clarinet", "vibraphone", "trombone"),
        counter=("tenor saxophone", "trombone", "clarinet", "flute"),
    ),
    "bossa": Style(
        family="duple",
        bpm=(120, 132, 144),
        swing=0.5,
        colour="jazz",
        drums=("jazz drum kit", "drum kit"),
        bass=("acoustic bass", "fretless bass"),
        rhythm=(("strum", ("steel guitar",)), ("comp", ("electric piano", "acoustic piano", "vibraphone"))),
        extras=(("pad", STRINGS), ("percussion", ("shaker", "congas")), ("arpeggio", ("steel guitar", "harp"))),
        lead=("flute", "tenor saxophone", "clean guitar", "clarinet", "trumpet"),
        counter=("flute", "string ensemble", "horn", "vibraphone"),
    ),
    "reggae": Style(
        family="duple",
        bpm=(72, 84),
        swing=0.58,
        colour="pop",
        drums=("drum kit", "room drum kit"),
        bass=("finger bass", "deep synth bass"),
        rhythm=(
            ("strum", ("clean guitar", "muted guitar")),
            ("comp", ("drawbar organ", "acoustic piano", "rock organ")),
        ),
        extras=(
            ("riff", ("muted guitar", "brass section", "clavinet")),
            ("pad", ("warm pad", "synth strings")),
            ("percussion", ("bongos", "shaker", "congas")),
        ),
        lead=("trombone", "trumpet", "tenor saxophone", "square lead", "steel drum"),
        counter=("trombone", "alto saxophone", "drawbar organ"),
    ),
    "disco": Style(
        family="duple",
        bpm=(108, 120, 132),
        swing=0.5,
        colour="pop",
        drums=("drum kit", "808 drum machine", "room drum kit"),
        bass=("finger bass", "deep synth bass", "slap bass"),
        rhythm=(
            ("strum", ("clean guitar", "muted guitar")),
            ("comp", ("electric piano", "acoustic piano", "clavinet")),
        ),
        extras=(
            ("pad", ("synth strings", "string ensemble")),
            ("riff", ("brass section", "string ensemble", "saw lead")),
            ("percussion", ("congas", "tambourine", "hand claps")),
            ("arpeggio", ("polysynth", "saw lead")),
        ),
        lead=("string ensemble", "trumpet", "square lead", "flute", "saw lead"),
        counter=("brass section", "synth strings", "horn"),
    ),
    "country": Style(
        family="duple",
        bpm=(96, 108, 120, 132),
        swing=0.5,
        colour="folk",
        drums=("drum kit", "jazz drum kit"),
        bass=("acoustic bass", "finger bass"),
        rhythm=(("strum", ("steel guitar",)), ("comp", ("honky-tonk piano", "acoustic piano"))),
        extras=(
            ("arpeggio", ("banjo", "clean guitar")),
            ("pad", ("string ensemble", "accordion")),
            ("riff", ("clean guitar", "banjo")),
        ),
        lead=("fiddle", "harmonica", "clean guitar", "banjo"),
        counter=("fiddle", "harmonica", "viola", "clean guitar"),
    ),
    "ballad": Style(
        family="duple",
        bpm=(60, 72, 84),
        swing=0.5,
        colour="pop",
        drums=("drum kit", "room drum kit", "jazz drum kit"),
        bass=("fretless bass", "finger bass", "acoustic bass"),
        rhythm=(("comp", ("acoustic piano", "electric piano")), ("strum", ("steel guitar",))),
        extras=(
            ("pad", ("slow strings", "string ensemble", "warm pad")),
            ("arpeggio", ("steel guitar", "harp", "clean guitar", "acoustic piano")),
            ("percussion", ("shaker",)),
        ),
        lead=("oboe", "tenor saxophone", "violin", "flute", "clarinet", "alto saxophone"),
        counter=("viola", "horn", "clarinet"),
    ),
    "metal": Style(
        family="duple",
        bpm=(120, 132, 144, 168),
        swing=0.5,
        colour="modal",
        drums=("room drum kit",),
        bass=("finger bass",),
        rhythm=(("strum", ("distorted guitar",)), ("strum", ("overdriven guitar",))),
        extras=(
            ("riff", ("distorted guitar", "overdriven guitar")),
            ("pad", ("synth strings", "string ensemble")),
            ("arpeggio", ("clean guitar", "harpsichord", "saw lead")),
            ("comp", ("rock organ",)),
        ),
        lead=("distorted guitar", "overdriven guitar", "saw lead"),
        counter=("overdriven guitar", "saw lead", "violin"),
    ),
    "hip-hop": Style(
        family="duple",
        bpm=(84, 96),
        swing=0.56,
        colour="blues",
        drums=("808 drum machine", "room drum kit"),
        bass=("deep synth bass", "fretless bass"),
        rhythm=(
            ("comp", ("electric piano", "acoustic piano", "clean guitar")),
            ("riff", ("pizzicato strings", "muted guitar", "vibraphone", "square lead")),
        ),
        extras=(
            ("pad", ("warm pad", "synth strings", "slow strings")),
            ("arpeggio", ("harp", "steel guitar", "marimba")),
            ("percussion", ("shaker", "hand claps", "congas")),
        ),
        lead=("square lead", "flute", "saw lead", "trumpet", "clean guitar"),
        counter=("synth strings", "vibraphone", "viola"),
    ),
    "latin": Style(
        family="duple",
        bpm=(168, 180, 192),
        swing=0.5,
        colour="modal",
        drums=("drum kit", "jazz drum kit"),
        bass=("acoustic bass", "finger bass"),
        rhythm=(("comp", ("acoustic piano", "bright piano")), ("strum", ("steel guitar",))),
        extras=(
            ("percussion", ("congas", "bongos", "shaker")),
            ("riff", ("brass section", "trumpet", "marimba")),
            ("pad", ("string ensemble",)),
            ("percussion", ("shaker",)),
        ),
        lead=("trumpet", "flute", "trombone", "steel drum", "tenor saxophone"),
        counter=("trombone", "tenor saxophone", "brass section"),
    ),
    "march": Style(
        family="duple",
        bpm=(108, 120),
        swing=0.5,
        colour="folk",
        drums=("drum kit", "room drum kit"),
        bass=("tuba",),
        rhythm=(("comp", ("horn", "brass section", "accordion")), ("comp", ("trombone", "brass section"))),
        extras=(
            ("pad", ("brass section", "string ensemble")),
            ("arpeggio", ("clarinet", "xylophone")),
            ("percussion", ("tambourine",)),
        ),
        lead=("trumpet", "piccolo", "clarinet", "flute"),
        counter=("trombone", "clarinet", "horn", "flute"),
    ),
    "ska": Style(
        family="duple",
        bpm=(132, 144, 156),
        swing=0.5,
        colour="pop",
        drums=("drum kit", "room drum kit"),
        bass=("finger bass", "acoustic bass"),
        rhythm=(("strum", ("clean guitar",)), ("comp", ("drawbar organ", "acoustic piano", "rock organ"))),
        extras=(
            ("riff", ("brass section", "trombone", "tenor saxophone")),
            ("percussion", ("tambourine",)),
            ("pad", ("rock organ", "brass section")),
        ),
        lead=("trumpet", "tenor saxophone", "trombone"),
        counter=("trombone", "alto saxophone", "tenor saxophone"),
    ),
    "blues": Style(
        family="duple",
        bpm=(84, 96, 108, 120),
        swing=0.66,
        colour="blues",
        drums=("drum kit", "room drum kit", "jazz drum kit"),
        bass=("finger bass", "acoustic bass"),
        rhythm=(
            ("strum", ("steel guitar", "overdriven guitar", "clean guitar")),
            ("comp", ("acoustic piano", "drawbar organ", "honky-tonk piano")),
        ),
        extras=(
            ("riff", ("clean guitar", "brass section", "tenor saxophone")),
            ("pad", ("drawbar organ", "rock organ")),
            ("percussion", ("tambourine", "hand claps")),
        ),
        lead=("harmonica", "overdriven guitar", "tenor saxophone", "clean guitar"),
        counter=("tenor saxophone", "harmonica", "drawbar organ"),
    ),
    "folk": Style(
        family="duple",
        bpm=(84, 96, 108, 120),
        swing=0.5,
        colour="folk",
        drums=("jazz drum kit", "drum kit"),
        bass=("acoustic bass",),
        rhythm=(("strum", ("steel guitar",)), ("comp", ("accordion", "harp", "reed organ"))),
        extras=(
            ("arpeggio", ("steel guitar", "banjo", "harp")),
            ("pad", ("reed organ", "string ensemble")),
            ("percussion", ("bongos", "shaker", "tambourine", "hand claps")),
        ),
        lead=("fiddle", "recorder", "flute", "pan flute", "clarinet"),
        counter=("fiddle", "recorder", "viola", "oboe"),
    ),
    "waltz": Style(
        family="triple",
        bpm=(156, 168, 180),
        swing=0.5,
        colour="folk",
        drums=("jazz drum kit", "drum kit"),
        bass=("acoustic bass", "tuba"),
        rhythm=(("comp", ("accordion", "acoustic piano", "horn")), ("strum", ("steel guitar",))),
        extras=(
            ("pad", ("string ensemble", "slow strings")),
            ("arpeggio", ("harp", "pizzicato strings")),
            ("percussion", ("tambourine",)),
        ),
        lead=("violin", "clarinet", "flute", "oboe", "trumpet"),
        counter=("viola", "horn", "clarinet"),
    ),
    "jazz waltz": Style(
        family="triple",
        bpm=(132, 144, 156, 168),
        swing=0.62,
        colour="jazz",
        drums=("jazz drum kit",),
        bass=("acoustic bass",),
        rhythm=(("comp", ("acoustic piano", "clean guitar", "electric piano")), ("strum", ("clean guitar",))),
        extras=(
            ("pad", ("string ensemble", "warm pad")),
            ("riff", ("trombone", "vibraphone")),
            ("arpeggio", ("vibraphone", "harp")),
        ),
        lead=("tenor saxophone", "trumpet", "flute", "vibraphone", "alto saxophone"),
        counter=("clarinet", "trombone", "alto saxophone"),
    ),
    "country waltz": Style(
        family="triple",
        bpm=(96, 108, 120),
        swing=0.5,
        colour="folk",
        drums=("drum kit", "jazz drum kit"),
        bass=("acoustic bass", "finger bass"),
        rhythm=(("strum", ("steel guitar",)), ("comp", ("honky-tonk piano", "accordion", "acoustic piano"))),
        extras=(
            ("arpeggio", ("banjo", "clean guitar", "steel guitar")),
            ("pad", ("string ensemble", "reed organ")),
            ("percussion", ("tambourine", "shaker")),
        ),
        lead=("fiddle", "harmonica", "clean guitar"),
        counter=("fiddle", "viola", "accordion"),
    ),
    "slow waltz": Style(
        family="triple",
        bpm=(72, 84, 96),
        swing=0.5,
        colour="pop",
        drums=("drum kit", "room drum kit", "jazz drum kit"),
        bass=("fretless bass", "finger bass"),
        rhythm=(("comp", ("acoustic piano", "electric piano")), ("strum", ("steel guitar",))),
        extras=(
            ("pad", ("slow strings", "warm pad", "string ensemble")),
            ("arpeggio", ("clean guitar", "steel guitar", "harp")),
            ("percussion", ("shaker",)),
        ),
        lead=("oboe", "violin", "tenor saxophone", "clarinet", "flute"),
        counter=("viola", "horn"),
    ),
    "jig": Style(
        family="compound",
        bpm=(96, 108, 120),
        swing=0.5,
        colour="folk",
        drums=("jazz drum kit", "drum kit"),
        bass=("acoustic bass",),
        rhythm=(("strum", ("steel guitar",)), ("comp", ("accordion", "acoustic piano"))),
        extras=(
            ("arpeggio", ("banjo", "harp")),
            ("pad", ("reed organ", "string ensemble")),
            ("percussion", ("bongos", "tambourine", "hand claps")),
        ),
        lead=("fiddle", "recorder", "flute", "piccolo"),
        counter=("fiddle", "viola", "clarinet"),
    ),
    "doo-wop": Style(
        family="compound",
        bpm=(60, 72, 84),
        swing=0.5,
        colour="pop",
        drums=("drum kit", "room drum kit"),
        bass=("finger bass", "acoustic bass"),
        rhythm=(
            ("comp", ("acoustic piano", "electric piano", "drawbar organ")),
            ("strum", ("clean guitar", "steel guitar")),
        ),
        extras=(
            ("pad", ("string ensemble", "warm pad")),
            ("arpeggio", ("clean guitar", "harpsichord")),
            ("riff", ("brass section", "tenor saxophone")),
            ("percussion", ("tambourine",)),
        ),
        lead=("tenor saxophone", "clean guitar", "violin", "alto saxophone"),
        counter=("string ensemble", "horn", "tenor saxophone"),
    ),
    "afro": Style(
        family="compound",
        bpm=(96, 108, 120),
        swing=0.5,
        colour="modal",
        drums=("drum kit", "jazz drum kit"),
        bass=("finger bass", "acoustic bass", "fretless bass"),
        rhythm=(("strum", ("muted guitar", "steel guitar")), ("comp", ("marimba", "electric piano", "drawbar organ"))),
        extras=(
            ("percussion", ("congas", "shaker", "bongos")),
            ("riff", ("marimba", "muted guitar", "brass section")),
            ("pad", ("synth strings", "warm pad")),
            ("percussion", ("shaker",)),
        ),
        lead=("flute", "alto saxophone", "trumpet", "pan flute"),
        counter=("trombone", "tenor saxophone", "marimba"),
    ),
    "tarantella": Style(
        family="compound",
        bpm=(120, 132, 144),
        swing=0.5,
        colour="folk",
        drums=("drum kit", "jazz drum kit"),
        bass=("acoustic bass", "tuba"),
        rhythm=(("strum", ("steel guitar",)), ("comp", ("accordion", "harpsichord"))),
        extras=(("arpeggio", ("harp", "steel guitar")), ("pad", ("string ensemble",)), ("percussion", ("tambourine",))),
        lead=("clarinet", "violin", "flute", "accordion"),
        counter=("clarinet", "trumpet", "viola"),
    ),
}
"""By name."""
