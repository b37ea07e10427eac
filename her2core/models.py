"""Weights and their cards: `NAME.safetensors` beside `NAME.json`, bound by a SHA-256.

The card travels with the weights and says what they are: architecture and its configuration, how and on what they
were trained, how well they do and where they fail. A weights file that is not the one of its card is refused, so
that no result can name a model that did not make it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from her2core.errors import ModelError, ScoringError, WeightsMismatchError, WeightsMissingError
from her2core.records import STAGES, ModelUsed, SystematicError

__all__ = [
    "card_of",
    "cards_of",
    "fingerprint",
    "full_precision",
    "load_weights",
    "pick_device",
    "save_weights",
    "short_name",
    "to_device",
    "used_models",
    "write_atomically",
]


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either its old content or all of the new, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def save_weights(path: Path, state: Mapping[str, Tensor], card: Mapping[str, Any], *, half: bool = True) -> None:
    """Store weights at `path` (`.safetensors`) and their card beside it.

    `half` keeps floating tensors as float16: half the size, and loaded back to float32; the loss is far below what
    the benchmark can see.
    """
    tensors = {
        name: (value.detach().cpu().half() if half and value.is_floating_point() else value.detach().cpu()).contiguous()
        for name, value in state.items()
    }
    data = save_safetensors(tensors)
    text = json.dumps(
        {**card, "sha256": hashlib.sha256(data).hexdigest()}, indent=2, sort_keys=True, ensure_ascii=False
    )
    write_atomically(path, data)
    write_atomically(path.with_suffix(".json"), (text + "\n").encode())


def card_of(path: Path) -> dict[str, Any]:
    """The card beside the weights at `path`.

    Raises WeightsMissingError if there is none, ModelError if it cannot be read.
    """
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsMissingError(
            f"The model card {card_path.name} is missing. Restore the folder 'models' from the release, or "
            "name another folder with HER2CORE_WEIGHTS_DIR."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"The model card {card_path.name} cannot be read ({type(error).__name__}).") from error
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), str):
        raise ModelError(f"The model card {card_path.name} names no SHA-256 of its weights.")
    return card


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights (floating tensors as float32, on the CPU) and card.

    Raises WeightsMissingError, WeightsMismatchError where the file is not the one of its card, and ModelError where it
    cannot be read.
    """
    card = card_of(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise WeightsMissingError(
            f"The weights {path.name} are missing. Restore the folder 'models' from the release, or name "
            "another folder with HER2CORE_WEIGHTS_DIR."
        ) from None
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise WeightsMismatchError(
            f"The weights {path.name} are not those that their card describes (their SHA-256 differs). They are not "
            "used. Restore both files from the same release."
        )
    try:
        tensors = load_safetensors(data)
    except SafetensorError as error:
        raise ModelError(f"The weights {path.name} cannot be read.") from error
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, card


def cards_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The cards of both stages' models in a folder, by stage. Raises as `card_of` does."""
    return {stage: card_of(folder / f"{stage}.safetensors") for stage in STAGES}


def used_models(cards: Mapping[str, Mapping[str, Any]], counting: str) -> tuple[ModelUsed, ...]:
    """How results name the models of these cards, by stage; `counting`: one of `settings.COUNTING`."""
    return tuple(_used(stage, card, counting if stage == "counter" else "") for stage, card in cards.items())


def short_name(card: Mapping[str, Any]) -> str:
    """A model in lists, for example "detector 1.0 3f2a9c81d0e4"."""
    return str(_used("", card, ""))


def _used(stage: str, card: Mapping[str, Any], reading: str) -> ModelUsed:
    error = card.get("config", {}).get("systematic_error")
    try:
        known = None if error is None else SystematicError.from_dict(error)
    except ScoringError as wrong:
        raise ModelError(f"{wrong} Restore the folder 'models' from the release.") from wrong
    return ModelUsed(
        stage, str(card["name"]), str(card["version"]), str(card["sha256"]), reading, systematic_error=known
    )


def fingerprint(card: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of what decides a model's results: its weights, and how the card says they are used."""
    decides = {"weights": card["sha256"], "config": card.get("config", {})}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def pick_device(wanted: str = "auto") -> torch.device:
    """The device for "auto", "cpu" or "cuda".

    Raises ModelError where a GPU is demanded but there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("A GPU was asked for, but none can be used here. Choose 'auto' or 'cpu'.")
    if wanted not in ("auto", "cpu", "cuda"):
        raise ModelError(f"Unknown device {wanted!r}: choose auto, cpu or cuda.")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor there; on its way to a GPU through pinned memory, so that copying and computing overlap."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def full_precision() -> None:
    """From now on a GPU computes convolutions and products in full float32, not in TF32 as it would unasked.

    A region needs some 80 GFLOP, milliseconds on any GPU: rounding would gain nothing that anyone notices, and on the
    processor bfloat16 changed about one count in a hundred.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
