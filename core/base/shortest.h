/* The shortest decimal text of a double, as digits and a power of ten. */
#ifndef BASE_SHORTEST_H
#define BASE_SHORTEST_H

#include <stdint.h>

struct shortest {
	uint64_t digits; /* at most 17; may end in zeros */
	int exponent; /* the value is digits * 10^exponent */
};

/* magnitude is finite and above zero. */
struct shortest shortest_of(double magnitude);

#endif
