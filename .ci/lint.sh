#!/usr/bin/env bash
# Formatting, and clippy with warnings denied, for every target of every member, in the ordinary build and in those that
# models and schedules use; and whether the page on verification agrees with the models and the seeded bugs.
set -euo pipefail
cargo fmt --all --check
.ci/mutants.sh --check
cargo clippy --workspace --all-targets -- -D warnings
RUSTFLAGS="--cfg greenhub_loom" cargo clippy -p greenhub --lib --test model --profile test --target-dir target/loom -- -D warnings
RUSTFLAGS="--cfg greenhub_schedule" cargo clippy -p greenhub --lib --profile test --target-dir target/schedule -- -D warnings
