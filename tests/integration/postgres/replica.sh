# A standby that streams: it answers what may be stale and says how stale; it is no place to write
# to; promoted without the newest entries it is found out, by the high-water mark and, without that,
# by what a client knows.
. "${0%/*}/../cli/lib.sh"
command -v curl >/dev/null 2>&1 || { echo "no curl here"; exit 77; }
. "${0%/*}/server.sh"
SET="--set hub.name=test --set hub.state_dir=$T/hub --set listen.admin= --set store.min_free_bytes=0
 --set keys.passphrase=none"
# shellcheck disable=SC2086
stoad init $SET --set store.uri="$STOA_PG_URI" >"$T/init.out" 2>"$T/hub.err" || fail "stoad init: $(cat "$T/hub.err")"
stoactl projection run --store "$STOA_PG_URI" --every 50ms >"$T/projector.out" 2>"$T/projector.err" &
PROJECTOR=$!
trap 'code=$?; kill $PROJECTOR 2>/dev/null; (exit $code); finish' EXIT
server standby
REPLICA=$(cat "$STOA_PG_PIPE.standby")
hub_start "store.uri=$STOA_PG_URI" "store.replica=$REPLICA"
wallet anna
ANNA=$(address anna)
accrue "$ANNA" 1

# shows BALANCE SOURCE [BEHIND]: until /v1/account of anna says so.
shows()
{
    n=0
    until view "/v1/account/$ANNA" && [ "$(cat "$T/code")" = 200 ] && [ "$(get balance)" = "$1" ] &&
        [ "$(get as_of.source)" = "$2" ] && [ "$(get as_of.behind)" = "${3:-0}" ]; do
        n=$((n + 1))
        [ $n -lt 150 ] || fail "not $1 of the $2: $(cat "$T/code" "$T/out")"
        sleep 0.1
    done
}
shows 1000000 replica
[ "$(get as_of.age_ms)" -lt 5000 ] || fail "a level standby is $(get as_of.age_ms) ms old"

# What never changes comes from it as far as it has it, and from the store past that: whoever
# asks sees the same bytes, and never less, whatever the standby does.
metric()
{
    curl -sS -m 5 "http://127.0.0.1:$PORT/metrics" | sed -n "s/^stoa_$1 //p"
}
# tiles NAME: the log of anna's slot up to its size, into a folder of that name.
tiles()
{
    mkdir -p "$T/$1"
    for path in tile/0/000 tile/entries/000 envelopes/000 "$PARTIAL"; do
        curl -sSf -m 12 "http://127.0.0.1:$PORT/log/$SLOT/$path" -o "$T/$1/$(echo "$path" | tr / _)" ||
            fail "no $path $1"
    done
}
# pages NAME MAX: the same by FETCH, up to the size it has now.
pages()
{
    "$STOA_FETCH_LOG" "$PORT" "$SLOT" "$2" >"$T/$1.pages" || fail "no pages $1"
}
# size: of anna's slot, as the checkpoint shows it.
size()
{
    curl -sSf -m 5 "http://127.0.0.1:$PORT/log/$SLOT/checkpoint" | sed -n 2p
}
# auditing NAME: the whole log, checked, and its head.
auditing()
{
    stoa-audit verify "http://127.0.0.1:$PORT" --trust-on-first-use --state "$T/state-$1" >"$T/out" 2>"$T/err" ||
        fail "audit $1: $(cat "$T/out" "$T/err")"
}
SLOT=$(printf %02x "$(get as_of.slot)")
bulk "$ANNA" 300
shows 76000000 replica
PARTIAL=tile/0/001.p/$(($(size) - 256))
# by_standby COUNT COMMAND..: until that many of its reads go there. Each thread opens its own,
# looks once a second how far it is, and lets it be for seconds when it does not answer.
by_standby()
{
    want=$1
    shift
    for n in $(seq 40); do
        N=$(metric replica_reads_total)
        "$@"
        N=$(($(metric replica_reads_total) - N))
        [ $N -lt "$want" ] || return 0
        sleep 0.5
    done
    fail "$* from the standby: $N"
}
three_times()
{
    for i in 1 2 3; do tiles level; done
}
by_standby 6 three_times
by_standby 4 pages level 50
pages long 1000
equal "$(cat "$T/long.pages")" "$(cat "$T/level.pages")" "a log in short pages and in one"
equal "$(cut -d ' ' -f 1 "$T/level.pages")" "$(size)" "records in pages"
auditing level
server behind
accrue "$ANNA" 1
tiles behind
SIZE=$(size)
pages behind 50
equal "$(cut -d ' ' -f 1 "$T/behind.pages")" "$SIZE" "records in pages beside a standby that is behind"
for n in 1 2; do
    curl -sSf -m 5 "http://127.0.0.1:$PORT/log/$SLOT/tile/0/001.p/$((SIZE - 256))" -o /dev/null || fail "the standby's past hides the newest"
done
server level
shows 77000000 replica
server standby-hang
tiles hung
pages hung 50
server standby-go
server standby-stop
tiles away
pages away 50
for how in hung away; do
    equal "$(cat "$T/$how.pages")" "$(cat "$T/behind.pages")" "pages while the standby is $how"
done
for how in behind hung away; do
    diff -r "$T/level" "$T/$how" || fail "other bytes while the standby is $how"
done
auditing away
server standby-start
shows 77000000 replica

# It stops following: what it shows is old and says so, against what this hub has signed.
server behind
accrue "$ANNA" 2
accrue "$ANNA" 3
sleep 2
shows 77000000 replica 2
[ "$(get as_of.age_ms)" -ge 2000 ] || fail "two seconds behind, and only $(get as_of.age_ms) ms old"
view /v1/rich-list
equal "$(get as_of.0.source)" replica "where the list comes from"
view /v1/account/00000000000000000000000000000000000000000000000000000000000000ff
equal "$(cat "$T/code")" 404 "an account nobody has"
equal "$(stoa balance --wallet "$T/anna" --json >"$T/out"; get balances.0.settled)" 82.00 "the wallet's balance"
server level
shows 82000000 replica

# Without it the store answers; back again it is used again.
server standby-stop
shows 82000000 store
n=0
until curl -sS -m 5 "http://127.0.0.1:$PORT/metrics" >"$T/metrics" && grep -qx "stoa_replica_up 0" "$T/metrics"; do
    n=$((n + 1))
    [ $n -lt 150 ] || fail "stoa_replica_up stays 1"
    sleep 0.1
done
server standby-start
shows 82000000 replica
hub_kill

# stopped_behind: it takes no entries any more, and says so.
stopped_behind()
{
    n=0
    until view /readyz/write && [ "$(cat "$T/code")" = 503 ] && grep -q behind "$T/body"; do
        n=$((n + 1))
        [ $n -lt 300 ] || fail "it goes on writing: $(cat "$T/code" "$T/body")"
        sleep 0.1
    done
}

# A standby is no store.
# shellcheck disable=SC2086
expect 78 timeout 30 stoad run $SET --set store.uri="$REPLICA" --set listen.client=127.0.0.1:0
says 'T7810'
says 'read-only standby'
says 'primary'

# It is promoted without the newest entries, first while the hub runs: it goes over to that one, as
# it was told to, and writes no more.
STANDBY=${REPLICA#*@}
hub_start "store.uri=${STOA_PG_URI%/*},${STANDBY%/*}/${STOA_PG_URI##*/}?target_session_attrs=read-write"
server standby-stop
accrue "$ANNA" 4
bulk "$ANNA" 300
ok stoa balance --wallet "$T/anna"
SIZE=$(size)
n=0
until grep -q "^$(printf %d "0x$SLOT") $SIZE " "$T/hub/highwater"; do # the mark is written once a second
    n=$((n + 1))
    [ $n -lt 150 ] || fail "no mark of $SIZE records: $(cat "$T/hub/highwater")"
    sleep 0.1
done
server stop
server standby-start
server standby-promote
timeout 5 stoactl accrue "$ANNA" 9 --node test --epoch 98 --key "$KEY" --hub "$URL" --quiet >"$T/out" 2>"$T/err" </dev/null &&
    fail "a hub that failed over to a standby without its newest entries took one"
stopped_behind
grep -q 'it is a backup' "$T/hub.err" || fail "it does not say why it stopped: $(tail -n 5 "$T/hub.err")"
hub_kill
# shellcheck disable=SC2086
expect 70 timeout 30 stoad run $SET --set store.uri="$REPLICA" --set listen.client=127.0.0.1:0
says 'T7813'
says 'it is a backup'
says 'restored older copy'

# Nobody kept the mark: the first client that comes has seen more.
mv "$T/hub/highwater" "$T/highwater" || fail "no high-water mark"
hub_start "store.uri=$REPLICA"
stoa balance --wallet "$T/anna" >"$T/out" 2>"$T/err" </dev/null
stopped_behind
timeout 20 stoactl accrue "$ANNA" 9 --node test --epoch 99 --key "$KEY" --hub "$URL" --quiet --timeout 2s >"$T/out" 2>"$T/err" </dev/null &&
    fail "a hub that is behind took an entry"

# The promoted one goes on by itself and becomes another ledger: the hub on the first server sees
# that and shows nothing of it.
hub_kill
rm "$T/hub/highwater"
hub_start "store.uri=$REPLICA"
bulk "$ANNA" 300
hub_kill
server start
mv "$T/highwater" "$T/hub/highwater"
hub_start "store.uri=$STOA_PG_URI"
PARTIAL=tile/0/001
tiles alone
pages alone 100
hub_kill
hub_start "store.uri=$STOA_PG_URI" "store.replica=$REPLICA" log.level=info
for n in 1 2 3; do tiles forked; done
pages forked 100
equal "$(cat "$T/forked.pages")" "$(cat "$T/alone.pages")" "pages beside another ledger"
diff -r "$T/alone" "$T/forked" || fail "other bytes beside another ledger"
grep -q 'reader.replica_away.*not the beginning' "$T/hub.err" || fail "another ledger is not noticed: $(grep replica "$T/hub.err")"
kill $PROJECTOR
echo "replica: good"
