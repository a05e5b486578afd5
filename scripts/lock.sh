#!/bin/sh
# Rebuild the lock files from pyproject.toml; needs pip-tools. torch stays apart (requirements-torch.lock): its CPU and
# CUDA builds have other hashes and other dependencies.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python - "$folder" <<'EOF'
import pathlib, sys, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
folder = pathlib.Path(sys.argv[1])
# What torch itself needs, whatever its build, and what builds this package.
also = ["filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions", "setuptools>=77", "wheel"]
needed = [line for line in project["dependencies"] if not line.startswith("torch")]
(folder / "run.in").write_text("\n".join(needed + also) + "\n")
(folder / "dev.in").write_text("\n".join(["-c run.lock", *project["optional-dependencies"]["dev"]]) + "\n")
EOF
options="--quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --no-annotate"
cp requirements.lock "$folder/run.lock" 2>/dev/null || true
cp requirements-dev.lock "$folder/dev.lock" 2>/dev/null || true
(cd "$folder" && pip-compile $options --output-file run.lock run.in && pip-compile $options --output-file dev.lock dev.in)
cp "$folder/run.lock" requirements.lock
cp "$folder/dev.lock" requirements-dev.lock
