/* Big scratch that is written before it is read is not worth zeroing. */
#ifndef LEDGER_SCRATCH_H
#define LEDGER_SCRATCH_H

#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif

#endif
