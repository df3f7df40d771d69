# Sourced: a certificate authority of a test's own, in $T/ca.
mkdir "$T/ca" || exit 1
CA=$T/ca/root.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=Test root" \
    -keyout "$T/ca/root.key" -out "$CA" 2>"$T/err" || fail "openssl: $(cat "$T/err")"

# certificate NAME SAN: $T/ca/NAME.pem and NAME.key, valid for those names.
certificate()
{
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$T/ca/$1.key" -out "$T/ca/$1.csr" 2>"$T/err" || fail "openssl: $(cat "$T/err")"
    echo "subjectAltName=$2" >"$T/ca/ext"
    openssl x509 -req -days 2 -in "$T/ca/$1.csr" -CA "$CA" -CAkey "$T/ca/root.key" -CAcreateserial \
        -extfile "$T/ca/ext" -out "$T/ca/$1.pem" 2>"$T/err" || fail "openssl: $(cat "$T/err")"
    chmod 600 "$T/ca/$1.key"
}

# shown: the name in the certificate a new connection is shown.
shown()
{
    openssl s_client -connect "127.0.0.1:$PORT" -CAfile "$CA" "$@" </dev/null >"$T/shown" 2>&1
    sed -n 's/^subject=CN *= *//p' "$T/shown"
}
