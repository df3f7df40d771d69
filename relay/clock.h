/* The clocks of an edge, in milliseconds. Cores get the time as an argument. */
#ifndef RELAY_CLOCK_H
#define RELAY_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ms_of(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* Unix time. */
static inline uint64_t clock_wall_ms(void)
{
    return clock_ms_of(CLOCK_REALTIME);
}

/* Never jumps; only differences mean something. */
static inline uint64_t clock_mono_ms(void)
{
    return clock_ms_of(CLOCK_MONOTONIC);
}

/* The same, and it goes on while the machine is suspended (Linux; elsewhere the monotonic one
 * has to do): for what ends by itself meanwhile, such as a lease. */
static inline uint64_t clock_boot_ms(void)
{
#ifdef CLOCK_BOOTTIME
    return clock_ms_of(CLOCK_BOOTTIME);
#else
    return clock_mono_ms();
#endif
}

static inline uint64_t clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

#endif
