"""One cycle of a sound without aliasing: a table that holds no partial above the band."""

import numpy as np

SAMPLE_RATE = 16_000
"""Hz at which everything in this folder sounds. Each sound is made band-limited, so nothing has to be oversampled."""

TOP = 7_200.0
"""Hz of the highest partial. What is left up to 8 kHz is for vibrato and detuning."""

SIZE = 2_048
"""Samples of a table; one more repeats the first, for the interpolation."""


def hertz(pitch: float) -> float:
    """Frequency of a MIDI key (A4 = 69 = 440 Hz)."""
    return 440.0 * 2 ** ((pitch - 69) / 12)


def cycle(amplitudes: np.ndarray, phases: np.ndarray | None = None) -> np.ndarray:
    """One cycle from its partials.

    Parameters
    ----------
    amplitudes : np.ndarray, (H,)
        Of partials 1 to H.
    phases : np.ndarray, (H,), optional
        Radians; random ones keep the crest low. Sines if not given.

    Returns
    -------
    np.ndarray, (SIZE + 1,), float32
        With a root mean square of 1.
    """
    phases = np.zeros(len(amplitudes)) if phases is None else phases
    spectrum = np.zeros(SIZE // 2 + 1, np.complex128)
    count = min(len(amplitudes), SIZE // 2)
    spectrum[1 : count + 1] = amplitudes[:count] * np.exp(1j * (phases[:count] - np.pi / 2))
    wave = np.fft.irfft(spectrum)
    wave /= max(np.sqrt(np.mean(wave**2)), 1e-12)
    return np.append(wave, wave[0]).astype(np.float32)


def partials(fundamental: float, top: float = TOP) -> np.ndarray:
    """Numbers of the partials that fit into the band, from 1."""
    return np.arange(1, max(int(top / fundamental), 1) + 1)


def saw(numbers: np.ndarray) -> np.ndarray:
    """Amplitudes of a sawtooth's partials."""
    return 1.0 / numbers


def pulse(numbers: np.ndarray, width: float) -> np.ndarray:
    """Amplitudes of the partials of a pulse that is up for ``width`` of the cycle; 0.5 is a square wave."""
    return np.abs(np.sin(np.pi * numbers * width)) / numbers


def resonances(frequencies: np.ndarray, peaks) -> np.ndarray:
    """Gain, linear, of a body with these resonances.

    ``peaks`` are (Hz, bandwidth in Hz, gain at the peak) over a floor of 1.
    """
    gain = np.ones_like(frequencies, dtype=np.float64)
    for centre, width, height in peaks:
        gain += (height - 1) / (1 + ((frequencies - centre) / (width / 2)) ** 2)
    return gain
