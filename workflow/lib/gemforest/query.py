"""`gemforest query`: questions to the atlas in SQL, answered by DuckDB, read-only.

The views are made anew in memory over the parts in `results/atlas`, so a moved results folder and an unfinished run can
be asked too. Before the SQL runs, DuckDB is closed to everything but that folder, and only statements that read are
taken: a query pasted from somewhere can neither write a file nor fetch one.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gemforest.errors import InputError
from gemforest.questions import QUESTIONS, Question
from gemforest.store import Store, atomic
from gemforest.views import columns_of, create_views, quoted, row_of

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console, RenderableType

ROWS_SHOWN = 50
FORMATS = (".csv", ".tsv", ".parquet", ".arrow")
_BATCH_ROWS = 100_000


@dataclass(frozen=True)
class Atlas:
    """An open atlas: the connection, closed to the outside, and the views that it has."""

    database: duckdb.DuckDBPyConnection
    views: tuple[str, ...]

    def ask(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.RecordBatchReader:
        """Rows that a statement finds, as a stream of batches.

        Raises
        ------
        InputError
            DuckDB does not understand the statement, or it does not only read.
        """
        import duckdb

        try:
            _check_reads(sql)
            return self.database.sql(sql, params=dict(parameters or {})).to_arrow_reader(_BATCH_ROWS)
        except duckdb.Error as error:
            raise InputError(self._explained(str(error))) from None

    def _explained(self, message: str) -> str:
        return (
            f"the query did not work: {message}\nViews: {', '.join(self.views)}\n"
            "`gemforest query --views NAME` tells the columns of one, `gemforest query --list` the ready questions"
        )


@contextmanager
def open_atlas(store: Store) -> Iterator[Atlas]:
    """Open the atlas of a results folder.

    Raises
    ------
    InputError
        There is no atlas yet.
    """
    import duckdb

    folder = store.root.resolve() / "atlas"
    if not any(folder.glob("*/shard=*.parquet")):
        raise InputError(
            f"{folder} holds no atlas: `gemforest run` makes it, or `gemforest atlas --partial` from what there is"
        )
    with (
        tempfile.TemporaryDirectory(prefix="gemforest-query-") as spill,
        duckdb.connect(":memory:", config={"temp_directory": spill}) as database,
    ):
        views = create_views(database, folder)
        for setting in (
            f"allowed_directories = [{quoted(str(folder) + '/')}]",
            "enable_external_access = false",
            # Otherwise `FROM name` would read a Python variable of that name.
            "python_enable_replacements = false",
            "lock_configuration = true",
        ):
            database.execute(f"SET {setting}")
        yield Atlas(database, tuple(views))


def _check_reads(sql: str) -> None:
    """Refuse all but one statement that reads; `enable_external_access` alone would still let COPY write the atlas."""
    import duckdb

    statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        raise InputError(f"expected one SQL statement, found {len(statements)}")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        _check_reads(re.sub(r"^\s*explain(\s+analyze)?\b", "", sql, count=1, flags=re.IGNORECASE))
    # PIVOT is two statements to DuckDB: the type of its columns and a SELECT.
    elif kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI):
        raise InputError(
            f"the atlas is read-only, and {kind.name} does more than read: write a SELECT "
            "(and `--to FILE` to keep what it finds)"
        )


def question(name: str) -> Question:
    """A ready question; InputError with the nearest one where there is none of that name."""
    known = {found.name: found for found in QUESTIONS}
    if name in known:
        return known[name]
    words = {word: found for found in reversed(QUESTIONS) for word in re.findall(r"\w{4,}|b12", found.asks.lower())}
    near = (words | known)[get_close_matches(name.lower(), [*known, *words], n=1, cutoff=0.0)[0]]
    raise InputError(
        f"no question {name!r}; the nearest is {near.name!r} ({near.asks})\nQuestions: {', '.join(known)}; "
        "`gemforest query --list` says what they ask"
    )


def parameters_of(asked: Question, given: Sequence[str]) -> dict[str, str | float]:
    """Values of a question's parameters from `name=value` texts."""
    known = {parameter.name: parameter for parameter in asked.parameters}
    values = {parameter.name: parameter.default for parameter in asked.parameters}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            expected = ", ".join(f"{p.name}={p.default}" for p in asked.parameters) or "none"
            raise InputError(f"--with {text}: question {asked.name!r} takes name=value with these names: {expected}")
        if isinstance(known[name].default, float):
            try:
                values[name] = float(value)
            except ValueError:
                raise InputError(f"--with {text}: expected a number for {name} ({known[name].meaning})") from None
        else:
            values[name] = value
    return values


def write_rows(rows: pa.RecordBatchReader, path: Path) -> int:
    """Write a result as CSV, TSV, Parquet or Arrow (the IPC file format), by the ending of `path`; its rows.

    Lists become texts joined by `;` in CSV and TSV, and structures JSON.
    """
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{path}: expected a name that ends in one of {', '.join(FORMATS)}")
    text = ending in (".csv", ".tsv")
    schema = _flat_schema(rows.schema) if text else rows.schema
    count = 0
    with atomic(path) as temporary:
        writer: Any
        if text:
            options = pacsv.WriteOptions(delimiter="," if ending == ".csv" else "\t", quoting_style="needed")
            writer = pacsv.CSVWriter(temporary, schema, write_options=options)
        elif ending == ".parquet":
            writer = pq.ParquetWriter(temporary, schema, compression="zstd")
        else:
            writer = pa.ipc.new_file(str(temporary), schema)
        with writer:
            for batch in rows:
                count += batch.num_rows
                writer.write_batch(_flat(batch, schema) if text else batch)
    return count


def _flat_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, pa.string() if pa.types.is_nested(f.type) else f.type) for f in schema])


def _flat(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        pa.array([cell(value) for value in column.to_pylist()], pa.string())
        if pa.types.is_nested(column.type)
        else column
        for column in batch.columns
    ]
    return pa.record_batch(columns, schema=schema)


def cell(value: Any) -> str | None:
    """A value as text: what lists, structures and bytes look like in a cell; None for null."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list) and not any(isinstance(item, list | dict | tuple) for item in value):
        return ";".join(map(str, value))
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, default=str)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def shown_table(rows: pa.RecordBatchReader, most: int) -> RenderableType:
    """The first `most` rows for a terminal, and how many there are."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for field in rows.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(escape(field.name), justify="right" if number else "left", overflow="fold")
    count = 0
    for batch in rows:
        for row in batch.slice(0, max(most - count, 0)).to_pylist() if count < most else ():
            table.add_row(*(escape(cell(value) or "") for value in row.values()))
        count += batch.num_rows
    word = "row" if count == 1 else "rows"
    left_out = f"the first {most} of {count} {word}; --rows N shows more, --to FILE writes all"
    table.caption = left_out if count > most else f"{count} {word}"
    return table


def print_rows(rows: pa.RecordBatchReader, console: Console, most: int) -> None:
    """A table on a terminal; tab-separated text, all of it, where another program reads."""
    if console.is_terminal:
        console.print(shown_table(rows, most))
        return
    print("\t".join(field.name for field in rows.schema))
    for batch in rows:
        for row in batch.to_pylist():
            print("\t".join((cell(value) or "").replace("\t", " ").replace("\n", " ") for value in row.values()))


def list_text() -> str:
    """The ready questions and how to ask them."""
    width = max(len(found.name) for found in QUESTIONS)
    lines = ["Ready questions:", ""]
    for found in QUESTIONS:
        lines.append(f"  {found.name:<{width}}  {found.asks}")
        lines += [f"  {'':<{width}}    --with {p.name}={p.default}: {p.meaning}" for p in found.parameters]
    lines += [
        "",
        "gemforest query --ask NAME asks one, --show NAME prints its SQL, --views the views, --to FILE.csv writes it.",
    ]
    return "\n".join(lines)


def question_text(asked: Question) -> str:
    """A question's SQL, with what it asks as a comment."""
    import textwrap

    lines = [f"-- {asked.asks}"]
    lines += [f"-- ${p.name}: {p.meaning}; {p.default!r} unless told" for p in asked.parameters]
    lines += [f"-- {line}" for line in textwrap.wrap(asked.note, 110)]
    return "\n".join([*lines, textwrap.dedent(asked.sql).strip()])


def views_text(views: Sequence[str], name: str) -> str:
    """The views and what a row of each is; with a `name`, the columns of that one."""
    if not name:
        width = max(map(len, views))
        lines = [f"  {view:<{width}}  {row_of(view)}" for view in sorted(views)]
        return "\n".join(["Views (`gemforest query --views NAME` tells the columns of one):", "", *lines])
    if name not in views:
        near = get_close_matches(name, views, n=1, cutoff=0.0)
        raise InputError(f"no view {name!r}; the nearest is {near[0]!r}\nViews: {', '.join(sorted(views))}")
    columns = columns_of(name)
    width = max(map(len, columns))
    told = [f"  {column:<{width}}  {doc}" + (f" ({unit})" if unit else "") for column, (doc, unit) in columns.items()]
    return "\n".join([f"{name}: {row_of(name)}", "", *told])
