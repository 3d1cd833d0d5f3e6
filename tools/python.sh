# shellcheck shell=bash
# For the scripts of this project: `. tools/python.sh`. Finds a Python, makes virtual environments.

fail() { # SENTENCE
    printf 'wan2gp-svi: %s\n' "$1" >&2
    exit 1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }

find_python() { # CANDIDATE... : sets $python to the first that is Python 3.10 or newer
    local candidate said old=""
    for candidate in "${PYTHON:-}" "$@" python3 python3.13 python3.12 python3.11 python3.10 python; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        if new_enough "$candidate"; then
            python=$candidate
            return
        fi
        # One that cannot even say its version (a broken venv, an idle pyenv shim) is passed over.
        if said=$("$candidate" --version 2>&1); then old=${old:-$said}; fi
    done
    fail "Python 3.10 or newer is needed, and ${old:-no Python} was found. Install a newer one, or\
 name it: PYTHON=/path/to/python3 bash install.sh"
}

make_venv() { # FOLDER REQUIREMENTS [NEEDS] : sets $python to the one inside; quick when all is
    # there, else says first what it NEEDS
    local folder=$1 requirements=$2 log said
    log=$folder/pip.log
    if [ -x "$folder/bin/python" ] && cat "$(dirname "$requirements")"/*.txt |
        cmp -s - "$folder/installed.txt"; then
        python=$folder/bin/python
        return
    fi
    find_python
    [ ! -L "$folder" ] || fail "$folder is a link. What it leads to is not emptied: remove the link\
 and run this again."
    printf 'Preparing %s with %s; the first time takes some minutes.\n' "$folder" "$python"
    [ -z "${3:-}" ] || printf '%s\n' "$3"
    said=$("$python" -m venv --clear "$folder" 2>&1) || explain "$said"
    python=$folder/bin/python
    said=$("$python" -m pip install --disable-pip-version-check --no-input \
        --log "$log" -r "$requirements" 2>&1) || explain "$said" "$log"
    cat "$(dirname "$requirements")"/*.txt >"$folder/installed.txt"
}

explain() { # OUTPUT [LOG] : one sentence for what went wrong, then stop
    local more=${2:+ All that pip said is in $2.}
    case $1 in
        *"No space left"* | *"not enough space"*)
            fail "The disk is full: the packages need about 2 GB. Make room and run this again." ;;
        *"name resolution"* | *"NewConnectionError"* | *"Network is unreachable"* | \
            *"ConnectionError"* | *"timed out"* | *"Could not fetch URL"* | *"getaddrinfo"*)
            fail "The packages could not be fetched: the network is away, or pip may not reach its\
 index. Connect and run this again; what is there already is kept.$more" ;;
        *ensurepip* | *"No module named venv"*)
            fail "This Python cannot make virtual environments. Install its venv package (Debian,\
 Ubuntu: python3-venv) and run this again." ;;
        *"No matching distribution"*)
            fail "pip's index has no package for this Python and machine:\
 $(printf '%s\n' "$1" | grep 'No matching' | head -n 1).$more" ;;
    esac
    printf '%s\n' "$1" | tail -n 15 >&2
    fail "The packages could not be installed; the lines above say why.$more"
}
