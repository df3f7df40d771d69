# deploy/region.sh as people use it: up, looked at, a client that pays through the balancer while
# relays are killed and drained, down, up again with the same ledger, gone.
. "${0%/*}/../cli/lib.sh"
REGION="sh $STOA_DEPLOY/region.sh"
export STOA_REGION_DIR="$T/r"
PATH=$PATH:/usr/sbin
for program in haproxy redis-server setsid; do
    command -v $program >/dev/null || { echo "skipped: no $program"; exit 77; }
done
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || [ -n "${STOA_PG_BIN:-}" ] || { echo "skipped: no postgres"; exit 77; }
chmod 711 "$T" # the database's user goes through it

gone()
{
    code=$?
    [ $code -eq 0 ] || for log in "$T"/r/relay?.log; do
        [ ! -f "$log" ] || { echo "--- $log:"; grep -v level=info "$log" | tail -n 8; }
    done
    $REGION down --delete >/dev/null 2>&1
    (exit $code)
    finish
}
trap gone EXIT

# well: everything is, soon; slots may still be on their way.
well()
{
    for _ in $(seq 1 50); do
        $REGION status >"$T/out" 2>"$T/err" && return
        sleep 0.2
    done
    fail "the region is not well"
}

# unhurt: no sanitizer has said anything in a relay's messages.
unhurt()
{
    for log in "$T"/r/relay?.log; do
        ! grep -E 'runtime error|Sanitizer|Assertion' "$log" || fail "in $log"
    done
}

expect 64 $REGION
expect 64 $REGION fly
expect 1 $REGION status
says 'no region'
# A folder with something else in it stays what it is.
mkdir "$T/home" && echo dear >"$T/home/letter"
for deed in up status down 'down --delete'; do
    STOA_REGION_DIR="$T/home" expect 1 $REGION $deed
    says 'something else than a region'
done
equal "$(ls "$T/home")" letter "what is in the folder"
if [ "$(id -u)" = 0 ]; then
    mkdir "$T/theirs" && chown 65534 "$T/theirs"
    for deed in up status 'kill 1' down; do
        STOA_REGION_DIR="$T/theirs" expect 1 $REGION $deed
        says 'not a folder of'
    done
fi
ok $REGION up --while $$
. "$T/r/region.env" # as any shell reads it
[ -n "$STORE" ] || fail "region.env has no STORE for a shell"
ok stoactl schema status --store "$STORE"
KEY=$ISSUER_KEY
well
equal "$(grep -c ' up ' "$T/out")" 6 "parts that are up"
n=0
until [ "$(sed -n 's/.*, \([0-9]*\) slots$/\1/p' "$T/out" | awk '{ n += $1 } END { print n }')" = 16 ]; do
    n=$((n + 1))
    [ $n -lt 50 ] || fail "slots of all relays are not 16"
    sleep 0.2
    well
done
pids=$(cat "$T"/r/*.pid)
ok $REGION up
equal "$(cat "$T"/r/*.pid)" "$pids" "pids after a second up"
expect 1 $REGION kill 4
says 'there are 3 relays'

wallet anna
wallet bo
BO=$(address bo)
accrue "$(address anna)" 1000
PAID=0

# pay: until it is done, whatever happens meanwhile; the same request every time.
pay()
{
    PAID=$((PAID + 1))
    for n in $(seq 1 40); do
        stoa send "$BO" 1 --wallet "$T/anna" --request "r-$PAID" --timeout 10s >"$T/out" 2>"$T/err" </dev/null && return
        code=$?
        case $code in 2 | 3 | 69 | 75) sleep 0.2 ;; *) fail "exit $code of payment $PAID" ;; esac
    done
    fail "payment $PAID is never done"
}

# pays N
pays()
{
    for k in $(seq 1 "$1"); do
        pay
    done
}

# Somebody looks on from here to the end.
stoa watch bo --wallet "$T/bo" --count 23 --for 120s --json >"$T/watch.out" 2>"$T/watch.err" </dev/null &
WATCH=$!
pays 5
# Whoever has the payer's slot, and whoever has the payee's: one after the other.
for n in 1 2 3; do
    (sleep 0.1; exec $REGION kill $n) >"$T/kill.out" 2>&1 &
    WAIT=$!
    pays 4
    wait $WAIT || fail "kill $n: $(cat "$T/kill.out")"
    expect 1 $REGION status
    equal "$(grep -c " down " "$T/out")" 1 "parts that are down after kill $n"
    ok $REGION up
done
(sleep 0.1; exec $REGION stop 2) >"$T/stop.out" 2>&1 &
WAIT=$!
pays 4
wait $WAIT || fail "stop 2: $(cat "$T/stop.out")"
unhurt
ok $REGION up
pays 2
wait $WATCH || fail "the watch: $(tail -n 3 "$T/watch.err")"
equal "$(grep -c '"kind":"credit"' "$T/watch.out")" $PAID "payments that the watch told"
equal "$(balance bo)" "$PAID.00" "bo in the end"
equal "$(balance anna)" "$((1000 - PAID)).00" "anna in the end"
ok stoa verify --wallet "$T/anna" --full

ok $REGION down
unhurt
for pid in $(cut -d ' ' -f 1 "$T"/r/*.pid 2>/dev/null); do
    ! kill -0 "$pid" 2>/dev/null || fail "process $pid still runs"
done
expect 1 $REGION status
ok $REGION up
well
pay
equal "$(balance bo)" "$PAID.00" "bo after everything was down"
ok $REGION down --delete
[ ! -e "$T/r" ] || fail "the folder is still there"

# It ends with whoever it was for. How many relays and whether there is a Redis was said once.
sleep 60 &
FOR=$!
export STOA_REGION_BUS=none STOA_REGION_RELAYS=1
ok $REGION up --while $FOR
unset STOA_REGION_BUS STOA_REGION_RELAYS
ok $REGION up
well
equal "$(grep -c ' up ' "$T/out")" 3 "parts of a region of one relay and no Redis"
kill $FOR
n=0
while [ -e "$T/r" ]; do
    n=$((n + 1))
    [ $n -lt 300 ] || fail "it outlives what it was for"
    sleep 0.1
done
echo "region.sh: good, $PAID payments"
