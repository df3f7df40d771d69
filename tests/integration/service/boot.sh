# The package under a real systemd, process 1 of a small Debian of its own: the units start, tell
# that they are ready, work inside their cage, reload, refuse settings, come back after kill -9,
# hold the port by a socket, and are gone with the package.
. "$STOA_SOURCE/tests/integration/cli/lib.sh"
. "$STOA_SOURCE/tests/integration/service/root.sh"
[ "$(id -u)" = 0 ] || { echo "process 1 takes root"; exit 77; }
for tool in cpack dpkg-deb dpkg-shlibdeps file chroot unshare nsenter pivot_root ip tar; do
    command -v $tool >/dev/null 2>&1 || { echo "no $tool here"; exit 77; }
done
[ -d /var/lib/dpkg/info ] || { echo "not a Debian"; exit 77; }
[ -x /lib/systemd/systemd ] || { echo "no systemd here"; exit 77; }
[ -z "$STOA_SANITIZED" ] || { echo "packages are built without sanitizers"; exit 77; }
GROUPS_AT=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
CG=$GROUPS_AT/stoa-boot-$$
[ -n "$GROUPS_AT" ] && mkdir "$CG" 2>/dev/null || { echo "no cgroup of one's own here"; exit 77; }
end_boot()
{
    code=$?
    [ -z "$HUB_PID" ] || { kill -9 "$HUB_PID" && wait "$HUB_PID"; } 2>/dev/null
    HUB_PID=
    n=0
    until grep -q '^populated 0' "$CG/cgroup.events" || [ $n -ge 50 ]; do
        n=$((n + 1))
        sleep 0.1
    done
    find "$CG" -depth -type d -exec rmdir {} \; 2>/dev/null
    (exit $code)
    finish
}
trap end_boot EXIT

ok cpack --config "$STOA_BUILD/CPackConfig.cmake" -B "$T/deb"
STOAD=$(echo "$T"/deb/stoad_*.deb)
STOA=$(echo "$T"/deb/stoa_*.deb)
R=$T/root
# shellcheck disable=SC2046
make_root "$R" base-files base-passwd coreutils dash diffutils dpkg grep libc-bin sed systemd tar util-linux \
    $(for deb in "$STOAD" "$STOA"; do dpkg-deb -f "$deb" Depends; echo ,; done | sed 's/([^)]*)//g' | tr ',' '\n' | sed 's/|.*//; s/ //g' | grep -v '^stoa$') ||
    { echo "no root can be made here"; exit 77; }
mkdir -p "$R/sys" "$R/old" "$R/root" "$R/var/log" "$R/var/tmp"
: >"$R/etc/machine-id"
cp "$STOAD" "$STOA" "$R/root" # systemd puts a file system of its own over /tmp
cat >"$T/boot" <<SH
mount --make-rprivate / && mount --bind "$R" "$R" && cd "$R" &&
mount -t proc proc proc && mount -t sysfs sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup &&
mkdir -p dev/shm dev/pts && mount -t tmpfs tmpfs dev/shm && mount -t tmpfs tmpfs run && ip link set lo up &&
pivot_root . old && cd / && umount -l /old && mount --make-rshared / &&
exec env -i container=stoa-test PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --log-target=journal
SH
(
    echo 0 >"$CG/cgroup.procs"
    exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --net sh "$T/boot"
) </dev/null >"$T/boot.out" 2>&1 &
HUB_PID=$!
# in_it COMMAND..: inside, once process 1 is there.
in_it()
{
    nsenter -t "$INIT" -m -p -u -i -n -C -r -w env -i PATH=/usr/sbin:/usr/bin HOME=/root TERM=dumb \
        SYSTEMD_PAGER= SYSTEMD_COLORS=0 DEBIAN_FRONTEND=noninteractive "$@"
}
# until_it WHAT COMMAND..: within 30 s.
until_it()
{
    what=$1
    shift
    n=0
    until in_it "$@" >/dev/null 2>&1; do
        n=$((n + 1))
        [ $n -lt 300 ] || fail "$what: $(in_it journalctl -b -n 15 --no-pager -o cat 2>&1)"
        sleep 0.1
    done
}
n=0
until INIT=$(cat "/proc/$HUB_PID/task/$HUB_PID/children" 2>/dev/null) && INIT=${INIT%% *} && [ -n "$INIT" ] &&
    in_it systemctl is-system-running 2>/dev/null | grep -q -E 'running|degraded'; do
    n=$((n + 1))
    if [ $n -ge 300 ] || ! kill -0 "$HUB_PID" 2>/dev/null; then
        echo "systemd does not boot here: $(tail -n 3 "$T/boot.out")"
        exit 77
    fi
    sleep 0.1
done
is()
{
    equal "$(in_it systemctl show -P "$1" "${3:-stoad}")" "$2" "$1 of ${3:-stoad}"
}

ok in_it dpkg -i "/root/${STOAD##*/}" "/root/${STOA##*/}"
is ActiveState inactive
is ActiveState inactive stoad.socket
# No hub yet: said in words, and not tried again and again.
expect 1 in_it systemctl start stoad
is ExecMainStatus 78
is NRestarts 0
printf '[hub]\nname = "test"\nstate_dir = "/var/lib/stoa"\n[keys]\npassphrase = "file:/run/credentials/stoad.service/passphrase"\n' \
    >"$R/etc/stoa/stoa.toml"
cp "$R/etc/stoa/stoa.toml" "$T/good.toml"
printf 'a passphrase of a test\n' >"$R/root/passphrase"
mkdir -p "$R/etc/systemd/system/stoad.service.d"
printf '[Service]\nLoadCredential=passphrase:/root/passphrase\n' >"$R/etc/systemd/system/stoad.service.d/test.conf"
ok in_it systemctl daemon-reload
# (runuser wants PAM, which is not in this root.)
ok in_it setpriv --reuid=stoa --regid=stoa --clear-groups stoad init --set keys.passphrase=cmd:'echo a passphrase of a test'

# Ready when it says so, by its own user, in its cage.
ok in_it systemctl start stoad
is ActiveState active
is StatusText "hub test at 127.0.0.1:7001"
in_it sh -c 'cat /proc/$(systemctl show -P MainPID stoad)/status' >"$T/out"
has "^CapBnd:.*0000000000000000"
has "^NoNewPrivs:.*1"
has "^Seccomp:.*2"
in_it sh -c 'stat -c %U /proc/$(systemctl show -P MainPID stoad)' >"$T/out"
has "^stoa$"
ok in_it stoa init --wallet /root/anna --plaintext-keys --hub ws://127.0.0.1:7001 --open anna
has "^accepted"
ok in_it stoactl why
expect 77 in_it setpriv --reuid=65534 --regid=65534 --clear-groups stoactl status --socket /var/lib/stoa/admin.sock

# Reload: what is wrong fails it, is told in the journal, and changes nothing.
ok in_it systemctl reload stoad
echo 'subscritpions = 7' >>"$R/etc/stoa/stoa.toml"
expect 1 in_it systemctl reload stoad
is ActiveState active
in_it systemctl show -P StatusText stoad >"$T/out"
has "refused"
in_it journalctl -u stoad --no-pager -o cat >"$T/out"
has "unknown key .subscritpions. at .etc.stoa.stoa.toml:[0-9]*:1"
has "nothing was applied, generation 1 still running"
cp "$T/good.toml" "$R/etc/stoa/stoa.toml"
ok in_it systemctl reload stoad

# kill -9: it is started again. A stop is a drain, and no failure.
in_it sh -c 'kill -9 $(systemctl show -P MainPID stoad)'
until_it "no restart after kill -9" sh -c '[ "$(systemctl show -P NRestarts stoad)" = 1 ] && systemctl is-active stoad'
ok in_it stoa balance --wallet /root/anna
ok in_it systemctl stop stoad
is Result success
is ExecMainStatus 0

# The manager holds the port: who comes first starts it, and nobody is refused while it restarts.
ok in_it systemctl start stoad.socket
is ActiveState inactive
ok in_it stoa balance --wallet /root/anna
is ActiveState active
(in_it systemctl restart stoad) &
RESTART=$!
for i in 1 2 3 4 5; do
    ok in_it stoa balance --wallet /root/anna
done
wait $RESTART || fail "restart under the socket"

# An upgrade goes on with a new process; a removal ends both, a purge leaves the ledger.
BEFORE=$(in_it systemctl show -P MainPID stoad)
ok in_it dpkg -i --force-confold "/root/${STOAD##*/}"
until_it "no restart at an upgrade" systemctl is-active stoad
[ "$(in_it systemctl show -P MainPID stoad)" != "$BEFORE" ] || fail "an upgrade left the old process"
ok in_it systemctl enable stoad stoad.socket
ok in_it dpkg -P stoad
is ActiveState inactive
is ActiveState inactive stoad.socket
[ -f "$R/var/lib/stoa/ledger.db" ] || fail "a purge destroyed a ledger"
[ ! -L "$R/etc/systemd/system/multi-user.target.wants/stoad.service" ] || fail "a purge left the unit enabled"
in_it systemctl list-units --state=failed --no-legend --plain 'stoa*' >"$T/out"
[ ! -s "$T/out" ] || fail "a purge leaves a unit that failed"
echo ok
