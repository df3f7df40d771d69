#!/bin/sh
# Receipts: written from a wallet, checked offline under a policy with no wallet at hand; what was
# proven is said, what was not too; any change of the file is told.
. "$STOA_CLI_LIB"

hub_init
hub_start
wallet anna
wallet bo
accrue "$(address anna)" 100
ok stoa send 5.25 --to "$(address bo)" --from anna --wallet "$T/anna" --yes --json
get id >"$T/id"
ID=$(cat "$T/id")
ok stoa receipt "$ID" --wallet "$T/anna" --out "$T/lunch.tlog-proof"
ok stoa-audit verify "http://127.0.0.1:$PORT" --trust-on-first-use --state "$T/audit"
P=$T/audit/policy
hub_kill

mkdir "$T/nobody"
expect 78 stoa verify "$T/lunch.tlog-proof" --wallet "$T/nobody"
says "no policy was given"
ok stoa verify "$T/lunch.tlog-proof" --policy "$P" --wallet "$T/nobody"
has "^proven "
has "$ID"
has "^kind      transfer"
has "^not  .*order of this account"
has "no quorum of witnesses"
ok stoa verify "$T/lunch.tlog-proof" --trust-on-first-use --wallet "$T/anna"
has "^trust "
ok stoa verify "$T/lunch.tlog-proof" --policy "$P" --json
equal "$(get id)" "$ID" "id"
equal "$(get kind)" transfer "kind"
# A policy that cannot be read is named with its line.
grep -v '^log test/' "$P" >"$T/none"
echo 'log elsewhere/00+00000000+AAAA' >>"$T/none"
expect 78 stoa verify "$T/lunch.tlog-proof" --policy "$T/none"
says "line "
# One character changed anywhere is told.
n=0
while [ $n -lt 8 ]; do
    n=$((n + 1))
    size=$(wc -c <"$T/lunch.tlog-proof")
    at=$((size * n / 9))
    head -c $at "$T/lunch.tlog-proof" >"$T/bad"
    c=$(tail -c +$((at + 1)) "$T/lunch.tlog-proof" | head -c 1)
    if [ "$c" = Q ]; then printf R >>"$T/bad"; else printf Q >>"$T/bad"; fi
    tail -c +$((at + 2)) "$T/lunch.tlog-proof" >>"$T/bad"
    stoa verify "$T/bad" --policy "$P" >"$T/out" 2>"$T/err"
    case $? in
    1 | 65) ;;
    *) fail "a change at byte $at is not told" ;;
    esac
done
echo ok
