#!/usr/bin/env bash
# Users' models. First, that no primitive has a second implementation for models: the files that both builds compile
# are listed, and may not look at the cfg. Then `runtime/tests/model.rs`, which runs programs that use only what users
# can. Then a crate as a user would make it: it depends on greenhub by path, and its test of less than ten lines must
# fail, with a report that names both greenlets of a deadlock; and the repaired one must pass.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
export LOOM_MAX_DURATION="${LOOM_MAX_DURATION:-60}"
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"

bash .ci/one-source.sh

export RUSTFLAGS="${RUSTFLAGS:-} --cfg greenhub_loom"
cargo test --quiet --release -p greenhub --test model --target-dir target/loom

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/src" "$fresh/tests"
cat >"$fresh/Cargo.toml" <<TOML
[package]
name = "fresh"
version = "0.0.0"
edition = "2024"

[dependencies]
greenhub = { path = "$root/runtime" }

[workspace]
TOML
cp Cargo.lock "$fresh/"
: >"$fresh/src/lib.rs"
cat >"$fresh/tests/deadlock.rs" <<'RUST'
#[test]
fn two_greenlets_and_two_mutexes() {
    greenhub::model(|| {
        static LEFT: greenhub::sync::Mutex<()> = greenhub::sync::Mutex::new(());
        static RIGHT: greenhub::sync::Mutex<()> = greenhub::sync::Mutex::new(());
        let named = |name: &str| greenhub::Builder::new().name(name.into());
        let one = named("one").spawn(|| drop((LEFT.lock(), RIGHT.lock()))).unwrap();
        let two = named("two").spawn(|| drop((RIGHT.lock(), LEFT.lock()))).unwrap();
        greenhub::join_all([one, two]);
    });
}
RUST
build() { cargo test --quiet --release --manifest-path "$fresh/Cargo.toml" --target-dir target/fresh-model "$@"; }
build --no-run
if build >"$fresh/output" 2>&1; then
    echo "models: the deadlock of two greenlets over two mutexes was not found"
    exit 1
fi
for part in 'greenhub::model: deadlock' "greenlet 'one'" "greenlet 'two'" "which 'one' holds" "which 'two' holds" 'schedule:'; do
    grep -qF "$part" "$fresh/output" || { cat "$fresh/output"; echo "models: the report does not say \"$part\""; exit 1; }
done
sed -n '/greenhub::model: deadlock/,/^$/p' "$fresh/output"
sed -i 's/RIGHT.lock(), LEFT.lock()/LEFT.lock(), RIGHT.lock()/' "$fresh/tests/deadlock.rs"
build -- --nocapture | grep interleavings
