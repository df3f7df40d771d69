# Sourced by the tests of operation: a hub with a settings file and an admin socket.
. "$STOA_SOURCE/tests/integration/cli/lib.sh"
CONF=$T/stoa.toml
SOCK=$T/a.sock

# ops_config: standard input becomes the settings file, after what every test needs.
ops_config()
{
    {
        printf '[hub]\nname = "test"\nstate_dir = "%s"\n[keys]\npassphrase = "none"\n' "$T/hub"
        printf '[listen]\nclient = "127.0.0.1:0"\nadmin = "%s"\n' "$SOCK"
        cat
    } >"$CONF"
}

ops_init()
{
    stoad init --config "$CONF" >"$T/init.out" 2>"$T/hub.err" || fail "stoad init: $(cat "$T/hub.err")"
}

# ops_start [ARGUMENT..]: with the settings file.
ops_start()
{
    : >"$T/hub.out"
    stoad run --config "$CONF" "$@" >"$T/hub.out" 2>>"$T/hub.err" </dev/null &
    HUB_PID=$!
    n=0
    until grep -q '^ready ' "$T/hub.out"; do
        n=$((n + 1))
        [ $n -lt 600 ] || fail "the hub does not become ready"
        kill -0 $HUB_PID 2>/dev/null || fail "the hub ended: $(tail -n 5 "$T/hub.err")"
        sleep 0.05
    done
    PORT=$(sed -n 's/^ready wss*:\/\/127.0.0.1:\([0-9]*\) .*/\1/p' "$T/hub.out")
    URL=$(sed -n 's/^ready \([^ ]*\) .*/\1/p' "$T/hub.out")
}

# ctl CODE WORD..: stoactl at our socket.
ctl()
{
    want=$1
    shift
    expect "$want" stoactl "$@" --socket "$SOCK"
}
