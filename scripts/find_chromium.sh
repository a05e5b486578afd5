#!/bin/sh
# Make sure that a Chromium is there, in which the tests open the report; without one those tests are skipped.
set -eu
if command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Chromium is missing: installing Debian's package chromium."
    apt-get install -y -qq chromium >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || true
fi
command -v chromium >/dev/null 2>&1 ||
    echo "Chromium was not found and could not be installed: the tests that open the report in a browser are skipped." >&2
