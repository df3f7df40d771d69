# Every class of failure has its exit code and says what to try.
. "${0%/*}/lib.sh"
hub_init
hub_start
wallet anna
wallet bo
BO=$(address bo)
accrue "$(address anna)" 10
A="--wallet $T/anna"

# 64: the command is wrong
expect 64 stoa frobnicate
expect 64 stoa sned "$BO" 1 $A
says 'try: stoa send'
expect 64 stoa send "$BO" 1 $A --jsno
says 'try: --json'
expect 64 stoa send $A
expect 64 stoa send "$BO" 1 --csv $A
says 'does not know --csv'
expect 64 stoa balance a b c $A
expect 64 stoa send "$BO" 1 --timeout soon $A
expect 64 stoa device
says 'stoa help device'
expect 64 stoa help nonsense-word
ok stoa --version
# 65: the input is wrong
expect 65 stoa send nobody 1 $A
WRONG=$(echo "$BO" | awk '{ c = substr($0, 12, 1); print substr($0, 1, 11) (c == "q" ? "p" : "q") substr($0, 13) }')
expect 65 stoa send "$WRONG" 1 $A
expect 65 stoa send "$BO" 1.1234567 $A
expect 65 stoa send "$BO" 0 $A
expect 65 stoa import "$T/absent.jsonl" $A
expect 65 stoa receipt check "$T/absent" $A
# 4: the ledger's rules say no
expect 4 stoa send "$BO" 11 $A
says 'error\[T4130\] refused'
says 'exit 4'
expect 4 stoa send "$BO" 11 $A --json
equal "$(get error.reason)" balance "reason"
equal "$(get exit)" 4 "exit in JSON"
# 1: done, and the answer is no
ok stoa send "$BO" 1 $A --json
ID=$(get id)
ok stoa receipt get "$ID" $A --out "$T/proof"
awk '{ if (NR == 6) { c = substr($0, 5, 1); r = c == "A" ? "B" : "A"; $0 = substr($0, 1, 4) r substr($0, 6) } print }' \
    "$T/proof" >"$T/bad"
cmp -s "$T/proof" "$T/bad" && fail "nothing was changed in the proof"
stoa receipt check "$T/bad" $A >"$T/out" 2>"$T/err"
CODE=$?
[ $CODE -eq 1 ] || [ $CODE -eq 65 ] || fail "a changed proof gives exit $CODE"
# 69: no hub
expect 69 stoa sync $A --hub ws://127.0.0.1:1
expect 69 stoa sync $A --hub ws://127.0.0.1:1 --json
equal "$(get error.retry)" same-id "retry"
# 77: not allowed
ok stoa init --wallet "$T/other" --plaintext-keys --hub "$URL"
expect 77 stoa init --wallet "$T/x" --passphrase "file:$T/absent"
ok stoa init --wallet "$T/stranger" --plaintext-keys
expect 77 stoa sync --wallet "$T/stranger" --hub "$URL"
says 'try:.*--fingerprint HEX.*--trust-on-first-use'
# 78: the wallet's files
expect 78 stoa balance --wallet "$T/nowhere"
says 'stoa init'
cp -r "$T/anna" "$T/damaged"
head -c 8192 /dev/urandom >"$T/damaged/stoa.db"
rm -f "$T/damaged/stoa.db-wal"
expect 78 stoa balance --wallet "$T/damaged"
says 'try: stoa sync --rebuild'
# a hub restored from an older copy says so itself: that is no, not a bad network
cp -r "$T/hub" "$T/older"
ok stoa note newer $A
hub_kill
mv "$T/hub" "$T/newer"
mv "$T/older" "$T/hub"
hub_start
expect 1 stoa send "$BO" 1 $A
says 'error\[T1171\]'
ok stoa balance $A --offline
hub_kill
rm -rf "$T/hub"
mv "$T/newer" "$T/hub"
hub_start
# another hub under the same address is not the same hub
hub_kill
mv "$T/hub" "$T/first"
hub_init
hub_start
expect 77 stoa sync $A
hub_kill
rm -rf "$T/hub"
mv "$T/first" "$T/hub"
# 75: too fast
hub_start limits.entries_a_second=1 limits.burst=1
for i in 1 2 3; do
    ok stoa note "note $i" $A --wait saved
done
expect 75 stoa resume $A --timeout 1500ms --json
equal "$(get error.reason)" policy_rate "reason when too fast"
sleep 1.2
ok stoa resume $A --timeout 20s
hub_kill
# 3: the hub is killed after the payment was sent and before it answered
hub_start commit.linger_ms=900
mkfifo "$T/said"
stoa send "$BO" 1 $A --request cut --timeout 20s >"$T/said" 2>"$T/err" </dev/null &
SEND=$!
{
    read -r LINE
    kill -STOP "$HUB_PID" # what is sent arrives, and is not answered
    sleep 1
    hub_kill
    cat
} <"$T/said" >"$T/out"
HUB_PID=
wait $SEND
equal $? 3 "exit when the outcome is unknown"
says 'unknown\[T3'
says 'stoa resume'
ok stoa balance $A --offline
hub_start
ok stoa resume $A
ok stoa send "$BO" 1 $A --request cut
equal "$(balance bo)" 2.00 "bo, paid once although the answer was lost"
# on a terminal it asks first, and tells errors in colour unless NO_COLOR
if command -v script >/dev/null; then
    echo n | script -qec "stoa send $BO 1 $A" /dev/null >"$T/out" 2>&1
    equal $? 1 "exit of a payment that was not confirmed"
    has 'Send 1.00 points'
    echo y | script -qec "stoa send $BO 1 $A" /dev/null >"$T/out" 2>&1 || fail "confirmed payment"
    equal "$(balance bo)" 3.00 "bo after the confirmed payment"
    script -qec "stoa send $BO 1 --no-input $A" /dev/null >"$T/out" 2>&1 </dev/null
    equal $? 64 "exit when it may not ask"
    has "$(printf '\033')"
    NO_COLOR=1 script -qec "stoa send $BO 1 --no-input $A" /dev/null >"$T/out" 2>&1 </dev/null
    grep -q "$(printf '\033')" "$T/out" && fail "colour in spite of NO_COLOR"
fi
# a watch that is ended by a signal has done what it should
stoa watch $A --for 20s >"$T/out" 2>"$T/err" &
WATCH=$!
n=0
until grep -q '^watching ' "$T/err"; do
    n=$((n + 1))
    [ $n -lt 300 ] || fail "the watch does not begin"
    sleep 0.05
done
kill -TERM $WATCH
wait $WATCH
equal $? 0 "exit of a watch that was ended"
echo "codes: good"
