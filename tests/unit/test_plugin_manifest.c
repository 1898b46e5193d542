/* A signed list of the plugins that may be loaded: what it may look like, who signed it, and which files it vouches for. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <nettle/eddsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "plugin/manifest.h"

/* The SHA-256 of "abc", and another one. */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OTHER "00000000000000000000000000000000000000000000000000000000000000ff"
#define TEXT(literal) literal, sizeof(literal) - 1
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct io io;
static char dir[64], list[128], key[128], signature[128], file[128];
static sb_error err;

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd;

	unlink(path);
	cr_assert_eq(io_create_new(&io, path, &fd, &err), SB_OK, "%s", err.message);
	cr_assert_eq(io_write_all(&io, fd, bytes, len, path, &err), SB_OK, "%s", err.message);
	io_close(&io, fd);
}

static void set_up(void)
{
	err = (sb_error)ERROR_INIT;
	io_init_system(&io);
	strcpy(dir, "/tmp/sbhost-manifest-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(list, sizeof(list), "%s/list", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	snprintf(signature, sizeof(signature), "%s/list.sig", dir);
	snprintf(file, sizeof(file), "%s/p.so", dir);
	write_file(file, "abc", 3);
}

static void tear_down(void)
{
	io_remove_tree(&io, dir, &err);
}

TestSuite(plugin_manifest, .init = set_up, .fini = tear_down, .timeout = 60);

/* The list, signed with a key that lies beside it. */
static void sign(const char *text, size_t len)
{
	static const uint8_t private_key[ED25519_KEY_SIZE] = "for this test and nothing else.";
	uint8_t public_key[ED25519_KEY_SIZE], bytes[ED25519_SIGNATURE_SIZE];

	ed25519_sha512_public_key(public_key, private_key);
	ed25519_sha512_sign(public_key, private_key, len, (const uint8_t *)text, bytes);
	write_file(list, text, len);
	write_file(key, public_key, sizeof(public_key));
	write_file(signature, bytes, sizeof(bytes));
}

static void assert_not_loaded(int32_t code, const char *words)
{
	struct manifest *manifest = NULL;

	cr_assert_eq(manifest_load(&io, list, key, &manifest, &err), code, "not \"%s\", but: %s", words, err.message);
	cr_assert(strstr(err.message, words), "\"%s\" is not in: %s", words, err.message);
	cr_assert_null(manifest);
}

/* What the list says to the file, which is called by this path. */
static int32_t check(const char *text, size_t len, const char *path)
{
	struct manifest *manifest;
	int32_t status;
	int fd;

	sign(text, len);
	cr_assert_eq(manifest_load(&io, list, key, &manifest, &err), SB_OK, "%s", err.message);
	cr_assert_eq(io_open(&io, file, O_RDONLY, 0, &fd, &err), SB_OK);
	status = manifest_check(manifest, &io, fd, path, &err);
	io_close(&io, fd);
	manifest_free(manifest);
	return status;
}

Test(plugin_manifest, vouches_for_files_by_name_and_digest)
{
	static const struct {
		const char *text;
		size_t len;
	} good[] = {
		{TEXT(ABC "  p.so\n")},
		{TEXT(ABC " *p.so\n")},
		{TEXT(ABC "  p.so")},
		{TEXT(ABC "  plugins/p.so\n")},
		{TEXT("\n\n" OTHER "  q.so\n\n" ABC "  p.so\n")},
		{TEXT(OTHER "  p.so\n" ABC "  p.so\n")},
	};

	for (size_t i = 0; i < LENGTH(good); i++) {
		cr_assert_eq(check(good[i].text, good[i].len, "/plugins/p.so"), SB_OK, "%s", err.message);
		cr_assert_eq(check(good[i].text, good[i].len, "p.so"), SB_OK, "%s", err.message);
	}
	cr_assert_eq(manifest_check(NULL, &io, -1, "p.so", &err), SB_OK);
}

Test(plugin_manifest, and_for_no_others)
{
	cr_assert_eq(check(TEXT(OTHER "  p.so\n"), file), SB_ERR_INVALID);
	cr_assert(strstr(err.message, "p.so is another file than"), "%s", err.message);
	cr_assert(strstr(err.message, "(its SHA-256 is " ABC ")"), "%s", err.message);
	cr_assert_eq(check(TEXT(ABC "  q.so\n" ABC "  p.so.1\n"), file), SB_ERR_INVALID);
	cr_assert(strstr(err.message, "p.so is not in"), "%s", err.message);
	cr_assert_eq(check(TEXT(""), file), SB_ERR_INVALID);
	cr_assert(strstr(err.message, "p.so is not in"), "%s", err.message);
}

Test(plugin_manifest, lines_are_as_sha256sum_prints_them)
{
	static const struct {
		const char *text;
		size_t len;
	} bad[] = {
		{TEXT("p.so\n")},
		{TEXT(ABC "  \n")},
		{TEXT(ABC "---p.so\n")},
		{TEXT(ABC " -p.so\n")},
		{TEXT("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD  p.so\n")},
		{TEXT("\0a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  p.so\n")},
	};

	for (size_t i = 0; i < LENGTH(bad); i++) {
		sign(bad[i].text, bad[i].len);
		assert_not_loaded(SB_ERR_CONFIG, "line 1 of ");
	}
	sign(TEXT(ABC "  p.so\n\nonce more\n"));
	assert_not_loaded(SB_ERR_CONFIG, "line 3 of ");
}

Test(plugin_manifest, is_what_was_signed)
{
	sign(TEXT(ABC "  p.so\n"));
	write_file(list, TEXT(OTHER "  p.so\n"));
	assert_not_loaded(SB_ERR_INVALID, "is not what was signed with the key in");
}

Test(plugin_manifest, has_a_key_and_a_signature_of_the_right_size)
{
	static const uint8_t bytes[ED25519_SIGNATURE_SIZE + 1];

	sign(TEXT(ABC "  p.so\n"));
	write_file(key, bytes, ED25519_KEY_SIZE - 1);
	assert_not_loaded(SB_ERR_CONFIG, "key has 31 bytes, but an Ed25519 key has 32");
	write_file(key, bytes, ED25519_KEY_SIZE + 1);
	assert_not_loaded(SB_ERR_CONFIG, "key has more than the 32 bytes that it may have");
	write_file(key, bytes, ED25519_KEY_SIZE);
	write_file(signature, bytes, 0);
	assert_not_loaded(SB_ERR_CONFIG, "list.sig has 0 bytes, but a signature has 64");
	cr_assert_eq(unlink(signature), 0);
	assert_not_loaded(SB_ERR_NOT_FOUND, "list.sig");
	cr_assert_eq(unlink(key), 0);
	assert_not_loaded(SB_ERR_NOT_FOUND, "key");
	manifest_free(NULL);
}
