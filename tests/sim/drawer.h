/* Where wallets of the simulation keep their files: folders in memory (/dev/shm, else the
 * temporary folder), under one that goes with the program. A wallet's files can be copied
 * as a crash leaves them. All of this aborts when the system does not let it. */
#ifndef TESTS_SIM_DRAWER_H
#define TESTS_SIM_DRAWER_H

#include <stdbool.h>

#define DRAWER_PATH_MAX 96

/* Once, before any process is forked; and after the last has ended. */
void drawer_open(void);
void drawer_close(void);
/* A name for a folder that is not there. */
void drawer_new(char path[DRAWER_PATH_MAX]);
/* Everything in `from`, as it is now, into the new folder `to`. */
void drawer_copy(const char *from, const char *to);
/* `from` takes the place of `to`. */
void drawer_replace(const char *from, const char *to);
void drawer_remove(const char *path);
/* Is there a file with this ending? */
bool drawer_has(const char *path, const char *suffix);

#endif
