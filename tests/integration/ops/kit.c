#include "tests/integration/ops/kit.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "relay/admin_socket.h"
#include "tests/integration/hub.h"

#define ASK_MS 30000u
#define STEP_MS 100u
#define STOP_MS 15000

static json_t *newest; /* the newest answer of why */

void ops_nap(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

void ops_socket(struct hubproc *h)
{
    hubproc_set(h, "listen.admin=%s/a.sock", h->dir);
}

void ops_start(struct hubproc *h, unsigned count, const char *const settings[])
{
    assert_true(hubproc_open(h, true));
    ops_socket(h);
    for (unsigned i = 0; i < count; i++)
        hubproc_set(h, "%s", settings[i]);
    hub_start(h);
}

void ops_stop(struct hubproc *h)
{
    ops_close();
    hubproc_signal(h, SIGTERM);
    int code = hubproc_wait(h, STOP_MS);
    hubproc_close(h);
    assert_int_equal(code, 0);
}

json_t *ops_ask(const struct hubproc *h, const char *what)
{
    char path[512], line[64], why[ADMIN_WHY_MAX];
    char *answer = NULL;
    int fd;
    hubproc_path(h, "a.sock", path);
    int n = snprintf(line, sizeof(line), "{\"do\":\"%s\"}\n", what);
    if (admin_connect(path, &fd, why) != ERR_OK)
        fail_msg("%s", why);
    enum err e = admin_write(fd, line, (size_t)n, ASK_MS);
    if (e == ERR_OK)
        e = admin_read_all(fd, &answer, ADMIN_ANSWER_MAX, ASK_MS);
    close(fd);
    if (e != ERR_OK)
        fail_msg("%s: %s", what, err_text(e));
    json_t *j = json_loads(answer, 0, NULL);
    free(answer);
    assert_true(json_is_object(j));
    return j;
}

const char *ops_why(const struct hubproc *h)
{
    json_decref(newest);
    newest = ops_ask(h, "why");
    const json_t *found = json_object_get(newest, "found");
    bool well = json_is_true(json_object_get(newest, "well"));
    assert_int_equal(well, json_array_size(found) == 0);
    assert_true(json_array_size(json_object_get(newest, "looked")) > 0);
    return well ? "" : json_string_value(json_object_get(json_array_get(found, 0), "cause"));
}

const json_t *ops_expect(const struct hubproc *h, const char *cause)
{
    for (unsigned waited = 0; waited < OPS_WAIT_MS; waited += STEP_MS) {
        if (strcmp(ops_why(h), cause) == 0)
            return json_array_get(json_object_get(newest, "found"), 0);
        ops_nap(STEP_MS);
    }
    char *text = json_dumps(newest, JSON_INDENT(1));
    fail_msg("why does not name \"%s\": %.3000s", cause, text ? text : "");
    free(text);
    return NULL;
}

const char *ops_text(const json_t *finding, const char *member)
{
    const char *text = json_string_value(json_object_get(finding, member));
    assert_non_null(text);
    return text;
}

const char *ops_try(const json_t *finding, size_t i)
{
    const char *text =
        json_string_value(json_array_get(json_object_get(finding, "try"), i));
    assert_non_null(text);
    return text;
}

void ops_make_flood(struct ops_flood *f, struct wirekit *k, size_t count)
{
    struct person p;
    person_make(&p, 7);
    person_open(&p, &k->hub, RESIDENCY_GLOBAL);
    person_note(&p, 200);
    p.bytes[p.size - 1] ^= 1;
    struct mp_writer w = mp_writer_of(f->frame, sizeof(f->frame));
    wire_put(&w, &(struct wire_frame){.type = WIRE_SUBMIT, .rid = 1, .count = count});
    for (size_t i = 0; i < count; i++)
        wire_put_envelope(&w, person_bytes(&p));
    assert_false(w.full);
    f->size = w.size;
    person_free(&p);
}

unsigned ops_pump(struct wirekit *k, const struct ops_flood *f)
{
    struct rawws_message m;
    unsigned count = 0;
    if (rawws_unsent(&k->ws) < 4 * f->size)
        assert_true(rawws_queue(&k->ws, f->frame, f->size));
    assert_true(rawws_flush(&k->ws));
    assert_true(rawws_fill(&k->ws));
    while (rawws_next(&k->ws, &m))
        count++;
    return count;
}

double ops_metric(const struct hubproc *h, const char *name)
{
    static char body[1 << 20];
    char line[160];
    size_t size;
    assert_int_equal(rawhttp_get(h->port, "/metrics", body, sizeof(body), &size), 200);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(body, line);
    return at ? strtod(at + strlen(line), NULL) : 0;
}

void ops_close(void)
{
    json_decref(newest);
    newest = NULL;
}
