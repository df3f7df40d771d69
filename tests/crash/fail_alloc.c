#include "tests/crash/fail_alloc.h"

#include <stddef.h>

static long left; /* 0: none fails */
static bool hit;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void fail_alloc_arm(long n)
{
    hit = false;
    left = n;
}

bool fail_alloc_disarm(void)
{
    left = 0;
    return hit;
}

bool fail_alloc_now(void)
{
    if (left == 0 || --left > 0)
        return false;
    hit = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fail_alloc_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fail_alloc_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fail_alloc_now() ? NULL : __real_realloc(p, size);
}
