#!/bin/sh
# A receipt under a quorum: a second hub witnesses the first; the receipt written from the
# cosigned checkpoint proves it offline, one without the witness's line does not, and a policy that
# asks for a witness nobody asked is not met.
. "$STOA_CLI_LIB"

WIT=
finish_both()
{
    both=$?
    [ -z "$WIT" ] || kill -9 "$WIT" 2>/dev/null
    (exit $both)
    finish
}
trap finish_both EXIT

hub_init
# Its verifier keys, as a reader of the publication gets them.
hub_start
ok stoactl log policy --store "sqlite:$T/hub/ledger.db" --url "http://127.0.0.1:$PORT/"
cp "$T/out" "$T/plain.policy"
hub_kill
grep '^log ' "$T/plain.policy" | cut -d' ' -f1,2 >"$T/logs"
echo 'quorum none' >>"$T/logs"

W="--set hub.name=witness.example --set hub.state_dir=$T/wit --set listen.admin= --set store.min_free_bytes=0 --set keys.passphrase=none"
# shellcheck disable=SC2086
ok stoad init --quick-keys --slots 1 $W
# shellcheck disable=SC2086
stoad run $W --set listen.client=127.0.0.1:0 --set witness.logs="$T/logs" --set log.level=warn >"$T/wit.out" 2>"$T/wit.err" </dev/null &
WIT=$!
n=0
until grep -q '^ready ' "$T/wit.out"; do
    n=$((n + 1))
    [ $n -lt 600 ] || fail "the witness does not become ready"
    kill -0 $WIT 2>/dev/null || fail "the witness ended: $(cat "$T/wit.err")"
    sleep 0.05
done
WPORT=$(sed -n 's/^ready ws:\/\/127.0.0.1:\([0-9]*\) .*/\1/p' "$T/wit.out")
ok stoactl witness status "http://127.0.0.1:$WPORT" --json
VKEY=$(get witness.vkey)
{
    grep '^log ' "$T/plain.policy"
    echo "witness w $VKEY http://127.0.0.1:$WPORT/witness"
    echo "quorum w"
} >"$T/policy"

hub_start cosign.policy="$T/policy" cosign.every_ms=50
wallet anna
wallet bo
accrue "$(address anna)" 100
ok stoa send 5.25 --to "$(address bo)" --from anna --wallet "$T/anna" --yes --json
get id >"$T/id"
ID=$(cat "$T/id")
n=0
until stoa receipt "$ID" --wallet "$T/anna" --cosigned --out "$T/c.tlog-proof" >"$T/out" 2>"$T/err"; do
    [ $? -eq 75 ] || fail "the receipt is refused, not put off"
    n=$((n + 1))
    [ $n -lt 100 ] || fail "the witness does not cosign"
    sleep 0.1
done
ok stoa verify "$T/c.tlog-proof" --policy "$T/policy"
has "^cosigned  by w, as of 20"
has "^policy .*quorum met"
if grep -q "no quorum of witnesses" "$T/out"; then fail "a quorum was met and is said not to be asked for"; fi
ok stoa verify "$T/c.tlog-proof" --policy "$T/policy" --json
equal "$(get cosigned.0.witness)" w "the witness"

# Without the witness's line it is the hub's word only.
grep -v '^— witness.example' "$T/c.tlog-proof" >"$T/alone"
cmp -s "$T/alone" "$T/c.tlog-proof" && fail "the receipt has no line of the witness"
expect 1 stoa verify "$T/alone" --policy "$T/policy"
says "quorum"
ok stoa verify "$T/alone" --policy "$T/plain.policy"
has "no quorum of witnesses was asked for"

# A line made up, and a quorum of a witness whom nobody asked.
sed 's/^\(— witness.example[^ ]* .\{24\}\)..../\1AAAA/' "$T/c.tlog-proof" >"$T/forged"
cmp -s "$T/forged" "$T/c.tlog-proof" && fail "the witness's line is not where it was looked for"
expect 1 stoa verify "$T/forged" --policy "$T/policy"
OTHER=$(grep -o 'test/witness+[^ ]*' "$T/init.out")
{
    grep -v '^quorum' "$T/policy"
    echo "witness x $OTHER"
    echo "group both all w x"
    echo "quorum both"
} >"$T/both"
expect 1 stoa verify "$T/c.tlog-proof" --policy "$T/both"
says "too few witnesses of the policy have cosigned: 1"
echo ok
