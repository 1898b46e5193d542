/* A manifest: the plugins that may be loaded, each by the SHA-256 of its file, signed by whoever vouches for them.
 *
 * The text is what sha256sum prints: a digest, two blanks (or a blank and an asterisk), a file's name, of which directories do not count. FILE.sig beside it is
 * the Ed25519 signature of the whole text, 64 bytes; the key is its 32 bytes in a file. With OpenSSL:
 *
 *   sha256sum plugins/lib*.so > plugins.manifest
 *   openssl genpkey -algorithm ed25519 -out signing.pem
 *   openssl pkey -in signing.pem -pubout -outform DER | tail -c 32 > manifest.pub
 *   openssl pkeyutl -sign -inkey signing.pem -rawin -in plugins.manifest -out plugins.manifest.sig */
#ifndef PLUGIN_MANIFEST_H
#define PLUGIN_MANIFEST_H

#include "io/io.h"

#define MANIFEST_KEY_DEFAULT "/etc/sbhost/manifest.pub"

struct manifest;

/* SB_ERR_INVALID: the signature is not that of the key. A line of another form is SB_ERR_CONFIG. */
int32_t manifest_load(struct io *io, const char *path, const char *key_path, struct manifest **ret_manifest,
		      sb_error *err);
void manifest_free(struct manifest *manifest);

/* SB_ERR_INVALID when the file open at fd, of that name, is not in it with that content. manifest NULL: everything may be loaded. */
int32_t manifest_check(const struct manifest *manifest, struct io *io, int fd, const char *path, sb_error *err);

#endif
