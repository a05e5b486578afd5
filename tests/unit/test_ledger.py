"""The ledger's words and its bytes."""

from __future__ import annotations

import random
from pathlib import Path

from gemforest.errors import GenomeError, RefusedError
from gemforest.ledger import REASON_TEXT, LedgerRow, Outcome, Reason, read_ledger, write_ledger


def rows() -> list[LedgerRow]:
    return [LedgerRow(f"g{i}", "genes", Outcome.OK, Reason.NONE, "", 0.5, 100.0, f"key{i}", "{}") for i in range(20)]


def test_every_reason_is_explained() -> None:
    assert set(REASON_TEXT) == set(Reason)
    assert all(text for reason, text in REASON_TEXT.items() if reason)


def test_a_row_survives_the_file_metadata() -> None:
    row = LedgerRow("g", "draft", Outcome.FAILED, Reason.SOLVER_LIMIT, "600 s", 600.0, 900.0, "k", '{"scip": "9"}')
    assert LedgerRow.from_json(row.to_json()) == row


def test_a_ledger_is_byte_identical_whatever_the_order_of_genomes(tmp_path: Path) -> None:
    shuffled = rows()
    random.Random(1).shuffle(shuffled)
    write_ledger(tmp_path / "a", rows())
    write_ledger(tmp_path / "b", shuffled)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_ledger(tmp_path / "b") == sorted(rows(), key=lambda row: row.genome_id)


def test_errors_carry_outcome_and_reason_through_a_process_boundary() -> None:
    import pickle

    refused = pickle.loads(pickle.dumps(RefusedError(Reason.EMPTY_FILE, "empty")))
    failed = pickle.loads(pickle.dumps(GenomeError(Reason.SOLVER_FAILED, "numbers")))
    assert (refused.outcome, refused.reason, refused.detail) == (Outcome.REFUSED, Reason.EMPTY_FILE, "empty")
    assert (failed.outcome, failed.reason) == (Outcome.FAILED, Reason.SOLVER_FAILED)
