/* See starve.h. What the linker calls has no room for a context, so the count is the process's; and that of processes that it forks, since it lies in
 * memory that they share. */
#include "starve.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

struct plan {
	_Atomic bool armed, hit;
	_Atomic uint64_t count;
	uint64_t fail_at;
	bool fail_on;
};

static struct plan *plan; /* NULL: never armed */

void starve_arm(uint64_t nth, bool sticky)
{
	if (!plan)
		plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		abort();
	plan->fail_at = nth;
	plan->fail_on = sticky;
	atomic_store(&plan->count, 0);
	atomic_store(&plan->hit, false);
	atomic_store(&plan->armed, true);
}

uint64_t starve_disarm(void)
{
	atomic_store(&plan->armed, false);
	return atomic_load(&plan->count);
}

bool starve_hit(void)
{
	return atomic_load(&plan->hit);
}

static bool starves(void)
{
	uint64_t now;

	if (!plan || !atomic_load(&plan->armed))
		return false;
	now = atomic_fetch_add(&plan->count, 1) + 1;
	if (plan->fail_at == 0 || now < plan->fail_at || (now > plan->fail_at && !plan->fail_on))
		return false;
	atomic_store(&plan->hit, true);
	errno = ENOMEM;
	return true;
}

/* Defines __wrap_name, which the linker puts in the place of name. */
#define WRAP(type, name, parameters, arguments, failed)                                                                \
	type __real_##name parameters;                                                                                 \
	type __wrap_##name parameters;                                                                                 \
	type __wrap_##name parameters                                                                                  \
	{                                                                                                              \
		return starves() ? (failed) : __real_##name arguments;                                                 \
	}

WRAP(void *, malloc, (size_t size), (size), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(void *, realloc, (void *old, size_t size), (old, size), NULL)
WRAP(void *, reallocarray, (void *old, size_t n, size_t size), (old, n, size), NULL)
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
WRAP(char *, strdup, (const char *text), (text), NULL)
WRAP(char *, strndup, (const char *text, size_t len), (text, len), NULL)
WRAP(ZSTD_CCtx *, ZSTD_createCCtx, (void), (), NULL)
WRAP(ZSTD_DCtx *, ZSTD_createDCtx, (void), (), NULL)
WRAP(int, vasprintf, (char **ret_text, const char *format, va_list arguments), (ret_text, format, arguments), -1)
WRAP(int, pthread_create,
     (pthread_t * ret_thread, const pthread_attr_t *attributes, void *(*start)(void *), void *context),
     (ret_thread, attributes, start, context), EAGAIN)

int __wrap_asprintf(char **ret_text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **ret_text, const char *format, ...)
{
	va_list arguments;
	int result;

	if (starves())
		return -1;
	va_start(arguments, format);
	result = __real_vasprintf(ret_text, format, arguments);
	va_end(arguments);
	return result;
}

/* With _FORTIFY_SOURCE these are what the two are called. */
int __wrap___vasprintf_chk(char **ret_text, int flag, const char *format, va_list arguments);
int __wrap___vasprintf_chk(char **ret_text, int flag, const char *format, va_list arguments)
{
	(void)flag;
	return starves() ? -1 : __real_vasprintf(ret_text, format, arguments);
}

int __wrap___asprintf_chk(char **ret_text, int flag, const char *format, ...) __attribute__((format(printf, 3, 4)));
int __wrap___asprintf_chk(char **ret_text, int flag, const char *format, ...)
{
	va_list arguments;
	int result;

	(void)flag;
	if (starves())
		return -1;
	va_start(arguments, format);
	result = __real_vasprintf(ret_text, format, arguments);
	va_end(arguments);
	return result;
}
