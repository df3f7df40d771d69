#include "stats.h"

#include <string.h>

#include "ledger/err.h"
#include "ledger/kinds.h"

#define BAD_WORD_(name, word) word,
static const char *const fault_words[] = {BAD_LIST(BAD_WORD_)};
#undef BAD_WORD_

static const char *const seen_words[] = {
#define SEEN_WORD_(name, word) word,
    SEEN_LIST(SEEN_WORD_)
#undef SEEN_WORD_
};

const char *seen_word(unsigned i)
{
    return seen_words[i];
}

const char *fault_word(unsigned f)
{
    return fault_words[f];
}

bool fault_from_word(const char *word, enum fault *out)
{
    for (unsigned i = 0; i < BAD_COUNT; i++)
        if (strcmp(word, fault_words[i]) == 0) {
            *out = (enum fault)i;
            return true;
        }
    return false;
}

void stats_add(struct stats *to, const struct stats *from)
{
    uint64_t acked = to->least_acked, crashes = to->least_crashes;
    uint64_t heal = to->longest_heal_ms;
    bool first = to->seeds == 0;
    uint64_t *t = (uint64_t *)(void *)to;
    const uint64_t *f = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < sizeof *to / sizeof *t; i++)
        t[i] += f[i];
    to->least_acked = first || from->least_acked < acked ? from->least_acked : acked;
    to->least_crashes =
        first || from->least_crashes < crashes ? from->least_crashes : crashes;
    to->longest_heal_ms = from->longest_heal_ms > heal ? from->longest_heal_ms : heal;
}

/* ---- what must have been seen ---- */

/* Refusals that the rules or the sequencer can give to something that came over the wire
 * or from the operator. Not here: channel (only a hub writes credits, and this one is
 * right), rules_ahead (no second version of the rules exists), policy_kind (no hub has
 * such a rule). */
static const enum err codes_wanted[] = {
    ERR_MALFORMED,
    ERR_TOO_LARGE,
    ERR_VERSION,
    ERR_KIND_UNKNOWN,
    ERR_KIND_RESERVED,
    ERR_PAYLOAD,
    ERR_SIGNATURE,
    ERR_KEY_WEAK,
    ERR_REFS_ORDER,
    ERR_ACCOUNT_UNKNOWN,
    ERR_ACCOUNT_EXISTS,
    ERR_DEVICE_UNKNOWN,
    ERR_DEVICE_REVOKED,
    ERR_SEQ_TAKEN,
    ERR_GAP,
    ERR_PREV,
    ERR_LAMPORT,
    ERR_REF_UNKNOWN,
    ERR_AUTHORITY,
    ERR_FEDERATION,
    ERR_ROOT_SIGNATURE,
    ERR_INVITE_SIGNATURE,
    ERR_COSIGNERS,
    ERR_BALANCE,
    ERR_AMOUNT,
    ERR_PAYEES,
    ERR_HUB_UNKNOWN,
    ERR_SUPPLY,
    ERR_EPOCH_OLD,
    ERR_NODE_LIMIT,
    ERR_MEMBER_UNKNOWN,
    ERR_MEMBER_EXISTS,
    ERR_MEMBER_LIMIT,
    ERR_MEMBER_LAST,
    ERR_DEVICE_EXISTS,
    ERR_DEVICE_LIMIT,
    ERR_DEVICE_LAST,
    ERR_INVITE_UNKNOWN,
    ERR_INVITE_EXPIRED,
    ERR_INVITE_LIMIT,
    ERR_POSITION_OPEN,
    ERR_RECOVERY_NONE,
    ERR_RECOVERY_EARLY,
    ERR_RECOVERY_PENDING,
    ERR_SPLIT_SUM,
    ERR_SPLIT_UNKNOWN,
    ERR_OVERFLOW,
    ERR_GRANT,
    ERR_CHAIN,
    ERR_RULES,
    ERR_KEY_USED,
    ERR_EXPIRY,
    ERR_POLICY_SIZE,
    ERR_POLICY_RATE,
    ERR_BUSY,
    ERR_UNAVAILABLE,
    ERR_DRAINING,
};

static bool kind_wanted(uint64_t kind)
{
    enum writer writer = BY_NOBODY;
    return kind != KIND_RULES && kind_writer(kind, &writer) && writer != BY_NOBODY;
}

unsigned stats_missing(FILE *out, const struct stats *s)
{
    unsigned missing = 0;
    for (size_t i = 0; i < sizeof codes_wanted / sizeof codes_wanted[0]; i++)
        if (s->codes[(unsigned)codes_wanted[i] - 100] == 0) {
            fprintf(out, "never refused: %s\n", err_word(codes_wanted[i]));
            missing++;
        }
    for (unsigned k = 0; k < STATS_KINDS; k++)
        if (kind_wanted(k) && s->kinds[k] == 0) {
            fprintf(out, "never in a log: %s\n", kind_word(k));
            missing++;
        }
    for (unsigned f = 0; f < BAD_COUNT; f++)
        if (s->faults[f] == 0) {
            fprintf(out, "never went wrong: %s\n", fault_word(f));
            missing++;
        }
    for (unsigned i = 0; i < SEEN_COUNT; i++)
        if (s->seen[i] == 0) {
            fprintf(out, "never seen: %s\n", seen_word(i));
            missing++;
        }
    return missing;
}

/* ---- printing ---- */

struct row {
    const char *word;
    uint64_t value;
};

static size_t rows_of(const struct stats *s, struct row rows[])
{
    size_t n = 0;
#define ROW(name, member) rows[n++] = (struct row){name, s->member}
    ROW("seeds", seeds);
    ROW("seeds_with_real_signatures", real_seeds);
    ROW("hubs", hubs);
    ROW("virtual_seconds", virtual_ms / 1000);
    ROW("steps", steps);
    ROW("checks", checks);
    ROW("messages", messages);
    ROW("sessions", sessions);
    ROW("commits", commits);
    ROW("crashes", crashes);
    ROW("slots_reloaded", reloads);
    ROW("snapshots", snapshots);
    ROW("snapshots_used", snapshots_used);
    ROW("entries_acknowledged", acked);
    ROW("duplicates", duplicates);
    ROW("records", records);
    ROW("credits", credits);
    ROW("bounces", bounces);
    ROW("returns", returns);
    ROW("refused", refused);
    ROW("chains_rebuilt", rebased);
    ROW("heads_asked", heads);
    ROW("subscriptions", subscriptions);
    ROW("records_streamed", streamed);
    ROW("checkpoints_compared", checkpoints);
    ROW("digests_compared", digests);
    ROW("least_acknowledged_in_a_seed", least_acked);
    ROW("least_crashes_in_a_seed", least_crashes);
    ROW("longest_heal_virtual_ms", longest_heal_ms);
#undef ROW
    return n;
}
#define ROWS_MAX 40

void stats_print(FILE *out, const struct stats *s)
{
    struct row rows[ROWS_MAX];
    size_t n = rows_of(s, rows);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%-30s %14llu\n", rows[i].word, (unsigned long long)rows[i].value);
    fprintf(out, "%-30s %14.1f\n", "virtual_hours", (double)s->virtual_ms / 3.6e6);
    fprintf(out, "\nfaults\n");
    for (unsigned i = 0; i < BAD_COUNT; i++)
        fprintf(out, "  %-28s %14llu\n", fault_word(i), (unsigned long long)s->faults[i]);
    fprintf(out, "\nshown and told\n");
    for (unsigned i = 0; i < SEEN_COUNT; i++)
        fprintf(out, "  %-28s %14llu\n", seen_word(i), (unsigned long long)s->seen[i]);
    fprintf(out, "\nrecords by kind\n");
    for (unsigned i = 0; i < STATS_KINDS; i++)
        if (s->kinds[i] > 0)
            fprintf(out, "  %-28s %14llu\n", kind_word(i),
                    (unsigned long long)s->kinds[i]);
    fprintf(out, "\nrefusals by code\n");
    for (unsigned i = 0; i < STATS_CODES; i++)
        if (s->codes[i] > 0)
            fprintf(out, "  %-28s %14llu\n", err_word((enum err)(100 + i)),
                    (unsigned long long)s->codes[i]);
}

static void json_member(FILE *out, bool *first, const char *word, uint64_t value)
{
    fprintf(out, "%s\"%s\":%llu", *first ? "" : ",", word, (unsigned long long)value);
    *first = false;
}

void stats_print_json(FILE *out, const struct stats *s, uint64_t from, double seconds)
{
    struct row rows[ROWS_MAX];
    size_t n = rows_of(s, rows);
    fprintf(out, "{\"schema\":\"stoa/sim/1\",\"from\":%llu,\"seconds\":%.1f",
            (unsigned long long)from, seconds);
    bool first = false;
    for (size_t i = 0; i < n; i++)
        json_member(out, &first, rows[i].word, rows[i].value);
    fprintf(out, ",\"faults\":{");
    first = true;
    for (unsigned i = 0; i < BAD_COUNT; i++)
        json_member(out, &first, fault_word(i), s->faults[i]);
    fprintf(out, "},\"seen\":{");
    first = true;
    for (unsigned i = 0; i < SEEN_COUNT; i++)
        json_member(out, &first, seen_word(i), s->seen[i]);
    fprintf(out, "},\"kinds\":{");
    first = true;
    for (unsigned i = 0; i < STATS_KINDS; i++)
        if (s->kinds[i] > 0)
            json_member(out, &first, kind_word(i), s->kinds[i]);
    fprintf(out, "},\"codes\":{");
    first = true;
    for (unsigned i = 0; i < STATS_CODES; i++)
        if (s->codes[i] > 0)
            json_member(out, &first, err_word((enum err)(100 + i)), s->codes[i]);
    fprintf(out, "}}\n");
}
