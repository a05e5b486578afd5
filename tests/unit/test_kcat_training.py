"""Training of the kcat predictor: what leaving proteins out does to the rows and to the folds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from projects import REPOSITORY

pytest.importorskip("torch")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def training() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_kcat", REPOSITORY / "scripts" / "train_kcat.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_rows_of_proteins_left_out_go_and_the_folds_of_the_others_stay(training: ModuleType, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    proteins = ["".join(random.choice(list("ACDEFGHIKLMNPQRSTVWY"), 200)) for _ in range(10)]
    close = list(proteins[3])
    close[20:28] = list("WWWWWWWW")  # at least 96 % identical
    half = proteins[5][:100] + "".join(random.choice(list("ACDEFGHIKLMNPQRSTVWY"), 100))
    rows = {
        "sequence": [*proteins, proteins[3]],
        "smiles": ["CCO"] * 10 + ["CC=O"],
        "log10_kcat": np.arange(11.0),
        "ec": ["1.1.1.1"] * 11,
        "split": ["train", "valid"] * 5 + ["train"],
        "cluster5mer": [*range(10), 3],
        "uniprot": ["P1", None] * 5 + ["P2"],
    }
    path, fasta = tmp_path / "rows.parquet", tmp_path / "out.faa"
    pd.DataFrame(rows).to_parquet(path)
    fasta.write_text(f">close\n{''.join(close)}\n>half\n{half}\n")
    whole = training.read_table(path, tmp_path, None)
    less = training.read_table(path, tmp_path, fasta)
    assert set(whole.y) - set(less.y) == {3.0, 10.0}
    fold = dict(zip(whole.y, whole.fold, strict=True))
    assert {y: fold[y] for y in less.y} == dict(zip(less.y, less.fold, strict=True))
    assert proteins[3] not in less.proteins and proteins[5] in less.proteins
    assert whole.rows.engineered.tolist() == [False, True] * 5 + [False]
    assert less.rows.engineered.tolist() == [False, True, False] + [False, True] * 3
