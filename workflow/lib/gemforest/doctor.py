"""`gemforest doctor`: is everything here that a run needs, and if not, what mends it.

Each check looks at one thing and says what it found; a failed one names the mend. Nothing is changed. The command ends
with 1 where a run would fail, with 0 otherwise; what is only worth knowing is a remark.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from gemforest.carveme_files import carveme_data
from gemforest.config import WORKFLOW, Config, load_config
from gemforest.errors import GemforestError

PYTHON_FROM, PYTHON_BELOW = (3, 11), (3, 13)
DIAMOND_FROM = (2, 0, 15)
# A generous guess for all tables, models and the atlas; `results/` of the shipped genomes shows the real figure.
BYTES_PER_GENOME = 4_000_000
FILES_PER_GENOME = 20
LEAST_FREE_BYTES = 1_000_000_000
# Distributions whose terms reach beyond their own code; all licences are printed, these with a word.
TERMS = {
    "carveme": "its reactions, rules and media derive from BiGG: education, research and non-profit use",
    "pyrodigal": "GPL-3: its terms apply to bundles that contain it",
}
PACKAGES = (
    "snakemake", "carveme", "pyarrow", "numpy", "scipy", "highspy", "cobra", "reframed", "pyrodigal", "biopython",
    "pebble", "duckdb", "jsonschema", "pyyaml", "rich", "httpx", "tenacity", "rdkit", "matplotlib",
)  # fmt: skip
OPTIONAL_PACKAGES = {
    "torch": "only the embed stage needs it",
    "fair-esm": "only the embed stage needs it",
    "snakemake-executor-plugin-slurm": "only SLURM clusters need it",
}


class Verdict(StrEnum):
    """What a check says: fine, worth knowing, or a run would fail."""

    OK = "ok"
    REMARK = "remark"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found and, unless it is fine, what mends it."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


def examine(project: Path, config_path: Path) -> list[Check]:
    """All checks of a machine and a project folder, in the order in which they matter."""
    checks = [_python(), *_packages(), _diamond(), _solver(), *_carveme_files(), *_resources(), _gpu()]
    config, check = _config(config_path)
    checks.append(check)
    if config is not None:
        genomes, sheet_checks = _sheets(project, config)
        checks += sheet_checks
        checks += _room(project / config["results"], genomes)
    return checks


def licences() -> list[tuple[str, str, str]]:
    """Distribution, licence and a word on its terms, for what is installed of the packages used."""
    rows = []
    for name in (*PACKAGES, *OPTIONAL_PACKAGES):
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue
        rows.append((name, _licence(about), TERMS.get(name, "")))
    return rows


def _licence(about: metadata.PackageMetadata) -> str:
    expression = str((about.get_all("License-Expression") or [""])[0]).strip()
    if expression:
        return expression
    # Some put the whole text of their licence into this field.
    stated = (about.get_all("License") or [""])[0].strip().split("\n")[0]
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or [] if c.startswith("License")]
    return stated if 0 < len(stated) < 60 else ", ".join(classifiers) or "not stated; see its own documentation"


def as_text(checks: list[Check]) -> str:
    """One line a check; the mend below it."""
    lines = []
    for check in checks:
        lines.append(f"{check.verdict:<7} {check.name:<22} {check.found}")
        if check.mend:
            lines.append(f"{'':<31}-> {check.mend}")
    failed = sum(check.verdict is Verdict.FAILED for check in checks)
    lines.append("all that a run needs is here" if not failed else f"{failed} of {len(checks)} checks failed")
    return "\n".join(lines)


def as_records(checks: list[Check]) -> list[dict[str, str]]:
    """The checks as plain dictionaries, for JSON."""
    return [asdict(check) for check in checks]


def exit_code(checks: list[Check]) -> int:
    """1 where a run would fail."""
    return int(any(check.verdict is Verdict.FAILED for check in checks))


def _python() -> Check:
    version = sys.version.split()[0]
    if PYTHON_FROM <= sys.version_info[:2] < PYTHON_BELOW:
        return Check("Python", Verdict.OK, f"{version} at {sys.executable}")
    wanted = f"{'.'.join(map(str, PYTHON_FROM))} up to, not including, {'.'.join(map(str, PYTHON_BELOW))}"
    return Check("Python", Verdict.FAILED, version, f"install Python {wanted}, then `make run` builds the environment")


def _packages() -> Iterator[Check]:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Check(
            "packages", Verdict.FAILED, f"missing: {', '.join(missing)}", "install the lock file of the project"
        )
    else:
        yield Check("packages", Verdict.OK, ", ".join(found))
    for name, why in OPTIONAL_PACKAGES.items():
        try:
            yield Check(name, Verdict.OK, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, Verdict.REMARK, "not installed", f"{why}: pip install {name}")


def _diamond() -> Check:
    mend = "`apt-get install diamond-aligner`, or `conda install -c bioconda diamond`"
    program = shutil.which("diamond")
    if not program:
        return Check("DIAMOND", Verdict.FAILED, "not on the PATH", mend)
    try:
        said = subprocess.run(
            [program, "version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Check("DIAMOND", Verdict.FAILED, f"{program} does not run: {error}", f"install it again: {mend}")
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    if not numbers or tuple(map(int, numbers.groups())) < DIAMOND_FROM:
        wanted = ".".join(map(str, DIAMOND_FROM))
        return Check("DIAMOND", Verdict.FAILED, f"{said} at {program}", f"version {wanted} or newer: {mend}")
    return Check("DIAMOND", Verdict.OK, f"{numbers.group()} at {program}")


def _solver() -> Check:
    """Solve max x + y, x + 2y <= 4, 3x + y <= 6: the constraints cross at x = 1.6, y = 1.2, so the optimum is 2.8."""
    import numpy as np

    try:
        from gemforest.lp import LinearProgram

        version = metadata.version("highspy")
        matrix, limits = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([4.0, 6.0])
        free = np.full(2, np.inf)
        program = LinearProgram(matrix, np.zeros(2), free, -free, limits, costs=np.ones(2), maximize=True)
        value = program.solve().objective
    except (ImportError, metadata.PackageNotFoundError) as error:
        return Check("HiGHS", Verdict.FAILED, f"cannot be used: {error}", "install the lock file of the project")
    if not abs(value - 2.8) < 1e-6:
        return Check("HiGHS", Verdict.FAILED, f"a test problem gives {value}, expected 2.8", "install it again")
    return Check("HiGHS", Verdict.OK, f"{version}, solves a test problem")


def _carveme_files() -> Iterator[Check]:
    """The databases that carveme ships, against the checksums that pip wrote down when it installed them."""
    try:
        database = carveme_data("generated/bigg_proteins.dmnd")
        recorded = {Path(str(f.locate())): f.hash for f in metadata.files("carveme") or [] if f.hash}
    except (GemforestError, metadata.PackageNotFoundError) as error:
        yield Check("carveme data", Verdict.FAILED, str(error), "install the lock file of the project")
        return
    damaged, checked = [], 0
    for path, stated in recorded.items():
        if "data" in path.parts and path.parent.name == "generated":
            checked += 1
            if not path.is_file() or _digest(path, stated.mode) != stated.value:
                damaged.append(path.name)
    if damaged or not database.is_file():
        what = ", ".join(damaged) or database.name
        mend = f"pip install --force-reinstall --no-deps carveme=={metadata.version('carveme')}"
        yield Check("carveme data", Verdict.FAILED, f"missing or changed since it was installed: {what}", mend)
    elif not checked:
        yield Check("carveme data", Verdict.REMARK, "there, without recorded checksums", "reinstall carveme with pip")
    else:
        yield Check("carveme data", Verdict.OK, f"{checked} files as installed")


def _digest(path: Path, algorithm: str) -> str:
    """Digest as pip records it: base64 for URLs, without padding."""
    with path.open("rb") as handle:
        return base64.urlsafe_b64encode(hashlib.file_digest(handle, algorithm).digest()).rstrip(b"=").decode()


def _resources() -> Iterator[Check]:
    manifest = WORKFLOW.parent / "resources" / "MANIFEST.tsv"
    if not manifest.is_file():
        return
    lines = [
        line.split("\t") for line in manifest.read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")
    ]
    header, rows = lines[0], lines[1:]
    if not {"path", "sha256"} <= set(header):
        yield Check(
            "resources", Verdict.FAILED, f"{manifest.name} lacks the columns path and sha256", "check it out again"
        )
        return
    wrong = []
    for row in rows:
        entry = dict(zip(header, row, strict=False))
        path = manifest.parent / entry["path"]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            wrong.append(entry["path"])
    if wrong:
        yield Check("resources", Verdict.FAILED, f"missing or changed: {', '.join(wrong)}", "git checkout resources")
    else:
        yield Check("resources", Verdict.OK, f"{len(rows)} files as in {manifest.name}")


def _gpu() -> Check:
    program = shutil.which("nvidia-smi")
    if not program:
        return Check("GPU", Verdict.REMARK, "none found; embedding runs on the CPU")
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return Check("GPU", Verdict.REMARK, "nvidia-smi does not answer; embedding runs on the CPU", "check the driver")
    return Check("GPU", Verdict.OK, "; ".join(said.splitlines()))


def _config(path: Path) -> tuple[Config | None, Check]:
    try:
        config = load_config(path)
    except GemforestError as error:
        return None, Check("config", Verdict.FAILED, str(error), "mend the lines named; `gemforest config --show`")
    return config, Check("config", Verdict.OK, str(path))


def _sheets(project: Path, config: Config) -> tuple[int, list[Check]]:
    """Number of genomes, and the checks of media and sheet."""
    from gemforest.media import read_media
    from gemforest.sheet import read_sheet

    try:
        media = read_media(project / config["media"])
    except GemforestError as error:
        return 0, [Check("media", Verdict.FAILED, str(error), "mend the rows named")]
    checks = [Check("media", Verdict.OK, f"{len(media.names())} media in {config['media']}")]
    try:
        sheet = read_sheet(project / config["genomes"], media=media.names())
    except GemforestError as error:
        return 0, [*checks, Check("sheet", Verdict.FAILED, str(error), "mend the rows named")]
    genomes = sheet.genomes.num_rows
    checks.append(Check("sheet", Verdict.OK, f"{genomes:,} genomes in {config['genomes']}"))
    checks += [Check("sheet", Verdict.REMARK, note) for note in sheet.notes[:10]]
    return genomes, checks


def _room(results: Path, genomes: int) -> Iterator[Check]:
    folder = next(parent for parent in (results, *results.resolve().parents) if parent.exists())
    if not os.access(folder, os.W_OK) or os.statvfs(folder).f_flag & os.ST_RDONLY:
        mend = "make it writable, or name another folder with `results:` in the config"
        yield Check("results folder", Verdict.FAILED, f"{folder} cannot be written", mend)
        return
    state = os.statvfs(folder)
    free, needed = state.f_bavail * state.f_frsize, max(LEAST_FREE_BYTES, genomes * BYTES_PER_GENOME)
    yield _enough("disk", f"{free / 1e9:,.1f} GB", f"{needed / 1e9:,.1f} GB", free >= needed, folder)
    if state.f_files:
        files = genomes * FILES_PER_GENOME
        yield _enough("inodes", f"{state.f_favail:,} files", f"{files:,} files", state.f_favail >= files, folder)


def _enough(name: str, free: str, needed: str, enough: bool, folder: Path) -> Check:
    found = f"{free} free at {folder}, about {needed} needed"
    if enough:
        return Check(name, Verdict.OK, found)
    return Check(name, Verdict.FAILED, found, "make room, or name another folder with `results:` in the config")
