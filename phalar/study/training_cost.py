"""What one training step of PHALAR costs, part by part: arithmetic, bytes moved, and time on this machine.

``python -m phalar.study.training_cost`` writes the table of the book page *What training costs* to standard output. The
first columns are counted on the device ``meta``, where nothing is computed; the last is measured.
"""

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from phalar import memory
from phalar.evaluate.bench import fastest
from phalar.evaluate.cost import formulas
from phalar.model.assembly import StemModel, build
from phalar.model.backbone import BLOCKS_PER_STAGE, STAGES, widths
from phalar.model.frontend import BINS, HOP, SAMPLE_RATE
from phalar.train import loop
from phalar.train.config import PRESETS
from phalar.train.objective import contrastive_loss

BATCH, SECONDS = 32, 5.0
H100_BANDWIDTH = 3.35e12  # bytes a second, from the maker's data sheet (SXM)
FUSED_PASSES = 2  # fused.c writes the input of each link on the way forward and reads it on the way back


@dataclass(frozen=True)
class Row:
    """One part of a step: FLOPs, bytes that PyTorch's operations move one by one, bytes that ours move, seconds."""

    name: str
    flops: int
    plain_bytes: int
    our_bytes: int
    seconds: float = 0.0


class ByteCounter(TorchDispatchMode):
    """Adds up the sizes of all that PyTorch's operations read and write, each operation by itself; views are free.

    A lower bound on what they move: an operation may read its input more than once, as a norm does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        view = any(r.alias_info is not None and not r.alias_info.is_write for r in function._schema.returns)
        if not view:
            self.total += sum(t.numel() * t.element_size() for t in _tensors((args, kwargs, out)))
        return out


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def parts(model: StemModel, waves: Tensor) -> list[tuple[str, Callable[[], object]]]:
    """The step cut into parts that can be run one by one and again, each forward and backward.

    Parameters
    ----------
    model : StemModel
        PHALAR, in training mode.
    waves : Tensor (2 B, N) float32
        Anchors, then positives.
    """
    backbone = model.backbone
    x, found = model.picture(waves), [("front end", lambda: model.picture(waves))]
    for i in range(STAGES):
        blocks = nn.Sequential(*backbone.blocks[BLOCKS_PER_STAGE * i : BLOCKS_PER_STAGE * (i + 1)])
        stage = blocks if i else nn.Sequential(backbone.stem, *blocks)
        found.append((f"backbone, stage {i + 1}", part := _both_ways(stage, x if i else x[:, None], bool(i))))
        x = part()
    found.append(("spectral pooling", part := _both_ways(model.pooling, x, True)))
    found.append(("complex head", part := _both_ways(model.head, part(), True)))
    found.append(("form and loss", _both_ways(lambda z: contrastive_loss(model.form(*z.chunk(2))), part(), True)))
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    steps = loop.optimisers(model, PRESETS["default"])
    found.append(("Muon", steps["muon"].step))
    found.append(("Adam", steps["adam"].step))
    return found


def _both_ways(part: Callable[[Tensor], Tensor], x: Tensor, to_input: bool) -> Callable[[], Tensor]:
    x = x.detach().requires_grad_(to_input)

    def run() -> Tensor:
        for leaf in (x, *(part.parameters() if isinstance(part, nn.Module) else ())):
            leaf.grad = None
        y = part(x)
        y.backward(torch.ones_like(y))
        return y.detach()

    return run


def fused_bytes(stage: int, clips: int, steps: int) -> int:
    """Bytes that ``fused.c`` moves to memory and back in a stage, counted from 0, of float32 pictures.

    The inputs of three branches and of the strided convolution, and of three wider branches, each moved
    ``FUSED_PASSES`` times. An item goes through the whole backbone before the next one: what else is read was written
    a moment ago and is in a cache still.
    """
    narrow, wide = widths()[stage : stage + 2]
    values = 4 * narrow * steps + 3 * (BLOCKS_PER_STAGE - 1) * wide * ((steps + 1) // 2)
    return 4 * clips * BINS * FUSED_PASSES * values


def counted(batch: int = BATCH, seconds: float = SECONDS) -> list[Row]:
    """A step's parts with their arithmetic and traffic; nothing is computed."""
    clips, samples = 2 * batch, round(seconds * SAMPLE_RATE)
    model, waves = build("phalar", seed=0).train().to("meta"), torch.empty(clips, samples, device="meta")
    model.picture(waves)  # tables that are made once are not part of the cost
    rows, steps = [], 1 + samples // HOP
    for name, part in parts(model, waves):
        with FlopCounterMode(display=False, custom_mapping=formulas()) as flops, ByteCounter() as moved:
            part()
        ours = moved.total
        if name.startswith("backbone"):
            ours = fused_bytes(len(rows) - 1, clips, steps)
            steps = (steps + 1) // 2
        rows.append(Row(name, flops.get_total_flops(), moved.total, ours))
    return rows


def measured(batch: int = BATCH, seconds: float = SECONDS) -> list[Row]:
    """The same with seconds: the shortest of three runs of each part, forward and backward, on this machine's CPU."""
    samples = round(seconds * SAMPLE_RATE)
    waves = 0.1 * torch.randn(2 * batch, samples, generator=torch.Generator().manual_seed(0))
    memory.keep_freed()  # as in training
    timed = parts(build("phalar", seed=0).train(), waves)
    return [replace(row, seconds=fastest(part)) for row, (_, part) in zip(counted(batch, seconds), timed, strict=True)]


def bytes_in_bfloat16(rows: list[Row]) -> int:
    """What a step moves at least, every operation by itself, if the backbone's pictures have two bytes a value."""
    return sum(r.plain_bytes // 2 if r.name.startswith("backbone") else r.plain_bytes for r in rows)


def balance() -> tuple[float, float]:
    """What this CPU does at best: FLOPs a second in a large matrix product, bytes a second in a large copy."""
    square = torch.randn(1024, 1024)
    source, target = torch.zeros(2, 2**25)
    product, copy = fastest(lambda: square @ square), fastest(lambda: target.copy_(source))
    return 2 * 1024**3 / product, 2 * source.numel() * source.element_size() / copy


def markdown(rows: list[Row], flops_a_second: float, bytes_a_second: float) -> str:
    """The rows as a Markdown table with its sum, and what follows from it."""
    total = Row("a step", *(sum(getattr(r, k) for r in rows) for k in ("flops", "plain_bytes", "our_bytes", "seconds")))
    lines = [
        "| part | GFLOP | MB, operation by operation | MB, ours | FLOP per byte, before | ours | ms | share |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r.name} | {r.flops / 1e9:,.1f} | {r.plain_bytes / 1e6:,.0f} | {r.our_bytes / 1e6:,.0f} "
        f"| {r.flops / r.plain_bytes:.1f} | {r.flops / r.our_bytes:.1f} "
        f"| {1000 * r.seconds:,.0f} | {100 * r.seconds / total.seconds:.0f} % |"
        for r in [*rows, total]
    ]
    backbone = [r for r in rows if r.name.startswith("backbone")]
    share = sum(r.plain_bytes for r in backbone) / total.plain_bytes
    return "\n".join(lines) + (
        f"\n\nMeasured on {platform.machine()}, {torch.get_num_threads()} thread(s), PyTorch {torch.__version__}. "
        f"This processor does {flops_a_second / 1e9:,.0f} GFLOP a second in a large matrix product and moves "
        f"{bytes_a_second / 1e9:,.1f} GB a second in a large copy: it is in balance at "
        f"{flops_a_second / bytes_a_second:,.0f} FLOP per byte. Operation by operation, {100 * share:.0f} % of the "
        f"bytes are the backbone's; to move all of them takes it {total.plain_bytes / bytes_a_second:,.1f} s at least, "
        f"and ours {total.our_bytes / bytes_a_second:,.1f} s. At an H100's 3.35 TB a second, with the backbone's "
        f"pictures in bfloat16 and every operation by itself, it is "
        f"{1000 * bytes_in_bfloat16(rows) / H100_BANDWIDTH:,.0f} ms.\n"
    )


if __name__ == "__main__":
    sys.stdout.write(markdown(measured(), *balance()))
