/* Memory that runs out at a chosen allocation: "what if exactly this one failed?", asked for every N in turn, in a process of the test's own.
 *
 * The linker sends every allocation that our objects ask for to starve.c (--wrap, in tests/CMakeLists.txt, for all programs of this folder); what libraries
 * ask for among themselves is theirs, and passes. A thread to start and a context of zstd count as well. tests/crash/starve.c does the same to the
 * program that users have; this one is quick enough to try all of them. */
#ifndef FAULT_STARVE_H
#define FAULT_STARVE_H

#include <stdbool.h>
#include <stdint.h>

/* The nth allocation from now on fails, and with sticky all behind it. 0: none, they are counted only. */
void starve_arm(uint64_t nth, bool sticky);
/* Returns how many there have been since. */
uint64_t starve_disarm(void);
/* Whether it has come so far; lasts until it is armed again. */
bool starve_hit(void);

#endif
