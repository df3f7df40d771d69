/* Whatever witnesses answer, and when: only a line that libcrypto verifies over the asked text,
 * of this time, is taken; a quorum is shown only for a checkpoint that enough of them cosigned,
 * in a note that verifies under the policy, never an older one after a newer; nobody is asked
 * twice at once or sooner than he wished; and once all answer honestly the newest gets its
 * quorum. Each step is an op byte and its choices. */
#include <string.h>

#include "federation/cosign.h"
#include "fuzz.h"
#include "input.h"
#include "other.h"

#define WITNESSES 3u
#define NEEDED 2u
#define SLOTS 2u
#define SIZES 40u
#define WALL UINT64_C(1700000000)
#define STEPS_MAX 300u

static struct policy policy;
static struct vkey logs[SLOTS];
static const struct cosign_times times = {.every_ms = 100, .max_age_ms = 1000};
static void *room;

static struct world {
    struct cosign *core;
    uint64_t now;
    tree_size newest[SLOTS], quorum[SLOTS];
    uint64_t cosigned[SLOTS][SIZES + 1]; /* bit: whose line verifies */
    bool asking[WITNESSES];
    struct cosign_ask ask[WITNESSES];
    uint64_t not_before[WITNESSES];
} w;

static void make_policy(void)
{
    char text[4096] = "", vkey[VKEY_TEXT_MAX], name[32];
    struct policy_problem problem;
    if (room)
        return;
    PROPERTY(crypto_start());
    for (unsigned i = 0; i < SLOTS; i++) {
        struct pubkey pub = known_pub(i);
        snprintf(name, sizeof(name), "hub.example/%02x", i);
        PROPERTY(vkey_make(&logs[i], name, NOTE_ED25519, &pub));
        PROPERTY(vkey_format(&logs[i], vkey, sizeof(vkey)) > 0);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "log %s\n", vkey);
    }
    for (unsigned i = 0; i < WITNESSES; i++) {
        struct pubkey pub = known_pub(SLOTS + i);
        struct vkey v;
        snprintf(name, sizeof(name), "w%u.example", i);
        PROPERTY(vkey_make(&v, name, NOTE_COSIGNATURE, &pub));
        PROPERTY(vkey_format(&v, vkey, sizeof(vkey)) > 0);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "witness w%u %s\n", i, vkey);
    }
    strcat(text, "group two 2 w0 w1 w2\nquorum two\n");
    PROPERTY(policy_parse(&policy, text, strlen(text), &problem));
    room = malloc(cosign_room(SLOTS, WITNESSES));
    PROPERTY(room != NULL);
}

static void publish(uint32_t slot, tree_size size)
{
    char note[CHECKPOINT_BYTES_MAX];
    struct checkpoint c = {.size = size, .root = hash_leaf(&size, sizeof(size))};
    memcpy(c.origin, logs[slot].name, sizeof(c.origin));
    size_t n = checkpoint_sign(note, sizeof(note), &c, &logs[slot], known_key(slot));
    PROPERTY(n > 0);
    cosign_published(w.core, slot, size, bytes_of(note, n), w.now);
    w.newest[slot] = size > w.newest[slot] ? size : w.newest[slot];
}

static size_t text_size(const struct cosign_ask *ask)
{
    const char *end = memmem(ask->note, ask->note_size, "\n\n", 2);
    PROPERTY(end != NULL);
    return (size_t)(end - ask->note) + 1;
}

/* By the definition of cosignature/v1, and libcrypto. */
static void check_line(const struct cosign_ask *ask, const struct signed_line *line)
{
    char message[CHECKPOINT_BYTES_MAX + 64];
    int head = snprintf(message, sizeof(message), "cosignature/v1\ntime %llu\n",
                        (unsigned long long)line->time);
    size_t n = text_size(ask);
    memcpy(message + head, ask->note, n);
    PROPERTY(other_verify(&line->sig, &policy.witnesses[ask->witness].key.key, NULL, message,
                          (size_t)head + n));
}

static void ask(unsigned witness)
{
    struct cosign_ask *a = &w.ask[witness];
    uint64_t wait = 0;
    if (w.asking[witness])
        return;
    if (!cosign_next(w.core, &times, witness, w.now, a, &wait)) {
        PROPERTY(wait > 0 && wait <= 250);
        return;
    }
    w.asking[witness] = true;
    PROPERTY(a->witness == witness && a->slot < SLOTS && w.now >= w.not_before[witness]);
    PROPERTY(a->old <= a->size && a->size <= w.newest[a->slot]);
    PROPERTY(!(w.cosigned[a->slot][a->size] >> witness & 1));
}

/* A body: a line honest or not, with others about it, or bytes. */
static size_t make_body(const struct cosign_ask *a, struct input *in, char body[2048])
{
    static const uint64_t at[] = {WALL, WALL + COSIGN_SKEW_SECONDS, WALL - COSIGN_SKEW_SECONDS - 1,
                                  WALL + COSIGN_SKEW_SECONDS + 1, 1};
    unsigned how = take_below(in, 8), by = a->witness;
    size_t n = 0;
    if (how == 7) {
        struct bytes raw = take_bytes(in, 200);
        if (raw.size > 0)
            memcpy(body, raw.data, raw.size);
        return raw.size;
    }
    if (how == 6) /* another's line in front of it */
        n = note_cosign_line(body, 1000, a->note, text_size(a), WALL,
                             &policy.witnesses[(by + 1) % WITNESSES].key,
                             known_key(SLOTS + (by + 1) % WITNESSES));
    n += note_cosign_line(body + n, 1000, a->note, text_size(a), how < 5 ? at[how] : WALL,
                          &policy.witnesses[by].key, known_key(SLOTS + by));
    unsigned where = (unsigned)take(in, 2);
    if (how == 5)
        body[where % n] ^= (char)(1u << take_below(in, 8));
    return n;
}

static void answer(unsigned witness, unsigned status, struct bytes body, uint64_t retry_ms,
                   uint64_t random)
{
    struct signed_line line = {0};
    tree_size size = 0;
    const struct cosign_ask a = w.ask[witness];
    if (!w.asking[witness])
        return;
    enum cosign_result r = cosign_read(&policy, &a, status, body, WALL, &line, &size);
    PROPERTY((r == COSIGN_TAKEN) <= (status == 200));
    PROPERTY((r == COSIGN_MOVED || r == COSIGN_AHEAD) <= (status == 409));
    if (r == COSIGN_TAKEN) {
        check_line(&a, &line);
        PROPERTY(line.time + COSIGN_SKEW_SECONDS >= WALL && line.time <= WALL + COSIGN_SKEW_SECONDS);
        w.cosigned[a.slot][a.size] |= UINT64_C(1) << witness;
    }
    cosign_answered(w.core, &a, r, &line, size, retry_ms, random, WALL, w.now);
    w.asking[witness] = false;
    if (r == COSIGN_FAILED) {
        uint64_t wish = retry_ms < COSIGN_RETRY_AFTER_MAX_MS ? retry_ms : COSIGN_RETRY_AFTER_MAX_MS;
        w.not_before[witness] =
            w.now + (wish > COSIGN_BACKOFF_MS / 2 ? wish : COSIGN_BACKOFF_MS / 2);
    }
}

static void answer_somehow(struct input *in, unsigned witness)
{
    static const unsigned statuses[] = {200, 200, 200, 409, 409, 403, 422, 429, 500, 0};
    char body[2048];
    unsigned status = statuses[take_below(in, 10)];
    size_t n = 0;
    if (!w.asking[witness])
        return;
    if (status == 409 && take_below(in, 8))
        n = (size_t)snprintf(body, sizeof(body), "%u\n", take_below(in, 60));
    else
        n = make_body(&w.ask[witness], in, body);
    uint64_t retry = take_below(in, 4) ? 0 : take(in, 3);
    char *exact = malloc(n ? n : 1);
    PROPERTY(exact != NULL);
    memcpy(exact, body, n);
    answer(witness, status, bytes_of(exact, n), retry, take(in, 1));
    free(exact);
}

static void check_slot(uint32_t slot)
{
    static char note[COSIGNED_BYTES_MAX];
    static struct policy_verdict v;
    struct cosign_state s;
    cosign_slot(w.core, &times, slot, w.now, &s);
    PROPERTY(s.newest == w.newest[slot] && s.size >= w.quorum[slot] && s.size <= s.newest);
    w.quorum[slot] = s.size;
    size_t n = cosign_quorum_note(w.core, slot, note);
    PROPERTY((n > 0) == s.has_quorum);
    if (n > 0) {
        PROPERTY((s.witnesses & ~w.cosigned[slot][s.size]) == 0);
        PROPERTY(__builtin_popcountll(s.witnesses) >= (int)NEEDED);
        policy_check(&policy, note, n, &v);
        PROPERTY(v.note == NOTE_OK && v.quorum && v.log == slot && v.checkpoint.size == s.size);
        PROPERTY(v.witnesses == s.witnesses);
    }
    n = cosign_served_note(w.core, &times, slot, w.now, note);
    PROPERTY((n > 0) == (w.newest[slot] > 0));
    if (n > 0) {
        policy_check(&policy, note, n, &v);
        PROPERTY(v.note == NOTE_OK && v.checkpoint.size == (s.fresh ? s.size : s.newest));
    }
}

static void step(struct input *in)
{
    unsigned op = take_below(in, 8), witness = take_below(in, WITNESSES);
    uint32_t slot = witness % SLOTS;
    switch (op) {
    case 0:
        publish(slot, 1 + take_below(in, SIZES));
        break;
    case 1:
        w.now += take(in, 2) >> take_below(in, 16);
        break;
    case 2:
    case 3:
    case 4:
        ask(witness);
        break;
    default:
        answer_somehow(in, witness);
    }
    check_slot(slot);
}

/* All honest, and time enough for every wish to be left alone. */
static void come_to_rest(void)
{
    char body[2048];
    for (unsigned i = 0; i < SLOTS; i++)
        publish(i, SIZES);
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < WITNESSES * SLOTS; i++) {
            unsigned by = i % WITNESSES;
            ask(by);
            if (!w.asking[by])
                continue;
            size_t n = note_cosign_line(body, sizeof(body), w.ask[by].note, text_size(&w.ask[by]),
                                        WALL, &policy.witnesses[by].key, known_key(SLOTS + by));
            answer(by, 200, bytes_of(body, n), 0, 0);
        }
        w.now += COSIGN_RETRY_AFTER_MAX_MS / 8;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        check_slot(i);
        PROPERTY(w.quorum[i] == SIZES);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    make_policy();
    memset(room, 0, cosign_room(SLOTS, WITNESSES));
    memset(&w, 0, sizeof(w));
    w.now = 1000;
    w.core = cosign_open(room, &policy, SLOTS);
    for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++)
        step(&in);
    come_to_rest();
    return 0;
}
