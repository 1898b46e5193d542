/* Shared by the disk's files: disk.c (names, and what a cut leaves), disk_files.c (descriptors and contents). */
#ifndef SIMULATION_DISK_PRIVATE_H
#define SIMULATION_DISK_PRIVATE_H

#include "simulation/disk.h"

#define DISK_PATH_BYTES 160u

struct node {
	bool is_dir;
	bool spoiled; /* an fsync failed: nothing more becomes durable */
	uint64_t number;
	unsigned links;
	int lock_fd; /* 0: nobody's */
	struct buffer content, durable;
};

/* errno, and -1. */
int disk_fail(int code);
/* With single slashes between names, and none at the end. */
void disk_copy_path(char to[DISK_PATH_BYTES], const char *path);
/* NULL: there is none. */
struct node *disk_node_at(const char *path);
/* A new file there; NULL and errno when its directory is missing. */
struct node *disk_new_file(const char *path);
/* The changes of names in that directory are durable. */
void disk_sync_names(const char *dir);
int disk_describe(const struct node *node, struct stat *ret);
/* disk_files.c */
void disk_close_all(void);

#endif
