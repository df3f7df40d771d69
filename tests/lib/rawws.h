/* A minimal WebSocket client on a bare socket, for tests and load: it sends exactly the
 * bytes it is told to (also wrong ones) and receives without copying. No library, no TLS.
 * One thread per connection or set; failures are returned, never asserted. */
#ifndef TESTS_LIB_RAWWS_H
#define TESTS_LIB_RAWWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rawws_opcode {
    RAWWS_CONTINUATION = 0,
    RAWWS_TEXT = 1,
    RAWWS_BINARY = 2,
    RAWWS_CLOSE = 8,
    RAWWS_PING = 9,
    RAWWS_PONG = 10
};

struct rawws {
    int fd;
    int http_status; /* of the upgrade answer; 101 when it worked, 0 when there was none
                      */
    bool closed;     /* the other side ended it, or a frame was malformed */
    uint16_t close_code;
    uint8_t *in; /* received and not consumed: [in_at, in_end) */
    size_t in_at, in_end, in_cap;
    uint8_t *out; /* queued and not sent: [out_at, out_end) */
    size_t out_at, out_end, out_cap;
    uint64_t bytes_in, bytes_out;
    void *user; /* the caller's */
};

struct rawws_options {
    const char *host; /* NULL: 127.0.0.1; numeric IPv4 only */
    uint16_t port;
    const char *source;      /* our own address, numeric IPv4; NULL: the system's choice */
    const char *path;        /* NULL: "/" */
    const char *subprotocol; /* NULL: "stoa.v1"; "": none asked for */
    const char *origin;      /* NULL: no Origin header */
    const char *extra;       /* more header lines, each ending in CR LF; may be NULL */
    int receive_buffer;      /* SO_RCVBUF, 0: the system's */
    uint32_t timeout_ms;     /* for connect and upgrade, 0: 5000 */
};

/* A message, or a control frame. Data is borrowed until the next call on the connection.
 */
struct rawws_message {
    uint8_t opcode;
    bool final;
    const uint8_t *data;
    size_t size;
};

/* TCP connect only; false with errno set. */
bool rawws_open(struct rawws *c, const struct rawws_options *o);
/* Connect and upgrade. False: no TCP connection, or the answer was not 101 (http_status).
 */
bool rawws_connect(struct rawws *c, const struct rawws_options *o);
/* Only the upgrade, on a connection from rawws_open. */
bool rawws_upgrade(struct rawws *c, const struct rawws_options *o);
/* Closes the socket at once and frees everything. */
void rawws_close(struct rawws *c);
/* Closes the socket with a reset. */
void rawws_abort(struct rawws *c);

/* Blocking. */
bool rawws_send(struct rawws *c, const void *data,
                size_t size); /* one masked binary frame */
bool rawws_send_frame(struct rawws *c, uint8_t opcode, bool final, bool masked,
                      const void *data, size_t size);
bool rawws_send_raw(struct rawws *c, const void *data, size_t size);
/* 1: a message; 0: none within timeout_ms; -1: the connection ended. Answers pings. */
int rawws_receive(struct rawws *c, struct rawws_message *m, int timeout_ms);

/* Not blocking, for load. rawws_queue copies a binary frame into the out buffer (mask key
 * 0, so masking costs nothing); rawws_flush sends what the socket takes: false when it
 * ended. */
bool rawws_queue(struct rawws *c, const void *data, size_t size);
bool rawws_flush(struct rawws *c);
size_t rawws_unsent(const struct rawws *c);
/* Read what is there, then take messages from the buffer one by one. */
bool rawws_fill(struct rawws *c); /* false: ended (messages may still be in the buffer) */
bool rawws_next(struct rawws *c, struct rawws_message *m); /* false: no whole message */

/* Many connections with one epoll. */
struct rawws_set {
    int epoll;
    size_t count;
};
typedef void rawws_on_message(void *context, struct rawws *c,
                              const struct rawws_message *m);
typedef void rawws_on_end(void *context, struct rawws *c);
bool rawws_set_open(struct rawws_set *s);
void rawws_set_close(struct rawws_set *s);
bool rawws_set_add(struct rawws_set *s, struct rawws *c); /* makes it non-blocking */
void rawws_set_remove(struct rawws_set *s, struct rawws *c);
/* Ask to be written when writable; call after rawws_queue when rawws_unsent stays > 0. */
void rawws_set_want_write(struct rawws_set *s, struct rawws *c);
/* One round: reads, calls back, flushes. Returns the number of connections served, -1 on
 * error. Pings are answered. */
int rawws_set_poll(struct rawws_set *s, int timeout_ms, rawws_on_message *on_message,
                   rawws_on_end *on_end, void *context);

/* One plain HTTP/1.1 GET on a connection of its own. Returns the status (0: none); the
 * body is put into body[cap] with a final zero. */
int rawhttp_get(uint16_t port, const char *path, char *body, size_t cap, size_t *size);
/* A request as it stands, on a connection of its own; the whole answer, head and body, until
 * the hub closes (say "Connection: close"), into out[cap] with a final zero. Returns the
 * status of its first line (0: none). */
int rawhttp_exchange(uint16_t port, const void *request, size_t request_size, char *out,
                     size_t cap, size_t *size);

#endif
