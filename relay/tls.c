#include "relay/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#define FORBIDDEN_TO_KEY (S_IWGRP | S_IXGRP | S_IRWXO)
#define MS_A_SECOND 1000

struct tls {
    X509 *own;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};

/* A file, whole, into *out (heap). `forbidden` are the mode bits it may not have. */
static enum err read_file(const char *path, mode_t forbidden, uint8_t **out, size_t *size,
                          char *why)
{
    struct stat st;
    ssize_t n = 0;
    enum err e = ERR_FILE;
    *out = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(why, TLS_WHY_MAX, "cannot read %.400s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)TLS_FILE_BYTES_MAX) {
        snprintf(why, TLS_WHY_MAX, "%.400s is no file of at most %u bytes", path,
                 TLS_FILE_BYTES_MAX);
        goto out;
    }
    if (st.st_mode & forbidden) {
        snprintf(why, TLS_WHY_MAX,
                 "%.400s has mode %04o: others than its owner and group may not read it, "
                 "and only its owner may write it",
                 path, (unsigned)(st.st_mode & 07777));
        e = ERR_AUTHORITY;
        goto out;
    }
    e = ERR_MEMORY;
    *out = malloc(TLS_FILE_BYTES_MAX);
    if (!*out)
        goto out;
    while (*size < TLS_FILE_BYTES_MAX &&
           (n = read(fd, *out + *size, TLS_FILE_BYTES_MAX - *size)) > 0)
        *size += (size_t)n;
    e = ERR_OK;
    if (n < 0) {
        snprintf(why, TLS_WHY_MAX, "cannot read %.400s: %s", path, strerror(errno));
        e = ERR_FILE;
    }
out:
    if (fd >= 0)
        close(fd);
    return e;
}

static void forget(uint8_t *data, size_t size)
{
    if (data)
        OPENSSL_cleanse(data, size);
    free(data);
}

static int no_passphrase(char *out, int size, int writing, void *context)
{
    (void)out, (void)size, (void)writing, (void)context;
    return -1;
}

/* The first certificate is the server's own, the others lead towards a root. */
static enum err take_certificates(struct tls *t, const uint8_t *data, size_t size,
                                  const char *path, char *why)
{
    BIO *in = BIO_new_mem_buf(data, (int)size);
    X509 *x = NULL;
    t->chain = sk_X509_new_null();
    if (!in || !t->chain) {
        BIO_free(in);
        return ERR_MEMORY;
    }
    while (sk_X509_num(t->chain) < TLS_CHAIN_MAX &&
           (x = PEM_read_bio_X509(in, NULL, no_passphrase, NULL))) {
        if (!t->own) {
            t->own = x;
        } else if (sk_X509_push(t->chain, x) <= 0) {
            X509_free(x);
            break;
        }
    }
    unsigned long last = ERR_peek_last_error();
    ERR_clear_error();
    BIO_free(in);
    /* Its end is told as "no start line"; anything else is a certificate that is none. */
    if (t->own && !x && ERR_GET_REASON(last) == PEM_R_NO_START_LINE)
        return ERR_OK;
    snprintf(why, TLS_WHY_MAX, "%.400s does not hold PEM certificates (1 to %d)", path,
             TLS_CHAIN_MAX);
    return ERR_CONFIG;
}

static enum err take_key(struct tls *t, const uint8_t *data, size_t size, const char *path,
                         char *why)
{
    BIO *in = BIO_new_mem_buf(data, (int)size);
    if (!in)
        return ERR_MEMORY;
    t->key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
    BIO_free(in);
    ERR_clear_error();
    if (t->key)
        return ERR_OK;
    snprintf(why, TLS_WHY_MAX, "%.400s does not hold a PEM private key without passphrase",
             path);
    return ERR_CONFIG;
}

/* In a context of its own first: what a live one would refuse (a weak key, say) is found here. */
static enum err try_out(const struct tls *t, const char *certificate, const char *key, char *why)
{
    if (X509_check_private_key(t->own, t->key) != 1) {
        ERR_clear_error();
        snprintf(why, TLS_WHY_MAX, "%.300s is not the key of the certificate in %.300s", key,
                 certificate);
        return ERR_CONFIG;
    }
    SSL_CTX *trial = SSL_CTX_new(TLS_server_method());
    if (!trial)
        return ERR_MEMORY;
    bool good = tls_use(t, trial);
    SSL_CTX_free(trial);
    if (good)
        return ERR_OK;
    snprintf(why, TLS_WHY_MAX, "certificate and key in %.300s and %.300s are too weak for TLS 1.2",
             certificate, key);
    return ERR_CONFIG;
}

enum err tls_load(struct tls **out, const char *certificate, const char *key, char *why)
{
    uint8_t *certificate_data = NULL, *key_data = NULL;
    size_t certificate_size = 0, key_size = 0;
    struct tls *t = calloc(1, sizeof(*t));
    *out = NULL;
    why[0] = '\0';
    if (!t)
        return ERR_MEMORY;
    enum err e = read_file(certificate, 0, &certificate_data, &certificate_size, why);
    if (e == ERR_OK)
        e = read_file(key, FORBIDDEN_TO_KEY, &key_data, &key_size, why);
    if (e == ERR_OK)
        e = take_certificates(t, certificate_data, certificate_size, certificate, why);
    if (e == ERR_OK)
        e = take_key(t, key_data, key_size, key, why);
    if (e == ERR_OK)
        e = try_out(t, certificate, key, why);
    forget(certificate_data, certificate_size);
    forget(key_data, key_size);
    if (e == ERR_OK)
        *out = t;
    else
        tls_free(t);
    return e;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    X509_free(t->own);
    sk_X509_pop_free(t->chain, X509_free);
    EVP_PKEY_free(t->key);
    free(t);
}

int64_t tls_not_after_ms(const struct tls *t)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(t->own), &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * MS_A_SECOND;
}

void tls_text(const struct tls *t, char out[TLS_TEXT_MAX])
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    unsigned size = 0;
    struct tm tm = {0};
    char date[32] = "?";
    if (!t) {
        snprintf(out, TLS_TEXT_MAX, "none");
        return;
    }
    (void)X509_digest(t->own, EVP_sha256(), digest, &size);
    if (ASN1_TIME_to_tm(X509_get0_notAfter(t->own), &tm) == 1)
        (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(out, TLS_TEXT_MAX, "sha256:%02x%02x%02x%02x%02x%02x until %s", digest[0], digest[1],
             digest[2], digest[3], digest[4], digest[5], date);
}

void *tls_nothing(void)
{
    return SSL_CTX_new(TLS_client_method());
}

void tls_nothing_free(void *ssl_context)
{
    SSL_CTX_free(ssl_context);
}

bool tls_use(const struct tls *t, void *ssl_context)
{
    SSL_CTX *ctx = ssl_context;
    bool good = SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
                /* One step: the old pair serves until the new one is whole. */
                SSL_CTX_use_cert_and_key(ctx, t->own, t->key, t->chain, 1) == 1;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    ERR_clear_error();
    return good;
}
