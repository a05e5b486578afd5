#!/bin/sh
# Make sure that DIAMOND is on the PATH; install it where a package manager can, or say how to get it.
set -eu
bin="$(dirname "$0")/../.venv/bin"
if command -v diamond >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "DIAMOND is missing: installing Debian's package diamond-aligner."
    apt-get install -y -qq diamond-aligner >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq diamond-aligner >/dev/null; } || true
fi
for manager in micromamba mamba conda; do
    if ! command -v diamond >/dev/null 2>&1 && command -v "$manager" >/dev/null 2>&1; then
        echo "DIAMOND is missing: installing it with $manager into .venv/diamond."
        "$manager" create -y -q -p "$bin/../diamond" -c conda-forge -c bioconda diamond >/dev/null &&
            ln -sf "$(cd "$bin/../diamond/bin" && pwd)/diamond" "$bin/diamond" || true
    fi
done
command -v diamond >/dev/null 2>&1 || {
    echo "DIAMOND was not found and could not be installed: run 'apt-get install diamond-aligner' as root, or 'conda install -c bioconda diamond', then try again." >&2
    exit 1
}
