/* Rules of splits: they move members' positions inside an account, never its balance. */
#include "crypto/context.h"
#include "ledger/apply.h"

static enum err position_add(const struct account *a, int64_t positions[],
                             const struct pubkey *root, int64_t amount, bool negative)
{
    uint32_t i = find_member(a, root);
    if (i == NOT_FOUND)
        return ERR_MEMBER_UNKNOWN;
    bool overflow = negative
                        ? __builtin_sub_overflow(positions[i], amount, &positions[i])
                        : __builtin_add_overflow(positions[i], amount, &positions[i]);
    return overflow ? ERR_OVERFLOW : ERR_OK;
}

/* Payer + amount, each share - share; the other way round to undo. */
static enum err positions_move(const struct account *a, int64_t positions[],
                               const struct split_terms *terms, bool undo)
{
    TRY(position_add(a, positions, &terms->payer, terms->amount, undo));
    for (size_t i = 0; i < terms->share_count; i++)
        TRY(position_add(a, positions, &terms->shares[i].root, terms->shares[i].amount,
                         !undo));
    return ERR_OK;
}

/* Positions after taking back `undone` and applying `done`, either of them NULL. */
static enum err positions_after(const struct account *a, int64_t positions[],
                                const struct split_terms *undone,
                                const struct split_terms *done)
{
    for (uint32_t i = 0; i < a->member_count; i++)
        positions[i] = a->members[i].position;
    if (undone != NULL)
        TRY(positions_move(a, positions, undone, true));
    return done == NULL ? ERR_OK : positions_move(a, positions, done, false);
}

static enum err check_positions(const struct apply *x, const struct split_terms *undone,
                                const struct split_terms *done)
{
    UNINITIALIZED int64_t positions[MEMBERS_MAX];
    return positions_after(x->a, positions, undone, done);
}

static void commit_positions(struct apply *x, const struct split_terms *undone,
                             const struct split_terms *done)
{
    UNINITIALIZED int64_t positions[MEMBERS_MAX];
    if (positions_after(x->a, positions, undone, done) != ERR_OK)
        return; /* check_positions said it cannot be */
    for (uint32_t i = 0; i < x->a->member_count; i++)
        x->a->members[i].position = positions[i];
}

static struct hash terms_hash(const struct split_terms *terms)
{
    return hash_context(CTX_TERMS, terms->raw.data, terms->raw.size);
}

static void drop_split(struct account *a, uint32_t i)
{
    memmove(&a->splits[i], &a->splits[i + 1],
            (a->split_count - i - 1) * sizeof *a->splits);
    a->split_count--;
}

/* -- split
 * ------------------------------------------------------------------------------- */

enum err check_split(struct apply *x)
{
    TRY(check_positions(x, NULL, &x->p->split.terms));
    x->need.splits = x->a->split_count < SPLIT_WINDOW ? 1 : 0;
    return ERR_OK;
}

void commit_split(struct apply *x)
{
    struct account *a = x->a;
    commit_positions(x, NULL, &x->p->split.terms);
    if (a->split_count == SPLIT_WINDOW)
        drop_split(a, 0);
    a->splits[a->split_count++] =
        (struct split_kept){.id = x->e->id, .terms = terms_hash(&x->p->split.terms)};
}

/* -- split_correct, split_void
 * ----------------------------------------------------------- */

/* The split named, with the old terms it has now. */
static enum err check_split_named(struct apply *x)
{
    const struct account *a = x->a;
    const struct p_split_change *p = &x->p->split_change;
    for (uint32_t i = 0; i < a->split_count; i++) {
        if (!same32(&a->splits[i].id, &p->split))
            continue;
        struct hash terms = terms_hash(&p->old_terms);
        x->target = i;
        return same32(&a->splits[i].terms, &terms) ? ERR_OK : ERR_SPLIT_UNKNOWN;
    }
    return ERR_SPLIT_UNKNOWN;
}

enum err check_split_correct(struct apply *x)
{
    const struct p_split_change *p = &x->p->split_change;
    TRY(check_split_named(x));
    return check_positions(x, &p->old_terms, &p->new_terms);
}

void commit_split_correct(struct apply *x)
{
    const struct p_split_change *p = &x->p->split_change;
    commit_positions(x, &p->old_terms, &p->new_terms);
    x->a->splits[x->target].terms = terms_hash(&p->new_terms);
}

enum err check_split_void(struct apply *x)
{
    TRY(check_split_named(x));
    return check_positions(x, &x->p->split_change.old_terms, NULL);
}

void commit_split_void(struct apply *x)
{
    commit_positions(x, &x->p->split_change.old_terms, NULL);
    drop_split(x->a, x->target);
}
