/* A disk under SQLite that loses power: a VFS in front of the usual one. What was written and
 * not synced when the power goes survives, is lost or is torn, sector by sector, as the seed
 * decides; what was synced stays. Files are created and deleted for good only with a sync. */
#ifndef TESTS_CRASH_POWER_H
#define TESTS_CRASH_POWER_H

#include <stdbool.h>
#include <stdint.h>

struct power_counts {
    uint64_t writes, syncs, cuts;
    uint64_t survived, lost, torn; /* unsynced writes at a cut */
    uint64_t undone; /* creations and deletions of files */
};

/* Make it SQLite's default VFS; before any store is opened. */
bool power_install(void);
/* Power goes with the `ops`-th write, truncation, sync or deletion from now on. 0: never. */
void power_cut_after(uint64_t ops);
bool power_is_off(void);
/* The n-th write (or truncation, deletion) or sync from now on fails once; power stays. */
enum power_fault { POWER_FAULT_NONE, POWER_FAULT_WRITE, POWER_FAULT_SYNC };
void power_fail_nth(enum power_fault kind, uint64_t n);
bool power_failed(void);
/* Everything was closed after a cut: make the files what the disk kept; power is back. */
void power_restore(uint64_t seed);
/* No cut, and other files from now on. */
void power_forget(void);
struct power_counts power_counts(void);

#endif
