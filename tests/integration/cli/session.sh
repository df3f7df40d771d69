# A first day with stoa: init, open, earn, pay, look, prove, move to another wallet.
. "${0%/*}/lib.sh"
hub_init
hub_start
wallet anna
has 'account   anna'
has 'keys      plain text'
says 'first meeting'
wallet bo
ANNA=$(address anna)
BO=$(address bo)
accrue "$ANNA" 100
equal "$(balance anna)" 100.00 "anna after earning"
A="--wallet $T/anna"

ok stoa send "$BO" 12.50 $A --memo lunch --memo-key \
    "$(stoa key show --wallet "$T/bo" --json | "$STOA_JSON" device)" --request day-1
has 'saved before sending'
has 'credited'
has 'balance   87.50 settled'
ok stoa send "$BO" 12.50 $A --memo lunch --request day-1
has 'does not pay again'
equal "$(balance anna)" 87.50 "anna after the same request twice"
equal "$(balance bo)" 12.50 "bo"
ok stoa send --to "$BO" 1 $A --yes --wait accepted
ok stoa resume $A
has 'nothing is open'

ok stoa history $A
has 'transfer .* -12.50 .* 87.50'
ok stoa history $A --csv
has '^2,[0-9]*,.*,transfer,-12500000,87500000,6,'
ok stoa history $A --memos --json
equal "$(get records.2.amount_micro)" -12500000 "amount in the history"
equal "$(get records.2.memo)" lunch "memo in the history"
equal "$(get records.2.counterparty)" "${BO%@*}" "counterparty"
ID=$(get records.2.id)
ok stoa history $A --since 1 --max 1
equal "$(wc -l <"$T/out" | tr -d ' ')" 2 "lines of a window"
ok stoa account follow "$ANNA" --name anna --wallet "$T/bo"
ok stoa history bo --wallet "$T/bo" --memos
has lunch

ok stoa verify $A
has 'proven in the log'
ok stoa verify $A --full --threads 1
has 'good: '
ok stoa receipt get "$ID" $A --out "$T/lunch.proof"
ok stoa receipt check "$T/lunch.proof" --wallet "$T/bo"
has 'the record is in the signed log'
has '12.50'
ok stoa proof get "$ID" $A
ok stoa proof check "$T/lunch.proof" $A

ok stoa note 'moved in' $A
echo 'from a pipe' | stoa note - $A >"$T/out" 2>"$T/err" || fail "note from a pipe"
ok stoa bind 3 0x52908400098527886E0F7030069857D2E4169EE7 $A
ok stoa account list $A
has 'chain 3 0x5290'
ok stoa limits $A
has 'entries in a frame'
ok stoa checkpoint $A
has '^test/0f'
ok stoa checkpoint 3 $A --offline
ok stoa checkpoint --evidence $A
says 'no evidence'
ok stoa sync $A
ok stoa account rename anna savings $A
ok stoa balance savings $A
ok stoa account follow "$BO" --name shop $A
has 'read-only'
ok stoa balance $A
has 'shop'
ok stoa send shop 1 --from savings $A

# All records as a file, into a wallet that follows the account too.
ok stoa export savings --out "$T/anna.jsonl" $A
"$STOA_JSON" envelope <"$T/anna.jsonl" >/dev/null || fail "export is not JSON lines"
ok stoa init --wallet "$T/copy" --plaintext-keys --hub "$URL"
ok stoa import "$T/anna.jsonl" --wallet "$T/copy"
has 'records taken'
ok stoa sync --wallet "$T/copy"
ok stoa verify --wallet "$T/copy" --full
ok stoa sync --rebuild $A
ok stoa verify savings --full $A

# A live view ends by itself after so many records.
stoa watch bo --wallet "$T/bo" --count 2 --for 60s >"$T/watch.out" 2>"$T/watch.err" &
WATCH=$!
sleep 0.5
ok stoa send "$BO" 2 --from savings $A
ok stoa send "$BO" 3 --from savings $A
wait $WATCH || fail "watch"
equal "$(grep -c credit "$T/watch.out")" 2 "records seen live"
# It outlives the hub, and tells each record once.
ok stoa sync --wallet "$T/bo"
stoa watch bo --wallet "$T/bo" --count 2 --for 60s >"$T/watch.out" 2>"$T/watch.err" &
WATCH=$!
sleep 0.5
ok stoa send "$BO" 2 --from savings $A
hub_kill
sleep 0.3
hub_start
ok stoa send "$BO" 3 --from savings $A
wait $WATCH || fail "watch: $(cat "$T/watch.err")"
equal "$(awk '{ printf "%s ", $4 }' "$T/watch.out")" "2.00 3.00 " "records seen over a restart"
grep -q 'connection lost' "$T/watch.err" || fail "a lost connection is not told"
grep -q 'connected again' "$T/watch.err" || fail "the new connection is not told"
# .. unless it never comes back in time.
stoa watch bo --wallet "$T/bo" --for 1500ms >"$T/watch.out" 2>"$T/watch.err" &
WATCH=$!
sleep 0.5
hub_kill
wait $WATCH
equal $? 69 "exit of a watch that ended without a hub"
hub_start

# Help of everything, and a script that bash takes.
ok stoa help
ok stoa help --json
N=$(get commands)
for i in $(seq 0 $((N - 1))); do
    ok stoa help --json
    NAME=$(get commands.$i.name)
    # shellcheck disable=SC2086
    ok stoa help $NAME
    has 'Examples:'
    ok stoa $NAME --help
done
ok stoa version
ok stoa help balance
ok stoa help T4130
has 'balance does not cover'
ok stoa completion bash
if command -v bash >/dev/null; then
    bash -n "$T/out" || fail "completion"
    bash -c '. "$1"; COMP_WORDS=(stoa dev); COMP_CWORD=1; _stoa; echo "${COMPREPLY[*]}"
        COMP_WORDS=(stoa device ""); COMP_CWORD=2; _stoa; echo "${COMPREPLY[*]}"
        COMP_WORDS=(stoa send --re); COMP_CWORD=2; _stoa; echo "${COMPREPLY[*]}"' - "$T/out" \
        >"$T/done" || fail "completion does not run"
    grep -qx device "$T/done" || fail "completion of a noun"
    grep -q 'add revoke' "$T/done" || fail "completion of verbs"
    grep -qx -e --request "$T/done" || fail "completion of an option"
fi
# What is not built in is looked for beside: stoa hello runs stoa-hello.
printf '#!/bin/sh\necho "hello $1"\n' >"$T/stoa-hello"
chmod +x "$T/stoa-hello"
PATH=$T:$PATH ok stoa hello you
has 'hello you'
echo "session: good"
