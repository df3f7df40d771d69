#include "tests/bench/hub.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/context.h"
#include "relay/keys.h"

#define ANSWER_MS 20000
#define STOP_MS 60000u
#define HELLO_BYTES 512

static struct bench_hub *running; /* for a death in between */

static void end_running(void)
{
    if (running)
        hubproc_close(&running->proc);
    running = NULL;
}

void hub_programs(char out[4096])
{
    ssize_t n = readlink("/proc/self/exe", out, 4095);
    if (n <= 0)
        die("cannot tell where this program stands");
    out[n] = 0;
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = 0;
}

/* stoad stands beside this program. */
static void name_stoad(void)
{
    char folder[4096], name[4200];
    hub_programs(folder);
    snprintf(name, sizeof name, "%s/stoad", folder);
    setenv("STOAD", name, 0);
}

void hub_init(struct bench_hub *h, const struct options *o)
{
    memset(h, 0, sizeof *h);
    name_stoad();
    if (!hubproc_open(&h->proc, false))
        die("%s", h->proc.why);
    running = h;
    on_die(end_running);
    hubproc_set(&h->proc, "log.level=warn");
    for (unsigned i = 0; o && i < o->hub_setting_count; i++)
        hubproc_set(&h->proc, "%s", o->hub_settings[i]);
    if (!hubproc_init(&h->proc))
        die("stoad init failed: %s", h->proc.why);
    snprintf(h->state, sizeof h->state, "%s/state", h->proc.dir);
    snprintf(h->keys, sizeof h->keys, "%s/keys", h->state);
    snprintf(h->uri, sizeof h->uri, "sqlite:%s/ledger.db", h->state);
}

/* Record 0 of every log says who the hub is. */
void hub_learn(struct bench_hub *h)
{
    struct rawws c;
    hub_connect(h, &c, NULL);
    for (uint32_t slot = 0; slot < h->slots; slot++) {
        struct wire_frame f = {.type = WIRE_FETCH, .rid = 1, .max = 1,
                               .key = {.what = WIRE_SLOT, .slot = slot}};
        struct record r;
        struct entry e;
        struct payload p;
        hub_send(&c, &f);
        hub_answer(&c, &f, WIRE_PAGE);
        if (f.count != 1)
            die("slot %u has no first record", slot);
        wire_next_record(&f.list, &r);
        need(entry_decode(&e, r.envelope.data, r.envelope.size), "decode a log_open");
        need(payload_decode(&p, e.kind, e.payload), "decode a log_open's payload");
        if (e.kind != KIND_LOG_OPEN ||
            !vkey_parse(&h->log_keys[slot], (const char *)p.log_open.log_vkey.data,
                        p.log_open.log_vkey.size))
            die("slot %u does not begin with a log_open", slot);
    }
    rawws_close(&c);
}

void hub_start(struct bench_hub *h)
{
    if (!hubproc_start(&h->proc))
        die("stoad did not start: %s", h->proc.why);
    hub_learn(h);
}

void hub_kill(struct bench_hub *h)
{
    hubproc_kill(&h->proc);
}

void hub_stop(struct bench_hub *h)
{
    hubproc_signal(&h->proc, SIGTERM);
    int code = hubproc_wait(&h->proc, STOP_MS);
    if (code != 0)
        die("stoad ended with %d", code);
}

void hub_close(struct bench_hub *h)
{
    if (h->proc.pid > 0) {
        hubproc_signal(&h->proc, SIGTERM);
        (void)hubproc_wait(&h->proc, STOP_MS);
    }
    hubproc_close(&h->proc);
    running = NULL;
    on_die(NULL);
}

struct key *hub_issuer(const struct bench_hub *h)
{
    struct key *k = NULL;
    char path[512], why[KEYS_WHY_MAX] = "";
    snprintf(path, sizeof path, "%s/issuer.key", h->keys);
    if (key_file_open(&k, path, NULL, "none", why) != ERR_OK)
        die("%s", why);
    return k;
}

/* ---- connections ---- */

void hub_send(struct rawws *c, const struct wire_frame *f)
{
    uint8_t room[HELLO_BYTES];
    struct mp_writer w = mp_writer_of(room, sizeof room);
    wire_put(&w, f);
    if (w.full || !rawws_queue(c, room, w.size) || !rawws_flush(c) || rawws_unsent(c) > 0)
        die("the hub does not take a frame");
}

void hub_answer(struct rawws *c, struct wire_frame *f, uint64_t type)
{
    struct rawws_message m;
    if (rawws_receive(c, &m, ANSWER_MS) != 1)
        die("no answer from the hub (close code %u)", c->close_code);
    need(wire_decode(f, m.data, m.size), "decode a frame of the hub");
    if (f->type == WIRE_ERROR || f->type == WIRE_BYE)
        die("the hub says: %.*s", (int)f->text.size, (const char *)f->text.data);
    if (f->type != type)
        die("frame %llu instead of %llu", (unsigned long long)f->type,
            (unsigned long long)type);
}

void hub_greet(struct bench_hub *h, struct rawws *c, const struct key *device)
{
    struct rawws_options o = {.port = h->proc.port};
    struct wire_frame f;
    struct wire_frame hello = {.type = WIRE_HELLO, .rid = 1};
    uint8_t message[MESSAGE_BYTES_MAX];
    if (!rawws_connect(c, &o))
        die("cannot connect to the hub (HTTP %d)", c->http_status);
    hub_answer(c, &f, WIRE_CHALLENGE);
    h->federation = f.federation;
    snprintf(h->name, sizeof h->name, "%.*s", (int)f.hub.size, (const char *)f.hub.data);
    h->slots = (uint32_t)f.slots;
    h->limits = f.limits;
    random_bytes(hello.nonce.b, HASH_BYTES);
    if (device) {
        hello.has_device = hello.has_sig = true;
        hello.device = key_public(device);
        size_t size = hello_message(message, &h->federation, h->name, &f.nonce, &hello.nonce,
                                    &hello.device);
        hello.sig = key_sign(device, CTX_HELLO, message, size);
    }
    hub_send(c, &hello);
}

void hub_welcomed(struct rawws *c)
{
    struct wire_frame f;
    hub_answer(c, &f, WIRE_WELCOME);
}

void hub_connect(struct bench_hub *h, struct rawws *c, const struct key *device)
{
    hub_greet(h, c, device);
    hub_welcomed(c);
}

bool receipt_holds(const struct bench_hub *h, const struct wire_result *r, struct bytes note,
                   struct bytes envelope)
{
    struct record record = {.slot = (uint32_t)r->slot,
                            .index = r->index,
                            .position = r->position,
                            .account_head = r->account_head,
                            .hub_lamport = r->hub_lamport,
                            .hub_time_ms = r->hub_time_ms,
                            .envelope = envelope};
    struct hash path[MERKLE_PATH_MAX], leaf = record_leaf_hash(&record);
    struct checkpoint c;
    size_t count = r->path.size / HASH_BYTES;
    if (r->slot >= h->slots || count > MERKLE_PATH_MAX)
        return false;
    memcpy(path, r->path.data, count * HASH_BYTES);
    return checkpoint_open(&c, (const char *)note.data, note.size, &h->log_keys[r->slot]) &&
           merkle_verify_inclusion(r->index, c.size, &leaf, path, count, &c.root);
}

/* ---- memory ---- */

static uint64_t kib_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024u : 0;
}

static bool read_proc(int pid, const char *name, char *text, size_t cap)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, cap - 1, f);
    fclose(f);
    text[n] = 0;
    return n > 0;
}

struct memory hub_memory(const struct bench_hub *h)
{
    char text[4096];
    struct memory m = {0};
    if (read_proc(h->proc.pid, "status", text, sizeof text)) {
        m.rss = kib_of(text, "VmRSS:");
        m.anonymous = kib_of(text, "RssAnon:");
    }
    if (read_proc(h->proc.pid, "smaps_rollup", text, sizeof text))
        m.pss = kib_of(text, "\nPss:");
    return m;
}
