#include "samples.h"

#include <assert.h>
#include <string.h>

#include "ledger/wire.h"

static struct hash h(uint8_t first)
{
    struct hash out;
    for (size_t i = 0; i < sizeof out.b; i++)
        out.b[i] = (uint8_t)(first + i);
    return out;
}

static struct pubkey k(uint8_t first)
{
    struct pubkey out;
    memset(out.b, first, sizeof out.b);
    return out;
}

static struct signature s(uint8_t first)
{
    struct signature out;
    memset(out.b, first, sizeof out.b);
    return out;
}

static struct bytes text(const char *t)
{
    return bytes_of(t, strlen(t));
}

static const struct wire_limits limits = {131072, 16384, 256, 50,     1024,
                                          500,    0,     100, 120000, 4194304};

static void challenge(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_CHALLENGE,
                                     .version = WIRE_VERSION,
                                     .federation = h(1),
                                     .hub = text("eu.example"),
                                     .slots = 16,
                                     .nonce = h(2),
                                     .limits = limits});
}

static void hello(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_HELLO,
                                     .rid = 1,
                                     .nonce = h(3),
                                     .has_device = true,
                                     .device = k(4),
                                     .has_sig = true,
                                     .sig = s(5),
                                     .note_count = 2});
    wire_put_note(w, text("one\n"));
    wire_put_note(w, text("two\n"));
}

static void hello_anonymous(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_HELLO, .rid = 300, .nonce = h(3)});
}

static void welcome(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_WELCOME,
                                     .rid = 1,
                                     .device = k(6),
                                     .sig = s(7),
                                     .hub_time_ms = UINT64_C(1767600000000),
                                     .note_count = 1});
    wire_put_note(w, text("slot 0\n"));
}

static void submit(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SUBMIT,
                                     .rid = 70000,
                                     .flags = WIRE_SUBMIT_SETTLED,
                                     .count = 3});
    wire_put_envelope(w, text("first envelope"));
    wire_put_envelope(w, text("")); /* wrong, but not the frame's fault */
    wire_put_envelope(w, text("third envelope"));
}

static const struct wire_result accepted = {.rid = 5,
                                            .i = 1,
                                            .slot = 255,
                                            .index = 70000,
                                            .position = 3,
                                            .account_head = {{1, 2, 3}},
                                            .hub_lamport = 70001,
                                            .hub_time_ms = UINT64_C(1767600000001),
                                            .path = {(const uint8_t *)"0123456789abcdef"
                                                                      "0123456789abcdef",
                                                     32},
                                            .flags = WIRE_RESULT_DUPLICATE};

static void results(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_RESULTS, .note_count = 1});
    wire_put_slot_note(w, 255, text("checkpoint\n"));
    wire_put_list(w, 4);
    wire_put_result(w, &accepted);
    wire_put_result(w, &(struct wire_result){.rid = 5, .i = 2});
    wire_put_result(w, &(struct wire_result){.rid = 5,
                                             .i = 3,
                                             .code = ERR_SEQ_TAKEN,
                                             .has_head = true,
                                             .next_seq = 9,
                                             .tip = h(9),
                                             .tip_lamport = 400,
                                             .balance = -1,
                                             .hub_time_ms = 5,
                                             .has_sig = true,
                                             .sig = s(8)});
    wire_put_result(
        w, &(struct wire_result){
               .rid = 6, .code = ERR_BUSY, .balance = INT64_MIN, .retry_after_ms = 250});
}

static void settled(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SETTLED, .count = 2});
    wire_put_settled(w, &(struct wire_settled){.cause = h(1), .slot = 3, .index = 9});
    wire_put_settled(w, &(struct wire_settled){.cause = h(2),
                                               .payee_index = 63,
                                               .bounced = true,
                                               .slot = 4,
                                               .index = 10,
                                               .left = 2});
}

static void subscribe_account(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SUBSCRIBE,
                                     .rid = 8,
                                     .key = {.what = WIRE_ACCOUNT, .id = h(8)},
                                     .from = INT64_MAX});
}

static void unsubscribe_slot(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_UNSUBSCRIBE,
                                     .rid = 9,
                                     .key = {.what = WIRE_SLOT, .slot = 200}});
}

static const struct record record = {
    .slot = 7,
    .index = 128,
    .position = 2,
    .account_head = {{9, 9}},
    .hub_lamport = 300,
    .hub_time_ms = UINT64_C(1767600000002),
    .envelope = {(const uint8_t *)"an envelope", 11},
};

static void records_live(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_RECORDS,
                                     .key = {.what = WIRE_SLOT, .slot = 7},
                                     .mode = WIRE_LIVE,
                                     .count = 2});
    wire_put_record(w, &record);
    wire_put_record(w, &record);
    wire_put_note(w, text("live\n"));
}

static void records_catchup(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_RECORDS,
                                     .key = {.what = WIRE_ACCOUNT, .id = h(3)},
                                     .mode = WIRE_CATCHUP,
                                     .count = 1});
    wire_put_record(w, &record);
    wire_put_note(w, bytes_of(NULL, 0));
}

static void fetch_id(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){
                    .type = WIRE_FETCH, .rid = 10, .key = {.what = WIRE_ID, .id = h(4)}});
}

static void page(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_PAGE, .rid = 10, .count = 1});
    wire_put_record(w, &record);
    wire_put_page_end(w, 3, 1000);
}

static void proof(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_PROOF,
                                     .rid = 11,
                                     .kind = WIRE_CONSISTENCY,
                                     .slot = 3,
                                     .a = 5,
                                     .b = 9});
}

static void proof_is(struct mp_writer *w)
{
    wire_put(
        w, &(struct wire_frame){.type = WIRE_PROOF_IS, .rid = 11, .path = accepted.path});
}

static void checkpoint(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_CHECKPOINT, .rid = 12, .slot = 15});
}

static void checkpoint_is(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){
                    .type = WIRE_CHECKPOINT_IS, .rid = 12, .note = text("note\n")});
}

static void cosigned(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_COSIGNED, .rid = 12, .slot = 15});
}

static void forward(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_FORWARD,
                                     .has_device = true,
                                     .device = k(2),
                                     .id = h(8),
                                     .data = text("frame")});
}

static void forward_anonymous(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_FORWARD, .id = h(8)});
}

static void head(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_HEAD,
                                     .rid = 13,
                                     .id = h(5),
                                     .has_device = true,
                                     .device = k(1)});
}

static void head_is(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_HEAD_IS,
                                     .rid = 13,
                                     .slot = 2,
                                     .position = 4,
                                     .head = h(6),
                                     .balance = 12500000,
                                     .size = 77,
                                     .has_chain = true,
                                     .next_seq = 3,
                                     .tip = h(7),
                                     .tip_lamport = 12,
                                     .sig = s(1)});
}

static void head_is_no_chain(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_HEAD_IS, .rid = 13, .sig = s(1)});
}

static void limits_ask(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_LIMITS, .rid = 14});
}

static void limits_is(struct mp_writer *w)
{
    wire_put(w,
             &(struct wire_frame){.type = WIRE_LIMITS_IS, .rid = 14, .limits = limits});
}

static void ok(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_OK, .rid = 15});
}

static void error(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_ERROR,
                                     .rid = 16,
                                     .code = ERR_NOT_FOUND,
                                     .text = text("no such entry"),
                                     .retry_after_ms = 0});
}

static void settlement(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SETTLEMENT, .rid = 17, .id = h(1)});
}

static void settlement_is(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SETTLEMENT_IS,
                                     .rid = 17,
                                     .state = WIRE_SETTLE_PENDING,
                                     .left = 4});
}

static void sealed_put(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SEALED_PUT,
                                     .rid = 18,
                                     .id = h(1),
                                     .salt = h(2),
                                     .data = text("ciphertext")});
}

static void sealed_get(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SEALED_GET, .rid = 19, .id = h(1)});
}

static void sealed_is(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_SEALED_IS,
                                     .rid = 19,
                                     .salt = h(2),
                                     .data = text("ciphertext")});
}

static void bye(struct mp_writer *w)
{
    wire_put(w, &(struct wire_frame){.type = WIRE_BYE,
                                     .code = ERR_DRAINING,
                                     .text = text("hub is shutting down \xc3\xa9"),
                                     .retry_after_ms = 1000});
}

static const struct {
    const char *name;
    void (*put)(struct mp_writer *w);
} all[] = {
    {"challenge", challenge},
    {"hello", hello},
    {"hello_anonymous", hello_anonymous},
    {"welcome", welcome},
    {"submit", submit},
    {"results", results},
    {"settled", settled},
    {"subscribe_account", subscribe_account},
    {"unsubscribe_slot", unsubscribe_slot},
    {"records_live", records_live},
    {"records_catchup", records_catchup},
    {"fetch_id", fetch_id},
    {"page", page},
    {"proof", proof},
    {"proof_is", proof_is},
    {"checkpoint", checkpoint},
    {"checkpoint_is", checkpoint_is},
    {"cosigned", cosigned},
    {"forward", forward},
    {"forward_anonymous", forward_anonymous},
    {"head", head},
    {"head_is", head_is},
    {"head_is_no_chain", head_is_no_chain},
    {"limits", limits_ask},
    {"limits_is", limits_is},
    {"ok", ok},
    {"error", error},
    {"settlement", settlement},
    {"settlement_is", settlement_is},
    {"sealed_put", sealed_put},
    {"sealed_get", sealed_get},
    {"sealed_is", sealed_is},
    {"bye", bye},
};

size_t sample(size_t i, uint8_t *out, const char **name)
{
    if (i >= sizeof all / sizeof all[0])
        return 0;
    struct mp_writer w = mp_writer_of(out, SAMPLE_BYTES_MAX);
    all[i].put(&w);
    assert(!w.full);
    *name = all[i].name;
    return w.size;
}
