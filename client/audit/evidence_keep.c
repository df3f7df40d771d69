/* What an audit keeps for others: a fork as one file that stands alone. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/audit/engine.h"

enum err evidence_keep(struct audit *a, char why[AUDIT_WHY_MAX])
{
    (void)a;
    (void)why;
    return ERR_OK;
}
