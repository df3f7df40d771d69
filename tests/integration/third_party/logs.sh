# Sourced: a hub with one log of some hundred records, published as files in $W. The fullest log is
# $SLOT, its key $KEY_TEXT, its size $SIZE; $BUNDLES full tiles, the partial one at $PARTIAL.

DB=$T/hub/ledger.db
W=$T/www
HTTP=

vkey()
{
    sed -n "s|^log \(test/$1+[^ ]*\).*|\1|p" "$T/policy"
}
publish()
{
    ok stoactl log publish "$W" --store "sqlite:$DB" --quiet
    SIZE=$(sed -n 2p "$W/log/$SLOT/checkpoint")
    BUNDLES=$((SIZE / 256))
    LEVEL1=$BUNDLES
    PARTIAL=$(printf '%03d.p/%d' $BUNDLES $((SIZE % 256)))
    [ $((SIZE % 256)) -ne 0 ] || fail "a log of whole tiles: the test needs a partial one"
}
# fill COUNT: as many records in anna's log.
fill()
{
    bulk "$ANNA" "$1"
}
# damaged REASON FILE flip OFFSET|cut: a copy of the fullest log with one file spoilt is refused.
damaged()
{
    rm -rf "$T/bad"
    cp -a "$W/log/$SLOT" "$T/bad"
    [ -f "$T/bad/$2" ] || fail "there is no $2 to damage"
    case $3 in
    flip) flip "$T/bad/$2" "$4" ;;
    cut) truncate -s -1 "$T/bad/$2" ;;
    esac
    cmp -s "$T/bad/$2" "$W/log/$SLOT/$2" && fail "$2 is as it was"
    bad "$1" "$KEY_TEXT" "$T/bad"
}
# flip FILE OFFSET: its lowest bit (a digit becomes another digit, base64 stays base64 or not).
flip()
{
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059
    printf "\\$(printf '%03o' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
# fork_log: the hub as it was at the first publishing writes another history, longer: $T/fork.
fork_log()
{
    hub_kill
    rm -rf "$T/hub"
    mv "$T/hub.first" "$T/hub"
    hub_start
    fill 1000
    ok stoactl log publish "$T/fork" --store "sqlite:$DB" --quiet
}

hub_init
hub_start
wallet anna
ANNA=$(address anna)
fill 700
ok stoactl log policy --store "sqlite:$DB"
cp "$T/out" "$T/policy"
HTTP=http://127.0.0.1:$PORT
SLOT=$(sqlite3 -readonly "$DB" "SELECT printf('%02x', slot) FROM slot ORDER BY size DESC LIMIT 1") || fail sqlite3
KEY_TEXT=$(vkey "$SLOT")
[ -n "$KEY_TEXT" ] || fail "the policy names no key of $SLOT"
publish
cp -a "$W" "$T/old"
cp -a "$T/hub" "$T/hub.first"
