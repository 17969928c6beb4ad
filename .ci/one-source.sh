#!/usr/bin/env bash
# Models run the shipping source. Lists the files of `runtime/src` that are compiled both in an ordinary build and with
# `--cfg greenhub_loom`, and fails if one of them looks at that cfg in its code, or if models compile a file that ordinary
# builds do not: no primitive has a second implementation. What may: the façade, which is the switch between the two
# worlds; the root, which picks hub, runtime and stack; what lies where the stand-ins lie; and lines that do no more than
# include a module in one build or the other (`mod`, `pub use`, `pub(crate) use`).
set -euo pipefail
cd "$(dirname "$0")/.."

# What stands in for something in models: its own files are not shared.
stand_ins='^(model|facade/modelled)(/|\.rs)'
# Where the cfg may decide between two pieces of code, and why.
allowed=(
    'facade.rs'                # picks the façade
    'lib.rs'                   # picks hub, runtime and stack
    'greenlet/switch/mod.rs'   # picks the switch
)

# The files of a build, from what the compiler says it has read.
files_of() { # directory, cargo's words...
    local directory=$1 listing
    shift
    "$@" --target-dir "$directory" >&2
    # Of the library, not of its tests.
    listing=$(ls -t "$directory"/debug/deps/greenhub-*.d | xargs grep -l '/libgreenhub-' | head -n 1)
    tr ' ' '\n' <"$listing" | sed -n 's|^.*runtime/src/\(.*\.rs\):\{0,1\}$|\1|p' | sed ':again; s|[^/]*/\.\./||; t again' | sort -u
}

ordinary=$(mktemp)
modelled=$(mktemp)
trap 'rm -f "$ordinary" "$modelled"' EXIT
files_of target cargo check --quiet -p greenhub >"$ordinary"
RUSTFLAGS="${RUSTFLAGS:-} --cfg greenhub_loom" files_of target/loom cargo check --quiet -p greenhub >"$modelled"

status=0
shared=0
while IFS= read -r file; do
    shared=$((shared + 1))
    # A cfg is harmless in a comment, for tests, and on a line that includes a module or a name.
    forks=$(awk -v comment='^ *//' '
        $0 ~ comment { next }
        pending && /^ *(pub(\([a-z]+\))? )?(mod [a-z0-9_]+;|use )/ { pending = ""; next }
        pending { print pending; pending = "" }
        /greenhub_loom/ {
            if ($0 ~ /all\(test, (not\()?greenhub_loom/) next
            if ($0 ~ /^ *#\[cfg\((not\()?greenhub_loom\)?\)\]$/) { pending = FILENAME ":" FNR ": " $0; next }
            print FILENAME ":" FNR ": " $0
        }
        END { if (pending) print pending }
    ' "runtime/src/$file")
    [ -z "$forks" ] && continue
    for name in "${allowed[@]}"; do
        [ "$file" = "$name" ] && continue 2
    done
    printf '%s\n' "$forks"
    status=1
done < <(comm -12 "$ordinary" "$modelled" | grep -Ev "$stand_ins")

if [ "$shared" -lt 50 ] || ! comm -12 "$ordinary" "$modelled" | grep -qx 'sync/raw_mutex.rs'; then
    echo "one-source: only $shared files are compiled in both builds; the lists are wrong, or models run something else"
    exit 1
fi
# A file that only models compile would be a second implementation.
second=$(comm -13 "$ordinary" "$modelled" | grep -Ev "$stand_ins" || true)
if [ -n "$second" ]; then
    printf '%s\n' "$second"
    echo "one-source: only models compile this, and it does not lie where what stands in for something lies"
    exit 1
fi
if [ "$status" -ne 0 ]; then
    echo "one-source: a file of both builds looks at the cfg: what differs belongs into the façade"
    exit 1
fi
comm -12 "$ordinary" "$modelled" | grep -Ev "$stand_ins" | column -c 120
echo "one-source: $shared files are compiled in both builds and look at no cfg"
