/* Of the coverage build only: the linker sends calls of _exit() here (--wrap, in the top CMakeLists.txt). Children that
 * tests fork leave by _exit(), which runs no destructor, and what they had counted would be lost. */
#include <unistd.h>

void __gcov_dump(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));
/* Of tests/crash/starve.c, when that is loaded in front: the counters are written with memory of their own. */
void starve_stop(void) __attribute__((weak));

/* Runs before the counters are written, whose destructor is of the highest rank and so the last one. */
static __attribute__((destructor)) void feed(void)
{
	if (starve_stop)
		starve_stop();
}

void __wrap__exit(int status)
{
	feed();
	__gcov_dump();
	__real__exit(status);
}
