"""Reading checkpoints, the authors' and ours: what is right comes through bit for bit, whatever is not is refused and
nothing runs."""

import io
import json
import os
import pickle
import re
import struct
import sys
import zipfile
from collections import OrderedDict
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import phalar
from phalar.errors import InputError
from phalar.model import checkpoints
from phalar.model.assembly import build
from phalar.model.official import load_official, named, read_official, translate, variant_of
from phalar.model.tensors import LARGEST_PICKLE, fill
from phalar.model.variants import PHALAR, VARIANTS

# Settings as the authors' configurations give them.
SPECTRAL = {"embedding_dim": 512, "input_type": "single_channel_mel_spectrogram", "do_cqt": True}
SPECTRAL |= {"backbone_type": "freqtimeseparable", "ft_sep_init_hidden_dim": 8, "ft_sep_depth": 5}
SPECTRAL |= {"comparison_method": "bilinear_similarity", "input_freq_bins": 96, "pool_type": "spec_pool"}
SPECTRAL |= {"spec_pool_out_channels": 80, "spec_pool_components": 8, "spec_pool_norm": "global"}
SPECTRAL |= {"spec_pool_complex_output": True, "spec_pool_center_padding": True}
MERT = {name: value for name, value in SPECTRAL.items() if name != "input_freq_bins"}
MERT |= {"backbone_type": "mert", "do_cqt": False}
COCOLA = {"embedding_mode": "random", "input_type": "double_channel_harmonic_percussive", "pool_type": "avg"}
COCOLA |= {"comparison_method": "cocola_similarity", "backbone_type": "efficientnet", "input_freq_bins": 64}
CONFIGURATIONS = {
    "phalar": SPECTRAL,
    "gap": SPECTRAL | {"pool_type": "avg", "spec_pool_complex_output": False},
    "magnitude": SPECTRAL | {"spec_pool_complex_output": False},
    "cosine": SPECTRAL | {"comparison_method": "cosine_similarity"},
    "psd": SPECTRAL | {"comparison_method": "psd_bilinear_similarity"},
    "hermitian": SPECTRAL | {"comparison_method": "hermitian_bilinear_similarity"},
    "mel": SPECTRAL | {"do_cqt": False},
    "cocola": COCOLA | {"efficientnet_init_weights": False},
    "mert-complex": MERT,
    "mert-real": {**MERT, "pool_type": "avg", "spec_pool_complex_output": False, "final_mlp_norm": None},
}


def save(path: Path, state: dict | None = None, settings: dict | None = None, **more: object) -> Path:
    """A small Lightning checkpoint, written by torch itself."""
    if state is None:
        state = {"encoder.weight": torch.arange(6.0).view(2, 3)}
    torch.save({"state_dict": state, "hyper_parameters": settings or SPECTRAL, **more}, path)
    return path


def rewrite(path: Path, change: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED) -> Path:
    """The same archive with entries replaced, added, or (None) left out, by their name within the folder."""
    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].split("/")[0]
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries |= {f"{folder}/{name}": data for name, data in change.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            if data is not None:
                archive.writestr(name, data)
    return path


class Claims(pickle.Pickler):
    """Writes a tuple (values, offset, shape, stride, storage) as the tensor that it claims to be."""

    def persistent_id(self, value):
        return tuple(value) if isinstance(value, list) else None

    def reducer_override(self, value):
        if not isinstance(value, SimpleNamespace):
            return NotImplemented
        values, *layout, storage = value.claim
        persistent = ["storage", torch.FloatStorage, storage, "cpu", values]
        return torch._utils._rebuild_tensor_v2, (persistent, *layout, False, OrderedDict())


def claims(*tensors: tuple) -> bytes:
    """The data.pkl of a checkpoint with float weights w0, w1, ...: (values, offset, shape, stride[, storage])."""
    file = io.BytesIO()
    state = {f"w{i}": SimpleNamespace(claim=(*t, "0")[:5]) for i, t in enumerate(tensors)}
    Claims(file, protocol=2).dump({"state_dict": state, "hyper_parameters": {"do_cqt": True}})
    return file.getvalue()


def refusal(path: Path) -> str:
    """The one line with the file's name that an InputError gives."""
    with pytest.raises(InputError, match=f"{path}.*") as refused:
        read_official(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_round_trip(tmp_path, monkeypatch):
    """Enumerations become their values: the authors' module need not exist where the file is read."""
    constants = ModuleType("contrastive_model.constants")
    constants.EmbeddingMode = member = Enum("EmbeddingMode", {"RANDOM": "random"}, module=constants.__name__)
    shared = torch.arange(12.0)
    state = {"transposed": torch.randn(3, 4).T, "window": shared[2:8].view(2, 3), "shared": shared}
    state |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.bool)
    state |= {str(kind): torch.ones(3, dtype=kind) for kind in kinds} | {"w": torch.nn.Parameter(torch.randn(2))}
    settings = {"a": 1, "b": 0.5, "c": "x", "d": None, "e": True, "f": [1, 2], "g": -(2**40)}
    optimiser = [{"state": {0: {"momentum": torch.tensor([torch.nan])}}, "param_groups": [{"betas": (0.9, 0.95)}]}]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "contrastive_model", ModuleType("contrastive_model"))
        patch.setitem(sys.modules, constants.__name__, constants)
        path = save(tmp_path / "a.ckpt", state, settings | {"mode": member.RANDOM}, optimizer_states=optimiser)
    found, read = read_official(path)
    assert read == settings | {"mode": "random"}
    assert type(read["mode"]) is str
    assert list(found) == list(state)
    assert all(found[k].dtype == v.dtype and torch.equal(found[k], v) for k, v in state.items())


def hostile(mark: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that run a command, fill the memory, claim what the file does not hold or are broken, and what the
    refusal must name."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    run = text(f"touch {mark}")
    evaluated = text(f"__import__('os').system({f'touch {mark}'!r})")
    system = b"cos\nsystem\n"
    popen = b"csubprocess\nPopen\n((" + text("touch") + text(str(mark)) + b"lt"
    return {
        "REDUCE": (b"\x80\x02" + system + b"(" + run + b"tR.", "os.system"),
        "STACK_GLOBAL": (b"\x80\x04" + text("os") + text("system") + b"\x93(" + run + b"tR.", "cannot be read"),
        "INST": (b"(" + run + b"ios\nsystem\n.", "os.system"),
        "eval": (b"\x80\x02cbuiltins\neval\n(" + evaluated + b"tR.", "builtins.eval"),
        "NEWOBJ": (b"\x80\x02" + popen + b"\x81.", "subprocess.Popen"),
        "PERSID": (b"Pwhatever\n.", "damaged"),
        "enum": (b"\x80\x02ccontrastive_model.constants\nos\n.", "contrastive_model.constants.os"),
        "enum of a list": (b"\x80\x02ccontrastive_model.constants\nDataset\n(]tR.", "TypeError"),
        "memory": (b"\x80\x02cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.", "builtins.bytearray"),  # torch allows it
        "3 GB by its storage": (claims((750_000_000, 0, (750_000_000,), (1,))), "damaged"),
        "by one value repeated": (claims((6, 0, (750_000_000,), (0,))), "damaged"),
        "past the end": (claims((6, 0, (2, 3), (4, 1))), "damaged"),
        "before the start": (claims((6, -1, (2,), (1,))), "damaged"),
        "negative shape": (claims((6, 0, (-2, -3), (1, 1))), "damaged"),
        "another folder": (claims((6, 0, (6,), (1,), "../data/0")), "damaged"),
        "empty": (b"", "damaged"),
        "a text of 4 GB": (b"\x80\x02X\xff\xff\xff\xffabc", "damaged"),
        "so deep a key": (b"\x80\x02}" + b")" + b"\x85" * 300_000 + b"Ns.", "damaged"),  # hashing would end the process
        "too long": (b"\x80\x02" + b"N" * LARGEST_PICKLE + b".", "damaged"),
    }


@pytest.mark.parametrize("kind", hostile(Path("x")))
def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(tmp_path, kind):
    mark = tmp_path / "ran"
    data, says = hostile(mark)[kind]
    assert says in refusal(rewrite(save(tmp_path / "a.ckpt"), {"data.pkl": data}))
    assert not mark.exists()
    if kind in ("REDUCE", "STACK_GLOBAL", "INST", "eval"):  # the attack is real: Python's own unpickler falls
        pickle.loads(data)
        assert mark.exists()


def test_every_damaged_byte_is_refused_or_harmless(tmp_path):
    """Whatever a flipped byte does, the answer is either an InputError or the checkpoint; cut files are refused."""
    path, generator, refused = save(tmp_path / "a.ckpt"), np.random.default_rng(0), 0
    data = path.read_bytes()
    cut_short = [data[: int(len(data) * share)] for share in (0, 0.05, 0.6, 0.95, 0.999)]
    for content in (*cut_short, b"<html>not found</html>", pickle.dumps({"state_dict": 1}), b"PK\x03\x04" + b"\0" * 90):
        path.write_bytes(content)
        assert "download it again" in refusal(path)
    for position in generator.choice(len(data), 200, replace=False):
        damaged = bytearray(data)
        damaged[position] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            assert read_official(path)[0]["encoder.weight"].shape == (2, 3)
        except InputError:
            refused += 1
    assert refused > 25
    at = data.index(np.arange(6, dtype=np.float32).tobytes())
    path.write_bytes(data[:at] + b"\x01" + data[at + 1 :])
    assert "another checksum" in refusal(path)
    assert "no such file" in refusal(tmp_path / "none.ckpt")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_without_a_pickle_or_that_are_larger_than_they_look_are_refused(tmp_path):
    """A bomb is small since it is compressed, or since many tensors name the same bytes."""
    assert "has no data.pkl" in refusal(rewrite(save(tmp_path / "e.ckpt"), {"data.pkl": None}))
    packed = rewrite(save(tmp_path / "a.ckpt"), {"data/0": bytes(1 << 24)}, zipfile.ZIP_DEFLATED)
    assert "claims to hold" in refusal(packed)
    assert "compressed" in refusal(rewrite(save(tmp_path / "b.ckpt"), {}, zipfile.ZIP_DEFLATED))
    twice = save(tmp_path / "d.ckpt")
    with zipfile.ZipFile(twice, "a") as archive:
        archive.writestr(archive.namelist()[0], b"N.")
    assert "two entries of one name" in refusal(twice)
    view = (6, 1, (2, 2), (2, 1))
    state, _ = read_official(rewrite(save(tmp_path / "c.ckpt"), {"data.pkl": claims(view, view)}))
    assert torch.equal(state["w1"], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    many = {"data.pkl": claims(*[(20_000, 0, (20_000,), (1,))] * 1000), "data/0": bytes(80_000)}
    assert "its tensors claim" in refusal(rewrite(save(tmp_path / "f.ckpt"), many))


WEIGHT, PLAIN = {"w": torch.ones(1)}, {"a": 1}
OTHERS = [
    ([1], "has no state_dict"),
    ({"state_dict": {}}, "has no state_dict"),
    ({"state_dict": WEIGHT}, "has no hyper_parameters"),
    ({"state_dict": {"w": 5}, "hyper_parameters": PLAIN}, "not a tensor under 'w'"),
    ({"state_dict": WEIGHT, "hyper_parameters": PLAIN, "callbacks": print}, "__builtin__.print"),
    ({"state_dict": WEIGHT, "hyper_parameters": {"a": [torch.ones(1)]}}, "'a' is not a plain"),
]


@pytest.mark.parametrize(("tree", "says"), OTHERS)
def test_something_else_in_the_right_format(tmp_path, tree, says):
    torch.save(tree, tmp_path / "a.ckpt")
    assert says in refusal(tmp_path / "a.ckpt")


def test_published_settings_name_their_variant():
    assert [variant_of(CONFIGURATIONS[name]) for name in VARIANTS] == list(VARIANTS)
    assert variant_of(SPECTRAL | {"backbone_type": "axial", "pool_type": "fft"}) == "phalar"  # its second names


ANOTHER = {"phalar": ("spec_pool_norm", "channel_wise"), "magnitude": ("spec_pool_components", 16)}
ANOTHER |= {"mert-real": ("final_mlp_norm", "bn"), "cocola": ("input_type", "none"), None: ("pool_type", "max")}


@pytest.mark.parametrize(("variant", "name", "value"), [(variant, *change) for variant, change in ANOTHER.items()])
def test_settings_that_make_another_model_or_none_are_refused(variant, name, value, tmp_path):
    path = save(tmp_path / "a.ckpt", settings=CONFIGURATIONS[variant or "phalar"] | {name: value})
    another = re.escape(f"{name}={value!r} makes another model than our '{variant}'")
    with pytest.raises(InputError, match=another if variant else r"a\.ckpt: no variant has the settings"):
        load_official(path)


def theirs(variant: str) -> dict[str, torch.Tensor]:
    """Weights of the right names and shapes, without the published files."""
    state = {}
    for name, (_, like) in named(variant).items():
        shape = (2 * len(like), *like.shape[1:]) if like.is_complex() else like.shape
        state[name] = torch.randn(shape) if like.is_floating_point() or like.is_complex() else torch.tensor(3)
    return state


@pytest.mark.parametrize("variant", sorted(VARIANTS.keys() - {"mert-complex"}))
def test_translation_fills_our_model_or_what_does_not_fit_is_named(variant):
    """Kernels of the transform are passed over, and MERT keeps its names."""
    state, one = theirs(variant), torch.ones(2)
    extra = {f"encoder.cqt_extractor.0.{n}": one for n in ("lenghts", "cqt_kernels_real", "cqt_kernels_imag")}
    if variant == "mert-real":
        inner = {"encoder.backbone.model.encoder.layers.0.w": one, "encoder.backbone.resampler.kernel": one}
        ours = translate(state | inner, variant)
        assert torch.equal(ours["backbone.model.encoder.layers.0.w"], one)
        assert not [name for name in ours if "resampler" in name or "norm" in name]
    else:
        fill(build(variant, seed=0), translate(state | (extra if variant == "phalar" else {}), variant), "theirs")
    name, weight = state.popitem()
    says = f"these are not the weights of '{variant}'.*: missing '{name}'; unexpected 'w'"
    with pytest.raises(InputError, match=says):
        translate({**state, "w": weight}, variant)


def described(**changes) -> dict[str, str]:
    """The text of a checkpoint of PHALAR, with some of it changed."""
    row = {"name": "phalar", "differs": ""} | {k: v for k, v in changes.items() if k not in ("format", "notes")}
    return {"format": changes.get("format", "phalar-1"), "variant": json.dumps(row), "notes": "{}"}


@pytest.mark.parametrize("name", ["phalar", "gap", "cosine", "cocola"])
def test_round_trip_is_bit_exact(name, stirred, tmp_path):
    model = stirred(name)
    phalar.save(model, tmp_path / "m.safetensors", steps=3, corpora=["chorales"])
    again = phalar.load(tmp_path / "m.safetensors")
    assert (again.variant, type(again), again.training) == (model.variant, type(model), False)
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert checkpoints.notes(tmp_path / "m.safetensors") == {"steps": 3, "corpora": ["chorales"]}


def test_a_killed_write_leaves_the_old_file_whole(stirred, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    phalar.save(stirred("gap"), path)
    before = path.read_bytes()

    def interrupted(file, data):
        file.open("wb").write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        phalar.save(stirred("phalar"), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def refused(path, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        phalar.load(path)
    assert str(path) in str(caught.value)


SPOILED = [
    (lambda t: t.pop("head.norm.gain"), r"missing 'head\.norm\.gain'"),
    (lambda t: t.update(extra=torch.ones(1)), "unexpected 'extra'"),
    (lambda t: t.update({"form.W": t["form.W"][:, :5].clone()}), r"form\.W is torch\.complex64 \(512, 5\), not"),
    (lambda t: t.update({"head.norm.gain": torch.ones(512).int()}), r"head\.norm\.gain is torch\.int32"),
    (lambda t: t.update({"form.W": t["form.W"] * complex(0, float("nan"))}), r"form\.W has NaN or infinite"),
]
DESCRIBED = [
    ({"format": "phalar-1", "variant": "no json"}, "names no variant"),
    ({"format": "phalar-9", "variant": "{}"}, "this version reads 'phalar-1'"),
    (described(surprise=1), "names no variant"),
    (described(pooling="eval"), "pooling = 'eval' does not exist; choose from spectral"),
    (described(channels=10**12), "channels = 1000000000000 does not exist; choose from whole numbers"),
    (described(channels=8), r"is torch\.float32"),
    ({**described(), "backbone": "{}"}, "has its own backbone"),
    (described(frontend="24 kHz", backbone="mert"), "needs MERT's weights"),
]


@pytest.mark.parametrize(
    ("spoil", "metadata", "says"),
    [*((spoil, described(), says) for spoil, says in SPOILED), *((bool, text, says) for text, says in DESCRIBED)],
)
def test_tensors_and_texts_that_make_no_model_are_named_and_change_nothing(tmp_path, spoil, metadata, says):
    model = build("phalar", seed=0)
    spoil(tensors := dict(model.state_dict()))
    save_file(tensors, tmp_path / "m.safetensors", metadata)
    refused(tmp_path / "m.safetensors", says)
    if spoil is not bool:
        before = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(InputError):
            checkpoints.fill(model, tensors, "here")
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_what_is_no_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    header = b'{"w":{"dtype":"F32","shape":[750000000],"data_offsets":[0,3000000000]}}'
    large = [struct.pack("<Q", 1 << 40) + b"{}", struct.pack("<Q", len(header)) + header + b"\0" * 4]
    for content in (b"", b"hello", pickle.dumps({"w": 1}), b"PK\x03\x04" + b"\0" * 100, *large):
        path.write_bytes(content)
        refused(path, "not a readable safetensors file")


def test_reference_loads_or_says_how_to_make_one(monkeypatch, tmp_path):
    assert phalar.load("reference").variant == PHALAR
    monkeypatch.setattr(checkpoints, "REFERENCE_FILE", tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="phalar train"):
        phalar.load("reference")
