/* A decoded frame, written again with all its lists: must give the bytes it came from. */
#ifndef TESTS_UNIT_WIRE_REENCODE_H
#define TESTS_UNIT_WIRE_REENCODE_H

#include "ledger/mp.h"
#include "ledger/wire.h"

void reencode(struct mp_writer *w, const struct wire_frame *f);

#endif
