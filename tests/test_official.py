"""Reading the authors' checkpoints: what is right comes through, whatever is not is refused and nothing runs."""

import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from enum import Enum
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.official import VARIANTS, _rules, read_official, translate, variant_of
from phalar.model.torch_zip import LARGEST_PICKLE, TorchZip
from phalar.model.variants import VARIANTS as REGISTRY

VECTORS = Path(__file__).resolve().parents[2] / "shared" / "official_vectors"

# Settings as the authors' configurations give them.
SPECTRAL = {
    "embedding_dim": 512,
    "input_type": "single_channel_mel_spectrogram",
    "comparison_method": "bilinear_similarity",
    "backbone_type": "freqtimeseparable",
    "ft_sep_init_hidden_dim": 8,
    "ft_sep_depth": 5,
    "pool_type": "spec_pool",
    "spec_pool_out_channels": 80,
    "spec_pool_components": 8,
    "spec_pool_norm": "global",
    "spec_pool_complex_output": True,
    "spec_pool_center_padding": True,
    "input_freq_bins": 96,
    "do_cqt": True,
}
MERT = {name: value for name, value in SPECTRAL.items() if name != "input_freq_bins"} | {
    "backbone_type": "mert",
    "do_cqt": False,
}
CONFIGURATIONS = {
    "phalar": SPECTRAL,
    "gap": SPECTRAL | {"pool_type": "avg", "spec_pool_complex_output": False},
    "magnitude": SPECTRAL | {"spec_pool_complex_output": False},
    "cosine": SPECTRAL | {"comparison_method": "cosine_similarity"},
    "psd": SPECTRAL | {"comparison_method": "psd_bilinear_similarity"},
    "hermitian": SPECTRAL | {"comparison_method": "hermitian_bilinear_similarity"},
    "mel": SPECTRAL | {"do_cqt": False},
    "cocola": {
        "embedding_mode": "random",
        "input_type": "double_channel_harmonic_percussive",
        "comparison_method": "cocola_similarity",
        "backbone_type": "efficientnet",
        "pool_type": "avg",
        "input_freq_bins": 64,
        "efficientnet_init_weights": False,
    },
    "mert-complex": MERT,
    "mert-real": {**MERT, "pool_type": "avg", "spec_pool_complex_output": False, "final_mlp_norm": None},
}


# ---------------------------------------------------------------- making files


def save(path: Path, state: dict | None = None, settings: dict | None = None, **more: object) -> Path:
    """A small Lightning checkpoint, written by torch itself."""
    if state is None:
        state = {"encoder.weight": torch.arange(6.0).view(2, 3)}
    tree = {"epoch": 3, "state_dict": OrderedDict(state), "hyper_parameters": settings or SPECTRAL, **more}
    torch.save(tree, path)
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


def with_pickle(path: Path, data: bytes) -> Path:
    """A checkpoint whose data.pkl is this."""
    return rewrite(save(path), {"data.pkl": data})


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def checkpoint_pickle(tensor: bytes) -> bytes:
    """The steps that make {"state_dict": {"w": tensor}, "hyper_parameters": {"do_cqt": True}}."""
    state = b"}" + text("w") + tensor + b"s"
    return (
        b"\x80\x02}" + text("state_dict") + state + b"s" + text("hyper_parameters") + b"}" + text("do_cqt") + b"\x88ss."
    )


def tensor_pickle(values: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], storage="0") -> bytes:
    """The steps that make a float tensor of a storage of so many values."""

    def number(n: int) -> bytes:
        data = n.to_bytes((n.bit_length() + 8) // 8, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data

    def numbers(row: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(number(n) for n in row) + b"t"

    persistent = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(storage) + text("cpu") + number(values) + b"tQ"
    )
    hooks = b"ccollections\nOrderedDict\n)R"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + persistent + number(offset) + numbers(shape) + numbers(stride) + b"\x89" + hooks + b"tR"
    )  # fmt: skip


# ---------------------------------------------------------------- what comes through


def test_round_trip(tmp_path):
    shared = torch.arange(12.0)
    state = {
        "plain": torch.randn(3, 4),
        "transposed": torch.randn(3, 4).T,
        "window": shared[2:8].view(2, 3),
        "shared": shared,
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "counter": torch.tensor(7),
        "double": torch.randn(2, dtype=torch.float64),
        "half": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
        "complex": torch.randn(3, dtype=torch.complex64),
        "mask": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }
    settings = {"a": 1, "b": 0.5, "c": "x", "d": None, "e": True, "f": [1, 2], "g": -(2**40)}
    optimiser = [{"state": {0: {"momentum": torch.ones(2)}}, "param_groups": [{"betas": (0.9, 0.95), "params": [0]}]}]
    read = read_official(save(tmp_path / "a.ckpt", state, settings, optimizer_states=optimiser))
    assert read.hyper_parameters == settings
    assert list(read.state) == list(state)
    for name, tensor in state.items():
        assert read.state[name].dtype == tensor.dtype
        assert torch.equal(read.state[name], tensor), name


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_any_pickle_protocol(tmp_path, protocol):
    state = OrderedDict(w=torch.randn(2, 3))
    tree = {"state_dict": state, "hyper_parameters": {"do_cqt": True}}
    torch.save(tree, tmp_path / "a.ckpt", pickle_protocol=protocol)
    assert torch.equal(read_official(tmp_path / "a.ckpt").state["w"], state["w"])


def test_versions_of_a_real_state_dict_are_passed_over(tmp_path):
    state = torch.nn.Linear(2, 3).state_dict()
    assert state._metadata  # pickled with it, as an attribute
    torch.save({"state_dict": state, "hyper_parameters": {"do_cqt": True}}, tmp_path / "a.ckpt")
    assert list(read_official(tmp_path / "a.ckpt").state) == ["weight", "bias"]


def test_big_endian_files(tmp_path):
    values = np.arange(6, dtype=np.float32)
    path = rewrite(save(tmp_path / "a.ckpt"), {"byteorder": b"big", "data/0": values.astype(">f4").tobytes()})
    assert torch.equal(read_official(path).state["encoder.weight"], torch.from_numpy(values).view(2, 3))


def test_enumerations_become_their_values(tmp_path, monkeypatch):
    """The authors' module need not exist where the file is read."""
    constants = ModuleType("contrastive_model.constants")
    member = Enum("EmbeddingMode", {"RANDOM": "random"}, module=constants.__name__)
    constants.EmbeddingMode = member
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "contrastive_model", ModuleType("contrastive_model"))
        patch.setitem(sys.modules, constants.__name__, constants)
        path = save(tmp_path / "a.ckpt", settings={"embedding_mode": member.RANDOM})
    assert read_official(path).hyper_parameters == {"embedding_mode": "random"}
    assert "contrastive_model" not in sys.modules


@pytest.mark.parametrize("name", ["phalar", "cocola"])
def test_real_format_checkpoints(name):
    if not VECTORS.is_dir():
        pytest.skip(f"the published vectors are not at {VECTORS}")
    read = read_official(VECTORS / f"{name}.ckpt")
    assert read.variant == name
    expected = torch.load(VECTORS / f"{name}.ckpt", weights_only=False, pickle_module=_Stubbed)["state_dict"]
    assert list(read.state) == list(expected)
    assert all(torch.equal(read.state[key], expected[key]) for key in expected)


class _Stubbed:
    """torch's own reader with the authors' enumerations stubbed: the second implementation."""

    load, loads = pickle.load, pickle.loads

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            return str if module == "contrastive_model.constants" else super().find_class(module, name)


# ---------------------------------------------------------------- what is refused


class Bomb:
    """Its unpickling calls open(path, "w"): the file tells that something ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def command(mark: Path) -> str:
    return f"touch {mark}"


def attacks(mark: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that would run a command when loaded, and what the refusal must name."""
    run = text(command(mark))
    evaluated = text(f"__import__('os').system({command(mark)!r})")
    system = b"cos\nsystem\n"
    popen = b"csubprocess\nPopen\n((" + text("touch") + text(str(mark)) + b"lt"
    return {
        "REDUCE": (b"\x80\x02" + system + b"(" + run + b"tR.", "os.system"),
        "STACK_GLOBAL": (b"\x80\x04" + text("os") + text("system") + b"\x93(" + run + b"tR.", "os.system"),
        "INST": (b"(" + run + b"ios\nsystem\n.", "os.system"),
        "OBJ": (b"(" + system + run + b"o.", "os.system"),
        "NEWOBJ": (b"\x80\x02" + popen + b"\x81.", "subprocess.Popen"),
        "NEWOBJ_EX": (b"\x80\x04" + popen + b"}\x92.", "subprocess.Popen"),
        "BUILD": (
            b"\x80\x02ccodecs\nStreamReader\n)\x81}" + text("reset") + system + b"sb.",
            "codecs.StreamReader",
        ),
        "BUILD on a known name": (b"\x80\x02ccollections\nOrderedDict\n}" + text("a") + b"K\x01sb.", "damaged"),
        "EXT1": (b"\x80\x02\x82\x01.", "EXT1"),
        "PERSID": (b"Pwhatever\n.", "PERSID"),
        "eval": (b"\x80\x02cbuiltins\neval\n(" + evaluated + b"tR.", "builtins.eval"),
        "dotted": (b"\x80\x04" + text("torch._utils") + text("os.system") + b"\x93(" + run + b"tR.", "utils.os.system"),
        "getattr": (b"\x80\x02c__builtin__\ngetattr\n.", "__builtin__.getattr"),
        "enum": (b"\x80\x02ccontrastive_model.constants\nos\n.", "contrastive_model.constants.os"),
        "torch.load": (b"\x80\x02ctorch\nload\n(" + run + b"tR.", "torch.load"),
        "hub": (b"\x80\x02ctorch.hub\nload\n(" + run + b"tR.", "torch.hub.load"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", attacks(Path("x")))
def test_nothing_of_a_malicious_pickle_runs(tmp_path, kind):
    mark = tmp_path / "ran"
    data, named = attacks(mark)[kind]
    path = with_pickle(tmp_path / "a.ckpt", data)
    with pytest.raises(InputError) as refused:
        read_official(path)
    message = str(refused.value)
    assert str(path) in message
    assert named in message
    assert "\n" not in message
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["REDUCE", "STACK_GLOBAL", "INST", "OBJ", "eval"])
def test_those_pickles_do_run_elsewhere(tmp_path, kind):
    """The attacks are real: the standard unpickler falls for them."""
    mark = tmp_path / "ran"
    pickle.loads(attacks(mark)[kind][0])
    assert mark.exists()


@pytest.mark.parametrize("place", ["state", "settings", "elsewhere"])
def test_a_bomb_is_found_wherever_it_lies(tmp_path, place):
    mark = tmp_path / "ran"
    bomb = {"w": Bomb(mark)}
    arguments = {"state": {"state": bomb}, "settings": {"settings": bomb}, "elsewhere": {"callbacks": bomb}}[place]
    path = save(tmp_path / "a.ckpt", **arguments)
    with pytest.raises(InputError, match=r"io\.open"):
        read_official(path)
    assert not mark.exists()


def test_a_crafted_tensor_is_read_when_it_is_honest(tmp_path):
    """So that what the next test refuses is refused for its sizes."""
    path = with_pickle(tmp_path / "a.ckpt", checkpoint_pickle(tensor_pickle(6, 1, (2, 2), (2, 1))))
    assert torch.equal(read_official(path).state["w"], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize(
    "layout",
    [
        (750_000_000, 0, (750_000_000,), (1,)),  # 3 GB by its storage
        (6, 0, (750_000_000,), (1,)),  # by its shape
        (6, 0, (750_000_000,), (0,)),  # by one value repeated
        (6, 0, (6, 125_000_000), (1, 0)),
        (6, 0, (2, 3), (4, 1)),  # reads past the end
        (6, 5, (2,), (1,)),
        (6, 10**9, (0,), (1,)),
        (6, -1, (2,), (1,)),  # reads before the start
        (6, 5, (2,), (-1,)),
        (6, 0, (-2, -3), (1, 1)),
        (-6, 0, (1,), (1,)),
        (6, 0, (2, 3), (1,)),  # axes without steps
        (6, 0, (2**200,), (1,)),
        (2**62, 0, (2**62,), (1,)),
        (6, 0, (1,) * 1000, (1,) * 1000),
        (5, 0, (5,), (1,)),  # fewer than the entry holds
    ],
)
def test_claims_beyond_the_file_are_refused(tmp_path, layout):
    path = with_pickle(tmp_path / "a.ckpt", checkpoint_pickle(tensor_pickle(*layout)))
    with pytest.raises(InputError, match="damaged") as refused:
        read_official(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("storage", ["7", "../data/0", "0\n", ""])
def test_missing_storages_are_refused(tmp_path, storage):
    path = with_pickle(tmp_path / "a.ckpt", checkpoint_pickle(tensor_pickle(6, 0, (6,), (1,), storage)))
    with pytest.raises(InputError, match="'w' claims 24 bytes where the file has 0"):
        read_official(path)


def test_many_views_of_one_storage_are_refused(tmp_path):
    """Each is honest; together they would take a thousand times the file."""
    view = tensor_pickle(6, 0, (6,), (1,))
    state = b"}(" + b"".join(text(f"w{i}") + view for i in range(2)) + b"u"
    many = b"}(" + text("w") + tensor_pickle(20_000, 0, (20_000,), (1,)) + b"q\x01"
    many += b"".join(text(f"w{i}") + b"h\x01" for i in range(1000)) + b"u"

    def whole(state):
        return (
            b"\x80\x02}" + text("state_dict") + state + b"s" + text("hyper_parameters") + b"}" + text("a") + b"\x88ss."
        )

    assert len(read_official(with_pickle(tmp_path / "few.ckpt", whole(state))).state) == 2
    path = with_pickle(tmp_path / "many.ckpt", whole(many))
    rewrite(path, {"data/0": bytes(80_000)})
    with pytest.raises(InputError, match="its tensors claim"):
        read_official(path)


def test_a_deep_key_does_not_overflow_the_stack(tmp_path):
    """Hashing a tuple nested hundreds of thousands deep would end the process."""
    deep = b"}" + b")" + b"\x85" * 300_000 + b"Ns"
    path = with_pickle(tmp_path / "a.ckpt", b"\x80\x02" + deep + b".")
    with pytest.raises(InputError, match="damaged"):
        read_official(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x02}",  # no end
        b"\x80\x02N.",
        b"\x80\x02\x85.",  # empty stack
        b"\x80\x02t.",  # no mark
        b"\x80\x02h\x05.",  # empty memo
        b"\x80\x02}(Nu.",
        b"\xff\xfe",
        b"\x80\x02X\xff\xff\xff\xffabc",  # a text of 4 GB
        b"\x80\x04\x8d" + b"\xff" * 8 + b"abc",
        b"\x80\x02(" + b"0" * 5,
        b"\x80\x02]]\x93.",  # names that are lists
        b"\x80\x02r\xff\xff\xff\x7f.",  # the standard unpickler would make room for 2 billion memos
        b"\x80\x02NK\x00K\x01\x87Q.",
    ],
)
def test_broken_pickles_are_refused(tmp_path, data):
    path = with_pickle(tmp_path / "a.ckpt", data)
    with pytest.raises(InputError) as refused:
        read_official(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_enormous_pickle_is_refused(tmp_path):
    with pytest.raises(InputError, match="more than the"):
        read_official(with_pickle(tmp_path / "a.ckpt", b"\x80\x02" + b"N" * LARGEST_PICKLE + b"."))


def test_not_a_file(tmp_path):
    for path in (tmp_path / "none.ckpt", tmp_path):
        with pytest.raises(InputError, match="no such file") as refused:
            read_official(path)
        assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "data", [b"", b"<html>not found</html>", pickle.dumps({"state_dict": 1}), b"PK\x03\x04" + b"\0" * 90]
)
def test_not_a_zip(tmp_path, data):
    path = tmp_path / "a.ckpt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"is not a zip archive.*download it again"):
        read_official(path)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95, 0.999])
def test_truncated(tmp_path, share):
    path = save(tmp_path / "a.ckpt")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"a\.ckpt"):
        read_official(path)


def test_every_damaged_byte_is_refused_or_harmless(tmp_path):
    """Whatever a flipped byte does, the answer is either an InputError or the checkpoint."""
    path = save(tmp_path / "a.ckpt")
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for position in generator.choice(len(data), 400, replace=False):
        damaged = bytearray(data)
        damaged[position] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            assert read_official(path).state["encoder.weight"].shape == (2, 3)
        except InputError:
            refused += 1
    assert refused > 50


def test_a_damaged_number_is_noticed(tmp_path):
    """The archive's checksum is compared."""
    path = save(tmp_path / "a.ckpt", {"w": torch.full((1000,), 1.5)})
    data = path.read_bytes()
    at = data.index(np.full(10, 1.5, np.float32).tobytes()) + 400
    path.write_bytes(data[:at] + b"\x01" + data[at + 1 :])
    with pytest.raises(InputError, match="'data/0' cannot be read"):
        read_official(path)


def test_compressed_entries_are_refused(tmp_path):
    """A zip bomb is small because it is compressed; torch never compresses."""
    path = rewrite(save(tmp_path / "a.ckpt"), {"data/0": bytes(1 << 24)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 17
    with pytest.raises(InputError, match=r"claims to hold|compressed"):
        read_official(path)


def test_overlapping_entries_are_refused(tmp_path):
    """A bomb without compression: many entries of the directory name the same bytes."""
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(save(path), "a") as archive:
        archive.writestr("archive/data/big", bytes(50_000))
        big = archive.getinfo("archive/data/big")
        for i in range(20):
            twin = zipfile.ZipInfo(f"archive/data/{i + 100}")
            twin.file_size = twin.compress_size = big.file_size
            twin.CRC, twin.header_offset = big.CRC, big.header_offset
            archive.filelist.append(twin)
    with pytest.raises(InputError, match="claims to hold"):
        read_official(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path):
    path = save(tmp_path / "a.ckpt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"N.")
    with pytest.raises(InputError, match="two of one name"):
        read_official(path)


def test_a_zip_of_something_else(tmp_path):
    path = rewrite(save(tmp_path / "a.ckpt"), {"data.pkl": None})
    with pytest.raises(InputError, match=r"has no data\.pkl; give a checkpoint"):
        read_official(path)


@pytest.mark.parametrize(
    "tree", [{"hyper_parameters": {"a": 1}}, {"state_dict": {"w": torch.ones(1)}}, [1], 5, {"state_dict": {}}]
)
def test_something_else_in_the_right_format(tmp_path, tree):
    torch.save(tree, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"has no (state_dict|hyper_parameters); give a Lightning checkpoint"):
        read_official(tmp_path / "a.ckpt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(tmp_path, value):
    path = save(tmp_path / "a.ckpt", {"fine": torch.ones(2), "sick": torch.tensor([1.0, value])})
    with pytest.raises(InputError, match=r"'sick' holds values that are not finite.*earlier checkpoint"):
        read_official(path)


def test_an_optimiser_that_diverged_does_not_matter(tmp_path):
    path = save(tmp_path / "a.ckpt", optimizer_states=[{"state": {0: torch.tensor([float("nan")])}}])
    assert "encoder.weight" in read_official(path).state


def test_a_weight_that_is_no_tensor(tmp_path):
    with pytest.raises(InputError, match="not a tensor under 'w'"):
        read_official(save(tmp_path / "a.ckpt", {"w": 5}))


@pytest.mark.parametrize("value", [torch.ones(2), {"a": 1}, [[1]], [torch.ones(1)]])
def test_a_setting_that_is_not_plain(tmp_path, value):
    with pytest.raises(InputError, match="setting 'augment' is not a plain value"):
        read_official(save(tmp_path / "a.ckpt", settings={"augment": value}))


def test_the_file_is_closed_again(tmp_path):
    path = save(tmp_path / "a.ckpt")
    with TorchZip(path) as file:
        file.tree()
    assert file.archive.fp is None


# ---------------------------------------------------------------- which variant


@pytest.mark.parametrize("variant", CONFIGURATIONS)
def test_published_settings_name_their_variant(variant):
    assert variant_of(CONFIGURATIONS[variant]) == variant
    assert set(CONFIGURATIONS) == set(VARIANTS)


@pytest.mark.parametrize(
    ("variant", "name", "value"),
    [
        ("phalar", "embedding_dim", 256),
        ("phalar", "ft_sep_depth", 4),
        ("phalar", "spec_pool_components", 16),
        ("phalar", "spec_pool_norm", "channel_wise"),
        ("phalar", "spec_pool_center_padding", False),
        ("phalar", "complex_use_silu", True),
        ("phalar", "complex_mlp_bias", True),
        ("phalar", "input_freq_bins", 132),
        ("mel", "input_freq_bins", 513),
        ("gap", "final_mlp_norm", "ln"),
        ("gap", "final_mlp", False),
        ("cocola", "input_type", "single_channel_mel_spectrogram"),
        ("mert-real", "final_mlp_norm", "bn"),
        ("mert-complex", "mert_layer_idx", 6),
    ],
)
def test_settings_that_make_another_model_are_refused(variant, name, value):
    with pytest.raises(InputError, match=f"{name}={value!r} makes another model than our '{variant}'"):
        variant_of({**CONFIGURATIONS[variant], name: value})


def test_a_setting_left_out_takes_their_default():
    settings = dict(SPECTRAL)
    del settings["spec_pool_center_padding"]  # theirs is False
    with pytest.raises(InputError, match="spec_pool_center_padding=False"):
        variant_of(settings)


@pytest.mark.parametrize(
    "change",
    [{"pool_type": "max"}, {"backbone_type": "resnet"}, {"comparison_method": "cocola_similarity"}, {"do_cqt": [1]}],
)
def test_no_variant_has_these_settings(change):
    with pytest.raises(InputError, match="no variant has the settings"):
        variant_of({**SPECTRAL, **change})


def test_the_refusal_names_the_file(tmp_path):
    read = read_official(save(tmp_path / "a.ckpt", settings={**SPECTRAL, "pool_type": "max"}))
    with pytest.raises(InputError, match=r"a\.ckpt: no variant has"):
        _ = read.variant


# ---------------------------------------------------------------- their names to ours


def theirs(variant: str) -> dict[str, torch.Tensor]:
    """Weights of the right names and shapes, without the published files."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(rule.shape, generator=generator) for name, rule in _rules(variant)}


@pytest.mark.parametrize("variant", ["phalar", "cosine", "gap", "magnitude", "mel"])
def test_every_published_name_is_translated(variant):
    if not VECTORS.is_dir():
        pytest.skip(f"the published vectors are not at {VECTORS}")
    if variant == "phalar":
        state = read_official(VECTORS / "phalar.ckpt").state
    else:
        with np.load(VECTORS / f"{variant}.npz") as stored:
            state = {
                k.removeprefix("state/"): torch.from_numpy(stored[k]) for k in stored.files if k.startswith("state/")
            }
    ours = translate(state, variant)
    learned = {name: tensor for name, tensor in ours.items() if "running" not in name and "batches" not in name}
    reals = sum(t.numel() * (2 if t.is_complex() else 1) for t in learned.values())
    counts = {"cosine": 2_293_105, "gap": 684_400, "magnitude": 1_442_160}
    assert reals == counts.get(variant, 2_293_104)
    assert torch.equal(ours["backbone.blocks.3.time.mix.bias"], state["encoder.backbone.layers.3.time_conv.1.bias"])


def test_stacked_rows_become_complex():
    state = theirs("phalar")
    ours = translate(state, "phalar")
    stacked = state["encoder.mlp.0.W.weight"]
    assert ours["head.linear1.weight"].dtype == torch.complex64
    assert torch.equal(ours["head.linear1.weight"].real, stacked[:512])
    assert torch.equal(ours["head.linear1.weight"].imag, stacked[512:])
    # Their layer: the two halves of W applied to the real and the imaginary part, put together by hand.
    z = torch.randn(640, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    re, im = (stacked @ z.real).chunk(2), (stacked @ z.imag).chunk(2)
    expected = torch.complex(re[0] - im[1], re[1] + im[0])
    torch.testing.assert_close(ours["head.linear1.weight"] @ z, expected, rtol=1e-4, atol=1e-4)


def test_translation_of_cocola_fills_the_model():
    model = build("cocola")
    ours = translate(theirs("cocola"), "cocola")
    assert {name: t.shape for name, t in ours.items()} == {name: t.shape for name, t in model.state_dict().items()}
    assert len(theirs("cocola")) == 370


@pytest.mark.parametrize("variant", sorted(REGISTRY.keys() & VARIANTS.keys() - {"mert-complex", "mert-real"}))
def test_translation_fills_our_model(variant):
    ours, model = translate(theirs(variant), variant), build(variant)
    wanted = {name: (tensor.shape, tensor.is_complex()) for name, tensor in model.state_dict().items()}
    assert {name: (tensor.shape, tensor.is_complex()) for name, tensor in ours.items()} == wanted


def test_translation_is_a_copy_in_single_precision():
    state = {name: tensor.double() for name, tensor in theirs("gap").items()}
    ours = translate(state, "gap")
    assert {t.dtype for name, t in ours.items() if "batches" not in name} == {torch.float32}
    ours["backbone.stem.weight"].zero_()
    assert state["encoder.backbone.input_proj.weight"].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_does_not_fit_is_named(variant):
    state = theirs(variant)
    translate(state, variant)
    name = next(reversed(state))
    with pytest.raises(InputError, match=f"missing '{name}'"):
        translate({k: v for k, v in state.items() if k != name}, variant)
    with pytest.raises(InputError, match=r"unexpected 'encoder\.extra'"):
        translate({**state, "encoder.extra": torch.ones(1)}, variant)
    with pytest.raises(InputError, match=rf"{name}' has shape \(3, 2\) where"):
        translate({**state, name: torch.ones(3, 2)}, variant)
    with pytest.raises(InputError, match="not finite"):
        translate({**state, name: state[name] * float("nan")}, variant)


def test_many_names_make_one_short_line():
    with pytest.raises(InputError) as refused:
        translate({f"w{i}": torch.ones(1) for i in range(500)}, "phalar")
    assert "and 496 more" in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_weights_of_one_variant_are_not_another(tmp_path):
    with pytest.raises(InputError, match="not the weights of 'gap'"):
        translate(theirs("phalar"), "gap")
    with pytest.raises(InputError, match="'tiny'; choose from phalar, gap"):
        translate({}, "tiny")


def test_kernels_of_the_transform_are_passed_over():
    state = theirs("phalar")
    extra = {
        f"encoder.cqt_extractor.0.{name}": torch.ones(2) for name in ("lenghts", "cqt_kernels_real", "cqt_kernels_imag")
    }
    assert set(translate({**state, **extra}, "phalar")) == set(translate(state, "phalar"))


def test_mert_keeps_its_own_names():
    """It is frozen and published elsewhere; what a checkpoint holds of it is handed on."""
    state = theirs("mert-real")
    inner = {
        "encoder.backbone.model.encoder.layers.0.w": torch.ones(2),
        "encoder.backbone.resampler.kernel": torch.ones(2),
    }
    ours = translate({**state, **inner}, "mert-real")
    assert torch.equal(ours["backbone.model.encoder.layers.0.w"], torch.ones(2))
    assert not [name for name in ours if "resampler" in name or "norm" in name]
    assert translate(theirs("mert-complex"), "mert-complex")["pooling.project.weight"].shape == (80, 768)
