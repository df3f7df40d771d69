# Two relays of one hub with TLS: clients of one reach slots of the other through it; a relay that
# does not trust the other's certificate forwards nothing and says so, until it does.
. "$STOA_SOURCE/tests/integration/cli/lib.sh"
command -v openssl >/dev/null 2>&1 && command -v curl >/dev/null 2>&1 || { echo "no openssl or curl here"; exit 77; }
. "$STOA_SOURCE/tests/integration/service/authority.sh"
certificate relays "IP:127.0.0.1"
SECOND=
trap '[ -z "$SECOND" ] || kill -9 $SECOND; finish' EXIT
common()
{
    cat <<TOML
[hub]
name = "test"
state_dir = "$T/$1"
keys_dir = "$T/hub/keys"
[keys]
passphrase = "none"
[listen]
client = "127.0.0.1:0"
admin = "$T/$1.sock"
[store]
uri = "$STOA_PG_URI"
[region]
relay = "$1"
lease_ms = "1s"
poll_ms = "50ms"
[log]
level = "info"
[tls]
certificate = "$T/ca/relays.pem"
key = "$T/ca/relays.key"
ca_file = "$2"
TOML
}
common r1 "" >"$T/r1.toml" # trusts nobody but the system's roots
common r2 "$CA" >"$T/r2.toml"
stoad init --config "$T/r1.toml" --set hub.state_dir="$T/hub" >"$T/init.out" 2>"$T/hub.err" || fail "stoad init: $(cat "$T/hub.err")"

# relay NAME: its number is $!, its URL in NAME.url.
relay()
{
    mkdir -p "$T/$1"
    stoad run --config "$T/$1.toml" >"$T/$1.out" 2>"$T/$1.err" </dev/null &
}
ready()
{
    n=0
    until grep -q '^ready ' "$T/$1.out"; do
        n=$((n + 1))
        [ $n -lt 400 ] || fail "$1 does not become ready: $(tail -n 5 "$T/$1.err")"
        sleep 0.05
    done
    sed -n 's/^ready \([^ ]*\) .*/\1/p' "$T/$1.out"
}
relay r1
HUB_PID=$!
relay r2
SECOND=$!
URL=$(ready r1)
URL2=$(ready r2)
n=0
until [ "$(stoactl status --socket "$T/r1.sock" --json | "$STOA_JSON" status.relay.slots)" = 8 ] &&
    [ "$(stoactl status --socket "$T/r2.sock" --json | "$STOA_JSON" status.relay.slots)" = 8 ]; do
    n=$((n + 1))
    [ $n -lt 200 ] || fail "the slots are not shared: $(stoactl status --socket "$T/r1.sock")"
    sleep 0.1
done

# Through the second, which trusts the first: every account can be opened, whosever slot it is in.
ok stoa init --wallet "$T/anna" --plaintext-keys --hub "$URL2" --ca-file "$CA" --open a0
i=0
FORWARDED=0
while [ $i -lt 9 ] || [ "${FORWARDED:-0}" -eq 0 ]; do # by chance they may all be in its own slots
    i=$((i + 1))
    [ $i -le 40 ] || fail "nothing was forwarded"
    ok stoa open a$i --wallet "$T/anna" --ca-file "$CA"
    ok curl -sf --cacert "$CA" "https://${URL2#wss://}/metrics"
    FORWARDED=$(sed -n 's/^stoa_forwarded_entries_total{result="accepted"} //p' "$T/out")
done
grep -q 'event=peer.up relay=r1' "$T/r2.err" || fail "the link was not told"

# Through the first, which does not: only its own slots, and its trace says why.
ok stoa init --wallet "$T/bo" --plaintext-keys --hub "$URL" --ca-file "$CA"
i=0
until grep -q 'event=peer.down relay=r2 .*certificate is not trusted' "$T/r1.err"; do
    i=$((i + 1))
    [ $i -lt 20 ] || fail "a certificate nobody vouches for was taken: $(tail -n 5 "$T/r1.err")"
    stoa open b$i --wallet "$T/bo" --ca-file "$CA" --timeout 2s >"$T/out" 2>"$T/err" </dev/null
done
grep -q 'event=peer.up relay=r2' "$T/r1.err" && fail "the link came up without trust"
sed -i "s|^ca_file = .*|ca_file = \"$CA\"|" "$T/r1.toml"
ok stoactl reload --socket "$T/r1.sock"
i=0
while [ $i -lt 8 ] || ! grep -q 'event=peer.up relay=r2' "$T/r1.err"; do # for the first account in a slot of r2
    i=$((i + 1))
    [ $i -le 40 ] || fail "the link does not come up with trust"
    ok stoa open c$i --wallet "$T/bo" --ca-file "$CA" --timeout 10s
done
kill -TERM $SECOND
wait $SECOND || fail "r2 ended with $?: $(tail -n 60 "$T/r2.err")"
SECOND=
kill -TERM $HUB_PID
wait $HUB_PID || fail "r1 ended with $?: $(tail -n 60 "$T/r1.err")"
HUB_PID=
echo ok
