/* What goes to the owners of other slots, over real sockets (tests/unit/relay/peerkit.h). */
#include "tests/unit/relay/peerkit.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The plain way. */

static void answers_come_back_under_the_clients_own_rids(void **state)
{
    struct kit *k = *state;
    all_to(0);
    for (uint32_t i = 0; i < SLOTS; i += 2)
        owned_by(i, 1);
    uint64_t rid[PEOPLE];
    for (unsigned who = 0; who < PEOPLE; who++)
        rid[who] = submit(k, who, 20);
    UNTIL(k, k->answered == PEOPLE * 20);
    for (unsigned who = 0; who < PEOPLE; who++)
        all_accepted(k, rid[who], 20);
    assert_int_equal(k->entries_back, PEOPLE * 20);
    assert_int_equal(k->ledger.count, PEOPLE * 20);
    assert_int_equal(k->ledger.duplicates, 0);
    assert_true(k->notes > 0); /* what the answers prove is shown first */
    assert_true(atomic_load(&k->owner[0].entries) > 0);
    assert_true(atomic_load(&k->owner[1].entries) > 0);
    assert_int_equal(atomic_load(&k->owner[0].connections), 1);
    assert_int_equal(table_items(k), 0);
}

static void a_refusal_is_passed_on_as_it_is(void **state)
{
    struct kit *k = *state;
    all_to(0);
    atomic_store(&k->owner[0].code, ERR_BALANCE);
    uint64_t rid = submit(k, 0, 1);
    UNTIL(k, k->answered == 1);
    assert_int_equal(k->asked[rid].code, ERR_BALANCE);
}

static void settlements_find_who_waits(void **state)
{
    struct kit *k = *state;
    all_to(0);
    submit(k, 0, 1);
    UNTIL(k, k->answered == 1);
    submit_flags(k, 0, 2, WIRE_SUBMIT_SETTLED);
    UNTIL(k, k->answered == 3 && k->settled == 2);
}

/* Links. */

/* Its sockets are closed only when all its threads have ended, which may take long: whoever is
 * at the other end must not wait for that. */
static void a_relay_that_stops_hangs_up_at_once(void **state)
{
    struct kit *k = *state;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(fakeowner_port(&k->owner[0])),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {10, 0};
    char byte, *answer = "";
    assert_int_equal(atomic_load(&k->owner[0].connections), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    UNTIL(k, atomic_load(&k->owner[0].connections) > 0);
    stop_owner(k, 0);
    ssize_t n = recv(fd, &byte, 1, 0);
    if (n < 0)
        answer = strerror(errno);
    assert_string_equal(answer, "");
    assert_int_equal(n, 0);
    close(fd);
}

static void what_waits_goes_out_when_the_owner_comes_up(void **state)
{
    struct kit *k = *state;
    uint16_t port = fakeowner_port(&k->owner[0]);
    stop_owner(k, 0);
    all_to(0);
    uint64_t rid = submit(k, 0, 3);
    turns(k, 300);
    assert_int_equal(k->answered, 0);
    open_owner(k, 0, port);
    UNTIL(k, k->answered == 3);
    all_accepted(k, rid, 3);
}

static void a_link_lost_in_the_handshake_is_opened_again(void **state)
{
    struct kit *k = *state;
    atomic_store(&k->owner[0].cut_hello, true);
    all_to(0);
    uint64_t rid = submit(k, 0, 3);
    UNTIL(k, atomic_load(&k->owner[0].connections) >= 3);
    assert_int_equal(k->answered, 0);
    atomic_store(&k->owner[0].cut_hello, false);
    UNTIL(k, k->answered == 3);
    all_accepted(k, rid, 3);
}

static void an_answer_lost_with_its_link_is_asked_for_again(void **state)
{
    struct kit *k = *state;
    all_to(0);
    uint64_t rid = submit(k, 0, 1);
    UNTIL(k, k->answered == 1);
    atomic_store(&k->owner[0].cut_after, 2);
    for (unsigned i = 0; i < 4; i++) {
        submit(k, 0, 10);
        submit(k, 1, 10);
        turn(k);
    }
    UNTIL(k, k->answered == 81);
    assert_true(atomic_load(&k->owner[0].connections) > 1);
    assert_true(k->ledger.duplicates > 0); /* it had committed: found again, not twice */
    assert_int_equal(k->ledger.count, 81);
    for (uint64_t i = rid; i < k->next_rid; i++)
        if (k->asked[i].answers)
            all_accepted(k, i, 1);
}

static void an_owner_that_falls_silent_is_not_waited_for_for_ever(void **state)
{
    struct kit *k = *state;
    atomic_store(&k->owner[0].silent, true);
    all_to(0);
    k->deadline_in_ms = 400;
    uint64_t began = clock_mono_ms();
    uint64_t rid = submit(k, 0, 5);
    UNTIL(k, k->answered == 5);
    assert_true(clock_mono_ms() - began >= 390);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(k->asked[rid + i].code, ERR_UNAVAILABLE);
        assert_true(k->asked[rid + i].retry_after_ms > 0);
    }
    assert_int_equal(table_items(k), 0);
    /* An answer after that is nobody's, and the link is as good as before. */
    atomic_store(&k->owner[0].silent, false);
    k->deadline_in_ms = 0;
    rid = submit(k, 0, 2);
    UNTIL(k, k->answered == 7);
    all_accepted(k, rid, 2);
}

static void a_slot_that_nobody_owns_waits_and_then_is_unavailable(void **state)
{
    struct kit *k = *state;
    k->deadline_in_ms = 300;
    uint64_t rid = submit(k, 0, 2);
    UNTIL(k, k->answered == 2);
    assert_int_equal(k->asked[rid].code, ERR_UNAVAILABLE);
    k->deadline_in_ms = 0;
    rid = submit(k, 1, 2);
    turns(k, 50);
    all_to(1);
    UNTIL(k, k->answered == 4);
    all_accepted(k, rid, 2);
}

static void whoever_does_not_hold_the_relay_key_is_told_nothing(void **state)
{
    struct kit *k = *state;
    struct key *other = key_generate();
    uint16_t port = fakeowner_port(&k->owner[0]);
    struct session_rules good = k->rules;
    stop_owner(k, 0);
    k->rules.relay = other; /* signs WELCOME with it, claiming the hub's own */
    open_owner(k, 0, port);
    all_to(0);
    k->deadline_in_ms = 500;
    submit(k, 0, 2);
    UNTIL(k, k->answered == 2);
    assert_true(atomic_load(&k->owner[0].connections) > 0);
    assert_int_equal(atomic_load(&k->owner[0].forwards), 0);
    stop_owner(k, 0);
    /* Another federation at that address. */
    k->rules = good;
    k->rules.federation.b[0]++;
    open_owner(k, 0, port);
    submit(k, 0, 2);
    UNTIL(k, k->answered == 4);
    assert_int_equal(atomic_load(&k->owner[0].forwards), 0);
    k->rules = good;
    key_free(other);
}

static void answers_to_what_nobody_asked_are_nobodys(void **state)
{
    struct kit *k = *state;
    all_to(0);
    atomic_store(&k->owner[0].babble, BABBLE_STRANGE);
    uint64_t rid = submit(k, 0, 3);
    UNTIL(k, k->answered == 3);
    all_accepted(k, rid, 3);
    assert_int_equal(atomic_load(&k->owner[0].connections), 1);
    assert_int_equal(k->question_answers, 0);
    /* No frame at all: that link is over, and the next one serves. */
    atomic_store(&k->owner[0].babble, BABBLE_MALFORMED);
    rid = submit(k, 0, 3);
    UNTIL(k, k->answered == 6);
    all_accepted(k, rid, 3);
    assert_int_equal(atomic_load(&k->owner[0].connections), 2);
}

/* Owners. */

static void a_new_owner_gets_what_the_old_one_did_not_answer(void **state)
{
    struct kit *k = *state;
    all_to(0);
    submit(k, 0, 1);
    UNTIL(k, k->answered == 1);
    atomic_store(&k->owner[0].silent, true);
    uint64_t rid = submit(k, 0, 30);
    UNTIL(k, atomic_load(&k->owner[0].entries) == 31);
    all_to(1);
    uint64_t later = submit(k, 0, 5);
    UNTIL(k, k->answered == 36);
    all_accepted(k, rid, 30);
    all_accepted(k, later, 5);
    /* The old one took the 30, and the later ones too if they were quicker than the news. */
    assert_in_range(k->ledger.duplicates, 30, 35);
    assert_int_equal(k->ledger.gaps, 0);
}

static void unavailable_is_tried_again_and_keeps_the_order(void **state)
{
    struct kit *k = *state;
    all_to(0);
    atomic_store(&k->owner[0].code_times, 3);
    atomic_store(&k->owner[0].code, ERR_UNAVAILABLE);
    uint64_t rid = submit(k, 0, 20);
    uint64_t more = submit(k, 0, 20);
    UNTIL(k, k->answered == 40);
    all_accepted(k, rid, 20);
    all_accepted(k, more, 20);
    assert_true(k->ledger.gaps > 0); /* the owner saw them; no client did */
}

static void a_slot_that_became_ours_is_committed_here_in_order(void **state)
{
    struct kit *k = *state;
    uint64_t rid = submit(k, 0, 3);
    uint32_t slot = slot_of_person(k, 0);
    assert_true(peers_others(k->r.peers, slot));
    owned_by(slot, SELF);
    /* They are first: what comes now goes behind them though the slot is ours. */
    assert_true(peers_others(k->r.peers, slot));
    uint64_t more = submit(k, 0, 1);
    turns(k, 20);
    assert_false(peers_others(k->r.peers, slot));
    struct job *direct = job_of(k, 0, 2, 0);
    assert_true(peers_take(k->r.peers, direct));
    assert_int_equal(direct->count, 2);
    job_drop(direct);
    assert_int_equal(queue_count(&k->r.commit), 4);
    assert_int_equal(atomic_load(&k->r.committing), 4);
    struct chain_of_links got;
    (void)queue_take(&k->r.commit, &got, SIZE_MAX, 0);
    for (uint64_t n = 0; n < 4; n++) {
        struct job *j = (struct job *)links_pop(&got);
        assert_int_equal(j->work.kind, WORK_JOB);
        assert_int_equal(j->conn, 1);
        assert_int_equal(j->rid, n < 3 ? rid : more);
        assert_int_equal(j->items[0].i, n < 3 ? n : 0);
        assert_memory_equal(&j->items[0].entry.id, &k->asked[n < 3 ? rid + n : more].id,
                            HASH_BYTES);
        job_drop(j);
    }
}

static void a_job_of_several_slots_is_parted(void **state)
{
    struct kit *k = *state;
    all_to(0);
    struct job *a = job_of(k, 0, 2, 0), *b = NULL;
    unsigned other = 1;
    for (; other < PEOPLE; other++) {
        b = job_of(k, other, 2, 0);
        if (slot_of_person(k, other) != slot_of_person(k, 0))
            break;
        job_drop(b);
    }
    assert_true(other < PEOPLE);
    owned_by(slot_of_person(k, other), SELF);
    /* One SUBMIT of both: theirs, ours, and one that was refused at the door. */
    struct job *j = job_new(4);
    j->conn = a->conn;
    j->rid = a->rid;
    j->since_us = a->since_us;
    j->items[0] = a->items[0];
    j->items[1] = b->items[0];
    j->items[2] = b->items[1];
    j->items[2].verdict = ERR_SIGNATURE;
    j->items[3] = a->items[1];
    for (unsigned i = 0; i < 4; i++) {
        j->items[i].job = j;
        j->items[i].i = i == 3 ? 1 : i * 2;
    }
    turn(k); /* owners are known */
    assert_true(peers_take(k->r.peers, j));
    assert_int_equal(j->count, 2);
    assert_memory_equal(&j->items[0].entry.id, &b->items[0].entry.id, HASH_BYTES);
    assert_int_equal(j->items[1].verdict, ERR_SIGNATURE);
    UNTIL(k, k->answered == 2);
    all_accepted(k, a->rid, 2);
    job_drop(j);
    job_drop(a);
    job_drop(b);
}

static void what_was_forwarded_to_us_is_not_forwarded_again(void **state)
{
    struct kit *k = *state;
    struct job *j = job_of(k, 0, 1, 0);
    turn(k);
    all_to(1);
    turn(k);
    j->vouched = true;
    assert_false(peers_take_back(k->r.peers, &j->items[0]));
    j->vouched = false;
    assert_true(peers_take_back(k->r.peers, &j->items[0]));
    UNTIL(k, k->answered == 1);
    all_accepted(k, j->rid, 1);
    /* Not when it is ours after all, and not when its time is over. */
    j->since_us -= FORWARD_PATIENCE_MS * 1000u;
    assert_false(peers_take_back(k->r.peers, &j->items[0]));
    job_drop(j);
    j = job_of(k, 1, 1, 0);
    owned_by(slot_of_person(k, 1), SELF);
    assert_false(peers_take_back(k->r.peers, &j->items[0]));
    job_drop(j);
}

/* Questions. */

static bool ask_of(struct kit *k, enum wire_type type, uint32_t slot, bool has_device)
{
    struct request *q = request_new(REQUEST_FRAME, 5);
    assert_non_null(q);
    q->since_us = clock_mono_us();
    q->has_device = has_device;
    q->f = (struct wire_frame){.type = type, .rid = 42, .id = {{7}}};
    return peers_ask(k->r.peers, q, slot);
}

static void questions_go_to_the_owner_with_who_asks(void **state)
{
    struct kit *k = *state;
    all_to(0);
    turn(k);
    assert_true(ask_of(k, WIRE_HEAD, 2, true));
    UNTIL(k, k->question_answers == 1);
    assert_int_equal(k->newest.type, WIRE_HEAD_IS);
    assert_int_equal(k->newest.rid, 42);
    assert_int_equal(k->newest.position, FAKE_POSITION);
    assert_int_equal(k->newest.head.b[0], 7);
    assert_true(atomic_load(&k->owner[0].asker_given));
    assert_true(ask_of(k, WIRE_SETTLEMENT, 2, false));
    UNTIL(k, k->question_answers == 2);
    assert_int_equal(k->newest.type, WIRE_SETTLEMENT_IS);
    assert_int_equal(k->newest.left, 3);
    assert_false(atomic_load(&k->owner[0].asker_given));
    /* A refusal is the answer; `unavailable` is not, while there is time. */
    atomic_store(&k->owner[0].code_times, 1);
    atomic_store(&k->owner[0].code, ERR_NOT_ALLOWED);
    assert_true(ask_of(k, WIRE_HEAD, 2, true));
    UNTIL(k, k->question_answers == 3);
    assert_int_equal(k->newest.type, WIRE_ERROR);
    assert_int_equal(k->newest.code, ERR_NOT_ALLOWED);
    assert_int_equal(k->newest.retry_after_ms, FAKE_RETRY_MS);
    atomic_store(&k->owner[0].code, ERR_UNAVAILABLE);
    atomic_store(&k->owner[0].code_times, 2);
    assert_true(ask_of(k, WIRE_HEAD, 2, true));
    UNTIL(k, k->question_answers == 4);
    assert_int_equal(k->newest.type, WIRE_HEAD_IS);
}

static void a_question_whose_answer_is_lost_is_asked_again(void **state)
{
    struct kit *k = *state;
    all_to(0);
    atomic_store(&k->owner[0].cut_after, 1);
    assert_true(ask_of(k, WIRE_HEAD, 1, true));
    UNTIL(k, k->question_answers == 1);
    assert_int_equal(k->newest.type, WIRE_HEAD_IS);
    assert_int_equal(atomic_load(&k->owner[0].connections), 2);
}

static void a_question_about_what_is_ours_by_now_is_answered_here(void **state)
{
    struct kit *k = *state;
    all_to(SELF);
    turn(k);
    assert_true(ask_of(k, WIRE_HEAD, 1, true));
    assert_int_equal(queue_count(&k->r.commit), 1);
    assert_int_equal(atomic_load(&k->r.asks_waiting), 1);
}

/* Bounds. */

static void what_does_not_fit_is_busy_and_the_rest_stands(void **state)
{
    struct kit *k = *state;
    struct chain_of_links got;
    unsigned taken = 0, busy = 0;
    struct job *j = job_of(k, 0, 30, 0);
    j->since_us -= (FORWARD_PATIENCE_MS - 1500u) * 1000u;
    uint64_t late = j->since_us;
    while (busy == 0 && taken <= FORWARD_ITEMS_MAX) {
        struct job *again = job_new(30);
        again->frame = frame_keep(j->frame);
        again->conn = j->conn;
        again->rid = j->rid;
        again->since_us = late;
        for (unsigned i = 0; i < 30; i++) {
            again->items[i] = j->items[i];
            again->items[i].job = again;
        }
        if (peers_take(k->r.peers, again)) {
            busy = again->count;
            for (unsigned i = 0; i < busy; i++)
                assert_int_equal(again->items[i].verdict, ERR_BUSY);
            taken += 30 - busy;
            job_drop(again);
        } else {
            taken += 30;
        }
    }
    assert_int_equal(taken, FORWARD_ITEMS_OWNER_MAX);
    assert_int_equal(table_items(k), taken);
    assert_false(ask_of(k, WIRE_HEAD, slot_of_person(k, 0), true));
    job_drop(j);
    /* It empties by itself, and each is answered. */
    unsigned said = 0;
    for (uint64_t end = clock_mono_ms() + WAIT_MS; said < taken && clock_mono_ms() < end;) {
        peers_tick(k->r.peers);
        (void)queue_take(&k->r.mail, &got, SIZE_MAX, 50);
        for (struct link *l; (l = links_pop(&got));) {
            said += ((struct mail *)l)->entries;
            mail_drop((struct mail *)l);
        }
    }
    assert_int_equal(said, taken);
    assert_int_equal(table_items(k), 0);
}

/* Weather. */

static uint32_t draw(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static void any_weather(void **state)
{
    struct kit *k = *state;
    uint64_t seed = 5;
    unsigned sent = 0;
    all_to(0);
    for (unsigned round = 0; round < 150; round++) {
        struct fakeowner *o = &k->owner[draw(&seed) % OWNERS];
        unsigned n = 1 + draw(&seed) % 8;
        submit(k, draw(&seed) % PEOPLE, n);
        sent += n;
        switch (draw(&seed) % 8) {
        case 0:
            owned_by(draw(&seed) % SLOTS, (int)(draw(&seed) % OWNERS));
            break;
        case 1:
            atomic_store(&o->cut_after, 1 + (int)(draw(&seed) % 3));
            break;
        case 2:
            atomic_store(&o->code_times, 1 + (int)(draw(&seed) % 5));
            atomic_store(&o->code, ERR_UNAVAILABLE);
            break;
        case 3:
            atomic_store(&o->babble, draw(&seed) % 4 ? BABBLE_STRANGE : BABBLE_MALFORMED);
            break;
        case 4:
            owned_by(draw(&seed) % SLOTS, NOBODY);
            break;
        default:
            break;
        }
        if (draw(&seed) % 3 == 0)
            turns(k, draw(&seed) % 20);
        for (uint32_t i = 0; i < SLOTS && round % 10 == 9; i++)
            if (owner_now(i) == NOBODY)
                owned_by(i, (int)(draw(&seed) % OWNERS));
    }
    for (uint32_t i = 0; i < SLOTS; i++)
        owned_by(i, (int)(i % OWNERS));
    UNTIL(k, k->answered == sent);
    turns(k, 50);
    assert_int_equal(k->answered, sent);
    assert_int_equal(k->ledger.count, sent);
    assert_int_equal(k->entries_back, sent);
    assert_int_equal(table_items(k), 0);
    for (uint64_t i = 1; i < k->next_rid; i++)
        if (k->asked[i].answers)
            all_accepted(k, i, 1);
}

static void ending_with_work_under_way_leaves_nothing_behind(void **state)
{
    struct kit *k = *state;
    atomic_store(&k->owner[0].silent, true);
    all_to(0);
    owned_by(3, NOBODY);
    for (unsigned i = 0; i < PEOPLE; i++)
        submit(k, i, 3);
    turns(k, 30); /* and then kit_tear_down, under a leak checker */
    assert_int_equal(k->answered, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_set_up, kit_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(answers_come_back_under_the_clients_own_rids),
        TEST(a_refusal_is_passed_on_as_it_is),
        TEST(settlements_find_who_waits),
        TEST(a_relay_that_stops_hangs_up_at_once),
        TEST(what_waits_goes_out_when_the_owner_comes_up),
        TEST(a_link_lost_in_the_handshake_is_opened_again),
        TEST(an_answer_lost_with_its_link_is_asked_for_again),
        TEST(an_owner_that_falls_silent_is_not_waited_for_for_ever),
        TEST(a_slot_that_nobody_owns_waits_and_then_is_unavailable),
        TEST(whoever_does_not_hold_the_relay_key_is_told_nothing),
        TEST(answers_to_what_nobody_asked_are_nobodys),
        TEST(a_new_owner_gets_what_the_old_one_did_not_answer),
        TEST(unavailable_is_tried_again_and_keeps_the_order),
        TEST(a_slot_that_became_ours_is_committed_here_in_order),
        TEST(a_job_of_several_slots_is_parted),
        TEST(what_was_forwarded_to_us_is_not_forwarded_again),
        TEST(questions_go_to_the_owner_with_who_asks),
        TEST(a_question_whose_answer_is_lost_is_asked_again),
        TEST(a_question_about_what_is_ours_by_now_is_answered_here),
        TEST(what_does_not_fit_is_busy_and_the_rest_stands),
        TEST(any_weather),
        TEST(ending_with_work_under_way_leaves_nothing_behind),
    };
    if (!crypto_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
