#!/usr/bin/env bash
# Puts wan2gp-svi into WanGP:               bash install.sh [--wangp DIR]
# takes it out, looks at it, updates WanGP:  bash install.sh uninstall | status | update
# runs another of its commands:              bash install.sh plan --frames 400
# or shows it on a machine without WanGP:    bash install.sh --demo [--image photo.jpg ...]
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
        make_venv "$here/.venv-demo" "$here/constraints/demo.txt"
        run demo "$@"
        ;;
    [a-z]*) command=$1 && shift ;;
esac

# The WanGP folder is looked for here only to find its own Python; the installer decides.
named=${WANGP_DIR:-}
for ((i = 1; i < $#; i++)); do
    [ "${!i}" = --wangp ] && i=$((i + 1)) && named=${!i}
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
