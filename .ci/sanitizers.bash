# What `asan.sh`, `tsan.sh` and `valgrind.sh` share; sourced by them, not run. They set `tool`.

target="$(rustc -vV | sed -n 's/^host: //p')"
nightly="${SANITIZER_TOOLCHAIN:-nightly}"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=0

# What cannot be checked here is said loudly; `SANITIZERS_REQUIRED=1` makes it a failure.
skip() {
    echo "$tool: SKIPPED, nothing was checked: $1"
    [ "${SANITIZERS_REQUIRED:-0}" = 0 ] && exit 0
    exit 1
}

# The sanitizers are nightly's; `need_nightly rust-src` wants that component, too.
need_nightly() {
    [ "$target" = x86_64-unknown-linux-gnu ] || skip "the runtime's annotations are for x86_64-unknown-linux-gnu, this is $target"
    if ! rustc "+$nightly" --version >/dev/null 2>&1; then
        rustup toolchain install "$nightly" --profile minimal --no-self-update >"$output" 2>&1 ||
            { cat "$output"; skip "there is no $nightly toolchain, and it cannot be installed"; }
    fi
    for component in "$@"; do
        rustup component add "$component" --toolchain "$nightly" >"$output" 2>&1 ||
            { cat "$output"; skip "$nightly has no $component, and it cannot be installed"; }
    done
}

# must_report BUG PATTERN COMMAND...: the planted bug fails its program, by a report that matches and names the place.
must_report() {
    local bug=$1 pattern=$2 status=0
    shift 2
    timeout --kill-after=5 120 "$@" "$bug" >"$output" 2>&1 || status=$?
    if [ "$status" -ne 0 ] && [ "$status" -ne 124 ] && grep -Eq "$pattern" "$output" && grep -q 'planted\.rs' "$output"; then
        echo "$tool: planted $bug: reported ($(grep -Em 1 -o "$pattern" "$output"))"
    else
        cat "$output"
        echo "$tool: planted $bug: NOT REPORTED (exit $status): this check cannot fail, so it shows nothing"
        exit 1
    fi
}

# must_be_quiet COMMAND...: the same program without a bug.
must_be_quiet() {
    if timeout --kill-after=5 120 "$@" none >"$output" 2>&1; then
        echo "$tool: planted none: nothing reported"
    else
        cat "$output"
        echo "$tool: planted none: REPORTED, without a bug"
        exit 1
    fi
}

# run NAME SECONDS COMMAND...: one line if it passes; everything it printed if not, and the script fails at its end.
run() {
    local name=$1 limit=$2 status=0 started=$SECONDS
    shift 2
    timeout --kill-after=5 "$limit" "$@" >"$output" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then
        printf '%s: %-28s %3d s  %s\n' "$tool" "$name" $((SECONDS - started)) "$(grep -E '^test result|rounds in' "$output" | tail -n 1)"
    else
        cat "$output"
        echo "$tool: $name FAILED (exit $status; 124 is out of time)"
        failed=$((failed + 1))
    fi
}

# Every stress program for so many seconds, in one mode each on two hubs.
run_stress() {
    local directory=$1 seconds=$2 mode
    shift 2
    for program in "$@"; do
        for mode in stay every; do
            if [ "$mode" = every ]; then
                run "$program, $mode" $((seconds + 90)) env GREENHUB_MIGRATE=every "$directory/$program" --seconds "$seconds" --hubs 2 --migrate
            else
                run "$program, $mode" $((seconds + 90)) env -u GREENHUB_MIGRATE "$directory/$program" --seconds "$seconds" --hubs 2
            fi
        done
    done
}

# test_binaries COMMAND...: builds tests with this `cargo test`, and says where they are: "tests/kill.rs path" a line.
test_binaries() {
    "$@" --no-run >"$output" 2>&1 || { cat "$output" >&2; echo "$tool: the tests do not build" >&2; exit 1; }
    sed -n 's/^ *Executable \(unittests \)\?\([^ ]*\) (\(.*\))$/\2 \3/p' "$output"
}

conclude() {
    [ "$failed" -eq 0 ] || { echo "$tool: $failed runs failed"; exit 1; }
}
