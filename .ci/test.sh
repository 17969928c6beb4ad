#!/usr/bin/env bash
# The README's test command. The suite runs in both migration modes on 1, 2 and 4 hubs by itself; a second run
# resumes every greenlet on another hub each time, which shakes out thread-local hazards. Last, what is left of kill and
# timeout in a program that cannot unwind.
set -euo pipefail
cargo test --workspace
GREENHUB_MIGRATE=every cargo test -p greenhub --tests
cargo run --quiet --profile abort -p greenhub-examples --example without_unwinding
