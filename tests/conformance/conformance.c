/* store_conformance KIND: what every store promises (ledger/store.h), tried on one kind:
 * memory, sqlite or postgresql (against a server of its own; exit 77 where there is none to
 * start). */
#include <stdio.h>
#include <string.h>

#include "crypto/sig.h"
#include "tests/conformance/suite.h"

int main(int argc, char **argv)
{
    if (argc != 2 || (strcmp(argv[1], "memory") != 0 && strcmp(argv[1], "sqlite") != 0 &&
                      strcmp(argv[1], "postgresql") != 0)) {
        fprintf(stderr, "usage: store_conformance memory|sqlite|postgresql\n");
        return 2;
    }
    suite_kind = argv[1];
    if (!crypto_start())
        return 1;
    int code = suite_server_start();
    if (code != 0)
        return code;
    int failed = 0;
    failed += suite_open_tests();
    failed += suite_append_tests();
    failed += suite_read_tests();
    failed += suite_side_tests();
    failed += suite_fault_tests();
    failed += suite_thread_tests();
    suite_server_stop();
    return failed == 0 ? 0 : 1;
}
