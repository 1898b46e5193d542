/* See manifest.h. */
#include "plugin/manifest.h"

#include <fcntl.h>
#include <nettle/eddsa.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"

#define MANIFEST_MAX ((uint64_t)1 << 20)
#define HEX_CHARS (2 * SHA256_DIGEST_SIZE)
#define CHUNK_BYTES ((size_t)64 << 10)

struct manifest {
	char *path;
	struct buffer text;
};

/* At most max bytes. */
static int32_t read_file(struct io *io, const char *path, uint64_t max, struct buffer *ret, sb_error *err)
{
	uint8_t chunk[4096];
	int32_t status;
	size_t len;
	int fd;

	TRY(io_open(io, path, O_RDONLY, 0, &fd, err));
	do {
		status = io_read(io, fd, chunk, sizeof(chunk), &len, path, err);
		if (status == SB_OK && ret->len + len > max)
			status = error_set(err, SB_ERR_CONFIG, "%s has more than the %llu bytes that it may have", path,
					   (unsigned long long)max);
		if (status == SB_OK)
			buffer_append(ret, chunk, len);
	} while (status == SB_OK && len > 0);
	io_close(io, fd);
	return status == SB_OK ? buffer_check(ret, err) : status;
}

static int32_t read_exactly(struct io *io, const char *path, uint64_t bytes, const char *what, struct buffer *ret,
			    sb_error *err)
{
	TRY(read_file(io, path, bytes, ret, err));
	if (ret->len != bytes)
		return error_set(err, SB_ERR_CONFIG, "%s has %llu bytes, but %s has %llu", path,
				 (unsigned long long)ret->len, what, (unsigned long long)bytes);
	return SB_OK;
}

static int32_t check_signature(struct io *io, const struct manifest *manifest, const char *key_path, sb_error *err)
{
	AUTO(buffer_done) struct buffer key = BUFFER_INIT, signature = BUFFER_INIT;
	AUTO(free_memory) char *signature_path = NULL;

	if (asprintf(&signature_path, "%s.sig", manifest->path) < 0) {
		signature_path = NULL;
		return error_no_memory(err);
	}
	TRY(read_exactly(io, key_path, ED25519_KEY_SIZE, "an Ed25519 key", &key, err));
	TRY(read_exactly(io, signature_path, ED25519_SIGNATURE_SIZE, "a signature", &signature, err));
	if (!ed25519_sha512_verify(key.data, manifest->text.len, manifest->text.data, signature.data))
		return error_set(err, SB_ERR_INVALID,
				 "%s is not what was signed with the key in %s: sign it anew, or see who changed it",
				 manifest->path, key_path);
	return SB_OK;
}

/* The next line; false at the end. */
static bool next_line(sb_slice *rest, sb_slice *ret_line)
{
	const uint8_t *end;

	if (rest->len == 0)
		return false;
	end = memchr(rest->ptr, '\n', rest->len);
	*ret_line = slice_of(rest->ptr, end ? (uint64_t)(end - rest->ptr) : rest->len);
	rest->ptr += ret_line->len + (end != NULL);
	rest->len -= ret_line->len + (end != NULL);
	return true;
}

/* Digest, blank, blank or asterisk, name. */
static bool has_form(sb_slice line)
{
	if (line.len <= HEX_CHARS + 2 || line.ptr[HEX_CHARS] != ' ' ||
	    (line.ptr[HEX_CHARS + 1] != ' ' && line.ptr[HEX_CHARS + 1] != '*'))
		return false;
	for (size_t i = 0; i < HEX_CHARS; i++)
		if (!strchr("0123456789abcdef", line.ptr[i]) || line.ptr[i] == 0)
			return false;
	return true;
}

static int32_t check_form(const struct manifest *manifest, sb_error *err)
{
	sb_slice rest = buffer_slice(&manifest->text), line;

	for (uint64_t number = 1; next_line(&rest, &line); number++)
		if (line.len && !has_form(line))
			return error_set(err, SB_ERR_CONFIG,
					 "line %llu of %s is not a SHA-256 and a file's name, as sha256sum prints them",
					 (unsigned long long)number, manifest->path);
	return SB_OK;
}

int32_t manifest_load(struct io *io, const char *path, const char *key_path, struct manifest **ret_manifest,
		      sb_error *err)
{
	struct manifest *manifest = calloc(1, sizeof(*manifest));
	int32_t status = SB_OK;

	if (!manifest)
		return error_no_memory(err);
	manifest->path = strdup(path);
	if (!manifest->path)
		status = error_no_memory(err);
	if (status == SB_OK)
		status = read_file(io, path, MANIFEST_MAX, &manifest->text, err);
	if (status == SB_OK)
		status = check_signature(io, manifest, key_path, err);
	if (status == SB_OK)
		status = check_form(manifest, err);
	if (status != SB_OK) {
		manifest_free(manifest);
		return status;
	}
	*ret_manifest = manifest;
	return SB_OK;
}

void manifest_free(struct manifest *manifest)
{
	if (!manifest)
		return;
	buffer_done(&manifest->text);
	free(manifest->path);
	free(manifest);
}

static int32_t digest_of(struct io *io, int fd, const char *path, char ret_hex[HEX_CHARS + 1], sb_error *err)
{
	static const char digits[] = "0123456789abcdef";
	AUTO(free_memory) uint8_t *chunk = malloc(CHUNK_BYTES);
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx context;
	size_t len;

	if (!chunk)
		return error_no_memory(err);
	sha256_init(&context);
	TRY(io_seek(io, fd, 0, path, err));
	do {
		TRY(io_read(io, fd, chunk, CHUNK_BYTES, &len, path, err));
		sha256_update(&context, len, chunk);
	} while (len > 0);
	sha256_digest(&context, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++) {
		ret_hex[2 * i] = digits[digest[i] >> 4];
		ret_hex[2 * i + 1] = digits[digest[i] & 15];
	}
	ret_hex[HEX_CHARS] = 0;
	return SB_OK;
}

static sb_slice last_part(sb_slice path)
{
	const uint8_t *slash = memrchr(path.ptr, '/', path.len);

	return slash ? slice_of(slash + 1, (uint64_t)(path.ptr + path.len - slash - 1)) : path;
}

int32_t manifest_check(const struct manifest *manifest, struct io *io, int fd, const char *path, sb_error *err)
{
	const sb_slice name = last_part(slice_of_text(path));
	char hex[HEX_CHARS + 1];
	bool is_named = false;
	sb_slice rest, line;

	if (!manifest)
		return SB_OK;
	TRY(digest_of(io, fd, path, hex, err));
	rest = buffer_slice(&manifest->text);
	while (next_line(&rest, &line)) {
		if (!line.len ||
		    !slice_equal(last_part(slice_of(line.ptr + HEX_CHARS + 2, line.len - HEX_CHARS - 2)), name))
			continue;
		is_named = true;
		if (memcmp(line.ptr, hex, HEX_CHARS) == 0)
			return SB_OK;
	}
	if (is_named)
		return error_set(err, SB_ERR_INVALID,
				 "%s is another file than %s vouches for (its SHA-256 is %s): put the right one back",
				 path, manifest->path, hex);
	return error_set(err, SB_ERR_INVALID, "%s is not in %s: add it, and sign that anew", path, manifest->path);
}
