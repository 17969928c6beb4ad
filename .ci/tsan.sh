#!/usr/bin/env bash
# ThreadSanitizer over the stress programs: two accesses to one place, one of them a write, that nothing
# orders. Needs a std built with it, so it builds one from the sources (component rust-src). First it proves that it can
# fail: a planted race between two hubs must be reported, and the same two hubs under a mutex of this crate must not.
#
# It knows no fences: code ordered by nothing else is reported without being wrong (the guide's page on sanitizers says
# what we do about that). TSAN_SECONDS (2) is for each stress program in each mode.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=tsan
source .ci/sanitizers.bash
need_nightly rust-src

export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=thread --cfg greenhub_sanitize=\"thread\""
export TSAN_OPTIONS="allow_addr2line=1:halt_on_error=1:${TSAN_OPTIONS:-}"
seconds="${TSAN_SECONDS:-2}"
build=(--quiet --profile sanitize --target "$target" -Zbuild-std --target-dir target/tsan)

cargo "+$nightly" build "${build[@]}" -p greenhub-stress
programs="target/tsan/$target/sanitize"
must_be_quiet "$programs/planted"
must_report race 'WARNING: ThreadSanitizer: data race' "$programs/planted"
# Not `runtimes`: it dies when the process grows, and ThreadSanitizer's own memory does.
run_stress "$programs" "$seconds" spawn steal unpark kill timeout descriptors mixed
conclude
