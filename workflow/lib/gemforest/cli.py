"""The command line. Imports are lazy: `gemforest --help` must not wait for a library that it does not use."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gemforest import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from gemforest.stage import Context

PIPED_WIDTH = 150

# Where an error's text names no command that shows more, by the command that failed; `run` stands for the rest.
MORE = {
    "run": "`gemforest doctor` checks config, sheet and programs",
    "init": "`gemforest init --help` tells how it is called",
    "sheet": "`gemforest sheet --help` tells how it is called; config/README.md what goes into a sheet",
    "query": "`gemforest query --list` tells the ready questions, `gemforest query --views` the views",
    "plot": "`gemforest plot --list` tells the figures",
    "export": "`gemforest export --help` tells how it is called, `gemforest status` which genomes have a model",
    "explain": "`gemforest status` tells which genomes there are and how far they came",
    "evaluate": "`gemforest evaluate --help` tells what can be evaluated",
    "simulate-model": "`gemforest simulate-model --help` tells how it is called",
}

STAGE_HELP = {
    "fetch": "bring each genome's file here and write down what it is",
    "genes": "read proteins",
    "homology": "search the proteins with DIAMOND",
    "embed": "turn proteins into vectors, where the config wants them",
    "evidence": "score genes and reactions",
    "draft": "carve the universe",
    "gapfill": "fill gaps so that models grow on their media",
    "kinetics": "constrain models by what their enzymes weigh",
    "simulate": "growth and fluxes",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 fine, 1 the machine or too many failures, 2 the user's input."""
    # A cancelled job is to leave through its `finally`s, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parsed = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    from gemforest.errors import GemforestError, InfrastructureError, InputError

    try:
        return command(parsed)
    except InputError as error:
        print(f"gemforest: {_and_more(parsed, error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has read enough (`| head`); Python is not to complain at its exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (InfrastructureError, OSError) as error:
        _leave_word(parsed, error)
        print(f"gemforest: {_and_more(parsed, error)}", file=sys.stderr)
        return 1
    except GemforestError as error:
        print(f"gemforest: {_and_more(parsed, error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


class Parser(argparse.ArgumentParser):
    """A parser whose complaints end with the command that tells more."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave with 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n`{self.prog} --help` tells more\n")


def _and_more(parsed: argparse.Namespace, error: Exception) -> str:
    """An error's text, and the command that shows more where the text does not name one."""
    return str(error) if "`gemforest " in str(error) else f"{error}\n{MORE.get(parsed.name, MORE['run'])}"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(prog="gemforest", description="From genome collections to genome-scale metabolic models.")
    parser.add_argument("--version", action="version", version=f"gemforest {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        sub.set_defaults(command=command, name=name)
        sub.add_argument("--project", type=Path, default=Path(), help="project folder (default: this folder)")
        sub.add_argument("--config", type=Path, help="config (default: config/config.yaml of the project)")
        return sub

    for name, text in (("run", "run the whole workflow"), ("resume", "go on with a run that died, with its profile")):
        sub = add(name, _run, f"{text}; further arguments go to Snakemake")
        sub.add_argument("--cores", type=int, default=os.cpu_count() or 1)
        sub.add_argument("--profile", default="local", help="local, slurm, or a folder with config.yaml")
        sub.add_argument(
            "--orphans", choices=["wait", "cancel"], default="wait", help="jobs that a dead run left at work"
        )
        sub.add_argument("snakemake", nargs=argparse.REMAINDER, help="after --: arguments for Snakemake, such as -n")
    sub = add("resolve", _resolve, "write down which genomes the sheet's queries find; later, show what has changed")
    sub.add_argument("--update", action="store_true", help="rewrite a list that exists")
    add("plan", _plan, "place the genomes of the sheet in shards")
    for name, text in STAGE_HELP.items():
        sub = add(name, _stage, f"stage: {text}")
        sub.add_argument("--shard", required=True, help="shard of the plan, such as 0000")
        sub.add_argument("--cores", type=int, default=1)
        sub.add_argument("--asked", default="", help="MB:MINUTES that the job was given, for the report of use")
    sub = add("atlas", _atlas, "gather the tables of a shard, or write the views over all shards")
    sub.add_argument("--shard", help="gather this shard's parts")
    sub.add_argument("--partial", action="store_true", help="take what there is")
    sub = add("report", _report, "write the HTML report")
    sub.add_argument("--partial", action="store_true", help="take what there is")
    sub.add_argument("--compare", type=Path, help="results folder of an earlier run to compare with")
    sub.add_argument("--cores", type=int, default=1)
    sub = add("check", _check, "compare the files of single genomes with the ledgers")
    sub.add_argument("--deep", action="store_true", help="read every byte")
    sub.add_argument("--repair", action="store_true", help="remove what is damaged; the next run makes it again")
    sub = add("retry", _retry, "forget failures, so that the next run tries them again")
    sub.add_argument("--reason", help="only failures with this reason")
    sub.add_argument("--stage", choices=list(STAGE_HELP), help="only failures at this stage")
    sub = add("status", _status, "what became of the genomes so far")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub.add_argument("--efficiency", action="store_true", help="what jobs asked for and used; also logs/efficiency.tsv")
    sub.add_argument("--watch", action="store_true", help="stay and renew the tables every two seconds")
    sub = add("sheet", _sheet, "write a sheet from a folder of genome files, recognised by what is in them")
    sub.add_argument("folder", type=Path, help="folder of genome files; subfolders are searched too")
    sub.add_argument("--output", type=Path, default=Path("config/genomes.tsv"), help="where (default: %(default)s)")
    sub.add_argument("--force", action="store_true", help="replace a sheet that exists")
    sub = add("init", _init, "make a fresh project folder with a config, a commented sheet and the media")
    sub.add_argument("folder", type=Path, help="folder to make")
    sub = add("media", _media, "check: what of the media a universe cannot take up; import: take over others' media")
    sub.add_argument("what", choices=["check", "import"])
    sub.add_argument("file", nargs="?", type=Path, help="import: CarveMe's table of media, or cobrapy's medium as JSON")
    sub.add_argument("--name", default="", help="import: name of the medium")
    sub = add("simulate-model", _simulate_models, "simulate models that other tools made, as ours are")
    sub.add_argument("files", nargs="+", type=Path, help="SBML files, gzipped or not")
    sub.add_argument("--medium", required=True, help="a medium of the project's table of media")
    sub.add_argument("--output", type=Path, required=True, help="folder for the tables and outcomes.tsv")
    sub = add("resources", _resources, "tables of EC numbers and reactions: what is here; fetch brings them")
    sub.add_argument("what", nargs="?", choices=["show", "fetch"], default="show")
    sub = add("doctor", _doctor, "check whether everything is here that a run needs, and say what mends it")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub.add_argument("--licences", action="store_true", help="print the licences of what is installed")
    sub = add("explain", _explain, "why a reaction is in a model or is not; a gene; or growth on a medium")
    sub.add_argument("genome", help="genome_id")
    sub.add_argument("reaction", nargs="?", help="BiGG reaction id, such as PFK, or a gene id")
    sub.add_argument("--medium", help="why the genome grows on this medium or does not, and what was filled for it")
    sub = add("query", _query, "ask the atlas in SQL, or a ready question")
    sub.add_argument("sql", nargs="?", help="one SELECT over the views")
    sub.add_argument("--list", action="store_true", help="the ready questions")
    sub.add_argument("--ask", metavar="NAME", help="ask a ready question")
    sub.add_argument("--with", dest="given", action="append", default=[], metavar="KEY=VALUE", help="set its parameter")
    sub.add_argument("--show", metavar="NAME", help="print the SQL of a ready question")
    sub.add_argument("--views", nargs="?", const="", metavar="NAME", help="the views, or the columns of one")
    sub.add_argument("--to", type=Path, metavar="FILE", help="write to .csv, .tsv, .parquet or .arrow")
    sub.add_argument("--rows", type=int, default=50, help="rows shown on a terminal (default: %(default)s)")
    sub = add("plot", _plot, "draw figures of the run")
    sub.add_argument("figure", nargs="?", help="its name; without one, all of them as SVG and PNG")
    sub.add_argument("--list", action="store_true", help="the figures")
    sub.add_argument("--to", type=Path, help="a .svg, .png or .pdf; without a name, a folder (default: report/figures)")
    sub.add_argument("--by", default="", metavar="GROUP", help="pca: colour by a rank, a column of the sheet, ...")
    sub = add("export", _export, "models as other programs take them")
    says = "plain SBML files, MICOM's manifest of all models, or enzyme-constrained models as GECKO's YAML"
    sub.add_argument("what", choices=["sbml", "micom", "gecko"], help=says)
    says = "sbml, gecko: this one; may be repeated (default: all)"
    sub.add_argument("--genome", action="append", default=[], help=says)
    sub.add_argument("--to", type=Path, required=True, help="sbml, gecko: a folder; micom: a .csv file")
    sub.add_argument("--draft", action="store_true", help="sbml: the draft before gap-filling")
    _add_evaluate(commands)
    sub = add("config", _show_config, "print the effective config, or what its keys mean")
    sub.add_argument(
        "--show", action="store_true", help="the effective config, defaults filled in (this is the default)"
    )
    sub.add_argument("--keys", action="store_true", help="every key with its default and its meaning")
    return parser


def _add_evaluate(commands: argparse._SubParsersAction[Parser]) -> None:
    """`gemforest evaluate WHAT`: each takes a table of labels and runs the product's own stages."""
    text = "compare the default pipeline with what was measured"
    parser = commands.add_parser("evaluate", help=text, description=f"{text[0].upper()}{text[1:]}.")
    what = parser.add_subparsers(required=True, metavar="WHAT")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = what.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        sub.set_defaults(command=command, name="evaluate", project=Path())
        sub.add_argument("--out", type=Path, required=True, help="folder for the results")
        sub.add_argument("--cores", type=int, default=os.cpu_count() or 1)
        return sub

    sub = add("growth", _evaluate_growth, "growth on carbon sources")
    sub.add_argument("--proteomes", type=Path, required=True, help="folder with the proteomes (FASTA, may be packed)")
    sub.add_argument(
        "--labels", type=Path, required=True, help="TSV with the columns org_id, proteome, bigg_id, growth (0 or 1)"
    )
    sub.add_argument(
        "--base-medium", default="M9", help="medium the sources are added to, its carbon taken out (default: M9)"
    )
    sub.add_argument("--threshold", type=float, default=0.01, help="growth from this rate on, 1/h (default: 0.01)")
    sub.add_argument("--media", type=Path, help="table of media (default: the workflow's config/media.tsv)")
    sub.add_argument("--faults", action="store_true", help="also say where each wrong answer of FBA comes from")
    for name, columns, text in (
        ("essentiality", "org_id, proteome, gene_id, essential", "genes whose loss stops growth"),
        ("products", "org_id, proteome, bigg_id, produced", "fermentation products"),
    ):
        sub = add(name, _evaluate_answers, text)
        sub.set_defaults(question=name)
        sub.add_argument("--proteomes", type=Path, required=True, help="folder with the proteomes")
        sub.add_argument("--labels", type=Path, required=True, help=f"TSV with the columns {columns} (0 or 1)")
        sub.add_argument("--medium", default="M9", help="medium of all organisms (default: M9)")
        sub.add_argument("--threshold", type=float, default=0.01, help="growth from this rate on, 1/h (default: 0.01)")

    sub = add("reactions", _evaluate_reactions, "reactions of genes")
    sub.add_argument("--proteomes", type=Path, required=True, help="folder with the proteomes")
    sub.add_argument(
        "--labels", type=Path, required=True, help="TSV with the columns org_id, proteome, gene_id, reaction (BiGG ids)"
    )
    sub = add("ec", _evaluate_ec, "EC numbers of proteins")
    sub.add_argument("--fasta", type=Path, required=True, help="proteins (FASTA, may be packed)")
    sub.add_argument("--labels", type=Path, required=True, help="TSV with the columns id, ec (several joined by ;)")
    sub.add_argument(
        "--exclude-self", action="store_true", help="leave out reference entries with a query's accession or sequence"
    )

    sub = add("kcat", _evaluate_kcat, "turnover numbers of pairs of enzyme and substrate")
    text = "TSV, CSV or Parquet with the columns sequence, smiles, ec, and log10_kcat or kcat and unit"
    sub.add_argument("--table", type=Path, required=True, help=text)
    sub.add_argument("--model", type=Path, help="folder of a predictor (default: the shipped one)")


def _context(parsed: argparse.Namespace) -> Context:
    from gemforest.config import from_text, load_config
    from gemforest.stage import Context
    from gemforest.store import Store

    project = parsed.project.resolve()
    path = _config_path(parsed)
    # The workflow hands jobs the effective config as JSON, checked already: checking costs a third of a second.
    config = from_text(path.read_text(encoding="utf-8")) if path.suffix == ".json" else load_config(path)
    return Context(project, config, Store(project / config["results"]))


def _config_path(parsed: argparse.Namespace) -> Path:
    given: Path | None = parsed.config
    return (given or parsed.project / "config" / "config.yaml").resolve()


def _run(parsed: argparse.Namespace) -> int:
    from gemforest.run import RunOptions, resume, run

    extra = tuple(argument for argument in parsed.snakemake if argument != "--")
    options = RunOptions(_config_path(parsed), parsed.cores, parsed.profile, parsed.orphans, extra)
    return (resume if parsed.name == "resume" else run)(_context(parsed), options, _console())


def _resolve(parsed: argparse.Namespace) -> int:
    from datetime import date

    from gemforest.fetch.resolve import changes, list_text, read_list, resolve
    from gemforest.store import write_text

    context = _context(parsed)
    path, rows = resolve(context, date.today(), os.environ.get("NCBI_API_KEY", ""))
    before = read_list(path)
    found = changes(before, rows)
    if path.exists() and not parsed.update:
        print("\n".join(found.lines()) or "nothing has changed")
        print(f"{len(rows)} genomes now, {len(before)} in {path}" + ("; --update rewrites it" if found.any else ""))
        return 0
    write_text(path, list_text(rows, context.config["genomes"]))
    print(f"{len(rows)} genomes written to {path}; keep it with the sheet, it pins what was found today")
    return 0


def _plan(parsed: argparse.Namespace) -> int:
    from gemforest.plan import make_plan, write_plan

    context = _context(parsed)
    plan = make_plan(context)
    changed = write_plan(plan, context)
    counts = plan.counts()
    print(
        f"{counts['genomes']} genomes in {counts['shards']} shard(s), {counts['tombstones']} removed earlier; "
        f"{len(changed)} shard(s) changed"
    )
    return 0


def _stage(parsed: argparse.Namespace) -> int:
    from gemforest.loop import Shard
    from gemforest.stages import stage
    from gemforest.usage import run_and_note

    job = Shard(stage(parsed.name), _context(parsed), parsed.shard, parsed.cores)
    outcomes = run_and_note(job, parsed.asked)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{parsed.name} shard={parsed.shard}: {counts or 'no genomes'}", file=sys.stderr)
    return 0


def _atlas(parsed: argparse.Namespace) -> int:
    from gemforest.atlas import TooManyFailed, finish, gather_shard, same_genomes

    context = _context(parsed)
    if parsed.shard:
        rows = gather_shard(context, parsed.shard, parsed.partial)
        print(f"atlas shard={parsed.shard}: {rows.total()} rows in {len(rows)} tables", file=sys.stderr)
        return 0
    try:
        ends = finish(context, parsed.partial)
    except TooManyFailed as error:
        print(f"gemforest: {error}", file=sys.stderr)
        return 1
    print(f"atlas: {ends.total()} genomes, {ends['ok']} through every stage", file=sys.stderr)
    for group in same_genomes(context):
        print(
            f"atlas: {' and '.join(group)} come from the same file and count as {len(group)} genomes", file=sys.stderr
        )
    return 0


def _report(parsed: argparse.Namespace) -> int:
    from gemforest.report import write_report

    path = write_report(_context(parsed), parsed.partial, parsed.compare, parsed.cores)
    print(f"report: {path}", file=sys.stderr)
    return 0


def _check(parsed: argparse.Namespace) -> int:
    from gemforest.check import check

    damages = check(_context(parsed), parsed.deep, parsed.repair)
    for damage in damages:
        print(f"{damage.stage} shard={damage.shard} {damage.genome_id}: {damage.what}")
    mended = "removed, the next run makes them again" if parsed.repair else "`gemforest check --repair` removes them"
    print(f"{len(damages)} damaged" + (f": {mended}" if damages else ""))
    return 1 if damages and not parsed.repair else 0


def _retry(parsed: argparse.Namespace) -> int:
    from gemforest.check import retry
    from gemforest.errors import InputError
    from gemforest.ledger import Reason

    if parsed.reason and parsed.reason not in [reason.value for reason in Reason]:
        raise InputError(f"no reason {parsed.reason!r}; reasons: {', '.join(filter(None, Reason))}")
    forgotten = retry(_context(parsed), parsed.reason, parsed.stage)
    for stage, genome_id in forgotten:
        print(f"{stage} {genome_id}: will be tried again")
    print(f"{len(forgotten)} failures forgotten; `gemforest run` tries them again")
    return 0


def _status(parsed: argparse.Namespace) -> int:
    import time

    from gemforest.status import read_status, show

    context, console = _context(parsed), _console()
    if parsed.efficiency:
        from gemforest.efficiency import efficiency_table, read_efficiency, write_efficiency

        rows = read_efficiency(context.project)
        console.print(efficiency_table(rows))
        console.print(f"written to {write_efficiency(context.project, rows)}")
        return 0
    if parsed.json:
        print(read_status(context).to_json())
        return 0
    show(context, console)
    while parsed.watch:
        time.sleep(2)
        console.clear()
        show(context, console)
    return 0


def _sheet(parsed: argparse.Namespace) -> int:
    from gemforest.errors import InputError
    from gemforest.newproject import sheet_of_folder
    from gemforest.store import write_text

    output = parsed.project / parsed.output
    if output.exists() and not parsed.force:
        raise InputError(f"{output} exists; name another file with --output, or replace it with --force")
    text, notes = sheet_of_folder(parsed.folder, output)
    write_text(output, text)
    for note in notes:
        print(note, file=sys.stderr)
    rows = sum(not line.startswith("#") for line in text.splitlines()) - 1
    print(f"{rows} genomes in {output}")
    return 0


def _init(parsed: argparse.Namespace) -> int:
    from gemforest.newproject import new_project

    for path in new_project(parsed.folder):
        print(path)
    print(
        f"\nPut your genomes in {parsed.folder}/config/genomes.tsv, or let `gemforest sheet FOLDER --project "
        f"{parsed.folder} --force` write it.\nThen: gemforest doctor --project {parsed.folder}, and gemforest run "
        f"--project {parsed.folder}"
    )
    return 0


def _media(parsed: argparse.Namespace) -> int:
    from gemforest.media import read_media
    from gemforest.mediacheck import as_text, exchanged_compounds, lacking_compounds, uncapped_metals
    from gemforest.sheet import UNIVERSES

    context = _context(parsed)
    if parsed.what == "import":
        return _import_media(parsed, context.project / context.config["media"])
    universes = [name for name in UNIVERSES if name != "auto"]
    media = read_media(context.project / context.config["media"])
    found = lacking_compounds(media, exchanged_compounds(universes, context.cache))
    print("\n".join([*uncapped_metals(media), as_text(found, universes)]))
    return 0


def _import_media(parsed: argparse.Namespace, table: Path) -> int:
    from gemforest.errors import InputError
    from gemforest.mediaimport import add_to_table, read_foreign

    if parsed.file is None:
        raise InputError("media import: name the file; see `gemforest media --help`")
    found = read_foreign(parsed.file, parsed.name)
    rows = add_to_table(found, table)
    for medium, metal, limit in found.capped:
        print(f"{medium}\t{metal}: {limit:g} capped at 0.1, or the metal is food")
    print(f"{rows} rows for {', '.join(found.media)} added to {table}; `gemforest media check` says what they lack")
    return 0


def _simulate_models(parsed: argparse.Namespace) -> int:
    from gemforest.ledger import Outcome
    from gemforest.usermodels import simulate_models

    rows = simulate_models(_context(parsed), parsed.files, parsed.medium, parsed.output)
    for row in rows:
        told = (
            f"growth {row.growth_per_h:.4g} per h" if row.growth_per_h is not None else row.reason or "no growth value"
        )
        print(f"{row.model}: {row.outcome}, {told}" + (f" ({row.detail})" if row.detail else ""))
    print(f"{len(rows)} models; tables and outcomes.tsv in {parsed.output}")
    return 0 if all(row.outcome is Outcome.OK for row in rows) else 1


def _resources(parsed: argparse.Namespace) -> int:
    from gemforest.mappings import coverage_lines, fetch_mappings

    context = _context(parsed)
    lines = fetch_mappings(context) if parsed.what == "fetch" else []
    print("\n".join([*lines, *coverage_lines(context)]))
    return 0


def _doctor(parsed: argparse.Namespace) -> int:
    import json

    from gemforest.doctor import as_records, as_text, examine, exit_code, licences

    if parsed.licences:
        rows = licences()
        if parsed.json:
            print(json.dumps([dict(zip(("package", "licence", "terms"), row, strict=True)) for row in rows], indent=1))
        else:
            print("\n".join(f"{name:<32} {licence:<40} {terms}".rstrip() for name, licence, terms in rows))
        return 0
    checks = examine(parsed.project.resolve(), _config_path(parsed))
    print(json.dumps(as_records(checks), indent=1) if parsed.json else as_text(checks))
    return exit_code(checks)


def _explain(parsed: argparse.Namespace) -> int:
    from gemforest.errors import InputError
    from gemforest.explain_gene import explain_any

    if parsed.medium:
        from gemforest.explain_medium import explain_medium

        print(explain_medium(_context(parsed), parsed.genome, parsed.medium))
        return 0
    if parsed.reaction is None:
        raise InputError("explain: name a reaction, a gene, or a medium with --medium")
    print(explain_any(_context(parsed), parsed.genome, parsed.reaction))
    return 0


def _query(parsed: argparse.Namespace) -> int:
    from gemforest.errors import InputError
    from gemforest.query import (
        list_text,
        open_atlas,
        parameters_of,
        print_rows,
        question,
        question_text,
        views_text,
        write_rows,
    )

    asked = question(parsed.ask or parsed.show) if parsed.ask or parsed.show else None
    if parsed.list or parsed.show:
        print(question_text(asked) if asked and not parsed.list else list_text())
        return 0
    if parsed.views is None and bool(parsed.sql) == bool(asked):
        raise InputError("give either a SELECT or --ask NAME; `gemforest query --list` tells the ready questions")
    with open_atlas(_context(parsed).store) as atlas:
        if parsed.views is not None:
            print(views_text(atlas.views, parsed.views))
            return 0
        values = parameters_of(asked, parsed.given) if asked else {}
        rows = atlas.ask(asked.sql if asked else parsed.sql, values)
        if parsed.to:
            print(f"{write_rows(rows, parsed.to)} rows in {parsed.to}", file=sys.stderr)
            return 0
        print_rows(rows, _console(), parsed.rows)
    if asked and asked.note and sys.stdout.isatty():
        print(asked.note)
    return 0


def _plot(parsed: argparse.Namespace) -> int:
    from gemforest.figures import PLOTS, Run, draw, draw_all, plot

    if parsed.list:
        print("\n".join(f"{found.name:<14}{found.title}" for found in PLOTS))
        return 0
    root = _context(parsed).store.root
    folder = root / "report" / "figures"
    if not parsed.figure:
        print("\n".join(map(str, draw_all(root, parsed.to or folder))))
        return 0
    found = plot(parsed.figure)
    path = parsed.to or folder / f"{found.name}.svg"
    draw(found, Run(root, parsed.by), [path])
    print(path)
    return 0


def _export(parsed: argparse.Namespace) -> int:
    from gemforest.errors import InputError
    from gemforest.export import export_micom, export_sbml

    context = _context(parsed)
    if parsed.what == "sbml":
        for path in export_sbml(context, parsed.genome, parsed.to, parsed.draft):
            print(path)
        return 0
    if parsed.what == "gecko":
        from gemforest.gecko import export_gecko

        for path in export_gecko(context, parsed.genome, parsed.to):
            print(path)
        return 0
    if parsed.genome or parsed.draft or parsed.to.suffix != ".csv":
        raise InputError("expected `gemforest export micom --to FILE.csv`: it lists all filled models")
    manifest = export_micom(context.store, parsed.to)
    print(f"{manifest.models} models in {parsed.to}")
    if manifest.without_species:
        print(
            f"{len(manifest.without_species)} without genus or species, which MICOM groups by: "
            f"{', '.join(manifest.without_species[:5])}; name them in the sheet's column `organism`",
            file=sys.stderr,
        )
    return 0


def _evaluate_growth(parsed: argparse.Namespace) -> int:
    from gemforest.evaluation.growth import CALLS, SUMMARY, evaluate_growth

    record = evaluate_growth(
        parsed.proteomes,
        parsed.labels,
        parsed.out,
        base_medium=parsed.base_medium,
        threshold=parsed.threshold,
        cores=parsed.cores,
        media=parsed.media,
        cache=Path("resources") / "cache",
        faults=parsed.faults,
    )
    shown = ["macro_mcc", "macro_mcc_fba", "macro_mcc_score", "auc_score", "pooled_mcc", "accuracy", "organisms_total"]
    print("\n".join(f"{name}\t{record[name]}" for name in shown))
    if record["organisms_in_sample"]:
        print(f"in-sample, the default call was fitted on them\t{', '.join(record['organisms_in_sample'])}")
    for org_id, reason in record["organisms_without_model"].items():
        print(f"no model\t{org_id}\t{reason}")
    print(f"{parsed.out / SUMMARY}\n{parsed.out / CALLS}")
    return 0


def _evaluate_answers(parsed: argparse.Namespace) -> int:
    from gemforest.evaluation.answers import ESSENTIALITY, PRODUCTS, evaluate_answers

    question = {entry.name: entry for entry in (ESSENTIALITY, PRODUCTS)}[parsed.question]
    record = evaluate_answers(
        question,
        parsed.proteomes,
        parsed.labels,
        parsed.out,
        medium=parsed.medium,
        threshold=parsed.threshold,
        cores=parsed.cores,
        cache=Path("resources") / "cache",
    )
    for name in ("macro_mcc", "pooled_mcc", "accuracy", "organisms_total"):
        print(f"{name}\t{record[name]}")
    print(parsed.out / f"{question.name}.json")
    return 0


def _evaluate_reactions(parsed: argparse.Namespace) -> int:
    from gemforest.evaluation.reactions import evaluate_reactions

    cache = Path("resources") / "cache"
    record = evaluate_reactions(parsed.proteomes, parsed.labels, parsed.out, parsed.cores, cache)
    for name in ("micro_f1", "micro_precision", "micro_recall", "rows", "judged"):
        print(f"{name}\t{record[name]}")
    print(parsed.out / "reactions.json")
    return 0


def _evaluate_kcat(parsed: argparse.Namespace) -> int:
    from gemforest.evaluation.turnover import evaluate_kcat

    record = evaluate_kcat(parsed.table, parsed.out, parsed.model)
    for name in ("r2", "r", "rmse", "coverage90", "rows", "judged"):
        print(f"{name}\t{record[name]}")
    print(parsed.out / "kcat.json")
    return 0


def _evaluate_ec(parsed: argparse.Namespace) -> int:
    from gemforest.evaluation.enzymes import evaluate_ec

    record = evaluate_ec(parsed.fasta, parsed.labels, parsed.out, parsed.exclude_self, parsed.cores)
    for name in ("micro_f1", "micro_precision", "micro_recall", "rows", "judged", "without_prediction"):
        print(f"{name}\t{record[name]}")
    print(parsed.out / "ec.json")
    return 0


def _show_config(parsed: argparse.Namespace) -> int:
    import yaml

    from gemforest.config import described_keys

    if parsed.keys:
        for key, described in described_keys():
            print(f"{key}: {described.get('default')!s}\n    {described.get('description', '')}")
        return 0
    print(yaml.safe_dump(_context(parsed).config, sort_keys=False).rstrip())
    return 0


def _console() -> Console:
    """The terminal; a file or a pipe gets lines wide enough for whole words."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)


def _leave_word(parsed: argparse.Namespace, error: Exception) -> None:
    """A shard job that stops says why in `logs/<stage>/shard=NNNN.error.json`."""
    if not getattr(parsed, "shard", None):
        return
    import contextlib
    import json

    from gemforest.store import write_text

    path = parsed.project / "logs" / parsed.name / f"shard={parsed.shard}.error.json"
    word = {"stage": parsed.name, "shard": parsed.shard, "error": type(error).__name__, "detail": str(error)}
    # The disk may be full: the word on standard error remains.
    with contextlib.suppress(OSError):
        write_text(path, json.dumps(word, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
