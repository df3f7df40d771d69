#!/bin/bash
# The attack programme: campaign.sh [--minutes M] [--build DIR] [--report PREFIX] [--jobs N] [--only phase,..]
#
# In turn: simulator seeds, power cuts, the crash table, failing calls, canaries, fuzzers (clang), all
# tests under ASan and UBSan, all that has threads under TSan. Seeds, power cuts and fuzzers share M
# minutes (default 30); building, the table and the tests take what they take. Seeds come from the
# clock and are in the report. Writes PREFIX.txt and PREFIX.json (default DIR/campaign; schema
# stoa/campaign/1) as it goes on; logs are in DIR/logs. Ends with 1 when anything was found, 2 when it
# could not run.
set -u
cd "$(dirname "$0")/.." || exit 2
src=$PWD
minutes=30
build=$src/build-campaign
report=
jobs=2
only=
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) minutes=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --report) report=$2; shift 2 ;;
    --jobs) jobs=$2; shift 2 ;;
    --only) only=,$2,; shift 2 ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "campaign.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
mkdir -p "$build/logs" || exit 2
build=$(cd "$build" && pwd)
report=${report:-$build/campaign}
text=$report.txt
json=$report.json
began=$(date +%s)
found=0
lines=

say() { echo "$*" | tee -a "$text"; }
share() { echo $((minutes * 60 * $1 / 100)); }
wanted() { [ -z "$only" ] || case $only in *,$1,*) true ;; *) false ;; esac; }

write_json() {
    printf '{"schema": "stoa/campaign/1", "commit": "%s", "began": %s, "seconds": %s, "findings": %s, "phases": [%s]}\n' \
        "$commit" "$began" "$(($(date +%s) - began))" "$found" "$lines" >"$json"
}

# figures form log..: what a tester printed, as a JSON object.
figures() {
    local form=$1
    shift
    cat "$@" | awk -v form="$form" -f "$src/tests/campaign_figures.awk"
}

# record name seconds runs findings remark figures
record() {
    local figures=${6:-}
    say "$(printf '%-10s %5s s %8s runs %3s findings  %s' "$1" "$2" "$3" "$4" "$5")"
    found=$((found + $4))
    lines="$lines${lines:+, }{\"phase\": \"$1\", \"seconds\": $2, \"runs\": $3, \"findings\": $4, \"remark\": \"$(printf %s "$5" | tr -d '"\\' | tr '\n\t' '  ')\", \"figures\": ${figures:-null}}"
    write_json
}

# What a finding looks like in a log.
what_was_found() {
    grep -aE 'FOUND|WRONG|run again|does not hold|FAILED|Failed|Timeout|NOT caught|SUMMARY' "$1" |
        head -1 | cut -c1-160
}

# once name form command..: one run; its figures are in the last lines of what it prints.
once() {
    local name=$1 form=$2 t0 code=0 remark log=$build/logs/$1
    shift 2
    t0=$(date +%s)
    "$@" >"$log" 2>&1 || code=1
    remark=$(tail -n 1 "$log" | cut -c1-160)
    [ "$code" -ne 0 ] && remark="see logs/$name: $(what_was_found "$log")"
    record "$name" "$(($(date +%s) - t0))" 1 "$code" "$remark" "$(figures "$form" "$log")"
    [ "$form" = words ] && grep -aE '^[a-z][a-z ]* [0-9].*, ' "$log" | sed 's/^/    /' >>"$text"
}

# The simulator's JSON as lines of a report: names and numbers, groups indented.
sim_table() {
    sed 's/{/\n/g; s/}/\n\n/g; s/,/\n/g; s/"//g' "$1" | awk -F: '
        $1 == "virtual_seconds" { printf "    %-34s %12.1f\n", "virtual_hours", $2 / 3600 }
        NF == 2 && $2 == "" { printf "    %s\n", $1; deep = "  "; next }
        NF == 2 && $1 != "schema" { printf "    %s%-" (deep == "" ? 34 : 32) "s %12s\n", deep, $1, $2 }
        NF == 0 { deep = "" }'
}

# seeds: fresh ones until the time is over; what every kind of fault, entry and refusal came to. A long
# run has to have met every one of them.
sim_seeds() {
    local seconds=$1 t0 at runs code=0 coverage= remark log=$build/logs/seeds
    t0=$(date +%s)
    at=$((t0 * 1000))
    [ "$seconds" -ge 300 ] && coverage=--require-coverage
    # shellcheck disable=SC2086
    "$bin/sim" --json --minutes "$(awk "BEGIN {print $seconds / 60}")" --from "$at" $coverage \
        >"$log.json" 2>"$log" || code=1
    remark="seeds from $at"
    [ "$code" -ne 0 ] && cp "$log" "$log.$at" && remark="see logs/seeds.$at: $(what_was_found "$log")"
    runs=$(sed -n 's/.*"seeds":\([0-9]*\).*/\1/p' "$log.json")
    record seeds "$(($(date +%s) - t0))" "${runs:-0}" "$code" "$remark" "$(tail -n 1 "$log.json")"
    sim_table "$log.json" >>"$text"
}

# power_cuts seconds: fresh seeds, 20 at a time.
power_cuts() {
    local seconds=$1 t0 at runs=0 code=0 remark log=$build/logs/power
    t0=$(date +%s)
    at=$((t0 * 1000))
    remark="seeds from $at"
    : >"$log"
    while [ $(($(date +%s) - t0)) -lt "$seconds" ]; do
        if ! "$bin/test_power" --seeds 20 --from "$at" >"$log.$at" 2>&1; then
            remark="see logs/power.$at: $(what_was_found "$log.$at")"
            code=1
            break
        fi
        grep -aE '^(lives|writes)' "$log.$at" >>"$log"
        rm "$log.$at"
        runs=$((runs + 20))
        at=$((at + 20))
    done
    record power "$(($(date +%s) - t0))" "$runs" "$code" "$remark" "$(figures words "$log")"
}

# make_build dir options..: configured and built, or the end.
make_build() {
    local dir=$build/$1
    shift
    if ! cmake -S "$src" -B "$dir" -G Ninja -DSTOA_SHARED_VECTORS="$src/../shared/vectors" \
        -DSTOA_SHARED_DATA="$src/../shared/data" "$@" >"$build/logs/build" 2>&1 ||
        ! cmake --build "$dir" -j "$jobs" >>"$build/logs/build" 2>&1; then
        tail -n 20 "$build/logs/build" >&2
        record build 0 0 1 "does not build: $dir"
        exit 2
    fi
}

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
: >"$text"
say "stoa attack programme, $(date -u +%Y-%m-%dT%H:%MZ), commit $commit, $minutes minutes"

bin=$build/plain/bin
for phase in seeds power table calls store canaries; do
    wanted $phase && { make_build plain -DCMAKE_BUILD_TYPE=RelWithDebInfo; break; }
done
wanted seeds && sim_seeds "$(share 40)"
wanted power && power_cuts "$(share 20)"
wanted table && STOAD=$bin/stoad_points once table words "$bin/crash_table" --turns 3
wanted calls && once calls words "$bin/fail_nth" --limit 1000
wanted store && once store words "$bin/test_fail_store"
wanted canaries && once canaries ctest \
    ctest --test-dir "$build/plain" -L canary --output-on-failure

if wanted fuzz && command -v clang >/dev/null; then
    count=$(find tests/fuzz -name 'fuzz_*.c' | wc -l)
    once fuzz fuzz sh tests/fuzz/run.sh --jobs "$jobs" --build "$build/fuzz" \
        --seconds "$(($(share 40) * jobs / count + 1))"
    grep -a ' executions ' "$build/logs/fuzz" | sed 's/^/    /' >>"$text"
fi
if wanted asan; then
    make_build asan -DCMAKE_BUILD_TYPE=Debug -DSTOA_SANITIZE=address,undefined
    once asan ctest ctest --test-dir "$build/asan" -j "$jobs" -LE "bench|canary" --output-on-failure
fi
if wanted tsan; then
    make_build tsan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSTOA_SANITIZE=thread
    export TSAN_OPTIONS="suppressions=$src/tests/tsan.supp"
    once tsan ctest ctest --test-dir "$build/tsan" -j "$jobs" -LE "bench|canary|crash|docs|fuzz|sim" \
        --output-on-failure
fi

say "findings: $found; $(($(date +%s) - began)) s; $json"
write_json
[ "$found" -eq 0 ]
