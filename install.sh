#!/usr/bin/env bash
# Puts wan2gp-svi into WanGP:               bash install.sh [--wangp DIR]
# takes it out, looks at it, updates WanGP:  bash install.sh uninstall | status | update
# runs another of its commands:              bash install.sh plan --frames 400
# or shows it on a machine without WanGP:    bash install.sh --demo [--image photo.jpg ...]
# All of them, with their options:           bash install.sh --help
if [ -z "${BASH_VERSION:-}" ]; then # "sh install.sh"
    command -v bash >/dev/null 2>&1 && exec bash "$0" "$@"
    echo "wan2gp-svi: This script needs bash, and there is none. Install it and run this again." >&2
    exit 1
fi
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/tools/python.sh"
started_in=$PWD

run() { # COMMAND... : this package's, whatever folder we are in; paths count from that folder
    exec "$python" -c 'import sys; sys.path.insert(0, sys.argv.pop(1))
from wan2gp_svi.cli import main
sys.exit(main())' "$here" "$@"
}

command=install
case ${1:-} in
    --demo | demo)
        shift
        for word in "$@"; do
            case $word in -h | --help) find_python && run demo --help ;; esac
        done
        needs="The demo needs 1.3 GB of disk there, most of it PyTorch. When you are done, delete it."
        case $(uname -s 2>/dev/null) in
            Linux) needs+="
On Linux pip's usual index has PyTorch for NVIDIA cards only, with several GB more of libraries. If
that is too much, stop this (Ctrl+C), set PIP_EXTRA_INDEX_URL to PyTorch's index for the CPU
(pytorch.org shows it under Get Started, CPU), and run this again." ;;
        esac
        make_venv "$here/.venv-demo" "$here/constraints/demo.txt" "$needs"
        run demo "$@"
        ;;
    -h | --help | --version) command=$1 && shift ;;
    [a-z]*) command=$1 && shift ;;
esac

# The WanGP folder is looked for here only to find its own Python; the installer decides.
named=${WANGP_DIR:-}
for word in "$command" "$@"; do
    word=${word#--wangp=}
    if [ -f "$word/wgp.py" ] || [ -f "$word/app/wgp.py" ]; then named=$word; fi
done
named=${named//\"/}
pythons=()
for folder in ${named:+"$named" "$named/app"} "$here/.." "$here/../app" "$started_in" \
    "$here/../.." "$here/../../app" "$here/../../.." "$here/../../../app"; do
    [ -f "$folder/wgp.py" ] || continue
    for environment in venv .venv env ../env env_venv env_uv env_conda; do
        pythons+=("$folder/$environment/bin/python")
    done
done
find_python ${pythons[@]+"${pythons[@]}"} ${CONDA_PREFIX:+"$CONDA_PREFIX/bin/python"}
run "$command" "$@"
