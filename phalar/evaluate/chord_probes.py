"""Linear probes: what a frozen embedding says of a class, through one matrix. Book notebook *Chords*.

A complex linear layer gives a complex number y_c = (W z)_c for each class c. Two ways to make logits of it:

real
    Re y_c. With W = A + iB this is A_c Re z - B_c Im z: a real linear layer on [Re z, Im z], no more and no less. It
    reads phases: turn z, and the logits change.
modulus
    |y_c|. Turn z by any angle, and nothing changes: it reads what phases have in *common*. Not a convex problem.

What is minimised is the mean cross-entropy, weighted so that every class counts alike if asked for, plus penalty / 2
times the squared length of the weights (not of the bias). Embeddings are lopsided: a few directions hold most of their
power. A penalty on raw weights would be one on everything else, so frames are first turned to their principal axes and
each axis is scaled to the same power: a (complex) linear map, so what a probe *can* say stays as it was. Axes with much
less power than the average are only raised as far as ``FLOOR`` allows. Real features are centred first.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from phalar.errors import InputError
from phalar.model.complex_layers import complex_kaiming_, squared_modulus

READINGS = ("real", "modulus")
PENALTIES = (10.0, 1.0, 0.1, 0.01)  # from stiff to free: each fit starts from the one before
FLOOR = 0.1  # of the mean power of an axis: what an axis' power counts as at least
STEPS = {"real": 150, "modulus": 50}  # of L-BFGS at most: the modulus' problem has no one answer to wait for
GRADIENT = 1e-4  # or until no entry of the gradient is larger than this
RADAM = {"lr": 1e-3, "batch_size": 64, "epochs": 10}  # as published
ROUNDED = 1e-6  # |y| is taken as sqrt(|y|^2 + this), so that it has a slope at zero

_drawing = threading.Lock()  # first weights come from torch's one stream, and folds are fitted side by side


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes
    ----------
    weight : Tensor (classes, D), complex or real
        Of features as they are given, whatever was done to them for the fit.
    bias : Tensor (classes,), real
    centre : Tensor (D,)
        Taken from features first; zero for complex ones.
    reading : str
        One of ``READINGS``; always ``"real"`` of a real weight.
    penalty : float
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor
    reading: str
    penalty: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(T, D) features to (T, classes)."""
        z = torch.as_tensor(features).to(self.weight.device, self.weight.dtype) - self.centre
        return (_read(z @ self.weight.T, self.reading) + self.bias).cpu().numpy()

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The class of each frame, (T,)."""
        return self.logits(features).argmax(axis=1)


# The products of a step are small: threads of torch and of numpy's library would only wait for each other.
@threadpool_limits.wrap(limits=1)
def fit(
    features: np.ndarray,
    targets: np.ndarray,
    classes: int,
    *,
    penalties: Sequence[float] = (0.01,),
    reading: str = "real",
    balanced: bool = True,
    seed: int = 0,
    device: str = "cpu",
    steps: int | None = None,
    tolerance: float = GRADIENT,
) -> list[Probe]:
    """Probes fitted until nothing improves (L-BFGS on all frames at once), one for each penalty.

    Parameters
    ----------
    features : array (T, D), complex or real
        In double precision, so is the work.
    targets : array (T,) int
        From 0 to ``classes`` - 1.
    classes : int
    penalties : sequence of float
        Above 0. Each fit starts from the one before, so give the largest first.
    reading : str
        One of ``READINGS``.
    balanced : bool
        Weight each frame by the inverse frequency of its class, as scikit-learn's ``class_weight="balanced"`` does.
    seed : int
        Of the first weights of the modulus reading, which cannot start from zero as the convex one does.
    device : str
    steps, tolerance : int, float
        Stop after so many steps of L-BFGS (``STEPS``, if not given), or where no entry of the gradient is larger.

    Raises
    ------
    InputError
        Features, targets or settings that do not fit together.
    """
    z, y = _checked(features, targets, classes, reading, device)
    frames, matrix, centre = principal(z)
    # The reading "real" is solved as the real problem that it is: half the products of the complex one.
    split = reading == "real" and z.is_complex()
    x = torch.cat([frames.real, -frames.imag], dim=1) if split else frames
    sample = torch.as_tensor(frame_weights(targets, classes, balanced)).to(y.device, z.real.dtype) / len(y)
    weight, bias = _start(x, classes, reading, seed)
    probes = []
    for penalty in penalties:
        if not penalty > 0:
            raise InputError(f"penalty={penalty!r}: it must be above 0, or separable classes have no best probe")

        def loss(penalty: float = penalty) -> Tensor:
            entropy = F.cross_entropy(_read(x @ weight.T, reading) + bias, y, reduction="none")
            return (sample * entropy).sum() + penalty / 2 * _power(weight)

        _minimise(loss, [weight, bias], steps or STEPS[reading], tolerance)
        found = weight.detach()
        found = torch.complex(*found.chunk(2, dim=1)) if split else found
        probes.append(Probe(found @ matrix.T, bias.detach().clone(), centre, reading, penalty))
    return probes


def fit_as_published(
    features: np.ndarray,
    targets: np.ndarray,
    classes: int,
    *,
    epochs: int = RADAM["epochs"],
    seed: int = 0,
    device: str = "cpu",
) -> Probe:
    """The published probe: one complex linear layer, logits its real part, trained by RAdam (learning rate 1e-3) on
    batches of 64 for 10 epochs; features as they are, no penalty, no class weights.

    Parameters
    ----------
    epochs : int
        The published hop of 20 ms gives many more frames, and so more steps an epoch, than a coarser one.

    Others, and errors, as of :func:`fit`.
    """
    z, y = _checked(features, targets, classes, "real", device)
    generator = torch.Generator().manual_seed(seed)
    weight, bias = _start(z, classes, "modulus", seed)
    optimiser = torch.optim.RAdam([weight, bias], lr=RADAM["lr"])
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=generator).split(RADAM["batch_size"]):
            optimiser.zero_grad()
            F.cross_entropy(_read(z[batch] @ weight.T, "real") + bias, y[batch]).backward()
            optimiser.step()
    return Probe(weight.detach(), bias.detach(), torch.zeros_like(z[0]), "real", 0.0)


def fit_scikit_learn(
    features: np.ndarray, targets: np.ndarray, classes: int, *, penalty: float, balanced: bool = True
) -> Probe:
    """The same convex problem solved by scikit-learn's ``LogisticRegression`` on [Re z, Im z]: the check of :func:`fit`
    with the reading "real". Every class must occur.

    Its weights come back as the complex matrix that they are.
    """
    from sklearn.linear_model import LogisticRegression

    z, _ = _checked(features, targets, classes, "real", "cpu")
    frames, matrix, centre = principal(z)
    if len(set(targets.tolist())) < classes:
        raise InputError("scikit-learn learns the classes that occur; leave out those that do not, and renumber")
    # scikit-learn adds up over frames where we take the mean, and weights the sum instead of the penalty.
    model = LogisticRegression(C=1 / (penalty * len(targets)), tol=1e-6, max_iter=5_000)
    model.fit(
        as_real(frames.numpy()).astype(np.float64), targets, sample_weight=frame_weights(targets, classes, balanced)
    )
    weight = torch.from_numpy(model.coef_)
    if z.is_complex():
        real, imaginary = weight.chunk(2, dim=1)
        weight = torch.complex(real, -imaginary)
    return Probe(weight.to(z.dtype) @ matrix.T, torch.from_numpy(model.intercept_), centre, "real", penalty)


def principal(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Frames (T, D) along their principal axes at nearly equal power: (z - centre) @ matrix.

    Returns
    -------
    frames : Tensor (T, r)
        r is the smaller of T and D; the mean square along an axis is p / (p + FLOOR * mean p), p its power: near 1 on
        all but the weakest.
    matrix : Tensor (D, r)
    centre : Tensor (D,)
        Zero for complex features: their mean is a phase too.
    """
    centre = torch.zeros_like(z[0]) if z.is_complex() else z.mean(dim=0)
    left, singular, axes = torch.linalg.svd(z - centre, full_matrices=False)
    power = singular.square() / len(z)
    gain = torch.rsqrt(power + FLOOR * power.mean().clamp(min=1e-12))
    return left * (singular * gain), axes.mH * gain, centre


def as_real(features: np.ndarray) -> np.ndarray:
    """[Re z, Im z], (T, 2 D), of complex features; real ones as they are."""
    return np.concatenate([features.real, features.imag], axis=1) if np.iscomplexobj(features) else features


def frame_weights(targets: np.ndarray, classes: int, balanced: bool) -> np.ndarray:
    """Weight (T,) of each frame, 1 on average; if balanced, every class that occurs has the same weight in all."""
    counts = np.bincount(targets, minlength=classes)
    if not balanced:
        return np.ones(len(targets))
    return len(targets) / ((counts > 0).sum() * counts[targets])


def _checked(
    features: np.ndarray, targets: np.ndarray, classes: int, reading: str, device: str
) -> tuple[Tensor, Tensor]:
    if reading not in READINGS:
        raise InputError(f"reading={reading!r}: choose from {', '.join(READINGS)}")
    features, targets = np.asarray(features), np.asarray(targets)
    if features.ndim != 2 or targets.shape != (len(features),) or not len(features):
        raise InputError(f"features {features.shape} and targets {targets.shape}: give (T, D) and (T,), T at least 1")
    if not np.isfinite(features).all():
        raise InputError("features have NaN or infinite values; find the recording they come from")
    if targets.min() < 0 or targets.max() >= classes:
        raise InputError(f"targets from {targets.min()} to {targets.max()}: classes are 0 to {classes - 1}; leave out "
                         "frames whose label has no class")  # fmt: skip
    if reading == "modulus" and not np.iscomplexobj(features):
        raise InputError("reading='modulus' is of complex features; these are real")
    return torch.as_tensor(features).to(device), torch.as_tensor(targets).to(device)


def _start(z: Tensor, classes: int, reading: str, seed: int) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(classes, z.shape[1], dtype=z.dtype)
    if reading == "modulus":
        with _drawing, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if z.is_complex():
                complex_kaiming_(weight)
            else:
                torch.nn.init.kaiming_uniform_(weight, a=5**0.5)
    bias = torch.zeros(classes, dtype=z.real.dtype)
    return weight.to(z.device).requires_grad_(), bias.to(z.device).requires_grad_()


def _read(y: Tensor, reading: str) -> Tensor:
    return y.real if reading == "real" else torch.sqrt(squared_modulus(y) + ROUNDED)


def _power(weight: Tensor) -> Tensor:
    return (squared_modulus(weight) if weight.is_complex() else weight.square()).sum()


def _minimise(loss: Callable[[], Tensor], parameters: list[Tensor], steps: int, tolerance: float) -> None:
    """L-BFGS, on the parameters in place. scipy's keeps its own account in double precision whatever the parameters."""
    views = [torch.view_as_real(p.data) if p.is_complex() else p.data for p in parameters]

    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        _fill(views, point)
        value = loss()
        gradients = torch.autograd.grad(value, parameters)
        flat = [torch.view_as_real(g) if g.is_complex() else g for g in gradients]
        return float(value.detach()), np.concatenate([g.double().cpu().numpy().ravel() for g in flat])

    start = np.concatenate([view.double().cpu().numpy().ravel() for view in views])
    found = minimize(
        value_and_gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "maxfun": 2 * steps, "gtol": tolerance, "ftol": 1e-5 * tolerance, "maxcor": 20},
    )
    _fill(views, found.x)


def _fill(views: list[Tensor], point: np.ndarray) -> None:
    for view, part in zip(views, np.split(point, np.cumsum([v.numel() for v in views])[:-1]), strict=True):
        view.copy_(torch.from_numpy(part).reshape(view.shape))
