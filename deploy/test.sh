#!/bin/sh
# Installs what the tests need, builds, runs everything with CTest: the release build first
# (it holds the timing-sensitive programs), then the sanitizer build.
#   ./deploy/test.sh            everything
#   ./deploy/test.sh release    one build only: release, debug (ASan+UBSan), tsan, clang
set -eu
cd "$(dirname "$0")/.."
sh deploy/packages.sh test
builds=${1:-"clang release debug"}
jobs=$(nproc)
for build in $builds; do
    echo "== $build"
    cmake --preset "$build" -DBUILD_TESTING=ON
    cmake --build --preset "$build"
    # clang is there to prove that it compiles without a warning.
    [ "$build" = clang ] && continue
    ctest --preset "$build" --parallel "$jobs" --no-tests=error
done
