# docs/OPERATIONS.md against the programs: its table of metrics is `stoad --list-metrics`, name, type
# and labels, and its list of commands is that of `stoactl help`; each without more and without less.
set -eu
export LC_ALL=C
PATH=$STOA_BIN:$PATH
PAGE=$STOA_SOURCE/docs/OPERATIONS.md
[ -r "$PAGE" ] || { echo "no page here: skipped"; exit 77; }
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

# section NAME: the page's lines below that heading, up to the next one.
section()
{
    awk -v heading="### $1" '/^##/ { on = $0 == heading; next } on' "$PAGE"
}

# same WHAT FEWEST: what the page says is what the program says, line by line in any order.
same()
{
    sort "$T/page" >"$T/page.sorted"
    sort "$T/program" >"$T/program.sorted"
    [ "$(wc -l <"$T/program")" -ge "$2" ] || { echo "the program tells only $(wc -l <"$T/program") $1"; exit 1; }
    diff "$T/page.sorted" "$T/program.sorted" >"$T/diff" && return
    echo "$1 of docs/OPERATIONS.md (<) are not those of the program (>):"
    cat "$T/diff"
    exit 1
}

stoad --list-metrics >"$T/metrics"
# The library's own set stands in one row of both, and has no one type.
awk '$1 != "process_*" { print $1, $2, $3 }' "$T/metrics" >"$T/program"
section Metrics | awk -F '|' '/^\|/ && $2 !~ /^ metric |^---|process_/ {
    gsub(/^ +| +$|`/, "", $2); gsub(/ /, "", $3); gsub(/ /, "", $4); print $2, $3, $4 }' >"$T/page"
same metrics 70

# A name has one word or two; which, the program knows.
stoactl help | sed -n 's/^  \([a-z]*\) *\([a-z]*\).*/\1 \2/p' | while read -r one two; do
    if stoactl "$one" "$two" --help 2>&1 | grep -q "^usage: stoactl $one $two "; then
        echo "$one $two"
    else
        echo "$one"
    fi
done >"$T/program"
# On the page the word behind a name of one word tells what it does.
section stoactl | sed -n 's/^    stoactl //p' | while read -r one two _; do
    if grep -qx "$one" "$T/program"; then
        echo "$one"
    else
        echo "$one $two"
    fi
done | uniq >"$T/page" # some are shown in two forms
same commands 20
echo "docs: good"
