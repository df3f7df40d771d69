#!/bin/sh
# Installs Debian packages (bookworm or trixie). Usage: packages.sh build|test
# "build": what it takes to build and run Stoa. "test": that, and what the tests need.
# Packages that are there already are left alone, so a second run needs no root.
set -eu

build="gcc g++ libc6-dev cmake ninja-build pkgconf ca-certificates
 libwebsockets-dev libwebsockets-evlib-uv libuv1-dev libsodium-dev libssl-dev
 libsqlite3-dev libjansson-dev libtomlplusplus-dev libcurl4-openssl-dev libpq-dev
 libhiredis-dev"
test="libcmocka-dev clang strace sqlite3 postgresql hledger redis-server haproxy curl
 golang-go golang-golang-x-mod-dev dpkg-dev file iproute2 systemd"

# Names that differ between releases: the first one that exists is taken.
pick() {
    for name in "$@"; do
        if apt-cache show "$name" >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    echo "packages.sh: none of these packages is known to apt: $*" >&2
    return 1
}

installed() {
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

case "${1:-}" in
build) wanted=$build ;;
test) wanted="$build $test" ;;
*)
    echo "usage: packages.sh build|test" >&2
    exit 64
    ;;
esac

missing=""
for name in $wanted; do
    installed "$name" || missing="$missing $name"
done
if [ "${1}" = test ]; then
    installed libmsgpack-dev || installed libmsgpack-c-dev || missing="$missing MSGPACK"
    ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1 ||
        missing="$missing CLANG_RT"
    # A node from elsewhere brings its npm along and is not to be replaced.
    { command -v node && command -v npm; } >/dev/null 2>&1 || missing="$missing nodejs npm"
fi
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1; then
        as_root=sudo
    else
        echo "packages.sh: these packages are missing and this user cannot install them:$missing" >&2
        echo "  try: as root, sh deploy/packages.sh $1" >&2
        exit 77
    fi
fi
$as_root apt-get update -qq
resolved=""
for name in $missing; do
    case "$name" in
    MSGPACK) name=$(pick libmsgpack-dev libmsgpack-c-dev) ;;
    CLANG_RT) name=$(pick libclang-rt-14-dev libclang-rt-19-dev) ;;
    esac
    resolved="$resolved $name"
done
echo "installing:$resolved"
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $resolved >/dev/null
