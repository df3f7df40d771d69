/* The memory plan of a relay:
 *
 *     allocatable = physical - reserved - safety
 *     messages    = allocatable - connections - queue
 *
 * `messages` bounds all messages that are in memory at one time, whoever they are for: on
 * their way in, with entries that are not committed, on their way out (relay/frame.h counts
 * them). The loop keeps to it (relay/loop_memory.c). The plan is pure; what the machine has
 * is asked of Linux: RAM, and the limits of the process's cgroups. */
#ifndef RELAY_MEMORY_H
#define RELAY_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define MEMORY_CONNECTION_BYTES 10240u /* an open connection; docs/BENCHMARKS.md */
#define MEMORY_TLS_BYTES 16384u        /* and more when it speaks TLS: 14.3 KiB measured */
#define MEMORY_ENTRY_BYTES 2048u       /* an entry under way, beside its message */
#define MEMORY_MESSAGES_MIN (8u << 20)
#define MEMORY_CONNECTIONS_MIN 64u
#define MEMORY_SAFETY_PART 16u         /* safety is 1/16 of physical .. */
#define MEMORY_SAFETY_MIN (64u << 20)  /* .. but not less */

struct memory_wishes {
    uint64_t physical, reserved, safety; /* as set; physical and safety 0: by the machine */
    uint64_t connections, queue_entries;
    bool tls;
};
/* .. of the settings */
#define MEMORY_WISHES(c)                                                                 \
    .physical = (c)->memory.physical_bytes, .reserved = (c)->memory.reserved_bytes,      \
    .safety = (c)->memory.safety_bytes, .connections = (c)->listen.max_connections,      \
    .queue_entries = (c)->limits.queue_entries, .tls = (c)->tls.certificate[0] != '\0'
struct memory_facts {
    uint64_t physical; /* 0: not known */
    uint64_t resident; /* what this process has now, its ledger loaded; 0: not known */
};
struct memory_plan {
    uint64_t physical, reserved, safety, allocatable;
    uint64_t connections; /* that may be open */
    uint64_t connection;  /* bytes of one */
    uint64_t connections_bytes, queue_bytes, messages;
    bool tight; /* fewer connections than wished, or the least of messages */
};

/* With more than this in messages nothing new is read. A plan of zeros bounds nothing. */
static inline uint64_t memory_high(const struct memory_plan *p)
{
    return p->messages ? p->messages / 8 * 7 : UINT64_MAX;
}

void memory_plan(struct memory_plan *out, const struct memory_wishes *w,
                 const struct memory_facts *f);
void memory_facts(struct memory_facts *out);
void memory_print(const struct memory_plan *p, FILE *out);

#endif
