"""What the encoder is worth: its speed beside fair-esm, and its neighbours beside DIAMOND's best hit.

    python scripts/bench_encoder.py --work FOLDER --json tests/bench/encoder.json [--quick] [--only NAME]

Parts: `tokeniser`, `padding`, `throughput` (the same model through fair-esm's own length-sorted batches, in turns in
the same process, CPU seconds; beside it the machine's rate of matrix products), `cores` (all of them, wall seconds),
`deduplication`, `reactions`, `ec`, `agreement` and `store` (what a lookup costs as the store grows).

`reactions`: gene → BiGG reactions on the 21 prokaryotic models whose proteins are in CarveMe's database, held out by
genus, with Escherichia, Shigella, Salmonella, Klebsiella and Yersinia as one group; micro F1 over all pairs of gene and
reaction. Below 70 and 50 %, references that DIAMOND aligns at or above that identity are removed for every method. The
combination adds a weighted cosine to the bit score and has a threshold; both are fitted on the other groups, and so
are DIAMOND's own threshold and that of the control without encoder. `ec`: CARE's sets against the reviewed proteins and
a sample of them, without all CARE queries and what is above 90 % identical; level 4, all methods on the same; queries
to which the encoder's training was nearer than that (`check_encoder_exclusions.py`) are not counted.
`--work` keeps hits and vectors. The shipped encoder's vectors of `reactions` come from the closed form that its weights
hold; `agreement` compares that with the packed pass.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from gemforest.carveme_files import carveme_data
from gemforest.embed.checkpoint import BUILT_IN, Checkpoint, load
from gemforest.embed.engine import CPU_BUDGET, Place, Worker, batches, embed
from gemforest.embed.tokens import cut, tokenise
from gemforest.embeddings import EmbeddingStore, Identity, Vectors
from gemforest.sequences import fasta_genes, normalise
from gemforest.store import atomic, file_sha256

if TYPE_CHECKING:
    from esm.model.esm2 import ESM2

    from gemforest.embed.forward import PackedEncoder

sys.path.insert(0, str(Path(__file__).parent))
import train_encoder as training

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("GEMFOREST_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
ENTEROBACTERALES = ("Escherichia", "Shigella", "Salmonella", "Klebsiella", "Yersinia")
PLACE = Place("cpu", "float32", 1)
SHIPPED = REPOSITORY / "resources" / "encoder" / BUILT_IN["small"]
REFERENCE_SAMPLE = 4000
Record = dict[str, object]


def small(random_weights: bool, work: Path) -> Checkpoint:
    """The shipped encoder, or its architecture with random weights."""
    path = SHIPPED
    if random_weights:
        path = work / "esm2_random_small.pt"
        if not path.exists():
            import torch
            from esm.model.esm2 import ESM2

            torch.manual_seed(0)
            design = training.Solved()
            model = ESM2(num_layers=design.layers, embed_dim=design.width, attention_heads=design.heads)
            training.save(path, dict(model.state_dict()), design, {"random": True})
    return Checkpoint(path.stem, path, file_sha256(path))


def proteome(name: str) -> list[bytes]:
    """A proteome that carveme ships, normalised."""
    data = carveme_data(f"benchmark/fasta/{name}.faa").read_bytes()
    return [normalise(gene.protein) for gene in fasta_genes(data)]


# Speed


def tokeniser(_work: Path, _quick: bool) -> Iterator[Record]:
    proteins = proteome("Ecoli_K12_MG1655") * 5
    best = 0.0
    for _ in range(5):
        started = time.process_time()
        tokens = tokenise(proteins).size
        best = max(best, tokens / (time.process_time() - started))
    yield {"what": "tokeniser", "value": best, "unit": "tokens/s"}


def padding(_work: Path, _quick: bool) -> Iterator[Record]:
    """The packed arrays hold no padding by construction; counted all the same, beside fair-esm's sorted batches."""
    from esm import FastaBatchedDataset

    pieces = cut([p for name in ("Ecoli_K12_MG1655", "Bsubtilis_168") for p in proteome(name)]).pieces
    real = sum(len(piece) + 2 for piece in pieces)
    packed = sum(tokenise(pieces[first:last]).size for first, last in batches(list(map(len, pieces)), CPU_BUDGET))
    dataset = FastaBatchedDataset(list(map(str, range(len(pieces)))), [piece.decode() for piece in pieces])
    groups = dataset.get_batch_indices(CPU_BUDGET, extra_toks_per_seq=2)
    padded = sum(len(group) * max(len(pieces[n]) + 2 for n in group) for group in groups)
    yield compared("padding", 100 * (packed / real - 1), "percent", "fair-esm", 100 * (padded / real - 1))


def throughput(work: Path, quick: bool) -> Iterator[Record]:
    """One core: the shipped weights and the same architecture with random ones, which leaves nothing out."""
    import torch

    torch.set_num_threads(1)
    rate = matrix_rate()
    yield {"what": "matrix products of this machine, one core", "value": rate / 1e9, "unit": "GFLOP/s"}
    sample = cut(random.Random(0).sample(proteome("Ecoli_K12_MG1655"), 100 if quick else 300)).pieces
    tokens = sum(len(piece) + 2 for piece in sample)
    for words, checkpoint in (("shipped", small(False, work)), ("random weights", small(True, work))):
        # Both load their weights before the clock starts.
        worker, theirs = Worker.start(checkpoint, PLACE, 0, True), FairEsm.of(checkpoint, sample)
        worker.means(sample[:20])
        runs = [
            (cpu_seconds(lambda w=worker: w.means(sample)), cpu_seconds(lambda t=theirs: t.means(4096)),
             cpu_seconds(lambda t=theirs: t.means(16384)))
            for _ in range(3 if quick else 5)
        ]  # fmt: skip
        seconds = np.median(runs, axis=0)
        what = f"throughput, one core, {words}"
        yield compared(
            what, tokens / seconds[0], "tokens per CPU second", "fair-esm, sorted", tokens / min(seconds[1:])
        )
        operations = sum(operations_of(worker.encoder, len(piece) + 2) for piece in sample)
        yield compared(f"{what}: reached", operations / seconds[0] / 1e9, "GFLOP/s", "matrix products", rate / 1e9)
        if words == "shipped":
            every = proteome("Ecoli_K12_MG1655")
            whole = sum(map(len, every)) / len(every) + 2
            yield {
                "what": "4,000 proteins of E. coli",
                "value": 4000 * whole * seconds[0] / tokens,
                "unit": "CPU seconds",
            }


def cores(work: Path, quick: bool) -> Iterator[Record]:
    """All cores: processes of one thread each, started within the clock, beside fair-esm with threads; wall seconds."""
    import torch

    count = os.cpu_count() or 1
    proteins = random.Random(0).sample(proteome("Ecoli_K12_MG1655"), 1000 if quick else 4000)
    checkpoint = small(False, work)
    sample = cut(random.Random(0).sample(proteins, 100 if quick else 300)).pieces
    theirs = FairEsm.of(checkpoint, sample)
    torch.set_num_threads(count)
    took = []
    for budget in (4096, 16384):
        started = time.monotonic()
        theirs.means(budget)
        took.append(time.monotonic() - started)
    torch.set_num_threads(1)
    before = sum(os.times()[:4])
    found = embed(proteins, checkpoint, Place("cpu", "float32", count))
    spent = sum(os.times()[:4]) - before
    rate = sum(len(piece) + 2 for piece in sample) / min(took)
    said = compared(
        "throughput, all cores, shipped", found.tokens / found.seconds, "tokens/s", "fair-esm, sorted", rate
    )
    yield said | {"cores": count, "load": os.getloadavg()[0], "tokens per CPU second": found.tokens / spent}


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def matrix_rate() -> float:
    """Operations per CPU second of this model's largest product in float32."""
    import torch

    left, right, out = torch.randn(4096, 200), torch.randn(800, 200), torch.empty(4096, 800)
    seconds = [cpu_seconds(lambda: [torch.mm(left, right.t(), out=out) for _ in range(5)]) for _ in range(8)]
    return 5 * 2 * left.numel() * len(right) / min(seconds)


def operations_of(encoder: PackedEncoder, tokens: int) -> float:
    """Operations of the matrix products for one piece, attention included, as they are done."""
    found = 0.0
    for layer in encoder.layers:
        found += 2 * tokens * sum(m.numel() for m in (layer.qkv, layer.out, layer.fc1, layer.fc2))
        found += 4 * tokens**2 * layer.heads * encoder.head_width
    return found


@dataclass(frozen=True)
class FairEsm:
    """fair-esm's own way: batches sorted by length and padded, the whole model, means over residues."""

    model: ESM2
    pieces: Sequence[bytes]

    @classmethod
    def of(cls, checkpoint: Checkpoint, pieces: Sequence[bytes]) -> FairEsm:
        """The model of a checkpoint, and what it is to embed."""
        return cls(load(checkpoint, allow_random=True), pieces)

    def means(self, budget: int) -> None:
        """Mean-pooled representations in batches of a token budget."""
        import torch
        from esm import FastaBatchedDataset

        model, dataset = self.model, FastaBatchedDataset(self.pieces, [piece.decode() for piece in self.pieces])
        converter = model.alphabet.get_batch_converter()
        with torch.no_grad():
            for group in dataset.get_batch_indices(budget, extra_toks_per_seq=2):
                batch = converter([dataset[number] for number in group])[2]
                found = model(batch, repr_layers=[model.num_layers])["representations"][model.num_layers]
                for row, number in enumerate(group):
                    found[row, 1 : len(self.pieces[number]) + 1].mean(0)


def deduplication(_work: Path, quick: bool) -> Iterator[Record]:
    from gemforest.content import Limits
    from gemforest.genes import read_genes

    def factor(files: Sequence[Path]) -> float:
        keys: list[bytes] = []
        for path in files:
            keys += read_genes(path, Limits()).proteins["seq_key"].to_pylist()
        return len(keys) / len(set(keys))

    folder = SHARED / "genomes" / "chlamydia_strains"
    yield {
        "what": "de-duplication, 7 GenBank strains of C. trachomatis",
        "value": factor(sorted(folder.glob("*.gbff.gz"))),
        "unit": "genes per unique protein",
    }
    if not quick:
        value = factor(sorted(folder.glob("*.f*a.gz")) + sorted(folder.glob("*.gbff.gz")))
        yield {
            "what": "de-duplication, 16 strains of C. trachomatis",
            "value": value,
            "unit": "genes per unique protein",
        }
    keys = [p for name in ("Ecoli_K12_MG1655", "Bsubtilis_168", "Paeruginosa_PAO1") for p in proteome(name)]
    yield {
        "what": "de-duplication, three species",
        "value": len(keys) / len(set(keys)),
        "unit": "genes per unique protein",
    }


def store(work: Path, quick: bool) -> Iterator[Record]:
    """A genome's lookup (4,000 proteins, nine in ten known) while the store grows, beside reading all its keys."""
    import shutil

    folder = work / "store"
    shutil.rmtree(folder, ignore_errors=True)
    vectors = EmbeddingStore(folder, Identity("esm2_bench", "0" * 64, 2, 16, "mean", "1022", "float32", "cpu", 2))
    rng, size = np.random.default_rng(0), 20_000
    known: list[bytes] = []
    for count in (1, 10, 60) if quick else (1, 10, 100, 300):
        while len(list(vectors.folder.glob("part-*"))) < count:
            keys = [row.tobytes() for row in rng.integers(0, 256, (size, 32), dtype=np.uint8)]
            known += keys[:400]
            ones = np.ones(size)
            vectors.write(Vectors(keys, rng.normal(size=(size, 16)).astype(np.float16), ones, ones, ones))
        # As in a run: a shard's genomes were embedded together, here in the nine newest parts.
        asked = known[-3600:] if count > 1 else known * 9
        new = [row.tobytes() for row in rng.integers(0, 256, (400, 32), dtype=np.uint8)]

        def lookup(asked: list[bytes] = asked, new: list[bytes] = new) -> None:
            assert vectors.missing([*asked, *new]) == new
            vectors.read(asked)

        def everything() -> None:
            wanted = set(asked)  # noqa: B023  called at once
            for part in vectors.folder.glob("part-*.parquet"):
                wanted.difference_update(pq.read_table(part, columns=["seq_key"])["seq_key"].to_pylist())

        lookup()
        found, peer = (float(np.median([cpu_seconds(way) for _ in range(3)])) for way in (lookup, everything))
        record = compared(f"lookup in {count * size:,} proteins", found, "CPU seconds", "reading all keys", peer)
        yield record | {"parts": count, "index files": len(list(vectors.folder.glob("index/*.idx")))}
    shutil.rmtree(folder)


def compared(what: str, value: float, unit: str, peer: str, peer_value: float) -> Record:
    ratio = value / peer_value if peer_value else None
    return {"what": what, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio}


# Neighbours


def vectors(name: str, proteins: Sequence[bytes], checkpoint: Checkpoint, work: Path) -> np.ndarray:
    """Vectors by the packed pass, kept in `work`; (n, width) float32."""
    path = work / f"{name}-{checkpoint.sha256[:12]}-{len(proteins)}.npy"
    if not path.exists():
        found = embed(proteins, checkpoint, PLACE, allow_random=True)
        print(f"{name}: {found.tokens:,} tokens in {found.seconds:.0f} s", file=sys.stderr)
        with atomic(path) as temporary, temporary.open("wb") as handle:
            np.save(handle, found.vectors)
    return np.asarray(np.load(path))


def closed_form(proteins: Sequence[bytes], checkpoint: Checkpoint) -> np.ndarray:
    """What the shipped weights say in closed form, in seconds; `agreement` compares it with the packed pass."""
    model = load(checkpoint)
    scale = training.SMALL * 2 / training.STEEPNESS
    windows = cut(proteins)
    found = np.zeros((len(proteins), model.embed_dim))
    weights = np.array([len(piece) for piece in windows.pieces])
    for layer, distances in zip(model.layers, training.Solved.distances, strict=True):
        directions = layer.fc2.weight.detach().numpy()[training.USED :, : 400 * len(distances)].T / scale
        for first in range(0, len(weights), 2000):
            part = slice(first, first + 2000)
            texts = [piece.decode() for piece in windows.pieces[part]]
            means = training.pair_frequencies(texts, distances) @ directions
            np.add.at(found[:, training.USED :], windows.owner[part], means * weights[part, None])
    return (found / np.bincount(windows.owner, weights)[:, None]).astype(np.float32)


def agreement(work: Path, quick: bool) -> Iterator[Record]:
    proteins = random.Random(1).sample(proteome("Paeruginosa_PAO1"), 60 if quick else 250)
    checkpoint = small(False, work)
    short, exact = closed_form(proteins, checkpoint), vectors("agreement", proteins, checkpoint, work)
    cosine = (unit(short) * unit(exact)).sum(1)
    yield {"what": "closed form and packed pass, lowest cosine", "value": float(cosine.min()), "unit": "cosine"}


def unit(rows: np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
    """Directions from the centre, by default the mean of the rows."""
    centred = rows - (rows.mean(0) if centre is None else centre)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9))


def dipeptides(proteins: Sequence[bytes]) -> np.ndarray:
    """Unit vectors of the square roots of dipeptide frequencies; (n, 400)."""
    place = np.full(256, -1)
    place[list(b"ACDEFGHIKLMNPQRSTVWY")] = range(20)
    counts = np.zeros((len(proteins), 400), dtype=np.float32)
    for row, protein in enumerate(proteins):
        letters = place[np.frombuffer(protein, np.uint8)]
        pairs = (letters[:-1] * 20 + letters[1:])[(letters[:-1] >= 0) & (letters[1:] >= 0)]
        counts[row] = np.bincount(pairs, minlength=400)
    return unit(np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1)))


@dataclass(frozen=True)
class Hits:
    """DIAMOND's hits: per query, targets with identity (percent) and bit score, best first."""

    target: list[np.ndarray]
    identity: list[np.ndarray]
    bits: list[np.ndarray]


def diamond_hits(
    queries: dict[str, bytes], targets: dict[str, bytes], name: str, work: Path, given: Path | None
) -> Hits:
    """Hits (`-k 150`, e ≤ 1e-5, `--more-sensitive`), kept in `work`; `given` is such a search done before."""
    path = given or work / f"{name}.tsv"
    if not path.exists():
        for kind, proteins in (("query", queries), ("target", targets)):
            text = "".join(f">{key}\n{residues.decode()}\n" for key, residues in proteins.items())
            (work / f"{name}.{kind}.faa").write_text(text)
        database = work / f"{name}.target"
        make = ["diamond", "makedb", "--in", f"{database}.faa", "--db", str(database), "--threads", "1", "--quiet"]
        subprocess.run(make, check=True)
        search = ["diamond", "blastp", "--db", str(database), "--query", str(work / f"{name}.query.faa")]
        search += [
            "--out",
            f"{path}.partial",
            "--more-sensitive",
            "-k",
            "150",
            "-e",
            "1e-5",
            "--threads",
            "1",
            "--quiet",
        ]
        search += ["--outfmt", "6", "qseqid", "sseqid", "pident", "bitscore"]
        subprocess.run(search, check=True)
        Path(f"{path}.partial").rename(path)
    row_of = {key: row for row, key in enumerate(queries)}
    place_of = {key: place for place, key in enumerate(targets)}
    found: list[list[tuple[float, int, float]]] = [[] for _ in queries]
    with path.open() as handle:
        for line in handle:
            fields = line.rstrip("\n").split("\t")
            bits = fields[11] if len(fields) > 4 else fields[3]
            if fields[0] in row_of and fields[1] in place_of:
                found[row_of[fields[0]]].append((-float(bits), place_of[fields[1]], float(fields[2])))
    columns: tuple[list[np.ndarray], ...] = ([], [], [])
    for rows in found:
        rows.sort()
        table = np.array(rows, dtype=float).reshape(-1, 3)
        for column, values in zip(columns, (table[:, 1].astype(int), table[:, 2], -table[:, 0]), strict=True):
            column.append(values)
    return Hits(*columns)


@dataclass(frozen=True)
class Candidate:
    """One query's possible answers: targets, bit scores per residue of the query (0 without alignment), cosines."""

    target: np.ndarray
    bits: np.ndarray
    cosine: np.ndarray


@dataclass(frozen=True)
class Neighbours:
    """The nearest references of each query outside its group, nearest first, and the vectors of both."""

    target: np.ndarray
    cosine: np.ndarray
    pool: np.ndarray
    place: dict[int, int]

    def cosine_of(self, row: int, target: int) -> float:
        """Cosine of two genes; 0 where the target is a eukaryote's and has no vector."""
        if target not in self.place:
            return 0.0
        return float(self.pool[self.place[row]] @ self.pool[self.place[target]])


def nearest(
    pool: np.ndarray, library: Sequence[int], asked: Sequence[int], group: list[str], truth: list[set[str]]
) -> Neighbours:
    """The 60 nearest references of each query; those without reactions and those of its own group are left out."""
    place = {row: number for number, row in enumerate(library)}
    labels = np.array([group[row] for row in library])
    useless = np.array([not truth[row] for row in library])
    targets, cosines = [], []
    for first in range(0, len(asked), 512):
        rows = list(asked[first : first + 512])
        similarity = pool[[place[row] for row in rows]] @ pool.T
        similarity[:, useless] = -2
        similarity[np.array([group[row] for row in rows])[:, None] == labels[None]] = -2
        found = np.argpartition(-similarity, 60, axis=1)[:, :60]
        values = np.take_along_axis(similarity, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        targets.append(np.take_along_axis(found, order, axis=1))
        cosines.append(np.take_along_axis(values, order, axis=1))
    return Neighbours(np.array(library)[np.concatenate(targets)], np.concatenate(cosines), pool, place)


def reactions(work: Path, quick: bool) -> Iterator[Record]:
    genes, proteins, truth, group = bigg()
    names = dict(zip(genes, proteins, strict=True))
    asked = [row for row, name in enumerate(genes) if group[row] and truth[row]]
    if quick:
        asked = sorted(random.Random(0).sample(asked, 4000))
    queries = {genes[row]: proteins[row] for row in asked}
    given = Path(os.environ.get("GEMFOREST_BIGG_HITS", work / "bigg.tsv"))
    hits = diamond_hits(queries, names, "bigg", work, given if given.exists() else None)
    # The encoder's references are the prokaryotic proteins; DIAMOND's are all, as in the reference figures.
    library = [row for row, name in enumerate(group) if name]
    pools = {
        "encoder": unit(closed_form([proteins[row] for row in library], small(False, work))),
        "dipeptides": dipeptides([proteins[row] for row in library]),
    }
    if not quick:
        found = vectors("bigg", [proteins[row] for row in library], small(True, work), work)
        pools["random weights"] = unit(found)
    near = {name: nearest(pool, library, asked, group, truth) for name, pool in pools.items()}
    for limit, words in ((1000.0, "all"), (70.0, "< 70"), (50.0, "< 50")):
        task = ReactionTask(asked, group, truth, hits, proteins, limit)
        counts: dict[str, np.ndarray] = {"DIAMOND": task.score(task.best_hit())}
        for name, found in near.items():
            counts[name] = task.score(task.neighbour(found))
        for name in pools:
            counts[f"DIAMOND and {name}"] = task.combined(near[name])
        counts["DIAMOND with threshold"] = task.combined(None)
        base = f1(counts["DIAMOND"].sum(0))
        for name, found in counts.items():
            value = f1(found.sum(0))
            low, high = interval(found, counts["DIAMOND"])
            yield {
                "what": f"gene to reaction, {words}: {name}",
                "value": value,
                "unit": "micro F1",
                "peer": "DIAMOND best hit",
                "peer_value": base,
                "ratio": value / base,
                "difference_95_percent": [low, high],
                "queries": len(asked),
            }


def bigg() -> tuple[list[str], list[bytes], list[set[str]], list[str]]:
    """Genes of CarveMe's database: names, proteins, reactions, held-out group (empty for eukaryotes)."""
    data = carveme_data("generated/bigg_proteins.faa").read_bytes()
    proteins = {gene.source_id: normalise(gene.protein) for gene in fasta_genes(data)}
    with gzip.open(carveme_data("generated/bigg_gprs.csv.gz"), "rt") as handle:
        leads: dict[str, set[str]] = defaultdict(set)
        for row in csv.DictReader(handle):
            leads[f"{row['model']}.{row['gene'].removeprefix('G_')}"].add(row["reaction"])
    with carveme_data("input/bigg_models.tsv").open(newline="") as handle:
        about = {row["model"]: row for row in csv.DictReader(handle, delimiter="\t")}
    groups = []
    for name in proteins:
        row = about[name.split(".")[0]]
        genus = "Enterobacterales" if row["genus"] in ENTEROBACTERALES else row["genus"]
        groups.append("" if row["kingdom"] == "Eukarya" else genus)
    genes = list(proteins)
    return genes, list(proteins.values()), [leads.get(name, set()) for name in genes], groups


@dataclass
class ReactionTask:
    """Gene to reactions at one identity limit."""

    asked: list[int]
    group: list[str]
    truth: list[set[str]]
    hits: Hits
    proteins: list[bytes]
    limit: float

    def best_hit(self) -> list[set[str]]:
        """Reactions of DIAMOND's best hit outside the query's group and below the limit."""
        answers = []
        for number, row in enumerate(self.asked):
            usable = self._usable(number, row)
            answers.append(self.truth[int(usable[0])] if len(usable) else set())
        return answers

    def _usable(self, number: int, row: int) -> np.ndarray:
        target = self.hits.target[number]
        kept = self.hits.identity[number] < self.limit
        kept &= np.array([self.group[t] != self.group[row] for t in target], dtype=bool)
        return target[kept]

    def neighbour(self, near: Neighbours) -> list[set[str]]:
        """Reactions of the nearest vector outside the query's group and not aligned at or above the limit."""
        answers = []
        for number in range(len(self.asked)):
            targets, _ = self._allowed(number, near)
            answers.append(self.truth[int(targets[0])] if len(targets) else set())
        return answers

    def _allowed(self, number: int, near: Neighbours) -> tuple[np.ndarray, np.ndarray]:
        over = self.hits.target[number][self.hits.identity[number] >= self.limit]
        kept = ~np.isin(near.target[number], over) & (near.cosine[number] > -2)
        return near.target[number][kept], near.cosine[number][kept]

    def score(self, answers: Sequence[set[str]]) -> np.ndarray:
        """True positives, false positives, false negatives per query; (n, 3)."""
        return np.array(
            [
                (len(found & self.truth[row]), len(found - self.truth[row]), len(self.truth[row] - found))
                for row, found in zip(self.asked, answers, strict=True)
            ]
        )

    def combined(self, near: Neighbours | None) -> np.ndarray:
        """Counts of the best of hits and neighbours by bits per residue + weight · cosine, above a threshold.

        Weight and threshold for a group are those that give the other groups the best F1.
        """
        candidates = self._candidates(near)
        groups = np.array([self.group[row] for row in self.asked])
        settings = []
        for weight in (0.0,) if near is None else (0.0, 0.25, 0.5, 1.0, 2.0, 4.0):
            answers, best = [], np.zeros(len(candidates))
            for number, candidate in enumerate(candidates):
                total = candidate.bits + weight * candidate.cosine
                # Without a weight a neighbour that no alignment supports is no answer.
                usable = (candidate.bits > 0) | (weight > 0)
                if not usable.any():
                    answers.append(set())
                    best[number] = -1
                    continue
                winner = int(np.where(usable, total, -np.inf).argmax())
                best[number] = total[winner]
                answers.append(self.truth[int(candidate.target[winner])])
            counts = self.score(answers)
            nothing = self.score([set()] * len(candidates))
            for threshold in np.concatenate([[-1.0], np.quantile(best, np.linspace(0.02, 0.6, 30))]):
                settings.append(np.where((best >= threshold)[:, None], counts, nothing))
        chosen = np.zeros_like(settings[0])
        for group in np.unique(groups):
            held = groups == group
            best_setting = max(settings, key=lambda counts: f1(counts[~held].sum(0)))
            chosen[held] = best_setting[held]
        return chosen

    def _candidates(self, near: Neighbours | None) -> list[Candidate]:
        found = []
        for number, row in enumerate(self.asked):
            aligned = self._usable(number, row).tolist()
            every = dict(zip(self.hits.target[number].tolist(), self.hits.bits[number].tolist(), strict=True))
            bits = {target: every[target] / len(self.proteins[row]) for target in aligned}
            cosine = {target: near.cosine_of(row, target) if near else 0.0 for target in aligned}
            if near:
                targets, cosines = self._allowed(number, near)
                cosine |= dict(zip(targets[:10].tolist(), cosines[:10].tolist(), strict=True))
            names = list(cosine)
            scores = np.array([bits.get(name, 0.0) for name in names])
            found.append(Candidate(np.array(names, dtype=int), scores, np.array([cosine[name] for name in names])))
        return found


def f1(counts: np.ndarray) -> float:
    """F1 of summed true positives, false positives and false negatives."""
    return float(2 * counts[0] / max(2 * counts[0] + counts[1] + counts[2], 1))


def interval(counts: np.ndarray, peer: np.ndarray, rounds: int = 400) -> tuple[float, float]:
    """95 % paired bootstrap interval of a difference in F1, over queries."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(rounds):
        rows = rng.integers(0, len(counts), len(counts))
        found.append(f1(counts[rows].sum(0)) - f1(peer[rows].sum(0)))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def ec(work: Path, quick: bool) -> Iterator[Record]:
    queries = training.care_queries(SHARED)
    everything = training.labelled(SHARED)
    similar = training.too_similar(everything, queries, work)
    kept = training.without_test_proteins(everything, queries, similar, set())
    reviewed = [row for row, name in enumerate(kept.ids) if not name.startswith("UniRef90_")]
    sample = sorted(random.Random(0).sample(reviewed, REFERENCE_SAMPLE))
    if not quick:
        yield from ec_against(reviewed, kept, queries, work, with_random=False)
    # Random weights have no closed form: core seconds for a sample only, with the other methods on the same.
    yield from ec_against(sample, kept, queries, work, with_random=not quick)


def ec_against(
    rows: list[int], kept: training.Labelled, queries: dict[str, str], work: Path, with_random: bool
) -> Iterator[Record]:
    """All methods against these reference proteins."""
    references = {f"r{row}": kept.sequences[row].encode() for row in rows}
    classes = [set(kept.ecs[row]) for row in rows]
    asked = {name: protein.encode() for name, protein in queries.items()}
    hits = diamond_hits(asked, references, f"care.{len(rows)}", work, None)
    proteins = [*references.values(), *asked.values()]
    ways: dict[str, Callable[[], np.ndarray]] = {
        "dipeptides": lambda: dipeptides(proteins),
        "encoder": lambda: closed_form(proteins, small(False, work)),
    }
    if with_random:
        ways["random weights"] = lambda: vectors("ec", proteins, small(True, work), work)
    best = [classes[targets[0]] if len(targets) else set() for targets in hits.target]
    yield from ec_records("DIAMOND", list(queries), best, best, len(rows))
    for name, compute in ways.items():
        found = compute()
        space = found if name == "dipeptides" else unit(found, found[: len(rows)].mean(0))
        near = [classes[int(row)] for row in (space[len(rows) :] @ space[: len(rows)].T).argmax(1)]
        yield from ec_records(name, list(queries), near, best, len(rows))
        either = [first or second for first, second in zip(best, near, strict=True)]
        yield from ec_records(f"DIAMOND, then {name}", list(queries), either, best, len(rows))


def ec_records(
    method: str, names: list[str], found: list[set[str]], peer: list[set[str]], references: int
) -> Iterator[Record]:
    """Share of the queries of each set with a right class, beside DIAMOND's."""
    place = {name: number for number, name in enumerate(names)}
    check = json.loads((SHIPPED.parent / "exclusions_check.json").read_text())
    too_near = {query for query, _, _ in check["above_90_percent"]}
    for name in training.CARE:
        with (SHARED / "ec" / name).open(newline="") as handle:
            truth = [
                (place[r["Entry"]], set(training.COMPLETE_EC.findall(r.get("EC All") or r["EC number"])))
                for r in csv.DictReader(handle)
                if r["Entry"] not in too_near
            ]
        value, base = (
            float(100 * np.mean([bool(answers[number] & right) for number, right in truth]))
            for answers in (found, peer)
        )
        record = compared(f"EC, {name}: {method}", value, "percent right", "DIAMOND", base)
        yield record | {"queries": len(truth), "references": references}


PARTS: dict[str, Callable[[Path, bool], Iterator[Record]]] = {
    "tokeniser": tokeniser,
    "padding": padding,
    "throughput": throughput,
    "cores": cores,
    "store": store,
    "deduplication": deduplication,
    "agreement": agreement,
    "reactions": reactions,
    "ec": ec,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="samples of the data")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="this part alone; may be repeated")
    parser.add_argument("--work", type=Path, required=True, help="keep hits and vectors here")
    parser.add_argument("--json", type=Path, help="write the records here; those of other parts stay")
    parsed = parser.parse_args()
    parsed.work.mkdir(parents=True, exist_ok=True)
    records: list[Record] = []
    for part in parsed.only or list(PARTS):
        for record in PARTS[part](parsed.work, parsed.quick):
            records.append({"part": part, **record})
            print(json.dumps(records[-1]), flush=True)
    if parsed.json:
        machine = {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}
        before = json.loads(parsed.json.read_text())["records"] if parsed.json.exists() else []
        done = {record["part"] for record in records}
        records = [record for record in before if record["part"] not in done] + records
        parsed.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
