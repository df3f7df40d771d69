#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto/keyfile.h"
#include "crypto/note.h"
#include "relay/keys.h"
#include "relay/stoactl.h"

int ctl_key_show(struct ctl *c)
{
    struct pubkey pub;
    char role[KEYFILE_ROLE_MAX];
    bool encrypted;
    const char *path = c->args[0];
    enum keyfile_result r = keyfile_load_public(path, &pub, role, &encrypted);
    if (r != KEYFILE_OK)
        return ctl_fail(c, EXIT_DATA,
                        r == KEYFILE_IO && errno == ENOENT ? ERR_MISSING : ERR_FILE, NULL,
                        "cannot use key file %s: %s", path,
                        r == KEYFILE_IO ? strerror(errno) : keyfile_result_text(r));
    char hex[2 * PUBKEY_BYTES + 1];
    hex_encode(hex, pub.b, sizeof pub.b);
    if (c->json) {
        c->out = json_object();
        json_object_set_new(c->out, "file", json_string_nocheck(path));
        json_object_set_new(c->out, "role", json_string(role));
        json_object_set_new(c->out, "public", json_string(hex));
        json_object_set_new(c->out, "encrypted", json_boolean(encrypted));
    } else {
        printf("role       %s\npublic     %s\nencrypted  %s\n", role, hex,
               encrypted ? "yes" : "NO: whoever reads the file has the key");
    }
    return ctl_finish(c, EXIT_DONE);
}

/* Other keys belong to a ledger from its first record on; stoad init makes them. */
int ctl_key_new(struct ctl *c)
{
    struct pubkey pub;
    char why[KEYS_WHY_MAX], hex[2 * PUBKEY_BYTES + 1];
    const char *source = c->value[OPT_PASSPHRASE] ? c->value[OPT_PASSPHRASE] : "tty";
    if (strcmp(c->args[0], "cosigner") != 0)
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, "stoactl key new cosigner FILE",
                        "only a cosigner key is made by itself, not \"%s\"", c->args[0]);
    enum err e = key_file_make(c->args[1], "cosigner", source, KEYFILE_COST_NORMAL, &pub, why);
    if (e != ERR_OK)
        return ctl_fail(c, e == ERR_CONFIG ? EXIT_CONFIG : EXIT_DATA, e, NULL, "%s", why);
    hex_encode(hex, pub.b, sizeof pub.b);
    if (c->json) {
        c->out = json_object();
        json_object_set_new(c->out, "file", json_string_nocheck(c->args[1]));
        json_object_set_new(c->out, "role", json_string("cosigner"));
        json_object_set_new(c->out, "public", json_string(hex));
    } else {
        printf("role       cosigner\npublic     %s\n", hex);
    }
    return ctl_finish(c, EXIT_DONE);
}
