# With --json every command prints objects with a schema, errors included, and nothing else.
. "${0%/*}/lib.sh"
hub_init
hub_start
ok stoa init --wallet "$T/anna" --plaintext-keys --hub "$URL" --open anna --json
equal "$(get schema)" stoa.init/1 "schema"
[ -s "$T/err" ] && fail "messages beside --json"
wallet bo
BO=$(address bo)
ANNA=$(address anna)
accrue "$ANNA" 10
accrue "$BO" 10
A="--wallet $T/anna --json"

# check SCHEMA COMMAND..
check()
{
    schema=$1
    shift
    "$@" >"$T/out" 2>"$T/err" </dev/null
    code=$?
    equal "$(get schema | sort -u)" "$schema" "schema of $*"
    [ $code -eq 0 ] || [ "$(get error.code | cut -c1)" = T ] || fail "exit $code without an error: $*"
    CODE=$code
}
check stoa.balance/1 stoa balance $A
check stoa.send/1 stoa send "$BO" 1 $A
ID=$(get id)
equal "$(get state)" credited "state"
get accepted_ms >/dev/null
check stoa.history/1 stoa history $A
check stoa.sync/1 stoa sync $A
check stoa.verify/1 stoa verify $A --full
equal "$(get accounts.0.good)" true "verdict"
check stoa.receipt-get/1 stoa receipt get "$ID" $A --out "$T/p"
check stoa.receipt-check/1 stoa receipt check "$T/p" $A
equal "$(get good)" true "receipt"
check stoa.account-list/1 stoa account list $A
check stoa.account-follow/1 stoa account follow "$BO" $A
check stoa.device-request/1 stoa device request $A
check stoa.device-list/1 stoa device list --account anna $A
check stoa.member-list/1 stoa member list --account anna $A
check stoa.member-invite/1 stoa member invite --account anna $A
get token >/dev/null
check stoa.split/1 stoa split 10 --equal --account anna $A
SPLIT=$(get id)
check stoa.split-correct/1 stoa split correct "$SPLIT" 12 --share me=12 --account anna $A
check stoa.split-void/1 stoa split void "$SPLIT" --account anna $A
check stoa.note/1 stoa note hi --account anna $A
check stoa.bind/1 stoa bind 1 abc --account anna $A
check stoa.checkpoint/1 stoa checkpoint $A
check stoa.limits/1 stoa limits $A
check stoa.key-show/1 stoa key show $A
check stoa.key-check/1 stoa key check $A
check stoa.resume/1 stoa resume $A
check stoa.sign/1 stoa sign "$BO" 1 --from anna --out "$T/pay" $A
check stoa.submit/1 stoa submit "$T/pay" $A
check stoa.record/1 stoa export anna $A
check stoa.export/1 stoa export anna $A --out "$T/anna.jsonl"
check stoa.import/1 stoa import "$T/anna.jsonl" $A
check stoa.help/1 stoa help $A
check stoa.help/1 stoa help T4130 $A
check stoa.version/1 stoa version $A
check stoa.cli/1 stoa frob $A
check stoa.send/1 stoa send "$BO" 1000 --from anna $A
equal $CODE 4 "refusal"
# text that is cut in the middle of a letter, or is no text, is still there
check stoa.send/1 stoa send "x$(printf '\303\251%.0s' $(seq 60))" 1 --from anna $A
equal $CODE 65 "no address"
get error.message >/dev/null
check stoa.send/1 stoa send "$(printf 'a\377b')" 1 --from anna $A
equal "$(get error.message | cut -c1-5)" '"a?b"' "message with bytes that are no text"
MEMO=x$(printf '\303\251%.0s' $(seq 900))
check stoa.send/1 stoa send "$BO" 0.10 --from anna --memo "$MEMO" $A
ok stoa history anna --memos $A
grep -q "$MEMO" "$T/out" || fail "a long memo is not whole in JSON"
check stoa.balance/1 stoa balance --json --wallet "$T/none"
equal $CODE 78 "no wallet"
ok stoa watch anna $A --for 300ms
[ ! -s "$T/out" ] || fail "watch printed without records"
stoa watch anna $A --count 1 --for 60s >"$T/watch" 2>"$T/err" &
WATCH=$!
sleep 0.5
ok stoa send "$ANNA" 1 --wallet "$T/bo"
wait $WATCH || fail "watch"
equal "$("$STOA_JSON" schema <"$T/watch")" stoa.watch/1 "schema of a stream"
# a watch whose reader is gone ends
{
    stoa watch anna --wallet "$T/anna" --for 20s 2>"$T/err"
    : >"$T/ended"
} | true &
sleep 0.5
ok stoa send "$ANNA" 1 --wallet "$T/bo"
n=0
until [ -f "$T/ended" ]; do
    n=$((n + 1))
    [ $n -lt 300 ] || fail "watch goes on without a reader"
    sleep 0.05
done
echo "json: good"
