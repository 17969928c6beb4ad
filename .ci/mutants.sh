#!/usr/bin/env bash
# Do the models find the bugs they exist for? Replays the seeded bugs of .ci/mutants, each a patch whose first lines say
# what it plants and which loom model must find it, over a copy of the tree in target/mutants. A bug counts as found
# if the patch applies cleanly, the crate compiles, the ordinary smoke test below passes (in one of two runs), and the model fails with a
# counter-example, which is printed. Fails if a bug is not found, or if there is anything else wrong with its patch.
#
# Several are planted at once, to share a build, where none of them touches a file that the model of another runs. If
# anything but a counter-example for each comes of that, they are replayed one by one, and that counts.
#
# First of all it proves that it can fail: the patch `none` changes a comment, and must be reported as surviving.
#
# .ci/mutants.sh             all of them; once MUTANTS_SECONDS (120; 0: no limit) are over and one is found, no further ones are begun.
#                            Their order is that of MUTANTS_SEED (the day), and what was left out is printed
# .ci/mutants.sh NAME...     these, one by one, without a limit
# .ci/mutants.sh --check     only whether the verification page agrees with the patches and the models, and whether the
#                            patches still fit the code; builds nothing
# .ci/mutants.sh --table     writes the page's table from the patches
set -euo pipefail
cd "$(dirname "$0")/.."

patches=.ci/mutants
page=runtime/src/guide/verification.md
work=$PWD/target/mutants
tree=$work/tree
seconds="${MUTANTS_SECONDS:-120}"
seed="${MUTANTS_SEED:-$(($(date +%s) / 86400))}"

# The ordinary suite's smoke test: on OS threads and on 1, 2 and 4 hubs of both modes greenlets spawn, sleep, lock, send,
# wait for threads and descriptors, and end, where the outcome does not hang on chance. A bug that these notice needs no
# model.
smoke=(
    blocking::tests::jobs_on_one_thread_run_in_the_order_they_came
    blocking::tests::unblock_hands_on_values_and_panics
    channel::tests::every_message_arrives_once_without_bounds
    channel::tests::what_is_buffered_outlives_the_senders
    greenlet::park::tests::a_timeout_ends_a_loop_of_shorter_waits
    greenlet::park::tests::what_expired_inside_shield_is_delivered_by_the_first_yield_after_it
    net::tests::unix::a_pair_talks_both_ways
    sync::mutex::tests::a_panic_unlocks
    sync::mutex::tests::guards_may_be_sent
    sync::rwlock::tests::guards_may_be_sent
    sync::wait_group::tests::wait_returns_when_the_last_clone_is_gone
)

field() { # name field
    sed -n "/^--- /q; s/^$2: //p" "$patches/$1.patch"
}

all_names() {
    for patch in "$patches"/*.patch; do
        basename "$patch" .patch
    done
}

table() {
    echo '| seeded bug | in one sentence | the model that finds it |'
    echo '|---|---|---|'
    for name in $(all_names); do
        [ "$name" = none ] || echo "| $name | $(field "$name" Bug) | \`$(field "$name" Model)\` |"
    done
}

table_of_page() {
    sed -n '/^| seeded bug/,/^$/{ /^|/p }' "$page"
}

write_table() {
    local fresh
    fresh=$(mktemp)
    awk -v table="$(table)" '
        /^\| seeded bug/ { print table; skipping = 1 }
        skipping && !/^\|/ { skipping = 0 }
        !skipping
    ' "$page" >"$fresh"
    cat "$fresh" >"$page"
    rm "$fresh"
}

apply() { # name tree [--dry-run]
    patch --directory "$2" --strip 1 --fuzz 0 --forward --batch --no-backup-if-mismatch --reject-file - "${@:3}" \
        <"$patches/$1.patch"
}

# Whether the page, the patches and the models speak of the same things, and every patch still fits the code.
check() {
    local wrong=0 name model file
    command -v patch >/dev/null || { echo "mutants: there is no \`patch\` here"; exit 1; }
    if ! diff <(table_of_page) <(table); then
        echo "mutants: the table in $page (<) is not that of the patches (>): .ci/mutants.sh --table writes it"
        wrong=1
    fi
    for name in $(all_names); do
        model=$(field "$name" Model)
        if [ -z "$model" ] || [ -z "$(field "$name" Bug)" ]; then
            echo "mutants: $patches/$name.patch does not begin with a \`Bug:\` and a \`Model:\` line"
            wrong=1
        elif ! grep -rq "fn ${model##*::}()" runtime/src; then
            echo "mutants: $patches/$name.patch names a model that is not there: $model"
            wrong=1
        elif ! apply "$name" . --dry-run >/dev/null; then
            echo "mutants: $patches/$name.patch does not apply any more"
            wrong=1
        fi
    done
    # `runtime/src/model.rs` runs the models and is none.
    for file in $(cd runtime/src && find . -mindepth 2 -name '*model.rs' | sed 's/^\.\///' | sort); do
        grep -qF "\`$file\`" "$page" || { echo "mutants: $page does not speak of $file"; wrong=1; }
    done
    return $wrong
}

# Brings the copy up to date. A file that differs is written anew, so that cargo sees it as new, whatever a run that
# was stopped has left there.
copy_tree() {
    local file
    mkdir -p "$tree"
    (cd "$tree" && find . -type f) | while IFS= read -r file; do
        [ -f "$file" ] || rm "$tree/$file"
    done
    find . \( -name target -o -name .git \) -prune -o -type f -print | while IFS= read -r file; do
        if ! cmp -s "$file" "$tree/$file"; then
            mkdir -p "$(dirname "$tree/$file")"
            cp "$file" "$tree/$file"
        fi
    done
}

# Both builds are small ones, made to be quick: a rebuild after one file has changed is what costs here.
build() ( # ordinary|loom
    options=()
    if [ "$1" = loom ]; then
        # As .ci/loom.sh runs the models: optimised, and without debug assertions.
        export RUSTFLAGS="${RUSTFLAGS:-} --cfg greenhub_loom"
        export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false
        options=(--config 'profile.dev.package."*".opt-level=3')
    fi
    export CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0
    (cd "$tree" && cargo test --package greenhub --lib --no-run --target-dir "$work/$1" ${options[@]+"${options[@]}"}) \
        >"$work/$1.log" 2>&1 || return 1
    sed -n 's/.*Executable.*(\(.*\)).*/\1/p' "$work/$1.log" | tail -n 1 >"$work/$1.path"
    [ -s "$work/$1.path" ]
)

run_smoke() {
    # `|| exit`, here and below, so that it is the inner shell that remarks on a process that aborts.
    (cd "$tree/runtime" && timeout --kill-after=5 120 "$(cat "$work/ordinary.path")" --exact "${smoke[@]}" || exit $?) \
        >"$work/smoke.log" 2>&1 &&
        grep -q "^running ${#smoke[@]} tests" "$work/smoke.log"
}

run_model() { # model
    (
        cd "$tree/runtime"
        export LOOM_MAX_PREEMPTIONS=3 LOOM_MAX_DURATION=120 RUST_BACKTRACE=0
        timeout --kill-after=5 150 "$(cat "$work/loom.path")" --exact "$1" --nocapture --test-threads=1 || exit $?
    ) >"$work/model.log" 2>&1
}

# What the model says when it fails: place and message of its first panic, two lines at most. Nothing if it did not
# come to one, or only to a limit of loom's.
counter_example() {
    awk '
        /panicked at / { sub(/.*panicked at /, ""); place = $0; getline; message = $0; getline; if (/left:|right:/) message = message " " $0; exit }
        END {
            if (place == "" || message ~ /[Mm]odel exceeded|exceeds maximum/) exit 1
            if (length(message) > 160) message = substr(message, 1, 157) "..."
            print "    " place
            print "    " message
        }
    ' "$work/model.log"
}

# Which files a model runs, by the beginning of their paths below runtime/src; a line that names too many costs time, one
# that names too few lets a model die of another's bug. Unknown ones run everything.
runs() { # model
    case "$1" in
        blocking::*) echo blocking/ wait/ ;;
        channel::*) echo channel/ wait/ ;;
        facade::short_lock::*) echo facade/short_lock ;;
        greenlet::registry::*) echo greenlet/registry.rs ;;
        greenlet::state::bias_model::*) echo greenlet/state facade/short_lock ;;
        greenlet::state::*) echo greenlet/state ;;
        hub::deque::*) echo hub/deque ;;
        hub::idle::*) echo hub/idle.rs ;;
        hub::inbox::*) echo hub/inbox.rs ;;
        hub::queue::*) echo hub/queue.rs greenlet/state timer/ ;;
        monitor::rest::*) echo monitor/rest.rs hub/idle.rs ;;
        reactor::shared_poll::*) echo reactor/shared_poll.rs hub/idle.rs hub/inbox.rs greenlet/state ;;
        reactor::source::*) echo reactor/source/ wait/ ;;
        runtime::gate::*) echo runtime/gate.rs hub/metrics.rs hub/inbox.rs hub/idle.rs greenlet/registry.rs greenlet/state ;;
        sync::model::model_condvar*) echo sync/condvar.rs sync/raw_mutex.rs sync/mutex wait/ ;;
        sync::model::model_event*) echo sync/event.rs wait/ ;;
        sync::model::model_mutex*) echo sync/raw_mutex.rs sync/mutex wait/ ;;
        sync::model::model_rwlock*) echo sync/raw_rwlock.rs sync/rwlock wait/ ;;
        sync::model::model_semaphore*) echo sync/semaphore wait/ ;;
        timer::*) echo timer/ greenlet/state ;;
        wait::list::*) echo wait/ ;;
        wait::thread::*) echo wait/thread.rs ;;
        *) echo . ;;
    esac
}

touched() { # name
    sed -n 's|^+++ b/runtime/src/||p; t; s|^+++ b/|../../|p' "$patches/$1.patch"
}

# Whether one of the two touches a file that the model of the other runs. `files` and `ran` hold what the functions above
# say of each name.
declare -A files=() ran=()
disturbs() { # name name
    local file path
    for file in ${files[$1]}; do
        for path in ${ran[$2]}; do
            if [ "$path" = . ] || [[ "$file" == "$path"* ]]; then return 0; fi
        done
    done
    return 1
}

# Sorts names into sets that are planted together: lines of names.
together() { # name...
    local sets=() name other set fits index
    for name in "$@"; do
        files[$name]=$(touched "$name")
        ran[$name]=$(runs "$(field "$name" Model)")
        fits=no
        for index in "${!sets[@]}"; do
            read -ra set <<<"${sets[$index]}"
            fits=yes
            for other in "${set[@]}"; do
                if disturbs "$name" "$other" || disturbs "$other" "$name"; then fits=no; break; fi
            done
            if [ "$fits" = yes ]; then sets[index]+=" $name"; break; fi
        done
        if [ "$fits" = no ]; then sets+=("$name"); fi
    done
    printf '%s\n' ${sets[@]+"${sets[@]}"}
}

# Takes out what was planted: writes those files anew.
weed() { # name...
    local name file
    for name in "$@"; do
        for file in $(touched "$name"); do
            cp "runtime/src/$file" "$tree/runtime/src/$file"
        done
    done
}

plant() { # name
    apply "$1" "$tree" >"$work/patch.log" 2>&1
}

# Builds what is planted, both ways, and says what does not compile.
build_both() {
    local ordinary failed=no
    build ordinary &
    ordinary=$!
    build loom || failed=loom
    wait "$ordinary" || failed=ordinary
    [ "$failed" = no ] || { grep -A 5 '^error' "$work/$failed.log" | head -n 20 | sed 's/^/    /' || true; return 1; }
}

# Whether the model failed with a counter-example. Prints what came of it.
ask_model() { # name
    local model status=0
    model=$(field "$1" Model)
    run_model "$model" || status=$?
    if ! grep -q '^running 1 test' "$work/model.log"; then
        echo "$1: THERE IS NO MODEL $model"
    elif [ "$status" -eq 0 ]; then
        echo "$1: SURVIVES $model"
    elif ! counter_example >"$work/counter-example"; then
        echo "$1: NO COUNTER-EXAMPLE from $model, which ended with exit $status"
        tail -n 5 "$work/model.log" | sed 's/^/    /'
    else
        echo "$1: found by $model"
        cat "$work/counter-example"
        return 0
    fi
    return 1
}

# Replays one, and prints what came of it.
replay() { # name
    local status=0
    if ! plant "$1"; then
        echo "$1: DOES NOT APPLY"
        sed 's/^/    /' "$work/patch.log"
        status=1
    elif ! build_both; then
        echo "$1: DOES NOT COMPILE"
        status=1
    # Twice: what one run in many notices, by chance, still needs its model.
    elif ! run_smoke && ! run_smoke; then
        echo "$1: TOO CRUDE, the smoke test fails"
        grep -E 'panicked|FAILED|hangs' -A 2 "$work/smoke.log" | head -n 8 | sed 's/^/    /' || true
        status=1
    else
        ask_model "$1" || status=1
    fi
    weed "$1"
    return $status
}

# Replays several at once. Prints what came of it if every one of them was found, and what else happened if not.
replay_together() { # name...
    local name wrong="" log="$work/together.log"
    for name in "$@"; do
        plant "$name" || { wrong="$name does not apply"; break; }
    done
    [ -n "$wrong" ] || build_both >"$log" || wrong="they do not compile"
    [ -n "$wrong" ] || run_smoke || wrong="the smoke test fails"
    : >"$log"
    for name in "$@"; do
        [ -n "$wrong" ] || ask_model "$name" >>"$log" || wrong="$name is not found"
    done
    weed "$@"
    if [ -n "$wrong" ]; then
        echo "mutants: $# planted together, and $wrong: one by one"
        return 1
    fi
    cat "$log"
}

case "${1-}" in
    --check) check && echo "mutants: the page agrees with $(all_names | grep -vcx none) patches and the models"; exit ;;
    --table) write_table; check; exit ;;
    -*) echo "mutants: unknown option $1; there are --check and --table"; exit 2 ;;
esac

check
names=("$@")
if [ $# -eq 0 ]; then
    # Another order each day, so that a limit leaves out others each time.
    mapfile -t names < <(all_names | grep -vx none | awk -v seed="$seed" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort -n | cut -f 2)
else
    seconds=0
fi
for name in "${names[@]}"; do
    [ -f "$patches/$name.patch" ] || { echo "mutants: there is no $patches/$name.patch"; exit 2; }
done

mkdir -p "$work"
copy_tree

# That this script can fail. The build for it is the one that the others change.
if replay none >"$work/none.log"; then survives=no; else survives=yes; fi
cat "$work/none.log"
if [ "$survives" = no ] || ! grep -q '^none: SURVIVES' "$work/none.log"; then
    echo "mutants: BROKEN: a patch that changes nothing must survive"
    exit 1
fi
echo "mutants: the patch that changes nothing survives, as it must ($SECONDS s so far)"

found=0 failed=() left_out=()
replay_each() { # name...
    local name
    for name in "$@"; do
        if replay "$name"; then found=$((found + 1)); else failed+=("$name"); fi
    done
}
if [ $# -ne 0 ]; then
    replay_each "${names[@]}"
else
    mapfile -t sets < <(together "${names[@]}")
    for line in "${sets[@]}"; do
        read -ra set <<<"$line"
        # However slow the machine is, some are.
        if [ "$seconds" -ne 0 ] && [ "$SECONDS" -ge "$seconds" ] && [ "$found" -ne 0 ]; then
            left_out+=("${set[@]}")
        elif [ "${#set[@]}" -gt 1 ] && replay_together "${set[@]}"; then
            found=$((found + ${#set[@]}))
        else
            replay_each "${set[@]}"
        fi
    done
fi

echo "mutants: $found of ${#names[@]} found in $SECONDS s"
if [ "${#left_out[@]}" -ne 0 ]; then
    echo "mutants: ${#left_out[@]} left out after $seconds s (MUTANTS_SECONDS=0 runs all; MUTANTS_SEED=$seed gives this order): ${left_out[*]}"
fi
if [ "${#failed[@]}" -ne 0 ]; then
    echo "mutants: FAILED: ${failed[*]}"
    exit 1
fi
if [ "$found" -eq 0 ]; then
    echo "mutants: none was replayed"
    exit 1
fi
