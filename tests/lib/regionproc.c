#include "tests/lib/regionproc.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/clock.h"

#define LEASE_MS 1000u
#define POLL_MS 100u
#define LOOK_MS 30
#define METRICS_BYTES (512u << 10)

bool regionproc_there(const struct regionproc *r)
{
    return pgproc_there() && (!r->with_redis || redisproc_there());
}

void regionproc_keys(const struct regionproc *r, char out[512])
{
    hubproc_path(&r->relay[0], "state/keys", out);
}

void regionproc_uri(const struct regionproc *r, char *out, size_t cap)
{
    pgproc_uri(&r->pg, REGIONPROC_DATABASE, 0, out, cap);
}

/* The ledger for a relay, which has no right to anything else. */
static void relay_uri(const struct regionproc *r, uint16_t port, char *out, size_t cap)
{
    static const char owner[] = PGPROC_USER "@", relay[] = "stoa_relay@";
    _Static_assert(sizeof owner == sizeof relay, "one takes the other's place");
    pgproc_uri(&r->pg, REGIONPROC_DATABASE, port, out, cap);
    char *user = strstr(out, owner);
    if (user != NULL)
        memcpy(user, relay, sizeof relay - 1);
}

bool regionproc_add(struct regionproc *r)
{
    char uri[400], keys[512];
    struct hubproc *h = &r->relay[r->count];
    if (r->count == REGIONPROC_RELAYS_MAX || !hubproc_open(h, false)) {
        snprintf(r->why, sizeof r->why, "relay %u: %s", r->count, h->why);
        return false;
    }
    r->count++;
    relay_uri(r, 0, uri, sizeof uri);
    regionproc_keys(r, keys);
    hubproc_set(h, "store.uri=%s", uri);
    hubproc_set(h, "hub.name=region.test");
    hubproc_set(h, "hub.keys_dir=%s", keys);
    hubproc_set(h, "region.relay=r%u", r->count - 1);
    hubproc_set(h, "region.lease_ms=%ums", r->lease_ms ? r->lease_ms : LEASE_MS);
    hubproc_set(h, "region.poll_ms=%ums", r->poll_ms ? r->poll_ms : POLL_MS);
    if (r->with_redis)
        hubproc_set(h, "region.bus=redis://127.0.0.1:%u", (unsigned)r->redis.port);
    return true;
}

/* As an operator does: deploy/schema/roles.sql. */
static bool make_roles(struct regionproc *r)
{
    char sql[8192];
    FILE *f = fopen(STOA_SCHEMA_FOLDER "/roles.sql", "r");
    size_t size = f ? fread(sql, 1, sizeof sql - 1, f) : 0;
    if (f)
        fclose(f);
    sql[size] = 0;
    if (size > 0 && pgproc_sql(&r->pg, REGIONPROC_DATABASE, sql, NULL, 0))
        return true;
    snprintf(r->why, sizeof r->why, "roles: %s", r->pg.why);
    return false;
}

/* By the owner of the schema; the relays are only its users. */
static bool make_ledger(struct regionproc *r)
{
    struct hubproc owner = r->relay[0];
    char uri[400];
    regionproc_uri(r, uri, sizeof uri);
    hubproc_set(&owner, "store.uri=%s", uri);
    if (hubproc_init(&owner))
        return true;
    snprintf(r->why, sizeof r->why, "stoad init: %s", owner.why);
    return false;
}

bool regionproc_open(struct regionproc *r, unsigned relays)
{
    if (!pgproc_open(&r->pg) || !pgproc_database(&r->pg, REGIONPROC_DATABASE)) {
        snprintf(r->why, sizeof r->why, "postgres: %s", r->pg.why);
        return false;
    }
    if (r->with_redis && !redisproc_open(&r->redis)) {
        snprintf(r->why, sizeof r->why, "redis: %s", r->redis.why);
        return false;
    }
    bool ok = make_roles(r) && regionproc_add(r) && make_ledger(r);
    while (ok && r->count < relays)
        ok = regionproc_add(r);
    return ok;
}

void regionproc_through(struct regionproc *r, unsigned relay, uint16_t port)
{
    static const char key[] = "store.uri=";
    struct hubproc *h = &r->relay[relay];
    for (unsigned i = 0; i < h->setting_count; i++)
        if (strncmp(h->settings[i], key, sizeof key - 1) == 0) {
            memcpy(h->settings[i], key, sizeof key);
            relay_uri(r, port, h->settings[i] + sizeof key - 1,
                      sizeof h->settings[i] - sizeof key);
        }
}

bool regionproc_start(struct regionproc *r, unsigned relay)
{
    if (hubproc_start(&r->relay[relay]))
        return true;
    snprintf(r->why, sizeof r->why, "relay %u: %s", relay, r->relay[relay].why);
    return false;
}

bool regionproc_start_all(struct regionproc *r)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->relay[i].pid == 0 && !regionproc_start(r, i))
            return false;
    return true;
}

void regionproc_close(struct regionproc *r)
{
    for (unsigned i = 0; i < r->count; i++)
        hubproc_close(&r->relay[i]);
    if (r->with_redis)
        redisproc_close(&r->redis);
    pgproc_close(&r->pg);
}

bool regionproc_owners(struct regionproc *r, int owner[REGIONPROC_SLOTS])
{
    char rows[4096];
    for (int i = 0; i < REGIONPROC_SLOTS; i++)
        owner[i] = -1;
    if (!pgproc_sql(&r->pg, REGIONPROC_DATABASE,
                    "SELECT slot || ' ' || substr(holder, 2) FROM stoa.lease WHERE"
                    " instance IS NOT NULL AND until >= clock_timestamp()",
                    rows, sizeof rows)) {
        snprintf(r->why, sizeof r->why, "%s", r->pg.why);
        return false;
    }
    char *at = rows, *next;
    for (; *at; at = next) {
        long slot = strtol(at, &next, 10);
        if (next == at || slot < 0 || slot >= REGIONPROC_SLOTS)
            break;
        owner[slot] = (int)strtol(next, &next, 10);
    }
    return true;
}

/* The body of GET /metrics; false: no answer. */
static bool get_metrics(uint16_t port, char *out, size_t cap)
{
    static const char ask[] =
        "GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {2, 0};
    size_t size = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) == (ssize_t)sizeof ask - 1)
        for (ssize_t n;
             size < cap - 1 && (n = recv(fd, out + size, cap - 1 - size, 0)) > 0;)
            size += (size_t)n;
    close(fd);
    out[size] = 0;
    return size > 0;
}

double regionproc_metric(struct regionproc *r, unsigned relay, const char *line)
{
    char *text = malloc(METRICS_BYTES), wanted[200];
    double v = -1;
    snprintf(wanted, sizeof wanted, "\n%s ", line);
    if (text != NULL && r->relay[relay].pid != 0 &&
        get_metrics(r->relay[relay].port, text, METRICS_BYTES)) {
        const char *at = strstr(text, wanted);
        if (at != NULL)
            v = strtod(at + strlen(wanted), NULL);
    }
    free(text);
    return v;
}

static bool shares_are_fair(struct regionproc *r, unsigned relays)
{
    int owner[REGIONPROC_SLOTS];
    unsigned share[REGIONPROC_RELAYS_MAX] = {0}, most = 0, least = REGIONPROC_SLOTS;
    if (!regionproc_owners(r, owner))
        return false;
    for (int i = 0; i < REGIONPROC_SLOTS; i++) {
        if (owner[i] < 0 || !(relays >> owner[i] & 1))
            return false;
        share[owner[i]]++;
    }
    for (unsigned i = 0; i < r->count; i++) {
        if (!(relays >> i & 1))
            continue;
        most = share[i] > most ? share[i] : most;
        least = share[i] < least ? share[i] : least;
        if (regionproc_metric(r, i, "stoa_region_slots_owned") != (double)share[i])
            return false;
    }
    return most - least <= 1;
}

bool regionproc_settled(struct regionproc *r, unsigned relays, unsigned timeout_ms)
{
    for (uint64_t end = mono_ms() + timeout_ms; mono_ms() < end;) {
        if (shares_are_fair(r, relays))
            return true;
        struct timespec t = {0, LOOK_MS * 1000000L};
        nanosleep(&t, NULL);
    }
    snprintf(r->why, sizeof r->why, "the slots do not settle on relays %#x", relays);
    return false;
}
