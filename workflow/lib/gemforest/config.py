"""The config: read, checked against `workflow/schemas/config.schema.yaml`, completed with its defaults.

The schema is the one place where a key, its default and its meaning are stated. Every problem is reported at once,
with the key, the value, what was expected, and for an unknown key the nearest known one.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gemforest.errors import InputError

WORKFLOW = Path(__file__).resolve().parents[2]
SCHEMA = WORKFLOW / "schemas" / "config.schema.yaml"

Config = dict[str, Any]


@cache
def schema() -> dict[str, Any]:
    """The config's JSON Schema."""
    loaded: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return loaded


def load_config(path: Path) -> Config:
    """Read a YAML or JSON config; InputError with all problems where it is wrong."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such config file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected YAML, found: {error}") from None
    return complete(raw, str(path))


def complete(raw: object, name: str = "config") -> Config:
    """Check `raw` against the schema and fill in the defaults; `name` is what errors call it."""
    if raw is None:
        raw = {}
    problems = [f"{name}: {problem}" for problem in _problems(raw)]
    if problems:
        raise InputError("\n".join(problems))
    assert isinstance(raw, Mapping)
    completed: Config = _with_defaults(schema(), raw)
    return completed


def parameter(config: Mapping[str, Any], key: str) -> Any:
    """Value of a dotted key, such as `draft.engine`."""
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


def described_keys() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each dotted key that holds a value, with its part of the schema."""
    yield from _leaves(schema(), "")


def _problems(raw: object) -> Iterator[str]:
    # Imported here: a shard job reads a config that was checked when it was written.
    from jsonschema import Draft202012Validator

    for error in sorted(Draft202012Validator(schema()).iter_errors(raw), key=lambda e: list(map(str, e.absolute_path))):
        where = ".".join(str(part) for part in error.absolute_path) or "top level"
        if error.validator == "additionalProperties":
            known = list(error.schema["properties"])
            for key in sorted(set(map(str, error.instance)) - set(known)):
                near = difflib.get_close_matches(key, known, n=1)
                mend = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
                yield f"{where}: unknown key {key!r}; {mend}"
        else:
            yield f"{where}: {error.message}; {error.schema.get('description', 'see config/README.md')}"


def _with_defaults(part: Mapping[str, Any], raw: Any) -> Any:
    if part.get("type") != "object":
        return raw
    filled = {}
    for key, sub in part["properties"].items():
        if key in raw:
            filled[key] = _with_defaults(sub, raw[key])
        elif "default" in sub:
            filled[key] = sub["default"]
        else:
            filled[key] = _with_defaults(sub, {})
    return filled


def _leaves(part: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, sub in part["properties"].items():
        if sub.get("type") == "object":
            yield from _leaves(sub, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", sub


def to_text(config: Mapping[str, Any]) -> str:
    """The config as canonical JSON text, for the file that jobs read."""
    return json.dumps(config, indent=1, sort_keys=True) + "\n"


def from_text(text: str) -> Config:
    """The config that `to_text` wrote; it is not checked again."""
    loaded: Config = json.loads(text)
    return loaded
