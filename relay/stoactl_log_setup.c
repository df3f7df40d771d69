/* Whose ledger, and where: from the hub's settings, or from --store alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keyfile.h"
#include "relay/stoactl_log.h"

extern char **environ;

static void take_values(struct log_setup *out, const struct relay_config *v)
{
    char path[CONFIG_TEXT_MAX + 16], role[KEYFILE_ROLE_MAX];
    bool encrypted;
    memcpy(out->store, v->store.uri, sizeof(out->store));
    memcpy(out->hub, v->hub.name, sizeof(out->hub));
    memcpy(out->cosign_policy, v->cosign.policy, sizeof(out->cosign_policy));
    snprintf(path, sizeof(path), "%s/log.key", v->hub.keys_dir);
    out->has_key = keyfile_load_public(path, &out->key, role, &encrypted) == KEYFILE_OK &&
                   strcmp(role, "log") == 0;
}

int log_setup_read(struct ctl *c, struct log_setup *out)
{
    const char *file = c->value[OPT_CONFIG], *store = c->value[OPT_STORE];
    memset(out, 0, sizeof(*out));
    if (store && strlen(store) >= sizeof(out->store))
        return ctl_fail(c, EXIT_USAGE, ERR_USAGE, NULL, "--store is too long");
    if (store && !file) { /* some ledger; nothing else is known of its hub */
        memcpy(out->store, store, strlen(store) + 1);
        return EXIT_DONE;
    }
    const struct config_sources from = {.file = file, .environment = environ};
    struct config *config = config_load(&from);
    if (!config)
        return ctl_fail(c, EXIT_BUG, ERR_MEMORY, NULL, "out of memory");
    if (config_problem_count(config) > 0) {
        if (!c->json)
            config_print_problems(config, stderr, NULL);
        config_close(config);
        return ctl_fail(c, EXIT_CONFIG, ERR_CONFIG, "stoad --check-config",
                        "the hub's settings have problems");
    }
    take_values(out, config_values(config));
    config_close(config);
    if (store)
        memcpy(out->store, store, strlen(store) + 1);
    return EXIT_DONE;
}

int log_setup_open(struct ctl *c, const struct log_setup *setup, struct log_source **out)
{
    char why[LOG_WHY_MAX] = "";
    enum err e = log_source_open(out, setup->store, why);
    if (e != ERR_OK)
        return ctl_fail(c, e == ERR_STORE ? EXIT_UNREACHABLE : ctl_exit_of(e), e,
                        e == ERR_MISSING ? "--config FILE of the hub, or --store URI"
                                         : NULL,
                        "%s", why[0] ? why : err_text(e));
    const struct store_identity *id = log_source_identity(*out);
    if (setup->hub[0] == '\0' || strcmp(setup->hub, id->hub) == 0)
        return EXIT_DONE;
    char hub[HUB_NAME_MAX + 1];
    memcpy(hub, id->hub, sizeof(hub));
    log_source_close(*out);
    *out = NULL;
    return ctl_fail(c, EXIT_CONFIG, ERR_CONFIG, NULL,
                    "the ledger belongs to hub \"%s\", hub.name says \"%s\"", hub,
                    setup->hub);
}

bool log_setup_key_ok(const struct log_setup *setup, const struct vkey *v)
{
    return !setup->has_key || pubkey_equal(&setup->key, &v->key);
}
