# 46,022 real transactions: every balance after every row is the bank's. Cut off once by
# force on the way, with a hub that is busy at times.
. "${0%/*}/lib.sh"
DATA=$STOA_SHARED_DATA/berka/berka.csv.gz
[ -r "$DATA" ] || { echo "no bank data here: skipped"; exit 77; }
hub_init
hub_start limits.queue_entries=256
I="--hub $URL --issuer-key $KEY --work $T/work --plaintext-keys"
stoa import --csv "$DATA" $I --json >"$T/out" 2>"$T/err" </dev/null &
IMPORT=$!
n=0
until grep -q '"operation":"import"' "$T/err"; do
    n=$((n + 1))
    [ $n -lt 1200 ] || fail "the import does not begin"
    kill -0 $IMPORT 2>/dev/null || fail "the import ended"
    sleep 0.1
done
sleep 1
kill -9 $IMPORT 2>/dev/null
wait $IMPORT 2>/dev/null
ok stoa import --csv "$DATA" $I --json
equal "$(get balances_checked)" 46022 "balances checked"
equal "$(get rows)" 46022 "rows"
equal "$(get accrued)" "$(get held)" "supply"
echo "bank: rows before the cut $(get rows_before), $(get rows_a_second) rows/s, refused $(get refusals), verified in $(get verify_seconds) s"
ok stoa import --csv "$DATA" $I --json
equal "$(get entries)" 0 "entries of a run that finds everything there"
