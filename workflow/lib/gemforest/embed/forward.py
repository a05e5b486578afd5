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
    from esm.modules import TransformerLayer

# Raised by hand when the numbers change.
CODE_VERSION = 2
# ESM-2 was trained with 15 % of residues chosen, 80 % of them masked, and scales its input accordingly.
TOKEN_DROPOUT_SCALE = 1 - 0.15 * 0.8
# Tokens whose hidden units are computed at a time on a CPU: they are to stay in its cache.
CPU_TILE = 512


@dataclass(frozen=True)
class Layer:
    """Weights of one transformer layer without what multiplies zeros; matrices in the compute type, norms in float32.

    The query part of the fused projection is scaled by head_width^(-1/2) already, and within each head of the queries
    and keys the two numbers that a rotation turns lie side by side (scores do not depend on the order).

    Attributes
    ----------
    heads
        Heads that have values and are read.
    seen
        Columns of the first norm that `qkv` reads.
    told
        Columns of the residual stream that `out` writes.
    read, written
        The same for the feed-forward part, whose hidden units that are always zero or never read are left out.
    """

    heads: int
    seen: slice
    told: slice
    read: slice
    written: slice
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

    @classmethod
    def of(cls, layer: TransformerLayer, heads: int, device: torch.device, compute: torch.dtype) -> Layer:
        """Lay out a layer of fair-esm's."""
        attention = layer.self_attn
        width = int(attention.out_proj.weight.shape[0])
        head_width = width // heads
        query, key, value = (
            (p.weight.detach().view(heads, head_width, width), p.bias.detach().view(heads, head_width))
            for p in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        out = attention.out_proj.weight.detach().view(width, heads, head_width)
        live = _some((value[0].abs().sum((1, 2)) + value[1].abs().sum(1)) * out.abs().sum((0, 2)))
        pairs = torch.arange(head_width).view(2, -1).t().reshape(-1)
        parts = [
            (w[live][:, pairs] * s, b[live][:, pairs] * s) for (w, b), s in ((query, head_width**-0.5), (key, 1.0))
        ]
        parts.append((value[0][live], value[1][live]))
        qkv = torch.cat([w.reshape(-1, width) for w, _ in parts])
        out = out[:, live].reshape(width, -1)
        fc1, fc2 = layer.fc1.weight.detach(), layer.fc2.weight.detach()
        units = _some((fc1.abs().sum(1) + layer.fc1.bias.detach().abs()) * fc2.abs().sum(0))
        fc1, fc2 = fc1[units], fc2[:, units]
        seen, read = _span(qkv.abs().sum(0)), _span(fc1.abs().sum(0))
        told = _span(out.abs().sum(1) + attention.out_proj.bias.detach().abs())
        written = _span(fc2.abs().sum(1) + layer.fc2.bias.detach().abs())

        def matrix(value: Tensor) -> Tensor:
            return value.detach().to(device, compute).contiguous()

        def exact(value: Tensor) -> Tensor:
            return value.detach().to(device, torch.float32)

        return cls(
            len(live),
            *(seen, told, read, written),
            *(matrix(qkv[:, seen]), matrix(torch.cat([b.reshape(-1) for _, b in parts]))),
            *(matrix(out[told]), matrix(attention.out_proj.bias[told])),
            *(matrix(fc1[:, read]), matrix(layer.fc1.bias[units])),
            *(matrix(fc2[written]), matrix(layer.fc2.bias[written])),
            *(exact(v) for v in (layer.self_attn_layer_norm.weight, layer.self_attn_layer_norm.bias)),
            *(exact(v) for v in (layer.final_layer_norm.weight, layer.final_layer_norm.bias)),
        )


def _some(use: Tensor) -> Tensor:
    """Numbers of the entries that are not zero; the first where all are, so that no matrix is empty."""
    found = torch.nonzero(use)[:, 0]
    return found if len(found) else torch.zeros(1, dtype=torch.int64)


def _span(use: Tensor) -> slice:
    """From the first to the last entry that is not zero, widened to multiples of eight for the matrix kernels."""
    found = _some(use)
    return slice(int(found[0]) // 8 * 8, min(-(-(int(found[-1]) + 1) // 8) * 8, len(use)))


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
    head_width: int
    compute: torch.dtype
    device: torch.device

    @property
    def width(self) -> int:
        """Length of a representation."""
        return int(self.embedding.shape[1])

    @classmethod
    def from_esm(cls, model: ESM2, device: torch.device, compute: torch.dtype) -> PackedEncoder:
        """Lay out a model that `checkpoint.load` returned."""

        def exact(value: Tensor) -> Tensor:
            return value.detach().to(device, torch.float32)

        head_width = model.embed_dim // model.attention_heads
        frequencies = 1.0 / (10000 ** (torch.arange(0, head_width, 2, dtype=torch.float32) / head_width))
        after = model.emb_layer_norm_after
        return cls(
            exact(model.embed_tokens.weight) * (TOKEN_DROPOUT_SCALE if model.token_dropout else 1.0),
            [Layer.of(layer, model.attention_heads, device, compute) for layer in model.layers],
            exact(after.weight),
            exact(after.bias),
            frequencies.to(device),
            head_width,
            compute,
            device,
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
        x = self.embedding[batch.tokens]
        positions = Positions.of(batch, self.frequencies)
        for layer in self.layers:
            normed = self._norm(x, layer.norm1, layer.norm1_bias)[:, layer.seen]
            attended = self._attend(functional.linear(normed, layer.qkv, layer.qkv_bias), layer.heads, positions)
            _add_product(x[:, layer.told], attended, layer.out, layer.out_bias)
            normed = self._norm(x, layer.norm2, layer.norm2_bias)[:, layer.read]
            target = x[:, layer.written]
            tile = CPU_TILE if self.device.type == "cpu" else len(x)
            for first in range(0, len(x), tile):
                rows = slice(first, first + tile)
                hidden = torch.ops.aten.gelu_(functional.linear(normed[rows], layer.fc1, layer.fc1_bias))
                _add_product(target[rows], hidden, layer.fc2, layer.fc2_bias)
        return functional.layer_norm(x, (self.width,), self.norm, self.norm_bias)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def means(self, batch: Packed) -> np.ndarray:
        """Mean over the residues of each piece, without its begin and end token; (pieces, width) float32."""
        hidden = self.residues(batch)
        pooled = torch.cat([run[:, 1:-1].mean(1) for run in _runs(hidden, batch.lengths)])
        return np.asarray(pooled.cpu().numpy())

    def _norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.layer_norm(x, (self.width,), weight, bias).to(self.compute)

    def _attend(self, qkv: Tensor, heads: int, positions: Positions) -> Tensor:
        """Self-attention within each piece: (n, 3·heads·head_width) → (n, heads·head_width) in the compute type."""
        tokens = len(qkv)
        parts = qkv.view(tokens, 3, heads, self.head_width)
        turned = positions.rotate(parts[:, :2].float()).to(self.compute)
        query, key, value = turned[:, 0], turned[:, 1], parts[:, 2]
        attend = _attend_varlen if self.device.type == "cuda" else _attend_by_length
        return attend(query, key, value, positions).reshape(tokens, -1)


def _add_product(x: Tensor, rows: Tensor, weight: Tensor, bias: Tensor) -> None:
    """X += rows @ weightᵀ + bias, without a copy of the product where the types agree."""
    if x.dtype == rows.dtype:
        x.add_(bias).addmm_(rows, weight.t())
    else:
        x += functional.linear(rows, weight, bias)


@dataclass(frozen=True)
class Positions:
    """Where each token stands in its piece: rotations (n, 1, 1, head_width / 2) complex64, and the pieces' ends."""

    rotations: Tensor
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
        rotations = torch.polar(torch.ones_like(angles), angles)[place][:, None, None, :]
        return cls(rotations, batch.lengths, torch.from_numpy(bounds.astype(np.int32)).to(frequencies.device))

    def rotate(self, x: Tensor) -> Tensor:
        """Turn queries and keys (n, 2, heads, head_width) float32 by their positions, in place."""
        torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(self.rotations)
        return x


def _runs(packed: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    """Views (pieces, tokens, …) of the runs of pieces that are equally long."""
    views, start = [], 0
    for length, run in groupby(lengths):
        count = len(list(run))
        views.append(packed[start : start + count * length].view(count, length, *packed.shape[1:]))
        start += count * length
    return views


def _attend_by_length(query: Tensor, key: Tensor, value: Tensor, positions: Positions) -> Tensor:
    """Attention per run of equally long pieces; all of shape (n, heads, head_width)."""
    attended = torch.empty_like(value, memory_format=torch.contiguous_format)
    views = (_runs(part, positions.lengths) for part in (query, key, value, attended))
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
    return _attend_by_length(query, key, value, positions)
