/* An audit of a hub at work: slots whose checkpoints are not of one moment, runs that are cut and go
 * on, checkpoints seen between them. Nobody honest is accused, and nothing is let pass. */
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/audit/audit.h"
#include "client/audit/image.h"

#define POINT INT64_C(1000000)
#define ROOM 200

struct kit {
    char dir[64], state[ROOM];
    struct forge *f;
    struct policy *policy;
    struct audit_report *r;
    uint64_t stop_at; /* records after which a run is cut; 0: never */
};

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int setup(void **state)
{
    static struct kit k;
    char text[4096];
    struct policy_problem why;
    k = (struct kit){.dir = "/tmp/stoa-channels-XXXXXX"};
    assert_true(crypto_start());
    assert_non_null(mkdtemp(k.dir));
    snprintf(k.state, sizeof(k.state), "%s/state", k.dir);
    k.f = forge_open();
    forge_fill(k.f);
    forge_sign(k.f, false);
    k.policy = calloc(1, sizeof(*k.policy));
    k.r = calloc(1, sizeof(*k.r));
    assert_non_null(k.policy);
    assert_non_null(k.r);
    size_t n = forge_policy(k.f, text, sizeof(text), false);
    assert_true(policy_parse(k.policy, text, n, &why));
    *state = &k;
    return 0;
}

static int teardown(void **state)
{
    struct kit *k = *state;
    forge_close(k->f);
    free(k->policy);
    free(k->r);
    return nftw(k->dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The hub as it stands now, published in a folder of this name. */
static void publish(struct kit *k, const char *name, char path[ROOM])
{
    snprintf(path, ROOM, "%s/%s", k->dir, name);
    assert_true(image_write(k->f, IMAGE_DIRECTORY, path));
}

/* The log of one slot taken over from another folder. */
static void take_slot(const char *from, const char *to, unsigned slot)
{
    char a[ROOM + 16], b[ROOM + 16], gone[ROOM + 24];
    snprintf(a, sizeof(a), "%s/log/%02x", from, slot);
    snprintf(b, sizeof(b), "%s/log/%02x", to, slot);
    snprintf(gone, sizeof(gone), "%s/gone-%02x", to, slot);
    assert_int_equal(rename(b, gone), 0);
    assert_int_equal(rename(a, b), 0);
}

static bool cut(void *context, const struct audit_progress *p)
{
    const struct kit *k = context;
    return p->done < k->stop_at;
}

static int audit(struct kit *k, const char *path, bool with_state)
{
    char why[AUDIT_WHY_MAX] = "";
    struct audit_source *s;
    struct audit_options o = {.mode = AUDIT_FULL,
                              .threads = 1,
                              .policy = k->policy,
                              .state_dir = with_state ? k->state : NULL,
                              .progress = k->stop_at ? cut : NULL,
                              .progress_context = k,
                              .progress_us = 1};
    assert_int_equal(audit_source_open(&s, path, NULL, why), ERR_OK);
    enum err e = audit_run(s, &o, k->r, why);
    s->ops->close(s);
    if (e != ERR_OK)
        fail_msg("%s: %s", err_word(e), why);
    return audit_exit(k->r);
}

static bool ran(const struct kit *k, enum audit_check c)
{
    return (k->r->ran & ~k->r->skipped) >> c & 1;
}

static bool found(const struct kit *k, enum audit_check c)
{
    for (size_t i = 0; i < k->r->finding_count; i++)
        if (k->r->findings[i].check == c)
            return true;
    return false;
}

/* From person 2 (slot 2) to person 1 (slot 1); `more` than was sent is credited. */
static void pay(struct kit *k, int64_t more)
{
    forge_send(k->f, &k->f->people[2], &k->f->people[1], POINT);
    forge_credit(k->f, &k->f->people[2], &k->f->people[1], k->f->relay, more);
    forge_sign(k->f, false);
}

/* A copy whose slot 2 is from before the payment that slot 1 settled. */
static void publish_early(struct kit *k, int64_t more, char early[ROOM], char whole[ROOM])
{
    char before[ROOM];
    publish(k, "before", before);
    pay(k, more);
    publish(k, "early", early);
    publish(k, "whole", whole);
    take_slot(before, early, 2);
}

/* The copy's log of slot 2 was seen to have grown since. */
static void see_later(const char *early, const char *whole)
{
    char a[ROOM + 40], b[ROOM + 40], text[4096];
    snprintf(a, sizeof(a), "%s/log/02/checkpoint", whole);
    snprintf(b, sizeof(b), "%s/log/02/checkpoint.later", early);
    FILE *in = fopen(a, "re"), *out = fopen(b, "we");
    assert_non_null(in);
    assert_non_null(out);
    size_t n = fread(text, 1, sizeof(text), in);
    assert_int_equal(fwrite(text, 1, n, out), n);
    fclose(in);
    fclose(out);
}

static void a_hub_at_work_is_not_accused(void **state)
{
    struct kit *k = *state;
    char early[ROOM], whole[ROOM];
    publish_early(k, 0, early, whole);
    assert_int_equal(audit(k, early, false), 2); /* nothing shows yet that it was sent */
    assert_int_equal(k->r->finding_count, 0);
    assert_false(ran(k, AUDIT_CONSERVATION));
    see_later(early, whole);
    assert_int_equal(audit(k, early, true), 0);
    assert_false(ran(k, AUDIT_CONSERVATION));
    /* The same again from the state, with nothing new. */
    assert_int_equal(audit(k, early, true), 0);
    assert_false(ran(k, AUDIT_CONSERVATION));
    /* With what was sent, it is compared. */
    assert_int_equal(audit(k, whole, true), 0);
    assert_true(ran(k, AUDIT_CONSERVATION));
    assert_true(k->r->conserved);
    assert_true(k->r->slots[1].from > 0);
}

static void what_was_settled_early_is_compared_later(void **state)
{
    struct kit *k = *state;
    char early[ROOM], whole[ROOM];
    publish_early(k, 1, early, whole);
    see_later(early, whole);
    assert_int_equal(audit(k, early, true), 0);
    assert_int_equal(audit(k, whole, true), 1);
    assert_true(found(k, AUDIT_CONSERVATION));
}

/* Cut anywhere, a run that goes on finds what one that was not cut finds. */
static void a_run_that_was_cut_forgets_nothing(void **state)
{
    struct kit *k = *state;
    char path[ROOM];
    int cuts = 0;
    pay(k, 1);
    /* The sums are made right again, so that the items alone tell. */
    forge_send(k->f, &k->f->people[2], &k->f->people[1], POINT);
    forge_credit(k->f, &k->f->people[2], &k->f->people[1], k->f->relay, -1);
    for (int i = 0; i < 600; i++) {
        struct payload p = {.kind = KIND_NOTE};
        p.note.data = bytes_of("more", 4);
        forge_entry(k->f, 3, &k->f->people[3].account, k->f->people[3].device, &p, NULL);
    }
    forge_sign(k->f, false);
    publish(k, "bad", path);
    assert_int_equal(audit(k, path, false), 1);
    assert_true(found(k, AUDIT_CONSERVATION));
    for (k->stop_at = 1;; k->stop_at += 200) {
        int code = audit(k, path, true);
        if (code != 2) {
            assert_int_equal(code, 1);
            break;
        }
        assert_true(++cuts < 20);
    }
    assert_true(cuts > 0);
    assert_true(found(k, AUDIT_CONSERVATION));
}

/* A smaller tree seen between two runs, beside the one that the saved state reached. */
static void a_fork_seen_between_is_not_forgotten(void **state)
{
    struct kit *k = *state;
    char first[ROOM], fork[ROOM], next[ROOM];
    publish(k, "first", first);
    assert_int_equal(audit(k, first, true), 0);
    /* Slot 1 as somebody else is shown it: shorter, and its last record another one. */
    struct forge_slot *s = &k->f->slot[1];
    size_t count = s->count;
    struct row kept = s->rows[count - 3];
    s->count = count - 2;
    s->rows[count - 3].leaf[70] ^= 1;
    forge_sign_slot(k->f, 1, false);
    publish(k, "fork", fork);
    assert_int_equal(audit(k, fork, true), 1);
    s->rows[count - 3] = kept;
    s->count = count;
    pay(k, 0);
    publish(k, "next", next);
    assert_int_equal(audit(k, next, true), 1);
    assert_true(found(k, AUDIT_CONSISTENCY));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_hub_at_work_is_not_accused),
        CASE(what_was_settled_early_is_compared_later),
        CASE(a_run_that_was_cut_forgets_nothing),
        CASE(a_fork_seen_between_is_not_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
