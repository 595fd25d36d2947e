"""What every model of the registry does, whatever its parts: embed sounds, and score embeddings against each other.

Paper section 3; book page *The model*. ``assembly.py`` puts the parts together.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from phalar import audio as sound
from phalar.errors import InputError, SilentAudioWarning
from phalar.model.similarity import symmetrised
from phalar.model.variants import EMBEDDING_DIM, Variant


class StemModel(nn.Module):
    """A model that says how well a stem fits a mix: ``phalar.build`` makes one of a row of the registry. Its parts, in
    the order in which sound goes through them: ``frontend``, waveforms (B, N) at 16 kHz to pictures, nothing in it is
    learned; ``backbone``, pictures to features (B, channels, F, T); ``pooling``, these to one vector; ``head``, that to
    an embedding (B, 512); and ``form``, embeddings (A, 512) and (B, 512) to raw scores (A, B)."""

    picture_noise = 0.0  # chance of Gaussian noise on an item's picture in training; the published ``mel`` has 0.5

    def __init__(self, row: Variant, *parts: nn.Module) -> None:
        super().__init__()
        self.variant = row
        self.frontend, self.backbone, self.pooling, self.head, self.form = parts

    @property
    def num_parameters(self) -> int:
        """Learned real numbers; a complex weight counts as two, a frozen backbone (MERT) not at all."""
        learned = [m for m in self.children() if not getattr(m, "frozen", False)]
        return sum(p.numel() * (2 if p.is_complex() else 1) for m in learned for p in m.parameters())

    @property
    def device(self) -> torch.device:
        return next(self.form.parameters()).device

    def forward(self, anchors: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
        """The way that training takes: waveforms (B, N) of both sides to their embeddings (B, 512), as one batch, as in
        the published code: batch norms then see anchors and positives together. On a GPU the backbone runs in bfloat16.
        """
        pictures = self.shown(self.picture(torch.cat([anchors, positives])))
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=pictures.is_cuda):
            features = self.backbone(pictures)
        return self.head(self.pooling(features)).chunk(2)

    def encode(self, audio: Tensor) -> Tensor:
        """Waveforms (B, N) float32 at 16 kHz to embeddings (B, 512), in single precision throughout."""
        return self.encode_picture(self.picture(audio))

    @torch.no_grad()  # nothing in the front end is learned
    def picture(self, audio: Tensor) -> Tensor:
        """What the front end shows the backbone."""
        return self.frontend(audio)

    def encode_picture(self, picture: Tensor) -> Tensor:
        """Embeddings (B, 512) of what the front end gives, for pictures computed beforehand."""
        return self.head(self.pooling(self.backbone(picture)))

    def shown(self, pictures: Tensor) -> Tensor:
        """What the backbone sees of pictures (2 B, ...) of B anchors and then their positives: all, in training with
        ``picture_noise`` of standard deviation 0.005 to 0.05 (uniform) on some."""
        if not self.training or not self.picture_noise:
            return pictures
        chance, size = torch.rand(2, len(pictures), *[1] * (pictures.ndim - 1), device=pictures.device)
        deviation = (chance < self.picture_noise) * (0.005 + 0.045 * size)
        return pictures + deviation * torch.randn_like(pictures)

    @torch.no_grad()
    def embed(self, audio: Tensor | np.ndarray | Sequence, sample_rate: int, batch_size: int = 16) -> Tensor:
        """Embeddings (B, 512) of clips, each as if alone, on the model's device: complex64, or float32 if real.
        ``audio``: an array (N,), (B, N) or (B, channels, N), or a sequence of arrays (N_i,) or (channels, N_i); float
        in [-1, 1] or integer PCM, each clip 2 s or more (trained on 2 to 10 s, tested on 5 s: cut longer recordings
        into windows). Channels are averaged, and ``sample_rate`` (Hz, of all clips) is brought to 16 kHz.
        ``batch_size``: clips of equal length that go through the network at once; it changes the speed only. A silent
        clip becomes zeros, with a SilentAudioWarning, and scores 0. What cannot be used is an InputError."""
        clips = [sound.mono_16k(clip, sample_rate, f"clip {i}") for i, clip in enumerate(_as_clips(audio))]
        dtype = torch.complex64 if self.variant.is_complex else torch.float32
        result = torch.zeros(len(clips), EMBEDDING_DIM, dtype=dtype, device=self.device)
        by_length: dict[int, list[int]] = {}
        for i, clip in enumerate(clips):
            if sound.is_silent(clip):
                warnings.warn(f"silent audio in clip {i}: its score is 0", SilentAudioWarning, stacklevel=3)
            else:
                by_length.setdefault(len(clip), []).append(i)
        was_training = self.training
        self.eval()
        try:
            for indices in by_length.values():
                for start in range(0, len(indices), batch_size):
                    chosen = indices[start : start + batch_size]
                    batch = torch.from_numpy(np.stack([clips[i] for i in chosen]))
                    result[chosen] = self.encode(batch.to(self.device)).to(dtype)
        finally:
            self.train(was_training)
        return result

    @torch.no_grad()
    def similarity(self, x: Tensor, y: Tensor) -> Tensor:
        """Symmetrised scores of all pairs: embeddings (A, 512) and (B, 512) to (A, B) float32. Higher fits better. An
        embedding of silence (zeros) scores 0 against anything, which says nothing either way. Scores of one model
        compare, scores of two models do not."""
        for name, z in (("x", x), ("y", y)):
            if z.ndim != 2 or z.shape[-1] != EMBEDDING_DIM or z.is_complex() != self.variant.is_complex:
                wanted = f"(clips, {EMBEDDING_DIM}), {'complex' if self.variant.is_complex else 'real'}"
                given = f"{z.dtype} of shape {tuple(z.shape)}"
                raise InputError(f"{name}: {given} is not {wanted}; use embed of the same {self.variant.name!r} model")
            if not torch.isfinite(torch.view_as_real(z) if z.is_complex() else z).all():
                raise InputError(f"{name}: embedding has NaN or infinite values; it did not come from model.embed")
        heard = (x != 0).any(dim=1)[:, None] & (y != 0).any(dim=1)
        return symmetrised(self.form, x, y) * heard


def _as_clips(audio: Tensor | np.ndarray | Sequence) -> list:
    """The clips of ``embed``'s first argument, one array each."""
    if isinstance(audio, Tensor | np.ndarray):
        if audio.ndim not in (1, 2, 3):
            raise InputError(f"audio: shape {tuple(audio.shape)} is not (N,), (clips, N) or (clips, channels, N)")
        audio = [audio] if audio.ndim == 1 else audio
    elif not isinstance(audio, Sequence) or isinstance(audio, str | bytes):
        raise InputError(f"audio: {type(audio).__name__} is not an array or a sequence of arrays; read files first")
    if not len(audio):
        raise InputError("audio: no clips in it; give at least one")
    return list(audio)
