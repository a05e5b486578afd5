"""The page: style, libraries, program and data in one HTML file; what is large goes to files beside it.

Data are JSON, deflated and in base64: a tenth of the size, and no text of a sheet or a FASTA header can end the element
that holds it. The program writes every such text as text, never as markup. Sidecar files are scripts, because a page
opened from a folder may load scripts beside it but not fetch files.
"""

from __future__ import annotations

import base64
import html
import json
import zlib
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parent / "assets"
LIBRARIES = ("d3.min.js", "plot.min.js", "table-core.min.js")
PROGRAM = ("elements.js", "tables.js", "plots.js", "map.js", "overview.js", "collection.js", "genome.js",
           "compare.js", "app.js")  # fmt: skip


def pack(value: Any) -> str:
    """JSON, deflated, in base64."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def sidecar(blocks: dict[str, str], stamp: str = "") -> str:
    """A script that hands packed blocks to the page; its first line says what it was made of."""
    return f"{stamped(stamp)}gemforest.receive({json.dumps(blocks)});\n"


def stamped(stamp: str) -> str:
    """The first line of a sidecar."""
    return f"// {stamp}\n" if stamp else ""


def assemble(title: str, blocks: dict[str, str]) -> str:
    """The whole page with its packed blocks."""
    template = _asset("page.html")
    data = "".join(
        f'<script type="text/plain" id="data:{html.escape(name)}">{block}</script>\n' for name, block in blocks.items()
    )
    data += f'<script type="text/plain" id="licences">\n{_script("LICENSES.txt")}\n</script>\n'
    scripts = "".join(f"<script>\n{_script(name)}\n</script>\n" for name in (*LIBRARIES, *PROGRAM))
    # one pass, so that nothing that was put in is looked at again
    pieces = template.split("{{")
    filled = [pieces[0]]
    values = {"title": html.escape(title), "style": _asset("style.css"), "data": data, "scripts": scripts}
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        filled += [values[name.strip()], rest]
    return "".join(filled)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _script(name: str) -> str:
    """A script as it may stand in a page; a pointer to a source map would be a file that is not there."""
    lines = [line for line in _asset(name).splitlines() if not line.startswith("//# sourceMappingURL=")]
    text = "\n".join(lines)
    if "</script" in text.lower():
        raise ValueError(f"{name} holds '</script' and would end its element")
    return text
