# The demo ends by itself, exit 0 means that every check held, and nothing is left behind.
. "${0%/*}/lib.sh"
TMPDIR=$T
export TMPDIR
ok stoa demo --once
has 'none lost'
has 'no point made or lost'
has '24 of 24 checks held'
ls -d "$T"/stoa-demo-* 2>/dev/null && fail "the demo's folder is still there"
ok stoa demo --once --json --dir "$T/kept"
equal "$(get failures)" 0 "failures"
[ -d "$T/kept/anna" ] || fail "--dir is not kept"
# Without --once it waits for Ctrl-C, with the hub at hand.
stoa demo --dir "$T/live" >"$T/out" 2>"$T/err" </dev/null &
DEMO=$!
n=0
until grep -q 'until Ctrl-C' "$T/out"; do
    n=$((n + 1))
    kill -0 $DEMO || fail "the demo ended by itself"
    [ $n -lt 3000 ] || fail "the demo does not get there"
    sleep 0.1
done
sleep 0.2
grep '^  .*stoa balance' "$T/out" >"$T/try" || fail "nothing to try"
sh "$T/try" >/dev/null 2>"$T/err" || fail "what is to be tried does not work"
grep '^  .*stoa send' "$T/out" >"$T/try"
sh "$T/try" >/dev/null 2>"$T/err" </dev/null || fail "the payment to be tried does not work"
grep '^  .*stoactl accrue' "$T/out" >"$T/try"
sh "$T/try" >/dev/null 2>"$T/err" || fail "the accrual to be tried does not work"
kill -INT $DEMO
wait $DEMO || fail "exit $? after Ctrl-C"
echo "demo: good"
