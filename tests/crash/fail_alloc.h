/* The n-th allocation fails. Link with fail_alloc.c and --wrap=malloc, calloc, realloc. One thread
 * arms; what others allocate meanwhile counts too. */
#ifndef TESTS_CRASH_FAIL_ALLOC_H
#define TESTS_CRASH_FAIL_ALLOC_H

#include <stdbool.h>

/* From now on the n-th allocation fails, once; 0: none does. */
void fail_alloc_arm(long n);
/* None fails any more. Did one? */
bool fail_alloc_disarm(void);
/* For an allocator that is not malloc: count one, and shall it fail? */
bool fail_alloc_now(void);

#endif
