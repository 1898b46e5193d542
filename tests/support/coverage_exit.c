/* Of the coverage build only: the linker sends calls of _exit() here (--wrap, in the top CMakeLists.txt). Children that tests fork leave by _exit(),
 * which runs no destructor, and what they had counted would be lost. Each module has counters, and a function that writes them, of its own: plugins that
 * have been loaded by then enter theirs into the program's list. */
#include <dlfcn.h>
#include <stddef.h>
#include <unistd.h>

struct module {
	void (*dump)(void);
	struct module *next;
};

/* The program's own is what all find. */
struct module *coverage_modules;

extern const int coverage_hook;
const int coverage_hook = 1; /* by which a plugin's link asks for this file */

void __gcov_dump(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));
/* Of tests/crash/starve.c, when that is loaded in front: the counters are written with memory of their own. */
void starve_stop(void) __attribute__((weak));

static __attribute__((constructor)) void enter(void)
{
	static struct module own = {.dump = __gcov_dump};
	struct module **list = dlsym(RTLD_DEFAULT, "coverage_modules");

	if (!list)
		return;
	own.next = *list;
	*list = &own;
}

/* Runs before the counters are written, whose destructor is of the highest rank and so the last one. */
static __attribute__((destructor)) void feed(void)
{
	if (starve_stop)
		starve_stop();
}

void __wrap__exit(int status)
{
	feed();
	for (const struct module *module = coverage_modules; module; module = module->next)
		module->dump();
	__real__exit(status);
}
