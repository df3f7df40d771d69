/* A bank's CSV that is taken adds up: every row's balance follows from the one before,
 * sums are those of the rows, and the rows of an account are linked in order; what is not
 * taken says why, once. */
#include <string.h>

#include "client/import.h"
#include "fuzz.h"
#include "scratch.h"

static void check_bank(const struct bank *b)
{
    int64_t accrued = 0;
    uint32_t earned = 0, rows = 0;
    PROPERTY(b->row_count > 0 && b->row_count == b->earned + b->paid);
    for (uint32_t i = 0; i < b->row_count; i++) {
        const struct bank_row *r = &b->rows[i];
        PROPERTY(r->account < b->party_count && r->amount > 0 && r->balance >= 0);
        PROPERTY(r->payee == NO_PARTY || r->payee < b->party_count);
        PROPERTY(!b->parties[r->account].is_payee);
        PROPERTY(r->next == NO_ROW || (r->next > i && r->next < b->row_count));
        if (r->next != NO_ROW)
            PROPERTY(b->rows[r->next].account == r->account);
        PROPERTY(r->time_ms % 86400000 == 0);
        if (r->payee == NO_PARTY) {
            accrued += r->amount;
            earned++;
        }
    }
    PROPERTY(accrued == b->accrued && earned == b->earned);
    for (uint32_t i = 0; i < b->party_count; i++) {
        const struct bank_party *p = &b->parties[i];
        int64_t held = 0;
        uint32_t paid = 0;
        for (uint32_t at = p->first; at != NO_ROW; at = b->rows[at].next) {
            const struct bank_row *r = &b->rows[at];
            held += r->payee == NO_PARTY ? r->amount : -r->amount;
            PROPERTY(held == r->balance);
            rows++;
        }
        for (uint32_t at = 0; p->is_payee && at < b->row_count; at++)
            if (b->rows[at].payee == i) {
                held += b->rows[at].amount;
                paid++;
            }
        PROPERTY(p->expected == held && p->payments == paid);
        for (uint32_t j = 0; j < i; j++)
            PROPERTY(strcmp(p->name, b->parties[j].name) != 0);
    }
    PROPERTY(rows == b->row_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cli c;
    struct bank b;
    memset(&c, 0, sizeof c);
    stoa_result r = bank_read(&c, &b, scratch_file(0, bytes_of(data, size)));
    PROPERTY((r == STOA_OK) == !c.failed && (r == STOA_OK || c.error.message[0]));
    if (r == STOA_OK)
        check_bank(&b);
    bank_close(&b);
    return 0;
}
