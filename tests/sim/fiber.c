#include "fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifdef WITH_ASAN
#define STACK_BYTES (4u << 20)
#else
#define STACK_BYTES (1u << 20) /* taken from the system page by page, as it is used */
#endif

struct fiber {
    ucontext_t here, outside;
    void (*run)(void *context);
    void *context;
    bool begun, ended;
    uint8_t *stack; /* a page that must not be touched lies before it */
    struct fiber *next_free;
    const void *outside_stack;
    size_t outside_size;
    void *fake_stack, *tsan, *tsan_outside;
};

static struct fiber *unused;

/* ---- what a sanitizer wants to know ---- */

static void leave_outside(struct fiber *f)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&f->fake_stack, f->stack, STACK_BYTES);
#endif
#ifdef WITH_TSAN
    f->tsan_outside = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan, 0);
#endif
    (void)f;
}

static void back_outside(struct fiber *f)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(f->fake_stack, NULL, NULL);
#endif
    (void)f;
}

static void enter(struct fiber *f, void *fake)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fake, &f->outside_stack, &f->outside_size);
#endif
    (void)f;
    (void)fake;
}

/* `fake` NULL: for good. */
static void leave(struct fiber *f, void **fake)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(fake, f->outside_stack, f->outside_size);
#endif
#ifdef WITH_TSAN
    __tsan_switch_to_fiber(f->tsan_outside, 0);
#endif
    (void)f;
    (void)fake;
}

/* ---- stacks ---- */

static uint8_t *stack_new(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *at = mmap(NULL, STACK_BYTES + page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED || mprotect(at, page, PROT_NONE) != 0)
        abort();
    return at + page;
}

static void stack_free(uint8_t *stack)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)munmap(stack - page, STACK_BYTES + page);
}

/* ---- life ---- */

static struct fiber *beginning;

static void begin(void)
{
    struct fiber *f = beginning;
    enter(f, NULL);
    f->run(f->context);
    f->ended = true;
    leave(f, NULL);
    (void)setcontext(&f->outside);
    abort();
}

struct fiber *fiber_new(void (*run)(void *context), void *context)
{
    struct fiber *f = unused;
    if (f != NULL) {
        unused = f->next_free;
    } else {
        f = calloc(1, sizeof *f);
        if (f == NULL)
            abort();
        f->stack = stack_new();
    }
    uint8_t *stack = f->stack;
    *f = (struct fiber){.run = run, .context = context, .stack = stack};
#ifdef WITH_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

void fiber_resume(struct fiber *f)
{
    if (f->ended)
        abort();
    if (!f->begun) {
        f->begun = true;
        if (getcontext(&f->here) != 0)
            abort();
        f->here.uc_stack.ss_sp = f->stack;
        f->here.uc_stack.ss_size = STACK_BYTES;
        f->here.uc_link = NULL;
        makecontext(&f->here, begin, 0);
        beginning = f;
    }
    leave_outside(f);
    if (swapcontext(&f->outside, &f->here) != 0)
        abort();
    back_outside(f);
}

void fiber_yield(struct fiber *f)
{
    void *fake = NULL;
    leave(f, &fake);
    if (swapcontext(&f->here, &f->outside) != 0)
        abort();
    enter(f, fake);
}

bool fiber_ended(const struct fiber *f)
{
    return f->ended;
}

void fiber_free(struct fiber *f)
{
    if (f == NULL)
        return;
    if (f->begun && !f->ended)
        abort();
#ifdef WITH_TSAN
    __tsan_destroy_fiber(f->tsan);
#endif
    f->next_free = unused;
    unused = f;
}

void fiber_close(void)
{
    while (unused != NULL) {
        struct fiber *f = unused;
        unused = f->next_free;
        stack_free(f->stack);
        free(f);
    }
}
