#!/usr/bin/env bash
# Runs every stress program for STRESS_SECONDS (10) in each mode (started greenlets stay, migrate, and move at every
# resume), the time split over 1, 2 and 4 hubs. `million` runs one round a mode at least, on 2 hubs. A line each; what a
# failing one printed, seed included, comes whole. `.ci/stress.sh NAME...` runs only those. With STRESS_SOAK=1 each run is
# a soak as well: what the process holds must stay flat (give it STRESS_SECONDS=300 or more).
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${STRESS_SECONDS:-10}"
programs=(spawn steal unpark biased kill timeout descriptors connections emfile stacks stuck runtimes mixed million)
if [ $# -gt 0 ]; then programs=("$@"); fi
soak=()
if [ "${STRESS_SOAK:-0}" != 0 ]; then soak=(--soak); fi

cargo build --quiet --release -p greenhub-stress
directory="${CARGO_TARGET_DIR:-target}/release"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=0
for program in "${programs[@]}"; do
    # Hubs and their share of the time, in tenths.
    shares=(1:2 2:4 4:4)
    if [ "$program" = million ]; then shares=(2:1); fi
    for mode in stay migrate every; do
        arguments=(${soak[@]+"${soak[@]}"})
        variables=(-u GREENHUB_MIGRATE)
        if [ "$mode" != stay ]; then arguments+=(--migrate); fi
        if [ "$mode" = every ]; then variables=(GREENHUB_MIGRATE=every); fi
        for share in "${shares[@]}"; do
            hubs="${share%:*}"
            length=$((seconds * ${share#*:} / 10))
            if [ "$length" -lt 1 ]; then length=1; fi
            status=0
            env "${variables[@]}" timeout --kill-after=5 $((length + 180)) "$directory/$program" \
                --seconds "$length" --hubs "$hubs" ${arguments[@]+"${arguments[@]}"} >"$output" 2>&1 || status=$?
            # What was left out, and what a soak saw, is said too.
            grep -E '^(SKIPPED|soak):' "$output" || true
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
