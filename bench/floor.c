/* The floor: what a plain program of a few pages does with the same purchases, to measure sbhost by.
 *
 * One thread. It reads NDJSON in blocks, with a scanner written by hand for these three members, updates each profile in
 * a flat table one by one, and prints the enriched purchase with a template. No plugin, no batch, no prefetch, no checking (it
 * believes that its input is what bench/purchases wrote), no expiry, no checkpoint. Its records are those of the example
 * operator to the byte, so that either program proves the other.
 *
 *   floor INPUT OUTPUT [PROFILES]      PROFILES: every user's last record, in no order */
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)
#define WRITE_BYTES ((size_t)1 << 20)
#define LINE_MAX_BYTES 256
#define KEY_BYTES 24

struct profile {
	char key[KEY_BYTES];
	uint32_t key_len; /* 0: an empty slot */
	uint32_t category;
	int64_t purchases;
	int64_t spent_micros;
	int64_t last_ms;
};

struct table {
	struct profile *slots;
	uint64_t mask, count;
};

struct purchase {
	const char *user;
	uint32_t user_len;
	double amount;
	int64_t time_ms;
};

struct writer {
	int fd;
	size_t len;
	char *bytes;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *must_calloc(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		die("floor: memory");
	return memory;
}

/* ---- the table ---- */

static uint64_t hash_of(const char *key, uint32_t len)
{
	uint64_t hash = UINT64_C(0x9e3779b97f4a7c15), word;

	for (; len >= 8; key += 8, len -= 8) {
		memcpy(&word, key, 8);
		hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, key, len);
	hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
	return hash ^ hash >> 32;
}

static struct profile *slot_of(struct table *table, const char *key, uint32_t len)
{
	uint64_t at = hash_of(key, len) & table->mask;

	while (table->slots[at].key_len &&
	       (table->slots[at].key_len != len || memcmp(table->slots[at].key, key, len) != 0))
		at = (at + 1) & table->mask;
	return &table->slots[at];
}

static void grow(struct table *table)
{
	struct table larger = {.mask = table->mask ? table->mask * 2 + 1 : 1023, .count = table->count};

	larger.slots = must_calloc(larger.mask + 1, sizeof(*larger.slots));
	for (uint64_t i = 0; table->slots && i <= table->mask; i++)
		if (table->slots[i].key_len)
			*slot_of(&larger, table->slots[i].key, table->slots[i].key_len) = table->slots[i];
	free(table->slots);
	*table = larger;
}

static struct profile *profile_of(struct table *table, const struct purchase *purchase)
{
	struct profile *profile;

	if (table->count * 2 >= table->mask)
		grow(table);
	profile = slot_of(table, purchase->user, purchase->user_len);
	if (!profile->key_len) {
		memcpy(profile->key, purchase->user, purchase->user_len);
		profile->key_len = purchase->user_len;
		profile->last_ms = INT64_MIN;
		table->count++;
	}
	return profile;
}

static void update(struct profile *profile, const struct purchase *purchase)
{
	profile->purchases++;
	profile->spent_micros += (int64_t)nearbyint(purchase->amount * 1e6);
	if (purchase->time_ms > profile->last_ms)
		profile->last_ms = purchase->time_ms;
	profile->category =
		profile->spent_micros > INT64_C(10000000000) ? 2 : profile->spent_micros > INT64_C(1000000000);
}

/* ---- the scanner ---- */

static const char *scan_digits(const char *p, int64_t *value)
{
	for (; (unsigned)(*p - '0') <= 9; p++)
		*value = *value * 10 + (*p - '0');
	return p;
}

static const char *scan_amount(const char *p, double *ret)
{
	static const double powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
	int64_t digits = 0;
	const char *point = p;

	p = scan_digits(p, &digits);
	*ret = (double)digits;
	if (*p == '.') {
		point = p + 1;
		p = scan_digits(point, &digits);
		*ret = (double)digits / powers[p - point];
	}
	return p;
}

/* The names begin with different letters. */
static const char *scan_line(const char *p, struct purchase *ret)
{
	for (;; p++) {
		p += 2; /* { or , and a quote */
		if (*p == 'u') {
			ret->user = p + sizeof("user_id\":\"") - 1;
			p = strchr(ret->user, '"');
			ret->user_len = (uint32_t)(p - ret->user);
			p++;
		} else if (*p == 'a') {
			p = scan_amount(p + sizeof("amount\":") - 1, &ret->amount);
		} else {
			ret->time_ms = 0;
			p = scan_digits(p + sizeof("timestamp\":") - 1, &ret->time_ms);
			ret->time_ms *= 1000;
		}
		if (*p == '}')
			return p + 2;
		p--;
	}
}

/* ---- the template ---- */

static char *put_digits(char *out, uint64_t value, unsigned count)
{
	for (unsigned i = count; i-- > 0; value /= 10)
		out[i] = (char)('0' + value % 10);
	return out + count;
}

static char *put_number(char *out, uint64_t value)
{
	unsigned count = 1;

	for (uint64_t rest = value; rest >= 10; rest /= 10)
		count++;
	return put_digits(out, value, count);
}

static char *put_text(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return out + len;
}

#define PUT(out, literal) put_text(out, literal, sizeof(literal) - 1)

static char *put_money(char *out, int64_t micros)
{
	uint64_t cents = (uint64_t)micros / 10000;

	out = put_number(out, cents / 100);
	if (cents % 100) {
		*out++ = '.';
		out = put_digits(out, cents % 100, 2);
		out -= out[-1] == '0';
	}
	return out;
}

/* Howard Hinnant's civil_from_days, for times behind 1970. */
static char *put_time(char *out, int64_t ms)
{
	uint64_t z = (uint64_t)(ms / 86400000) + 719468, of_day = (uint64_t)(ms % 86400000);
	uint64_t era = z / 146097, day_of_era = z % 146097;
	uint64_t year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
	uint64_t shifted = (5 * day_of_year + 2) / 153, month = shifted < 10 ? shifted + 3 : shifted - 9;

	out = put_digits(out, year + era * 400 + (month <= 2), 4);
	*out++ = '-';
	out = put_digits(out, month, 2);
	*out++ = '-';
	out = put_digits(out, day_of_year - (153 * shifted + 2) / 5 + 1, 2);
	*out++ = 'T';
	out = put_digits(out, of_day / 3600000, 2);
	*out++ = ':';
	out = put_digits(out, of_day / 60000 % 60, 2);
	*out++ = ':';
	out = put_digits(out, of_day / 1000 % 60, 2);
	*out++ = '.';
	out = put_digits(out, of_day % 1000, 3);
	*out++ = 'Z';
	return out;
}

static char *put_record(char *out, const struct profile *profile)
{
	static const char *const categories[] = {"Regular", "Premium", "VIP"};

	out = PUT(out, "{\"user_id\":\"");
	out = put_text(out, profile->key, profile->key_len);
	out = PUT(out, "\",\"total_purchases\":");
	out = put_number(out, (uint64_t)profile->purchases);
	out = PUT(out, ",\"total_spent\":");
	out = put_money(out, profile->spent_micros);
	out = PUT(out, ",\"last_purchase\":\"");
	out = put_time(out, profile->last_ms);
	out = PUT(out, "\",\"category\":\"");
	out = put_text(out, categories[profile->category], strlen(categories[profile->category]));
	return PUT(out, "\"}\n");
}

/* ---- files ---- */

static void open_writer(struct writer *writer, const char *path)
{
	writer->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (writer->fd < 0)
		die(path);
	writer->bytes = must_calloc(1, WRITE_BYTES + LINE_MAX_BYTES);
}

static void flush(struct writer *writer)
{
	for (size_t at = 0; at < writer->len;) {
		ssize_t n = write(writer->fd, writer->bytes + at, writer->len - at);

		if (n < 0)
			die("floor: write");
		at += (size_t)n;
	}
	writer->len = 0;
}

static void close_writer(struct writer *writer)
{
	flush(writer);
	close(writer->fd);
	free(writer->bytes);
}

static void write_record(struct writer *writer, const struct profile *profile)
{
	writer->len = (size_t)(put_record(writer->bytes + writer->len, profile) - writer->bytes);
	if (writer->len >= WRITE_BYTES)
		flush(writer);
}

static void take_lines(const char *p, const char *end, struct table *table, struct writer *out)
{
	struct purchase purchase;

	while (p < end) {
		struct profile *profile;

		p = scan_line(p, &purchase);
		profile = profile_of(table, &purchase);
		update(profile, &purchase);
		write_record(out, profile);
	}
}

static void run(int in, struct table *table, struct writer *out)
{
	char *block = must_calloc(1, READ_BYTES + LINE_MAX_BYTES);
	size_t kept = 0;
	ssize_t n;

	while ((n = read(in, block + kept, READ_BYTES)) > 0) {
		const char *end = block + kept + n, *line_end = memrchr(block, '\n', kept + (size_t)n);

		take_lines(block, line_end + 1, table, out);
		kept = (size_t)(end - (line_end + 1));
		memcpy(block, line_end + 1, kept);
	}
	if (n < 0)
		die("floor: read");
	free(block);
}

static void write_profiles(const struct table *table, const char *path)
{
	struct writer writer = {0};

	open_writer(&writer, path);
	for (uint64_t i = 0; table->slots && i <= table->mask; i++)
		if (table->slots[i].key_len)
			write_record(&writer, &table->slots[i]);
	close_writer(&writer);
}

int main(int argc, char **argv)
{
	struct table table = {0};
	struct writer out = {0};
	int in;

	if (argc < 3) {
		fprintf(stderr, "usage: floor INPUT OUTPUT [PROFILES]\n");
		return 2;
	}
	in = open(argv[1], O_RDONLY);
	if (in < 0)
		die(argv[1]);
	open_writer(&out, argv[2]);
	run(in, &table, &out);
	close_writer(&out);
	if (argc > 3)
		write_profiles(&table, argv[3]);
	free(table.slots);
	close(in);
	return 0;
}
