/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands in the server's own form. hiredis can write them from arrays of arguments, but would have us lay every key and value out
 * in one piece first; here they are copied once. A wire that ran out of memory says so when it is sent.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

#define WIRE_KEPT_BYTES ((size_t)4 << 20)

static void append(struct wire *wire, const void *bytes, size_t len)
{
	if (wire->no_memory || len == 0)
		return;
	if (!wire->bytes || wire->room - wire->len < len) {
		size_t room = 2 * (wire->len + len) + 1024;
		uint8_t *more = realloc(wire->bytes, room);

		wire->no_memory = !more;
		if (!more)
			return;
		wire->bytes = more;
		wire->room = room;
	}
	memcpy(wire->bytes + wire->len, bytes, len);
	wire->len += len;
}

static void append_head(struct wire *wire, char kind, uint64_t number)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%c%" PRIu64 "\r\n", kind, number);

	append(wire, text, (size_t)len);
}

void wire_command(struct wire *wire, unsigned arguments)
{
	append_head(wire, '*', arguments);
}

void wire_bytes(struct wire *wire, sb_slice bytes)
{
	append_head(wire, '$', bytes.len);
	append(wire, bytes.ptr, bytes.len);
	append(wire, "\r\n", 2);
}

void wire_text(struct wire *wire, const char *text)
{
	wire_bytes(wire, (sb_slice){(const uint8_t *)text, strlen(text)});
}

void wire_number(struct wire *wire, int64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, number);
	wire_text(wire, text);
}

void wire_value(struct wire *wire, int64_t expiry_ms, sb_slice value)
{
	uint8_t expiry[EXPIRY_BYTES];

	expiry_store(expiry, expiry_ms);
	append_head(wire, '$', EXPIRY_BYTES + value.len);
	append(wire, expiry, EXPIRY_BYTES);
	append(wire, value.ptr, value.len);
	append(wire, "\r\n", 2);
}

void wire_key(const struct sb_backend *backend, struct wire *wire, const char *token, unsigned group, char kind,
	      sb_slice member)
{
	const char *name = (const char *)backend->options[OPTION_NAMESPACE].text.ptr;
	char head[NAMESPACE_BYTES_MAX + TOKEN_CHARS + 16];
	int len = snprintf(head, sizeof(head), "%s:{%s.%04x}%c", name, token, group, kind);

	append_head(wire, '$', (uint64_t)len + member.len);
	append(wire, head, (size_t)len);
	append(wire, member.ptr, member.len);
	append(wire, "\r\n", 2);
}

void wire_place(const struct sb_backend *backend, struct wire *wire, const char *name, const char *suffix)
{
	append_head(wire, '$', strlen(backend->place) + strlen(name) + strlen(suffix));
	append(wire, backend->place, strlen(backend->place));
	append(wire, name, strlen(name));
	append(wire, suffix, strlen(suffix));
	append(wire, "\r\n", 2);
}

/* Sent, or given up: keeps the memory for the next time, up to a point. */
void wire_done(struct wire *wire)
{
	wire->len = 0;
	wire->no_memory = false;
	if (wire->room <= WIRE_KEPT_BYTES)
		return;
	free(wire->bytes);
	wire->bytes = NULL;
	wire->room = 0;
}
