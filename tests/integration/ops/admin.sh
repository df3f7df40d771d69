# stoactl status, reload and drain at the admin socket: found by the settings, answered key by
# key, refused to strangers, and nothing changed by a file with a problem.
. "${0%/*}/lib.sh"
ops_config <<END
backlog = 64
[limits]
burst = 100
[log]
level = "warn"
END
ops_init
ops_start

# status: by the socket, by the settings, by URL.
ctl 0 status
has '^ready_write  *true'
ok stoactl status --config "$CONF"
has '^hub  *test'
ok stoactl status --config "$CONF" --json
equal "$(get schema)" stoactl.status/1 schema
equal "$(get status.ready_read)" true ready_read
ok stoactl status "http://127.0.0.1:$PORT"
expect 69 stoactl status --socket "$T/none.sock"
says 'nobody listens'
expect 69 stoactl reload --socket "$T/none.sock"
expect 78 stoactl reload --config "$T/none.toml"
[ "$(stat -c %a "$SOCK")" = 600 ] || fail "the socket's mode is $(stat -c %a "$SOCK")"
expect 78 stoad run --config "$CONF" # a second one is told by the ledger's lock

# how it is: nothing is wrong, nothing is late, nobody sends.
ctl 0 why
has '^nothing is wrong; looked at:'
has '^  writes  *ok '
ctl 0 why --json
equal "$(get schema)" stoactl.why/1 schema
equal "$(get well)" true well
ctl 0 lag
has '^payments not settled  *0  *-  *ok'
ctl 0 lag --json
equal "$(get schema)" stoactl.lag/1 schema
ctl 0 top
has '^0 connections'
has ' MiB of messages'
ctl 0 top --json
equal "$(get schema)" stoactl.top/1 schema
ctl 0 status
has '^memory.allocatable_bytes  *[1-9]'

# reload: nothing, some, with what waits, and a file that is wrong.
ctl 0 reload
has '^generation  *1, nothing to apply'
ops_config <<END
backlog = 65
[limits]
burst = 200
[log]
level = "warn"
END
ctl 0 reload
has '^generation  *1 -> 2'
has '^applied  *limits.burst: 100 -> 200'
has '^needs restart  *listen.backlog: 64 -> 65'
ctl 0 reload --json
equal "$(get schema)" stoactl.reload/1 schema
equal "$(get generation)" 2 generation
equal "$(get needs_restart.0.key)" listen.backlog key
equal "$(get needs_restart.0.old)" 64 old
equal "$(get needs_restart.0.new)" 65 new
ops_config <<END
backlog = 65
[limits]
burst = 300
subscritpions = 7
ping_ms = "1d"
END
ctl 78 reload
says 'T7801.*subscritpions.*did you mean "subscriptions"'
says 'T7807.*limits.ping_ms'
says 'nothing was applied, generation 2 still running'
expect 78 stoactl reload --config "$CONF" # the socket is found by what stands in it all the same
says 'T7801.*subscritpions.*did you mean "subscriptions"'
says 'nothing was applied, generation 2 still running'
ok stoactl why --config "$CONF"
ctl 78 reload --json
equal "$(get problems.0.code)" T7801 code
equal "$(get generation)" 2 generation
metric()
{
    curl -s "http://127.0.0.1:$PORT/metrics" | sed -n "s/^$1 //p"
}
if command -v curl >/dev/null; then
    equal "$(metric stoa_config_last_reload_successful)" 0 reload_successful
    equal "$(metric stoa_config_generation)" 2 generation
    equal "$(metric stoa_config_restart_required)" 1 restart_required
fi

# What is not TOML names no socket: its line is told, and how to do without.
cp "$CONF" "$T/good.toml"
echo 'burst = [' >>"$CONF"
for asked in reload status why; do
    expect 78 stoactl $asked --config "$CONF"
    says "T7804.* at $CONF:[0-9]*:"
    says 'the settings cannot be read'
    says '--socket PATH'
done
cp "$T/good.toml" "$CONF"

# SIGHUP does the same.
ops_config <<END
backlog = 65
[limits]
burst = 400
[log]
level = "info"
END
kill -HUP "$HUB_PID"
n=0
until grep -q 'event=reload.done generation=3 applied=2 need_restart=1' "$T/hub.err"; do
    n=$((n + 1))
    [ $n -lt 200 ] || fail "SIGHUP did nothing: $(tail -n 3 "$T/hub.err")"
    sleep 0.05
done
ctl 0 reload
has 'nothing to apply'

# Strangers: the mode keeps them out, and were it wide open, the kernel's word on who asks does.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$T"
    cp "$(command -v stoactl)" "$T/stoactl"
    nobody="setpriv --reuid=65534 --regid=65534 --clear-groups $T/stoactl"
    if $nobody --version >/dev/null 2>&1; then
        # shellcheck disable=SC2086
        expect 77 $nobody drain --socket "$SOCK"
        chmod 666 "$SOCK"
        # shellcheck disable=SC2086
        expect 77 $nobody drain --socket "$SOCK"
        says 'only the relay.s own user'
        chmod 600 "$SOCK"
        ctl 0 status
        has '^ready_write  *true'
    fi
fi

# drain, and wait for the end.
ctl 0 drain --wait --timeout 20s --json
equal "$(get ended)" true ended
wait "$HUB_PID"
equal $? 0 "exit code"
HUB_PID=
[ ! -e "$SOCK" ] || fail "the socket is still there"

# A socket that a killed relay left behind is taken over; a file there is not.
ops_start
hub_kill
[ -S "$SOCK" ] || fail "kill -9 left no socket"
ops_start
ctl 0 status
hub_kill
rm -f "$SOCK"
: >"$SOCK"
expect 78 stoad run --config "$CONF"
says 'T7819.*is no socket'
