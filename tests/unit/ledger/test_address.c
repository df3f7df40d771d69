#include "ledger/address.h"

#include <string.h>

#include "ledger/bech32m.h"
#include "test.h"

/* By the reference program of BIP 350: 32 zero bytes, 7 i + 1, and zeros with padding 1.
 */
#define GOLDEN_ZERO "stoa1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqx0ssgy"
#define GOLDEN_COUNT "stoa1qyyq79says4nyw2qga892hrrdfchslux3k2fhg4fkzmma3wv60dqm2q7q7"
#define GOLDEN_PADDED "stoa1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpmey94k"

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static struct hash account_of(unsigned seed)
{
    struct hash h;
    for (unsigned i = 0; i < HASH_BYTES; i++)
        h.b[i] = (uint8_t)(seed * 31 + i * (seed | 1) + (i * i));
    return h;
}

static void bip350_valid_strings_have_a_right_checksum(void **state)
{
    (void)state;
    static const char *const valid[] = {
        "A1LQFN3A",
        "a1lqfn3a",
        "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumb"
        "er11sg7hg6",
        "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
        "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll"
        "llllludsr8",
        "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
        "?1v759aa",
    };
    for (size_t i = 0; i < COUNT_OF(valid); i++)
        assert_true(bech32m_checksum_ok(valid[i], strlen(valid[i])));
}

static void bip350_invalid_strings_are_refused(void **state)
{
    (void)state;
    static const char *const invalid[] = {
        "\x20"
        "1xj0phk",
        "\x7f"
        "1g6xzxy",
        "\x80"
        "1vctc34",
        "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnum"
        "ber11d6pts4",
        "qyrz8wqd2c9m",
        "1qyrz8wqd2c9m",
        "y1b0jsk6g",
        "lt1igcx5c0",
        "in1muywd",
        "mm1crxm3i",
        "au1s5cgom",
        "M1VUXWEZ",
        "16plkw9",
        "1p2gdwpf",
    };
    for (size_t i = 0; i < COUNT_OF(invalid); i++)
        assert_false(bech32m_checksum_ok(invalid[i], strlen(invalid[i])));
}

static void the_older_bech32_checksum_is_refused(void **state)
{
    (void)state;
    static const char *const older[] = {"A12UEL5L",
                                        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"};
    for (size_t i = 0; i < COUNT_OF(older); i++)
        assert_false(bech32m_checksum_ok(older[i], strlen(older[i])));
}

static void a_known_account_has_its_known_address(void **state)
{
    (void)state;
    struct hash h, found;
    char text[ADDRESS_TEXT_MAX];
    memset(h.b, 0, sizeof h.b);
    address_format(text, &h, NULL);
    assert_string_equal(text, GOLDEN_ZERO);
    for (unsigned i = 0; i < HASH_BYTES; i++)
        h.b[i] = (uint8_t)(i * 7 + 1);
    address_format(text, &h, "hub.example");
    assert_string_equal(text, GOLDEN_COUNT "@hub.example");
    assert_true(address_parse(GOLDEN_COUNT, &found, NULL));
    assert_memory_equal(&found, &h, sizeof h);
}

static void addresses_round_trip_in_one_case(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 200; seed++) {
        struct hash h = account_of(seed), found;
        char text[ADDRESS_TEXT_MAX], hub[HUB_NAME_MAX + 1];
        const char *home = seed % 2 ? "eu-1.hub.example" : "";
        size_t size = address_format(text, &h, home);
        assert_int_equal(size, strlen(text));
        assert_true(address_parse(text, &found, hub));
        assert_memory_equal(&found, &h, sizeof h);
        assert_string_equal(hub, home);
        for (char *c = text; *c; c++)
            if (*c >= 'a' && *c <= 'z')
                *c = (char)(*c - 'a' + 'A');
        assert_true(address_parse(text, &found, hub));
        assert_memory_equal(&found, &h, sizeof h);
        assert_string_equal(hub, home);
        assert_true(address_parse(text, &found, NULL));
        text[0] = 's';
        assert_false(address_parse(text, &found, hub));
    }
}

static void every_single_wrong_character_is_noticed(void **state)
{
    (void)state;
    struct hash found;
    char text[ADDRESS_TEXT_MAX];
    for (unsigned seed = 0; seed < 4; seed++) {
        struct hash h = account_of(seed);
        size_t size = address_format(text, &h, NULL);
        for (size_t at = 0; at < size; at++) {
            char right = text[at];
            for (int c = 1; c < 256; c++)
                if ((char)c != right) {
                    text[at] = (char)c;
                    assert_false(address_parse(text, &found, NULL));
                }
            text[at] = right;
        }
        assert_true(address_parse(text, &found, NULL));
    }
}

static void every_swap_of_neighbours_is_noticed(void **state)
{
    (void)state;
    struct hash h = account_of(5), found;
    char text[ADDRESS_TEXT_MAX];
    size_t size = address_format(text, &h, NULL);
    for (size_t at = 0; at + 1 < size; at++) {
        char a = text[at], b = text[at + 1];
        text[at] = b;
        text[at + 1] = a;
        assert_int_equal(address_parse(text, &found, NULL), a == b);
        text[at] = a;
        text[at + 1] = b;
    }
}

static void lengths_prefixes_and_hub_names_are_checked(void **state)
{
    (void)state;
    struct hash h = account_of(6), found;
    char text[ADDRESS_TEXT_MAX + 8], hub[HUB_NAME_MAX + 1];
    size_t size = address_format(text, &h, NULL);
    for (size_t less = 0; less < size; less++) {
        char cut[ADDRESS_TEXT_MAX];
        memcpy(cut, text, less);
        cut[less] = '\0';
        assert_false(address_parse(cut, &found, hub));
    }
    static const char *const tails[] = {"q",   "@",      " ",         "@hub@x", "@Hub",
                                        "@h ", "@-hub",  "@hub.",     "/hub",   "@h/00",
                                        "\n",  "@hub\n", "@h\xc3\xbc"};
    for (size_t i = 0; i < COUNT_OF(tails); i++) {
        strcpy(text + size, tails[i]);
        memset(hub, 'z', sizeof hub);
        assert_false(address_parse(text, &found, hub));
        assert_string_equal(hub, "");
    }
    text[size] = '@';
    memset(text + size + 1, 'a', HUB_NAME_MAX + 1);
    text[size + 1 + HUB_NAME_MAX] = '\0';
    assert_true(address_parse(text, &found, hub));
    assert_int_equal(strlen(hub), HUB_NAME_MAX);
    text[size + 1 + HUB_NAME_MAX] = 'a';
    text[size + 2 + HUB_NAME_MAX] = '\0';
    assert_false(address_parse(text, &found, hub));

    char other[80];
    size = bech32m_encode(other, "stob", h.b);
    other[size] = '\0';
    assert_false(address_parse(other, &found, hub));
    size = bech32m_encode(other, "sto", h.b);
    other[size] = '\0';
    assert_false(address_parse(other, &found, hub));
}

static void padding_bits_must_be_zero(void **state)
{
    (void)state;
    struct hash h = account_of(7);
    uint8_t payload[BECH32M_PAYLOAD_BYTES];
    char text[80];
    size_t size = bech32m_encode(text, "stoa", h.b);
    unsigned taken = 0;
    for (unsigned v = 0; v < 32; v++) {
        text[size - 7] = charset[v];
        taken += bech32m_decode(payload, "stoa", text, size);
    }
    assert_int_equal(taken, 1);
    assert_false(bech32m_decode(payload, "stoa", GOLDEN_PADDED, strlen(GOLDEN_PADDED)));
    assert_true(bech32m_checksum_ok(GOLDEN_PADDED, strlen(GOLDEN_PADDED)));
}

static void amounts_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t micro;
    } rows[] = {{"0", 0},
                {"0.0", 0},
                {"1", 1000000},
                {"12.5", 12500000},
                {"12.50", 12500000},
                {"0.000001", 1},
                {"10.000000", 10000000},
                {"999999999999.999999", INT64_C(999999999999999999)},
                {"1000000000000", INT64_C(1000000000000000000)},
                {"1000000000000.000000", INT64_C(1000000000000000000)}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t micro = -1;
        assert_true(amount_parse(rows[i].text, &micro));
        assert_true(micro == rows[i].micro);
    }
}

static void amounts_that_are_not_strict_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "-1",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "1e3",
                                       "1.",
                                       ".5",
                                       "1..2",
                                       "1.2.3",
                                       "01",
                                       "00",
                                       "00.5",
                                       "1,5",
                                       "0x10",
                                       "1.1234567",
                                       "1000000000000.000001",
                                       "1000000000001",
                                       "99999999999999999999999999",
                                       "1.-5",
                                       "one",
                                       "1\n",
                                       "\xd9\xa1",
                                       "1_000"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t micro = -7;
        assert_false(amount_parse(rows[i], &micro));
        assert_true(micro == -7);
    }
}

static void amounts_are_written(void **state)
{
    (void)state;
    static const struct {
        int64_t micro;
        const char *text;
    } rows[] = {{0, "0.00"},
                {1, "0.000001"},
                {10, "0.00001"},
                {12500000, "12.50"},
                {12340000, "12.34"},
                {12345000, "12.345"},
                {-12500000, "-12.50"},
                {-1, "-0.000001"},
                {1000000, "1.00"},
                {1010000, "1.01"},
                {INT64_MAX, "9223372036854.775807"},
                {INT64_MIN, "-9223372036854.775808"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[32];
        amount_format(text, rows[i].micro);
        assert_string_equal(text, rows[i].text);
    }
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    for (unsigned i = 0; i < 2000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        int64_t micro = (int64_t)((x >> x % 40) % UINT64_C(1000000000000000001)), found;
        char text[32];
        amount_format(text, micro);
        assert_true(amount_parse(text, &found));
        assert_true(found == micro);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bip350_valid_strings_have_a_right_checksum),
        cmocka_unit_test(bip350_invalid_strings_are_refused),
        cmocka_unit_test(the_older_bech32_checksum_is_refused),
        cmocka_unit_test(a_known_account_has_its_known_address),
        cmocka_unit_test(addresses_round_trip_in_one_case),
        cmocka_unit_test(every_single_wrong_character_is_noticed),
        cmocka_unit_test(every_swap_of_neighbours_is_noticed),
        cmocka_unit_test(lengths_prefixes_and_hub_names_are_checked),
        cmocka_unit_test(padding_bits_must_be_zero),
        cmocka_unit_test(amounts_are_read),
        cmocka_unit_test(amounts_that_are_not_strict_are_refused),
        cmocka_unit_test(amounts_are_written),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
