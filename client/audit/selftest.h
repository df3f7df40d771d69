/* Faults that an audit must name, each by its exact check, slot and index. */
#ifndef CLIENT_AUDIT_SELFTEST_H
#define CLIENT_AUDIT_SELFTEST_H

#include "client/audit/audit.h"
#include "client/audit/forge.h"

#define SELFTEST_NOWHERE UINT64_MAX        /* the log as a whole */
#define SELFTEST_LAST (UINT64_MAX - 1)     /* the last record of the slot */
#define SELFTEST_SIZE (UINT64_MAX - 2)     /* one past it */

struct fault {
    const char *name;
    unsigned formats; /* bit per enum image_format */
    enum audit_check check;
    uint32_t slot;
    uint64_t index;
    void (*lie)(struct forge *f);  /* before the hub signs: it is dishonest */
    void (*hurt)(struct forge *f); /* after: what is stored was damaged */
    bool (*spoil)(const char *path); /* the container itself */
    bool quorum; /* under a policy that asks for the witness */
    bool seen;   /* after an audit of the good log with the same state */
    unsigned evidence;   /* enum evidence_kind of the file that is left; 0: none */
    const char *refused; /* the container is not opened: what the reason must say */
};
extern const struct fault selftest_faults[], selftest_export_faults[];
extern const size_t selftest_fault_count, selftest_export_fault_count;

#endif
