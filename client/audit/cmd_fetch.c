/* stoa-audit fetch URL DIR */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client/audit/cli.h"
#include "client/audit/fetch.h"
#include "client/audit/source_url.h"

static void show_progress(void *context, const struct audit_progress *p)
{
    (void)audit_progress_show(context, p);
}

static json_t *slot_json(const struct fetch_slot *s)
{
    return json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:s, s:s}", "slot", (int)s->slot, "state",
                     fetch_state_word(s->state), "origin", s->origin, "before",
                     (json_int_t)s->before, "size", (json_int_t)s->size, "withheld",
                     (json_int_t)s->withheld, "why", s->why, "evidence", s->evidence);
}

static void show_json(const struct fetch_report *r, int code)
{
    json_t *slots = json_array();
    for (size_t i = 0; i < r->slot_count; i++)
        (void)json_array_append_new(slots, slot_json(&r->slots[i]));
    json_t *o = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:o}", "schema",
                          "stoa.fetch/1", "exit", code, "done", (json_int_t)r->done, "total",
                          (json_int_t)r->total, "files", (json_int_t)r->files, "bytes",
                          (json_int_t)r->bytes, "errors", (json_int_t)r->errors,
                          "interrupted", r->interrupted, "why", r->why, "slots", slots);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(o);
}

static void show_text(const struct fetch_report *r, const char *dir)
{
    uint64_t withheld = 0;
    for (size_t i = 0; i < r->slot_count; i++) {
        const struct fetch_slot *s = &r->slots[i];
        withheld += s->withheld;
        if (s->state != FETCH_DONE && s->why[0])
            printf("slot %02x  %-8s %s\n", (unsigned)s->slot, fetch_state_word(s->state),
                   s->why);
        if (s->evidence[0])
            printf("slot %02x  evidence %s/%s\n", (unsigned)s->slot, dir, s->evidence);
    }
    printf("fetched %" PRIu64 " of %" PRIu64 " records of %zu logs (%" PRIu64
           " withheld), %" PRIu64 " files, %.1f MB asked for\n",
           r->done, r->total, r->slot_count, withheld, r->files, (double)r->bytes / 1e6);
}

int audit_cmd_fetch(struct audit_cli *c)
{
    uint64_t jobs, qps, slot;
    int code;
    char why[AUDIT_WHY_MAX] = "";
    struct audit_files files;
    if (!audit_number(c, AUDIT_OPT_JOBS, 4, 64, &jobs) ||
        !audit_number(c, AUDIT_OPT_QPS, 0, 100000, &qps) ||
        !audit_number(c, AUDIT_OPT_SLOT, 0, SLOTS_MAX - 1, &slot))
        return EXIT_BAD_USAGE;
    if (!audit_given(c, AUDIT_OPT_POLICY))
        return audit_error(c, EXIT_CONFIG, "--policy FILE",
                           "fetch keeps nothing that no policy vouches for");
    struct policy *p = audit_policy(c, NULL, &code);
    if (!p)
        return code;
    const struct audit_source_options s = {.jobs = (unsigned)jobs,
                                           .qps = (unsigned)qps,
                                           .ca_file = c->value[AUDIT_OPT_CA_FILE],
                                           .cancel = &c->cancel};
    const struct fetch_options o = {.policy = p,
                                    .jobs = (unsigned)jobs,
                                    .one_slot = audit_given(c, AUDIT_OPT_SLOT),
                                    .slot = (uint32_t)slot,
                                    .cancel = &c->cancel,
                                    .progress = show_progress,
                                    .progress_context = c};
    struct fetch_report *r = calloc(1, sizeof(*r));
    enum err e = r ? audit_url_files(&files, c->args[0], &s, why) : ERR_MEMORY;
    if (e == ERR_OK) {
        e = fetch_run(&files, c->args[1], &o, r, why);
        files.close(files.context);
    }
    audit_progress_end(c);
    if (e != ERR_OK) {
        code = audit_error(c, audit_exit_of(e), NULL, "%s", why[0] ? why : err_text(e));
    } else {
        code = fetch_exit(r);
        if (audit_given(c, AUDIT_OPT_JSON))
            show_json(r, code);
        else if (code == EXIT_UNREACHABLE)
            (void)audit_error(c, code, "the same command again, later", "%s", r->why);
        else
            show_text(r, c->args[1]);
        if (code == EXIT_UNFINISHED && !audit_given(c, AUDIT_OPT_JSON))
            fprintf(stderr, "not finished%s%s\n  try: the same command again\n",
                    r->why[0] ? ": " : "", r->why);
    }
    free(r);
    free(p);
    return code;
}
