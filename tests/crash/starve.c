/* Preloaded into sbhost by tests/integration/test_starved.py: of the allocations that our own objects ask for (the program and the plugins, not the
 * libraries below them), the Nth fails, once or from then on.
 *
 *   STARVE_AT      number of the first one that fails, from 1
 *   STARVE_ALWAYS  set: all later ones fail, too
 *   STARVE_REPORT  file that gets a byte when it came so far
 *
 * What a library allocates for us in one call of ours counts as that call: strdup, asprintf and their like. */
#undef _FORTIFY_SOURCE /* or some of these are macros */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic long count;
static _Atomic long at;
static int always;

static __attribute__((constructor)) void read_plan(void)
{
	const char *text = getenv("STARVE_AT");

	at = text ? strtol(text, NULL, 10) : 0;
	always = getenv("STARVE_ALWAYS") != NULL;
}

/* For whoever writes something behind the program's end that is not the program's (tests/support/coverage_exit.c). */
void starve_stop(void);
void starve_stop(void)
{
	at = 0;
}

static int is_ours(const void *caller)
{
	Dl_info info;
	size_t len;

	if (!dladdr(caller, &info) || !info.dli_fname)
		return 0;
	len = strlen(info.dli_fname);
	return strstr(info.dli_fname, "/plugins/lib") || (len >= 6 && strcmp(info.dli_fname + len - 6, "sbhost") == 0);
}

static void report(void)
{
	const char *path = getenv("STARVE_REPORT");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd >= 0) {
		(void)!write(fd, "x", 1);
		close(fd);
	}
}

static int starves(const void *caller)
{
	long now;

	if (at == 0 || !is_ours(caller))
		return 0;
	now = atomic_fetch_add(&count, 1) + 1;
	if (now == at)
		report();
	if (now != at && !(always && now > at))
		return 0;
	errno = ENOMEM;
	return 1;
}

#define CALLER __builtin_return_address(0)
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
	return starves(CALLER) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return starves(CALLER) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return starves(CALLER) ? NULL : __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || starves(CALLER)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return starves(CALLER) ? NULL : NEXT(aligned_alloc)(alignment, size);
}

char *strdup(const char *text)
{
	return starves(CALLER) ? NULL : NEXT(strdup)(text);
}

int vasprintf(char **ret_text, const char *format, va_list arguments)
{
	return starves(CALLER) ? -1 : NEXT(vasprintf)(ret_text, format, arguments);
}

int asprintf(char **ret_text, const char *format, ...)
{
	va_list arguments;
	int result;

	if (starves(CALLER))
		return -1;
	va_start(arguments, format);
	result = NEXT(vasprintf)(ret_text, format, arguments);
	va_end(arguments);
	return result;
}

/* With _FORTIFY_SOURCE these are what the two are called. */
int __vasprintf_chk(char **ret_text, int flag, const char *format, va_list arguments);
int __vasprintf_chk(char **ret_text, int flag, const char *format, va_list arguments)
{
	(void)flag;
	return starves(CALLER) ? -1 : NEXT(vasprintf)(ret_text, format, arguments);
}

int __asprintf_chk(char **ret_text, int flag, const char *format, ...);
int __asprintf_chk(char **ret_text, int flag, const char *format, ...)
{
	va_list arguments;
	int result;

	(void)flag;
	if (starves(CALLER))
		return -1;
	va_start(arguments, format);
	result = NEXT(vasprintf)(ret_text, format, arguments);
	va_end(arguments);
	return result;
}
