/* A second stack for code that waits: what runs on it yields and is gone on with later,
 * on the one thread there is. So code that blocks can live in virtual time. With a
 * sanitizer it is told of every change of stacks. */
#ifndef TESTS_SIM_FIBER_H
#define TESTS_SIM_FIBER_H

#include <stdbool.h>

struct fiber;

/* Nothing runs yet. Aborts when there is no memory. */
struct fiber *fiber_new(void (*run)(void *context), void *context);
/* From outside: run it until it yields or ends. It has not ended. */
void fiber_resume(struct fiber *f);
/* From inside: back to who resumed it. */
void fiber_yield(struct fiber *f);
bool fiber_ended(const struct fiber *f);
/* It has ended, or was never resumed. NULL is allowed. Its stack is kept for the next. */
void fiber_free(struct fiber *f);
/* Give the stacks kept back. */
void fiber_close(void);

#endif
