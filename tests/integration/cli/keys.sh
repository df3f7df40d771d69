# Keys: encrypted at rest, checked, shown, restored, under another passphrase.
. "${0%/*}/lib.sh"
hub_init
hub_start
echo 'correct horse' >"$T/pass"
echo 'wrong' >"$T/wrong"
echo 'battery staple' >"$T/next"
ok stoa init --wallet "$T/anna" --passphrase "file:$T/pass" --quick-kdf --hub "$URL" --open main
has 'keys      encrypted'
ls -l "$T/anna" | grep -q 'rw-------' || fail "key files are readable by others"
grep -rq 'seed:' "$T/anna" && fail "a seed in plain text"
W="--wallet $T/anna"
ok stoa key check $W --passphrase "file:$T/pass"
ok stoa key check root $W --passphrase "cmd:cat $T/pass"
expect 77 stoa key check $W --passphrase "file:$T/wrong"
expect 77 stoa key check $W --no-input
expect 77 stoa note hello $W --passphrase "file:$T/wrong"
says 'error\[T77'
stoa note hello $W --passphrase fd:7 7<"$T/pass" >"$T/out" 2>"$T/err" </dev/null || fail "fd:7"
ok stoa balance $W --offline
expect 64 stoa key export root $W --passphrase "file:$T/pass"
says -- '--yes'
ok stoa key export root $W --yes --passphrase "file:$T/pass"
cp "$T/out" "$T/root.txt"
ok stoa key export device $W --yes --passphrase "file:$T/pass" --out "$T/device.txt"
ok stoa init --wallet "$T/again" --plaintext-keys --root-seed "file:$T/root.txt" \
    --device-seed "file:$T/device.txt" --hub "$URL"
ok stoa key show --wallet "$T/again" --json
ROOT=$(get root)
ok stoa key show $W --json
equal "$(get root)" "$ROOT" "restored root key"
ok stoa key passphrase $W --passphrase "file:$T/pass" --new-passphrase "file:$T/next"
expect 77 stoa key check $W --passphrase "file:$T/pass"
ok stoa key check root $W --passphrase "file:$T/next"
ok stoa key passphrase $W --passphrase "file:$T/next" --plaintext-keys
ok stoa note plain $W
# Never over something, never without being told.
expect 78 stoa init --wallet "$T/anna" --plaintext-keys
expect 77 stoa init --wallet "$T/none" --no-input
[ ! -e "$T/none" ] || fail "a wallet was made without keys"
ok stoa recovery create "$T/recovery.key" --plaintext-keys --json
RECOVERY=$(get key)
expect 78 stoa recovery create "$T/recovery.key" --plaintext-keys
ok stoa open safe --recovery "$RECOVERY" $W
ok stoa recovery begin "$T/recovery.key" --account safe $W
ok stoa account list $W
has 'recovery is under way'
stoa recovery finish "$T/recovery.key" --account safe $W --timeout 1s >"$T/out" 2>"$T/err"
case $? in 3 | 4 | 75) ;; *) fail "a recovery is finished before its time" ;; esac
ok stoa recovery cancel --account safe $W
ok stoa root rotate --account safe $W --yes
echo "keys: good"
