/* Shape of the state encoding, shared by account_encode.c and account_decode.c only. */
#ifndef LEDGER_ACCOUNT_STATE_H
#define LEDGER_ACCOUNT_STATE_H

#define STATE_VERSION 1

/* Items in each array. */
#define ACCOUNT_FIELDS 17
#define HUB_FIELDS 18
#define CHAIN_FIELDS 3
#define RECOVERY_FIELDS 4
#define PENDING_FIELDS 2
#define BOUND_FIELDS 2
#define MEMBER_FIELDS 5
#define DEVICE_FIELDS 3
#define INVITE_FIELDS 4
#define REF_FIELDS 2
#define NODE_FIELDS 2
#define SPLIT_FIELDS 2
#define CHANNEL_FIELDS 3

#endif
