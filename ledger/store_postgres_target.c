/* From a URI to what libpq is told. */
#include "ledger/store_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *option(const struct pg_target *t, const char *keyword)
{
    for (PQconninfoOption *o = t->options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val;
    return NULL;
}

static bool given(const struct pg_target *t, const char *keyword)
{
    const char *value = option(t, keyword);
    return value != NULL && value[0] != '\0';
}

static void name_it(struct pg_target *t)
{
    const char *user = option(t, "user"), *host = option(t, "host");
    const char *port = option(t, "port"), *database = option(t, "dbname");
    snprintf(t->name, sizeof t->name, "postgresql://%.60s%s%.100s%s%.12s/%.60s",
             user == NULL ? "" : user, user == NULL ? "" : "@", host == NULL ? "" : host,
             port == NULL ? "" : ":", port == NULL ? "" : port,
             database == NULL ? "" : database);
}

enum err pg_target_open(struct pg_target *t, const char *rest, struct store_why *why)
{
    char uri[POSTGRES_URI_MAX];
    *t = (struct pg_target){NULL, ""};
    int size = snprintf(uri, sizeof uri, "postgresql:%s", rest);
    if (strncmp(rest, "//", 2) == 0 && size > 0 && (size_t)size < sizeof uri)
        t->options = PQconninfoParse(uri, NULL); /* its words may quote a password */
    if (t->options == NULL) {
        store_why_set(why, "store.uri is not one Postgres understands; use "
                           "postgresql://USER@HOST:PORT/DATABASE or "
                           "postgresql:///DATABASE?host=SOCKET_FOLDER");
        return ERR_USAGE;
    }
    name_it(t);
    if (given(t, "password") || given(t, "sslpassword")) {
        store_why_set(why,
                      "%s: a password in a URI can be seen in argv, configuration and "
                      "backups; put it into a file of mode 0600 and name that: "
                      "?passfile=/path, or use peer authentication or certificates",
                      t->name);
        return ERR_USAGE;
    }
    if (getenv("PGPASSWORD") != NULL) {
        store_why_set(why,
                      "%s: PGPASSWORD is set, and what is in the environment can be read "
                      "by others; unset it and use a passfile (mode 0600)",
                      t->name);
        return ERR_USAGE;
    }
    return ERR_OK;
}

/* For a shell, in single quotes. False: no room. */
static bool put_option(char *out, size_t cap, size_t *n, const char *flag,
                       const char *value)
{
    if (value == NULL || value[0] == '\0')
        return true;
    int head = snprintf(out + *n, cap - *n, " %s '", flag);
    *n += head < 0 ? cap : (size_t)head;
    for (const char *c = value; *c != '\0'; c++) {
        size_t size = *c == '\'' ? 4 : 1;
        if (*n + size >= cap)
            return false;
        memcpy(out + *n, *c == '\'' ? "'\\''" : c, size);
        *n += size;
    }
    if (*n + 2 > cap)
        return false;
    memcpy(out + *n, "'", 2);
    *n += 1;
    return true;
}

void pg_target_asked_by(const struct pg_target *t, char *out, size_t cap)
{
    const char *host = given(t, "host") ? option(t, "host") : option(t, "hostaddr");
    size_t n = 0;
    out[0] = '\0';
    if (given(t, "service") || /* its host stands in a file of the relay's machine */
        !put_option(out, cap, &n, "-h", host) ||
        !put_option(out, cap, &n, "-p", option(t, "port")) ||
        !put_option(out, cap, &n, "-d", option(t, "dbname")))
        out[0] = '\0';
}

void pg_target_close(struct pg_target *t)
{
    if (t->options != NULL)
        PQconninfoFree(t->options);
    t->options = NULL;
}
