"""Train the default encoder: a small ESM-2 written in fair-esm's on-disk format, on a CPU, resumable.

Two objectives on one pass over crops of proteins: masked residues (Lin et al. 2023, Science 379:1123) and a supervised
contrastive loss on EC numbers, with a learned prototype per fourth-level class (normalised softmax: Zhai & Wu 2019)
and two crops of one protein as a pair of their own (Khosla et al. 2020). CPU time is what there is least of, so the
weights start from a useful place: query and key biases make each head of the lower layers look at a fixed offset, by
way of the rotary positions, and the network begins as a convolution over k-mers instead of learning to become one.

What is tested on is not trained on: every CARE query is left out by accession, by sequence and, by DIAMOND, above 90 %
identity; every protein of CarveMe's database is left out of the EC objective by sequence; no BiGG reaction label is
read at all. `python scripts/train_encoder.py --data ../shared/data --work FOLDER --minutes 90`
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
            for head, offset in enumerate(offsets[number] if number < len(offsets) else ()):
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
        chosen = torch.from_numpy(self.rng.random(tokens.shape) < 0.12) & letters
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


def train(args: argparse.Namespace, design: Design) -> None:
    """Train until the minutes are spent, writing a checkpoint every `--every` minutes; goes on from the last one."""
    args.work.mkdir(parents=True, exist_ok=True)
    queries = care_queries(args.data)
    everything = labelled(args.data)
    similar = too_similar(everything, queries, args.work)
    kept = without_test_proteins(everything, queries, similar, set(bigg_proteins()))
    others = unlabelled(args.data, queries)
    say(f"{len(kept.ids)} of {len(everything.ids)} labelled kept ({len(similar)} above 90 %); {len(others)} others")
    write_excluded(args.work, everything, kept, queries)
    rng = np.random.default_rng(args.seed)
    torch.manual_seed(args.seed)
    crops = Crops(design, kept, others, rng)
    model = Encoder(design, len(crops.classes))
    groups = [
        {
            "params": [p for n, p in model.named_parameters() if n not in ("prototypes",)],
            "top": args.rate,
            "weight_decay": 0.01,
        },
        {"params": [model.prototypes], "top": 4 * args.rate, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.98))
    state = {"step": 0, "tokens": 0, "seconds": 0.0}
    path = args.work / "train_state.pt"
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        state = saved["state"]
        crops.rng = np.random.default_rng([args.seed, state["step"]])
        say(f"goes on from step {state['step']}")
    size = sum(value.numel() for name, value in model.named_parameters() if name != "prototypes")
    say(f"{size:,} parameters, {len(crops.classes)} EC classes")
    began, before, saved_at = time.monotonic(), state["seconds"], time.monotonic()
    running = np.zeros(3)
    while state["seconds"] < args.minutes * 60:
        done = state["seconds"] / (args.minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = group["top"] * min(1.0, (state["step"] + 1) / 40) * 0.5 * (1 + math.cos(math.pi * done))
        batch = crops.draw()
        parts = losses(model, batch)
        loss = args.masked_weight * parts[0] + parts[1] + 0.5 * parts[2]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        running = 0.97 * running + 0.03 * np.array([part.item() for part in parts])
        state["step"] += 1
        state["tokens"] += int((batch.tokens != PAD).sum())
        state["seconds"] = before + time.monotonic() - began
        if state["step"] % 25 == 0:
            shown = running / (1 - 0.97 ** min(state["step"], 10**6))
            say(
                f"step {state['step']} {state['seconds']:.0f} s {time.process_time():.0f} cpu s "
                f"{state['tokens'] / 1e6:.2f} M tokens masked {shown[0]:.3f} EC {shown[1]:.3f} pair {shown[2]:.3f}"
            )
        if time.monotonic() - saved_at > args.every * 60 or state["seconds"] >= args.minutes * 60:
            saved_at = time.monotonic()
            torch.save(
                {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "state": state},
                path.with_suffix(".new"),
            )
            path.with_suffix(".new").rename(path)
            export(model, design, args.work / f"{args.name}.pt", state, args.seed)


def export(model: Encoder, design: Design, path: Path, state: dict[str, float], seed: int) -> None:
    """Write the weights as fair-esm writes an ESM-2: `cfg.model` and `encoder.sentence_encoder.*` names, float16."""
    weights, found = {}, dict(model.state_dict())
    found["lm_dense.bias"] = found["lm_dense.bias"] + found["lm_dense.weight"] @ found["centre"]
    found["emb_layer_norm_after.bias"] = found["emb_layer_norm_after.bias"] - found["centre"]
    for name, value in found.items():
        if name.startswith(("prototypes", "log_scale", "centre")):
            continue
        for ours, theirs in (
            ("lm_dense", "lm_head.dense"),
            ("lm_norm", "lm_head.layer_norm"),
            ("lm_bias", "lm_head.bias"),
        ):
            name = name.replace(ours, theirs)
        prefix = "encoder." if name.startswith("lm_head") else "encoder.sentence_encoder."
        weights[prefix + name] = value.half()
    weights["encoder.lm_head.weight"] = weights["encoder.sentence_encoder.embed_tokens.weight"]
    for number in range(design.layers):
        frequencies = rotary_frequencies(design.width // design.heads)
        weights[f"encoder.sentence_encoder.layers.{number}.self_attn.rot_emb.inv_freq"] = frequencies
    cfg = argparse.Namespace(
        encoder_layers=design.layers,
        encoder_embed_dim=design.width,
        encoder_attention_heads=design.heads,
        token_dropout=True,
    )
    note = {"trained": "gemforest", "seed": seed, **state}
    torch.save({"cfg": {"model": cfg}, "model": weights, "gemforest": note}, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


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
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--every", type=float, default=3.0, help="minutes between checkpoints")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--masked-weight", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--name", default="esm2_gemforest_small")
    args = parser.parse_args()
    torch.set_num_threads(int(torch.get_num_threads()))
    train(args, Design())


if __name__ == "__main__":
    main()
