#!/usr/bin/env bash
# AddressSanitizer over the suite and the stress programs: heap and locals that are used after their end, overruns, the
# stacks of greenlets that have ended, leaks. First it proves that it can fail: planted bugs in greenlets must be
# reported. ASAN_SECONDS (2) is for each stress program in each mode; ASAN_TESTS names the test files beside the unit tests
# ("all" for all); what each may take is ASAN_LIMIT (240 s).
set -euo pipefail
cd "$(dirname "$0")/.."
tool=asan
source .ci/sanitizers.bash
need_nightly

export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=address --cfg greenhub_sanitize=\"address\""
# The largest fake stack: they come and go with greenlets. Without a symbolizer of LLVM's, binutils must do. Freed memory that is
# kept aside, to be found out who uses it, must not look like a leak.
export ASAN_OPTIONS="max_uar_stack_size_log=16:quarantine_size_mb=16:allow_addr2line=1:${ASAN_OPTIONS:-}"
export LSAN_OPTIONS="suppressions=$PWD/.ci/leaks.suppressions:print_suppressions=0:${LSAN_OPTIONS:-}"
seconds="${ASAN_SECONDS:-2}"
limit="${ASAN_LIMIT:-240}"
tests=()
case "${ASAN_TESTS=hostile kill net stacks}" in
all) tests=(--tests) ;;
*) for name in $ASAN_TESTS; do tests+=(--test "$name"); done ;;
esac
cargo=(cargo "+$nightly")
build=(--quiet --profile sanitize --target "$target" --target-dir target/asan)

"${cargo[@]}" build "${build[@]}" -p greenhub-stress
programs="target/asan/$target/sanitize"
must_be_quiet "$programs/planted"
must_report freed 'heap-use-after-free' "$programs/planted"
must_report returned 'stack-use-after-return' "$programs/planted"
must_report dead-stack 'use-after-poison' "$programs/planted"

run_stress "$programs" "$seconds" spawn steal unpark kill timeout descriptors runtimes mixed
# Without --quiet it says where each binary is.
binaries=$(test_binaries "${cargo[@]}" test "${build[@]:1}" -p greenhub --lib ${tests[@]+"${tests[@]}"})
skip=(
    # Who reports a fault: here it is always AddressSanitizer.
    --skip a_wild_pointer_into_a_guard_is_no_overflow --skip an_overflow_of_an_ordinary_thread_is_left_to_std
    --skip the_stack_overflow_of_a_plain_thread_is_std_s_to_report --skip a_wild_pointer_is_no_stack_overflow
    # It lets nobody lock memory, and needs address space of its own where the test leaves none.
    --skip locked_memory_gets_protected_guards
    --skip a_stack_of_a_size_the_system_refuses_is_an_error_beside_stacks_of_other_sizes
    # Hundreds of hubs, or tens of thousands of stacks, each of which has a second one here.
    --skip a_tree_over_channels_keeps_live_stacks_in_the_thousands --skip fork_join_recursion_keeps_live_stacks_in_the_tens
    --skip a_hundred_thousand_parked_greenlets_come_and_go --skip hundreds_of_hubs_start_work_idle_and_end
)
cd runtime # where cargo runs tests
while read -r name binary; do
    run "$name" "$limit" "../$binary" --quiet "${skip[@]}"
done <<<"$binaries"
conclude
