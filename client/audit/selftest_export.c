/* Faults that only exports have: lines of text, rows of their own tables. */
#include "client/audit/selftest.h"

#include "client/audit/image.h"

#define AT 100 /* a record of slot 0; its line is the first one's and one more */
#define LINE (AT + 2)
#define BIG 0
#define JSONL (1u << IMAGE_JSONL)
#define ROWS (1u << IMAGE_EXPORT)

#define SPOIL(name, call)                                                                  \
    static bool name(const char *path)                                                     \
    {                                                                                      \
        return call;                                                                       \
    }
SPOIL(l_position, image_line(path, LINE, IMAGE_TURN, "position"))
SPOIL(l_account, image_line(path, LINE, IMAGE_TURN, "account"))
SPOIL(l_id, image_line(path, LINE, IMAGE_TURN, "id"))
SPOIL(l_head, image_line(path, LINE, IMAGE_TURN, "head"))
SPOIL(l_lamport, image_line(path, LINE, IMAGE_TURN, "hub_lamport"))
SPOIL(l_time, image_line(path, LINE, IMAGE_TURN, "hub_time_ms"))
SPOIL(l_leaf, image_line(path, LINE, IMAGE_TURN, "leaf"))
SPOIL(l_envelope, image_line(path, LINE, IMAGE_TURN, "envelope"))
SPOIL(l_kind, image_line(path, LINE, IMAGE_TURN, "kind"))
SPOIL(l_drop, image_line(path, LINE, IMAGE_DROP, NULL))
SPOIL(l_double, image_line(path, LINE, IMAGE_DOUBLE, NULL))
SPOIL(l_swap, image_line(path, LINE, IMAGE_SWAP, NULL))
SPOIL(l_cut, image_line(path, LINE, IMAGE_CUT, NULL))
SPOIL(l_end, image_line(path, LINE, IMAGE_END, NULL))
SPOIL(l_first, image_line(path, 1, IMAGE_DROP, NULL))
SPOIL(l_schema, image_line(path, 1, IMAGE_TURN, "schema"))

#define SET(what) "UPDATE record SET " what " WHERE slot=0 AND idx=100"
SPOIL(x_position, image_sql(path, SET("position=position+1")))
SPOIL(x_account, image_sql(path, SET("account=zeroblob(32)")))
SPOIL(x_id, image_sql(path, SET("id=zeroblob(32)")))
SPOIL(x_head, image_sql(path, SET("head=zeroblob(32)")))
SPOIL(x_lamport, image_sql(path, SET("hub_lamport=hub_lamport+1")))
SPOIL(x_time, image_sql(path, SET("hub_time_ms=hub_time_ms+1")))
SPOIL(x_leaf, image_sql(path, SET("leaf=zeroblob(80)")))
SPOIL(x_leaf_cut, image_sql(path, SET("leaf=x'00'")))
SPOIL(x_envelope, image_sql(path, SET("envelope=zeroblob(length(envelope))")))
SPOIL(x_gone, image_sql(path, "DELETE FROM record WHERE slot=0 AND idx=100"))
SPOIL(x_last, image_sql(path, "DELETE FROM record WHERE slot=0 AND idx="
                              "(SELECT max(idx) FROM record WHERE slot=0)"))
SPOIL(x_moved, image_sql(path, "UPDATE record SET idx=100000 WHERE slot=0 AND idx=100"))
SPOIL(x_checkpoint, image_sql(path, "UPDATE slot SET checkpoint='' WHERE slot=0"))
SPOIL(x_complete, image_sql(path, "DELETE FROM export WHERE key='complete'"))
SPOIL(x_schema, image_sql(path, "UPDATE export SET value='stoa.export/9' WHERE key='schema'"))

#define FILE_(name, formats, check, index, fn)                                             \
    {name, formats, check, BIG, index, NULL, NULL, fn, false, false, 0, NULL}
#define REFUSED(name, formats, fn, text)                                                   \
    {name, formats, AUDIT_SOURCE, BIG, SELFTEST_NOWHERE, NULL, NULL, fn, false, false, 0, text}

const struct fault selftest_export_faults[] = {
    FILE_("line: position", JSONL, AUDIT_ORDER, AT, l_position),
    FILE_("line: account", JSONL, AUDIT_SOURCE, AT, l_account),
    FILE_("line: id", JSONL, AUDIT_SOURCE, AT, l_id),
    FILE_("line: head", JSONL, AUDIT_SOURCE, AT, l_head),
    FILE_("line: Lamport", JSONL, AUDIT_SOURCE, AT, l_lamport),
    FILE_("line: time", JSONL, AUDIT_SOURCE, AT, l_time),
    FILE_("line: leaf", JSONL, AUDIT_LEAF, AT, l_leaf),
    FILE_("line: envelope", JSONL, AUDIT_SOURCE, AT, l_envelope),
    FILE_("line: kind", JSONL, AUDIT_SOURCE, AT, l_kind),
    REFUSED("line: gone", JSONL, l_drop, "line 102, byte "),
    REFUSED("line: twice", JSONL, l_double, "line 103, byte "),
    REFUSED("line: changed places with the next", JSONL, l_swap, "line 102, byte "),
    REFUSED("line: cut", JSONL, l_cut, "line 102, byte "),
    REFUSED("line: the last one there is", JSONL, l_end, "line 102, byte "),
    REFUSED("line: the first one gone", JSONL, l_first, "line 1, byte 0"),
    REFUSED("line: another schema", JSONL, l_schema, "line 1, byte 0"),
    FILE_("export row: position", ROWS, AUDIT_ORDER, AT, x_position),
    FILE_("export row: account", ROWS, AUDIT_ORDER, AT, x_account),
    FILE_("export row: id", ROWS, AUDIT_LEAF, AT, x_id),
    FILE_("export row: head", ROWS, AUDIT_LEAF, AT, x_head),
    FILE_("export row: Lamport", ROWS, AUDIT_LEAF, AT, x_lamport),
    FILE_("export row: time", ROWS, AUDIT_LEAF, AT, x_time),
    FILE_("export row: leaf", ROWS, AUDIT_LEAF, AT, x_leaf),
    FILE_("export row: leaf cut", ROWS, AUDIT_SOURCE, AT, x_leaf_cut),
    FILE_("export row: envelope", ROWS, AUDIT_LEAF, AT, x_envelope),
    FILE_("export row: record gone", ROWS, AUDIT_ORDER, AT, x_gone),
    FILE_("export row: last record gone", ROWS, AUDIT_SOURCE, SELFTEST_LAST, x_last),
    FILE_("export row: record moved", ROWS, AUDIT_ORDER, AT, x_moved),
    FILE_("export row: checkpoint empty", ROWS, AUDIT_SOURCE, SELFTEST_NOWHERE, x_checkpoint),
    REFUSED("export: not complete", ROWS, x_complete, "cut before its end"),
    REFUSED("export: another schema", ROWS, x_schema, "not an export of schema"),
};
const size_t selftest_export_fault_count =
    sizeof selftest_export_faults / sizeof selftest_export_faults[0];
