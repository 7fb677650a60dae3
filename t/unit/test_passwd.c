/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crypto/passwd.h"

#include <string.h>

#include "t/support/unit.h"

/* scrypt of SHA-256 of "pleaseletmein" with the salt 00 01 ... 0f, N 1024, r 8, p 1, by Python's hashlib. */
#define SCRYPT_VECTOR "+4IYz5+8a126kJ0OE1CuJ6xckrC3NDaHUS7ginXsbWM"

START_TEST(a_hash_knows_its_password)
{
	char text[PASSWD_TEXT_MAX], other[PASSWD_TEXT_MAX];

	ck_assert_int_eq(passwd_hash(SLICE_LIT("secret"), 1024, text), 0);
	ck_assert_int_eq(strncmp(text, "$scrypt-sha256$ln=10,r=8,p=1$", 29), 0);
	ck_assert_int_eq(passwd_kind(slice_str(text)), PASSWD_SCRYPT);
	ck_assert_int_eq(passwd_check(slice_str(text), SLICE_LIT("secret")), 0);
	ck_assert_int_eq(passwd_check(slice_str(text), SLICE_LIT("secreu")), FB_EAUTH);
	ck_assert_int_eq(passwd_check(slice_str(text), SLICE_LIT("")), FB_EAUTH);
	ck_assert_int_eq(passwd_hash(SLICE_LIT("secret"), 1024, other), 0);
	ck_assert_str_ne(text, other);
}
END_TEST

/* HMAC, which is inside of scrypt, pads its key with zeros. */
START_TEST(zeros_behind_a_password_count)
{
	char text[PASSWD_TEXT_MAX];
	struct slice s;

	ck_assert_int_eq(passwd_hash(SLICE_LIT("x"), 1024, text), 0);
	s = slice_str(text);
	ck_assert_int_eq(passwd_check(s, slice_of("x", 1)), 0);
	ck_assert_int_eq(passwd_check(s, slice_of("x\0", 2)), FB_EAUTH);
	ck_assert_int_eq(passwd_check(s, slice_of("x\0\0", 3)), FB_EAUTH);
	ck_assert_int_eq(passwd_hash(slice_of("", 0), 1024, text), 0);
	s = slice_str(text);
	ck_assert_int_eq(passwd_check(s, slice_of("", 0)), 0);
	ck_assert_int_eq(passwd_check(s, slice_of("\0", 1)), FB_EAUTH);
}
END_TEST

START_TEST(a_hash_of_another_implementation_is_read)
{
	static const char text[] = "$scrypt-sha256$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" SCRYPT_VECTOR;

	ck_assert_int_eq(passwd_check(SLICE_LIT(text), SLICE_LIT("pleaseletmein")), 0);
}
END_TEST

START_TEST(damaged_texts_are_no_passwords)
{
	static const char *const bad[] = {
		"", "$", "$scrypt-sha256$", "$scrypt-sha256$ln=10,r=8,p=1$", "$scrypt-sha256$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$",
		"$scrypt-sha256$ln=21,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" SCRYPT_VECTOR,
		"$scrypt-sha256$ln=10,r=9,p=1$AAECAwQFBgcICQoLDA0ODw$" SCRYPT_VECTOR,
		"$scrypt-sha256$ln=10,r=0,p=1$AAECAwQFBgcICQoLDA0ODw$" SCRYPT_VECTOR,
		"$scrypt-sha256$ln=1a,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" SCRYPT_VECTOR,
		"$scrypt-sha256$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0OD$" SCRYPT_VECTOR,
		"$scrypt-sha256$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0OD_$" SCRYPT_VECTOR,
		"$scrypt-sha256$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0ODx$" SCRYPT_VECTOR,
		"$scrypt-sha256$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" SCRYPT_VECTOR "A",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_int_eq(passwd_check(slice_str(bad[i]), SLICE_LIT("pleaseletmein")), FB_ECORRUPT);
	ck_assert_int_eq(passwd_kind(SLICE_LIT("$md5$x")), PASSWD_BAD);
}
END_TEST

START_TEST(costs_are_powers_of_two_in_range)
{
	char text[PASSWD_TEXT_MAX];

	ck_assert_int_eq(passwd_hash(SLICE_LIT("x"), 1000, text), FB_EINVAL);
	ck_assert_int_eq(passwd_hash(SLICE_LIT("x"), 512, text), FB_EINVAL);
	ck_assert_int_eq(passwd_hash(SLICE_LIT("x"), 1025, text), FB_EINVAL);
	ck_assert_int_eq(passwd_hash(SLICE_LIT("x"), 1u << 21, text), FB_EINVAL);
}
END_TEST

START_TEST(the_mac_is_hmac_sha256)
{
	/* RFC 4231 has no lengths in front, so this is of the four bytes of length and "what do ya want for nothing?",
	 * made with Python's hmac; the key is case 2's. */
	static const uint8_t want[PASSWD_MAC_BYTES] = {
		0xc9, 0x86, 0x7b, 0xa1, 0xa5, 0x47, 0xb7, 0x1d, 0x33, 0x6a, 0x70, 0xa3, 0xc0, 0xc4, 0xb9, 0xbc,
		0xee, 0x43, 0x17, 0x55, 0xaa, 0x6b, 0x8e, 0x90, 0x6e, 0x9a, 0xfc, 0x20, 0xf3, 0x14, 0x8c, 0x5e,
	};
	const struct slice part = SLICE_LIT("what do ya want for nothing?");
	struct passwd_mac *m = passwd_mac_new("Jefe", 4);
	uint8_t got[PASSWD_MAC_BYTES];

	passwd_mac(m, &part, 1, got);
	ck_assert_mem_eq(got, want, sizeof want);
	passwd_mac(m, &part, 1, got);
	ck_assert_mem_eq(got, want, sizeof want);
	passwd_mac_free(m);
}
END_TEST

START_TEST(keyed_hashes_belong_to_name_and_key)
{
	struct passwd_mac *m = passwd_mac_new("0123456789abcdef0123456789abcdef", 32);
	struct passwd_mac *n = passwd_mac_new("1123456789abcdef0123456789abcdef", 32);
	char text[PASSWD_TEXT_MAX];
	struct slice s;

	passwd_keyed(m, SLICE_LIT("ann"), SLICE_LIT("pw"), text);
	s = slice_str(text);
	ck_assert_int_eq(passwd_kind(s), PASSWD_KEYED);
	ck_assert_int_eq(passwd_check_keyed(m, s, SLICE_LIT("ann"), SLICE_LIT("pw")), 0);
	ck_assert_int_eq(passwd_check_keyed(m, s, SLICE_LIT("ann"), SLICE_LIT("px")), FB_EAUTH);
	ck_assert_int_eq(passwd_check_keyed(m, s, SLICE_LIT("bob"), SLICE_LIT("pw")), FB_EAUTH);
	ck_assert_int_eq(passwd_check_keyed(m, s, SLICE_LIT("annp"), SLICE_LIT("w")), FB_EAUTH);
	ck_assert_int_eq(passwd_check_keyed(n, s, SLICE_LIT("ann"), SLICE_LIT("pw")), FB_EAUTH);
	ck_assert_int_eq(passwd_check_keyed(m, slice_of(s.p, s.len - 1), SLICE_LIT("ann"), SLICE_LIT("pw")), FB_ECORRUPT);
	passwd_mac_free(m);
	passwd_mac_free(n);
}
END_TEST

UNIT_MAIN("passwd", a_hash_knows_its_password, zeros_behind_a_password_count,
    a_hash_of_another_implementation_is_read, damaged_texts_are_no_passwords,
    costs_are_powers_of_two_in_range, the_mac_is_hmac_sha256, keyed_hashes_belong_to_name_and_key)
