# A payment that is cut off at any moment and repeated with the same --request counts once.
. "${0%/*}/lib.sh"
hub_init
hub_start
wallet anna
wallet bo
BO=$(address bo)
accrue "$(address anna)" 1000
A="--wallet $T/anna"
ROUNDS=${STOA_CRASH_ROUNDS:-30}

# a random number below $1
random()
{
    od -An -N2 -tu2 /dev/urandom | awk -v n="$1" '{ print $1 % n }'
}

# repeat REQUEST: until it is done; at most a few times.
repeat()
{
    for n in 1 2 3 4 5 6; do
        stoa send "$BO" 1 $A --request "$1" --timeout 5s >"$T/out" 2>"$T/err" </dev/null && return
        code=$?
        case $code in 2 | 3 | 69 | 75) sleep 0.2 ;; *) fail "exit $code of request $1" ;; esac
    done
    fail "request $1 is never done"
}

for i in $(seq 1 "$ROUNDS"); do
    stoa send "$BO" 1 $A --request "cli-$i" >/dev/null 2>&1 </dev/null &
    PAY=$!
    sleep "$(printf '0.%03d' "$(random 120)")"
    kill -9 $PAY 2>/dev/null
    wait $PAY 2>/dev/null
    repeat "cli-$i"
done
equal "$(balance bo)" "$ROUNDS.00" "bo after $ROUNDS payments with the client killed"

HUBS=$((ROUNDS / 5))
for i in $(seq 1 $HUBS); do
    stoa send "$BO" 1 $A --request "hub-$i" --timeout 3s >/dev/null 2>&1 </dev/null &
    PAY=$!
    sleep "$(printf '0.%03d' "$(random 100)")"
    hub_kill
    wait $PAY
    CODE=$?
    case $CODE in 0 | 2 | 3 | 69) ;; *) fail "exit $CODE when the hub was killed" ;; esac
    hub_start
    repeat "hub-$i"
done
ALL=$((ROUNDS + HUBS))
ok stoa resume $A
equal "$(balance bo)" "$ALL.00" "bo at the end"
equal "$(balance anna)" "$((1000 - ALL)).00" "anna at the end"
ok stoa history $A --csv
equal "$(grep -c ,transfer, "$T/out")" $ALL "transfers in the ledger"
ok stoa verify $A --full
echo "crash: good, $ALL payments"
