"""What determines a training run, and its name. Book page *How it is trained*."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from phalar import corpora, fingerprint
from phalar.errors import InputError
from phalar.model import checkpoints
from phalar.model.variants import variant


@dataclass(frozen=True)
class Recipe:
    """How weights are changed: everything about training that is not data or size."""

    muon_lr: float = 0.02  # encoder weights of two or more dimensions
    vector_lr: float = 4e-3  # the encoder's other weights: norms, biases, LayerScales
    form_lr: float = 4e-3  # the similarity
    weight_decay: float = 1e-3
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    target: float = 0.9  # probability asked of the true pair; the rest is spread over the other candidates
    warmup: float = 0.0  # share of the steps over which learning rates rise from zero
    decay: float = 0.0  # share of the steps, at the end, over which they fall to zero
    augment: bool = True  # a pair's common gain, and noise
    noise: float = 1.0  # share of the paper's chance of each noise
    picture_noise: float = 0.0  # chance of Gaussian noise on an item of what the backbone sees
    identity: float = 0.0  # W begins as so many times the identity; 0: at random, as published
    key: float = 0.0  # weight of the term that tells a pair's key (objective.key_loss); above 0 half a batch are twins
    key_first: float = 0.0  # share of the steps, at the start, in which that term alone is learned, behind the backbone
    key_lr: float = 1e-3  # Adam's rate in them
    pitched: float = 0.0  # share of the pairs without their drums, once the contrastive loss has begun
    one_corpus: float = 0.0  # share of the steps whose pairs are all of one corpus, and so harder to tell apart
    as_published: bool = False  # Muon, noises, crops and batch norms as the published code has them


PRESETS = {
    "published": Recipe(as_published=True),
    # For runs shorter than the paper's: LayerScales (they start at zero) and the form (it starts small) learn faster.
    "default": Recipe(vector_lr=2e-2, form_lr=1e-2, warmup=0.05, decay=0.5),
    # For a few thousand pairs: noise makes a model robust in the end and slow at the start.
    "short": Recipe(vector_lr=2e-2, form_lr=1e-2, warmup=0.05, decay=0.5, noise=0.0),
    # For some tens of thousands: a fifth of the paper's noise, so that a third of the clips have some.
    "long": Recipe(vector_lr=2e-2, form_lr=1e-2, warmup=0.03, decay=0.5, noise=0.2),
    # Hears the key as well as the time: first the key alone, since who has learned time first never learns it.
    "musical": Recipe(
        muon_lr=8e-3,
        vector_lr=8e-3,
        form_lr=4e-3,
        warmup=0.03,
        decay=0.5,
        noise=0.2,
        target=1.0,
        identity=5.0,
        key=1.0,
        key_first=0.06,
        pitched=0.6,
    ),
}

LEAST = {"steps": 1, "batch_size": 2, "shards": 1, "valid_every": 1, "limit": 0, "seed": 0}


@dataclass(frozen=True)
class TrainConfig:
    """A training run. The same config gives the same weights, bit for bit on one machine's CPU."""

    variant: str = "phalar"
    corpora: tuple[str, ...] = ("chorales",)
    steps: int = 100
    batch_size: int = 32  # pairs of a shard
    shards: int = 1  # shards of a step, on as many devices at most (train/objective.py)
    negatives: str = "shard"  # an anchor's other candidates are its own shard's positives, or "all"
    seconds: tuple[float, float] = (2.0, 10.0)  # each batch has one length, uniform between these
    seed: int = 0
    preset: str = "default"
    start: str = ""  # weights to go on from, a file of ours or "reference"; "": fresh ones
    limit: int = 0  # tracks of each corpus and split, 0 for all: a sliver for trying things out
    valid_every: int = 25  # steps between looks at the validation split
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        variant(self.variant)
        if self.start:
            checkpoints.notes(self.start)  # refuses what is no weights of ours
        for name in self.corpora:
            corpora.folder(name)  # refuses an unknown name
        if not 2.0 <= self.seconds[0] <= self.seconds[1]:
            raise InputError(f"excerpt lengths {self.seconds} s: give a shortest of at least 2 and a longest above it")
        if self.negatives not in ("shard", "all"):
            raise InputError(f"negatives = {self.negatives!r}; choose 'shard' or 'all'")
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} = {getattr(self, name)}; it is at least {least}")
        if self.recipe.key and (self.batch_size % 2 or self.batch_size < 4):
            raise InputError(f"batch_size = {self.batch_size}; with twins it is even and at least 4: pairs in two keys")
        if not 0 < self.recipe.target <= 1:
            raise InputError(f"target = {self.recipe.target}; the true pair's probability is above 0 and at most 1")

    @property
    def hash(self) -> str:
        """Name of the run: settings, corpora's versions, and the code that training goes through."""
        data = [f"datasets/{name}.py" for name in ("tracks", "batches", "augment")]
        code = fingerprint.of_code("model", "train", *data, "evaluate/retrieval.py", "evaluate/sensitivity.py")
        versions = [corpora.version(name) for name in self.corpora]
        return fingerprint.fingerprint([asdict(self), versions, code, self.start_hash])

    @property
    def start_hash(self) -> str:
        """Hash of the file of weights it goes on from, or ""."""
        return fingerprint.of_file(Path(checkpoints.file_of(self.start))) if self.start else ""


def config(
    variant: str,
    corpora: Sequence[str],
    *,
    preset: str = "default",
    seconds: Sequence[float] = (2.0, 10.0),
    target: float | None = None,
    identity: float | None = None,
    rate: float = 1.0,
    **sizes: object,
) -> TrainConfig:
    """A checked TrainConfig from plain values: fields of it, the name of a preset, a target and a start of W in place
    of its own, and a ``rate`` by which its learning rates are multiplied. COCOLA is trained as its authors do, whatever
    the preset: no smoothing of labels, no augmentation, their rates (paper section 3), but for W's in short runs. The
    published Mel variant has noise on its spectrogram."""
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
    recipe = PRESETS[preset]
    if variant == "cocola":
        # Its W meets embeddings some fourteen times as long as PHALAR's unit ones: at the published rate one step moves
        # scores by tens, and not even one batch is learned by heart.
        form_lr = 4e-3 if recipe.as_published else 1e-4
        recipe = replace(recipe, vector_lr=4e-3, form_lr=form_lr, target=1.0, augment=False)
    if variant == "mel" and recipe.as_published:
        recipe = replace(recipe, picture_noise=0.5)
    changes = {name: rate * getattr(recipe, name) for name in ("muon_lr", "vector_lr", "form_lr")}
    given = {"target": target, "identity": identity}
    recipe = replace(recipe, **changes | {name: float(value) for name, value in given.items() if value is not None})
    lengths = tuple(map(float, seconds))
    return TrainConfig(variant, tuple(corpora), seconds=lengths, preset=preset, recipe=recipe, **sizes)
