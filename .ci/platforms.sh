#!/usr/bin/env bash
# What the README's table says compiles does compile, without a warning: `cargo check` for each other platform whose
# std is installed, or can be. It says which it skips.
set -euo pipefail
targets=(aarch64-unknown-linux-gnu x86_64-unknown-freebsd x86_64-apple-darwin aarch64-apple-darwin)
for target in "${targets[@]}"; do
    if ! command -v rustup >/dev/null || ! timeout 120 rustup target add "$target" >/dev/null 2>&1; then
        echo "platforms: SKIPPED $target: its std is not installed, and could not be (rustup target add $target)"
        continue
    fi
    RUSTFLAGS="-D warnings" cargo check -p greenhub --target "$target" --target-dir target/platforms
    echo "platforms: $target compiles"
done
