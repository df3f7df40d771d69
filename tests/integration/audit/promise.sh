#!/bin/sh
# What a hub gave to a holder is held against its log: kept, it is good; in a log that was set back
# and went on otherwise, each receipt and signed head is told and becomes evidence.
. "$STOA_CLI_LIB"

hub_init
hub_start
wallet anna
wallet bo
ANNA=$(address anna)
accrue "$ANNA" 100
DB=$T/hub/ledger.db
WEB=http://127.0.0.1:$PORT

hub_kill
cp "$DB" "$T/early.db"
[ ! -f "$DB-wal" ] || cp "$DB-wal" "$T/early.db-wal"
hub_start

ok stoa send 5.25 --to "$(address bo)" --from anna --wallet "$T/anna" --yes --json
get id >"$T/id"
ID=$(cat "$T/id")
ok stoa receipt "$ID" --wallet "$T/anna" --out "$T/lunch.tlog-proof"
ok stoa head --wallet "$T/anna" --out "$T/anna.head"
has "^compared  with this wallet's own records: the same"
ok stoa head "$ANNA" --wallet "$T/bo" --out "$T/other.head" --json
equal "$(get compared)" false "compared"
expect 65 stoa head not-an-account --wallet "$T/bo"
ok stoa-audit verify "$WEB" --trust-on-first-use --state "$T/trust"
P=$T/trust/policy

# A head is checked offline, without a wallet, under the holder's own policy.
ok stoa verify "$T/anna.head" --policy "$P" --wallet "$T/nobody"
has "^proven    the hub vouched"
has "^records   3"
has "^not "
expect 78 stoa verify "$T/anna.head" --wallet "$T/nobody"
sed -e 's/^head A/head B/' -e t -e 's/^head ./head A/' "$T/anna.head" >"$T/bad.head"
expect 1 stoa verify "$T/bad.head" --policy "$P"
says "not signed by a relay key"

# A log that keeps to them.
ok stoa-audit verify "$WEB" --policy "$P" --head "$T/anna.head" --head "$T/other.head" \
    --receipt "$T/lunch.tlog-proof"
has "^GOOD"
ok stoa-audit verify "$DB" --policy "$P" --head "$T/anna.head" --receipt "$T/lunch.tlog-proof" \
    --tip
has "^GOOD"
# One that is none ends the run before it begins.
expect 65 stoa-audit verify "$DB" --policy "$P" --head "$T/bad.head"
says "head number 1"
expect 65 stoa-audit verify "$DB" --policy "$P" --receipt "$P"
says "neither a receipt nor an account head"

# The log is set back and goes on as if nothing had been promised.
hub_kill
cp "$T/early.db" "$DB"
rm -f "$DB-wal" "$DB-shm" "$T/hub/highwater"
[ ! -f "$T/early.db-wal" ] || cp "$T/early.db-wal" "$DB-wal"
hub_start
expect 0 stoa-audit verify "$WEB" --policy "$P" --head "$T/anna.head"
has "not judged"
i=0
while [ $i -lt 4 ]; do
    i=$((i + 1))
    accrue "$ANNA" $((200 + i))
done
expect 1 stoa-audit verify "$WEB" --policy "$P" --head "$T/anna.head" --evidence "$T/e1"
has "A2118.*promise"
file=$(ls "$T"/e1/omitted-*.evidence) || fail "no evidence was kept"
expect 1 stoa-audit evidence check "$file" --policy "$P"
has "^proven"
has "never had"
expect 1 stoa-audit verify "$WEB" --policy "$P" --receipt "$T/lunch.tlog-proof" --evidence "$T/e2"
has "A2118.*promise"
file=$(ls "$T"/e2/receipt-*.evidence) || fail "no evidence of the receipt was kept"
expect 1 stoa-audit evidence check "$file" --policy "$P"
has "^proven.*two records at one index"
# Nobody is accused by a log that the reader does not trust.
slot=$(basename "$file" | cut -d- -f2)
grep -v "^log test/$slot+" "$P" >"$T/none.policy"
expect 0 stoa-audit evidence check "$file" --policy "$T/none.policy"
has "^untrusted"
echo ok
