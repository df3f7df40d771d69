/* Every context string in one table. What is signed or hashed outside the RFC 6962 tree
 * and the C2SP note format is `context || 00 || bytes`, so nothing made for one purpose
 * can be shown for another. Adding a message kind means adding a line here. */
#ifndef CRYPTO_CONTEXT_H
#define CRYPTO_CONTEXT_H

#define CTX_ENTRY "stoa/entry/v1"                 /* id and signature of an entry body */
#define CTX_ACCOUNT_HEAD "stoa/account-head/v1"   /* chain of an account's envelopes */
#define CTX_ACCOUNT_STATE "stoa/account-state/v1" /* digest of an account's state */
#define CTX_DEVICE "stoa/device/v1"               /* root key grants a device */
#define CTX_INVITE "stoa/invite/v1"               /* root key invites, that key admits */
#define CTX_REMOVE "stoa/remove/v1"               /* root key removes a member */
#define CTX_ROTATE "stoa/rotate/v1"               /* root key gives way to another */
#define CTX_RECOVERY "stoa/recovery/v1"           /* root key cancels a recovery */
#define CTX_HUB_KEY "stoa/hub-key/v1"             /* hub key gives way to another */
#define CTX_HELLO "stoa/hello/v1"                 /* device answers a hub's challenge */
#define CTX_WELCOME "stoa/welcome/v1"             /* hub answers a client's challenge */
#define CTX_PEER "stoa/peer/v1"                   /* relay answers its own hub's challenge */
#define CTX_PEER_MAC "stoa/peer-mac/v1"           /* between relays; never sent */
#define CTX_RENDEZVOUS "stoa/rendezvous/v1"       /* weight of a relay for a slot */
#define CTX_REFUSAL "stoa/refusal/v1"             /* hub signs that it refused an entry */
#define CTX_HEAD "stoa/head/v1"                   /* hub signs an account head */
#define CTX_SEALED "stoa/sealed/v1"               /* commitment to a private attachment */
#define CTX_NODE "stoa/node/v1"                   /* node name to node id */
#define CTX_TERMS "stoa/split-terms/v1" /* terms of a split, kept in the state */
#define CTX_SNAPSHOT "stoa/snapshot/v1" /* checksum of a state snapshot */
#define CTX_CHECKPOINT "stoa/client-checkpoint/v1" /* digest of a client's own state */
#define CTX_TOPOLOGY "stoa/topology/v1"            /* reserved: signed list of hubs */
#define CTX_EVIDENCE "stoa/evidence/v1"            /* reserved: bundled evidence */

#define CONTEXT_BYTES_MAX 32

#endif
