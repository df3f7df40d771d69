#!/bin/sh
# A region on this machine, for tests, measurements and the curious: one Postgres, one Redis, some
# relays of one hub and haproxy in front of them, from Debian's packages. All on loopback or unix
# sockets, nothing runs as root but what root itself starts of Stoa, ports are free ones.
#
#   deploy/region.sh up             start what does not run; says where clients connect
#   deploy/region.sh status         one line each; exit 1 when something is not well
#   deploy/region.sh kill N         kill -9 relay N; `up` starts it again
#   deploy/region.sh stop N         drain relay N (SIGTERM) and wait for its end
#   deploy/region.sh down           end everything, keep the data
#   deploy/region.sh down --delete  and remove the folder
#   deploy/region.sh up --while PID as up; and down --delete when process PID has ended
#
# Environment:
#   STOA_REGION_DIR        folder of everything (default: ${TMPDIR:-/tmp}/stoa-region-USER)
#   STOA_REGION_RELAYS     how many relays, 1 to 9 (default 3); fixed by the first `up`
#   STOA_REGION_SET        "section.key=value .." more settings of every relay
#   STOA_REGION_POSTGRES   more lines for postgresql.conf
#   STOA_REGION_BUS        "none": no Redis; fixed by the first `up`
#   STOA_BIN               folder with stoad and stoactl (default: build/bin here, or the path)
#   STOA_PG_BIN            folder with postgres and initdb (default: the newest installed)
#
# What programs need to know stands in region.env of the folder, as NAME=value lines: URL, HTTP,
# STORE, OWNER_STORE, BUS, ISSUER_KEY, RELAYS, RELAY1..
#
# Keys have no passphrase here and the database trusts whoever may enter the folder: not a way to
# run a hub that matters. For that: deploy/examples/region.toml and docs/OPERATIONS.md.
set -eu
umask 077
HERE=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin # haproxy lives there

WHO=$(id -un)
DIR=${STOA_REGION_DIR:-${TMPDIR:-/tmp}/stoa-region-$WHO}
HUB=region.example
PORT_FIRST=20000 # below what the kernel gives to outgoing connections
PORTS=12000
START_STEPS=600 # of 0.1 s
REDIS=yes
[ "${STOA_REGION_BUS:-}" != none ] || REDIS=no
PATH_MAX_SOCKET=107

say()
{
    echo "region.sh: $*"
}

die()
{
    echo "region.sh: $*" >&2
    exit 1
}

usage()
{
    sed -n '2,/^set -eu/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2
    exit 64
}

# --- processes: NAME.pid holds the pid and when the kernel says it began, so that a number that
# --- was given to somebody else is not mistaken for ours

born()
{
    # Field 22 of stat; the name of the program, field 2, may hold anything.
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

pid_of()
{
    [ -f "$DIR/$1.pid" ] || return 1
    read -r pid began <"$DIR/$1.pid" || return 1
    [ -n "$began" ] && [ "$(born "$pid")" = "$began" ] || return 1
    case $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) in Z*) return 1 ;; esac
    echo "$pid"
}

# spawn NAME COMMAND..: in a session of its own, output into NAME.log.
spawn()
{
    name=$1
    shift
    setsid "$@" </dev/null >>"$DIR/$name.log" 2>&1 &
    echo "$! $(born $!)" >"$DIR/$name.pid"
}

# wait_for NAME WHAT COMMAND..: until the command succeeds, as long as NAME runs.
wait_for()
{
    name=$1
    what=$2
    shift 2
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -ge $START_STEPS ] || ! pid_of "$name" >/dev/null; then
            tail -n 15 "$DIR/$name.log" >&2
            die "$what does not start; its messages: $DIR/$name.log"
        fi
        sleep 0.1
    done
}

# end NAME SIGNAL: send it and wait; after 30 s without mercy.
end()
{
    pid=$(pid_of "$1") || { rm -f "$DIR/$1.pid"; return 0; }
    kill "-$2" "$pid" 2>/dev/null || :
    tries=0
    while pid_of "$1" >/dev/null; do
        tries=$((tries + 1))
        [ $tries -ne 300 ] || { say "$1 does not end by itself: killed"; kill -9 "$pid" || :; }
        sleep 0.1
    done
    rm -f "$DIR/$1.pid"
}

# --- what it is made of

find_programs()
{
    BIN=${STOA_BIN:-$HERE/../build/bin}
    [ -x "$BIN/stoad" ] || BIN=$(dirname "$(command -v stoad || echo /nowhere/stoad)")
    [ -x "$BIN/stoad" ] && [ -x "$BIN/stoactl" ] ||
        die "no stoad: build first (cmake --preset release && cmake --build --preset release), or set STOA_BIN"
    PG=${STOA_PG_BIN:-}
    if [ -z "$PG" ]; then
        # shellcheck disable=SC2012
        PG=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t / -k 5 -n | tail -n 1)
    fi
    [ -x "$PG/initdb" ] || missing postgresql
    command -v haproxy >/dev/null || missing haproxy
    [ "$REDIS" = no ] || command -v redis-server >/dev/null || missing redis-server
}

missing()
{
    echo "region.sh: $1 is not installed; try: sudo apt-get install $1 (or: sh deploy/packages.sh test)" >&2
    exit 69
}

# Postgres refuses root: then it runs as a user without rights, as Debian's own does.
pg_user()
{
    PG_AS=
    [ "$(id -u)" = 0 ] || return 0
    PG_WHO=postgres
    id "$PG_WHO" >/dev/null 2>&1 || PG_WHO=nobody
    PG_AS="setpriv --reuid=$(id -u $PG_WHO) --regid=$(id -g $PG_WHO) --clear-groups --"
}

make_folder()
{
    mkdir -p "$DIR" 2>/dev/null || die "$DIR cannot be made: set STOA_REGION_DIR to another place"
    mine
    chmod 711 "$DIR" # the database's user goes through it; what lies in it is closed
    socket=$DIR/pg/run/.s.PGSQL.5432
    [ ${#socket} -lt $PATH_MAX_SOCKET ] || die "the path $DIR is too long for a unix socket: set STOA_REGION_DIR to a shorter one"
}

# Free now, and as little as possible in the way of others: where to begin is random.
free_port()
{
    awk -v first=$PORT_FIRST -v count=$PORTS -v seed="$(od -An -N2 -tu2 /dev/urandom)" -v taken="$1" '
        FNR > 1 { split($2, a, ":"); used[a[2]] = 1 }
        END {
            n = split(taken, mine, " ")
            for (i = 1; i <= n; i++) used[sprintf("%04X", mine[i])] = 1
            srand(seed)
            at = int(rand() * count)
            for (i = 0; i < count; i++) {
                port = first + (at + i) % count
                if (!(sprintf("%04X", port) in used)) { print port; exit }
            }
            exit 1
        }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

choose()
{
    RELAYS=${STOA_REGION_RELAYS:-3}
    case $RELAYS in [1-9]) ;; *) die "STOA_REGION_RELAYS=$RELAYS: 1 to 9" ;; esac
    ports=$(free_port "") || die "no free port"
    {
        echo "RELAYS=$RELAYS"
        echo "REDIS=$REDIS"
        echo "PORT=$ports"
        n=1
        while [ $n -le "$RELAYS" ]; do
            port=$(free_port "$ports") || die "no free port"
            ports="$ports $port"
            echo "PORT$n=$port"
            n=$((n + 1))
        done
    } >"$DIR/ports"
}

# Into RELAYS, REDIS, PORT and URIs. No character in them means anything to a shell.
load()
{
    mine
    [ -f "$DIR/ports" ] || return 1
    # shellcheck disable=SC1091
    . "$DIR/ports"
    STORE="postgresql://stoa_relay@/stoa?host=$DIR/pg/run"
    OWNER_STORE="postgresql://stoa_owner@/stoa?host=$DIR/pg/run"
    BUS=redis+unix:$DIR/redis.sock
    [ "$REDIS" != no ] || BUS=
}

# What is there is ours, and nothing but a region: all of it goes with `down --delete`.
mine()
{
    [ -d "$DIR" ] || return 0
    [ -O "$DIR" ] || die "$DIR is not a folder of $WHO: set STOA_REGION_DIR to another one"
    DIR=$(cd "$DIR" && pwd)
    [ -f "$DIR/ports" ] || [ -z "$(ls -A "$DIR")" ] ||
        die "$DIR holds something else than a region: set STOA_REGION_DIR to another place"
}

port_of()
{
    eval "echo \$PORT$1"
}

relays()
{
    seq 1 "$RELAYS"
}

# --- starting

sql()
{
    PGCONNECT_TIMEOUT=5 "$PG/psql" -X -q -v ON_ERROR_STOP=1 -h "$DIR/pg/run" -U stoa_owner "$@"
}

make_postgres()
{
    # shellcheck disable=SC2086
    if [ ! -f "$DIR/pg/data/PG_VERSION" ]; then
        rm -rf "$DIR/pg"
        mkdir -m 700 "$DIR/pg" "$DIR/pg/run"
        [ -z "$PG_AS" ] || chown -R "$PG_WHO" "$DIR/pg"
        (cd / && $PG_AS "$PG/initdb" -D "$DIR/pg/data" -U stoa_owner -A trust -E UTF8 --locale=C -k -N) \
            >"$DIR/initdb.log" 2>&1 || { tail -n 15 "$DIR/initdb.log" >&2; die "initdb failed"; }
        # Reached through its folder only, which is closed to all but its user.
        cat >>"$DIR/pg/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$DIR/pg/run'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 128MB
min_wal_size = 512MB
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = lz4
log_min_messages = warning
${STOA_REGION_POSTGRES:-}
END
    fi
}

start_postgres()
{
    pid_of postgres >/dev/null && return
    make_postgres
    # shellcheck disable=SC2086
    spawn postgres $PG_AS "$PG/postgres" -D "$DIR/pg/data"
    wait_for postgres Postgres sql -d postgres -c 'SELECT 1'
}

start_redis()
{
    [ -n "$BUS" ] || return 0
    pid_of redis >/dev/null && return
    rm -f "$DIR/redis.sock"
    # It keeps nothing: what is on the bus stands in the store.
    spawn redis redis-server --port 0 --unixsocket "$DIR/redis.sock" --unixsocketperm 700 \
        --save '' --appendonly no --dir "$DIR"
    wait_for redis Redis test -S "$DIR/redis.sock"
}

# One file a relay; what all share comes first. As in deploy/examples/region.toml.
write_settings()
{
    for n in $(relays); do
        cat >"$DIR/relay$n.toml" <<END
[hub]
name = "$HUB"
state_dir = "$DIR/relay$n"
keys_dir = "$DIR/keys"
[keys]
passphrase = "none"
[store]
uri = "$STORE"
[region]
relay = "relay$n"
bus = "$BUS"
[listen]
client = "127.0.0.1:$(port_of "$n")"
connections_per_address = 0 # everybody comes from the balancer
END
    done
}

make_hub()
{
    [ ! -f "$DIR/keys/relay.key" ] || return 0
    sql -d postgres -c 'CREATE DATABASE stoa'
    sql -d stoa -f "$HERE/schema/roles.sql" >/dev/null 2>&1 || die "roles.sql does not apply"
    "$BIN/stoactl" schema apply --store "$OWNER_STORE" >"$DIR/init.log" 2>&1 ||
        { cat "$DIR/init.log" >&2; die "the schema does not apply"; }
    "$BIN/stoad" init --config "$DIR/relay1.toml" >>"$DIR/init.log" 2>&1 ||
        { cat "$DIR/init.log" >&2; die "stoad init failed"; }
    # Keys and store were made; each relay has a state folder of its own.
    for n in $(relays); do
        mkdir -p "$DIR/relay$n"
    done
}

listens()
{
    grep -q '^ready ' "$DIR/relay$1.log"
}

start_relays()
{
    for n in $(relays); do
        pid_of "relay$n" >/dev/null && continue
        : >"$DIR/relay$n.log"
        set -- run --config "$DIR/relay$n.toml"
        for s in ${STOA_REGION_SET:-}; do
            set -- "$@" --set "$s"
        done
        spawn "relay$n" "$BIN/stoad" "$@"
    done
    for n in $(relays); do
        wait_for "relay$n" "relay $n" listens "$n"
        wait_for "relay$n" "relay $n" asked "$(port_of "$n")" # slots found their owners
    done
}

start_balancer()
{
    pid_of balancer >/dev/null && return
    {
        cat <<END
global
    maxconn 8000
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 2s
    retries 3
    option redispatch
frontend hub
    bind 127.0.0.1:$PORT
    default_backend relays
backend relays
    balance leastconn
    # A relay that drains says so here first, and gets no new connection.
    option httpchk
    http-check send meth GET uri /readyz/read ver HTTP/1.1 hdr Host region
    http-check expect status 200
    default-server check inter 300ms fall 1 rise 1
END
        for n in $(relays); do
            echo "    server relay$n 127.0.0.1:$(port_of "$n")"
        done
    } >"$DIR/haproxy.cfg"
    spawn balancer haproxy -db -f "$DIR/haproxy.cfg"
    wait_for balancer haproxy asked "$PORT"
}

# asked PORT: does a hub answer there, and take entries?
asked()
{
    told=$("$BIN/stoactl" status "http://127.0.0.1:$1" --json --timeout 2s 2>/dev/null) || return 1
    case $told in *'"ready_read":true,"ready_write":true'*) ;; *) return 1 ;; esac
}

write_env()
{
    {
        echo "URL=ws://127.0.0.1:$PORT"
        echo "HTTP=http://127.0.0.1:$PORT"
        echo "STORE=$STORE"
        echo "OWNER_STORE=$OWNER_STORE"
        echo "BUS=$BUS"
        echo "ISSUER_KEY=$DIR/keys/issuer.key"
        echo "KEYS=$DIR/keys"
        echo "RELAYS=$RELAYS"
        for n in $(relays); do
            echo "RELAY$n=127.0.0.1:$(port_of "$n")"
        done
    } >"$DIR/region.env"
}

up()
{
    load || :
    find_programs
    pg_user
    make_folder
    load || { choose; load; }
    start_postgres
    start_redis
    write_settings
    make_hub
    start_relays
    start_balancer
    write_env
    [ -z "${1:-}" ] || watch "$1"
    say "$RELAYS relays of hub $HUB behind ws://127.0.0.1:$PORT"
    say "folder $DIR (settings, logs, keys; addresses in region.env)"
    say "try: $BIN/stoa init --hub ws://127.0.0.1:$PORT --wallet ./wallet --plaintext-keys --open me"
}

# Whoever started it is gone: so is the region.
watch()
{
    pid_of watcher >/dev/null && return
    spawn watcher sh -c '
        began=$(sed "s/.*) //" "/proc/$1/stat" 2>/dev/null | cut -d " " -f 20)
        while [ -n "$began" ] && [ "$(sed "s/.*) //" "/proc/$1/stat" 2>/dev/null | cut -d " " -f 20)" = "$began" ]; do
            sleep 0.5
        done
        STOA_REGION_DIR="$2" exec sh "$3" down --delete' watcher "$1" "$DIR" "$HERE/region.sh"
}

# --- looking and ending

line()
{
    printf '%-10s %-8s %-8s %s\n' "$1" "$2" "$3" "$4"
}

# How many slots the relay that was asked last has.
slots_told()
{
    echo "$told" | sed -n 's/.*"relay":{"name":"[^"]*","slots":\([0-9]*\).*/, \1 slots/p'
}

# part NAME WHERE COMMAND..: a line; the command says whether it is well.
part()
{
    name=$1
    where=$2
    shift 2
    pid=$(pid_of "$name") || { line "$name" - down "$where"; BAD=1; return 0; }
    told=
    if "$@" >/dev/null 2>&1; then
        case $name in relay*) where="$where$(slots_told)" ;; esac
        line "$name" "$pid" up "$where"
    else
        line "$name" "$pid" unwell "$where"
        BAD=1
    fi
}

status()
{
    BAD=0
    load || die "no region in $DIR; start one: deploy/region.sh up"
    find_programs
    line part pid state where
    part postgres "$DIR/pg/run" sql -d stoa -c 'SELECT 1'
    [ -z "$BUS" ] || part redis "$DIR/redis.sock" redis-cli -s "$DIR/redis.sock" ping
    part balancer "ws://127.0.0.1:$PORT" asked "$PORT"
    for n in $(relays); do
        part "relay$n" "127.0.0.1:$(port_of "$n")" asked "$(port_of "$n")"
    done
    return $BAD
}

relay_number()
{
    load || die "no region in $DIR"
    case ${1:-} in [1-9]) ;; *) usage ;; esac
    [ "$1" -le "$RELAYS" ] || die "there are $RELAYS relays"
    pid_of "relay$1" >/dev/null || die "relay $1 does not run"
}

down()
{
    [ -d "$DIR" ] || { say "nothing runs: there is no $DIR"; return 0; }
    if load; then
        end balancer TERM
        for n in $(relays); do # together: each drains
            pid=$(pid_of "relay$n") && kill -TERM "$pid" || :
        done
        for n in $(relays); do
            end "relay$n" TERM
        done
        end redis TERM
        end postgres INT
    fi
    pid=$(pid_of watcher) && [ "$pid" != $$ ] && end watcher TERM
    if [ "${1:-}" = --delete ]; then
        rm -rf "$DIR"
    fi
    say down
}

[ $# -ge 1 ] || usage
DO=$1
shift
case $DO in
up)
    case "${1:-}" in
    '') up ;;
    --while) [ $# -eq 2 ] || usage; up "$2" ;;
    *) usage ;;
    esac
    ;;
status) status ;;
kill)
    relay_number "${1:-}"
    end "relay$1" KILL
    say "relay $1 killed; start it again: deploy/region.sh up"
    ;;
stop)
    relay_number "${1:-}"
    end "relay$1" TERM
    say "relay $1 ended"
    ;;
down) case "${1:-}" in '' | --delete) down "${1:-}" ;; *) usage ;; esac ;;
*) usage ;;
esac
