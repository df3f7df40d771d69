#!/bin/sh
# Runs every `sh` block of the README's session, word for word but for the port, in an empty
# folder whose build/bin holds the programs. The set-up commands are only looked at: the
# scripts they name must be there.
set -eu
readme=$1
work=$(mktemp -d)
hub=
finish() {
    [ -z "$hub" ] || kill "$hub" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

root=$(dirname "$readme")
for script in $(sed -n 's#^\./\(deploy/[a-z]*\.sh\).*#\1#p' "$readme"); do
    [ -x "$root/$script" ] || { echo "README names $script, which is not there"; exit 1; }
done

# Below the range from which the system hands out ports by itself.
port=$((20000 + $$ % 10000))
mkdir -p "$work/build"
ln -s "$STOA_BIN" "$work/build/bin"
awk '/^## A session/ {on = 1} /^## Where to go on/ {on = 0}
     on && /^```sh$/ {block = 1; next} /^```$/ {block = 0} block' "$readme" |
    sed "s/127\.0\.0\.1:7001/127.0.0.1:$port/g" >"$work/session"
grep -q 'stoa send' "$work/session" || { echo "README shows no session"; exit 1; }

# The hub is the one command that stays: note its id, wait until it listens.
sed -i '/stoad run .*&$/a hub=$!; echo "$hub" >hub.pid; n=0; until grep -q ^ready hub.out; do n=$((n + 1)); [ $n -lt 100 ]; sleep 0.1; done' "$work/session"
sed -i 's/\(stoad run .*\) &$/\1 >hub.out 2>hub.err \&/' "$work/session"
cd "$work"
export STOAD__LISTEN__CLIENT=127.0.0.1:$port
sh -eu session >out 2>err </dev/null || status=$?
hub=$(cat hub.pid 2>/dev/null || true)
cat out
if [ "${status:-0}" != 0 ]; then
    cat err hub.err
    exit "$status"
fi
grep -q 'credited' out && grep -q '12\.50 settled' out && grep -q 'good:' out && grep -q '^GOOD' out
