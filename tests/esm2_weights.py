"""Small ESM-2s with random weights, made by fair-esm itself and written in its format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from esm.model.esm2 import ESM2


def write_esm2(path: Path, layers: int = 2, width: int = 32, heads: int = 4, seed: int = 7, **note: Any) -> Path:
    """Write random weights as fair-esm's training code does; `note` goes into the file beside them."""
    torch.manual_seed(seed)
    model = ESM2(num_layers=layers, embed_dim=width, attention_heads=heads)
    for parameter in model.parameters():
        # Norms and biases that are ones and zeros would hide a mistake.
        parameter.data += 0.1 * torch.randn_like(parameter)
    state = {}
    for name, value in model.state_dict().items():
        if not name.startswith("contact_head"):
            prefix = "encoder." if name.startswith("lm_head") else "encoder.sentence_encoder."
            state[prefix + name] = value
    cfg = argparse.Namespace(
        encoder_layers=layers, encoder_embed_dim=width, encoder_attention_heads=heads, token_dropout=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"cfg": {"model": cfg}, "model": state, "gemforest": note}, path)
    return path
