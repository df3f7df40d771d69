# The unit's cage against what stoad does: every system call it makes, traced over a life with
# clients, reload and drain, passes the unit's filter; no memory is writable and executable; no
# socket is of a family the unit forbids. (Nothing here can start a unit for real.)
. "$STOA_SOURCE/tests/integration/ops/lib.sh"
for tool in strace systemd-analyze openssl curl; do
    command -v $tool >/dev/null 2>&1 || { echo "no $tool here"; exit 77; }
done
[ -z "$STOA_SANITIZED" ] || { echo "sanitizers make calls of their own"; exit 77; }
UNIT=$STOA_SOURCE/deploy/systemd/stoad.service
export ASAN_OPTIONS=detect_leaks=0
. "$STOA_SOURCE/tests/integration/service/authority.sh"
certificate hub "DNS:localhost,IP:127.0.0.1"

# members SET..: the calls of these sets, sets in them resolved.
members()
{
    for set in "$@"; do
        systemd-analyze syscall-filter "$set" | grep -v '^ *#' | sed 1d | tr -d ' '
    done >"$T/set"
    while grep -q '^@' "$T/set"; do
        grep -v '^@' "$T/set" >"$T/set.next"
        for set in $(grep '^@' "$T/set" | sort -u); do
            systemd-analyze syscall-filter "$set" | grep -v '^ *#' | sed 1d | tr -d ' '
        done >>"$T/set.next"
        mv "$T/set.next" "$T/set"
    done
    sort -u "$T/set"
}
# shellcheck disable=SC2046
members $(sed -n 's/^SystemCallFilter=@/@/p' "$UNIT") >"$T/allowed"
# shellcheck disable=SC2046
members $(sed -n 's/^SystemCallFilter=~//p' "$UNIT") >"$T/denied"
grep -qx read "$T/allowed" && grep -qx setuid "$T/denied" || { echo "cannot tell what the filter has"; exit 77; }

ops_config <<TOML
[store]
min_free_bytes = 0
[tls]
certificate = "$T/ca/hub.pem"
key = "$T/ca/hub.key"
TOML
sed -i "s|^passphrase = .*|passphrase = \"cmd:echo a long enough passphrase\"|" "$CONF"
stoad init --quick-keys --config "$CONF" >"$T/init.out" 2>"$T/hub.err" || fail "stoad init"
# Not as root: SQLite hands files over then, and only then.
DROP=
if [ "$(id -u)" = 0 ]; then
    DROP="setpriv --reuid=65534 --regid=65534 --clear-groups"
    chown -R 65534:65534 "$T"
    $DROP test -x "$STOA_BIN/stoad" || { echo "who is not root cannot run stoad here"; exit 77; }
fi
mkdir "$T/wrapped"
cat >"$T/wrapped/stoad" <<SH
#!/bin/sh
exec $DROP strace -f -qq -o "$T/trace" "$STOA_BIN/stoad" "\$@"
SH
chmod +x "$T/wrapped/stoad"
$DROP strace -o "$T/trace" true 2>/dev/null || { echo "no tracing here"; exit 77; }
PATH=$T/wrapped:$PATH
ops_start
PATH=${PATH#*:}
ok stoa init --wallet "$T/anna" --plaintext-keys --hub "wss://localhost:$PORT" --ca-file "$CA" --open anna
ok stoa init --wallet "$T/bo" --plaintext-keys --hub "$URL" --ca-file "$CA" --open bo
echo a long enough passphrase >"$T/passphrase"
chmod 600 "$T/passphrase"
ok stoactl accrue "$(address anna)" 5 --node test --epoch 1 --key "$KEY" --passphrase "file:$T/passphrase" --hub "$URL" --ca-file "$CA" --quiet
ok stoa send 1.5 --to "$(address bo)" --from anna --wallet "$T/anna" --ca-file "$CA" --yes --quiet
for path in livez readyz/write metrics v1/status log/00/checkpoint; do
    ok curl -sf --cacert "$CA" "https://localhost:$PORT/$path"
done
ctl 0 status
ctl 0 reload
ctl 0 drain
wait $HUB_PID || fail "the hub ended with $?"
HUB_PID=

# One call a line: "PID name(..."; those of the shell that gives the passphrase count as well.
sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' "$T/trace" | sort -u >"$T/used"
[ "$(wc -l <"$T/used")" -gt 40 ] || fail "the trace has only $(wc -l <"$T/used") calls"
grep -vxF -f "$T/allowed" "$T/used" >"$T/out" && fail "calls outside of the unit's filter"
grep -xF -f "$T/denied" "$T/used" >"$T/out" && fail "calls the unit denies"
grep -E 'm(map|protect)\(.*PROT_WRITE\|PROT_EXEC|mprotect\(.*PROT_EXEC' "$T/trace" >"$T/out" &&
    fail "memory that MemoryDenyWriteExecute= refuses"
FAMILIES=$(sed -n 's/^RestrictAddressFamilies=//p' "$UNIT" | tr ' ' '\n')
sed -n 's/.*socket(\(AF_[A-Z0-9]*\),.*/\1/p' "$T/trace" | sort -u >"$T/families"
echo "$FAMILIES" >"$T/out"
grep -vxF -f "$T/out" "$T/families" >"$T/err" && fail "socket families the unit forbids"
echo "$(wc -l <"$T/used") calls, $(tr '\n' ' ' <"$T/families")sockets"
echo ok
