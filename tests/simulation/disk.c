/* See disk.h: names, and what a cut leaves. They are kept flat, by their whole paths: there are a few dozen. Nodes are never freed: a simulation
 * is short. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "simulation/disk_private.h"

#define NAMES_MAX 512u

struct name {
	char path[DISK_PATH_BYTES];
	struct node *node;
};

struct names {
	struct name items[NAMES_MAX];
	size_t count;
};

/* A change of names since the disk was formatted or last cut. "" where nothing went, or nothing came. */
struct change {
	char removed[DISK_PATH_BYTES], added[DISK_PATH_BYTES];
	struct node *node; /* added */
	bool removal_durable, addition_durable;
};

static struct {
	struct names now, base; /* base: as the disk was when changes began */
	struct change *changes;
	size_t change_count, change_room;
	uint64_t nodes;
} disk;

int disk_fail(int code)
{
	errno = code;
	return -1;
}

static struct node *new_node(bool is_dir)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		abort();
	node->is_dir = is_dir;
	node->number = ++disk.nodes;
	return node;
}

static struct name *find(struct names *names, const char *path)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i].path, path) == 0)
			return &names->items[i];
	return NULL;
}

void disk_copy_path(char to[DISK_PATH_BYTES], const char *path)
{
	size_t len = 0;

	for (; *path; path++) {
		if (*path == '/' && len && to[len - 1] == '/')
			continue;
		if (len == DISK_PATH_BYTES - 1)
			abort();
		to[len++] = *path;
	}
	if (len > 1 && to[len - 1] == '/')
		len--;
	to[len] = 0;
}

static void parent_of(char *to, const char *path)
{
	disk_copy_path(to, path);
	*strrchr(to, '/') = 0;
}

static void put_name(struct names *names, const char *path, struct node *node)
{
	struct name *name = find(names, path);

	if (!name) {
		if (names->count == NAMES_MAX)
			abort();
		name = &names->items[names->count++];
		disk_copy_path(name->path, path);
	}
	name->node = node;
}

static void take_name(struct names *names, const char *path)
{
	struct name *name = find(names, path);

	if (name)
		*name = names->items[--names->count];
}

struct node *disk_node_at(const char *path)
{
	char clean[DISK_PATH_BYTES];
	struct name *name;

	disk_copy_path(clean, path);
	name = find(&disk.now, clean);
	return name ? name->node : NULL;
}

/* removed or added may be NULL. */
static void change(const char *removed, const char *added, struct node *node)
{
	struct change *change;

	if (disk.change_count == disk.change_room) {
		disk.change_room = disk.change_room ? 2 * disk.change_room : 64;
		disk.changes = realloc(disk.changes, disk.change_room * sizeof(*disk.changes));
		if (!disk.changes)
			abort();
	}
	change = &disk.changes[disk.change_count++];
	*change = (struct change){.node = node, .removal_durable = !removed, .addition_durable = !added};
	if (removed) {
		disk_copy_path(change->removed, removed);
		take_name(&disk.now, change->removed);
	}
	if (added) {
		disk_copy_path(change->added, added);
		put_name(&disk.now, change->added, node);
	}
}

void disk_format(void)
{
	memset(&disk.now, 0, sizeof(disk.now));
	disk_close_all();
	disk.change_count = 0;
	disk.nodes = 0;
	put_name(&disk.now, DISK_ROOT, new_node(true));
	disk.base = disk.now;
}

void disk_put(const char *path, const void *bytes, size_t len)
{
	struct node *node = new_node(false);

	node->links = 1;
	buffer_append(&node->content, bytes, len);
	buffer_append(&node->durable, bytes, len);
	put_name(&disk.now, path, node);
	put_name(&disk.base, path, node);
}

void disk_put_directory(const char *path)
{
	struct node *node = new_node(true);

	put_name(&disk.now, path, node);
	put_name(&disk.base, path, node);
}

static bool has_parent(struct names *names, const char *path)
{
	char parent[DISK_PATH_BYTES];
	struct name *name;

	if (strcmp(path, DISK_ROOT) == 0)
		return true;
	parent_of(parent, path);
	name = find(names, parent);
	return name && name->node->is_dir;
}

struct node *disk_new_file(const char *path)
{
	struct node *node;

	if (!has_parent(&disk.now, path)) {
		errno = ENOENT;
		return NULL;
	}
	node = new_node(false);
	node->links = 1;
	change(NULL, path, node);
	return node;
}

/* ---- what stops it ---- */

static void drop_orphans(struct names *names)
{
	bool dropped;

	do {
		dropped = false;
		for (size_t i = names->count; i-- > 0;)
			if (!has_parent(names, names->items[i].path)) {
				names->items[i] = names->items[--names->count];
				dropped = true;
			}
	} while (dropped);
}

static void replay_names(enum disk_cut cut, struct rng *rng)
{
	for (size_t i = 0; i < disk.change_count; i++) {
		const struct change *c = &disk.changes[i];
		const struct name *removed = *c->removed ? find(&disk.base, c->removed) : NULL;
		bool kept = (c->removal_durable && c->addition_durable) || (cut == CUT_SOME && rng_chance(rng, 50));

		/* What moves something that never came moves nothing. */
		if (!kept || (*c->removed && !removed))
			continue;
		if (removed) {
			const bool was_dir = removed->node->is_dir;

			take_name(&disk.base, c->removed);
			if (was_dir)
				drop_orphans(&disk.base);
		}
		if (*c->added)
			put_name(&disk.base, c->added, c->node);
	}
	drop_orphans(&disk.base);
	disk.now = disk.base;
	disk.change_count = 0;
}

/* The durable bytes; of others behind them perhaps some, perhaps zeros, perhaps the new content as a whole. */
static void cut_content(struct node *node, enum disk_cut cut, struct rng *rng)
{
	const size_t durable = node->durable.len;
	size_t kept = 0;

	if (node->is_dir || (cut == CUT_SOME && !node->spoiled && rng_chance(rng, 30)))
		kept = node->content.len;
	else if (cut == CUT_SOME && node->content.len > durable)
		kept = durable + rng_below(rng, node->content.len - durable + 1);
	if (kept > durable) {
		buffer_clear(&node->durable);
		buffer_append_slice(&node->durable, buffer_slice(&node->content));
		node->durable.len = kept;
		if (rng_chance(rng, 25))
			memset(node->durable.data + durable, 0, kept - durable);
	}
	buffer_clear(&node->content);
	buffer_append_slice(&node->content, buffer_slice(&node->durable));
}

void disk_stop(enum disk_cut cut, struct rng *rng)
{
	disk_close_all();
	if (cut != CUT_NOTHING) {
		replay_names(cut, rng);
		for (size_t i = 0; i < disk.now.count; i++)
			cut_content(disk.now.items[i].node, cut, rng);
	}
	for (size_t i = 0; i < disk.now.count; i++) {
		disk.now.items[i].node->lock_fd = 0;
		disk.now.items[i].node->spoiled = false; /* what the next run writes is new */
	}
}

/* ---- names ---- */

int disk_describe(const struct node *node, struct stat *ret)
{
	*ret = (struct stat){
		.st_dev = 1,
		.st_ino = node->number,
		.st_mode = node->is_dir ? S_IFDIR | 0700 : S_IFREG | 0600,
		.st_nlink = node->is_dir ? 2 : node->links,
		.st_size = (off_t)node->content.len,
	};
	return 0;
}

void disk_sync_names(const char *dir)
{
	char parent[DISK_PATH_BYTES];

	for (size_t i = 0; i < disk.change_count; i++) {
		struct change *c = &disk.changes[i];

		if (*c->removed) {
			parent_of(parent, c->removed);
			c->removal_durable |= strcmp(parent, dir) == 0;
		}
		if (*c->added) {
			parent_of(parent, c->added);
			c->addition_durable |= strcmp(parent, dir) == 0;
		}
	}
}

int disk_stat(const char *path, struct stat *ret)
{
	const struct node *node = disk_node_at(path);

	return node ? disk_describe(node, ret) : disk_fail(ENOENT);
}

bool disk_has_path(const char *path)
{
	const size_t len = strlen(DISK_ROOT);

	return strncmp(path, DISK_ROOT, len) == 0 && (path[len] == 0 || path[len] == '/');
}

const struct buffer *disk_content(const char *path)
{
	const struct node *node = disk_node_at(path);

	return node && !node->is_dir ? &node->content : NULL;
}

int disk_rename(const char *from, const char *to, bool replace)
{
	struct node *node = disk_node_at(from);

	if (!node || !has_parent(&disk.now, to))
		return disk_fail(ENOENT);
	if (disk_node_at(to) && !replace)
		return disk_fail(EEXIST);
	if (node->is_dir)
		abort(); /* the host moves no directory; whoever makes it do so has to move what is below */
	change(from, to, node);
	return 0;
}

int disk_link(const char *from, const char *to)
{
	struct node *node = disk_node_at(from);

	if (!node || !has_parent(&disk.now, to))
		return disk_fail(ENOENT);
	if (disk_node_at(to))
		return disk_fail(EEXIST);
	node->links++;
	change(NULL, to, node);
	return 0;
}

int disk_unlink(const char *path)
{
	struct node *node = disk_node_at(path);

	if (!node)
		return disk_fail(ENOENT);
	if (node->is_dir)
		return disk_fail(EISDIR);
	node->links--;
	change(path, NULL, NULL);
	return 0;
}

static bool is_below(const char *path, const char *dir)
{
	char parent[DISK_PATH_BYTES];

	if (strcmp(path, DISK_ROOT) == 0)
		return false;
	parent_of(parent, path);
	return strcmp(parent, dir) == 0;
}

int disk_rmdir(const char *path)
{
	if (!disk_node_at(path))
		return disk_fail(ENOENT);
	for (size_t i = 0; i < disk.now.count; i++)
		if (is_below(disk.now.items[i].path, path))
			return disk_fail(ENOTEMPTY);
	change(path, NULL, NULL);
	return 0;
}

int disk_mkdir(const char *path)
{
	if (disk_node_at(path))
		return disk_fail(EEXIST);
	if (!has_parent(&disk.now, path))
		return disk_fail(ENOENT);
	change(NULL, path, new_node(true));
	return 0;
}

int disk_list(const char *path, struct buffer *names)
{
	const struct node *node = disk_node_at(path);
	char clean[DISK_PATH_BYTES];

	if (!node)
		return disk_fail(ENOENT);
	if (!node->is_dir)
		return disk_fail(ENOTDIR);
	disk_copy_path(clean, path);
	for (size_t i = 0; i < disk.now.count; i++) {
		const char *item = disk.now.items[i].path;

		if (is_below(item, clean)) {
			item = strrchr(item, '/') + 1;
			buffer_append(names, item, strlen(item) + 1);
		}
	}
	return 0;
}
