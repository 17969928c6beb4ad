#!/usr/bin/env bash
# The README's test command. The suite runs in both migration modes on 1, 2 and 4 hubs by itself; a second run
# resumes every greenlet on another hub each time, which shakes out thread-local hazards.
set -euo pipefail
cargo test --workspace
GREENHUB_MIGRATE=every cargo test -p greenhub --tests
