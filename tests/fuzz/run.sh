#!/bin/sh
# Run the fuzzers with limits: run.sh [--seconds N] [--build DIR] [--keep DIR] [--jobs N] [name..]
#
# Builds the fuzz preset (clang) into DIR if needed (default: build-fuzz beside the sources), runs
# each fuzzer for N seconds (default 60) over its seeds in corpus/ and what earlier runs found in
# DIR/corpus, and prints a line for each: inputs executed, edges covered, findings. Exits 1 when
# there is a finding; its input is kept in --keep (default: DIR/findings/<name>/).
set -u
cd "$(dirname "$0")/../.." || exit 2
src=$PWD
seconds=60
build=$src/build-fuzz
keep=
jobs=1
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --keep) keep=$2; shift 2 ;;
    --jobs) jobs=$2; shift 2 ;;
    -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
done
keep=${keep:-$build/findings}

if [ ! -f "$build/build.ninja" ]; then
    cmake --preset fuzz -B "$build" >/dev/null || exit 2
fi
cmake "$build" >/dev/null || exit 2
names=${*:-$(cut -d' ' -f1 "$build/fuzzers.txt")}
targets=
for name in $names; do
    if ! grep -q "^$name " "$build/fuzzers.txt"; then
        echo "run.sh: no fuzzer \"$name\"; there are: $(cut -d' ' -f1 "$build/fuzzers.txt" | tr '\n' ' ')" >&2
        exit 2
    fi
    targets="$targets fuzz_$name"
done
# shellcheck disable=SC2086
cmake --build "$build" --target $targets >"$build/fuzz-build.log" 2>&1 ||
    { tail -30 "$build/fuzz-build.log" >&2; exit 2; }

# One fuzzer: its log is in DIR/logs/<name>, its result in the last line of DIR/logs/<name>.sum.
run_one() {
    name=$1
    bytes=$(sed -n "s/^$name //p" "$build/fuzzers.txt")
    found=$build/corpus/$name
    log=$build/logs/$name
    mkdir -p "$found" "$keep/$name" "$build/logs"
    dict=
    [ -f "$src/tests/fuzz/dict/$name" ] && dict=-dict=$src/tests/fuzz/dict/$name
    before=$(find "$keep/$name" -type f | wc -l)
    ASAN_OPTIONS=abort_on_error=0:detect_stack_use_after_return=1 \
    UBSAN_OPTIONS=print_stacktrace=1 \
    "$build/bin/fuzz_$name" -max_total_time="$seconds" -max_len="$bytes" -timeout=10 \
        -rss_limit_mb=1024 -malloc_limit_mb=64 -print_final_stats=1 $dict \
        -artifact_prefix="$keep/$name/" "$found" "$src/tests/fuzz/corpus/$name" >"$log" 2>&1
    status=$?
    findings=$(($(find "$keep/$name" -type f | wc -l) - before))
    [ "$status" -ne 0 ] && [ "$findings" -eq 0 ] && findings=1
    execs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cover=$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$log" | tail -1)
    seeds=$(find "$found" -type f | wc -l)
    printf '%-14s %10s executions  %6s edges  %5s inputs kept  %s findings\n' \
        "$name" "${execs:-0}" "${cover:-0}" "$seeds" "$findings" | tee "$log.sum"
    if [ "$findings" -gt 0 ]; then
        grep -E 'does not hold|ERROR: |SUMMARY: |Test unit written' "$log" | sed 's/^/    /'
        return 1
    fi
    rmdir "$keep/$name" 2>/dev/null
    return 0
}

bad=0
running=
for name in $names; do
    run_one "$name" &
    running="$running $!"
    # shellcheck disable=SC2086
    set -- $running
    if [ $# -ge "$jobs" ]; then
        wait "$1" || bad=1
        shift
        running="$*"
    fi
done
for pid in $running; do
    wait "$pid" || bad=1
done
exit $bad
