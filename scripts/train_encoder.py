"""Train the default encoder: a small ESM-2 written in fair-esm's on-disk format, on a CPU, in minutes.

Two ways, both supervised by EC numbers. `--method solved` (what is shipped) writes the weights down instead of
descending to them. Query and key biases make each head look at a fixed offset by way of the rotary positions; the
value path copies which residue stands there; the 800 units of each feed-forward layer then are the indicators of all
pairs of residues at two distances, and its second matrix is a linear discriminant analysis (Fisher 1936; Rao 1948)
that tells EC classes apart by the frequencies of pairs at distances 1 to 4. The mean over residues of the last layer
is that discriminant. `--method gradient` trains on crops: masked residues (Lin et al. 2023, Science 379:1123), learned
prototypes per fourth-level class (Zhai & Wu 2019) and pairs of one class or protein (Khosla et al. 2020), from weights
whose lower heads look at fixed offsets; resumable. In the core minutes at hand it stayed far behind (model card).

What is tested on is not trained on: every CARE query is left out by accession, by sequence and, by DIAMOND, above 90 %
identity; every protein of CarveMe's database is left out of the EC objective by sequence; no BiGG reaction label is
read at all. `python scripts/train_encoder.py --data ../shared/data --work FOLDER`. The size of the smallest published
ESM-2, on a GPU (not run yet, none was at hand): `--method gradient --layers 6 --width 320 --heads 20 --crop 512
--device cuda --name esm2_gemforest_large`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.nn import functional

LETTERS = "LAGVSERTIDPKQNFYMHWCXBUZO"
FIRST_LETTER, CLS, PAD, EOS, MASK = 4, 0, 1, 2, 32
COMPLETE_EC = re.compile(r"\d+\.\d+\.\d+\.n?\d+")
CARE = ("care_30_test.csv", "care_30-50_test.csv", "care_promiscuous_test.csv")
IDENTITY_LIMIT = 90.0


@dataclass(frozen=True)
class Design:
    """What the network is and how long its crops are."""

    layers: int = 3
    width: int = 160
    heads: int = 10
    crop: int = 160
    classes_a_step: int = 12
    proteins_a_step: int = 4


@dataclass(frozen=True)
class Labelled:
    """Proteins with complete EC numbers: ids, sequences, one tuple of classes each."""

    ids: list[str]
    sequences: list[str]
    ecs: list[tuple[str, ...]]


def normalised(sequence: str) -> str:
    """Upper case, no trailing `*`, letters outside the alphabet as X."""
    return re.sub(f"[^{LETTERS}]", "X", sequence.upper().rstrip("*"))


def care_queries(data: Path) -> dict[str, str]:
    """Accession to sequence of all CARE test sets."""
    queries = {}
    for name in CARE:
        with (data / "ec" / name).open(newline="") as handle:
            queries.update({row["Entry"]: normalised(row["Sequence"]) for row in csv.DictReader(handle)})
    return queries


def labelled(data: Path) -> Labelled:
    """All proteins with a complete EC number of the two reference sets, reviewed first, one row a sequence."""
    seen: set[str] = set()
    ids, sequences, ecs = [], [], []
    for name in ("gapseq_reviewed_ec.parquet", "gapseq_uniref90_ec.parquet"):
        for row in pq.read_table(data / "ec" / name).to_pylist():
            classes = tuple(sorted(set(COMPLETE_EC.findall(row["ec"]))))
            sequence = normalised(row["sequence"])
            if classes and sequence not in seen and len(sequence) >= 40:
                seen.add(sequence)
                ids.append(row["ids"])
                sequences.append(sequence)
                ecs.append(classes)
    return Labelled(ids, sequences, ecs)


def too_similar(everything: Labelled, queries: dict[str, str], work: Path) -> set[int]:
    """Rows that DIAMOND aligns to a CARE query above 90 % identity."""
    hits = work / "care_hits.tsv"
    if not hits.exists():
        rows, asked = work / "labelled.faa", work / "care.faa"
        rows.write_text("".join(f">{number}\n{text}\n" for number, text in enumerate(everything.sequences)))
        asked.write_text("".join(f">{name}\n{text}\n" for name, text in queries.items()))
        subprocess.run(
            ["diamond", "makedb", "--in", rows, "--db", work / "labelled", "--threads", "1", "--quiet"], check=True
        )
        search = ["diamond", "blastp", "--db", work / "labelled", "--query", asked, "--out", work / "care_hits.partial"]
        search += [
            "--id",
            str(IDENTITY_LIMIT),
            "-k",
            "0",
            "--threads",
            "1",
            "--quiet",
            "--outfmt",
            "6",
            "sseqid",
            "pident",
        ]
        subprocess.run(search, check=True)
        (work / "care_hits.partial").rename(hits)
    return {int(line.split("\t")[0]) for line in hits.read_text().splitlines()}


def without_test_proteins(everything: Labelled, queries: dict[str, str], similar: set[int], bigg: set[str]) -> Labelled:
    """Leave out CARE queries by accession, sequence and similarity, and BiGG's proteins by sequence."""
    accessions, sequences = set(queries), set(queries.values())
    kept = [
        number
        for number, (ids, sequence) in enumerate(zip(everything.ids, everything.sequences, strict=True))
        if number not in similar
        and sequence not in sequences
        and sequence not in bigg
        and not accessions & set(ids.replace("UniRef90_", "").split(";"))
    ]
    return Labelled(*([column[n] for n in kept] for column in (everything.ids, everything.sequences, everything.ecs)))


def read_fasta(path: Path) -> Iterator[str]:
    """Normalised sequences of a FASTA file, gzipped or not."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as handle:
        parts: list[str] = []
        for line in handle:
            if line.startswith(">"):
                if parts:
                    yield normalised("".join(parts))
                parts = []
            else:
                parts.append(line.strip())
        if parts:
            yield normalised("".join(parts))


def bigg_proteins() -> list[str]:
    """Sequences of CarveMe's protein database."""
    import carveme

    return list(read_fasta(Path(carveme.__file__).parent / "data" / "generated" / "bigg_proteins.faa"))


def unlabelled(data: Path, queries: dict[str, str]) -> list[str]:
    """Proteins for the masked and the paired objective: CarveMe's database and the proteomes of the shared genomes."""
    found = set(bigg_proteins())
    for path in sorted((data / "genomes" / "fermentation26").glob("**/*.faa*")):
        found.update(read_fasta(path))
    for path in sorted((data / "phenotypes" / "proteomes").glob("*.faa.gz")):
        found.update(read_fasta(path))
    return sorted(text for text in found - set(queries.values()) if len(text) >= 80)


class Layer(nn.Module):
    """One pre-norm transformer layer with fair-esm's parameter names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = nn.ModuleDict(
            {name: nn.Linear(width, width) for name in ("k_proj", "v_proj", "q_proj", "out_proj")}
        )
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, heads: int) -> Tensor:
        """(B, L, D) → (B, L, D); `mask` (B, 1, 1, L) is added to the scores."""
        batch, length, width = x.shape
        h = self.self_attn_layer_norm(x)
        q, k, v = (
            self.self_attn[name](h).view(batch, length, heads, -1).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        h = functional.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, attn_mask=mask)
        x = x + self.self_attn["out_proj"](h.transpose(1, 2).reshape(batch, length, width))
        return x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in fair-esm's half-split layout."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def rotary_frequencies(head_width: int) -> Tensor:
    """Angular frequencies θ_i = 10000^(−2i/d)."""
    return 1.0 / (10000 ** (torch.arange(0, head_width, 2).float() / head_width))


class Encoder(nn.Module):
    """ESM-2's architecture for training: padded crops, tied masked-residue head, prototypes per EC class."""

    def __init__(self, design: Design, classes: int) -> None:
        super().__init__()
        self.design = design
        width = design.width
        self.embed_tokens = nn.Embedding(33, width, padding_idx=PAD)
        self.layers = nn.ModuleList(Layer(width) for _ in range(design.layers))
        self.emb_layer_norm_after = nn.LayerNorm(width)
        self.lm_dense = nn.Linear(width, width)
        self.lm_norm = nn.LayerNorm(width)
        self.lm_bias = nn.Parameter(torch.zeros(33))
        self.prototypes = nn.Parameter(torch.randn(classes, width) / math.sqrt(width))
        self.log_scale = nn.Parameter(torch.tensor(math.log(12.0)))
        self.register_buffer("centre", torch.zeros(width))
        freqs = torch.outer(torch.arange(design.crop + 2).float(), rotary_frequencies(width // design.heads))
        self.register_buffer("cos", torch.cat((freqs, freqs), -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((freqs, freqs), -1).sin(), persistent=False)
        self.start()

    @torch.no_grad()
    def start(self) -> None:
        """Initial weights: small outputs, and heads of the two lower layers that look at fixed offsets."""
        self.embed_tokens.weight.normal_(0, 0.5)
        self.embed_tokens.weight[PAD] = 0
        self.embed_tokens.weight[MASK] = 0
        self.lm_norm.weight.fill_(0.1)
        offsets = ((-4, -3, -2, -1, 0, 1, 2, 3, 4, None), (-12, -9, -6, -3, 3, 6, 9, 12, None, None))
        for number, layer in enumerate(self.layers):
            layer.self_attn["out_proj"].weight.normal_(0, 0.5 / math.sqrt(self.design.width))
            layer.fc2.weight.mul_(0.5)
            for head, offset in enumerate(offsets[number][: self.design.heads] if number < len(offsets) else ()):
                if offset is not None:
                    look_at(layer, head, offset, self.design.width // self.design.heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L) → last hidden state (B, L, D), with ESM-2's token-dropout scale."""
        real = tokens != PAD
        masked = ((tokens == MASK).sum(1) / real.sum(1))[:, None, None]
        x = self.embed_tokens(tokens) * ((tokens != MASK) & real)[..., None] * (0.88 / (1 - masked))
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        mask = torch.zeros(tokens.shape).masked_fill(~real, -1e9)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, cos, sin, mask, self.design.heads)
        return self.emb_layer_norm_after(x)

    def residues(self, hidden: Tensor) -> Tensor:
        """Logits over the 33 tokens (…, 33)."""
        return functional.linear(
            self.lm_norm(functional.gelu(self.lm_dense(hidden))), self.embed_tokens.weight, self.lm_bias
        )


def look_at(layer: Layer, head: int, offset: int, head_width: int) -> None:
    """Make a head attend to position i + offset: with q = a and k = R(−offset) a, the score peaks there."""
    angles = rotary_frequencies(head_width) * -offset
    strength = math.sqrt(8.0 * math.sqrt(head_width))
    rows = slice(head * head_width, (head + 1) * head_width)
    for name, turn in (("q_proj", torch.zeros_like(angles)), ("k_proj", angles)):
        layer.self_attn[name].weight[rows] *= 0.3
        layer.self_attn[name].bias[rows] = strength * torch.cat((turn.cos(), turn.sin()))


def crop(sequence: str, length: int, rng: np.random.Generator) -> np.ndarray:
    """Tokens of a random stretch, with begin and end tokens where it holds the protein's ends."""
    text = np.frombuffer(sequence.encode(), dtype=np.uint8)
    tokens = np.concatenate([[CLS], TOKEN_OF[text], [EOS]])
    start = rng.integers(0, max(1, len(tokens) - length + 1))
    return tokens[start : start + length]


TOKEN_OF = np.full(256, FIRST_LETTER + LETTERS.index("X"), dtype=np.int64)
TOKEN_OF[list(LETTERS.encode())] = np.arange(FIRST_LETTER, FIRST_LETTER + len(LETTERS))


@dataclass(frozen=True)
class Batch:
    """Crops of a step: tokens before and after masking (B, L), EC class or −1 (B,), other true classes, pair label."""

    tokens: Tensor
    seen: Tensor
    label: Tensor
    also: list[list[int]]
    pair: Tensor


class Crops:
    """Draws batches: two proteins of each of some EC classes, and two crops of each of some unlabelled proteins."""

    def __init__(self, design: Design, train: Labelled, others: Sequence[str], rng: np.random.Generator) -> None:
        self.design, self.train, self.others, self.rng = design, train, others, rng
        self.classes = sorted({ec for ecs in train.ecs for ec in ecs})
        index = {ec: number for number, ec in enumerate(self.classes)}
        self.members: list[list[int]] = [[] for _ in self.classes]
        self.numbers = [[index[ec] for ec in ecs] for ecs in train.ecs]
        for row, numbers in enumerate(self.numbers):
            for number in numbers:
                self.members[number].append(row)
        weight = np.array([len(rows) for rows in self.members], dtype=float) ** 0.5
        weight[[len(rows) < 2 for rows in self.members]] = 0
        self.chance = weight / weight.sum()

    def draw(self) -> Batch:
        """One batch."""
        texts, label, also = [], [], []
        for number in self.rng.choice(len(self.classes), self.design.classes_a_step, replace=False, p=self.chance):
            for row in self.rng.choice(self.members[number], 2, replace=False):
                texts.append(self.train.sequences[row])
                label.append(int(number))
                also.append([other for other in self.numbers[row] if other != number])
        pair = list(label)
        for place, row in enumerate(self.rng.choice(len(self.others), self.design.proteins_a_step, replace=False)):
            texts += [self.others[row]] * 2
            label += [-1] * 2
            also += [[], []]
            pair += [-1 - place] * 2
        crops = [crop(text, self.design.crop, self.rng) for text in texts]
        tokens = torch.full((len(crops), max(map(len, crops))), PAD)
        for place, found in enumerate(crops):
            tokens[place, : len(found)] = torch.from_numpy(found)
        return Batch(tokens, self._masked(tokens), torch.tensor(label), also, torch.tensor(pair))

    def _masked(self, tokens: Tensor) -> Tensor:
        letters = (tokens >= FIRST_LETTER) & (tokens < FIRST_LETTER + 20)
        chosen = torch.from_numpy(self.rng.random(tokens.shape) < 0.12).to(tokens.device) & letters
        return torch.where(chosen, torch.tensor(MASK), tokens)


def losses(model: Encoder, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Masked-residue, prototype and pair losses of a batch."""
    hidden = model(batch.seen)
    masked = (batch.seen == MASK) & (batch.tokens != MASK)
    residue = functional.cross_entropy(model.residues(hidden[masked]), batch.tokens[masked])
    inner = ((batch.tokens >= FIRST_LETTER)[..., None]).float()
    means = (hidden * inner).sum(1) / inner.sum(1)
    # Without this all proteins share one direction and every cosine is 1; `export` folds it into the last norm.
    model.centre.lerp_(means.detach().mean(0), 0.02)
    pooled = functional.normalize(means - means.mean(0), dim=1)
    scale = model.log_scale.exp().clamp(max=64)
    ec = batch.label >= 0
    score = scale * pooled[ec] @ functional.normalize(model.prototypes, dim=1).T
    rows = [(row, other) for row, others in enumerate(batch.also[: int(ec.sum())]) for other in others]
    if rows:
        score = score.index_put(tuple(torch.tensor(rows).T), torch.tensor(-1e9))
    prototype = functional.cross_entropy(score, batch.label[ec])
    same = (batch.pair[:, None] == batch.pair[None]) & ~torch.eye(len(batch.pair), dtype=torch.bool)
    among = (scale * pooled @ pooled.T).masked_fill(torch.eye(len(batch.pair), dtype=torch.bool), -1e9)
    pair = -(functional.log_softmax(among, dim=1) * same).sum(1).div(same.sum(1)).mean()
    return residue, prototype, pair


def gathered(args: argparse.Namespace) -> tuple[Labelled, list[str]]:
    """The labelled and the unlabelled proteins to train on; what was left out is written down."""
    args.work.mkdir(parents=True, exist_ok=True)
    queries = care_queries(args.data)
    everything = labelled(args.data)
    similar = too_similar(everything, queries, args.work)
    kept = without_test_proteins(everything, queries, similar, set(bigg_proteins()))
    others = unlabelled(args.data, queries)
    say(f"{len(kept.ids)} of {len(everything.ids)} labelled kept ({len(similar)} above 90 %); {len(others)} others")
    write_excluded(args.work, everything, kept, queries)
    return kept, others


@dataclass
class Run:
    """A training run that can be left and resumed."""

    args: argparse.Namespace
    design: Design
    model: Encoder
    optimiser: torch.optim.Optimizer
    crops: Crops
    state: dict[str, float]

    @classmethod
    def start(cls, args: argparse.Namespace, design: Design) -> Run:
        """A new run, or the one whose last checkpoint lies in the work folder."""
        kept, others = gathered(args)
        torch.manual_seed(args.seed)
        crops = Crops(design, kept, others, np.random.default_rng(args.seed))
        model = Encoder(design, len(crops.classes))
        rest = [value for name, value in model.named_parameters() if name != "prototypes"]
        groups = [
            {"params": rest, "top": args.rate, "weight_decay": 0.01},
            {"params": [model.prototypes], "top": 4 * args.rate, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.98))
        run = cls(args, design, model, optimiser, crops, {"step": 0, "tokens": 0, "seconds": 0.0})
        if run.path.exists():
            saved = torch.load(run.path, weights_only=True)
            model.load_state_dict(saved["model"])
            optimiser.load_state_dict(saved["optimiser"])
            run.state = saved["state"]
            crops.rng = np.random.default_rng([args.seed, int(run.state["step"])])
            say(f"goes on from step {run.state['step']}")
        say(f"{sum(value.numel() for value in rest):,} parameters, {len(crops.classes)} EC classes")
        return run

    @property
    def path(self) -> Path:
        """Where the run can be resumed from."""
        return Path(self.args.work) / "train_state.pt"

    @property
    def done(self) -> float:
        """Share of the time that is spent."""
        return self.state["seconds"] / (self.args.minutes * 60)

    def train(self) -> None:
        """Train until the minutes are spent, writing a checkpoint every `--every` minutes."""
        before, began, saved_at = self.state["seconds"], time.monotonic(), time.monotonic()
        running = np.zeros(3)
        while self.done < 1:
            running = 0.97 * running + 0.03 * self.step()
            self.state["seconds"] = before + time.monotonic() - began
            if self.state["step"] % 25 == 0:
                masked, ec, pair = running / (1 - 0.97 ** min(self.state["step"], 10**6))
                say(
                    f"step {self.state['step']} {self.state['seconds']:.0f} s {time.process_time():.0f} cpu s "
                    f"{self.state['tokens'] / 1e6:.2f} M tokens masked {masked:.3f} EC {ec:.3f} pair {pair:.3f}"
                )
            if time.monotonic() - saved_at > self.args.every * 60 or self.done >= 1:
                saved_at = time.monotonic()
                self.save()

    def step(self) -> np.ndarray:
        """One step of the optimiser; the three losses."""
        for group in self.optimiser.param_groups:
            warm = min(1.0, (self.state["step"] + 1) / 40)
            group["lr"] = group["top"] * warm * 0.5 * (1 + math.cos(math.pi * min(self.done, 1)))
        batch = self.crops.draw()
        masked, ec, pair = losses(self.model, batch)
        self.optimiser.zero_grad(set_to_none=True)
        (self.args.masked_weight * masked + ec + 0.5 * pair).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.state["step"] += 1
        self.state["tokens"] += int((batch.tokens != PAD).sum())
        return np.array([masked.item(), ec.item(), pair.item()])

    def save(self) -> None:
        """Write the checkpoint to resume from, and the encoder in fair-esm's format."""
        saved = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "state": self.state}
        torch.save(saved, self.path.with_suffix(".new"))
        self.path.with_suffix(".new").rename(self.path)
        note = {"seed": self.args.seed, **self.state}
        export(self.model, self.design, self.args.work / f"{self.args.name}.pt", note)


def export(model: Encoder, design: Design, path: Path, note: dict[str, float]) -> None:
    """Write the weights in fair-esm's format; the centre of all proteins goes into the last norm."""
    found = {name: value for name, value in model.state_dict().items() if name not in ("prototypes", "log_scale")}
    centre = found.pop("centre")
    found["lm_dense.bias"] = found["lm_dense.bias"] + found["lm_dense.weight"] @ centre
    found["emb_layer_norm_after.bias"] = found["emb_layer_norm_after.bias"] - centre
    for ours, theirs in (("lm_dense", "lm_head.dense"), ("lm_norm", "lm_head.layer_norm"), ("lm_bias", "lm_head.bias")):
        found = {name.replace(ours, theirs): value for name, value in found.items()}
    found["lm_head.weight"] = found["embed_tokens.weight"]
    for number in range(design.layers):
        frequencies = rotary_frequencies(design.width // design.heads)
        found[f"layers.{number}.self_attn.rot_emb.inv_freq"] = frequencies
    save(path, found, design, note)


def save(path: Path, weights: dict[str, Tensor], design: Design | Solved, note: dict[str, Any]) -> None:
    """Write fair-esm's state of an ESM-2 as its training code does: `cfg.model`, prefixed names, float16 matrices."""
    prefixed = {}
    for name, value in weights.items():
        if not name.startswith("contact_head"):
            prefix = "encoder." if name.startswith("lm_head") else "encoder.sentence_encoder."
            prefixed[prefix + name] = (value.half() if value.ndim > 1 else value).cpu()
    cfg = argparse.Namespace(
        encoder_layers=design.layers,
        encoder_embed_dim=design.width,
        encoder_attention_heads=design.heads,
        token_dropout=True,
    )
    torch.save({"cfg": {"model": cfg}, "model": prefixed, "gemforest": note}, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


# The closed form


@dataclass(frozen=True)
class Solved:
    """Design of the closed form: two layers, two distances each; 21 dimensions for a residue and its two partners."""

    layers: int = 2
    width: int = 200
    heads: int = 5
    distances: tuple[tuple[int, int], ...] = ((1, 2), (3, 4))
    proteins_a_class: int = 40
    shrinkage: float = 0.1


RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
KINDS = len(RESIDUES) + 1  # the last kind is everything else: X and its like, begin, end
PARTNERS = 3
# One more dimension keeps the sum over the discriminant's at zero: a norm takes away the mean.
USED = PARTNERS * KINDS + 1
SHARPNESS = 16.0  # attention to an offset: score of the peak above what cancels out
STEEPNESS = 8.0  # of the indicator of a pair: gelu(±4) is 4 or nothing
ONE = 0.88 * float(torch.tensor(1 / 0.88).half())  # what a one is after half precision and the token-dropout scale
SMALL = 2e-5  # scale of the discriminant in the residual stream, so that norms see the indicators alone


def pair_frequencies(sequences: Sequence[str], distances: Sequence[int]) -> np.ndarray:
    """Pairs of residues at each distance over the protein's length; (n, 400 · distances) float32."""
    place = np.full(256, 20)
    place[list(RESIDUES.encode())] = range(20)
    found = np.zeros((len(sequences), 400 * len(distances)), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        kinds = place[np.frombuffer(sequence.encode(), np.uint8)]
        for number, distance in enumerate(distances):
            first, second = kinds[:-distance], kinds[distance:]
            pairs = (first * 20 + second)[(first < 20) & (second < 20)]
            found[row, 400 * number : 400 * number + 400] = np.bincount(pairs, minlength=400) / len(kinds)
    return found


def discriminant(features: np.ndarray, classes: np.ndarray, count: int, shrinkage: float) -> np.ndarray:
    """Fisher's directions, within-class variance 1, best first; (features, count). Shrinks towards the diagonal."""
    _, number = np.unique(classes, return_inverse=True)
    sizes = np.bincount(number)
    centred = features.astype(np.float64) - features.mean(0)
    means = np.zeros((len(sizes), centred.shape[1]))
    np.add.at(means, number, centred)
    means /= sizes[:, None]
    rest = centred - means[number]
    within = rest.T @ rest / len(rest)
    within = (1 - shrinkage) * within + shrinkage * np.diag(np.diag(within) + 1e-9)
    values, vectors = np.linalg.eigh(within)
    whitening = vectors / np.sqrt(values)
    between = (means * np.sqrt(sizes)[:, None]) @ whitening
    _, directions = np.linalg.eigh(between.T @ between)
    return np.asarray(whitening @ directions[:, ::-1][:, :count])


def solve(args: argparse.Namespace, design: Solved) -> None:
    """Fit the discriminant on the labelled proteins and write it down as an ESM-2."""
    kept, _ = gathered(args)
    rng = np.random.default_rng(args.seed)
    members: dict[str, list[int]] = {}
    for row, ecs in enumerate(kept.ecs):
        members.setdefault(ecs[0], []).append(row)
    rows, classes = [], []
    for ec in sorted(members):
        if len(members[ec]) > 1:
            chosen = rng.permutation(members[ec])[: design.proteins_a_class]
            rows += chosen.tolist()
            classes += [ec] * len(chosen)
    distances = [distance for layer in design.distances for distance in layer]
    features = pair_frequencies([kept.sequences[row] for row in rows], distances)
    say(f"{len(rows)} proteins of {len(set(classes))} EC classes, {time.process_time():.0f} cpu s")
    directions = discriminant(features, np.array(classes), design.width - USED, design.shrinkage)
    weights = written_down(directions, features.mean(0) @ directions, design)
    note = {"trained": "solved", "seed": args.seed, "proteins": len(rows), "classes": len(set(classes))}
    save(args.work / f"{args.name}.pt", weights, design, note)
    say(f"written, {time.process_time():.0f} cpu s")


def written_down(directions: np.ndarray, centre: np.ndarray, design: Solved) -> dict[str, Tensor]:
    """An ESM-2 whose mean over residues is `pair frequencies @ directions - centre`, after 64 zeros."""
    width = design.width
    found = {"embed_tokens.weight": torch.zeros(33, width)}
    for token in range(33):
        letter = LETTERS[token - FIRST_LETTER] if FIRST_LETTER <= token < FIRST_LETTER + len(LETTERS) else ""
        kind = RESIDUES.index(letter) if letter and letter in RESIDUES else KINDS - 1
        if token != PAD:
            found["embed_tokens.weight"][token, kind] = ONE / 0.88
    before: tuple[int, ...] = ()
    for number, distances in enumerate(design.distances):
        name = f"layers.{number}"
        # A norm divides by the same number everywhere, since every token is one-hot in the same number of places.
        found |= undone_norm(f"{name}.self_attn_layer_norm", 1 if number == 0 else PARTNERS, width)
        found |= undone_norm(f"{name}.final_layer_norm", PARTNERS, width)
        found |= copying(f"{name}.self_attn", distances, before, design)
        per_layer = 400 * len(distances)
        part = directions[per_layer * number : per_layer * (number + 1)]
        found |= indicators(name, len(distances), part, width)
        found[f"{name}.self_attn.rot_emb.inv_freq"] = rotary_frequencies(width // design.heads)
        before = distances
    scale, mean = norm_of(PARTNERS, width)
    weight, bias = torch.zeros(width), torch.zeros(width)
    weight[USED:] = scale / SMALL
    bias[USED:] = mean / SMALL - torch.from_numpy(centre).float()
    found |= {"emb_layer_norm_after.weight": weight, "emb_layer_norm_after.bias": bias}
    found |= {"lm_head.dense.weight": torch.zeros(width, width), "lm_head.dense.bias": torch.zeros(width)}
    found |= {"lm_head.layer_norm.weight": torch.ones(width), "lm_head.layer_norm.bias": torch.zeros(width)}
    return found | {"lm_head.bias": torch.zeros(33), "lm_head.weight": found["embed_tokens.weight"]}


def norm_of(ones: int, width: int) -> tuple[float, float]:
    """Standard deviation (as LayerNorm computes it) and mean of a vector with so many ones among zeros."""
    mean = ones * ONE / width
    return math.sqrt(mean * ONE - mean**2 + 1e-5), mean


def undone_norm(name: str, ones: int, width: int) -> dict[str, Tensor]:
    """A layer norm that gives back what it got."""
    scale, mean = norm_of(ones, width)
    return {f"{name}.weight": torch.full((width,), scale), f"{name}.bias": torch.full((width,), mean)}


def copying(name: str, now: Sequence[int], before: Sequence[int], design: Solved) -> dict[str, Tensor]:
    """Attention that writes which residues stand at distances `now`, and takes away those at `before`."""
    width, head_width = design.width, design.width // design.heads
    jobs = [(distance, 1 + place, 1.0) for place, distance in enumerate(now)]
    jobs += [(distance, 1 + place, -1.0) for place, distance in enumerate(before)]
    parts = {p: torch.zeros(width, width) for p in ("q_proj", "k_proj", "v_proj", "out_proj")}
    biases = {p: torch.zeros(width) for p in parts}
    strength = math.sqrt(SHARPNESS * math.sqrt(head_width))
    for head, (distance, partner, sign) in enumerate(jobs):
        rows = slice(head * head_width, (head + 1) * head_width)
        angles = rotary_frequencies(head_width) * -distance
        biases["q_proj"][rows] = strength * torch.cat((torch.ones_like(angles), torch.zeros_like(angles)))
        biases["k_proj"][rows] = strength * torch.cat((angles.cos(), angles.sin()))
        for kind in range(KINDS):
            parts["v_proj"][head * head_width + kind, kind] = 1
            parts["out_proj"][partner * KINDS + kind, head * head_width + kind] = sign
    found = {f"{name}.{p}.weight": value for p, value in parts.items()}
    return found | {f"{name}.{p}.bias": value for p, value in biases.items()}


def indicators(name: str, distances: int, directions: np.ndarray, width: int) -> dict[str, Tensor]:
    """A feed-forward layer: one unit per distance and pair of residues, read out by the discriminant's directions."""
    first = torch.zeros(4 * width, width)
    second = torch.zeros(width, 4 * width)
    for partner in range(distances):
        for a in range(20):
            for b in range(20):
                unit = 400 * partner + 20 * a + b
                first[unit, a] = first[unit, (1 + partner) * KINDS + b] = STEEPNESS
    second[USED:, : len(directions)] = torch.from_numpy(directions.T).float() * SMALL * 2 / STEEPNESS
    second[USED - 1] = -second[USED:].half().float().sum(0)
    return {
        f"{name}.fc1.weight": first,
        f"{name}.fc1.bias": torch.full((4 * width,), -1.5 * STEEPNESS),
        f"{name}.fc2.weight": second,
        f"{name}.fc2.bias": torch.zeros(width),
    }


def write_excluded(work: Path, everything: Labelled, kept: Labelled, queries: dict[str, str]) -> None:
    """Write what was left out, and a digest of what was kept, for the model card and the test."""
    ids = set(kept.ids)
    out = sorted(name for name in everything.ids if name not in ids)
    digest = hashlib.sha256("\n".join(sorted(kept.sequences)).encode()).hexdigest()
    said = {
        "care_queries": len(queries),
        "labelled": len(everything.ids),
        "kept": len(kept.ids),
        "kept_sha256": digest,
        "left_out": out,
    }
    (work / "exclusions.json").write_text(json.dumps(said, indent=0) + "\n")


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data (shared/data)")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--method", choices=["solved", "gradient"], default="solved")
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--every", type=float, default=3.0, help="minutes between checkpoints")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--masked-weight", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--name", default="esm2_gemforest_small")
    sizes = Design()
    for name in ("layers", "width", "heads", "crop"):
        parser.add_argument(f"--{name}", type=int, default=getattr(sizes, name), help="of --method gradient")
    parser.add_argument("--device", default="cpu", help="of --method gradient: cpu or cuda")
    args = parser.parse_args()
    if args.method == "solved":
        solve(args, Solved())
    else:
        torch.set_default_device(args.device)
        Run.start(args, Design(args.layers, args.width, args.heads, args.crop)).train()


if __name__ == "__main__":
    main()
