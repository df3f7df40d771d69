/* stoactl log policy: what a reader of this hub's logs is to trust, as a C2SP
 * tlog-policy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/policy.h"
#include "relay/policy_file.h"
#include "relay/stoactl_log.h"

static bool add_text(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

/* The key that signs the slot's newest tree, shown to do so. Most logs never change their
 * key: then record 0 names it. */
static enum err key_of(struct log_source *source, struct pinned *pinned, uint32_t slot,
                       struct vkey *out, char *why)
{
    struct log_scan *s = malloc(sizeof(*s));
    struct store_slot at;
    struct checkpoint c;
    enum err e = s ? log_source_slot(source, slot, &at, why) : ERR_MEMORY;
    const struct vkey *v = NULL;
    if (e == ERR_OK) {
        log_scan_init(s, log_source_identity(source), slot);
        e = log_scan_to(s, source, pinned, 1, why);
        v = e == ERR_OK ? log_scan_key(s, 1) : NULL;
    }
    if (v && !checkpoint_open(&c, at.checkpoint, at.checkpoint_size, v)) {
        e = log_scan_to(s, source, pinned, at.size, why);
        v = e == ERR_OK ? log_scan_key(s, at.size) : NULL;
    }
    if (e == ERR_OK &&
        !(v && checkpoint_open(&c, at.checkpoint, at.checkpoint_size, v))) {
        snprintf(why, LOG_WHY_MAX,
                 "%s: the ledger's checkpoint is not signed by the log's key", s->origin);
        e = ERR_SIGNATURE;
    }
    if (e == ERR_OK)
        *out = *v;
    free(s);
    return e;
}

static bool add_log(struct buf *b, const struct vkey *v, const char *url, uint32_t slot)
{
    char key[VKEY_TEXT_MAX], at[64] = "";
    size_t size = vkey_format(v, key, sizeof(key));
    size_t url_size = url ? strlen(url) : 0;
    while (url_size > 0 && url[url_size - 1] == '/')
        url_size--;
    snprintf(at, sizeof(at), "/log/%02x", (unsigned)slot);
    return size > 0 && add_text(b, "log ") && buf_add(b, key, size) &&
           (!url || (add_text(b, " ") && buf_add(b, url, url_size) && add_text(b, at))) &&
           add_text(b, "\n");
}

static bool add_members(struct buf *b, const struct policy *p,
                        const struct policy_group *g)
{
    bool ok = true;
    for (size_t i = 0; i < p->witness_count; i++)
        if (g->witnesses >> i & 1)
            ok = ok && add_text(b, " ") && add_text(b, p->witnesses[i].name);
    for (size_t i = 0; i < p->group_count; i++)
        if (g->groups >> i & 1)
            ok = ok && add_text(b, " ") && add_text(b, p->groups[i].name);
    return ok;
}

/* Witnesses, groups and quorum of the file the hub gathers cosignatures by. */
static bool add_witnesses(struct buf *b, const struct policy *p)
{
    char text[VKEY_TEXT_MAX], need[16];
    bool ok = true;
    for (size_t i = 0; ok && i < p->witness_count; i++) {
        const struct policy_witness *w = &p->witnesses[i];
        size_t size = vkey_format(&w->key, text, sizeof(text));
        ok = size > 0 && add_text(b, "witness ") && add_text(b, w->name) &&
             add_text(b, " ") && buf_add(b, text, size) &&
             (!w->url[0] || (add_text(b, " ") && add_text(b, w->url))) &&
             add_text(b, "\n");
    }
    for (size_t i = 0; ok && i < p->group_count; i++) {
        snprintf(need, sizeof(need), " %u", p->groups[i].need);
        ok = add_text(b, "group ") && add_text(b, p->groups[i].name) &&
             add_text(b, need) && add_members(b, p, &p->groups[i]) && add_text(b, "\n");
    }
    return ok && add_text(b, "quorum ") &&
           add_text(b, p->quorum_kind == POLICY_NONE      ? "none"
                       : p->quorum_kind == POLICY_WITNESS ? p->witnesses[p->quorum].name
                                                          : p->groups[p->quorum].name) &&
           add_text(b, "\n");
}

static enum err add_quorum(struct buf *b, const struct log_setup *setup, char *why)
{
    struct policy *p = NULL;
    if (setup->cosign_policy[0] == '\0')
        return add_text(b, "quorum none\n") ? ERR_OK : ERR_MEMORY;
    TRY(policy_file_read(&p, setup->cosign_policy, why, LOG_WHY_MAX));
    bool ok = add_witnesses(b, p);
    free(p);
    return ok ? ERR_OK : ERR_MEMORY;
}

/* A reader parses it as strictly as this. */
static enum err check(const struct buf *b, char *why)
{
    struct policy_problem problem = {0};
    struct policy *p = malloc(sizeof(*p));
    bool ok = p && policy_parse(p, (const char *)b->data, b->size, &problem);
    if (p && !ok)
        snprintf(why, LOG_WHY_MAX, "line %u of the policy: %s (is --url a URL?)",
                 problem.line, problem.why);
    enum err e = ok ? ERR_OK : p ? ERR_USAGE : ERR_MEMORY;
    free(p);
    return e;
}

static enum err make(struct ctl *c, const struct log_setup *setup,
                     struct log_source *source, struct buf *b, char *why)
{
    char head[HUB_NAME_MAX + 160];
    struct pinned pinned;
    const struct store_identity *id = log_source_identity(source);
    snprintf(head, sizeof(head),
             "# The logs of hub %s. A key is worth what the road is worth it came by.\n",
             id->hub);
    TRY(pinned_open(&pinned, 0, NULL, 0));
    enum err e = add_text(b, head) ? ERR_OK : ERR_MEMORY;
    for (uint32_t i = 0; i < id->slots && e == ERR_OK; i++) {
        struct vkey v;
        e = key_of(source, &pinned, i, &v, why);
        if (e == ERR_OK && !log_setup_key_ok(setup, &v)) {
            snprintf(why, LOG_WHY_MAX,
                     "%s: the log names another key than log.key of this hub", v.name);
            e = ERR_SIGNATURE;
        }
        if (e == ERR_OK && !add_log(b, &v, c->value[OPT_URL], i))
            e = ERR_MEMORY;
    }
    pinned_close(&pinned);
    if (e == ERR_OK)
        e = add_quorum(b, setup, why);
    return e == ERR_OK ? check(b, why) : e;
}

int ctl_log_policy(struct ctl *c)
{
    struct log_setup setup;
    struct log_source *source = NULL;
    struct buf b = {0};
    char why[LOG_WHY_MAX] = "";
    int code = log_setup_read(c, &setup);
    if (code == EXIT_DONE)
        code = log_setup_open(c, &setup, &source);
    if (code != EXIT_DONE)
        return code;
    enum err e = make(c, &setup, source, &b, why);
    log_source_close(source);
    if (e != ERR_OK) {
        code = ctl_fail(c, e == ERR_SIGNATURE ? EXIT_NO : ctl_exit_of(e), e, NULL, "%s",
                        why[0] ? why : err_text(e));
    } else if (c->json) {
        c->out = json_pack("{s:s#}", "policy", (const char *)b.data, (int)b.size);
        code = ctl_finish(c, EXIT_DONE);
    } else {
        fwrite(b.data, 1, b.size, stdout);
    }
    buf_close(&b);
    return code;
}
