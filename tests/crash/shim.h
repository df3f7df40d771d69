/* What the test and the shim inside a stoad share: one page of a file, mapped by both. */
#ifndef TESTS_CRASH_SHIM_H
#define TESTS_CRASH_SHIM_H

#include <stdatomic.h>

#define SHIM_ENV "STOA_SHIM" /* path of the page */
#define SHIM_WHAT 256

enum shim_kind { SHIM_NONE, SHIM_MALLOC, SHIM_WRITE, SHIM_SHORT, SHIM_FSYNC, SHIM_SEND, SHIM_KINDS };

struct shim_page {
    atomic_int kind;      /* which calls count; set last */
    atomic_long left;     /* the call that brings it to 0 fails */
    atomic_int hit;       /* it came to that */
    char what[SHIM_WHAT]; /* the file concerned */
};

#endif
