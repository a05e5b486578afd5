"""Damage is found wherever it hides, and the repair leaves the rest alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gemforest.check import check
from gemforest.loop import run_shard
from gemforest.plan import make_plan, write_plan
from gemforest.stage import Context
from gemforest.stages import stage


@pytest.fixture
def fetched(project: Callable[..., Context]) -> Context:
    """Two genomes that are through the first stage."""
    context = project("genome_id\tsource\na\ta.faa\nb\tb.faa\n")
    for name in ("a", "b"):
        (context.project / "config" / f"{name}.faa").write_text(">p\nMKVLAAGIVGLC\n")
    write_plan(make_plan(context), context)
    run_shard(stage("fetch"), context, "0000", cores=1)
    return context


def flip(path: Path) -> None:
    # In the first page: the footer, which a quick look reads, stays as it is.
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)


def test_a_changed_bit_is_found_with_and_without_a_ledger(fetched: Context) -> None:
    damaged = fetched.store.table_path("genomes", "0000", "a")
    whole = fetched.store.table_path("genomes", "0000", "b")
    ledger = fetched.store.ledger_path("fetch", "0000")
    assert check(fetched, deep=True) == []
    flip(damaged)
    assert [(one.stage, one.genome_id) for one in check(fetched, deep=True)] == [("fetch", "a")]
    # A job that died left no ledger; the next one would take the file as it is.
    ledger.unlink()
    assert [(one.stage, one.genome_id) for one in check(fetched, deep=True, repair=True)] == [("fetch", "a")]
    assert not damaged.exists()
    assert whole.exists()


def test_a_ledger_with_a_changed_bit_is_found(fetched: Context) -> None:
    ledger = fetched.store.ledger_path("fetch", "0000")
    flip(ledger)
    assert {one.stage for one in check(fetched, deep=True, repair=True)} == {"fetch"}
    assert not ledger.exists()


def test_the_repair_mends_the_plan_first(fetched: Context) -> None:
    (fetched.store.root / "plan" / "plan.json").write_text("{")
    assert [one.stage for one in check(fetched, repair=True)] == ["plan"]
    assert check(fetched) == []


def test_what_is_gone_while_the_report_is_there_is_missed(fetched: Context) -> None:
    report = fetched.store.root / "report" / "index.html"
    report.parent.mkdir()
    report.write_text("<html></html>")
    assert "the ledger is missing" in {one.what for one in check(fetched, repair=True)}
    assert not report.exists()
