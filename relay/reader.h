/* Reader threads: everything that reads the past (FETCH, PROOF, SEALED_GET, catch-up of
 * subscriptions, duplicates, checkpoints of a HELLO, tiles), each with a store reader of
 * its own, so reads never wait for commits nor commits for reads. Nothing past a slot's
 * committed checkpoint is read; pinned accounts only for who may. Answers go to the loop
 * as mail. */
#ifndef RELAY_READER_H
#define RELAY_READER_H

#include "ledger/err.h"

struct relay;
struct readers;

#define READER_THREADS 2u
#define READS_WAITING_MAX 8192u /* requests of clients in the queue; past it: busy */
#define READS_RETRY_MS 200u

MUST_CHECK enum err readers_open(struct readers **out, struct relay *r);
/* Ends the threads. What is queued is dropped: its askers have been hung up on. */
void readers_close(struct readers *rs);

#endif
