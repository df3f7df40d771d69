# A hub whose slots are on two servers, and slots that are moved while it runs: nothing is lost or
# doubled, everything verifies. A restored copy of one of the servers is found out by the other's
# logs.
. "${0%/*}/../cli/lib.sh"
command -v curl >/dev/null 2>&1 || { echo "no curl here"; exit 77; }
. "${0%/*}/server.sh"
SET="--set hub.name=test --set hub.state_dir=$T/hub --set listen.admin= --set store.min_free_bytes=0
 --set keys.passphrase=none"
# shellcheck disable=SC2086
stoad init --slots 4 $SET --set store.uri="$STOA_PG_URI" >"$T/init.out" 2>"$T/hub.err" || fail "stoad init: $(cat "$T/hub.err")"
server second
SECOND=$(cat "$STOA_PG_PIPE.second")
ok stoactl schema apply --store "$SECOND"
hub_start "store.uri=$STOA_PG_URI"
NAMES="anna bo carl dora emil fred"
# person NAME SERVER: a wallet whose account is in a slot that will be on that server.
person()
{
    for n in $(seq 1 40); do
        wallet "$1"
        address "$1" >"$T/address"
        case $("$STOA_JSON" accounts.0.slot <"$T/a.json") in 1 | 2) on=second ;; *) on=first ;; esac
        [ $on = "$2" ] && return
        rm -rf "${T:?}/$1"
    done
    fail "no account of $1 on the $2 server"
}
for name in $NAMES; do
    case $name in anna | bo | carl) person "$name" second ;; *) person "$name" first ;; esac
    ADDRESS=$(address "$name")
    eval "of_$name=$ADDRESS"
    accrue "$ADDRESS" 100
done

# pay FROM TO: one point, until it is done; the same request every time.
PAID=0
pay()
{
    PAID=$((PAID + 1))
    for n in $(seq 1 60); do
        eval "TO=\$of_$2"
        stoa send "$TO" 1 --wallet "$T/$1" --request "place-$PAID" --timeout 5s >"$T/pay.out" 2>"$T/pay.err" </dev/null &&
            return
        code=$?
        case $code in 2 | 3 | 69 | 75) sleep 0.2 ;; *) fail "exit $code of payment $PAID" ;; esac
    done
    fail "payment $PAID is never done"
}

# Payments round and round, until told to stop, in a process of their own.
pay_on()
{
    while [ ! -f "$T/enough" ]; do
        pay anna bo; pay bo carl; pay carl dora; pay dora emil; pay emil fred; pay fred anna
        echo "$PAID" >"$T/paid.new" && mv "$T/paid.new" "$T/paid"
    done
}

move()
{
    ok stoactl slot move "$1" --to "$2" --store "$STOA_PG_URI"
    sed 's/^/slot: /' "$T/err"
}

pay_on 2>"$T/payer.err" &
PAYER=$!
trap 'code=$?; kill $PAYER 2>/dev/null; wait $PAYER 2>/dev/null; (exit $code); finish' EXIT
sleep 1
move 01 "$SECOND"
sleep 0.5
move 02 "$SECOND"
sleep 0.5
move 01 "$STOA_PG_URI"
sleep 0.5
move 01 "$SECOND"
move 01 "$SECOND" # it is there
sleep 1
n=0
until [ "$(cat "$T/paid" 2>/dev/null || echo 0)" -ge 12 ]; do
    n=$((n + 1))
    [ $n -lt 600 ] || fail "payments do not get on while slots move"
    kill -0 $PAYER 2>/dev/null || fail "a payment failed while slots moved: $(cat "$T/payer.err")"
    sleep 0.1
done
touch "$T/enough"
wait $PAYER || fail "a payment failed while slots moved: $(cat "$T/payer.err")"
PAID=$(cat "$T/paid")
[ "$PAID" -ge 12 ] || fail "only $PAID payments"
kill -0 "$HUB_PID" || fail "the hub ended"
grep 'level=error' "$T/hub.err" | grep -Ev 'event=(commit.not_committed|recover.reload slot=[12] size=0 result=store)' && fail "the hub complains"

# all_well: every balance, and every log from its first record.
all_well()
{
    for name in $NAMES; do
        equal "$(balance "$name")" 100.00 "balance of $name"
        ok stoa verify --wallet "$T/$name" --full
    done
}
all_well
ok stoactl slot list --store "$STOA_PG_URI" --json
equal "$(get slots.0.place)" "" "place of slot 0"
equal "$(get slots.1.place)" "$SECOND" "place of slot 1"
equal "$(get slots.2.place)" "$SECOND" "place of slot 2"
expect 78 stoactl slot list --store "$SECOND"
says 'place of single slots'
# What they left at the hub's own database goes while the hub runs, and nothing that counts does.
stoactl slot forget 01 --at "$SECOND" --store "$STOA_PG_URI" 2>"$T/err" && fail "forgot where the slot is"
says 'nothing was removed'
for k in 01 02; do
    ok stoactl slot forget $k --at "$STOA_PG_URI" --store "$STOA_PG_URI"
    says 'removed: [1-9]'
done
all_well
hub_kill
hub_start "store.uri=$STOA_PG_URI"
all_well

# The second server away: its slots wait, the others go on.
server second-stop
SERVED=0
for name in $NAMES; do
    eval "TO=\$of_$name"
    if timeout 8 stoactl accrue "$TO" 1 --node away --epoch 1 --key "$KEY" --hub "$URL" --quiet --timeout 2s \
        >"$T/out" 2>"$T/err" </dev/null; then SERVED=$((SERVED + 1)); fi
done
server second-start
ready write true
for name in $NAMES; do
    eval "TO=\$of_$name"
    ok stoactl accrue "$TO" 1 --node away --epoch 1 --key "$KEY" --hub "$URL" --quiet
    equal "$(balance "$name")" 101.00 "balance of $name"
done
[ "$SERVED" -ge 1 ] || fail "nobody was served with one server away"
echo "place: $SERVED of 6 accounts were served with one server away"

# An older copy of the second server: nobody kept a mark, but the other slots' logs cite what it lacks.
hub_kill
server second-stop
server second-save
server second-start
hub_start "store.uri=$STOA_PG_URI"
for k in 1 2; do
    pay anna bo; pay bo carl; pay carl dora; pay dora emil; pay emil fred; pay fred anna
done
sleep 0.5
hub_kill
server second-stop
server second-restore
server second-start
rm "$T/hub/highwater" || fail "no high-water mark"
# shellcheck disable=SC2086
expect 70 timeout 30 stoad run $SET --set store.uri="$STOA_PG_URI" --set listen.client=127.0.0.1:0
says 'T7813'
cat "$T/err"
echo "place: good, $PAID payments"
