# A small bank: right figures go in, a second run finds them, wrong ones are named by row.
. "${0%/*}/lib.sh"
hub_init
hub_start
cat >"$T/bank.csv" <<'CSV'
date,account,kind,amount_cents,counterparty,balance_cents
1993-01-01,1,earn,10000,VKLAD,10000
1993-01-01,2,earn,5000,VKLAD,5000
1993-01-02,1,pay,2500,cash,7500
1993-01-02,1,pay,7500,bank:AB:77,0
1993-01-03,2,pay,1,cash,4999
1993-02-28,1,earn,12,UROK,12
CSV
I="--hub $URL --issuer-key $KEY --work $T/work"
expect 77 stoa import --csv "$T/bank.csv" $I
says plaintext-keys
ok stoa import --csv "$T/bank.csv" $I --plaintext-keys
has '6 of 6 rows come out'
has 'supply    150.12 accrued'
has 'refused   none'
ok stoa import --csv "$T/bank.csv" $I --json
equal "$(get rows_before)" 6 "rows found in a second run"
equal "$(get entries)" 0 "entries written by a second run"
# more rows later; packed
echo '1993-03-01,2,pay,4999,cash,0' >>"$T/bank.csv"
gzip -c "$T/bank.csv" >"$T/bank.csv.gz"
ok stoa import --csv "$T/bank.csv.gz" $I --json
equal "$(get rows_before)" 6 "rows found"
equal "$(get entries)" 1 "entries written"
# the bank's sums must be sums
sed 's/,2500,cash,7500/,2500,cash,7501/' "$T/bank.csv" >"$T/wrong.csv"
expect 65 stoa import --csv "$T/wrong.csv" $I
says 'row 3'
# another history than the ledger's
sed -e 's/,1,cash,4999/,2,cash,4998/' -e 's/,4999,cash,0/,4998,cash,0/' "$T/bank.csv" >"$T/other.csv"
expect 1 stoa import --csv "$T/other.csv" $I
says 'row 5'
# a stranger's key, another hub
ok stoa init --wallet "$T/w" --plaintext-keys
expect 65 stoa import --csv "$T/bank.csv" --hub "$URL" --work "$T/work" --issuer-key "$T/hub/keys/relay.key"
expect 64 stoa import --csv "$T/bank.csv"
expect 69 stoa import --csv "$T/bank.csv" --hub ws://127.0.0.1:1 --issuer-key "$KEY" --work "$T/work"
# a hub that limits the rate: what it holds back comes again, and no order is lost
hub_kill
hub_start limits.entries_a_second=600 limits.burst=40
awk 'BEGIN {
    print "date,account,kind,amount_cents,counterparty,balance_cents"
    for (r = 1; r <= 8; r++)
        for (a = 1; a <= 60; a++) {
            if (r % 4 == 0) { b[a] -= 150; kind = "pay,150" } else { b[a] += 100; kind = "earn,100" }
            printf "1994-01-%02d,%d,%s,x%d,%d\n", r, a, kind, a % 7, b[a]
        }
}' >"$T/many.csv"
stoa import --csv "$T/many.csv" $I --work "$T/work2" --plaintext-keys >"$T/out" 2>"$T/err" </dev/null &
IMPORT=$!
sleep 0.7
kill -INT $IMPORT
wait $IMPORT
equal $? 2 "exit of an import that was stopped"
says 'goes on'
ok stoa import --csv "$T/many.csv" $I --work "$T/work2" --json
equal "$(get balances_checked)" 480 "rows at a limited rate"
echo "import: good"
