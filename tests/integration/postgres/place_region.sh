# Two relays of one hub while its slots move between two servers: whoever owns a slot goes on with it
# where it went, the other reads and forwards there; nothing is lost or doubled.
. "${0%/*}/../cli/lib.sh"
. "${0%/*}/server.sh"
SET="--set hub.name=test --set listen.admin= --set store.min_free_bytes=0 --set keys.passphrase=none
 --set store.uri=$STOA_PG_URI"
# shellcheck disable=SC2086
stoad init --slots 4 $SET --set hub.state_dir="$T/hub" >"$T/init.out" 2>"$T/hub.err" || fail "stoad init: $(cat "$T/hub.err")"
server second
SECOND=$(cat "$STOA_PG_PIPE.second")
ok stoactl schema apply --store "$SECOND"
hub_start "store.uri=$STOA_PG_URI" region.relay=a
mkdir "$T/b"
: >"$T/b.err"
# shellcheck disable=SC2086
stoad run $SET --set hub.state_dir="$T/b" --set hub.keys_dir="$T/hub/keys" --set listen.client=127.0.0.1:0 \
    --set region.relay=b >"$T/b.out" 2>"$T/b.err" </dev/null &
OTHER=$!
trap 'code=$?; kill -9 $OTHER 2>/dev/null; [ $code -eq 0 ] || tail -n 15 "$T/b.err"; (exit $code); finish' EXIT
n=0
until grep -q 'event=region.slot_taken' "$T/b.err"; do
    n=$((n + 1))
    [ $n -lt 300 ] || fail "the second relay gets no slot"
    sleep 0.1
done
NAMES="anna bo carl dora"
for name in $NAMES; do
    wallet "$name"
    ADDRESS=$(address "$name")
    eval "of_$name=$ADDRESS"
    accrue "$ADDRESS" 100
done

# pay FROM TO: one point, until it is done; the same request every time.
PAID=0
pay()
{
    PAID=$((PAID + 1))
    eval "TO=\$of_$2"
    for n in $(seq 1 60); do
        stoa send "$TO" 1 --wallet "$T/$1" --request "place-$PAID" --timeout 8s >"$T/out" 2>"$T/err" </dev/null && return
        code=$?
        case $code in 2 | 3 | 69 | 75) sleep 0.2 ;; *) fail "exit $code of payment $PAID" ;; esac
    done
    fail "payment $PAID is never done"
}

pay_all()
{
    pay anna bo; pay bo carl; pay carl dora; pay dora anna
}

pay_all
for slot in 00 01 02 03; do
    ok stoactl slot move $slot --to "$SECOND" --store "$STOA_PG_URI"
    pay_all
done
ok stoactl slot move 02 --to "$STOA_PG_URI" --store "$STOA_PG_URI"
pay_all
for name in $NAMES; do
    n=0
    until [ "$(balance "$name")" = 100.00 ]; do # the other relay's slots are seen a little later
        n=$((n + 1))
        [ $n -lt 100 ] || fail "balance of $name: $(balance "$name")"
        sleep 0.1
    done
    ok stoa verify --wallet "$T/$name" --full
done
kill -0 "$HUB_PID" && kill -0 $OTHER || fail "a relay ended"
echo "place_region: good, $PAID payments"
