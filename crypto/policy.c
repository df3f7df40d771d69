#include "crypto/policy.h"

#include <stdio.h>
#include <string.h>

#include "crypto/internal.h"

#define FIELDS_MAX (3 + POLICY_WITNESSES_MAX + POLICY_GROUPS_MAX)

struct field {
    const char *at;
    size_t size;
};

struct parse {
    struct policy *p;
    struct policy_problem *problem;
    unsigned line;
    bool has_quorum;
    uint64_t used_witnesses; /* members of some group already */
    uint64_t used_groups;
};

static bool wrong(const struct parse *x, const char *what, const struct field *f)
{
    if (x->problem == NULL)
        return false;
    x->problem->line = x->line;
    if (f == NULL)
        snprintf(x->problem->why, sizeof x->problem->why, "%s", what);
    else
        snprintf(x->problem->why, sizeof x->problem->why, "%s: \"%.*s\"", what,
                 (int)(f->size < 80 ? f->size : 80), f->at);
    return false;
}

static bool is(const struct field *f, const char *word)
{
    return f->size == strlen(word) && memcmp(f->at, word, f->size) == 0;
}

/* Fields of a line between spaces and tabs; false: more than a line can have. */
static bool split(const char *line, size_t size, struct field fields[], size_t *count)
{
    *count = 0;
    for (size_t at = 0; at < size;) {
        if (line[at] == ' ' || line[at] == '\t') {
            at++;
            continue;
        }
        size_t end = at;
        while (end < size && line[end] != ' ' && line[end] != '\t')
            end++;
        if (*count == FIELDS_MAX)
            return false;
        fields[(*count)++] = (struct field){line + at, end - at};
        at = end;
    }
    return true;
}

/* Every byte printable ASCII or well-formed UTF-8: what gets into a terminal later. */
static bool shown_safely(const struct field *f)
{
    for (size_t i = 0; i < f->size;) {
        uint32_t rune;
        size_t step = utf8_step(f->at + i, f->size - i, &rune);
        if (step == 0 || rune < 0x20 || (rune >= 0x7f && rune < 0xa0))
            return false;
        i += step;
    }
    return f->size > 0;
}

static bool take_name(const struct parse *x, char out[POLICY_NAME_MAX + 1],
                      const struct field *f)
{
    if (f->size > POLICY_NAME_MAX || !shown_safely(f))
        return wrong(x, "a name is 1 to 64 bytes of plain text", f);
    if (is(f, "none"))
        return wrong(x, "\"none\" is the name of no witness or group", NULL);
    for (size_t i = 0; i < x->p->witness_count; i++)
        if (is(f, x->p->witnesses[i].name))
            return wrong(x, "name is taken by a witness", f);
    for (size_t i = 0; i < x->p->group_count; i++)
        if (is(f, x->p->groups[i].name))
            return wrong(x, "name is taken by a group", f);
    memcpy(out, f->at, f->size);
    out[f->size] = 0;
    return true;
}

static bool take_url(const struct parse *x, char out[POLICY_URL_MAX + 1],
                     const struct field *f)
{
    bool http = f->size > 7 && memcmp(f->at, "http://", 7) == 0;
    bool https = f->size > 8 && memcmp(f->at, "https://", 8) == 0;
    if ((!http && !https) || f->size > POLICY_URL_MAX || !shown_safely(f))
        return wrong(x, "a URL begins with http:// or https:// and has at most 256 bytes",
                     f);
    memcpy(out, f->at, f->size);
    out[f->size] = 0;
    return true;
}

static bool same_key(const struct vkey *a, const struct vkey *b)
{
    return a->id == b->id && strcmp(a->name, b->name) == 0;
}

static bool parse_log(struct parse *x, const struct field f[], size_t count)
{
    struct policy *p = x->p;
    if (count < 2 || count > 3)
        return wrong(x, "a log line is: log <vkey> [url]", NULL);
    if (p->log_count == POLICY_LOGS_MAX)
        return wrong(x, "more than 1024 logs", NULL);
    struct policy_log *log = &p->logs[p->log_count];
    if (!vkey_parse(&log->key, f[1].at, f[1].size) || log->key.alg != NOTE_ED25519)
        return wrong(x, "not the verifier key of a log (Ed25519, algorithm 01)", &f[1]);
    for (size_t i = 0; i < p->log_count; i++)
        if (strcmp(p->logs[i].key.name, log->key.name) == 0)
            return wrong(x, "this log stands here twice", &f[1]);
    if (count == 3 && !take_url(x, log->url, &f[2]))
        return false;
    p->log_count++;
    return true;
}

static bool parse_witness(struct parse *x, const struct field f[], size_t count)
{
    struct policy *p = x->p;
    if (count < 3 || count > 4)
        return wrong(x, "a witness line is: witness <name> <vkey> [url]", NULL);
    if (p->witness_count == POLICY_WITNESSES_MAX)
        return wrong(x, "more than 63 witnesses", NULL);
    struct policy_witness *w = &p->witnesses[p->witness_count];
    if (!take_name(x, w->name, &f[1]))
        return false;
    if (!vkey_parse(&w->key, f[2].at, f[2].size) || w->key.alg != NOTE_COSIGNATURE)
        return wrong(x, "not the verifier key of a witness (algorithm 04)", &f[2]);
    for (size_t i = 0; i < p->witness_count; i++)
        if (same_key(&p->witnesses[i].key, &w->key) ||
            pubkey_equal(&p->witnesses[i].key.key, &w->key.key))
            return wrong(x, "this key is already another witness's", &f[2]);
    if (count == 4 && !take_url(x, w->url, &f[3]))
        return false;
    p->witness_count++;
    return true;
}

/* A number of 1..members, without leading zeros. */
static bool take_need(const struct field *f, size_t members, unsigned *need)
{
    uint64_t k;
    if (is(f, "all")) {
        *need = (unsigned)members;
        return true;
    }
    if (is(f, "any")) {
        *need = 1;
        return true;
    }
    if (!decimal_parse(f->at, f->size, &k) || k == 0 || k > members)
        return false;
    *need = (unsigned)k;
    return true;
}

static bool find(const struct policy *p, const struct field *f, bool *is_group,
                 unsigned *number)
{
    for (unsigned i = 0; i < p->witness_count; i++)
        if (is(f, p->witnesses[i].name)) {
            *is_group = false;
            *number = i;
            return true;
        }
    for (unsigned i = 0; i < p->group_count; i++)
        if (is(f, p->groups[i].name)) {
            *is_group = true;
            *number = i;
            return true;
        }
    return false;
}

static bool parse_group(struct parse *x, const struct field f[], size_t count)
{
    struct policy *p = x->p;
    if (count < 4)
        return wrong(x, "a group line is: group <name> all|any|<k> <member>..", NULL);
    if (p->group_count == POLICY_GROUPS_MAX)
        return wrong(x, "more than 64 groups", NULL);
    struct policy_group *g = &p->groups[p->group_count];
    if (!take_name(x, g->name, &f[1]))
        return false;
    if (!take_need(&f[2], count - 3, &g->need))
        return wrong(x, "not all, any or a number of members", &f[2]);
    for (size_t i = 3; i < count; i++) {
        bool is_group;
        unsigned number;
        if (!find(p, &f[i], &is_group, &number))
            return wrong(x, "no witness or group above has this name", &f[i]);
        uint64_t bit = UINT64_C(1) << number;
        uint64_t *used = is_group ? &x->used_groups : &x->used_witnesses;
        if (*used & bit)
            return wrong(x, "is a member of a group already", &f[i]);
        *used |= bit;
        *(is_group ? &g->groups : &g->witnesses) |= bit;
    }
    p->group_count++;
    return true;
}

static bool parse_quorum(struct parse *x, const struct field f[], size_t count)
{
    bool is_group;
    if (count != 2)
        return wrong(x, "a quorum line is: quorum <name>|none", NULL);
    if (x->has_quorum)
        return wrong(x, "a second quorum line", NULL);
    x->has_quorum = true;
    if (is(&f[1], "none")) {
        x->p->quorum_kind = POLICY_NONE;
        return true;
    }
    if (!find(x->p, &f[1], &is_group, &x->p->quorum))
        return wrong(x, "no witness or group above has this name", &f[1]);
    x->p->quorum_kind = is_group ? POLICY_GROUP : POLICY_WITNESS;
    return true;
}

static bool parse_line(struct parse *x, const char *line, size_t size)
{
    struct field f[FIELDS_MAX];
    size_t count;
    if (!split(line, size, f, &count))
        return wrong(x, "more fields than a line can have", NULL);
    if (count == 0 || f[0].at[0] == '#')
        return true;
    if (is(&f[0], "log"))
        return parse_log(x, f, count);
    if (is(&f[0], "witness"))
        return parse_witness(x, f, count);
    if (is(&f[0], "group"))
        return parse_group(x, f, count);
    if (is(&f[0], "quorum"))
        return parse_quorum(x, f, count);
    return wrong(x, "a line begins with log, witness, group, quorum or #", &f[0]);
}

bool policy_parse(struct policy *p, const char *text, size_t size,
                  struct policy_problem *problem)
{
    struct parse x = {.p = p, .problem = problem};
    memset(p, 0, sizeof *p);
    if (size > POLICY_BYTES_MAX)
        return wrong(&x, "longer than 1 MiB", NULL);
    for (size_t at = 0; at < size;) {
        const char *lf = memchr(text + at, '\n', size - at);
        size_t end = lf ? (size_t)(lf - text) : size;
        x.line++;
        if (!parse_line(&x, text + at, end - at))
            return false;
        at = end + 1;
    }
    x.line = 0;
    if (p->log_count == 0)
        return wrong(&x, "no log line: nothing would be trusted", NULL);
    if (!x.has_quorum)
        return wrong(&x, "no quorum line; say \"quorum none\" when no witness is asked for",
                     NULL);
    p->hash = hash_sha256(text, size);
    return true;
}

bool policy_quorum(const struct policy *p, uint64_t witnesses)
{
    uint64_t groups = 0;
    if (p->quorum_kind == POLICY_NONE)
        return true;
    if (p->quorum_kind == POLICY_WITNESS)
        return (witnesses >> p->quorum & 1) != 0;
    for (size_t i = 0; i <= p->quorum; i++) {
        const struct policy_group *g = &p->groups[i];
        unsigned have = (unsigned)__builtin_popcountll(g->witnesses & witnesses) +
                        (unsigned)__builtin_popcountll(g->groups & groups);
        if (have >= g->need)
            groups |= UINT64_C(1) << i;
    }
    return (groups >> p->quorum & 1) != 0;
}

bool policy_log_find(const struct policy *p, const char *origin, size_t *number)
{
    for (size_t i = 0; i < p->log_count; i++)
        if (strcmp(p->logs[i].key.name, origin) == 0) {
            *number = i;
            return true;
        }
    return false;
}

/* First line of a note, as far as it can be one of ours. */
static bool first_line(const char *note, size_t size, char out[NOTE_NAME_MAX + 1])
{
    const char *lf = size > 0 ? memchr(note, '\n', size) : NULL;
    if (lf == NULL || (size_t)(lf - note) > NOTE_NAME_MAX)
        return false;
    memcpy(out, note, (size_t)(lf - note));
    out[lf - note] = 0;
    return strlen(out) == (size_t)(lf - note);
}

void policy_check(const struct policy *p, const char *note, size_t size,
                  struct policy_verdict *v)
{
    struct vkey keys[1 + POLICY_WITNESSES_MAX];
    char origin[NOTE_NAME_MAX + 1];
    struct policy_verdict found = {.note = NOTE_UNKNOWN};
    struct note n;
    *v = (struct policy_verdict){.note = NOTE_UNKNOWN};
    if (!first_line(note, size, origin)) {
        v->note = NOTE_MALFORMED;
        return;
    }
    if (!policy_log_find(p, origin, &found.log)) {
        /* Whether it is a note at all does not depend on who signed it. */
        v->note = note_open(&n, note, size, NULL, 0);
        return;
    }
    keys[0] = p->logs[found.log].key;
    for (size_t i = 0; i < p->witness_count; i++)
        keys[1 + i] = p->witnesses[i].key;
    v->note = note_open(&n, note, size, keys, 1 + p->witness_count);
    if (v->note != NOTE_OK)
        return;
    if ((n.verified & 1) == 0) {
        v->note = NOTE_UNKNOWN;
        return;
    }
    if (!checkpoint_parse(&found.checkpoint, n.text, n.text_size) ||
        strcmp(found.checkpoint.origin, origin) != 0) {
        v->note = NOTE_MALFORMED;
        return;
    }
    for (size_t i = 0; i < p->witness_count; i++)
        if (n.verified >> (1 + i) & 1) {
            found.witnesses |= UINT64_C(1) << i;
            found.times[i] = n.cosign_time[1 + i];
        }
    found.note = NOTE_OK;
    found.quorum = policy_quorum(p, found.witnesses);
    *v = found;
}
