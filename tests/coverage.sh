#!/bin/sh
# coverage.sh [--build DIR] [--report DIR] [--all]: lines and branches of crypto/ and ledger/ that the
# tests reach, with gcovr. Builds into DIR (default build-coverage), runs the unit, conformance and
# simulator tests (--all: the integration tests and the crash table too), prints a table, and writes
# coverage.txt, coverage.json and coverage.html into the report folder (default DIR).
set -u
cd "$(dirname "$0")/.." || exit 2
src=$PWD
build=$src/build-coverage
report=
skip='bench|canary|fuzz|integration|crash|sim'
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2; shift 2 ;;
    --report) report=$2; shift 2 ;;
    --all) skip='bench|canary|fuzz|sim'; shift ;;
    -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
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
    { tail -20 "$build/configure.log" "$build/build.log" >&2; exit 2; }
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" -j 2 -LE "$skip" >"$build/tests.log" 2>&1 ||
    { grep -E 'Failed|Timeout' "$build/tests.log" >&2; echo "tests failed; figures are of what ran" >&2; }
# Counting makes the simulator slow: a few seeds of it.
timeout 300 "$build/bin/sim" --seeds 8 --from 1 >"$build/sim.log" 2>&1 ||
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
echo "lines"
tail -4 "$report/coverage.txt"
echo "branches"
tail -4 "$report/branches.txt"
