/* See trace.h. */
#include "simulation/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static struct {
	uint64_t hash, lines;
	bool print;
} trace;

void trace_begin(bool print)
{
	trace.hash = trace.lines = 0;
	trace.print = print;
}

static void mix(const void *bytes, size_t len)
{
	trace.hash = XXH3_64bits_withSeed(bytes, len, trace.hash);
}

void trace_add(unsigned thread, int64_t now_ns, const char *what, const char *text, int64_t a, int64_t b)
{
	const int64_t numbers[] = {thread, now_ns, a, b};

	trace.lines++;
	mix(numbers, sizeof(numbers));
	mix(what, strlen(what) + 1);
	if (text)
		mix(text, strlen(text) + 1);
	if (trace.print)
		printf("%8" PRIu64 " %12.6f  %u  %-10s %s %" PRId64 " %" PRId64 "\n", trace.lines, (double)now_ns / 1e6,
		       thread, what, text ? text : "", a, b);
}

int64_t trace_checksum(const void *bytes, size_t len)
{
	return (int64_t)(XXH3_64bits(bytes, len) >> 32);
}

uint64_t trace_hash(void)
{
	return trace.hash;
}

uint64_t trace_lines(void)
{
	return trace.lines;
}
