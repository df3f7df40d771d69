# Sourced by the tests of the command line: a folder, a hub, wallets. Ends only what it started.
set -u
PATH=$STOA_BIN:$PATH
unset STOA_HOME XDG_DATA_HOME NO_COLOR 2>/dev/null || :
T=$(mktemp -d "${TMPDIR:-/tmp}/stoa-cli-XXXXXX")
HUB_PID=
PORT=0
URL=
KEY=$T/hub/keys/issuer.key
EPOCH=0
BULK=0

finish()
{
    code=$?
    trap - EXIT INT TERM
    [ -z "$HUB_PID" ] || kill -9 "$HUB_PID" 2>/dev/null
    if [ $code -ne 0 ] && [ $code -ne 77 ]; then
        [ ! -s "$T/hub.err" ] || { echo "--- hub:"; tail -n 20 "$T/hub.err"; }
    fi
    rm -rf "$T"
    exit $code
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

fail()
{
    echo "FAILED: $*" >&2
    [ ! -f "$T/out" ] || { echo "--- stdout:" >&2; tail -n 20 "$T/out" >&2; }
    [ ! -f "$T/err" ] || { echo "--- stderr:" >&2; tail -n 20 "$T/err" >&2; }
    exit 1
}

# expect CODE COMMAND..: run it, its output is in $T/out and $T/err.
expect()
{
    want=$1
    shift
    "$@" >"$T/out" 2>"$T/err" </dev/null
    got=$?
    [ $got -eq "$want" ] || fail "exit $got, not $want: $*"
}

# ok COMMAND..: exit 0.
ok()
{
    expect 0 "$@"
}

# has TEXT: the last output has it. says TEXT: the last messages have it.
has()
{
    grep -q -e "$1" "$T/out" || fail "no \"$1\" in the output"
}
says()
{
    grep -q -e "$1" "$T/err" || fail "no \"$1\" in the messages"
}

# get PATH: a member of the last JSON output.
get()
{
    "$STOA_JSON" "$1" <"$T/out" || fail "no member $1"
}

equal()
{
    [ "$1" = "$2" ] || fail "$3: \"$1\", not \"$2\""
}

hub_init()
{
    stoad init --set hub.name=test --set hub.state_dir="$T/hub" --set listen.admin= \
        --set store.min_free_bytes=0 --set keys.passphrase=none >"$T/init.out" 2>"$T/hub.err" || fail "stoad init"
}

# hub_start [SETTING..]: on a free port first, on the same one later.
# free_port: one below the range from which the system gives ports to whoever dials or asks for
# any, so that a hub which is stopped and started again finds its own still free.
free_port()
{
    awk -v seed="$(od -An -N4 -tu4 /dev/urandom)" '
        FNR > 1 { split($2, a, ":"); used[a[2]] = 1 }
        END {
            srand(seed)
            do port = 20000 + int(rand() * 12000)
            while (sprintf("%04X", port) in used)
            print port
        }' /proc/net/tcp
}
hub_start()
{
    [ "$PORT" != 0 ] || PORT=$(free_port)
    sets=
    for s in "$@"; do
        sets="$sets --set $s"
    done
    : >"$T/hub.out"
    # shellcheck disable=SC2086
    stoad run --set hub.name=test --set hub.state_dir="$T/hub" --set listen.client=127.0.0.1:$PORT \
        --set listen.admin= --set store.min_free_bytes=0 --set log.level=warn --set keys.passphrase=none $sets \
        >"$T/hub.out" 2>>"$T/hub.err" </dev/null &
    HUB_PID=$!
    n=0
    until grep -q '^ready ' "$T/hub.out"; do
        n=$((n + 1))
        [ $n -lt 600 ] || fail "the hub does not become ready"
        kill -0 $HUB_PID 2>/dev/null || fail "the hub ended"
        sleep 0.05
    done
    PORT=$(sed -n 's/^ready ws:\/\/127.0.0.1:\([0-9]*\) .*/\1/p' "$T/hub.out")
    URL=ws://127.0.0.1:$PORT
}

hub_kill()
{
    kill -9 "$HUB_PID"
    wait "$HUB_PID" 2>/dev/null
    HUB_PID=
}

# wallet NAME: $T/NAME with an account of that name.
wallet()
{
    ok stoa init --wallet "$T/$1" --plaintext-keys --hub "$URL" --open "$1"
}

# address NAME
address()
{
    stoa account list --wallet "$T/$1" --json >"$T/a.json" || fail "account list"
    "$STOA_JSON" accounts.0.address <"$T/a.json"
}

# accrue ADDRESS AMOUNT: by the issuer.
accrue()
{
    EPOCH=$((EPOCH + 1))
    ok stoactl accrue "$1" "$2" --node test --epoch $EPOCH --key "$KEY" --hub "$URL" --quiet
}

# rows ADDRESS COUNT: that many accruals as CSV, each an entry of its own in the account's log.
rows()
{
    echo account,node,epoch,amount
    n=0
    while [ $n -lt "$2" ]; do
        n=$((n + 1))
        BULK=$((BULK + 1))
        echo "$1,bulk,$BULK,0.25"
    done
}

# bulk ADDRESS COUNT: by the issuer, in one go.
bulk()
{
    rows "$1" "$2" >"$T/rows.csv"
    ok stoactl accrue --csv "$T/rows.csv" --key "$KEY" --hub "$URL" --quiet
}

# balance NAME: settled, as text.
balance()
{
    stoa balance "$1" --wallet "$T/$1" --json >"$T/b.json" 2>"$T/err" || fail "balance of $1"
    "$STOA_JSON" balances.0.settled <"$T/b.json"
}
