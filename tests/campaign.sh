#!/bin/bash
# The attack programme: campaign.sh [--minutes M] [--build DIR] [--report PREFIX] [--jobs N] [--only phase,..]
#
# In turn, each with a share of M minutes (default 30; building and the crash table take what they
# take): simulator seeds, power cuts, the crash table, failing calls, canaries, fuzzers (clang), all
# tests under ASan and UBSan, threads under TSan. Seeds come from the clock and are in the report.
# Writes PREFIX.txt and PREFIX.json (default DIR/campaign) as it goes on; logs are in DIR/logs.
# Ends with 1 when anything was found, 2 when it could not run.
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
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
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
    printf '{"commit": "%s", "began": %s, "seconds": %s, "findings": %s, "phases": [%s]}\n' \
        "$commit" "$began" "$(($(date +%s) - began))" "$found" "$lines" >"$json"
}

# record name seconds runs findings remark
record() {
    say "$(printf '%-10s %5s s %8s runs %3s findings  %s' "$1" "$2" "$3" "$4" "$5")"
    found=$((found + $4))
    lines="$lines${lines:+, }{\"phase\": \"$1\", \"seconds\": $2, \"runs\": $3, \"findings\": $4, \"remark\": \"$(printf %s "$5" | tr -d '"\\' | tr '\n\t' '  ')\"}"
    write_json
}

# once name command..: one run.
once() {
    local name=$1 t0 code=0 remark
    shift
    t0=$(date +%s)
    "$@" >"$build/logs/$name" 2>&1 || code=1
    remark=$(tail -1 "$build/logs/$name" | cut -c1-160)
    [ "$code" -ne 0 ] && remark="see logs/$name: $(grep -aE 'FOUND|WRONG|FAILED|Failed|NOT caught|SUMMARY' "$build/logs/$name" | head -1 | cut -c1-160)"
    record "$name" "$(($(date +%s) - t0))" 1 "$code" "$remark"
}

# seeds name seconds count program args..: fresh seeds, `count` at a time, until the time is over.
seeds() {
    local name=$1 seconds=$2 count=$3 t0 at runs=0 code=0 remark=
    shift 3
    t0=$(date +%s)
    at=$((t0 * 1000))
    remark="seeds from $at"
    while [ $(($(date +%s) - t0)) -lt "$seconds" ]; do
        if ! "$@" --seeds "$count" --from "$at" >"$build/logs/$name" 2>&1; then
            cp "$build/logs/$name" "$build/logs/$name.$at"
            remark="see logs/$name.$at: $(grep -aE 'run again|WRONG' "$build/logs/$name" | tail -1 | cut -c1-160)"
            code=1
            break
        fi
        runs=$((runs + count))
        at=$((at + count))
    done
    record "$name" "$(($(date +%s) - t0))" "$runs" "$code" "$remark"
}

# make_build dir options..: configured and built, or the end.
make_build() {
    local dir=$build/$1
    shift
    if ! cmake -S "$src" -B "$dir" -G Ninja -DSTOA_SHARED_VECTORS="$src/../shared/vectors" \
        -DSTOA_SHARED_DATA="$src/../shared/data" "$@" >"$build/logs/build" 2>&1 ||
        ! cmake --build "$dir" -j "$jobs" >>"$build/logs/build" 2>&1; then
        tail -20 "$build/logs/build" >&2
        record build 0 0 1 "does not build: $dir"
        exit 2
    fi
}

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
: >"$text"
say "stoa attack programme, $(date -u +%Y-%m-%dT%H:%MZ), commit $commit, $minutes minutes"

make_build plain -DCMAKE_BUILD_TYPE=RelWithDebInfo
bin=$build/plain/bin
wanted seeds && seeds seeds "$(share 20)" 20 "$bin/sim"
wanted power && seeds power "$(share 15)" 20 "$bin/test_power"
wanted table && STOAD=$bin/stoad_points once table "$bin/crash_table" --turns 3
wanted calls && once calls "$bin/fail_nth" --limit 1000
wanted store && once store "$bin/test_fail_store"
wanted canaries && once canaries ctest --test-dir "$build/plain" -L canary --output-on-failure

if wanted fuzz && command -v clang >/dev/null; then
    count=$(grep -c . "$build/plain/fuzzers.txt")
    once fuzz sh tests/fuzz/run.sh --jobs "$jobs" --build "$build/fuzz" \
        --seconds "$(($(share 25) * jobs / (count > 0 ? count : 1) + 1))"
fi
if wanted asan; then
    make_build asan -DCMAKE_BUILD_TYPE=Debug -DSTOA_SANITIZE=address,undefined
    once asan timeout "$(($(share 25) + 300))" \
        ctest --test-dir "$build/asan" -j "$jobs" -LE "bench|canary" --output-on-failure
fi
if wanted tsan; then
    make_build tsan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSTOA_SANITIZE=thread
    once tsan timeout "$(($(share 15) + 300))" \
        ctest --test-dir "$build/tsan" -j "$jobs" -L "integration|conformance|client|relay" \
        --output-on-failure
fi

say "findings: $found; $(($(date +%s) - began)) s; $json"
write_json
[ "$found" -eq 0 ]
