# What a tester printed, as one JSON object on one line: awk -v form=F -f campaign_figures.awk LOG
#
#   words   "cases 232, reached 232; slowest start 71 ms": words and numbers in either order;
#           equal words are added up
#   fuzz    the lines of tests/fuzz/run.sh
#   ctest   how many tests there were, and how many failed
function key(text) {
    gsub(/^ +| +$/, "", text)
    gsub(/[^A-Za-z0-9]+/, "_", text)
    return tolower(text)
}
function put(name, value) {
    out = out (out == "" ? "" : ", ") "\"" name "\": " value
}
form == "words" && /[0-9]/ && /,/ && !/^(FOUND|WRONG|\[)/ {
    gsub(/[()]/, ",")
    parts = split($0, part, /[,;:]/)
    for (i = 1; i <= parts; i++) {
        text = part[i]
        if (!match(text, /[0-9]+/))
            continue
        number = substr(text, RSTART, RLENGTH)
        sub(/[0-9]+( ms)?/, "", text)
        if ((name = key(text)) == "")
            continue
        if (!(name in sum))
            order[++names] = name
        sum[name] += number
    }
}
form == "fuzz" && / executions / {
    put(key($1), "{\"executions\": " $2 ", \"edges\": " $4 ", \"inputs_kept\": " $6 ", \"findings\": " $9 "}")
}
form == "ctest" && /tests failed out of/ {
    put("tests", $NF)
    put("failed", $4)
}
END {
    for (i = 1; i <= names; i++)
        put(order[i], sum[order[i]])
    print "{" out "}"
}
