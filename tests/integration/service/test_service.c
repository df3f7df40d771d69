/* stoad under a service manager that is played here: what it says at its datagram socket
 * (sd_notify(3)) and when, and sockets it is handed (sd_listen_fds(3)). */
#include "tests/integration/hub.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/clock.h"

#define HEAR_MS 5000
#define FIRST_SOCKET 3
#define SOCKETS 2
#define ANSWER_MAX 4096

static struct hubproc hub;
static int manager = -1;
static char heard[512];

/* Give the descriptors that stoad is handed in one test a place nobody else takes. */
static void keep_places(void)
{
    for (int fd = FIRST_SOCKET; fd < FIRST_SOCKET + SOCKETS; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            assert_int_equal(dup2(STDERR_FILENO, fd), fd);
}

static void forget_environment(void)
{
    static const char *const names[] = {"LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES",
                                        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
}

static int setup(void **state)
{
    (void)state;
    forget_environment();
    assert_true(hubproc_open(&hub, true));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hubproc_close(&hub);
    if (manager >= 0)
        close(manager);
    manager = -1;
    for (int fd = FIRST_SOCKET; fd < FIRST_SOCKET + SOCKETS; fd++)
        dup2(STDERR_FILENO, fd);
    forget_environment();
    return 0;
}

/* The manager's end; `abstract`: no file, a name only. */
static void manager_open(bool abstract)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char path[512], shown[520];
    hubproc_path(&hub, "manager", path);
    snprintf(shown, sizeof(shown), "%s%s", abstract ? "@" : "", path);
    assert_true(strlen(shown) < sizeof(at.sun_path));
    memcpy(at.sun_path, shown, strlen(shown));
    if (abstract)
        at.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(manager >= 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(shown))),
                     0);
    setenv("NOTIFY_SOCKET", shown, 1);
}

/* The next message, into `heard`; false: none in time. */
static bool hear(int timeout_ms)
{
    struct pollfd p = {.fd = manager, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) <= 0)
        return false;
    ssize_t n = recv(manager, heard, sizeof(heard) - 1, 0);
    assert_true(n > 0);
    heard[n] = '\0';
    return true;
}

static void hears(const char *begins)
{
    assert_true(hear(HEAR_MS));
    if (strncmp(heard, begins, strlen(begins)) != 0)
        fail_msg("\"%s\" was said, not \"%s\"", heard, begins);
}

static void hears_nothing(int ms)
{
    if (hear(ms))
        fail_msg("\"%s\" was said", heard);
}

static void ready_is_said_when_it_serves_and_stopping_when_it_ends(void **state)
{
    char body[ANSWER_MAX], place[64];
    size_t size;
    (void)state;
    manager_open(false);
    hub_start(&hub);
    hears("READY=1\nSTATUS=hub local at 127.0.0.1:");
    snprintf(place, sizeof(place), "127.0.0.1:%u", (unsigned)hub.port);
    assert_non_null(strstr(heard, place));
    assert_int_equal(rawhttp_get(hub.port, "/readyz/write", body, sizeof(body), &size), 200);
    hears_nothing(300); /* no watchdog was asked for */
    hubproc_signal(&hub, SIGTERM);
    hears("STOPPING=1\nSTATUS=");
    assert_int_equal(hubproc_wait(&hub, HEAR_MS), 0);
    hears_nothing(0);
}

static void a_start_that_fails_is_never_ready(void **state)
{
    char err[1024];
    const char *const run[] = {"run", NULL};
    (void)state;
    manager_open(true);
    hubproc_set(&hub, "tls.certificate=/nowhere/a.pem");
    hubproc_set(&hub, "tls.key=/nowhere/a.key");
    assert_int_equal(hubproc_run(&hub, run, err, sizeof(err)), 78);
    hears_nothing(0);
}

/* A settings file, so that a reload has something to read. */
static void settings_file(const char *text)
{
    hubproc_path(&hub, "stoa.toml", hub.config);
    FILE *f = fopen(hub.config, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static uint64_t micros_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void a_reload_has_a_beginning_and_an_end(void **state)
{
    unsigned long long at = 0;
    (void)state;
    manager_open(true);
    settings_file("[limits]\nsubscriptions = 7\n");
    hub_start(&hub);
    hears("READY=1");
    for (int good = 1; good >= 0; good--) {
        uint64_t before = micros_now();
        settings_file(good ? "[limits]\nsubscriptions = 8\n" : "[limits]\nnonsense = 8\n");
        hubproc_signal(&hub, SIGHUP);
        hears("RELOADING=1\nMONOTONIC_USEC=");
        assert_int_equal(sscanf(heard, "RELOADING=1\nMONOTONIC_USEC=%llu", &at), 1);
        assert_true(at >= before && at <= micros_now());
        hears("READY=1\nSTATUS=");
        assert_int_equal(strstr(heard, "refused") != NULL, !good);
    }
}

static void signs_of_life_come_while_it_lives(void **state)
{
    (void)state;
    manager_open(true);
    setenv("WATCHDOG_USEC", "1500000", 1);
    hub_start(&hub);
    hears("READY=1");
    uint64_t began = clock_mono_ms();
    for (int i = 0; i < 4; i++) {
        hears("WATCHDOG=1");
        assert_true(clock_mono_ms() - began < (uint64_t)(i + 1) * 1000 + 500);
    }
    assert_true(clock_mono_ms() - began >= 1000); /* and not all the time */
    hubproc_signal(&hub, SIGSTOP);
    while (hear(200))
        ;
    hears_nothing(1000);
    hubproc_signal(&hub, SIGCONT);
    hears("WATCHDOG=1");
}

static void a_watchdog_of_another_process_is_not_fed(void **state)
{
    (void)state;
    manager_open(true);
    setenv("WATCHDOG_USEC", "300000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    hub_start(&hub);
    hears("READY=1");
    hears_nothing(800);
}

static void without_a_manager_it_runs_all_the_same(void **state)
{
    static const char *const sockets[] = {"/nowhere/at/all", "relative", "@", ""};
    (void)state;
    for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
        setenv("NOTIFY_SOCKET", sockets[i], 1);
        hub_start(&hub);
        hubproc_signal(&hub, SIGTERM);
        assert_int_equal(hubproc_wait(&hub, HEAR_MS), 0);
    }
}

/* Its children would otherwise speak for it. */
static void children_do_not_inherit_the_manager(void **state)
{
    char seen[512], line[256];
    bool any = false;
    (void)state;
    hubproc_close(&hub);
    assert_true(hubproc_open(&hub, false));
    hubproc_path(&hub, "seen", seen);
    hubproc_set(&hub, "keys.passphrase=cmd:env >%s; echo a long enough passphrase", seen);
    if (!hubproc_init(&hub))
        fail_msg("%s", hub.why);
    assert_int_equal(unlink(seen), 0);
    manager_open(true);
    setenv("WATCHDOG_USEC", "60000000", 1);
    hub_start(&hub);
    hears("READY=1");
    FILE *f = fopen(seen, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        any = true;
        assert_null(strstr(line, "NOTIFY_SOCKET"));
        assert_null(strstr(line, "WATCHDOG"));
    }
    fclose(f);
    assert_true(any);
}

/* A listening socket of the manager at descriptor `fd`. */
static uint16_t hand_over(int fd, int family)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr_in four = {.sin_family = AF_INET};
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool v6 = family == AF_INET6;
    socklen_t size = v6 ? sizeof(six) : sizeof(four);
    int s = socket(family, SOCK_STREAM, 0);
    if (s < 0 || bind(s, v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four, size) != 0 ||
        listen(s, 16) != 0)
        return 0;
    assert_int_equal(dup2(s, fd), fd);
    if (s != fd)
        close(s);
    assert_int_equal(
        getsockname(fd, v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four, &size), 0);
    return ntohs(v6 ? six.sin6_port : four.sin_port);
}

/* stoad is started through a shell that puts its own number, which it keeps, in place. */
static void hand_over_count(const char *count)
{
    setenv("LISTEN_FDS", count, 1);
    hub.wrap[0] = "sh";
    hub.wrap[1] = "-c";
    hub.wrap[2] = "LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"";
    hub.wrap[3] = "sh";
}

static const char get_livez[] = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/* A client that asks and waits. */
static int ask(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, get_livez, sizeof(get_livez) - 1, MSG_NOSIGNAL),
                     sizeof(get_livez) - 1);
    return fd;
}

static void is_answered(int fd)
{
    char answer[ANSWER_MAX];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, HEAR_MS), 1);
    ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_non_null(strstr(answer, " 200 "));
    close(fd);
}

/* Who connects while no stoad runs waits and is served: at the first start, over a drain and
 * over a kill. */
static void a_socket_of_the_manager_refuses_nobody_over_restarts(void **state)
{
    (void)state;
    uint16_t port = hand_over(FIRST_SOCKET, AF_INET);
    hand_over_count("1");
    for (int round = 0; round < 3; round++) {
        int early = ask(port);
        hub_start(&hub);
        assert_int_equal(hub.port, port);
        is_answered(early);
        is_answered(ask(port));
        hubproc_signal(&hub, round == 1 ? SIGKILL : SIGTERM);
        assert_int_equal(hubproc_wait(&hub, HEAR_MS), round == 1 ? 128 + SIGKILL : 0);
    }
}

static void several_sockets_are_all_served(void **state)
{
    (void)state;
    uint16_t first = hand_over(FIRST_SOCKET, AF_INET);
    uint16_t second = hand_over(FIRST_SOCKET + 1, AF_INET);
    hand_over_count("2");
    hub_start(&hub);
    for (int i = 0; i < 20; i++)
        is_answered(ask(i % 2 ? first : second));
}

static void an_ipv6_socket_is_told_as_one(void **state)
{
    char place[64];
    (void)state;
    manager_open(true);
    uint16_t port = hand_over(FIRST_SOCKET, AF_INET6);
    if (port == 0)
        skip(); /* no IPv6 on this machine */
    hand_over_count("1");
    assert_false(hubproc_start(&hub) && hub.port != port);
    hears("READY=1");
    snprintf(place, sizeof(place), "at [::1]:%u", (unsigned)port);
    assert_non_null(strstr(heard, place));
}

/* What was meant for another process is not ours. */
static void sockets_of_another_process_are_left_alone(void **state)
{
    (void)state;
    uint16_t port = hand_over(FIRST_SOCKET, AF_INET);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_PID", "1", 1);
    hub_start(&hub);
    assert_int_not_equal(hub.port, port);
}

static void refused(const char *count, const char *says)
{
    char err[1024];
    const char *const run[] = {"run", NULL};
    hand_over_count(count);
    assert_int_equal(hubproc_run(&hub, run, err, sizeof(err)), 78);
    assert_non_null(strstr(err, "error[T7814] socket activation"));
    if (!strstr(err, says))
        fail_msg("not \"%s\": %s", says, err);
}

static void what_is_no_listening_tcp_socket_is_refused(void **state)
{
    int made[3];
    (void)state;
    made[0] = socket(AF_INET, SOCK_STREAM, 0); /* does not listen */
    made[1] = socket(AF_INET, SOCK_DGRAM, 0);
    made[2] = open("/dev/null", O_RDONLY);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(dup2(made[i], FIRST_SOCKET), FIRST_SOCKET);
        close(made[i]); /* none of them is FIRST_SOCKET: its place is kept */
        refused("1", "descriptor 3 that was handed over is not a listening TCP socket");
    }
    close(FIRST_SOCKET);
    refused("1", "descriptor 3");
    (void)hand_over(FIRST_SOCKET, AF_INET);
    refused("2", "descriptor 4");
    refused("100", "at most 8");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(ready_is_said_when_it_serves_and_stopping_when_it_ends),
        CASE(a_start_that_fails_is_never_ready),
        CASE(a_reload_has_a_beginning_and_an_end),
        CASE(signs_of_life_come_while_it_lives),
        CASE(a_watchdog_of_another_process_is_not_fed),
        CASE(without_a_manager_it_runs_all_the_same),
        CASE(children_do_not_inherit_the_manager),
        CASE(a_socket_of_the_manager_refuses_nobody_over_restarts),
        CASE(several_sockets_are_all_served),
        CASE(an_ipv6_socket_is_told_as_one),
        CASE(sockets_of_another_process_are_left_alone),
        CASE(what_is_no_listening_tcp_socket_is_refused),
    };
    keep_places();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
