# TLS at the client port: every tool goes through it, what is wrong with the files is told by name,
# a renewed certificate is taken over without a restart, old versions and strangers are refused.
. "$STOA_SOURCE/tests/integration/ops/lib.sh"
command -v openssl >/dev/null 2>&1 && command -v curl >/dev/null 2>&1 || { echo "no openssl or curl here"; exit 77; }
. "$STOA_SOURCE/tests/integration/service/authority.sh"
certificate first "DNS:localhost,IP:127.0.0.1"
certificate second "DNS:localhost,IP:127.0.0.1"
certificate elsewhere "DNS:hub.example,IP:192.0.2.7"
C=$T/ca/hub.pem
K=$T/ca/hub.key
# install NAME: into the place that the settings name, as a renewal does.
install_pair()
{
    cp "$T/ca/$1.pem" "$C.new" && cp "$T/ca/$1.key" "$K.new" && chmod 640 "$K.new" &&
        mv "$C.new" "$C" && mv "$K.new" "$K" || fail "cannot install $1"
}
settings()
{
    ops_config <<TOML
[store]
min_free_bytes = 0
[limits]
handshake_ms = "4s"
[tls]
certificate = "$C"
key = "$K"
TOML
}
settings
ops_init

# What is wrong with the files ends the start: code, file and what to do.
refused()
{
    expect 78 stoad run --config "$CONF"
    says "error\[T7824\] tls: .*$1"
}
refused "cannot read $C: No such file"
install_pair first
chmod 644 "$K"
refused "$K has mode 0644: others than its owner and group may not read it"
says "try: chmod 640"
chmod 660 "$K"
refused "$K has mode 0660"
cp "$T/ca/second.key" "$K" && chmod 600 "$K"
refused "$K is not the key of the certificate in $C"
echo nothing >"$K"
refused "$K does not hold a PEM private key"
openssl ec -in "$T/ca/first.key" -aes256 -passout pass:secret -out "$K" 2>/dev/null
refused "$K does not hold a PEM private key without passphrase"
install_pair first
echo nothing >"$C"
refused "$C does not hold PEM certificates"
rm "$C" && mkdir "$C"
refused "$C is no file"
rmdir "$C"
install_pair first
head -c 300000 /dev/zero >"$C"
refused "$C is no file of at most"
openssl req -x509 -newkey rsa:1024 -nodes -days 2 -subj /CN=weak -keyout "$K" -out "$C" 2>/dev/null &&
    chmod 600 "$K" && refused "too weak"
install_pair first
expect 78 stoad run --config "$CONF" --set tls.key=
says "error\[T7807\].*tls.key is missing"

# The first one in force: all tools, versions from 1.2 on, names that are checked.
ops_start
equal "$URL" "wss://127.0.0.1:$PORT" "ready line"
equal "$(shown)" first "certificate"
grep -q "Verify return code: 0" "$T/shown" || fail "the certificate does not verify"
equal "$(shown -tls1_2)" first "TLS 1.2"
equal "$(shown -alpn h2,http/1.1)" first "ALPN"
grep -q "ALPN protocol: http/1.1" "$T/shown" || fail "no http/1.1 by ALPN"
for old in tls1 tls1_1; do
    openssl s_client -$old -cipher 'ALL:@SECLEVEL=0' -connect "127.0.0.1:$PORT" </dev/null >"$T/out" 2>&1 &&
        fail "$old was spoken"
    has "alert protocol version"
done
ok curl -sf --cacert "$CA" "https://localhost:$PORT/livez"
curl -sf "http://127.0.0.1:$PORT/livez" >"$T/out" 2>&1 && fail "the TLS port answers without TLS"
ok curl -sf --cacert "$CA" "https://localhost:$PORT/metrics"
END=$(date -d "$(openssl x509 -noout -enddate -in "$C" | cut -d= -f2)" +%s)
has "^stoa_tls_certificate_not_after_timestamp_seconds $END"
ok stoa init --wallet "$T/anna" --plaintext-keys --hub "wss://localhost:$PORT" --ca-file "$CA" --open anna
ok stoa init --wallet "$T/bo" --plaintext-keys --hub "$URL" --ca-file "$CA" --open bo
ok stoactl accrue "$(address anna)" 5 --node test --epoch 1 --key "$KEY" --hub "$URL" --ca-file "$CA" --quiet
ok stoa send 1.5 --to "$(address bo)" --from anna --wallet "$T/anna" --ca-file "$CA" --yes --quiet
rows "$(address anna)" 200 >"$T/rows.csv"
ok stoactl accrue --csv "$T/rows.csv" --key "$KEY" --hub "$URL" --ca-file "$CA" --quiet
for u in "$URL" "https://localhost:$PORT"; do
    ok stoactl status "$u" --ca-file "$CA" --json
    equal "$(get status.ready_write)" true "status over $u"
done
ok stoactl log policy --config "$CONF"
cp "$T/out" "$T/policy"
ok stoa-audit verify "https://localhost:$PORT" --policy "$T/policy" --ca-file "$CA"
has "^GOOD"
expect 69 stoa init --wallet "$T/no" --plaintext-keys --hub "$URL" --open no
says "certificate is not trusted here"
rm -rf "$T/no"
expect 69 stoactl status "$URL"
says "certificate"
expect 69 stoa init --wallet "$T/no" --plaintext-keys --hub "ws://127.0.0.1:$PORT" --open no
rm -rf "$T/no"

# Renewed while it runs: connections to come are shown the new one, those that are open go on.
mkfifo "$T/pipe"
openssl s_client -quiet -connect "127.0.0.1:$PORT" -CAfile "$CA" <"$T/pipe" >"$T/held" 2>"$T/held.err" &
HELD=$!
exec 9>"$T/pipe"
trap '' PIPE
ask_held()
{
    : >"$T/held"
    printf 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n' >&9
    n=0
    until grep -q "^ok" "$T/held"; do
        n=$((n + 1))
        [ $n -lt 300 ] || fail "a connection that was open $1"
        sleep 0.05
    done
}
ask_held "does not answer"
ctl 0 reload --json
equal "$(get applied)" 0 "nothing new"
install_pair second
ctl 0 reload
has "^applied  *certificate: sha256:.* until .* -> sha256:.* until"
ask_held "was cut by the renewal"
exec 9>&-
wait $HELD
equal "$(shown)" second "certificate after the reload"
grep -q "Verify return code: 0" "$T/shown" || fail "the renewed certificate does not verify"
install_pair first
kill -HUP $HUB_PID
n=0
until [ "$(shown)" = first ]; do
    n=$((n + 1))
    [ $n -lt 50 ] || fail "SIGHUP did not renew"
    sleep 0.1
done

# A renewal that cannot be used changes nothing.
kept()
{
    ctl 78 reload
    says "error\[T7824\] tls: .*$1"
    says "nothing was applied"
    equal "$(shown)" first "certificate after a refused reload"
}
cp "$T/ca/second.pem" "$C"
kept "is not the key"
install_pair second
chmod 604 "$K"
kept "has mode 0604"
rm "$K"
kept "cannot read"

# Another name: served, and no client believes it.
install_pair elsewhere
ctl 0 reload --quiet
expect 69 stoa init --wallet "$T/no" --plaintext-keys --hub "$URL" --ca-file "$CA" --open no
says "not for that name"
rm -rf "$T/no"
expect 69 stoactl status "$URL" --ca-file "$CA"
install_pair first
ctl 0 reload --quiet

# Who connects and says nothing, or rubbish, is let go; others do not notice.
i=0
while [ $i -lt 5 ]; do
    i=$((i + 1))
    head -c 4000 /dev/urandom | timeout 10 curl -s "telnet://127.0.0.1:$PORT" >/dev/null 2>&1
done
# open_at_one_time: connections, beside the one that asks.
open_at_one_time()
{
    ok curl -sf --cacert "$CA" "https://localhost:$PORT/metrics"
    echo $(($(sed -n 's/^stoa_client_connections{transport="http"} //p' "$T/out") - 1))
}
MUTE=
for i in 1 2 3; do
    sleep 15 | timeout 15 curl -s "telnet://127.0.0.1:$PORT" >/dev/null 2>&1 &
    MUTE="$MUTE $!"
done
n=0
until [ "$(open_at_one_time)" = 3 ]; do
    n=$((n + 1))
    [ $n -lt 200 ] || fail "the silent connections were not seen"
    sleep 0.05
done
n=0
until [ "$(open_at_one_time)" = 0 ]; do
    n=$((n + 1))
    [ $n -lt 60 ] || fail "silent connections are kept"
    sleep 0.2
done
# shellcheck disable=SC2086
kill $MUTE
ok stoactl status "$URL" --ca-file "$CA" --json

# Off and on again without a restart.
sed -i 's/^\(certificate\|key\) = .*ca.*/\1 = ""/' "$CONF"
ctl 0 reload
ok curl -sf "http://127.0.0.1:$PORT/livez"
curl -sf --cacert "$CA" "https://localhost:$PORT/livez" >"$T/out" 2>&1 && fail "TLS is still spoken"
PORT_WAS=$PORT
settings
ctl 0 reload
PORT=$PORT_WAS
equal "$(shown)" first "certificate after TLS was turned on again"
kill -TERM $HUB_PID
wait $HUB_PID || fail "the hub ended with $?"
HUB_PID=
echo ok
