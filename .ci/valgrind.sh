#!/usr/bin/env bash
# valgrind's memcheck over the core tests: what no compiler has to have a hand in (the switch's assembly, libc, every
# dependency), and decisions by memory that was never written, which AddressSanitizer does not see. First it proves that it
# can fail: planted bugs in greenlets must be reported. VALGRIND_TESTS (kill) names the test files beside the unit tests; what
# each may take is VALGRIND_LIMIT (150 s).
set -euo pipefail
cd "$(dirname "$0")/.."
tool=valgrind
source .ci/sanitizers.bash

[ "$target" = x86_64-unknown-linux-gnu ] || skip "the runtime's annotations are for x86_64-unknown-linux-gnu, this is $target"
if ! command -v valgrind >/dev/null; then
    command -v apt-get >/dev/null || skip "there is no valgrind, and no apt-get to install it with"
    root=()
    if [ "$(id -u)" -ne 0 ]; then root=(sudo -n); fi
    { "${root[@]}" apt-get update && "${root[@]}" apt-get install -y --no-install-recommends valgrind; } >"$output" 2>&1 ||
        { cat "$output"; skip "there is no valgrind, and it cannot be installed"; }
fi

export RUSTFLAGS="${RUSTFLAGS:-} --cfg greenhub_sanitize=\"memcheck\""
limit="${VALGRIND_LIMIT:-150}"
tests=()
for name in ${VALGRIND_TESTS-kill}; do tests+=(--test "$name"); done
build=(--profile sanitize --target-dir target/memcheck)
# valgrind runs one thread at a time; fair, so that a hub that spins does not keep the others out. What is still reachable
# at the end is no leak: the default runtime is never dropped.
memcheck=(valgrind --quiet --error-exitcode=99 --fair-sched=yes --num-callers=20 --errors-for-leak-kinds=definite
    --leak-check=full --show-leak-kinds=definite)

cargo build --quiet "${build[@]}" -p greenhub-stress --bin planted
planted=("${memcheck[@]}" target/memcheck/sanitize/planted)
must_be_quiet "${planted[@]}"
must_report freed 'Invalid read of size 8' "${planted[@]}"
must_report dead-stack 'Invalid write of size 1' "${planted[@]}"
must_report unset 'depends on uninitialised value' "${planted[@]}"

# The protocols and the stacks, then started greenlets in every state.
core=(greenlet:: hub:: stack:: wait:: sync::mutex timer::)
binaries=$(test_binaries cargo test "${build[@]}" -p greenhub --lib ${tests[@]+"${tests[@]}"})
skip=(
    # Leaks stacks on purpose.
    --skip a_parked_coroutine_touches_the_top_page_only
)
cd runtime # where cargo runs tests
while read -r name binary; do
    filter=()
    if [ "$name" = src/lib.rs ]; then filter=("${core[@]}"); fi
    run "$name" "$limit" "${memcheck[@]}" "../$binary" --quiet --test-threads 1 "${skip[@]}" ${filter[@]+"${filter[@]}"}
done <<<"$binaries"
conclude
