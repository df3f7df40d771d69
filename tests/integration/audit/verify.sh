#!/bin/sh
# stoa-audit at a running hub, its SQLite file, and copies of it with one byte changed: the
# verdict, the exit code, the place. Also state, resumption, reports and their reproduction.
. "$STOA_CLI_LIB"

hub_init
hub_start
wallet anna
wallet bo
accrue "$(address anna)" 1000
accrue "$(address bo)" 500
i=0
while [ $i -lt 12 ]; do
    i=$((i + 1))
    ok stoa send $i.25 --to "$(address bo)" --from anna --wallet "$T/anna" --yes --quiet
    ok stoa send 0.5 --to "$(address anna)" --from bo --wallet "$T/bo" --yes --quiet
done
DB=$T/hub/ledger.db
WEB=http://127.0.0.1:$PORT

# No policy: said, 78. First use: recorded, shown.
expect 78 stoa-audit verify "$WEB"
says "no policy was given"
ok stoa-audit verify "$WEB" --trust-on-first-use --state "$T/state"
says "taken from the source itself"
has "^GOOD"
has "made from the source itself"
has "points .* = "
P=$T/state/policy
[ -s "$P" ] || fail "the policy of the first use was not recorded"

ok stoa-audit policy check "$P"
ok stoa-audit policy show "$P"
has "test/00"
ok stoa-audit explain A2102
has "signature"
expect 64 stoa-audit explain A9999

# What a command would not heed is refused.
expect 64 stoa-audit verify "$DB" --policy "$P" --out "$T/x"
says "verify has no option --out"
expect 64 stoa-audit replay "$DB" --policy "$P" --tip
expect 64 stoa-audit selftest --only nothing
says "no fault"

# The hub's own file while it runs; tip mode; replay.
ok stoa-audit verify "$DB" --policy "$P" --report "$T/report"
has "^GOOD"
ok stoa-audit verify "$DB" --policy "$P" --tip
ok stoa-audit replay "$DB" --policy "$P"
has "signature skipped"
for f in report.json report.txt report.html checkpoints/00; do
    [ -s "$T/report/$f" ] || fail "no $f in the report"
done
ok stoa-audit report "$T/report/report.json"
has "^good"

# A state: nothing is read again; what is new is read alone.
ok stoa-audit verify "$WEB" --policy "$P" --state "$T/s2" --json
get verdict >"$T/v"
equal "$(cat "$T/v")" good "verdict"
ok stoa send 1 --to "$(address bo)" --from anna --wallet "$T/anna" --yes --quiet
ok stoa-audit verify "$WEB" --policy "$P" --state "$T/s2"
has "^GOOD"
ok stoa-audit verify "$WEB" --policy "$P" --state "$T/s2"
has "^GOOD"

# The same report again, from another source and although the hub has gone on.
ok stoa-audit reproduce "$T/report/report.json" "$DB" --policy "$P"
has "byte for byte"

# Somebody else's keys: nothing of it is trusted.
sed 's/^quorum.*//' "$P" | sed 's/^log test\/00+[^ ]*$//' >"$T/other.policy"
echo "quorum none" >>"$T/other.policy"
expect 1 stoa-audit verify "$DB" --policy "$T/other.policy"
has "signed by no log of the policy"

hub_kill
cp "$DB" "$T/good.db"
[ ! -f "$DB-wal" ] || cp "$DB-wal" "$T/good.db-wal"
sqlite3 "$T/good.db" "PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null || fail "sqlite3"

# tamper NAME SQL CHECK: a copy changed by SQL is told by this check.
tamper()
{
    cp "$T/good.db" "$T/bad.db"
    sqlite3 "$T/bad.db" "$2" || fail "sqlite3: $2"
    expect 1 stoa-audit verify "$T/bad.db" --policy "$P"
    has "A2[0-9]* critical  slot $SLOT .* $3:" || fail "$1"
    has "^FAIL"
}
for SLOT in $(sqlite3 "$T/good.db" "SELECT printf('%02x', slot) FROM slot WHERE size > 4 LIMIT 1"); do :; done
N=$(printf '%d' "0x$SLOT")
LAST=$(sqlite3 "$T/good.db" "SELECT size - 1 FROM slot WHERE slot = $N")
FLIP="substr(envelope, 1, 99) || x'00' || substr(envelope, 101)"
tamper envelope "UPDATE record_$N SET envelope = CAST($FLIP AS BLOB) WHERE idx = 2" leaf
has "record 2 "
tamper position "UPDATE record_$N SET position = position + 1 WHERE idx = $LAST" order
tamper dropped "DELETE FROM record_$N WHERE idx = 3" order
has "record 3 "
tamper cut "DELETE FROM record_$N WHERE idx = $LAST" source
tamper checkpoint "UPDATE slot SET checkpoint = CAST(substr(checkpoint, 1, length(checkpoint) - 9) || x'41' || substr(checkpoint, length(checkpoint) - 7) AS BLOB) WHERE slot = $N" signature
ok stoa-audit verify "$T/good.db" --policy "$P"
expect 64 stoa-audit verify "$T/nothing.db" --policy "$P"
expect 64 stoa-audit frobnicate
expect 69 stoa-audit verify "$WEB" --policy "$P"
echo ok
