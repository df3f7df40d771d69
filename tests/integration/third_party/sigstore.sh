#!/bin/sh
# npm's @sigstore/verify accepts our receipts against the published log, and none that was changed.
# The packages are those of sigstore/package-lock.json, by their hashes; without network and
# without npm's cache of them the test is skipped.
. "$STOA_CLI_LIB"
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || { echo "no node and npm here"; exit 77; }
cp "$THIRD_PARTY_SOURCE/sigstore/package.json" "$THIRD_PARTY_SOURCE/sigstore/package-lock.json" "$THIRD_PARTY_DIR" || fail cp
cd "$THIRD_PARTY_DIR" || fail cd
npm ci --prefer-offline --ignore-scripts --no-audit --no-fund --fetch-retries 1 --fetch-timeout 20000 \
    >"$T/out" 2>"$T/err" || { echo "npm cannot install @sigstore/verify here:"; tail -n 5 "$T/err"; exit 77; }
. "$THIRD_PARTY_SOURCE/logs.sh"

check()
{
    node "$THIRD_PARTY_SOURCE/sigstore/check.js" "$@"
}
wallet bo
receipts=
for k in 1 2 3; do
    ok stoa send $k --to "$(address bo)" --from anna --wallet "$T/anna" --yes --json
    id=$(get id)
    ok stoa receipt "$id" --wallet "$T/anna" --out "$T/$k.tlog-proof"
    receipts="$receipts $T/$k.tlog-proof"
    fill $((k * 7))
done
publish
# shellcheck disable=SC2086
ok check "$KEY_TEXT" "$W/log/$SLOT" $receipts
has "^3 receipts accepted, [0-9]* changes refused$"
cat "$T/out"

# Another byte of the leaf in the bundle, and the key of another log.
# bad REASON ARGUMENT..
bad()
{
    why=$1
    shift
    expect 1 check "$@" "$T/1.tlog-proof"
    says "$why"
}
index=$(sed -n 's/^index //p' "$T/1.tlog-proof")
[ $((index / 256)) -eq "$BUNDLES" ] || fail "record $index is not in the partial bundle"
damaged "calculated root hash does not match" "tile/entries/$PARTIAL" flip $((index % 256 * 82 + 2))
OTHER=$(printf '%02x' $(((0x$SLOT + 1) % 16)))
bad "invalid checkpoint signature" "$(vkey "$OTHER")" "$W/log/$SLOT"
echo ok
