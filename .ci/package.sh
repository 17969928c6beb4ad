#!/usr/bin/env bash
# The crate packages cleanly, the toolchain it says it needs is one it builds with, and a fresh crate that depends on
# it by path builds and runs the README's example.
set -euo pipefail
root=$PWD
cargo package -p greenhub --allow-dirty

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
# Installed as 1.95, as 1.95.0 or as 1.95.0-x86_64-...: any of them is that release.
toolchain=$(rustup toolchain list 2>/dev/null | awk '{ print $1 }' | grep -E "^${wanted//./\\.}([.-]|$)" | head -n 1 || true)
if [ -n "$toolchain" ]; then
    cargo "+$toolchain" check -p greenhub --target-dir target/rust-version
else
    echo "package: skipped the build with Rust $wanted: that toolchain is not installed (rustup toolchain install $wanted)"
fi

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
mkdir "$fresh/src"
cat > "$fresh/Cargo.toml" <<TOML
[package]
name = "fresh"
version = "0.0.0"
edition = "2024"

[dependencies]
greenhub = { path = "$root/runtime" }

[workspace]
TOML
# The first Rust block of the README.
awk '/^```rust/ { inside = 1; next } /^```/ { if (inside) exit } inside' README.md > "$fresh/src/main.rs"
grep -q 'fn main' "$fresh/src/main.rs" || { echo "package: the README's first Rust block has no main"; exit 1; }
cp Cargo.lock "$fresh/"
cargo run --quiet --manifest-path "$fresh/Cargo.toml" --target-dir target/fresh
