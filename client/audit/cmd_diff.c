/* stoa-audit diff A B */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/cli.h"
#include "client/audit/diff.h"

#define EVIDENCE_DEFAULT "evidence"

static json_t *slot_json(const struct diff_slot *d)
{
    char leaf[2][2 * HASH_BYTES + 1];
    for (int i = 0; i < 2; i++)
        hex_encode(leaf[i], d->leaf[i].b, HASH_BYTES);
    json_t *o = json_pack("{s:i, s:s, s:s, s:[I,I], s:s, s:s}", "slot", (int)d->slot, "state",
                          diff_state_word(d->state), "origin", d->origin, "sizes",
                          (json_int_t)d->size[0], (json_int_t)d->size[1], "why", d->why,
                          "evidence", d->evidence);
    if (o && d->has_index)
        (void)json_object_set_new(o, "first",
                                  json_pack("{s:I, s:[s,s]}", "index", (json_int_t)d->index,
                                            "leaf_hashes", leaf[0], leaf[1]));
    return o;
}

static void show_json(const struct diff_report *r)
{
    json_t *slots = json_array();
    for (size_t i = 0; i < r->slot_count; i++)
        (void)json_array_append_new(slots, slot_json(&r->slots[i]));
    json_t *o = json_pack("{s:s, s:i, s:o}", "schema", "stoa.diff/1", "exit", diff_exit(r),
                          "slots", slots);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(o);
}

static void show_slot(const struct diff_slot *d, const char *dir)
{
    char leaf[2][2 * HASH_BYTES + 1];
    printf("slot %02x  ", (unsigned)d->slot);
    switch (d->state) {
    case DIFF_SAME:
        printf("same     %" PRIu64 " records\n", d->size[0]);
        break;
    case DIFF_AHEAD:
        printf("prefix   %s is %" PRIu64 " records ahead (%" PRIu64 ", %" PRIu64 ")\n",
               d->size[0] > d->size[1] ? "first" : "second",
               d->size[0] > d->size[1] ? d->size[0] - d->size[1] : d->size[1] - d->size[0],
               d->size[0], d->size[1]);
        break;
    case DIFF_FORK:
        printf("FORK     sizes %" PRIu64 ", %" PRIu64 ": %s\n", d->size[0], d->size[1], d->why);
        for (int i = 0; i < 2 && d->has_index; i++) {
            hex_encode(leaf[i], d->leaf[i].b, HASH_BYTES);
            printf("         index %" PRIu64 "  %s leaf hash %s\n", d->index,
                   i ? "second" : "first ", leaf[i]);
        }
        if (d->evidence[0])
            printf("         evidence %s/%s\n", dir, d->evidence);
        break;
    default:
        printf("%-8s %s\n", diff_state_word(d->state), d->why);
        break;
    }
}

static int run(struct audit_cli *c, struct audit_source *a, struct audit_source *b)
{
    int code;
    uint64_t slot;
    char why[AUDIT_WHY_MAX] = "";
    const char *dir = audit_given(c, AUDIT_OPT_EVIDENCE) ? c->value[AUDIT_OPT_EVIDENCE]
                                                         : EVIDENCE_DEFAULT;
    if (!audit_number(c, AUDIT_OPT_SLOT, 0, SLOTS_MAX - 1, &slot))
        return EXIT_BAD_USAGE;
    struct policy *p = audit_policy(c, a, &code);
    if (!p)
        return code;
    const struct diff_options o = {.policy = p,
                                   .evidence_dir = dir,
                                   .one_slot = audit_given(c, AUDIT_OPT_SLOT),
                                   .slot = (uint32_t)slot,
                                   .cancel = &c->cancel};
    struct diff_report *r = calloc(1, sizeof(*r));
    enum err e = r ? diff_run(a, b, &o, r, why) : ERR_MEMORY;
    if (e != ERR_OK) {
        code = audit_error(c, audit_exit_of(e), NULL, "%s", why[0] ? why : err_text(e));
    } else {
        code = diff_exit(r);
        if (audit_given(c, AUDIT_OPT_JSON))
            show_json(r);
        else
            for (size_t i = 0; i < r->slot_count; i++)
                show_slot(&r->slots[i], dir);
    }
    free(r);
    free(p);
    return code;
}

int audit_cmd_diff(struct audit_cli *c)
{
    int code;
    struct audit_source *a = audit_source(c, c->args[0], &code);
    if (!a)
        return code;
    struct audit_source *b = audit_source(c, c->args[1], &code);
    if (b) {
        code = run(c, a, b);
        b->ops->close(b);
    }
    a->ops->close(a);
    return code;
}
