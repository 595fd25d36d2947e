"""Lossy compression and back: MP3 by LAME and Opus by libopus, the real ones, as libsndfile carries them."""

import io

import numpy as np
import soundfile

from phalar.errors import InputError, RunError

CODECS = ("mp3", "opus")

MP3_RATES = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Bit-rates of MPEG-2 layer III (16 to 24 kHz) in kbit/s."""

OPUS_RATES = (6, 256)
"""Lowest and highest bit-rate of one channel in kbit/s."""

LAME_DELAY = 576 + 529
"""Samples by which a decoded MP3 is late, encoder and decoder together. LAME notes this in the first frame and the
decoder then takes it off, but at low bit-rates that frame is too small for the note."""


def transcode(audio: np.ndarray, sample_rate: int, codec: str, kbps: int) -> tuple[np.ndarray, float]:
    """What is left of a recording after lossy compression, in time with the original.

    Parameters
    ----------
    audio : np.ndarray, (samples,), float32
        One channel, in [-1, 1].
    sample_rate : int
        Hz: 16,000 or 24,000 (both codecs know them).
    codec : str
        ``"mp3"`` (constant bit-rate) or ``"opus"`` (variable around it).
    kbps : int
        Bit-rate asked for, in kbit/s: one of :data:`MP3_RATES`, or within :data:`OPUS_RATES`.

    Returns
    -------
    (np.ndarray, (samples,), float32; float)
        The decoded audio, and the bit-rate of the file made, in kbit/s, with what its container takes.

    Raises
    ------
    InputError
        If there is no such codec, or it has no such bit-rate.
    RunError
        If less comes back than went in. Taught in ``book/corpora.md``.
    """
    coded = io.BytesIO()
    soundfile.write(coded, audio, sample_rate, **_settings(codec, kbps))
    size = coded.tell()
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32")
    late = LAME_DELAY if codec == "mp3" and len(decoded) > len(audio) else 0
    decoded = decoded[late : late + len(audio)]
    if len(decoded) < len(audio):
        raise RunError(
            f"{codec} at {kbps} kbit/s returned {len(decoded)} of {len(audio)} samples: install soundfile 0.14"
        )
    return decoded, 8 * size / 1000 / (len(audio) / sample_rate)


def _settings(codec: str, kbps: int) -> dict:
    """libsndfile takes no bit-rate, but a level from 0 (best) to 1, straight in bit-rate."""
    if codec == "mp3":
        if kbps not in MP3_RATES:
            raise InputError(f"MP3 has no {kbps} kbit/s at this sample rate: choose one of {MP3_RATES}")
        level = min(1 - (kbps - MP3_RATES[0]) / (MP3_RATES[-1] - MP3_RATES[0]), 0.99)  # 1 itself is refused
        return {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": level}
    if codec == "opus":
        low, high = OPUS_RATES
        if not low <= kbps <= high:
            raise InputError(f"Opus cannot code one channel with {kbps} kbit/s: choose {low} to {high}")
        return {"format": "OGG", "subtype": "OPUS", "compression_level": 1 - (kbps - low) / (high - low)}
    raise InputError(f"there is no codec {codec!r}: choose one of {', '.join(CODECS)}")
