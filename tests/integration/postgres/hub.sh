# A hub on Postgres: a session of payments while the server loses a backend to kill -9, crashes,
# and is away for a while. The relay is never restarted for it; nothing is lost, nothing counts
# twice; and everything verifies from the first record afterwards.
. "${0%/*}/../cli/lib.sh"
SET="--set hub.name=test --set hub.state_dir=$T/hub --set listen.admin= --set store.min_free_bytes=0
 --set keys.passphrase=none --set store.uri=$STOA_PG_URI"
# shellcheck disable=SC2086
stoad init $SET >"$T/init.out" 2>"$T/hub.err" || fail "stoad init: $(cat "$T/hub.err")"
# shellcheck disable=SC2086
stoad init $SET >"$T/init.out" 2>"$T/again.err" && fail "a second init on the same ledger"
hub_start "store.uri=$STOA_PG_URI"
# shellcheck disable=SC2086
stoad run $SET --set hub.state_dir="$T/second" --set hub.keys_dir="$T/hub/keys" \
    --set listen.client=127.0.0.1:0 >/dev/null 2>"$T/err" </dev/null && fail "a second relay on the same slots"
says 'in use by another process'

. "${0%/*}/server.sh"
# Projections are kept all the while, by a process that sees the same crashes.
stoactl projection run --store "$STOA_PG_URI" --every 50ms >"$T/projector.out" 2>"$T/projector.err" &
PROJECTOR=$!
trap 'code=$?; kill $PROJECTOR 2>/dev/null; (exit $code); finish' EXIT
wallet anna
wallet bo
BO=$(address bo)
accrue "$(address anna)" 1000
A="--wallet $T/anna"
PAID=0

# pay: until it is done, whatever happens meanwhile; the same request every time.
pay()
{
    PAID=$((PAID + 1))
    for n in $(seq 1 80); do # a server that recovers on a busy disk takes its time
        # shellcheck disable=SC2086
        stoa send "$BO" 1 $A --request "pg-$PAID" --timeout 5s >"$T/out" 2>"$T/err" </dev/null && return
        code=$?
        case $code in 2 | 3 | 69 | 75) sleep 0.3 ;; *) fail "exit $code of payment $PAID" ;; esac
    done
    fail "payment $PAID is never done"
}

# while_paying WORD: payments in a row, and in their midst the server does that.
while_paying()
{
    NEXT=$(($(deeds) + 1))
    (sleep "0.$1"; echo "$2" >"$STOA_PG_PIPE") &
    WAIT=$!
    for k in 1 2 3 4 5 6 7 8; do
        pay
    done
    wait $WAIT
    obeyed $NEXT "$2"
}

for i in 1 2 3 4; do
    while_paying "$i" cut
    while_paying "$i" crash
done
equal "$(grep -c ' ok$' "$STOA_PG_PIPE.done")" 8 "backends killed and crashes made"
equal "$(balance bo)" "$PAID.00" "bo after the server lost backends and crashed"

# Sessions that end between two reads: who reads next is answered, at once.
FAILED=$(grep -c event=reader.failed "$T/hub.err")
for i in 1 2 3; do
    server end
    equal "$(balance bo)" "$PAID.00" "bo after sessions were ended"
done
equal "$(grep -c event=reader.failed "$T/hub.err")" "$FAILED" "reads that failed"

# Somebody's lock: what waits for it goes on after it, the projector too.
server lock
ready write true
pay

server stop
ready write false
ready read false
# shellcheck disable=SC2086
stoa send "$BO" 1 $A --request away --timeout 2s >"$T/out" 2>"$T/err" </dev/null && fail "a payment without a store"
server start
ready write true
ready read true
pay
# shellcheck disable=SC2086
ok stoa send "$BO" 1 $A --request away
PAID=$((PAID + 1))
# shellcheck disable=SC2086
ok stoa resume $A
equal "$(balance bo)" "$PAID.00" "bo at the end"
equal "$(balance anna)" "$((1000 - PAID)).00" "anna at the end"
# shellcheck disable=SC2086
ok stoa history $A --csv
equal "$(grep -c ,transfer, "$T/out")" "$PAID" "transfers in the ledger"
# shellcheck disable=SC2086
ok stoa verify $A --full
kill -0 "$HUB_PID" || fail "the relay ended"
hub_kill
hub_start "store.uri=$STOA_PG_URI"
# shellcheck disable=SC2086
ok stoa verify $A --full

# What they say is what the wallets say, over HTTP, and what a rebuild gives.
n=0
until stoactl projection status --store "$STOA_PG_URI" --json >"$T/out" && ! grep -Eq '"behind":[1-9]' "$T/out"; do
    n=$((n + 1))
    [ $n -lt 100 ] || fail "projections stay behind: $(cat "$T/out" "$T/projector.err")"
    sleep 0.1
done
kill -0 $PROJECTOR || fail "the projector ended: $(cat "$T/projector.err")"
view "/v1/account/$BO"
equal "$(cat "$T/code")" 200 "GET account"
equal "$(get balance)" "${PAID}000000" "bo's balance as projected"
equal "$(get as_of.behind)" 0 "records behind"
view "/v1/account/$(address anna)/earnings"
equal "$(get days.0.amount)" 1000000000 "what anna earned"
equal "$(get next)" null "a second page"
view /v1/projections
equal "$(get schema)" stoa/projections/1 "projections"
n=0
until curl -sS -m 5 "http://127.0.0.1:$PORT/metrics" >"$T/metrics" && grep -qx "stoa_projection_known 1" "$T/metrics" &&
    grep -qx "stoa_projection_behind_records 0" "$T/metrics"; do
    n=$((n + 1))
    [ $n -lt 80 ] || fail "metrics of projections: $(grep ^stoa_projection "$T/metrics")"
    sleep 0.1
done
[ "$(sed -n 's/^stoa_projection_records //p' "$T/metrics")" -ge "$PAID" ] || fail "records the projections hold"
view /v1/rich-list
equal "$(get schema)" stoa/rich-list/1 "rich list"
for path in /v1/account/nobody /v1/account/ "/v1/account/$BO/earnings?before=x"; do
    view "$path"
    equal "$(cat "$T/code")" 400 "GET $path"
done
view "/v1/account/00000000000000000000000000000000000000000000000000000000000000ff"
equal "$(cat "$T/code")" 404 "GET an unknown account"
ok stoactl projection rebuild --check --store "$STOA_PG_URI"
ok stoactl projection rebuild 0 --store "$STOA_PG_URI"
grep -q "the same as before" "$T/out" || fail "a rebuild differs: $(cat "$T/out")"
kill $PROJECTOR
wait $PROJECTOR || fail "the projector's exit: $(cat "$T/projector.err")"
equal "$(balance bo)" "$PAID.00" "bo after a restart of the relay"

# An auditor at the ledger itself, while the hub runs: the same verdict and the same export as over
# the web, and from there on with a state.
stoa-audit verify "$STOA_PG_URI" --trust-on-first-use --state "$T/state" >"$T/out" 2>"$T/err" ||
    fail "audit: $(cat "$T/out" "$T/err")"
grep -q '^GOOD' "$T/out" || fail "audit: $(cat "$T/out")"
P="--policy $T/state/policy"
# shellcheck disable=SC2086
{
    pay
    ok stoa-audit verify "$STOA_PG_URI" $P --state "$T/state"
    ok stoa-audit replay "$STOA_PG_URI" $P
    ok stoa-audit diff "$STOA_PG_URI" "http://127.0.0.1:$PORT" $P
    ok stoa-audit export "$STOA_PG_URI" -O jsonl --out "$T/db.jsonl" $P
    ok stoa-audit export "http://127.0.0.1:$PORT" -O jsonl --out "$T/web.jsonl" $P
}
cmp "$T/db.jsonl" "$T/web.jsonl" || fail "two exports of one log differ"
ok stoactl schema status --store "$STOA_PG_URI"
grep -q 'stoa_owner:' "$T/hub.err" && fail "a URI in the trace"

# Nothing reads a ledger that a later program has changed, and both versions are told.
server newer
for command in "slot list" "slot move 00 --to $STOA_PG_URI" "slot forget 00 --at $STOA_PG_URI" \
    "projection status" "schema status" "schema apply"; do
    # shellcheck disable=SC2086
    expect 78 stoactl $command --store "$STOA_PG_URI"
    says 'the schema is version 99, this program knows [0-9]'
    [ -s "$T/out" ] && fail "stoactl $command tells something all the same: $(cat "$T/out")"
done
echo "hub: good, $PAID payments"
