"""The packed pass gives fair-esm's own representations, whatever else is in the batch."""

from __future__ import annotations

import inspect
import json
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from esm2_weights import write_esm2
from projects import CACHE, REPOSITORY

from gemforest.embed import forward
from gemforest.embed.checkpoint import Checkpoint, load
from gemforest.embed.engine import Place, batches, choose_place, device_of, embed, means_within_memory
from gemforest.embed.forward import Packed, PackedEncoder, Positions
from gemforest.embed.tokens import LETTERS, STRIDE, WINDOW, cut, tokenise, window_starts
from gemforest.errors import InfrastructureError, InputError

CPU = torch.device("cpu")
PLACE = Place("cpu", "float32", 1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    path = write_esm2(tmp_path_factory.mktemp("weights") / "esm2_tiny.pt")
    return Checkpoint("esm2_tiny", path, "of no matter")


@pytest.fixture(scope="module")
def encoder(checkpoint: Checkpoint) -> PackedEncoder:
    return PackedEncoder.from_esm(load(checkpoint), CPU, torch.float32)


def protein(length: int, seed: int = 0) -> bytes:
    return bytes(random.Random(f"{length} {seed}").choices(LETTERS, k=length))


def fair_esm(checkpoint: Checkpoint, residues: bytes) -> np.ndarray:
    """fair-esm's own residue representations of the last layer, (L, width)."""
    model = load(checkpoint)
    tokens = model.alphabet.get_batch_converter()([("x", residues.decode())])[2]
    with torch.no_grad():
        found = model(tokens, repr_layers=[model.num_layers])["representations"][model.num_layers]
    return found[0, 1 : len(residues) + 1].numpy()


def test_residues_are_those_of_fair_esm_from_one_residue_to_three_thousand(
    checkpoint: Checkpoint, encoder: PackedEncoder
) -> None:
    lengths = sorted([1, 2, 3000, *random.Random(1).sample(range(3, 3000), 9)])
    pieces = [protein(length) for length in lengths]
    batch = encoder.pack(pieces)
    found = encoder.residues(batch).numpy()
    ends = np.cumsum(batch.lengths)
    for piece, end in zip(pieces, ends, strict=True):
        ours = found[end - len(piece) - 1 : end - 1]
        assert np.abs(ours - fair_esm(checkpoint, piece)).max() <= 1e-4


def test_a_protein_has_one_vector_whatever_else_is_embedded_with_it(checkpoint: Checkpoint) -> None:
    one, others = protein(317), [protein(length, 3) for length in (1, 40, 317, 318, 2000)]
    alone = embed([one], checkpoint, PLACE).vectors[0]
    for crowd in (others, [protein(317, seed) for seed in range(9)]):
        assert np.abs(embed([*crowd, one], checkpoint, PLACE).vectors[-1] - alone).max() <= 1e-5


def test_vectors_come_back_in_the_order_of_the_proteins(checkpoint: Checkpoint) -> None:
    proteins = [protein(length) for length in (500, 3, 90, 1500, 90)]
    found = embed(proteins, checkpoint, PLACE).vectors
    assert np.abs(found[::-1] - embed(proteins[::-1], checkpoint, PLACE).vectors).max() <= 1e-5


def test_long_proteins_are_the_length_weighted_mean_of_their_windows(checkpoint: Checkpoint) -> None:
    residues = protein(2100)
    starts = list(window_starts(2100))
    assert starts == [0, 511, 1022, 1533]
    pieces = [residues[start : start + WINDOW] for start in starts]
    means = [fair_esm(checkpoint, piece).mean(0) for piece in pieces]
    found = embed([residues], checkpoint, PLACE)
    assert found.windows.tolist() == [4]
    assert np.abs(found.vectors[0] - np.average(means, axis=0, weights=list(map(len, pieces)))).max() <= 1e-4


@pytest.mark.parametrize("length", [1, 1021, 1022, 1023, 1533, 1534, 40_000])
def test_windows_cover_a_protein_to_its_end_and_none_lies_within_another(length: int) -> None:
    starts = list(window_starts(length))
    assert starts == list(range(0, len(starts) * STRIDE, STRIDE))
    assert starts[-1] + WINDOW >= length
    assert len(starts) == 1 or starts[-2] + WINDOW < length


def test_forty_thousand_residues_one_residue_and_nothing_but_x_are_embedded(checkpoint: Checkpoint) -> None:
    found = embed([protein(40_000), b"M", b"X" * 50], checkpoint, PLACE)
    assert found.vectors.shape == (3, 32)
    assert np.isfinite(found.vectors).all()
    assert found.windows.tolist() == [78, 1, 1]


def test_no_protein_gives_no_vector_and_an_empty_protein_is_refused(checkpoint: Checkpoint) -> None:
    assert len(embed([], checkpoint, PLACE).vectors) == 0
    with pytest.raises(InputError, match="protein 1 has no residue"):
        embed([b"MK", b"*"], checkpoint, PLACE)


def test_bfloat16_products_keep_the_direction_of_the_vectors(checkpoint: Checkpoint, encoder: PackedEncoder) -> None:
    coarse = PackedEncoder.from_esm(load(checkpoint), CPU, torch.bfloat16)
    pieces = [protein(length) for length in (1, 30, 400, 900, 1022)]
    exact, found = encoder.means(encoder.pack(pieces)), coarse.means(coarse.pack(pieces))
    cosines = (exact * found).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(found, axis=1)
    assert cosines.min() >= 0.999


def test_several_processes_give_what_one_gives(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemforest.embed.engine.WORTH_A_PROCESS", 1)
    monkeypatch.setattr("gemforest.embed.engine.CPU_BUDGET", 64)
    proteins = [protein(length) for length in range(200, 260)]
    found = embed(proteins, checkpoint, Place("cpu", "float32", 2)).vectors
    assert np.abs(found - embed(proteins, checkpoint, PLACE).vectors).max() <= 1e-5


def test_batches_hold_every_piece_once_within_the_budget() -> None:
    lengths = sorted(random.Random(3).choices(range(1, 1023), k=300))
    bounds = list(batches(lengths, 4096))
    assert [number for first, last in bounds for number in range(first, last)] == list(range(300))
    assert all(sum(lengths[first:last]) + 2 * (last - first) <= 4096 for first, last in bounds)


class Cramped:
    """An encoder whose device holds so many tokens."""

    device = CPU

    def __init__(self, room: int) -> None:
        self.room, self.sizes = room, []

    def pack(self, pieces: list[bytes]) -> list[bytes]:
        return pieces

    def means(self, pieces: list[bytes]) -> np.ndarray:
        tokens = sum(len(piece) + 2 for piece in pieces)
        if tokens > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(tokens)
        return np.array([[len(piece)] for piece in pieces])


def test_the_budget_is_halved_where_memory_runs_out() -> None:
    cramped, pieces = Cramped(300), [b"M" * 98] * 20
    assert means_within_memory(cramped, pieces, 2000).tolist() == [[98]] * 20
    assert sum(cramped.sizes) == 2000
    with pytest.raises(InfrastructureError, match="no memory for one piece of 98 residues"):
        means_within_memory(Cramped(50), pieces, 2000)


def test_a_gpu_that_is_not_there_is_told_and_never_replaced_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InfrastructureError, match=r"embed\.device: cpu"):
        choose_place("cuda", "auto", 4)
    assert choose_place("auto", "auto", 4) == Place("cpu", "float32", 4)
    with pytest.raises(InputError, match="bfloat16 needs a GPU"):
        choose_place("cpu", "bfloat16", 4)


def test_weights_that_multiply_zeros_are_left_out_and_change_nothing(tmp_path: Path) -> None:
    path = write_esm2(tmp_path / "esm2_sparse.pt", width=48)
    data = torch.load(path, weights_only=False)
    for number, (dead, first, last) in enumerate([(1, 20, 30), (3, 0, 16)]):
        state = {n.split("layers.", 1)[1][2:]: v for n, v in data["model"].items() if f"layers.{number}." in n}
        # A head without values, one that nobody reads, units that are silent or unheard, columns not read or written.
        for name in ("weight", "bias"):
            state[f"self_attn.v_proj.{name}"][12 * dead : 12 * dead + 12] = 0
            state[f"fc1.{name}"][10:50] = 0
            state[f"fc2.{name}"][first:last] = 0
        state["self_attn.out_proj.weight"][:, :12] = 0
        state["fc2.weight"][:, 100:120] = 0
        state["fc1.weight"][:, last:] = 0
    # Queries and keys of the second layer say the same everywhere.
    for name in ("q_proj", "k_proj"):
        state[f"self_attn.{name}.weight"].zero_()
    torch.save(data, path)
    checkpoint = Checkpoint("esm2_sparse", path, "of no matter")
    sparse = PackedEncoder.from_esm(load(checkpoint), CPU, torch.float32)
    assert [layer.heads for layer in sparse.layers] == [2, 2]
    assert [len(layer.fc1) for layer in sparse.layers] == [192 - 60] * 2
    assert sparse.layers[0].read == slice(0, 32)
    assert sparse.layers[1].written == slice(16, 48)
    pieces = [protein(length) for length in (1, 40, 317)]
    batch = sparse.pack(pieces)
    found, ends = sparse.residues(batch).numpy(), np.cumsum(batch.lengths)
    for piece, end in zip(pieces, ends, strict=True):
        assert np.abs(found[end - len(piece) - 1 : end - 1] - fair_esm(checkpoint, piece)).max() <= 1e-4


def test_the_shipped_encoder_agrees_with_fair_esm() -> None:
    path = REPOSITORY / "resources" / "encoder" / "esm2_gemforest_small.pt"
    checkpoint = Checkpoint(path.stem, path, "of no matter")
    packed = PackedEncoder.from_esm(load(checkpoint), CPU, torch.float32)
    # Its first layer needs two heads of five, its second four.
    assert [layer.heads for layer in packed.layers] == [2, 4]
    pieces = [protein(length) for length in (1, 60, 700)]
    found = packed.means(packed.pack(pieces))
    expected = np.array([fair_esm(checkpoint, piece).mean(0) for piece in pieces])
    # The last norm multiplies by 50,000, and rounding with it: 1e-4 of the largest number.
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_kernel_of_cuda_is_given_the_ends_of_the_pieces(
    encoder: PackedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU here: torch's kernel is replaced by attention over the stretches that its arguments describe."""
    from torch.nn.attention import varlen

    signature = inspect.signature(varlen.varlen_attn)

    def stretches(*given: Any, **named: Any) -> torch.Tensor:
        asked = signature.bind(*given, **named).arguments
        query, key, value, bounds = (asked[name] for name in ("query", "key", "value", "cu_seq_q"))
        assert all(part.is_contiguous() and part.dtype == torch.bfloat16 for part in (query, key, value))
        assert bounds.dtype == torch.int32
        assert asked["cu_seq_k"] is bounds
        assert asked["max_q"] == asked["max_k"] == int(bounds.diff().max())
        outs = []
        for first, last in pairwise(bounds.tolist()):
            q, k, v = (part[first:last].transpose(0, 1) for part in (query, key, value))
            found = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=asked["scale"])
            outs.append(found.transpose(0, 1))
        return torch.cat(outs)

    monkeypatch.setattr(varlen, "varlen_attn", stretches)
    batch = encoder.pack([protein(length) for length in (1, 1, 30, 400)])
    positions = Positions.of(batch, encoder.frequencies)
    assert positions.bounds.tolist() == [0, 3, 6, 38, 440]
    query, key, value = torch.randn(3, 440, 4, 8, generator=torch.manual_seed(0)).bfloat16()
    found = forward._attend_varlen(query, key, value, positions)
    expected = forward._attend_by_length(query, key, value, positions)
    # bfloat16 has eight bits; pieces side by side are summed in another order than pieces alone.
    assert torch.allclose(found, expected, atol=0.02)


def test_each_process_has_a_device_of_its_own() -> None:
    assert [str(device_of(Place("cuda", "bfloat16", 3), n)) for n in range(3)] == ["cuda:0", "cuda:1", "cuda:2"]
    assert {device_of(Place("cpu", "float32", 4), n) for n in range(4)} == {CPU}


def test_memory_that_runs_out_in_the_pass_itself_costs_no_vector(
    encoder: PackedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [protein(length) for length in range(20, 60)]
    expected = means_within_memory(encoder, pieces, 4096)
    real, sizes = PackedEncoder.residues, []

    def cramped(self: PackedEncoder, batch: Packed) -> torch.Tensor:
        if len(batch.tokens) > 300:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        sizes.append(len(batch.tokens))
        return real(self, batch)

    monkeypatch.setattr(PackedEncoder, "residues", cramped)
    assert np.abs(means_within_memory(encoder, pieces, 4096) - expected).max() <= 1e-5
    assert sum(sizes) == sum(len(piece) + 2 for piece in pieces)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: the varlen pass is compared on it")
def test_cuda_agrees_with_the_cpu(checkpoint: Checkpoint, encoder: PackedEncoder) -> None:
    coarse = PackedEncoder.from_esm(load(checkpoint), torch.device("cuda"), torch.bfloat16)
    pieces = [protein(length) for length in (1, 30, 400, 900, 1022)]
    exact, found = encoder.means(encoder.pack(pieces)), coarse.means(coarse.pack(pieces))
    cosines = (exact * found).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(found, axis=1)
    assert cosines.min() >= 0.999


def test_tokens_are_those_of_fair_esm_and_odd_letters_are_x(checkpoint: Checkpoint) -> None:
    alphabet = load(checkpoint).alphabet
    text = LETTERS.decode() * 2
    expected = alphabet.get_batch_converter()([("x", text), ("y", text)])[2].numpy()
    assert tokenise([text.encode()] * 2).tolist() == expected.reshape(-1).tolist()
    unknown = alphabet.get_idx("X")
    assert tokenise([b"m-J1<>*k**"]).tolist() == [
        0, alphabet.get_idx("M"), *[unknown] * 6, alphabet.get_idx("K"), 2
    ]  # fmt: skip
    assert tokenise([]).size == 0


def test_pieces_are_sorted_so_that_equal_lengths_lie_side_by_side() -> None:
    windows = cut([protein(1500), protein(10), protein(1022)])
    lengths = [len(piece) for piece in windows.pieces]
    assert lengths == sorted(lengths) == [10, 989, 1022, 1022]
    assert sorted(windows.owner.tolist()) == [0, 0, 1, 2]


GOLDENS = {"esm2_t6_8M_UR50D": "esm2_8m", "esm2_t12_35M_UR50D": "esm2_35m", "esm2_t30_150M_UR50D": "esm2_150m"}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file: a length, a JSON header, the bytes."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    kinds = {"F32": np.float32, "I64": np.int64, "BOOL": np.bool_}
    found = {}
    for name, about in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            first, last = (8 + size + offset for offset in about["data_offsets"])
            found[name] = np.frombuffer(data[first:last], kinds[about["dtype"]]).reshape(about["shape"])
    return found


@pytest.mark.needs_shared_data
@pytest.mark.parametrize("name", GOLDENS)
def test_real_weights_give_the_published_hidden_states(name: str, shared_data: Path) -> None:
    weights = Path(os.environ.get("GEMFOREST_ESM2_WEIGHTS", CACHE / "encoders")) / f"{name}.pt"
    if not weights.is_file():
        pytest.skip(f"needs real weights: put {name}.pt in {weights.parent}, or set GEMFOREST_ESM2_WEIGHTS")
    golden = read_safetensors(shared_data / "plm" / "esm2_goldens" / f"{GOLDENS[name]}.safetensors")
    packed = PackedEncoder.from_esm(load(Checkpoint(name, weights, "")), CPU, torch.float32)
    for tokens, mask, expected in zip(
        golden["input__input_ids"], golden["input__attention_mask"], golden["output__last_hidden_state"], strict=True
    ):
        real = mask.astype(bool)
        found = packed.residues(Packed(torch.from_numpy(tokens[real]), [int(real.sum())])).numpy()
        assert np.abs(found - expected[real]).max() <= 1e-4 * max(1.0, float(np.abs(expected).max()))
