#!/bin/sh
# stoactl log publish: what is written is what the hub serves, byte for byte; only what is new is
# written; nothing that cannot be right is; and a run that is killed leaves a log that holds.
# stoactl log policy: readers take it.
. "$STOA_CLI_LIB"
command -v curl >/dev/null 2>&1 || { echo "no curl here"; exit 77; }

DB=$T/hub/ledger.db
STORE=sqlite:$DB
W=$T/www

publish()
{
    ok stoactl log publish "$W" --store "$STORE" --json
    cp "$T/out" "$T/published.json"
    equal "$("$STOA_JSON" ok <"$T/out")" true "publish"
}
good()
{
    ok stoa-audit verify "$1" --policy "$P"
    has "^GOOD"
}
# stamps DIR: every file and when it was written.
stamps()
{
    (cd "$1" && find log -type f ! -name checkpoint -printf '%p %T@ %i\n' | sort)
}
# same_as_http DIR: each file is what the hub answers.
same_as_http()
{
    (cd "$1" && find log -type f) >"$T/files"
    sed "s|.*|url = \"http://127.0.0.1:$PORT/&\"\noutput = \"$T/http/&\"|" "$T/files" >"$T/curl.conf"
    rm -rf "$T/http"
    curl -sf --create-dirs -K "$T/curl.conf" || fail "curl: the hub does not serve what was published"
    while read -r f; do
        cmp -s "$1/$f" "$T/http/$f" || fail "$f is not what the hub serves"
    done <"$T/files"
}

hub_init
ok stoactl key show "$KEY" --json # the issuer has to read the pinned account's head
AUDITORS=access.auditors=$(get public)
hub_start "$AUDITORS"
wallet anna
wallet bo
ok stoa open secret --pinned --wallet "$T/bo"
ANNA=$(address anna)
BO=$(address bo)
stoa account list --wallet "$T/bo" --json >"$T/a.json" || fail "account list"
SECRET=$("$STOA_JSON" accounts.1.address <"$T/a.json")
[ "$SECRET" != "$BO" ] || SECRET=$("$STOA_JSON" accounts.0.address <"$T/a.json")
bulk "$ANNA" 700
bulk "$SECRET" 300

# The first time: a log that an auditor accepts, under the policy this hub prints.
ok stoactl log policy --store "$STORE" --url https://logs.example/
cp "$T/out" "$T/policy"
P=$T/policy
has "^log test/00+.* https://logs.example/log/00$"
has "^quorum none$"
ok stoa-audit policy check "$P"
publish
good "$W"
has "301 records of pinned accounts are withheld"
same_as_http "$W"
[ -e "$DB-wal" ] || fail "the running hub lost its WAL"
[ ! -e "$W/tmp" ] || fail "the folder of temporary files stays"
find "$W/log" -path '*tile/0/001' | grep -q . || fail "no full tiles were published"

# Nothing of a pinned account: not its open, not what was paid in.
sqlite3 -readonly "$DB" "SELECT slot FROM slot" >"$T/slots" || fail "sqlite3"
found=0
while read -r s; do
    sqlite3 -readonly "$DB" "SELECT lower(hex(substr(envelope, 40, 60))) FROM record_$s WHERE account IS NOT NULL AND idx > 0" >>"$T/opens"
done <"$T/slots"
find "$W" -type f -path '*envelopes*' -exec od -An -v -tx1 {} + | tr -d ' \n' >"$T/all.hex"
while read -r open; do
    grep -q "$open" "$T/all.hex" && found=$((found + 1))
done <"$T/opens"
equal "$(wc -l <"$T/opens")" 3 "accounts opened"
equal "$found" 2 "accounts whose open is public"

# Again, with nothing new: no file is touched. With something new: old files stay as they are.
stamps "$W" >"$T/before"
publish
equal "$(get files)" 0 "files of a run without news"
stamps "$W" >"$T/after"
cmp -s "$T/before" "$T/after" || fail "a run without news touched files"
cp -a "$W" "$T/www.a"
cp -a "$T/hub" "$T/hub.a.running" # what a crash would leave
ok stoa send 3.5 --to "$BO" --from anna --wallet "$T/anna" --yes --quiet
bulk "$ANNA" 900
publish
good "$W"
same_as_http "$W"
stamps "$W" >"$T/after"
sed 's/ .*//' "$T/after" >"$T/names"
while read -r name rest; do
    if grep -qxF "$name $rest" "$T/after"; then continue; fi
    case $name in
    *.p/*) ;; # only a partial file may go, and only for the full one
    *) fail "$name was written again, or is gone" ;;
    esac
    grep -qxF "${name%%.p/*}" "$T/names" || fail "$name went before its full tile was there"
done <"$T/before"

# A directory that was damaged is mended when asked to.
f=$(find "$W/log" -path '*tile/0/000' | head -n 1)
printf x | dd of="$f" bs=1 seek=77 conv=notrunc 2>/dev/null
expect 1 stoa-audit verify "$W" --policy "$P"
ok stoactl log publish "$W" --store "$STORE" --rebuild --quiet
good "$W"
same_as_http "$W"

# Killed with -9 at any point: what lies there is valid, and the next run ends the work. A first
# run that ends between two checkpoints leaves whole logs, and slots that have none yet.
survives()
{
    there=$(find "$T/killed" -name checkpoint 2>/dev/null | wc -l)
    case $there in
    0) ;;
    16) good "$T/killed" ;;
    *)
        expect 1 stoa-audit verify "$T/killed" --policy "$P"
        has "^FAIL  *$((16 - there)) finding"
        equal "$(grep -c "A2117 critical .*checkpoint: No such file" "$T/out")" $((16 - there)) \
            "slots without a checkpoint"
        ;;
    esac
    ok stoactl log publish "$T/killed" --store "$STORE" --quiet
    good "$T/killed"
}
n=0
for ms in 001 004 008 015 030 060; do
    n=$((n + 1))
    rm -rf "$T/killed"
    [ $((n % 2)) = 0 ] || cp -a "$T/www.a" "$T/killed"
    stoactl log publish "$T/killed" --store "$STORE" --quiet >"$T/out" 2>&1 &
    pid=$!
    sleep 0.$ms
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    survives
done
if strace -o "$T/trace" -e trace=renameat true >/dev/null 2>&1; then
    for nth in 1 2 3 7 12 18 25 31; do
        rm -rf "$T/killed"
        cp -a "$T/www.a" "$T/killed"
        ASAN_OPTIONS=detect_leaks=0 strace -o "$T/trace" -e trace=renameat,renameat2 \
            -e inject=renameat,renameat2:signal=SIGKILL:when=$nth \
            stoactl log publish "$T/killed" --store "$STORE" --quiet >"$T/out" 2>&1
        grep -q SIGKILL "$T/trace" && CUT=$nth
        survives
    done
    [ "${CUT:-0}" -ge 3 ] || fail "no run was cut in its middle"
    rm -rf "$T/killed"
    ASAN_OPTIONS=detect_leaks=0 strace -o "$T/trace" -e trace=renameat,renameat2 \
        stoactl log publish "$T/killed" --store "$STORE" --quiet >"$T/out" 2>&1
    all=$(grep -c '^rename' "$T/trace")
    for nth in 1 $((all - 15)) $((all - 14)) $((all - 6)) $all; do
        rm -rf "$T/killed"
        ASAN_OPTIONS=detect_leaks=0 strace -o "$T/trace" -e trace=renameat,renameat2 \
            -e inject=renameat,renameat2:signal=SIGKILL:when=$nth \
            stoactl log publish "$T/killed" --store "$STORE" --quiet >"$T/out" 2>&1
        grep -q SIGKILL "$T/trace" || fail "a first run was not cut at rename $nth of $all"
        survives
    done
fi
rm -rf "$T/killed"
ok stoactl log publish "$T/killed" --store "$STORE" --quiet
diff -r "$T/killed" "$W" >"$T/out" 2>&1
grep -v '^Only in .*\.p: ' "$T/out" >"$T/err" && fail "two directories of one log differ"

# Settings instead of --store: then the key has to be the hub's own, too.
cat >"$T/stoa.toml" <<TOML
[hub]
name = "test"
state_dir = "$T/hub"
[keys]
passphrase = "none"
TOML
ok stoactl log publish "$T/killed" --config "$T/stoa.toml" --check
says "checked 16 of 16"
ok stoactl log policy --config "$T/stoa.toml"
grep -v '^#' "$T/out" >"$T/policy.b"
sed 's| https:.*||' "$P" | grep -v '^#' | cmp -s - "$T/policy.b" || fail "two policies of one hub differ"
mv "$T/hub/keys/log.key" "$T/log.key"
sed 's/role: relay/role: log/' "$T/hub/keys/relay.key" >"$T/hub/keys/log.key"
expect 1 stoactl log publish "$T/killed" --config "$T/stoa.toml"
says "names another key than log.key"
expect 1 stoactl log policy --config "$T/stoa.toml"
mv "$T/log.key" "$T/hub/keys/log.key"
sed -i 's/^name = .*/name = "other"/' "$T/stoa.toml"
expect 78 stoactl log publish "$T/killed" --config "$T/stoa.toml"
says 'belongs to hub "test"'

# Going on: what the hub takes is soon in the directory; and with --hub as the hub serves it.
stoactl log publish "$W" --store "$STORE" --every 50ms --hub "http://127.0.0.1:$PORT" >"$T/every.out" 2>"$T/every.err" &
EVERY=$!
ok stoa send 1 --to "$BO" --from anna --wallet "$T/anna" --yes --quiet
ok stoa send 2 --to "$BO" --from anna --wallet "$T/anna" --yes --quiet
n=0
until stoactl log publish "$T/killed" --store "$STORE" --quiet >"$T/out" 2>&1 &&
    diff -r "$T/killed" "$W" | grep -v -e '\.p[:/]' -e ': tmp$' >"$T/out"; [ ! -s "$T/out" ]; do
    n=$((n + 1))
    [ $n -lt 100 ] || { kill -9 $EVERY; fail "--every does not follow"; }
    kill -0 $EVERY || fail "--every ended: $(cat "$T/every.err")"
    sleep 0.1
done
expect 65 stoactl log publish "$W" --store "$STORE"
says "another process writes there"
kill $EVERY
wait $EVERY || fail "--every ends with $?"
good "$W"
same_as_http "$W"
hub_kill

# A store that was tampered with: refused, named, and the directory is as it was.
cp -a "$W" "$T/www.kept"
refused()
{
    cp "$T/good.db" "$T/bad.db"
    sqlite3 "$T/bad.db" "$2" || fail "sqlite3: $2"
    expect 1 stoactl log publish "$W" --store "sqlite:$T/bad.db"
    says "$3"
    diff -r "$W" "$T/www.kept" >/dev/null || fail "$1: the directory was changed"
    expect 1 stoactl log publish "$T/fresh" --store "sqlite:$T/bad.db"
    [ ! -e "$T/fresh/log/$SLOT" ] || fail "$1: something of the log was published"
    rm -rf "$T/fresh"
}
sqlite3 "$DB" "PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null || fail "sqlite3"
cp "$DB" "$T/good.db"
N=$(sqlite3 "$T/good.db" "SELECT slot FROM slot ORDER BY size DESC LIMIT 1")
SLOT=$(printf '%02x' "$N")
LAST=$(sqlite3 "$T/good.db" "SELECT size - 1 FROM slot WHERE slot = $N")
refused envelope "UPDATE record_$N SET envelope = CAST(substr(envelope, 1, 99) || x'00' || substr(envelope, 101) AS BLOB) WHERE idx = 40" "record 40"
refused leaf "UPDATE record_$N SET leaf = CAST(substr(leaf, 1, 79) || x'00' AS BLOB) WHERE idx = 41" "record 41"
refused dropped "DELETE FROM record_$N WHERE idx = 300" "record 300: is not there"
refused cut "DELETE FROM record_$N WHERE idx = $LAST" "record $LAST: is not there"
refused signature "UPDATE slot SET checkpoint = CAST(substr(checkpoint, 1, length(checkpoint) - 20) || x'41' || substr(checkpoint, length(checkpoint) - 18) AS BLOB) WHERE slot = $N" "not signed by the log's key"

# An older ledger never replaces a newer log, nor does another one: both trees are named.
expect 1 stoactl log publish "$W" --store "sqlite:$T/hub.a.running/ledger.db"
says "published is size .* root .*, the ledger has size .* root .*: an older one never replaces"
says "stoactl\|keep both"
diff -r "$W" "$T/www.kept" >/dev/null || fail "an older ledger changed the directory"
mv "$T/hub" "$T/hub.b"
mv "$T/hub.a.running" "$T/hub"
hub_start "$AUDITORS"
bulk "$BO" 40
bulk "$ANNA" 1200
expect 1 stoactl log publish "$W" --store "$STORE"
says "published is size .*, the ledger has size .*: both cannot be beginnings of one log"
diff -rq "$W" "$T/www.kept" | grep "/$SLOT" && fail "another tree changed the directory"
hub_kill
echo ok
