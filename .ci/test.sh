#!/usr/bin/env bash
# The README's test command. The suite runs in both migration modes on 1, 2 and 4 hubs by itself; a second run
# resumes every greenlet on another hub each time, which shakes out thread-local hazards. Last, what is left of kill and
# timeout in a program that cannot unwind.
set -euo pipefail
cargo test --workspace
# Of all packages, as before, or cargo builds everything anew: with other features.
GREENHUB_MIGRATE=every cargo test --workspace --lib --test '*'
cargo run --quiet --profile abort -p greenhub-examples --example without_unwinding
