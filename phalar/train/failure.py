"""When a number is not finite: everything of that step is kept, and ``python -m phalar.train.failure FILE`` repeats it
and names what is not finite first. Book page *How it is trained*, "When the loss is no number"."""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from phalar.errors import InputError
from phalar.model import checkpoints
from phalar.model.assembly import build
from phalar.train.objective import Objective

FAILED = "failed-step.safetensors"
SETTINGS = ("target", "negatives", "joint")


def keep(path: Path, objective: Objective, shards: list[Tensor], seeds: list[int], about: dict) -> None:
    """Write the weights before the step, and the batch with its noise."""
    tensors = {f"model/{name}": tensor for name, tensor in objective.model.state_dict().items()}
    tensors |= {f"shard/{i}": waves for i, waves in enumerate(shards)}
    about = about | {name: getattr(objective, name) for name in SETTINGS} | {"seeds": seeds}
    about |= {"variant": objective.model.variant.name, "picture_noise": objective.model.picture_noise}
    checkpoints.write_tensors(path, tensors, {"about": json.dumps(about)})


def replay(path: Path) -> dict:
    """Repeat a kept step on the CPU; an InputError if the file holds none. Gives what :func:`keep` was told, ``loss``,
    and in the order of the passes the first module (``first_output``) and weight (``first_gradient``) not finite."""
    tensors, metadata = checkpoints.read_tensors(path)
    if "about" not in metadata:
        raise InputError(f"{path} holds no failed step; give the {FAILED} that training wrote")
    about = json.loads(metadata["about"])
    objective = Objective(build(about["variant"], seed=0).train(), **{name: about[name] for name in SETTINGS})
    objective.model.picture_noise = about["picture_noise"]
    objective.model.load_state_dict(below("model/", tensors))  # not `fill`, which would refuse what is not finite
    outputs, gradients = [], []
    for name, module in objective.model.named_modules():
        module.register_forward_hook(lambda m, given, out, name=name: None if finite(out) else outputs.append(name))
    for name, weight in objective.model.named_parameters():
        weight.register_hook(lambda grad, name=name: None if finite(grad) else gradients.append(name))
    loss, _ = objective([tensors[f"shard/{i}"] for i in range(len(about["seeds"]))], about["seeds"])
    loss.backward()
    first = {"first_output": next(iter(outputs), None), "first_gradient": next(iter(gradients), None)}
    return about | {"loss": loss.item()} | first


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def finite(value: object) -> bool:
    """Whether a tensor, real or complex, has finite entries only; True of what is no tensor."""
    return not isinstance(value, Tensor) or bool(torch.isfinite(value).all())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(replay(Path(sys.argv[1])), indent=1) + "\n")
