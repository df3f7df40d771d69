/* The first record of every log. */
#include <stdio.h>
#include <string.h>

#include "ledger/kinds.h"
#include "ledger/recover.h"

#define GENESIS_ENTRY_MAX 2048

static enum err build_log_open(const struct sequencer_config *c,
                               const struct recover_genesis *g, uint32_t slot,
                               uint64_t now_ms, struct payload *p, uint8_t *out,
                               size_t *size)
{
    char origin[NOTE_NAME_MAX + 1];
    char vkey_text[VKEY_TEXT_MAX];
    uint8_t payload[GENESIS_ENTRY_MAX];
    struct vkey log;
    int length = snprintf(origin, sizeof origin, "%s/%02x", g->hub, (unsigned)slot);
    if (length < 0 || (size_t)length >= sizeof origin ||
        !vkey_make(&log, origin, NOTE_ED25519, &g->log))
        return ERR_CONFIG;
    size_t vkey_size = vkey_format(&log, vkey_text, sizeof vkey_text);
    if (vkey_size == 0)
        return ERR_CONFIG;
    p->kind = KIND_LOG_OPEN;
    p->log_open = (struct p_log_open){.federation = g->federation,
                                      .hub = bytes_of(g->hub, strlen(g->hub)),
                                      .slot = slot,
                                      .slots = c->slots,
                                      .rules = RULES_VERSION,
                                      .issuer = g->issuer,
                                      .relay = key_public(g->relay),
                                      .log_vkey = bytes_of(vkey_text, vkey_size)};
    struct mp_writer w = mp_writer_of(payload, sizeof payload);
    payload_encode(&w, p);
    if (w.full)
        return ERR_CONFIG;
    struct entry_draft d = {.lamport = 1,
                            .time_ms = now_ms,
                            .kind = KIND_LOG_OPEN,
                            .payload = bytes_of(payload, w.size)};
    return entry_build(&d, g->relay, out, GENESIS_ENTRY_MAX, size);
}

static enum err submit_log_open(struct sequencer *q, const struct sequencer_config *c,
                                const struct recover_genesis *g, uint32_t slot,
                                uint64_t now_ms, struct payload *p)
{
    uint8_t envelope[GENESIS_ENTRY_MAX];
    size_t size;
    struct entry e;
    TRY(build_log_open(c, g, slot, now_ms, p, envelope, &size));
    TRY(entry_decode(&e, envelope, size));
    struct refusal refusal;
    if (sequencer_submit(q, &e, slot, false, now_ms, &refusal) == SEQ_QUEUED)
        return ERR_OK;
    return refusal.code == ERR_OK ? ERR_BUG : refusal.code;
}

static void on_result(void *context, const struct seq_result *r)
{
    uint32_t *accepted = context;
    *accepted += r->accepted;
}

static void on_settled(void *context, const struct seq_settled *s)
{
    (void)context;
    (void)s;
}

static void on_commit(void *context, const struct seq_commit *c)
{
    (void)context;
    (void)c;
}

static enum err commit(struct sequencer *q, struct store *st, uint64_t now_ms,
                       uint32_t wanted)
{
    const struct store_append *appends;
    size_t count;
    enum store_outcome outcome[SLOTS_MAX];
    uint32_t accepted = 0;
    const struct seq_output out = {.context = &accepted,
                                   .result = on_result,
                                   .settled = on_settled,
                                   .commit = on_commit};
    TRY(sequencer_prepare(q, now_ms, now_ms, &appends, &count));
    if (count > 0)
        st->ops->append(st, appends, count, outcome);
    enum err err = sequencer_outcome(q, outcome, &out);
    if (err == ERR_OK && sequencer_full(q))
        err = ERR_STORE_FULL;
    if (err == ERR_OK && accepted != wanted)
        err = ERR_LOST;
    return err;
}

/* Slots that were opened before stay as they are, so an `init` that was cut short can be
 * started again. */
static enum err genesis(struct sequencer *q, struct store *st,
                        const struct sequencer_config *c, const struct recover_genesis *g,
                        uint64_t now_ms, struct payload *p)
{
    uint32_t wanted = 0;
    for (uint32_t slot = 0; slot < c->slots; slot++) {
        struct recover_report report;
        TRY(recover_slot(q, c, st, slot, NULL, &report));
        if (report.size > 0)
            continue;
        TRY(submit_log_open(q, c, g, slot, now_ms, p));
        wanted++;
    }
    return commit(q, st, now_ms, wanted);
}

enum err recover_genesis(struct store *st, const struct sequencer_config *c,
                         const struct recover_genesis *g, uint64_t now_ms)
{
    struct sequencer *q;
    TRY(sequencer_open(&q, c));
    struct payload *p = c->mem->resize(c->mem->context, NULL, 0, sizeof *p);
    enum err err = p == NULL ? ERR_MEMORY : genesis(q, st, c, g, now_ms, p);
    if (p != NULL)
        c->mem->resize(c->mem->context, p, sizeof *p, 0);
    sequencer_close(q);
    return err;
}
