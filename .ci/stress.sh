#!/usr/bin/env bash
# Runs every stress program for STRESS_SECONDS (2) in each mode on 1, 2 and 4 hubs: started greenlets stay, migrate, and
# move at every resume. A line each; what a failing one printed, seed included, comes whole. `.ci/stress.sh NAME...` runs
# only those.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${STRESS_SECONDS:-2}"
programs=(spawn steal unpark kill timeout descriptors runtimes mixed)
if [ $# -gt 0 ]; then programs=("$@"); fi

cargo build --quiet --release -p greenhub-stress
directory="${CARGO_TARGET_DIR:-target}/release"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=0
for program in "${programs[@]}"; do
    for mode in stay migrate every; do
        arguments=()
        variables=(-u GREENHUB_MIGRATE)
        if [ "$mode" != stay ]; then arguments=(--migrate); fi
        if [ "$mode" = every ]; then variables=(GREENHUB_MIGRATE=every); fi
        for hubs in 1 2 4; do
            status=0
            env "${variables[@]}" timeout --kill-after=5 $((seconds + 90)) "$directory/$program" \
                --seconds "$seconds" --hubs "$hubs" ${arguments[@]+"${arguments[@]}"} >"$output" 2>&1 || status=$?
            if [ "$status" -eq 0 ]; then
                printf '%-8s %s\n' "$mode" "$(tail -n 1 "$output")"
            else
                failed=$((failed + 1))
                echo "$mode: $program on $hubs hubs FAILED (exit $status)"
                cat "$output"
            fi
        done
    done
done
if [ "$failed" -ne 0 ]; then
    echo "stress: $failed runs failed"
    exit 1
fi
