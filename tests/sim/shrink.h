/* Less of a seed that still fails: fewer faults, fewer accounts, fewer entries. */
#ifndef TESTS_SIM_SHRINK_H
#define TESTS_SIM_SHRINK_H

#include <stdio.h>

#include "world.h"

/* `o` fails; afterwards it is a smaller one that fails. Tries in processes of their own.
 */
void shrink(struct sim_options *o);
void shrink_print_options(FILE *out, const struct sim_options *o);

#endif
