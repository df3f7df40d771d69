#ifndef TESTS_UNIT_RELAY_TEST_H
#define TESTS_UNIT_RELAY_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
