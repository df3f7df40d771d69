#!/bin/sh
# golang.org/x/mod (sumdb/note, sumdb/tlog) accepts our logs, over HTTP and as files, and nothing
# that was tampered with.
. "$STOA_CLI_LIB"
command -v go >/dev/null 2>&1 || { echo "no go here"; exit 77; }
[ -d /usr/share/gocode/src/golang.org/x/mod/sumdb ] || { echo "no golang-golang-x-mod-dev here"; exit 77; }

# Built from Debian's sources only: no module, no network.
LOGCHECK=$THIRD_PARTY_DIR/logcheck
GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS='' GOCACHE=$THIRD_PARTY_DIR/go-cache CGO_ENABLED=0 \
    go build -o "$LOGCHECK" "$THIRD_PARTY_SOURCE/logcheck.go" >"$T/out" 2>"$T/err" || fail "go build"
. "$THIRD_PARTY_SOURCE/logs.sh"

good()
{
    ok "$LOGCHECK" "$@"
}
# bad PATTERN ARGUMENT..: refused, with that reason.
bad()
{
    why=$1
    shift
    expect 1 "$LOGCHECK" "$@"
    says "^logcheck: \($why\)"
}

# Every log of the hub, over HTTP and as files, and what is published now is a beginning of what
# is published later.
each_log()
{
    for s in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do
        "$@" "0$s" || fail "$* 0$s"
    done
}
first()
{
    good "$(vkey "$1")" "$HTTP/log/$1"
    good "$(vkey "$1")" "$W/log/$1"
    cp "$W/log/$1/checkpoint" "$T/first.$1"
}
later()
{
    good "$(vkey "$1")" "$HTTP/log/$1" "$T/first.$1"
    good "$(vkey "$1")" "$W/log/$1" "$T/first.$1" "$W/log/$1/checkpoint"
}
each_log first
fill 900
publish
each_log later
good "$KEY_TEXT" "$W/log/$SLOT" "$T/first.$SLOT"
has "^test/$SLOT: [0-9]* records proven, [0-9]* tiles, 1 older checkpoints$"

# The key is the log's, and the log the key's.
OTHER=$(printf '%02x' $(((0x$SLOT + 1) % 16)))
bad "note: note has no verifiable signatures" "$(vkey "$OTHER")" "$W/log/$SLOT"
bad "key: malformed verifier id" "$(echo "$KEY_TEXT" | sed 's/+./+x/')" "$W/log/$SLOT"
bad "note $T/first.$OTHER: note has no verifiable" "$KEY_TEXT" "$W/log/$SLOT" "$T/first.$OTHER"

# One byte of any file: refused.
damaged "record 0: tile and bundle differ\|tile: downloaded" tile/0/000 flip 0
damaged "record 511: tile and bundle differ\|tile: downloaded" tile/0/001 flip 8191
damaged "tile: downloaded inconsistent tile" tile/1/000.p/$LEVEL1 flip 33
damaged "tile: downloaded inconsistent tile" "tile/0/$PARTIAL" flip 5
damaged "tile: TileReader returned bad result slice" tile/0/000 cut
damaged "record 0: " tile/entries/000 flip 2
damaged "record 255: " tile/entries/000 flip 20991
damaged "bundle 0: " tile/entries/000 flip 0
damaged "bundle 1: cut short" tile/entries/001 cut
damaged "record $((BUNDLES * 256)): " "tile/entries/$PARTIAL" flip 40
damaged "note: invalid signature" checkpoint flip 9 # the size
damaged "note: invalid signature" checkpoint flip $((${#SIZE} + 12)) # the root
damaged "note: " checkpoint cut
rm -rf "$T/bad"
cp -a "$W/log/$SLOT" "$T/bad"
cp "$T/bad/tile/0/001" "$T/bad/tile/0/000"
bad "record 0: tile and bundle differ\|tile: downloaded" "$KEY_TEXT" "$T/bad"
cp "$W/log/$SLOT/tile/0/000" "$T/bad/tile/0/000"
cp "$T/bad/tile/entries/001" "$T/bad/tile/entries/000"
bad "record 0: " "$KEY_TEXT" "$T/bad"

# What was published first is not a later state of what is published now.
bad "consistency: size [0-9]* after size" "$KEY_TEXT" "$T/old/log/$SLOT" "$W/log/$SLOT/checkpoint"

# Two histories under one key: each is fine alone, and neither a beginning of the other.
fork_log
good "$KEY_TEXT" "$T/fork/log/$SLOT" "$T/first.$SLOT"
[ "$(sed -n 2p "$T/fork/log/$SLOT/checkpoint")" -gt "$SIZE" ] || fail "the fork is too short"
bad "consistency: " "$KEY_TEXT" "$T/fork/log/$SLOT" "$W/log/$SLOT/checkpoint"
echo ok
