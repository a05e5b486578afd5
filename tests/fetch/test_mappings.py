"""`gemforest resources fetch` against a server on the loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from projects import CACHE

from gemforest.errors import InfrastructureError
from gemforest.evidence.ecreactions import modelseed_ecs, modelseed_names, ortholog_ecs, reaction_ecs
from gemforest.mappings import PINS, coverage_lines, fetch_mappings
from gemforest.stage import Context

SHEET = "genome_id\tsource\ng\tcarveme:M_genitalium_G37\n"
REACTIONS = (
    "#ID\tmnx_equation\treference\tclassifs\tis_balanced\tis_transport\nMNXR9\t1 A = 1 B\tx:1\t2.7.1.11;1.1.1.5\tB\t\n"
)
NAMES = (
    "#source\tID\tdescription\nbigg.reaction:DUMMYRXN\tMNXR9\tx\nbiggR:OTHERRXN\tMNXR9\tx\nkegg.reaction:R1\tMNXR9\tx\n"
)


class Files(BaseHTTPRequestHandler):
    """Serves `content`; anything else is 404."""

    content: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = self.content.get(self.path.lstrip("/"))
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Files.content = {"reac_prop.tsv": REACTIONS.encode(), "reac_xref.tsv": NAMES.encode()}
    Files.asked = []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def made(project: Callable[..., Context], server: str, sums: dict[str, str]) -> Context:
    files = [{"name": name, "url": f"{server}/{name}", "sha256": sums.get(name, "")} for name in Files.content]
    return project(SHEET, evidence={"mapping": "mapping", "mapping_files": files})


def test_tables_come_once_and_reach_more_reactions(project: Callable[..., Context], server: str) -> None:
    context = made(project, server, {})
    folder = context.project / "mapping"
    assert "DUMMYRXN" not in reaction_ecs("bacteria", folder, CACHE)
    fetch_mappings(context)
    ecs = reaction_ecs("bacteria", folder, CACHE)
    # 1.1.1.5 was transferred to 1.1.1.303 and 1.1.1.304 (ENZYME).
    assert ecs["DUMMYRXN"] == ecs["OTHERRXN"] == ("1.1.1.303", "1.1.1.304", "2.7.1.11")
    assert all("here already" in line for line in fetch_mappings(context))
    assert len(Files.asked) == 2


def test_what_differs_from_its_sum_is_refused_and_leaves_nothing(project: Callable[..., Context], server: str) -> None:
    context = made(project, server, {"reac_prop.tsv": "0" * 64})
    with pytest.raises(InfrastructureError, match=r"expected SHA-256 0000.*found [0-9a-f]{64}"):
        fetch_mappings(context)
    assert not (context.project / "mapping" / "reac_prop.tsv").exists()


def test_a_stated_sum_is_met(project: Callable[..., Context], server: str) -> None:
    sums = {name: sha256(body).hexdigest() for name, body in Files.content.items()}
    context = made(project, server, sums)
    fetch_mappings(context)
    assert not (context.project / "mapping" / PINS).exists()


def test_a_file_that_changed_since_it_was_pinned_is_refused(project: Callable[..., Context], server: str) -> None:
    context = made(project, server, {})
    fetch_mappings(context)
    (context.project / "mapping" / "reac_prop.tsv").unlink()
    Files.content["reac_prop.tsv"] = b"#other\n"
    with pytest.raises(InfrastructureError, match=PINS):
        fetch_mappings(context)


def test_a_server_without_the_file_is_told(project: Callable[..., Context], server: str) -> None:
    context = made(project, server, {})
    del Files.content["reac_xref.tsv"]
    with pytest.raises(InfrastructureError, match=r"404.*evidence works without"):
        fetch_mappings(context)


def test_coverage_is_told_without_tables(project: Callable[..., Context]) -> None:
    lines = coverage_lines(project(SHEET, evidence={"mapping": "nowhere"}), ["bacteria"])
    assert "none" in lines[0] and "resources fetch" in lines[-1]
    assert any("bacteria: EC numbers lead to 16" in line and "(29%)" in line for line in lines)


def test_modelseeds_tables_and_a_table_of_orthologs_are_read(tmp_path: Path) -> None:
    (tmp_path / "ecs").write_text("ModelSEED ID\tExternal ID\tSource\nrxn1\t2.7.1.11\tEnzyme Class\n")
    (tmp_path / "names").write_text("ModelSEED ID\tExternal ID\tSource\nrxn1\tPFK\tBiGG\nrxn1\tR0\tKEGG\n")
    assert modelseed_ecs(tmp_path / "ecs") == {"rxn1": ("2.7.1.11",)}
    assert modelseed_names(tmp_path / "names") == {"rxn1": ("PFK",)}
    assert ortholog_ecs(tmp_path) == {}
    (tmp_path / "ko_ec.tsv").write_text("ko:K00850\tec:2.7.1.11\n")
    assert ortholog_ecs(tmp_path) == {"K00850": ("2.7.1.11",)}


def test_a_table_of_another_form_is_told(tmp_path: Path) -> None:
    (tmp_path / "ko_ec.tsv").write_text("<html>\n")
    with pytest.raises(InfrastructureError, match="line 1"):
        ortholog_ecs(tmp_path)
