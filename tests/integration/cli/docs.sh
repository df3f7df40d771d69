# Every command shown in docs/CLI.md runs as written, and every command is on the page.
. "${0%/*}/lib.sh"
PAGE=$STOA_DOCS/CLI.md
[ -r "$PAGE" ] || { echo "no page here: skipped"; exit 77; }
hub_init
hub_start
mkdir "$T/day"
cp "$KEY" "$T/day/issuer.key"
cat >"$T/day/bank.csv" <<'CSV'
date,account,kind,amount_cents,counterparty,balance_cents
1993-01-01,1,earn,10000,VKLAD,10000
1993-01-02,1,pay,2500,cash,7500
CSV
# A pause between member remove and others' next sync is not needed: each line must hold alone.
{
    echo 'set -e'
    sed -n 's/^    \$ //p' "$PAGE" | sed "s|ws://127.0.0.1:7001|$URL|g" |
        awk '{ gsub(/\047/, "\047\\\047\047", $0); line = $0; gsub(/\047\\\047\047/, "\047", line)
               print "echo \047+ " $0 "\047"; print line }'
} >"$T/day/run.sh"
[ "$(grep -c '^stoa' "$T/day/run.sh")" -gt 40 ] || fail "the page shows too few commands"
cd "$T/day" || fail cd
STOA_HOME=$T/day/home sh ./run.sh >"$T/out" 2>"$T/err" </dev/null || fail "the page's commands do not run"
cd / || fail cd
ok stoa help --json
N=$(get commands)
cp "$T/out" "$T/all"
for i in $(seq 0 $((N - 1))); do
    NAME=$("$STOA_JSON" "commands.$i.name" <"$T/all")
    grep -q -e "\`$NAME\`" "$PAGE" || fail "$NAME is not on the page"
done
echo "docs: good"
