#!/usr/bin/env bash
# Does everything that is measured still work, and does anything cost more instructions than it did?
#
# 1. Every workload once, with tiny sizes, in both modes on 1 and 2 hubs, and once more beside every peer. Times are not
#    looked at: they depend on the machine and on what else it does. Go and gevent are installed for it where they can be
#    (PEERS_PATIENCE seconds each, 120 by default); where not, they are left out, and it says so.
# 2. Every probe under callgrind, at two counts. The difference over the number of operations is what one operation
#    costs in instructions, whatever the machine does meanwhile. Held against benches/baseline.txt with 5 % of slack.
#
# `--update` writes the baseline instead of comparing. Without valgrind step 2 is skipped and says so; as root in CI
# it is installed first.
set -euo pipefail
cd "$(dirname "$0")/.."

baseline=benches/baseline.txt
slack_percent=5
low=20000
high=120000
probes=(switch yield spawn-join spawn-batch wake channel lock timer)

update=no
case "${1-}" in
    "") ;;
    --update) update=yes ;;
    *) echo "bench-smoke: unknown argument $1; there is --update"; exit 2 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo build --release -p greenhub-benches
bench="${CARGO_TARGET_DIR:-target}/release/bench"

if [ "$update" = no ]; then
    "$bench" run --tiny --hubs 1,2 --mode both
    # Of other languages' installations only what is missing is made; what cannot be had is named on stderr.
    export PEERS_PATIENCE="${PEERS_PATIENCE:-120}"
    "$bench" compare --tiny --hubs 1,2 --json "$work/compare.json" --results "$work/RESULTS.md"
    "$bench" scale --tiny --hubs 1,2 --json "$work/scale.json" --out "$work/scale" >"$work/scale.txt"
    "$bench" floor --tiny --hubs 1,2
    "$bench" diff "$work/compare.json" "$work/scale.json" >"$work/diff.txt"
    for found in "$work/RESULTS.md" "$work/diff.txt" "$work/scale/yield-throughput.svg" "$work/scale/index.html"; do
        grep -q greenhub "$found" || { echo "bench-smoke: $found does not name greenhub"; exit 1; }
    done
fi

if ! command -v valgrind >/dev/null && [ -n "${CI-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update && apt-get install -y valgrind || echo "bench-smoke: installing valgrind failed"
fi
if ! command -v valgrind >/dev/null; then
    echo "bench-smoke: SKIPPED the instruction counts: there is no valgrind here (the workloads have run)"
    if [ "$update" = yes ]; then exit 1; fi
    exit 0
fi

# Instructions of the busiest thread, which is the hub: what the other threads do follows the clock, not the count.
instructions() { # probe count
    local out="$work/$1.$2"
    rm -f "$out"*
    if ! valgrind --tool=callgrind --separate-threads=yes --callgrind-out-file="$out" \
        "$bench" probe "$1" --count "$2" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        echo "bench-smoke: probe $1 failed under valgrind" >&2
        return 1
    fi
    awk '/^(summary|totals):/ { if ($2 > most) most = $2 } END { if (!most) exit 1; print most }' "$out"*
}

failed=0
found="$work/found"
for probe in "${probes[@]}"; do
    less=$(instructions "$probe" "$low")
    more=$(instructions "$probe" "$high")
    now=$(awk -v more="$more" -v less="$less" -v n=$((high - low)) 'BEGIN { printf "%.1f", (more - less) / n }')
    echo "$probe $now" >>"$found"
    if [ "$update" = yes ]; then
        printf '%-12s %8s\n' "$probe" "$now"
        continue
    fi
    before=$(awk -v probe="$probe" '$1 == probe { print $2 }' "$baseline")
    if [ -z "$before" ]; then
        echo "bench-smoke: $baseline says nothing about $probe; run $0 --update"
        failed=1
        continue
    fi
    # Two instructions of slack at least, or the cheapest probes would fail for nothing.
    verdict=$(awk -v now="$now" -v before="$before" -v percent=$slack_percent 'BEGIN {
        slack = before * percent / 100
        if (slack < 2) slack = 2
        if (now > before + slack) print "MORE"
        else if (now < before - slack) print "less; --update records it"
        else print "as before"
    }')
    printf '%-12s %8s instructions, baseline %8s: %s\n' "$probe" "$now" "$before" "$verdict"
    if [ "$verdict" != "as before" ] && [ "$verdict" != "less; --update records it" ]; then failed=1; fi
done

if [ "$update" = yes ]; then
    {
        echo "# Instructions per operation, written by .ci/bench-smoke.sh --update ($(uname -m), $(rustc --version | cut -d' ' -f1,2))."
        cat "$found"
    } >"$baseline"
    echo "bench-smoke: wrote $baseline"
elif [ "$failed" != 0 ]; then
    echo "bench-smoke: FAILED: something costs more instructions than $baseline allows (slack $slack_percent %)"
fi
exit "$failed"
