"""The sheet: every problem at once, with row, column, value and the mend; fast; the same digest for the same rows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemforest.errors import InputError
from gemforest.sheet import SheetError, carveme_sample, local_source, read_sheet, suggested_id

HEADER = "genome_id\tsource\tuniverse\tgenetic_code\tmedium\tsite\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "genomes.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems_of(folder: Path, text: str | bytes, **options):
    with pytest.raises(SheetError) as error:
        read_sheet(write(folder, text), **options)
    return error.value.problems


def test_a_valid_sheet_with_comments_blank_lines_and_spaces_is_read_with_its_tags(tmp_path):
    text = (
        "# my genomes\n\n"
        + HEADER
        + "ecoli \t carveme:Ecoli_K12_MG1655\tgramneg\t11\tM9 ; LB\tgut\n"
        + "# left out\tfor now\n"
        + "mine\tdata/mine.faa\t\t\t\t\n"
    )
    sheet = read_sheet(write(tmp_path, text), media=["M9", "LB"])
    first, second = sheet.genomes.to_pylist()
    assert (first["genome_id"], first["source_kind"], first["medium"]) == ("ecoli", "carveme", "M9;LB")
    assert (first["row"], second["row"]) == (4, 6)
    assert dict(first["tags"]) == {"site": "gut"} and second["tags"] == []
    assert (second["universe"], second["genetic_code"], second["source_kind"]) == ("auto", "auto", "file")


def test_two_columns_are_enough_and_an_accession_names_itself(tmp_path):
    sheet = read_sheet(write(tmp_path, "source\tgenome_id\nGCF_000005845.2\t\nhttps://host.org/a.faa.gz\tb\n"))
    assert sheet.genomes["genome_id"].to_pylist() == ["GCF_000005845.2", "b"]
    assert sheet.genomes["source_kind"].to_pylist() == ["accession", "url"]


def test_rows_that_stand_for_many_genomes_are_kept_apart(tmp_path):
    text = "genome_id\tsource\na\ta.faa\n\ttaxon:562?reference=true&level=complete\n\tmags/*.fna.gz\n"
    sheet = read_sheet(write(tmp_path, text))
    assert sheet.genomes["genome_id"].to_pylist() == ["a"]
    assert sheet.queries["source_kind"].to_pylist() == ["taxon", "glob"]


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("taxon:562?refrence=true", "unknown filter 'refrence'"),
        ("taxon:562?level=finished", "level=finished is not a value"),
        ("taxon:562?released_after=2026-02-30", "released_after=2026-02-30 is not a value"),
        ("gtdb:bac120.tsv?min_completeness=good", "min_completeness=good is not a value"),
        ("gtdb:bac120.tsv?limit=1&limit=2", "'limit' is given twice"),
        ("https://me:secret@host/a.faa", "user or a password"),
    ],
)
def test_a_query_or_address_that_cannot_work_is_told_with_its_row(tmp_path, source, word):
    path = tmp_path / "genomes.tsv"
    path.write_text(f"genome_id\tsource\na\ta.faa\n{'b' if source.startswith('http') else ''}\t{source}\n")
    with pytest.raises(SheetError) as caught:
        read_sheet(path)
    (problem,) = caught.value.problems
    assert (problem.row, problem.column) == (3, "source")
    assert word in f"{problem.what}: {problem.mend}"


def test_every_problem_is_reported_at_once_with_row_column_value_and_mend(tmp_path):
    text = HEADER + "".join(
        f"{row}\n"
        for row in [
            "../etc/passwd\ta.faa\t\t\t\t",
            "my genome\ta.faa\t\t\t\t",
            "Ecoli\ta.faa\t\t\t\t",
            "ecoli\ta.faa\tgram-neg\t12\tM99\t",
            "x.ec\tGCF_123\t\t\t\t",
            "\ta.faa\t\t\t\t",
            "y\t\t\t\t\t",
            "z\tncbi:123\t\t\t\t",
            "w\tC:\\genomes\\a.faa\t\t\t\t",
            "q\ttaxon:562\t\t\t\t",
        ]
    )
    found = {(p.row, p.column, p.value) for p in problems_of(tmp_path, text, media=["M9", "LB"])}
    assert found == {
        (2, "genome_id", "../etc/passwd"),
        (3, "genome_id", "my genome"),
        (5, "genome_id", "ecoli"),
        (5, "universe", "gram-neg"),
        (5, "genetic_code", "12"),
        (5, "medium", "M99"),
        (6, "genome_id", "x.ec"),
        (6, "source", "GCF_123"),
        (7, "genome_id", ""),
        (8, "source", ""),
        (9, "source", "ncbi:123"),
        (10, "source", "C:\\genomes\\a.faa"),
        (11, "genome_id", "q"),
    }


def test_the_message_of_a_problem_tells_the_mend(tmp_path):
    problems = problems_of(tmp_path, HEADER + "a\ta.faa\tgramnegative\t\tM9x\t\nb c\tb.faa\t\t\t\t\n", media=["M9"])
    by_column = {problem.column: str(problem) for problem in problems}
    assert "did you mean 'gramneg'?" in by_column["universe"]
    assert "did you mean 'M9'?" in by_column["medium"]
    assert "write 'b_c'" in by_column["genome_id"]
    assert all(str(problem).startswith(f"row {problem.row}, {problem.column}") for problem in problems)


def test_ids_that_differ_only_in_case_are_told_the_row_of_the_other(tmp_path):
    (problem,) = problems_of(tmp_path, HEADER + "Abc\ta.faa\t\t\t\t\nabC\tb.faa\t\t\t\t\n")
    assert "differs only in case from 'Abc' of row 2" in str(problem)


def test_the_same_genome_under_two_ids_is_allowed_and_said(tmp_path):
    sheet = read_sheet(write(tmp_path, HEADER + "a\tg.faa\t\t\t\t\nb\tg.faa\t\t\t\t\n"))
    assert sheet.genomes.num_rows == 2
    assert sheet.notes == ("g.faa is used under 2 ids: a, b",)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        (HEADER, "no genome"),
        ("genome_id,source\na,b\n", "tabs"),
        ("genome_id\tunivers\tsource\na\tb\tc\n", "did you mean 'universe'"),
        ("genome_id\tSource\na\tb\n", "did you mean 'source'"),
        ("genome_id\tsource\tsource\na\tb\tc\n", "two columns"),
        ("genome_id\tsource\tmy tag\na\tb\tc\n", "cannot be a column"),
        ("genome_id\tplace\na\tb\n", "lacks this column"),
        ("genome_id\tsource\na\n", "cells"),
        ("genome_id\tsource\na\tb\tc\n", "cells"),
        ("genome_id\tsource\na\tb.faa\n".encode("utf-16"), "UTF-16"),
        ("genome_id\tsource\na\tö.faa\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_a_sheet_of_the_wrong_shape_is_refused_in_plain_words(tmp_path, text, word):
    with pytest.raises(InputError, match=word):
        read_sheet(write(tmp_path, text))


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path):
    rows = HEADER + "a\ta.faa\t\t\t\t\n"
    plain = read_sheet(write(tmp_path, rows))
    windows = read_sheet(write(tmp_path, b"\xef\xbb\xbf" + rows.replace("\n", "\r\n").encode()))
    assert windows.digest == plain.digest
    assert windows.genomes.equals(plain.genomes)


def test_the_digest_follows_the_rows_and_not_the_comments(tmp_path):
    rows = HEADER + "a\ta.faa\t\t\t\t\n"
    digest = read_sheet(write(tmp_path, rows)).digest
    assert read_sheet(write(tmp_path, "# hello\n" + rows)).digest == digest
    assert read_sheet(write(tmp_path, rows.replace("a.faa", "b.faa"))).digest != digest


def test_a_hundred_thousand_rows_take_under_two_seconds(tmp_path):
    rows = [f"genome_{i}\tgenomes/genome_{i}.fna.gz\tauto\t11\tM9\tsite{i % 7}\n" for i in range(100_000)]
    path = write(tmp_path, HEADER + "".join(rows))
    begin = time.process_time()
    sheet = read_sheet(path, media=["M9"])
    assert time.process_time() - begin < 2.0
    assert sheet.genomes.num_rows == 100_000


def test_a_hundred_thousand_wrong_rows_are_all_counted_and_the_message_stays_short(tmp_path):
    rows = "".join(f"bad id {i}\tx.faa\n" for i in range(100_000))
    begin = time.process_time()
    problems = problems_of(tmp_path, "genome_id\tsource\n" + rows)
    assert time.process_time() - begin < 10.0
    assert len(problems) == 100_000
    assert len(str(SheetError(tmp_path, problems))) < 50_000


@given(st.text(max_size=150))
def test_a_suggested_id_is_a_valid_id(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("s") / "genomes.tsv"
    path.write_text(f"genome_id\tsource\n{suggested_id(text)}\ta.faa\n")
    assert read_sheet(path).genomes.num_rows == 1


def test_a_local_source_lies_beside_the_sheet_or_in_the_project(tmp_path):
    config = tmp_path / "config"
    config.mkdir()
    (config / "a.faa").touch()
    (tmp_path / "b.faa").touch()
    assert local_source("a.faa", config, tmp_path) == config / "a.faa"
    assert local_source("b.faa", config, tmp_path) == tmp_path / "b.faa"
    assert local_source("b.faa", config) == config / "b.faa"
    assert local_source("none.faa", config, tmp_path) == config / "none.faa"
    assert (
        local_source("/data/c.faa", config, tmp_path)
        == local_source("file:///data/c.faa", config)
        == Path("/data/c.faa")
    )
    assert local_source("GCF_000005845.2", config) is local_source("https://host/a.faa", config) is None


def test_a_carveme_source_is_a_file_of_the_installed_package():
    assert carveme_sample("carveme:Ecoli_K12_MG1655").read_text().startswith(">b0001")
