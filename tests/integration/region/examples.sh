# deploy/examples/*.toml: each is a file that stoad would start with, and says what it is for.
set -eu
stoad=$STOA_BIN/stoad
T=$(mktemp -d "${TMPDIR:-/tmp}/stoa-examples-XXXXXX")
trap 'rm -rf "$T"' EXIT
fail()
{
    echo "FAILED: $*" >&2
    exit 1
}
seen=0
for file in "$STOA_DEPLOY"/examples/*.toml; do
    "$stoad" --check-config --config "$file" >"$T/out" 2>&1 || fail "$file: $(cat "$T/out")"
    head -n 1 "$file" | grep -q '^# ' || fail "$file does not say what it is for"
    # The same file with a letter less is refused: it was read.
    sed 's/^state_dir/statedir/' "$file" >"$T/broken.toml"
    code=0
    "$stoad" --check-config --config "$T/broken.toml" >"$T/out" 2>&1 || code=$?
    [ $code -eq 78 ] || fail "$file: exit $code with a wrong key"
    grep -q T7801 "$T/out" || fail "$file: $(cat "$T/out")"
    seen=$((seen + 1))
done
[ $seen -ge 2 ] || fail "$seen examples"
echo "examples: $seen good"
