/* The reading side of a hub in the simulation: the relay's own readers (pages, proofs,
 * checkpoints of a HELLO), its fan-out to subscribers and its answers about settlements,
 * on our disk and in virtual time. The real code is relay/reader_*.c, loop_fanout.c,
 * topics.c, commit_ask.c, commit_event.c, commit_answer.c and causes.c; what they call of
 * the relay's threads and sockets (queues, mail, connections) is reads.c. A `struct
 * reads` is one life of the process. */
#ifndef TESTS_SIM_READS_H
#define TESTS_SIM_READS_H

#include "ledger/sequencer.h"
#include "ledger/wire.h"
#include "relay/session.h"

struct conn;
struct site;
struct world;
struct line;

struct reads;

/* The process begins and ends; the sequencer is open. */
void reads_start(struct world *w, struct site *s);
void reads_stop(struct site *s);
/* A slot was loaded: what is on the disk is published from now on. */
void reads_slot_loaded(struct world *w, struct site *s, uint32_t slot);
/* Before an append and after it: as relay/commit.c does around the store. */
void reads_before_append(struct world *w, struct site *s);
void reads_after_append(struct site *s);
/* After sequencer_outcome. */
void reads_after_outcome(struct site *s);
/* Inside sequencer_outcome: a slot advanced. */
void reads_committed(void *context, const struct seq_commit *c);
/* After it: who waits for a payee's credit. */
void reads_accepted(struct site *s, uint64_t conn, bool wants_settled, uint32_t entry,
                    bool duplicate);
void reads_settled(struct site *s, const struct seq_settled *t);
/* What the outcome has to say goes out; questions to the commit thread are answered. */
void reads_turn(struct world *w, struct site *s);

/* A frame that the session lets pass. `l`: whose. */
void reads_hello(struct world *w, struct site *s, struct line *l, const void *bytes,
                 size_t size);
void reads_ask(struct world *w, struct site *s, struct line *l,
               const struct wire_frame *f, bool of_commit);
/* RESULTS on a connection that keeps its order: on the road of all answers of the commit
 * thread, before the news of the commit itself. */
void reads_answer(struct site *s, const struct line *l, const void *bytes, size_t size);
void reads_subscribe(struct site *s, struct line *l, const struct wire_frame *f);
void reads_unsubscribe(struct site *s, struct line *l, const struct wire_frame *f);
/* A connection begins: the relay's view of it, all new. */
void reads_greeted(struct world *w, struct site *s, struct line *l);
struct session *reads_session(struct line *l);
/* Its HELLO is good. */
void reads_welcomed(struct site *s, struct line *l);
/* The connection is gone. */
void reads_hung_up(struct site *s, struct line *l);
/* Once a second. */
void reads_tick(struct site *s, struct line *l);
bool reads_slow(const struct line *l);
size_t reads_unsent(const struct line *l);

/* Timers of the site. */
void reads_timer_read(struct world *w, struct site *s);
void reads_timer_mail(struct world *w, struct site *s);

#endif
