"""`gemforest doctor`: each thing that can be missing is found, named, and told how to mend."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import stat
from pathlib import Path

import pytest

from gemforest import doctor
from gemforest.cli import main
from gemforest.doctor import Verdict, as_text, examine, exit_code, licences
from gemforest.newproject import new_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_project(tmp_path / "fresh")
    return tmp_path / "fresh"


def verdicts(folder: Path) -> dict[str, doctor.Check]:
    return {check.name: check for check in examine(folder, folder / "config" / "config.yaml")}


def test_a_fresh_project_on_this_machine_is_sound(folder):
    if not shutil.which("diamond"):
        pytest.skip("DIAMOND is not installed here")
    checks = examine(folder, folder / "config" / "config.yaml")
    failed = [check for check in checks if check.verdict is Verdict.FAILED]
    assert not failed and exit_code(checks) == 0
    assert {"Python", "packages", "DIAMOND", "HiGHS", "carveme data", "config", "sheet", "disk"} <= {
        c.name for c in checks
    }


def test_a_missing_diamond_is_told_with_the_command_that_installs_it(folder, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    check = verdicts(folder)["DIAMOND"]
    assert check.verdict is Verdict.FAILED and "apt-get install diamond-aligner" in check.mend


@pytest.mark.parametrize("says", ["diamond version 0.9.14", "no idea"])
def test_an_old_or_foreign_diamond_is_refused(folder, tmp_path, monkeypatch, says):
    program = tmp_path / "bin" / "diamond"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    check = verdicts(folder)["DIAMOND"]
    assert check.verdict is Verdict.FAILED and says in check.found


def test_an_unknown_config_key_is_told_with_the_nearest(folder):
    (folder / "config" / "config.yaml").write_text("shard_sise: 3\n")
    checks = examine(folder, folder / "config" / "config.yaml")
    found = {check.name: check for check in checks}["config"]
    assert found.verdict is Verdict.FAILED and "shard_size" in found.found and exit_code(checks) == 1


def test_a_wrong_sheet_is_told_with_all_its_problems(folder):
    (folder / "config" / "genomes.tsv").write_text("genome_id\tsource\na b\tx.faa\nok\tx.faa\nOK\ty.faa\n")
    check = verdicts(folder)["sheet"]
    assert check.verdict is Verdict.FAILED and "2 problems" in check.found


def test_too_little_room_and_too_few_inodes_are_told(folder, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 10**18)
    monkeypatch.setattr(doctor, "FILES_PER_GENOME", 10**15)
    found = verdicts(folder)
    assert found["disk"].verdict is found["inodes"].verdict is Verdict.FAILED


def test_a_damaged_database_is_found_by_its_checksum(folder, tmp_path, monkeypatch):
    copy = tmp_path / "bigg_proteins.dmnd"
    copy.write_bytes(b"not a database")
    true_digest = doctor._digest
    monkeypatch.setattr(
        doctor, "_digest", lambda path, mode: true_digest(copy if path.name == copy.name else path, mode)
    )
    check = verdicts(folder)["carveme data"]
    assert check.verdict is Verdict.FAILED
    assert "bigg_proteins.dmnd" in check.found and "pip install" in check.mend


def test_every_failed_check_says_what_mends_it(folder, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    (folder / "config" / "config.yaml").write_text("nonsense: 1\n")
    checks = examine(folder, folder / "config" / "config.yaml")
    failed = [check for check in checks if check.verdict is Verdict.FAILED]
    assert len(failed) == 2 and all(check.mend in as_text(checks) and check.mend for check in failed)


def test_licences_name_the_terms_that_reach_beyond_the_code():
    terms = {name: (licence, note) for name, licence, note in licences()}
    assert "BiGG" in terms["carveme"][1] and "GPL" in terms["pyrodigal"][0]


def test_the_command_ends_with_1_where_something_is_missing(folder, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert main(["doctor", "--json", "--project", str(folder)]) == 1
    found = {record["name"]: record["verdict"] for record in json.loads(capsys.readouterr().out)}
    assert found["DIAMOND"] == "failed" and found["Python"] == "ok"


def test_init_refuses_a_folder_that_holds_a_project(folder, capsys):
    assert main(["init", str(folder)]) == 2
    assert "already" in capsys.readouterr().err


def test_config_prints_the_effective_config_with_defaults(folder, capsys):
    assert main(["config", "--show", "--project", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "shard_size: 100" in said and "genes:" in said
    assert main(["config", "--keys", "--project", str(folder)]) == 0
    assert "genes.min_proteins: 50" in capsys.readouterr().out


def test_sheet_writes_a_sheet_and_replaces_none_unasked(folder, tmp_path, capsys):
    genomes = tmp_path / "genomes"
    genomes.mkdir()
    (genomes / "one.faa").write_text(">a\nMKVLAEDTRWHHKLPQSTVY\n")
    assert main(["sheet", str(genomes), "--project", str(folder)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["sheet", str(genomes), "--project", str(folder), "--force"]) == 0
    assert "one\t../../genomes/one.faa" in (folder / "config" / "genomes.tsv").read_text()


def test_every_licence_is_told_however_long_its_expression() -> None:
    told = {name: licence for name, licence, _ in licences()}
    for name in ("torch", "numpy", "pyarrow"):
        assert told[name] == importlib.metadata.metadata(name)["License-Expression"]
    assert not [name for name, licence in told.items() if licence.startswith("not stated")]
