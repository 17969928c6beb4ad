#!/usr/bin/env bash
# Runs whole runtimes under seeded schedules: the hubs that ship, over a scheduler, a clock and an event queue of our
# own (runtime/src/schedule). Every scenario gets its part of SCHEDULE_SECONDS (60), with schedules nobody has seen
# before. A failure prints its seed: `SCHEDULE_SEED=N .ci/schedules.sh NAME` runs that one schedule again. Fails if any
# scenario fails, or if none ran. `.ci/schedules.sh NAME` runs the scenarios with NAME in their path.
set -euo pipefail
cd "$(dirname "$0")/.."

export SCHEDULE_SECONDS="${SCHEDULE_SECONDS:-60}"
export RUSTFLAGS="${RUSTFLAGS:-} --cfg greenhub_schedule"
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
# With the runtime's own assertions.
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_DEBUG=0

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --quiet --release -p greenhub --lib --target-dir target/schedule "${1:-schedule_}" -- --nocapture --test-threads 1 \
    >"$output" 2>&1 || status=$?
if [ "$status" -ne 0 ]; then
    cat "$output"
    echo "schedules: a scenario failed, or did not build (exit $status)"
    exit 1
fi
sed -n 's/^\.*\([a-z_]*: .*\(schedules\|passed\), .*\)/\1/p' "$output" | sort
ran=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$output")
if [ "${ran:-0}" -eq 0 ]; then
    cat "$output"
    echo "schedules: no scenario ran"
    exit 1
fi
echo "schedules: $ran scenarios passed"
