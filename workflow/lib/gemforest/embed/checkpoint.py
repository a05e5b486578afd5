"""Reading ESM-2 weights in fair-esm's on-disk format through fair-esm itself, without executing what is in the file.

`torch.load` runs with `weights_only=True`; the one class beyond tensors that such a file holds is `argparse.Namespace`.
fair-esm's own route for hub names unpickles, so here the file is fetched from fair-esm's address into the cache and
then read like any local one. Its SHA-256 is written beside it at first use and compared from then on.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemforest.embed.tokens import ALPHABET_SIZE
from gemforest.errors import InfrastructureError, InputError
from gemforest.store import atomic, file_sha256, write_text

if TYPE_CHECKING:
    from esm.model.esm2 import ESM2

HUB = "https://dl.fbaipublicfiles.com/fair-esm/models"
HUB_NAMES = (
    "esm2_t6_8M_UR50D",
    "esm2_t12_35M_UR50D",
    "esm2_t30_150M_UR50D",
    "esm2_t33_650M_UR50D",
    "esm2_t36_3B_UR50D",
    "esm2_t48_15B_UR50D",
)
BUILT_IN = {"small": "esm2_gemforest_small.pt"}
NOT_YET = (
    "embed.encoder: `large` is not offered yet, for it takes a GPU to train and none was at hand; train it with "
    "`python scripts/train_encoder.py --method gradient --layers 6 --width 320 --heads 20 --crop 512 --device cuda "
    "--name esm2_gemforest_large --data DATA --work FOLDER` and name the .pt file here, or set `small` or one of: "
)


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights that was found and whose digest is known."""

    name: str
    path: Path
    sha256: str


def find(encoder: str, project: Path, resources: Path, cache: Path) -> Checkpoint:
    """The checkpoint that `embed.encoder` names: a built-in one, a hub name, or a file.

    Raises
    ------
    InputError
        There is no such file or name, or its name would make fair-esm read it as another architecture.
    InfrastructureError
        The file changed since its first use, or the download failed.
    """
    if encoder == "large":
        raise InputError(NOT_YET + ", ".join(HUB_NAMES))
    if encoder in BUILT_IN:
        path = resources / "encoder" / BUILT_IN[encoder]
    elif encoder in HUB_NAMES:
        path = cache / "encoders" / f"{encoder}.pt"
        if not path.is_file():
            _download(f"{HUB}/{encoder}.pt", path)
    elif encoder.endswith(".pt"):
        path = project / encoder
    else:
        known = ", ".join((*BUILT_IN, *HUB_NAMES))
        raise InputError(f"embed.encoder: {encoder!r} is neither a file ending in .pt nor one of: {known}")
    if not path.is_file():
        raise InputError(f"embed.encoder: {path} does not exist; expected weights in fair-esm's format")
    if not path.stem.startswith("esm2"):
        raise InputError(
            f"embed.encoder: {path.name} must begin with `esm2`: fair-esm tells architectures apart by the file's "
            "name, and would read this one as ESM-1; rename it if it is an ESM-2"
        )
    # A built-in file may change with the release; doctor compares it with the manifest.
    sha256 = file_sha256(path) if encoder in BUILT_IN else _known_sha256(path, cache)
    return Checkpoint(path.stem, path, sha256)


def load(checkpoint: Checkpoint, allow_random: bool = False) -> ESM2:
    """fair-esm's model with the checkpoint's weights, on the CPU in float32, in evaluation mode.

    Parameters
    ----------
    allow_random
        Take weights that call themselves random: right for timing, never for biology.

    Raises
    ------
    InputError
        The file is cut short, holds more than weights, is no ESM-2, has another alphabet, or is random.
    """
    import esm.pretrained

    data = _read(checkpoint.path)
    regression = checkpoint.path.with_name(f"{checkpoint.path.stem}-contact-regression.pt")
    _judge(data, checkpoint.path, allow_random)
    # Some files are stored in half precision; the reference pass and ours both compute from float32.
    data["model"] = {name: value.float() for name, value in data["model"].items()}
    contacts = _read(regression) if regression.is_file() else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Regression weights not found")
        try:
            model, _ = esm.pretrained.load_model_and_alphabet_core(checkpoint.path.stem, data, contacts)
        except (RuntimeError, KeyError, AttributeError) as error:
            said = " ".join(str(error).split())
            raise InputError(f"{checkpoint.path}: not the weights of an ESM-2: {said}") from None
    return model.eval()


def _read(path: Path) -> dict[str, Any]:
    import pickle

    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        said = str(error).split("\n")[0]
        raise InputError(f"{path} holds more than weights, or is no checkpoint; it is not executed: {said}") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        said = str(error).split("\n")[0]
        raise InputError(f"{path} is cut short or damaged ({said}); copy or download it again") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a dictionary with `cfg` and `model`, found {type(data).__name__}")
    return data


def _judge(data: dict[str, Any], path: Path, allow_random: bool) -> None:
    missing = {"cfg", "model"} - data.keys()
    if missing or "model" not in data["cfg"]:
        raise InputError(f"{path} is no ESM-2: expected `cfg.model` and `model`, found {', '.join(map(str, data))}")
    tables = [value for name, value in data["model"].items() if name.endswith("embed_tokens.weight")]
    width = getattr(data["cfg"]["model"], "encoder_embed_dim", None)
    if not tables or tuple(tables[0].shape) != (ALPHABET_SIZE, width):
        shape = tuple(tables[0].shape) if tables else "none"
        raise InputError(
            f"{path}: its token table has shape {shape}, expected ({ALPHABET_SIZE}, {width}): "
            "it was made for another alphabet than ESM-2's"
        )
    if data.get("gemforest", {}).get("random") and not allow_random:
        raise InputError(f"{path} holds random weights, made for tests and timing: vectors from it mean nothing")


def _download(url: str, path: Path) -> None:
    import torch.hub

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic(path) as temporary:
            torch.hub.download_url_to_file(url, str(temporary), progress=False)
    except OSError as error:
        raise InfrastructureError(
            f"{url} could not be fetched ({error}); fetch it elsewhere and put it at {path}, "
            "or set `embed.encoder: small`, which needs no download"
        ) from None


def _known_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of the file, written down at first use and compared from then on."""
    found = file_sha256(path)
    note = cache / "encoders" / f"{path.stem}.sha256"
    if note.is_file():
        first = note.read_text(encoding="utf-8").split()
        if first[1:] == [str(path)] and first[0] != found:
            raise InfrastructureError(
                f"{path} changed since its first use: expected SHA-256 {first[0]}, found {found}; put the first file "
                f"back, or remove {note} to go on with the new one"
            )
    write_text(note, f"{found} {path}\n")
    return found
