"""Many proteins to vectors: windows, token budgets, one process per device or core, means back in the caller's order.

Pieces are sorted by length, cut into batches of a token budget, and dealt to processes, each of which holds the
encoder once. On CUDA the next batch is packed in a thread, in pinned memory, while the device works; where memory runs
out the budget is halved. A protein of several windows gets the mean of their means, weighted by their lengths.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gemforest.embed.checkpoint import Checkpoint, load
from gemforest.embed.tokens import STRIDE, WINDOW, Windows, cut
from gemforest.errors import InfrastructureError, InputError
from gemforest.sequences import normalise

if TYPE_CHECKING:
    import torch

    from gemforest.embed.forward import PackedEncoder

# Tokens of one batch: on a CPU its activations are to stay in the cache, a GPU wants large matrices.
CPU_BUDGET = 4096
CUDA_BUDGET = 65536
# Batches that a process is handed at a time; below this many tokens a second process costs more than it saves.
CHUNK_BATCHES = 16
WORTH_A_PROCESS = 300_000


@dataclass(frozen=True)
class Place:
    """Where and in which number type vectors are computed.

    Attributes
    ----------
    device
        `cpu` or `cuda`.
    compute
        `float32` or `bfloat16`: type of the matrix products.
    count
        Processes: GPUs, or cores.
    """

    device: str
    compute: str
    count: int


@dataclass(frozen=True)
class Embedded:
    """Vectors in the order of the proteins, (n, width) float32; windows of each; tokens and seconds spent."""

    vectors: np.ndarray
    windows: np.ndarray
    tokens: int
    seconds: float


class OutOfProcess(Exception):
    """A worker process ended abnormally."""


def choose_place(device: str, compute: str, cores: int) -> Place:
    """Where to compute, from `embed.device` and `embed.compute`.

    Raises
    ------
    InfrastructureError
        `cuda` is asked for and torch sees no GPU.
    InputError
        bfloat16 is asked for on a CPU, where it is slower and less exact.
    """
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cuda" and not seen:
        raise InfrastructureError(
            "embed.device is cuda, but torch sees no GPU here: ask the scheduler for one (resource `gpu`), install a "
            "CUDA build of torch, or set `embed.device: cpu`; the CPU is not taken silently"
        )
    chosen = "cuda" if seen and device != "cpu" else "cpu"
    if chosen == "cpu" and compute == "bfloat16":
        raise InputError("embed.compute: bfloat16 needs a GPU; set `embed.compute: auto` or `float32`")
    if compute == "auto":
        compute = "bfloat16" if chosen == "cuda" else "float32"
    return Place(chosen, compute, seen if chosen == "cuda" else cores)


def embed(proteins: Sequence[bytes], checkpoint: Checkpoint, place: Place, allow_random: bool = False) -> Embedded:
    """Mean-pooled representations of the last layer.

    Parameters
    ----------
    proteins
        Residues; `*` at the end is stripped, unknown letters are X; none may be empty.

    Raises
    ------
    InputError
        The checkpoint cannot be used, or a protein has no residue.
    OutOfProcess
        A worker process died.
    """
    started = time.monotonic()
    normalised = [normalise(protein) for protein in proteins]
    if not all(normalised):
        raise InputError(f"protein {normalised.index(b'')} has no residue; expected at least one")
    windows = cut(normalised)
    tokens = sum(map(len, windows.pieces)) + 2 * len(windows.pieces)
    chunks = list(_chunks(windows, CUDA_BUDGET if place.device == "cuda" else CPU_BUDGET))
    processes = min(place.count, len(chunks), 1 + tokens // WORTH_A_PROCESS)
    if processes > 1:
        means = _in_processes(windows, chunks, checkpoint, place, processes, allow_random)
    else:
        worker = Worker.start(checkpoint, place, 0, allow_random)
        means = [worker.means(windows.pieces[first:last]) for first, last in chunks]
    width = means[0].shape[1] if means else 0
    vectors, counts = _average(np.concatenate(means) if means else np.zeros((0, 0)), windows, len(proteins), width)
    return Embedded(vectors, counts, tokens, time.monotonic() - started)


def batches(lengths: Sequence[int], budget: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 of each batch over pieces sorted by length; a piece over the budget is alone."""
    first = total = 0
    for number, length in enumerate(lengths):
        if number > first and total + length + 2 > budget:
            yield first, number
            first, total = number, 0
        total += length + 2
    if first < len(lengths):
        yield first, len(lengths)


def _chunks(windows: Windows, budget: int) -> Iterator[tuple[int, int]]:
    return batches([len(piece) for piece in windows.pieces], budget * CHUNK_BATCHES)


def _average(means: np.ndarray, windows: Windows, proteins: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of pieces to means of proteins, weighted by the pieces' lengths; and the pieces of each protein."""
    weights = np.array([len(piece) for piece in windows.pieces], dtype=np.float64)
    total = np.zeros((proteins, width))
    np.add.at(total, windows.owner, means * weights[:, None])
    weight = np.bincount(windows.owner, weights, minlength=proteins)
    counts = np.bincount(windows.owner, minlength=proteins).astype(np.int16)
    return (total / weight[:, None]).astype(np.float32), counts


def device_of(place: Place, number: int) -> torch.device:
    """The device of the process with this number: a GPU of its own, or the CPU."""
    import torch

    return torch.device("cuda", number % place.count) if place.device == "cuda" else torch.device("cpu")


@dataclass(frozen=True)
class Worker:
    """The encoder of one process."""

    encoder: PackedEncoder
    budget: int

    @classmethod
    def start(cls, checkpoint: Checkpoint, place: Place, number: int, allow_random: bool) -> Worker:
        """Load the encoder on its device; a CPU process computes on one thread."""
        import torch

        from gemforest.embed.forward import PackedEncoder

        if place.device == "cpu":
            torch.set_num_threads(1)
        compute = getattr(torch, place.compute)
        encoder = PackedEncoder.from_esm(load(checkpoint, allow_random), device_of(place, number), compute)
        return cls(encoder, CUDA_BUDGET if place.device == "cuda" else CPU_BUDGET)

    def means(self, pieces: Sequence[bytes]) -> np.ndarray:
        """Means of pieces that are sorted by length, (n, width) float32."""
        return means_within_memory(self.encoder, pieces, self.budget)


def means_within_memory(encoder: PackedEncoder, pieces: Sequence[bytes], budget: int) -> np.ndarray:
    """Means of sorted pieces in batches of `budget` tokens; halves the budget where memory runs out.

    Raises
    ------
    InfrastructureError
        Not even a single piece fits.
    """
    bounds = list(batches([len(piece) for piece in pieces], budget))
    found = []
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(encoder.pack, pieces[slice(*bounds[0])])
        for number, (first, last) in enumerate(bounds):
            batch = coming.result()
            if number + 1 < len(bounds):
                coming = ahead.submit(encoder.pack, pieces[slice(*bounds[number + 1])])
            try:
                found.append(encoder.means(batch))
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if last - first == 1:
                    raise InfrastructureError(
                        f"{encoder.device} has no memory for one piece of {len(pieces[first])} residues: use a "
                        "smaller encoder or a device with more memory"
                    ) from None
                found.append(means_within_memory(encoder, pieces[first:last], max(budget // 2, 1)))
    return np.concatenate(found)


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)


# In the worker processes

_WORKER: list[Worker] = []


def _begin(checkpoint: Checkpoint, place: Place, allow_random: bool, numbers: multiprocessing.Queue[int]) -> None:
    _WORKER.append(Worker.start(checkpoint, place, numbers.get(), allow_random))


def _work(pieces: list[bytes]) -> np.ndarray:
    return _WORKER[0].means(pieces)


def _in_processes(
    windows: Windows,
    chunks: list[tuple[int, int]],
    checkpoint: Checkpoint,
    place: Place,
    processes: int,
    allow_random: bool,
) -> list[np.ndarray]:
    """Means of all chunks, in order, from spawned processes; the long pieces first, so that all end together."""
    spawn = multiprocessing.get_context("spawn")
    numbers: multiprocessing.Queue[int] = spawn.Queue()
    for number in range(processes):
        numbers.put(number)
    start = (checkpoint, place, allow_random, numbers)
    try:
        with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin, initargs=start) as pool:
            waiting = [pool.submit(_work, windows.pieces[first:last]) for first, last in reversed(chunks)]
            return [future.result() for future in reversed(waiting)]
    except BrokenProcessPool as error:
        raise OutOfProcess(f"a process that embeds ended abnormally: {error}") from None


def say(found: Embedded, proteins: int, place: Place) -> None:
    """One line on standard error: what was embedded where, and how fast."""
    rate = found.tokens / max(found.seconds, 1e-9)
    sys.stderr.write(
        f"embed: {proteins:,} proteins, {found.tokens:,} tokens in windows of {WINDOW} with stride {STRIDE}, on "
        f"{place.device} ({place.compute}, at most {place.count} processes): {rate:,.0f} tokens/s\n"
    )
