# The Debian packages, in a root of their own: dependencies, install, a hub that is made and
# started by the unit's own words, its clients, upgrade, removal, purge; and the unit's cage.
. "$STOA_SOURCE/tests/integration/cli/lib.sh"
. "$STOA_SOURCE/tests/integration/service/root.sh"
[ "$(id -u)" = 0 ] || { echo "a root of its own takes root"; exit 77; }
for tool in cpack dpkg-deb dpkg-shlibdeps file chroot unshare tar setpriv; do
    command -v $tool >/dev/null 2>&1 || { echo "no $tool here"; exit 77; }
done
[ -d /var/lib/dpkg/info ] || { echo "not a Debian"; exit 77; }
[ -z "$STOA_SANITIZED" ] || { echo "packages are built without sanitizers"; exit 77; }
R=$T/root
# in_root COMMAND..: with a /proc that goes away with the command (systemd-tmpfiles wants one).
# as_stoa COMMAND..: as the unit does, its user and folder, and nothing of ours in the environment.
# Both are programs that become the command, so that its number is known.
mkdir "$T/bin"
cat >"$T/bin/in_root" <<SH
#!/bin/sh
exec unshare --mount --propagation private sh -c 'mount -t proc proc "$R/proc" && exec chroot "$R" "\$@"' sh \\
    env -i PATH=/usr/sbin:/usr/bin HOME=/root DEBIAN_FRONTEND=noninteractive TERM=dumb "\$@"
SH
cat >"$T/bin/as_stoa" <<SH
#!/bin/sh
exec in_root setpriv --reuid=stoa --regid=stoa --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \\
    env -C /var/lib/stoa "\$@"
SH
chmod +x "$T/bin/in_root" "$T/bin/as_stoa"
PATH=$T/bin:$PATH

ok cpack --config "$STOA_BUILD/CPackConfig.cmake" -B "$T/deb"
STOAD=$(echo "$T"/deb/stoad_*.deb)
STOA=$(echo "$T"/deb/stoa_*.deb)
DEV=$(echo "$T"/deb/libstoa-dev_*.deb)
for deb in "$STOAD" "$STOA" "$DEV"; do
    [ -f "$deb" ] || fail "no $deb"
    dpkg-deb -c "$deb" >"$T/out" || fail "dpkg-deb -c $deb"
    grep -v ' root/root ' "$T/out" && fail "$deb: files that are not root's"
    grep -E '^-.......w|^d........[^x]|^d......[^r]' "$T/out" && fail "$deb: files everybody writes, or folders nobody reads"
    has "/usr/share/doc/.*/copyright"
done
dpkg-deb -f "$STOAD" Depends >"$T/out"
for d in libwebsockets libpq5 libsodium23 libc6 libwebsockets-evlib-uv "systemd | systemd-sysusers"; do
    has "$d"
done

# A root with what the packages ask for, and not one package more than that.
depends()
{
    dpkg-deb -f "$1" Depends | sed 's/([^)]*)//g' | tr ',' '\n' | sed 's/|.*//; s/ //g' | grep -v '^stoa$'
}
# shellcheck disable=SC2046
make_root "$R" base-files base-passwd coreutils dash diffutils dpkg grep libc-bin sed tar util-linux $(depends "$STOAD") $(depends "$STOA") ||
    { echo "no root can be made here"; exit 77; }
cp "$STOAD" "$STOA" "$DEV" "$R/tmp"
in_root true || { echo "no mounts of one's own here"; exit 77; }
ok in_root dpkg --audit
cp "$R/etc/passwd" "$T/passwd.before"

# Dependencies are real: without one of them nothing is configured.
sed -n '/^Package: libwebsockets-evlib-uv$/,/^$/p' "$R/var/lib/dpkg/status" | grep -q . || fail "the root has no libwebsockets-evlib-uv"
cp "$R/var/lib/dpkg/status" "$T/status"
sed -i '/^Package: libwebsockets-evlib-uv$/,/^$/d' "$R/var/lib/dpkg/status"
expect 1 in_root dpkg -i "/tmp/${STOAD##*/}"
says "libwebsockets-evlib-uv"
cp "$T/status" "$R/var/lib/dpkg/status"
rm -f "$R"/usr/bin/stoad "$R"/var/lib/dpkg/info/stoad.*

# Install.
ok in_root dpkg -i "/tmp/${STOAD##*/}" "/tmp/${STOA##*/}" "/tmp/${DEV##*/}"
ok in_root dpkg --audit
[ ! -s "$T/out" ] || fail "dpkg --audit has something to say"
ok in_root dpkg -V stoad stoa libstoa-dev
[ ! -s "$T/out" ] || fail "files are not as packed"
equal "$(stat -c '%a %U:%G' "$R/etc/stoa/stoa.toml")" "644 root:root" "settings"
GROUP=$(sed -n 's/^stoa:[^:]*:\([0-9]*\):.*/\1/p' "$R/etc/group")
USER_ID=$(sed -n 's/^stoa:[^:]*:\([0-9]*\):.*/\1/p' "$R/etc/passwd")
[ -n "$USER_ID" ] && [ "$USER_ID" -lt 1000 ] || fail "no system user stoa"
grep -q "^stoa:.*:/usr/sbin/nologin$" "$R/etc/passwd" || fail "stoa can log in"
equal "$(stat -c '%a %u:%g' "$R/etc/stoa")" "750 0:$GROUP" /etc/stoa
equal "$(stat -c '%a %u:%g' "$R/var/lib/stoa")" "700 $USER_ID:$GROUP" /var/lib/stoa
[ -z "$(ls "$R/var/lib/stoa")" ] || fail "the installation made something in /var/lib/stoa"
for program in "stoad --version" "stoactl --version" "stoa --version" "stoa-audit --version"; do
    # shellcheck disable=SC2086
    ok in_root $program
done
ok in_root stoad --check-config
ok in_root systemd-tmpfiles --create stoad.conf # again: nothing changes

# Where there is no /proc (a root that is being made) the installation is finished at boot.
ok env -i PATH=/usr/sbin:/usr/bin chroot "$R" sh /var/lib/dpkg/info/stoad.postinst configure

# The unit: it is one, and its cage is small.
UNIT=$R/usr/lib/systemd/system/stoad.service
if command -v systemd-analyze >/dev/null 2>&1; then
    ok systemd-analyze --root="$R" --man=no verify stoad.service stoad.socket
    [ ! -s "$T/err" ] || fail "systemd-analyze verify has something to say"
    ok systemd-analyze --root="$R" --offline=true --no-pager security stoad.service
    LEVEL=$(sed -n 's/.*Overall exposure level for stoad.service: \([0-9]*\)\.\([0-9]*\) .*/\1\2/p' "$T/out")
    [ -n "$LEVEL" ] && [ "$LEVEL" -le 15 ] || fail "the exposure level is $LEVEL/10, not 1.5 or less"
    echo "exposure level $LEVEL/10"
fi

# Root is kept from making a hub that the unit's user could not open.
expect 78 in_root stoad init --set hub.name=test --set keys.passphrase=none
says "runuser -u stoa -- stoad init"
[ -z "$(ls "$R/var/lib/stoa")" ] || fail "root made something in /var/lib/stoa"
expect 78 as_stoa stoad init --set hub.name=test --set keys.passphrase=file:/run/credentials/stoad.service/passphrase
says "file:/run/credentials/stoad.service/passphrase"
says "keys.passphrase=tty"

# A hub is made and started by the unit's own words, as its user.
ok as_stoa stoad init --set hub.name=test --set keys.passphrase=none
printf '[hub]\nname = "test"\nstate_dir = "/var/lib/stoa"\n[keys]\npassphrase = "none"\n[listen]\nclient = "127.0.0.1:0"\n' \
    >"$R/etc/stoa/stoa.toml"
START=$(sed -n 's/^ExecStart=//p' "$UNIT")
RELOAD=$(sed -n 's/^ExecReload=//p' "$UNIT")
equal "$START" "stoad run" ExecStart
start()
{
    : >"$T/hub.out"
    # shellcheck disable=SC2086
    as_stoa $START >"$T/hub.out" 2>>"$T/hub.err" </dev/null &
    HUB_PID=$!
    n=0
    until grep -q '^ready ' "$T/hub.out"; do
        n=$((n + 1))
        [ $n -lt 200 ] || fail "the hub does not become ready"
        kill -0 $HUB_PID 2>/dev/null || fail "the hub ended: $(cat "$T/hub.err")"
        sleep 0.05
    done
    URL=$(sed -n 's/^ready \([^ ]*\) .*/\1/p' "$T/hub.out")
}
stop()
{
    kill -TERM $HUB_PID
    wait $HUB_PID || fail "the hub ended with $?"
    HUB_PID=
}
start
grep -q "^Uid:.*$USER_ID.*$USER_ID" /proc/$HUB_PID/status || fail "the hub is not run by stoa"
# shellcheck disable=SC2086
ok as_stoa $RELOAD
ok as_stoa stoactl status
ok in_root stoactl status # root may
ok in_root stoa init --wallet /tmp/anna --plaintext-keys --hub "$URL" --open anna
has "^accepted"
ok as_stoa stoactl log policy
cp "$T/out" "$R/tmp/policy"
ok in_root stoa-audit verify "http${URL#ws}" --policy /tmp/policy
has "^GOOD"
stop

# Again over it (an upgrade): settings that were changed stay, the hub is as it was.
ok in_root dpkg -i --force-confold "/tmp/${STOAD##*/}"
grep -q 'name = "test"' "$R/etc/stoa/stoa.toml" || fail "an upgrade replaced the settings"
start
ok in_root stoa balance --wallet /tmp/anna
stop

# The library, as a program of somebody else's finds it.
if command -v pkg-config >/dev/null 2>&1; then
    PC=$(dirname "$(cd "$R" && find usr/lib -name stoa.pc)")
    PKG_CONFIG_PATH=$R/$PC pkg-config --variable=includedir stoa >"$T/out" || fail "pkg-config"
    [ -f "$(cat "$T/out")/stoa.h" ] || fail "stoa.pc names $(cat "$T/out")"
fi

# Removed: programs go, settings and state stay. Purged: settings too; never a ledger or keys.
ok in_root dpkg -r libstoa-dev stoa stoad
[ ! -e "$R/usr/bin/stoad" ] && [ ! -e "$R/usr/bin/stoa" ] || fail "programs are left"
[ -f "$R/etc/stoa/stoa.toml" ] && [ -f "$R/var/lib/stoa/ledger.db" ] || fail "a removal took settings or ledger away"
WANTS=$R/etc/systemd/system/multi-user.target.wants
mkdir -p "$WANTS"
ln -s /usr/lib/systemd/system/stoad.service "$WANTS"
ok in_root dpkg -P stoad stoa libstoa-dev
[ ! -L "$WANTS/stoad.service" ] || fail "a purge left the unit enabled"
has "/var/lib/stoa stays: it holds a ledger or keys"
[ -f "$R/var/lib/stoa/ledger.db" ] && [ -f "$R/var/lib/stoa/keys/log.key" ] || fail "a purge destroyed a ledger or keys"
[ ! -e "$R/etc/stoa" ] || fail "a purge left settings"
in_root dpkg -l stoad 2>/dev/null | grep -q '^[ir]' && fail "dpkg still knows stoad"
# Installed and purged without a hub: nothing is left but the user.
rm -rf "$R/var/lib/stoa"
ok in_root dpkg -i "/tmp/${STOAD##*/}"
ok in_root dpkg -P stoad
(cd "$R" && find etc var usr -newer "$T/passwd.before" \( -iname '*stoa*' \) ! -path 'var/lib/dpkg/*') >"$T/out"
[ ! -s "$T/out" ] || fail "a purge leaves files"
echo ok
