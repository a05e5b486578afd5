"""Source U: users' tables of gene → reaction or EC, the form in which other tools' predictions come in.

Columns genome_id, gene_id, target, probability or score, source, version, as TSV or Parquet; what they mean is in
`workflow/schemas/evidence_table.schema.yaml`. One table may hold all genomes, 10⁷ rows and more: it is read once as a
stream, checked, and written by genome into `resources/cache/user_tables`, from where a genome's rows are taken in no
time; a 64th part is held in memory at most. A genome's key holds the digest of its own rows alone, so new rows wake
only the genomes that they are about.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from gemforest.errors import InputError
from gemforest.evidence.claims import Claim, GeneNames, Heard
from gemforest.evidence.ec import parse_ecs
from gemforest.store import digest

LETTER = "U"
COLUMNS = ("genome_id", "gene_id", "target", "probability", "score", "source", "version")
REQUIRED = ("genome_id", "gene_id", "target", "source")
NUMBERS = ("probability", "score")
BUCKETS = 64
BLOCK_BYTES = 8 * 1024**2
FORMAT = 1
MOST_SHOWN = 20
ORDER = ("genome_id", "gene_id", "target", "source", "version")

ROWS = pa.schema(
    [*((name, pa.float64() if name in NUMBERS else pa.string()) for name in COLUMNS), ("line", pa.int64())]
)


@dataclass(frozen=True)
class IndexedTable:
    """A checked table, by genome; `digests` maps each genome to that of its rows."""

    path: Path
    folder: Path
    digests: dict[str, str]

    def rows(self, genome_id: str) -> pa.Table:
        """The genome's rows, sorted."""
        bucket = self.folder / f"{_bucket(genome_id):02d}.parquet"
        if genome_id not in self.digests:
            return ROWS.empty_table()
        return pq.read_table(bucket, filters=[("genome_id", "=", genome_id)], partitioning=None, use_threads=False)


def indexed(path: Path, cache_folder: Path, reactions: Callable[[], frozenset[str]]) -> IndexedTable:
    """A table, checked and laid out by genome: once per content, as told by the file's size and time.

    Parameters
    ----------
    cache_folder
        `resources/cache`.
    reactions
        BiGG reaction ids that a target may name; asked for only where the table is read.

    Raises
    ------
    InputError
        The table is missing or wrong: every kind of problem with line, column, value and the mend.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; mend evidence.tables in the config") from None
    return _indexed(path, (status.st_size, status.st_mtime_ns), cache_folder, reactions)


@cache
def _indexed(
    path: Path, fingerprint: tuple[int, int], cache_folder: Path, reactions: Callable[[], frozenset[str]]
) -> IndexedTable:
    folder = cache_folder / "user_tables" / digest([str(path), *fingerprint, FORMAT])[:24]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".work-", dir=folder.parent))
        try:
            (work / "index").mkdir()
            _lay_out(path, work, reactions())
            # Another job may have been faster; its layout is the same.
            if not folder.exists():
                (work / "index").rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    digests: dict[str, str] = json.loads((folder / "genomes.json").read_text(encoding="utf-8"))
    return IndexedTable(path, folder, digests)


def read_user_rows(table: IndexedTable, genome_id: str, names: GeneNames) -> list[Heard]:
    """Claims of a table about one genome, by the origin that it names.

    Raises
    ------
    RefusedError
        `BAD_ANNOTATION`: not one of its genes is among the genome's proteins.
    """
    rows = table.rows(genome_id).to_pylist()
    numbers = [names.find([row["gene_id"]]) for row in rows]
    if rows and all(number is None for number in numbers):
        raise names.refuse(f"{table.path.name}, genome {genome_id}", rows[0]["gene_id"])
    claims: dict[tuple[str, str], list[Claim]] = {}
    rejected: dict[tuple[str, str], Counter[str]] = {}
    for row, gene in zip(rows, numbers, strict=True):
        origin = (row["source"], row["version"] or "")
        claims.setdefault(origin, [])
        if gene is None:
            rejected.setdefault(origin, Counter())["gene that is not among the proteins"] += 1
            continue
        claim = Claim(gene, row["target"], LETTER, *origin, probability=row["probability"], value=row["score"])
        claims[origin].append(claim)
    return [Heard(LETTER, *origin, tuple(found), rejected.get(origin, {})) for origin, found in claims.items()]


def _lay_out(path: Path, work: Path, reactions: frozenset[str]) -> None:
    """Stream the table into one file per bucket of genomes, then sort and check each bucket."""
    writers = {}
    try:
        for bucket in range(BUCKETS):
            writers[bucket] = pa.ipc.new_stream(str(work / f"{bucket:02d}.arrow"), ROWS)
        for batch in _batches(path):
            checked = _checked(path, batch, reactions)
            genomes = checked["genome_id"].combine_chunks().dictionary_encode()
            bucket_of = np.array([_bucket(name) for name in genomes.dictionary.to_pylist()], dtype=np.int64)
            buckets = bucket_of[genomes.indices.to_numpy()]
            for bucket in np.unique(buckets).tolist():
                writers[bucket].write_table(checked.take(pa.array(np.flatnonzero(buckets == bucket))))
    finally:
        for writer in writers.values():
            writer.close()
    digests: dict[str, str] = {}
    for bucket in writers:
        with pa.ipc.open_stream(str(work / f"{bucket:02d}.arrow")) as stream:
            rows = _sorted(path, stream.read_all())
        if rows.num_rows:
            pq.write_table(rows, work / "index" / f"{bucket:02d}.parquet", compression="zstd", row_group_size=65536)
            digests |= _digests(rows)
    (work / "index" / "genomes.json").write_text(json.dumps(digests, indent=0, sort_keys=True), encoding="utf-8")


def _bucket(genome_id: str) -> int:
    return zlib.crc32(genome_id.encode()) % BUCKETS


def _batches(path: Path) -> Iterator[pa.Table]:
    """Batches with all columns as texts or numbers and the line of each row."""
    with path.open("rb") as handle:
        is_parquet = handle.read(4) == b"PAR1"
    if is_parquet:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            first = 1
            for batch in file.iter_batches(batch_size=131072, use_threads=False):
                yield _with_lines(pa.Table.from_batches([batch]), first)
                first += batch.num_rows
        return
    with path.open(encoding="utf-8", errors="replace") as text:
        header = text.readline().rstrip("\r\n").removeprefix("\ufeff").split("\t")
    _check_columns(path, header)
    try:
        reader = pacsv.open_csv(
            path,
            read_options=pacsv.ReadOptions(column_names=header, skip_rows=1, use_threads=False, block_size=BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
        first = 2
        for batch in reader:
            yield _with_lines(pa.Table.from_batches([batch]), first)
            first += batch.num_rows
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path}: {error}; every line needs as many cells as the header, with tabs between them"
        ) from None


def _with_lines(rows: pa.Table, first: int) -> pa.Table:
    return rows.append_column("line", pa.array(np.arange(first, first + rows.num_rows)))


def _check_columns(path: Path, header: Sequence[str]) -> None:
    problems = []
    for name in header:
        near = get_close_matches(name.lower(), COLUMNS, 1, 0.7)
        if name not in COLUMNS and near and near[0] not in header:
            problems.append(f"{name!r} is no column; did you mean {near[0]!r}?")
    problems += [f"{name!r} names two columns" for name in sorted({n for n in header if list(header).count(n) > 1})]
    problems += [f"the column {name!r} is missing" for name in REQUIRED if name not in header]
    if not any(name in header for name in NUMBERS):
        problems.append("neither 'probability' nor 'score' is a column")
    if problems:
        raise InputError(
            f"{path}, line 1: {'; '.join(problems)}; expected {', '.join(COLUMNS)} (tabs between them), "
            f"found {', '.join(header)[:200]}"
        )


def _checked(path: Path, batch: pa.Table, reactions: frozenset[str]) -> pa.Table:
    """The batch in the columns of `ROWS`, targets in canonical form; InputError with its first problems."""
    lines = batch["line"].to_numpy()
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"line": batch["line"]}
    problems: list[str] = []
    for name in COLUMNS:
        if name not in batch.column_names:
            kind = ROWS.field(name).type
            columns[name] = pa.nulls(batch.num_rows, kind) if name in NUMBERS else pa.array([""] * batch.num_rows, kind)
        elif name in NUMBERS:
            columns[name], found = _numbers(name, batch[name], lines)
            problems += found
        else:
            columns[name] = pc.utf8_trim_whitespace(pc.fill_null(batch[name].cast(pa.string()), ""))
    for name in REQUIRED:
        empty = np.flatnonzero(pc.equal(columns[name], "").to_numpy(zero_copy_only=False))
        problems += [f"line {lines[row]}, {name}: is empty; write it" for row in empty[:MOST_SHOWN].tolist()]
    has_number = [np.asarray(pc.is_valid(columns[name]).to_numpy(zero_copy_only=False)) for name in NUMBERS]
    nothing = np.flatnonzero(~(has_number[0] | has_number[1]))
    problems += [
        f"line {lines[row]}: neither probability nor score; write one" for row in nothing[:MOST_SHOWN].tolist()
    ]
    columns["target"], found = _targets(columns["target"], lines, reactions)
    problems += found
    if problems:
        shown = sorted(problems, key=lambda text: int(text.split()[1].rstrip(",:")))[:MOST_SHOWN]
        more = f"\n  and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
        raise InputError(f"{path}:\n  " + "\n  ".join(shown) + more)
    return pa.table([columns[field.name].cast(field.type) for field in ROWS], schema=ROWS)


def _numbers(name: str, column: pa.ChunkedArray, lines: np.ndarray) -> tuple[pa.ChunkedArray, list[str]]:
    if pa.types.is_string(column.type):
        texts = pc.utf8_trim_whitespace(column)
        texts = pc.if_else(pc.is_in(texts, pa.array(["", "NA"])), None, texts)
        fits = pc.fill_null(pc.match_substring_regex(texts, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"), True)
        values = pc.cast(pc.if_else(fits, texts, None), pa.float64())
        shown = texts
    else:
        values = pc.cast(column, pa.float64())
        fits, shown = pc.fill_null(pc.is_finite(values), True), values
    wrong = np.flatnonzero(~fits.to_numpy(zero_copy_only=False))
    problems = [f"line {lines[r]}, {name}: {shown[r].as_py()!r} is no number" for r in wrong[:MOST_SHOWN].tolist()]
    if name == "probability":
        inside = pc.fill_null(pc.and_(pc.greater_equal(values, 0.0), pc.less_equal(values, 1.0)), True)
        outside = np.flatnonzero(~inside.to_numpy(zero_copy_only=False))
        mend = "a probability lies between 0 and 1; another scale goes into the column score"
        problems += [f"line {lines[r]}, {name}: {values[r].as_py()!r}; {mend}" for r in outside[:MOST_SHOWN].tolist()]
    return values, problems


def _targets(column: pa.ChunkedArray, lines: np.ndarray, reactions: frozenset[str]) -> tuple[pa.Array, list[str]]:
    """EC numbers and reaction ids in canonical form; each distinct text is looked at once."""
    encoded = pa.concat_arrays(column.chunks).dictionary_encode() if column.num_chunks else column.dictionary_encode()
    codes = encoded.indices.to_numpy()
    canonical, problems = [], []
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        target, what = canonical_target(text, reactions)
        canonical.append(target)
        if what:
            line = lines[int(np.argmax(codes == code))]
            problems.append(f"line {line}, target: {text!r} {what}")
    return pa.array(canonical, pa.string()).take(encoded.indices), problems


def canonical_target(text: str, reactions: frozenset[str]) -> tuple[str, str]:
    """An EC number or a BiGG reaction id without R_, and what is wrong with the text where it is neither."""
    bare = text.removeprefix("R_")
    if bare in reactions or not text:
        return bare, ""
    parsed = parse_ecs(text)
    if len(parsed.numbers) == 1 and not parsed.rejected:
        return parsed.numbers[0], ""
    if len(parsed.numbers) > 1:
        return text, "holds several EC numbers; give each a row of its own"
    near = get_close_matches(bare, reactions, 1, 0.7)
    mend = f"did you mean {near[0]!r}?" if near else "expected a BiGG reaction id such as PFK or an EC number"
    return text, f"is neither a known BiGG reaction nor an EC number; {mend}"


def _sorted(path: Path, rows: pa.Table) -> pa.Table:
    """Rows by genome, gene and target; repeated ones once, contradicting ones refused."""
    rows = rows.sort_by([(name, "ascending") for name in (*ORDER, "line")]).combine_chunks()
    if rows.num_rows < 2:
        return rows
    same = np.ones(rows.num_rows - 1, dtype=bool)
    for name in ORDER:
        same &= pc.equal(rows[name][1:], rows[name][:-1]).to_numpy(zero_copy_only=False)
    repeated = np.concatenate([[False], same])
    for name in NUMBERS:
        values = rows[name].to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            differs = ~((values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1])))
        clash = np.flatnonzero(same & differs)
        if len(clash):
            first, second = (rows.slice(int(clash[0]) + i, 1).to_pylist()[0] for i in (0, 1))
            raise InputError(
                f"{path}, lines {first['line']} and {second['line']}: {first['gene_id']!r} → {first['target']!r} of "
                f"source {first['source']!r} has {name} {first[name]} and {second[name]}; keep one"
            )
    return rows.filter(pa.array(~repeated))


def _digests(rows: pa.Table) -> dict[str, str]:
    """Digest of each genome's rows; where they stand in the file does not count."""
    rows = rows.drop_columns(["line"])
    genomes = rows["genome_id"].combine_chunks().dictionary_encode()
    codes = genomes.indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    found = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        name = genomes.dictionary[int(codes[start])].as_py()
        text = json.dumps(rows.slice(start, end - start).to_pydict(), sort_keys=True)
        found[name] = sha256(text.encode()).hexdigest()
    return found
