#!/bin/sh
# coverage.sh [--build DIR] [--report DIR] [--quick]: lines and branches of crypto/ and ledger/ that the
# tests reach, with gcovr. Builds into DIR (default build-coverage), runs the tests and a few seeds of
# the simulator (--quick: unit and conformance tests and corpora only), prints a table by part, and
# writes coverage.txt, branches.txt, coverage.json and coverage.html into the report folder (default
# DIR). Processes that are killed count for nothing, so the crash table is left out; and counting writes
# files, which a hub in memory must not.
set -u
cd "$(dirname "$0")/.." || exit 2
src=$PWD
build=$src/build-coverage
report=
skip='bench|canary|sim'
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2; shift 2 ;;
    --report) report=$2; shift 2 ;;
    --quick) skip='bench|canary|sim|integration|crash'; shift ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "coverage.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
command -v gcovr >/dev/null || { echo "coverage.sh: gcovr is not installed" >&2; exit 2; }
report=${report:-$build}
mkdir -p "$build" "$report" || exit 2
# Asserts are not branches anybody should reach: they stay out of the figures.
cmake -S "$src" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DSTOA_HARDEN=OFF \
    -DSTOA_SHARED_VECTORS="$src/../shared/vectors" -DSTOA_SHARED_DATA="$src/../shared/data" \
    -DCMAKE_C_FLAGS="--coverage -fprofile-update=atomic" -DCMAKE_EXE_LINKER_FLAGS=--coverage \
    >"$build/configure.log" 2>&1 && cmake --build "$build" -j 2 >"$build/build.log" 2>&1 ||
    { tail -n 20 "$build/configure.log" "$build/build.log" >&2; exit 2; }
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" -j 2 -LE "$skip" -E 'crash.table|crash.fail_nth|stoad_memory' --timeout 900 \
    >"$build/tests.log" 2>&1 ||
    { grep -E 'Failed|Timeout' "$build/tests.log" >&2; echo "tests failed; figures are of what ran" >&2; }
# Counting makes the simulator slow: a few seeds of it.
timeout 600 "$build/bin/sim" --seeds 24 --from 1 >"$build/sim.log" 2>&1 ||
    echo "the simulator did not come to its end; figures are without it" >&2
gcovr --root "$src" --filter 'crypto/' --filter 'ledger/' --exclude 'ledger/failpoint.c' \
    --exclude-branches-by-pattern '.*assert\(.*' --exclude-throw-branches \
    --gcov-ignore-parse-errors --object-directory "$build" \
    --txt "$report/coverage.txt" --json-summary "$report/coverage.json" \
    --html-details "$report/coverage.html" "$build" >"$build/gcovr.log" 2>&1 ||
    { tail -5 "$build/gcovr.log" >&2; exit 2; }
gcovr --root "$src" --filter 'crypto/' --filter 'ledger/' --exclude 'ledger/failpoint.c' \
    --exclude-branches-by-pattern '.*assert\(.*' --gcov-ignore-parse-errors \
    --object-directory "$build" --branches --txt "$report/branches.txt" "$build" \
    >>"$build/gcovr.log" 2>&1

# part FILTER NAME: lines and branches of the files whose names match, from both tables.
part() {
    for table in coverage branches; do
        awk -v part="$1" '$1 ~ part && $2 ~ /^[0-9]+$/ { all += $2; hit += $3 }
            END { printf "%s %.1f\n", all, all ? 100 * hit / all : 100 }' "$report/$table.txt"
    done | tr '\n' ' ' | {
        read -r lines line_share branches branch_share
        printf '%-34s %6s lines %5s %%  %6s branches %5s %%\n' "$2" "$lines" "$line_share" \
            "$branches" "$branch_share"
    }
}
part '^crypto/' 'crypto'
part '^ledger/' 'ledger'
part '^ledger/(account|apply|entry|kinds|mp|wire|address|amount|bech32m|slotlog|sequencer|outbox)' \
    '  formats, rules, sequencing'
part '^ledger/(recover|evidence|head_file|receipt|projection|trace|err|bytes)' '  recovery, evidence, words'
part '^ledger/store(_(memory|table|tree|util|sqlite)|[.])' '  stores: memory, SQLite'
part '^ledger/store_postgres' '  store: Postgres'
part '^ledger/(link|web)' '  edges to the network'
part '^(crypto|ledger)/' 'together'
