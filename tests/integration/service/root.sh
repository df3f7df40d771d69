# Sourced: a Debian of its own in a folder, made of the packages of this machine, without network
# and without containers. dpkg there knows what is installed and checks dependencies for real.

# closure PACKAGE..: these and all they depend on, of what is installed here, into $T/closure.
closure()
{
    : >"$T/closure"
    printf '%s\n' "$@" >"$T/todo"
    while [ -s "$T/todo" ]; do
        sort -u "$T/todo" | grep -vxF -f "$T/closure" >"$T/new" || :
        [ -s "$T/new" ] || break
        cat "$T/new" >>"$T/closure"
        # A dependency is the first of its alternatives that is installed, or who provides it.
        # shellcheck disable=SC2046
        dpkg-query -W -f '${Pre-Depends}, ${Depends}\n' $(cat "$T/new") 2>/dev/null |
            sed 's/([^)]*)//g; s/\[[^]]*\]//g; s/:any//g' | tr ',' '\n' | tr -d ' ' | sort -u |
            while IFS='|' read -r a b c d; do
                for name in "$a" "$b" "$c" "$d"; do
                    [ -n "$name" ] || continue
                    if dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -q '^installed'; then
                        echo "$name"
                        break
                    fi
                    by=$(awk -v n="$name" '$1 == n { print $2; exit }' "$T/provided")
                    [ -z "$by" ] || { echo "$by"; break; }
                done
            done >"$T/todo"
    done
}

# make_root DIRECTORY PACKAGE..: a root with these packages and what they need.
make_root()
{
    R=$1
    shift
    dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' | sed -n 's/^installed //p' |
        sed 's/([^)]*)//g; s/,/ /g' | awk '{ for (i = 2; i <= NF; i++) print $i, $1 }' >"$T/provided"
    closure "$@"
    mkdir -p "$R/usr/bin" "$R/usr/sbin" "$R/usr/lib" "$R/usr/lib64" "$R/var/lib/dpkg/info" "$R/var/lib/dpkg/updates" \
        "$R/etc" "$R/dev" "$R/proc" "$R/tmp" "$R/run" || fail mkdir
    for d in bin sbin lib lib64; do
        ln -s "usr/$d" "$R/$d"
    done
    chmod 1777 "$R/tmp"
    while read -r name; do
        dpkg-query -L "$name" 2>/dev/null
    done <"$T/closure" | grep -v -E '^/(\.|bin|sbin|lib|lib64|usr|etc|var|tmp|run|proc|sys|dev|home|root|boot|mnt|media|srv|opt)$' |
        grep -v -E '^/usr/share/(doc|man|locale|info|perl)/|^/usr/include/|^/(bin|sbin|lib|lib64)/?$|diverted ' | sed 's|^/||' |
        sort -u >"$T/files"
    tar -C / -c --no-recursion --ignore-failed-read -T "$T/files" 2>/dev/null | tar -C "$R" -x --keep-directory-symlink || fail "copying packages"
    while read -r name; do
        dpkg-query -s "$name" 2>/dev/null && echo
        cp -p "/var/lib/dpkg/info/$name".* "/var/lib/dpkg/info/$name:"*.* "$R/var/lib/dpkg/info" 2>/dev/null
    done <"$T/closure" >"$R/var/lib/dpkg/status"
    : >"$R/var/lib/dpkg/available"
    cp /usr/share/base-passwd/passwd.master "$R/etc/passwd" && cp /usr/share/base-passwd/group.master "$R/etc/group" || fail passwd
    for n in null:3 zero:5 urandom:9; do
        mknod -m 666 "$R/dev/${n%:*}" c 1 "${n#*:}" || return 1
    done
    chroot "$R" ldconfig || return 1
}
