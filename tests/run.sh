#!/usr/bin/env bash
# Everything that must hold, on a bare machine: bash tests/run.sh [pytest's own arguments]
# Makes .venv-test once. Tests of the real WanGP run when WANGP_DIR names a folder of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/python.sh
make_venv "$PWD/.venv-test" constraints/test.txt
"$python" -m ruff format --check .
"$python" -m ruff check .
"$python" -m mypy
"${python%/*}/lint-imports" --no-cache
exec "$python" -m pytest "$@"
