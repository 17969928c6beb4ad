#!/usr/bin/env bash
# Runs every loom model of the runtime's protocols: the code that ships, in all interleavings of a few threads with at
# most LOOM_MAX_PREEMPTIONS preemptions (3; some models lower it for themselves, and say so). Prints how many
# interleavings each model had. A model that takes longer than LOOM_MAX_DURATION seconds (60) is cut short, which its
# line says. Fails if any model fails, or if none ran. `.ci/loom.sh NAME` runs the models with NAME in their path.
set -euo pipefail
cd "$(dirname "$0")/.."

export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
export LOOM_MAX_DURATION="${LOOM_MAX_DURATION:-60}"
export RUSTFLAGS="${RUSTFLAGS:-} --cfg greenhub_loom"
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --quiet --release -p greenhub --lib --target-dir target/loom "${1:-model_}" -- --nocapture >"$output" 2>&1 || status=$?
if [ "$status" -ne 0 ]; then
    cat "$output"
    echo "loom: a model failed, or did not build (exit $status)"
    exit 1
fi
sed -n 's/^\.*\(.*interleavings.*\)/\1/p' "$output" | sort
ran=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$output")
if [ "${ran:-0}" -eq 0 ]; then
    cat "$output"
    echo "loom: no model ran"
    exit 1
fi
cut=$(grep -c 'cut short' "$output" || true)
explored=$(awk '/ interleavings/ { for (i = 2; i <= NF; i++) if ($i ~ /^interleavings/) sum += $(i - 1) } END { print sum + 0 }' "$output")
echo "loom: $ran models passed, $cut of them cut short: $explored interleavings, each with at most $LOOM_MAX_PREEMPTIONS" \
    "preemptions, and at most $LOOM_MAX_DURATION s for a model"
