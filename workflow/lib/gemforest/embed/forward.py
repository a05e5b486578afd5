"""ESM-2's forward pass over packed proteins: no padding, one fused projection, no language-model head.

The tokens of a batch lie one after the other in one (tokens, width) array, so that every matrix product is full.
Attention alone knows where a protein ends: on CUDA by `torch.nn.attention.varlen`, elsewhere by runs of proteins of
one length, which lie side by side because pieces are sorted. Rotary tables, layer norms, softmax and pooling are
float32 whatever the matrix products are: cast as a whole to bfloat16, rotary angles of late positions are off by
radians. The weights are fair-esm's (Lin et al. 2023, Science 379:1123); `tests/unit/test_packed_forward.py` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gemforest.embed.tokens import tokenise

if TYPE_CHECKING:
    from esm.model.esm2 import ESM2

# Raised by hand when the numbers change.
CODE_VERSION = 1
# ESM-2 was trained with 15 % of residues chosen, 80 % of them masked, and scales its input accordingly.
TOKEN_DROPOUT_SCALE = 1 - 0.15 * 0.8


@dataclass(frozen=True)
class Layer:
    """Weights of one transformer layer; matrices in the compute type, norms in float32.

    The query part of the fused projection is scaled by head_width^(-1/2) already.
    """

    qkv: Tensor
    qkv_bias: Tensor
    out: Tensor
    out_bias: Tensor
    fc1: Tensor
    fc1_bias: Tensor
    fc2: Tensor
    fc2_bias: Tensor
    norm1: Tensor
    norm1_bias: Tensor
    norm2: Tensor
    norm2_bias: Tensor


@dataclass(frozen=True)
class Packed:
    """A batch: tokens of all pieces one after the other.

    Attributes
    ----------
    tokens
        (n,) int64.
    lengths
        Tokens of each piece, with the begin and end token, ascending.
    """

    tokens: Tensor
    lengths: list[int]


@dataclass(frozen=True)
class PackedEncoder:
    """fair-esm's weights laid out for the packed pass, on one device."""

    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    norm_bias: Tensor
    frequencies: Tensor
    heads: int
    compute: torch.dtype
    device: torch.device
    token_dropout: bool

    @property
    def width(self) -> int:
        """Length of a representation."""
        return int(self.embedding.shape[1])

    @classmethod
    def from_esm(cls, model: ESM2, device: torch.device, compute: torch.dtype) -> PackedEncoder:
        """Lay out a model that `checkpoint.load` returned."""
        head_width = model.embed_dim // model.attention_heads

        def matrix(value: Tensor) -> Tensor:
            return value.detach().to(device, compute).contiguous()

        def exact(value: Tensor) -> Tensor:
            return value.detach().to(device, torch.float32)

        layers = []
        for layer in model.layers:
            attention = layer.self_attn
            scale = head_width**-0.5
            projections = (attention.q_proj, attention.k_proj, attention.v_proj)
            weights = torch.cat([p.weight for p in projections])
            biases = torch.cat([p.bias for p in projections])
            weights, biases = weights.detach().clone(), biases.detach().clone()
            weights[: model.embed_dim] *= scale
            biases[: model.embed_dim] *= scale
            layers.append(
                Layer(
                    *(matrix(value) for value in (weights, biases)),
                    *(matrix(v) for v in (attention.out_proj.weight, attention.out_proj.bias)),
                    *(matrix(v) for v in (layer.fc1.weight, layer.fc1.bias, layer.fc2.weight, layer.fc2.bias)),
                    *(exact(v) for v in (layer.self_attn_layer_norm.weight, layer.self_attn_layer_norm.bias)),
                    *(exact(v) for v in (layer.final_layer_norm.weight, layer.final_layer_norm.bias)),
                )
            )
        frequencies = 1.0 / (10000 ** (torch.arange(0, head_width, 2, dtype=torch.float32) / head_width))
        after = model.emb_layer_norm_after
        return cls(
            exact(model.embed_tokens.weight),
            layers,
            exact(after.weight),
            exact(after.bias),
            frequencies.to(device),
            model.attention_heads,
            compute,
            device,
            model.token_dropout,
        )

    def pack(self, pieces: Sequence[bytes]) -> Packed:
        """Tokens of pieces that are sorted by length, on the device."""
        tokens = torch.from_numpy(tokenise(pieces).copy())
        if self.device.type == "cuda":
            tokens = tokens.pin_memory()
        lengths = [len(piece) + 2 for piece in pieces]
        return Packed(tokens.to(self.device, non_blocking=True).long(), lengths)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def residues(self, batch: Packed) -> Tensor:
        """Representations of the last layer, (n, width) float32, begin and end tokens included."""
        scale = TOKEN_DROPOUT_SCALE if self.token_dropout else 1.0
        x = self.embedding[batch.tokens] * scale
        positions = Positions.of(batch, self.frequencies)
        for layer in self.layers:
            normed = self._norm(x, layer.norm1, layer.norm1_bias)
            attended = self._attend(functional.linear(normed, layer.qkv, layer.qkv_bias), positions)
            x += functional.linear(attended, layer.out, layer.out_bias)
            normed = self._norm(x, layer.norm2, layer.norm2_bias)
            hidden = functional.gelu(functional.linear(normed, layer.fc1, layer.fc1_bias))
            x += functional.linear(hidden, layer.fc2, layer.fc2_bias)
        return functional.layer_norm(x, (self.width,), self.norm, self.norm_bias)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def means(self, batch: Packed) -> np.ndarray:
        """Mean over the residues of each piece, without its begin and end token; (pieces, width) float32."""
        hidden = self.residues(batch)
        pooled = torch.cat([run[:, 1:-1].mean(1) for run in _runs(hidden, batch.lengths)])
        return np.asarray(pooled.cpu().numpy())

    def _norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.layer_norm(x, (self.width,), weight, bias).to(self.compute)

    def _attend(self, qkv: Tensor, positions: Positions) -> Tensor:
        """Self-attention within each piece: (n, 3·width) → (n, width) in the compute type."""
        tokens = len(qkv)
        parts = qkv.view(tokens, 3, self.heads, -1)
        turned = positions.rotate(parts[:, :2].float()).to(self.compute)
        query, key, value = turned[:, 0], turned[:, 1], parts[:, 2]
        if self.device.type == "cuda":
            return _attend_varlen(query, key, value, positions).reshape(tokens, self.width)
        return _attend_by_length(query, key, value, positions.lengths).reshape(tokens, self.width)


@dataclass(frozen=True)
class Positions:
    """Where each token stands in its piece: rotary tables (n, 1, 1, head_width / 2) float32, and the pieces' ends."""

    cos: Tensor
    sin: Tensor
    lengths: list[int]
    bounds: Tensor

    @classmethod
    def of(cls, batch: Packed, frequencies: Tensor) -> Positions:
        """Tables of a batch."""
        lengths = np.array(batch.lengths)
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
        longest = torch.arange(int(lengths.max()), dtype=torch.float32, device=frequencies.device)
        angles = torch.outer(longest, frequencies)
        place = torch.from_numpy(within).to(frequencies.device)
        cos, sin = (table[place][:, None, None, :] for table in (angles.cos(), angles.sin()))
        return cls(cos, sin, batch.lengths, torch.from_numpy(bounds.astype(np.int32)).to(frequencies.device))

    def rotate(self, x: Tensor) -> Tensor:
        """Turn queries and keys (n, 2, heads, head_width) by their positions, fair-esm's half-split layout."""
        half = x.shape[-1] // 2
        first, second = x[..., :half], x[..., half:]
        turned = torch.empty_like(x)
        torch.mul(first, self.cos, out=turned[..., :half])
        turned[..., :half].addcmul_(second, self.sin, value=-1)
        torch.mul(second, self.cos, out=turned[..., half:])
        turned[..., half:].addcmul_(first, self.sin)
        return turned


def _runs(packed: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    """Views (pieces, tokens, …) of the runs of pieces that are equally long."""
    views, start = [], 0
    for length, run in groupby(lengths):
        count = len(list(run))
        views.append(packed[start : start + count * length].view(count, length, *packed.shape[1:]))
        start += count * length
    return views


def _attend_by_length(query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int]) -> Tensor:
    """Attention per run of equally long pieces; all of shape (n, heads, head_width)."""
    attended = torch.empty_like(query)
    views = (_runs(part, lengths) for part in (query, key, value, attended))
    for q, k, v, out in zip(*views, strict=True):
        found = functional.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), scale=1.0
        )
        out.copy_(found.transpose(1, 2))
    return attended


def _attend_varlen(query: Tensor, key: Tensor, value: Tensor, positions: Positions) -> Tensor:
    """Attention over all pieces at once on CUDA; the kernel takes half-precision types alone."""
    if query.dtype in (torch.float16, torch.bfloat16):
        from torch.nn.attention.varlen import varlen_attn

        longest, bounds = max(positions.lengths), positions.bounds
        attended: Tensor = varlen_attn(
            query.contiguous(), key.contiguous(), value.contiguous(), bounds, bounds, longest, longest, scale=1.0
        )
        return attended
    return _attend_by_length(query, key, value, positions.lengths)
