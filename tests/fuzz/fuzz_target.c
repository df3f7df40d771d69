/* A Postgres URI with a password in it, wherever it stands, is refused, and no word that is said
 * about it holds the password; any other bytes give a target or a sentence. First byte: the text
 * as it is, or where the password stands; the rest are the other parts. */
#include <string.h>

#include "fuzz.h"
#include "input.h"
#include "ledger/store_postgres.h"

#define SECRET "hunter2hunter2"

static enum err try(const char *rest, struct store_why *why)
{
    struct pg_target t;
    memset(why, 0, sizeof(*why));
    enum err e = pg_target_open(&t, rest, why);
    PROPERTY(e == ERR_OK || e == ERR_USAGE);
    PROPERTY((e == ERR_OK) == (why->text[0] == 0));
    PROPERTY(memchr(t.name, 0, sizeof(t.name)) != NULL);
    PROPERTY(e != ERR_OK || strncmp(t.name, "postgresql://", 13) == 0);
    PROPERTY(!strstr(t.name, SECRET) && !strstr(why->text, SECRET));
    pg_target_close(&t);
    return e;
}

/* Letters that end no part of a URI. */
static void word(struct input *in, char *out, size_t cap)
{
    size_t n = take_below(in, (unsigned)cap);
    for (size_t i = 0; i < n; i++)
        out[i] = "abcdefghijklmnopqrstuvwxyz0123456789.-_~%/ +"[take_below(in, 41)];
    out[n] = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const shapes[] = {"//%s:" SECRET "@%s/%s",
                                         "//%s@%s/%s?password=" SECRET,
                                         "//%s@%s/%s?sslpassword=" SECRET "&sslmode=require",
                                         "//%s@%s/%s?connect_timeout=1&password=" SECRET};
    struct input in = input_of(data, size);
    struct store_why why;
    char user[40], host[40], base[40], rest[400];
    (void)unsetenv("PGPASSWORD");
    unsigned shape = take_below(&in, 5);
    if (shape == 4) {
        char *text = malloc(in.left + 1);
        PROPERTY(text != NULL);
        if (in.left > 0)
            memcpy(text, in.at, in.left);
        text[in.left] = 0;
        if (!strstr(text, SECRET))
            (void)try(text, &why);
        free(text);
        return 0;
    }
    word(&in, user, sizeof(user));
    word(&in, host, sizeof(host));
    word(&in, base, sizeof(base));
    const char *a = strstr(shapes[shape], "%s"), *b = strstr(a + 2, "%s"), *c = strstr(b + 2, "%s");
    snprintf(rest, sizeof(rest), "%.*s%s%.*s%s%.*s%s%s", (int)(a - shapes[shape]), shapes[shape], user,
             (int)(b - a - 2), a + 2, host, (int)(c - b - 2), b + 2, base, c + 2);
    if (strchr(user, '/')) /* it ends the part a password stands in */
        return 0;
    PROPERTY(try(rest, &why) == ERR_USAGE);
    return 0;
}
