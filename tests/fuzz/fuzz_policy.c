/* A policy that parses obeys its limits, survives a comment and refuses a second quorum;
 * its quorum is what plain recursion says, and no further cosignature ever unmakes it. */
#include <stdlib.h>
#include <string.h>

#include "crypto/policy.h"
#include "fuzz.h"

static bool group_holds(const struct policy *p, size_t group, uint64_t set)
{
    const struct policy_group *g = &p->groups[group];
    unsigned have = 0;
    for (size_t i = 0; i < p->witness_count; i++)
        have += (g->witnesses >> i & 1) && (set >> i & 1);
    for (size_t i = 0; i < group; i++)
        have += (g->groups >> i & 1) && group_holds(p, i, set);
    return have >= g->need;
}

static bool other_quorum(const struct policy *p, uint64_t set)
{
    if (p->quorum_kind == POLICY_NONE)
        return true;
    if (p->quorum_kind == POLICY_WITNESS)
        return set >> p->quorum & 1;
    return group_holds(p, p->quorum, set);
}

static void check_quorum(const struct policy *p, uint64_t seed)
{
    uint64_t set = 0;
    bool met = policy_quorum(p, 0);
    PROPERTY(met == other_quorum(p, 0));
    for (size_t i = 0; i < p->witness_count; i++) {
        set |= UINT64_C(1) << (i + seed) % p->witness_count;
        bool now = policy_quorum(p, set);
        PROPERTY(now == other_quorum(p, set) && (now || !met));
        met = now;
    }
}

static bool parses_with(struct policy *p, const uint8_t *data, size_t size,
                        const char *more)
{
    char *text = malloc(size + strlen(more) + 1);
    PROPERTY(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    memcpy(text + size, more, strlen(more) + 1);
    bool ok = policy_parse(p, text, size + strlen(more), NULL);
    free(text);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct policy p, again;
    struct policy_problem problem = {.line = 0};
    if (!policy_parse(&p, (const char *)data, size, &problem)) {
        PROPERTY(problem.why[0] != 0 && memchr(problem.why, 0, sizeof problem.why));
        return 0;
    }
    PROPERTY(p.log_count > 0 && p.log_count <= POLICY_LOGS_MAX);
    PROPERTY(p.witness_count <= POLICY_WITNESSES_MAX &&
             p.group_count <= POLICY_GROUPS_MAX);
    check_quorum(&p, size);
    PROPERTY(parses_with(&again, data, size, "\n# more\n"));
    PROPERTY(again.quorum_kind == p.quorum_kind && again.quorum == p.quorum);
    PROPERTY(!parses_with(&again, data, size, "\nquorum none\n"));
    return 0;
}
