#!/usr/bin/env bash
# Users' models. First, that no primitive has a second implementation for models: the files that both builds compile
# are listed, and may not look at the cfg. Then `runtime/tests/model.rs`, which runs programs that use only what users
# can. Then a crate as a user would make it: it depends on greenhub by path, and its test of less than ten lines must
# fail, with a report that names both greenlets of a deadlock; and the repaired one must pass. Last, the two examples with
# a planted bug, in that same crate: with the bug they must fail with a report, without it be explored to the end.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
export LOOM_MAX_DURATION="${LOOM_MAX_DURATION:-60}"
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"

bash .ci/one-source.sh

export RUSTFLAGS="${RUSTFLAGS:-} --cfg greenhub_loom"
# Two preemptions, not three, here and below: these show what is reported and that it is, and one is enough for all that they find.
LOOM_MAX_PREEMPTIONS=2 cargo test --quiet --release -p greenhub --test model --target-dir target/loom

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/src" "$fresh/tests" "$fresh/examples"
cp examples/examples/{bounded_buffer,connection_pool}.rs "$fresh/examples/"
cat >"$fresh/Cargo.toml" <<TOML
[package]
name = "fresh"
version = "0.0.0"
edition = "2024"

[dependencies]
greenhub = { path = "$root/runtime" }

[lints.rust]
unexpected_cfgs = { level = "warn", check-cfg = ['cfg(greenhub_loom)'] }

# As this repository's, so that what is built already is not built again.
[profile.release]
debug = "line-tables-only"

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
build() { cargo test --quiet --release --manifest-path "$fresh/Cargo.toml" --target-dir target/loom "$@"; }
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
LOOM_MAX_PREEMPTIONS=1 build -- --nocapture | grep interleavings

check_example() { # name words-of-its-bug
    local example=target/loom/release/examples/$1
    if "$example" --bug >"$fresh/output" 2>&1; then
        echo "models: the planted bug of the example $1 was not found"
        exit 1
    fi
    for part in "greenhub::model: $2" 'schedule:'; do
        grep -q "$part" "$fresh/output" || { cat "$fresh/output"; echo "models: the report on $1 does not say \"$part\""; exit 1; }
    done
    LOOM_MAX_PREEMPTIONS=2 "$example" >"$fresh/output" || { echo "models: the example $1 fails without its bug"; exit 1; }
    cat "$fresh/output"
    grep -q 'interleavings, at most 2 preemptions' "$fresh/output" || { echo "models: $1 was not explored to the end"; exit 1; }
}
check_example bounded_buffer 'deadlock'
check_example connection_pool 'the root ended badly.*a connection got lost'
