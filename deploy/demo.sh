#!/bin/sh
# From a fresh Debian machine to a running hub: installs packages, builds, runs `stoa demo`.
#   ./deploy/demo.sh          leaves the hub running until Ctrl-C
#   ./deploy/demo.sh --once   ends by itself
set -eu
cd "$(dirname "$0")/.."
sh deploy/packages.sh build
cmake --preset release -DBUILD_TESTING=OFF >build-demo.log 2>&1 || { cat build-demo.log >&2; exit 1; }
cmake --build --preset release --target stoad stoactl stoa_cli stoa_audit
exec build/bin/stoa demo "$@"
