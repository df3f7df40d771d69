#!/bin/sh
# canary.sh [-e] SECONDS WORDS program args..: a build that breaks one rule on purpose. Its tester
# has to find that within SECONDS and say so in WORDS (grep -E), else this fails. -e: ended as soon
# as the words are there, for a tester that would go on with other things.
early=
[ "$1" = -e ] && { early=1; shift; }
budget=$1
words=$2
shift 2
room=$(mktemp -d) || exit 2
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; rm -rf "$room"' EXIT
out=$room/out
mkdir "$room/tmp"
began=$(date +%s)
# One line at a time, so that words are seen when they are said. stdbuf works by a library
# loaded first, which a program under AddressSanitizer does not allow.
lines="stdbuf -oL"
grep -aq __asan_init "$1" && lines=
# shellcheck disable=SC2086
TMPDIR=$room/tmp $lines "$@" >"$out" 2>&1 &
pid=$!
while kill -0 "$pid" 2>/dev/null; do
    took=$(($(date +%s) - began))
    if [ -n "$early" ] && grep -aqE "$words" "$out"; then
        break
    fi
    if [ "$took" -ge "$budget" ]; then
        echo "NOT caught within $budget s: $*"
        tail -5 "$out"
        exit 1
    fi
    sleep 0.1
done
took=$(($(date +%s) - began))
if ! kill -0 "$pid" 2>/dev/null; then
    wait "$pid"
    code=$?
    pid=
    if [ "$code" -eq 0 ]; then
        echo "NOT caught, the tester is content after $took s: $*"
        exit 1
    fi
fi
if ! grep -aqE "$words" "$out"; then
    echo "failed with $code, but not in the words \"$words\": $*"
    tail -15 "$out"
    exit 1
fi
echo "caught in $took s of $budget: $(grep -aE -m1 "$words" "$out" | cut -c1-200)"
