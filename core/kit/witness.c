/* What a child process leaves behind: see witness.h. */
#include "kit/witness.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct witness *witness_new(void)
{
	void *memory = mmap(NULL, sizeof(struct witness), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void witness_free(struct witness *witness)
{
	if (witness)
		munmap(witness, sizeof(*witness));
}

void witness_clear(struct witness *witness)
{
	memset(witness, 0, sizeof(*witness));
}

unsigned witness_enter(struct witness *witness, const char *callback)
{
	for (unsigned slot = 0; slot < WITNESS_CALLS; slot++) {
		const char *empty = NULL;

		if (atomic_compare_exchange_strong(&witness->calls[slot], &empty, callback))
			return slot;
	}
	return WITNESS_CALLS;
}

void witness_leave(struct witness *witness, unsigned slot)
{
	if (slot < WITNESS_CALLS)
		atomic_store(&witness->calls[slot], NULL);
}

bool witness_judge(struct witness *witness, enum verdict verdict, const char *format, ...)
{
	uint32_t none = VERDICT_NONE;
	va_list args;

	if (!atomic_compare_exchange_strong(&witness->verdict, &none, (uint32_t)verdict))
		return false;
	va_start(args, format);
	vsnprintf(witness->sentence, sizeof(witness->sentence), format, args);
	va_end(args);
	atomic_store(&witness->written, true);
	return true;
}

void witness_trace(struct witness *witness, const char *format, ...)
{
	size_t room = sizeof(witness->trace) - witness->trace_len;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(witness->trace + witness->trace_len, room, format, args);
	va_end(args);
	if (len > 0)
		witness->trace_len += (size_t)len < room ? (uint32_t)len : (uint32_t)room - 1;
}

void witness_append_calls(const struct witness *witness, struct buffer *out)
{
	const size_t before = out->len;

	for (unsigned slot = 0; slot < WITNESS_CALLS; slot++) {
		const char *callback = atomic_load(&witness->calls[slot]);

		if (callback)
			buffer_printf(out, "%s%s", out->len > before ? " or " : "", callback);
	}
	if (out->len == before)
		buffer_append_text(out, "no callback of it");
}
