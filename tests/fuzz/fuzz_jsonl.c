/* Lines of JSON from another wallet: what is handed to the library are whole envelopes of
 * one account from the wallet's position on, as many as are reported; anything else is
 * refused with a reason and nothing leaks. */
#include <string.h>

#include "client/cli.h"
#include "fuzz.h"
#include "scratch.h"

#define KNOWN_POSITION 2

static uint64_t handed;
static char asked[STOA_ADDRESS_MAX]; /* whose position was asked for: the first line's */

stoa_result __wrap_cli_open(struct cli *c);
stoa_result __wrap_stoa_account_find(stoa_wallet *w, const char *text, stoa_account *out,
                                     stoa_error *error);
stoa_result __wrap_stoa_import(stoa_wallet *w, const stoa_id *id,
                               const stoa_import_record records[], size_t count,
                               stoa_error *error);

stoa_result __wrap_cli_open(struct cli *c)
{
    PROPERTY(c->wallet == NULL);
    return STOA_OK;
}

stoa_result __wrap_stoa_account_find(stoa_wallet *w, const char *text, stoa_account *out,
                                     stoa_error *error)
{
    (void)w;
    (void)error;
    PROPERTY(strlen(text) < sizeof asked && asked[0] == '\0');
    memcpy(asked, text, strlen(text) + 1);
    out->synced = true;
    out->position = KNOWN_POSITION;
    return STOA_OK;
}

stoa_result __wrap_stoa_import(stoa_wallet *w, const stoa_id *id,
                               const stoa_import_record records[], size_t count,
                               stoa_error *error)
{
    static volatile uint8_t sum;
    (void)w;
    (void)error;
    PROPERTY(count > 0 && count <= 256);
    char address[STOA_ADDRESS_MAX];
    stoa_address_format(address, id, NULL);
    PROPERTY(strcmp(address, asked) == 0);
    for (size_t i = 0; i < count; i++) {
        const stoa_import_record *r = &records[i];
        PROPERTY(r->envelope && r->envelope_size > 0 &&
                 r->envelope_size <= STOA_ENVELOPE_MAX);
        PROPERTY(r->position >= KNOWN_POSITION && r->position <= INT64_MAX);
        PROPERTY(r->index <= INT64_MAX && r->hub_time_ms <= INT64_MAX);
        for (size_t j = 0; j < r->envelope_size; j++)
            sum = (uint8_t)(sum + r->envelope[j]);
    }
    handed += count;
    return STOA_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cli c;
    memset(&c, 0, sizeof c);
    handed = 0;
    asked[0] = '\0';
    c.json = true;
    c.out = json_object();
    c.args[0] = scratch_file(0, bytes_of(data, size));
    c.arg_count = 1;
    PROPERTY(c.out != NULL);
    stoa_result r = cli_import_records(&c);
    PROPERTY((r == STOA_OK) == !c.failed);
    if (r == STOA_OK)
        PROPERTY(json_integer_value(json_object_get(c.out, "records")) ==
                 (json_int_t)handed);
    json_decref(c.out);
    return 0;
}
