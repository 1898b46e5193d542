/* Of the coverage build only: the linker sends calls of _exit() here (--wrap, in the top CMakeLists.txt). Children that
 * tests fork leave by _exit(), which runs no destructor, and what they had counted would be lost. */
#include <unistd.h>

void __gcov_dump(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}
