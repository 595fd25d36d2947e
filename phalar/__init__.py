"""PHALAR, reproduced: how well does a stem fit a mix? Phasors for learned musical audio representations.

>>> import phalar
>>> model = phalar.build("phalar")                    # fresh weights of any variant; .num_parameters
>>> model = phalar.load("reference")                  # trained weights
>>> model = phalar.load_official("PHALAR_best.ckpt")  # the authors' checkpoint; no code in it is run
>>> z = model.embed(audio, sample_rate)               # (clips, 512), complex64 for the complex variants
>>> s = model.similarity(za, zb)                      # (len(za), len(zb)), symmetrised
>>> phalar.score("mix.wav", "bass.wav")               # how well the stem fits the mix; .percentile
>>> phalar.rank("mix.wav", ["bass1.wav", "bass2.wav"])  # best first

What is imported here is loaded when it is first used, since PyTorch takes seconds.
"""

from importlib import import_module

__version__ = "0.1.0"
_HOMES = {
    "SAMPLE_RATE": "phalar.audio",
    "Match": "phalar.matching",
    "Score": "phalar.matching",
    "rank": "phalar.matching",
    "score": "phalar.matching",
    "build": "phalar.model.assembly",
    "load": "phalar.model.checkpoints",
    "save": "phalar.model.checkpoints",
    "load_official": "phalar.model.official",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'phalar' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
