#!/bin/sh
# Debian packages (stoad, stoa, libstoa-dev) of this tree, for this machine's release:
#   ./deploy/package.sh [DIRECTORY]      where they are put; default: build-package
set -eu
cd "$(dirname "$0")/.."
out=${1:-build-package}
sh deploy/packages.sh build
cmake -S . -B build-package/tree -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_TESTING=OFF
cmake --build build-package/tree
cpack --config build-package/tree/CPackConfig.cmake -B "$out"
ls -l "$out"/*.deb
