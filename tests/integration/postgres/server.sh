# Sourced after cli/lib.sh by scripts that run under with_postgres: the server's deeds, and what the
# hub says.

# deeds: how many words the server has obeyed, or failed to.
deeds()
{
    if [ -f "$STOA_PG_PIPE.done" ]; then wc -l <"$STOA_PG_PIPE.done" | tr -d ' '; else echo 0; fi
}

# obeyed N WORD: wait until the N-th word was obeyed.
obeyed()
{
    n=0
    until [ "$(deeds)" -ge "$1" ]; do
        n=$((n + 1))
        [ $n -lt 600 ] || fail "the server does not do: $2"
        sleep 0.05
    done
    tail -n 1 "$STOA_PG_PIPE.done" | grep -q ' ok$' || fail "the server failed to: $2"
}

# server WORD: done when it has been done.
server()
{
    NEXT=$(($(deeds) + 1))
    echo "$1" >"$STOA_PG_PIPE"
    obeyed $NEXT "$1"
}

# ready PART STATUS: wait until /readyz/PART answers it.
ready()
{
    n=0
    until stoactl status "http://127.0.0.1:$PORT" --json >"$T/out" 2>/dev/null </dev/null
          [ "$(get "status.ready_$1")" = "$2" ]; do
        n=$((n + 1))
        [ $n -lt 300 ] || fail "ready_$1 does not become $2"
        sleep 0.1
    done
}

# view PATH: of the hub, into out.
view()
{
    curl -sS -m 5 -o "$T/body" -w '%{http_code}' "http://127.0.0.1:$PORT$1" >"$T/code" || fail "GET $1"
    tr -d '\n' <"$T/body" >"$T/out"
}
