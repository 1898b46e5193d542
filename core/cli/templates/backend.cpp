/* @name@: a state backend for sbhost.
 *
 * Entries lie in a std::map in memory, in the order of their keys. That is enough for a backend that works and passes
 * "sbhost plugin check"; put your own engine in its place, function by function. What each callback must keep is told in
 * sb_plugin.h: read the paragraph there before you change the one here. No exception may leave a callback: sb::guard()
 * (sb_plugin.hpp) makes a status of it. */
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "sb_plugin.hpp"

#define NAME "@name@"
#define VERSION "0.1.0"

namespace
{

struct Value {
	std::string bytes;
	int64_t expiry_ms;
};

/* Never changed once it is in the map: who overwrites a key puts another value there. So a pin is one more owner, and stays
 * as it is without a copy. std::string compares as bytes without sign, which is the order that is promised. */
using Map = std::map<std::string, std::shared_ptr<const Value>, std::less<>>;

std::string_view view(sb_slice slice)
{
	return {reinterpret_cast<const char *>(slice.ptr), slice.len};
}

sb_slice slice(std::string_view text)
{
	return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

} // namespace

struct sb_backend {
	const sb_host *host;
	Map map;
	std::string sweep; /* maintain() goes on at this key */
};

struct sb_iter {
	Map::const_iterator next, end;
};

namespace
{

int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	/* config->dir would be ours to keep files in. */
	return sb::guard(err, [&] { *ret_backend = new sb_backend{config->host, {}, {}}; });
}

void backend_close(sb_backend *backend) noexcept
{
	delete backend;
}

void backend_unpin(sb_backend *, uint64_t n, sb_pin *pins) noexcept
{
	for (uint64_t i = 0; i < n; i++)
		delete static_cast<std::shared_ptr<const Value> *>(pins[i].owner);
}

int32_t backend_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	uint64_t done = 0;
	int32_t status = sb::guard(err, [&] {
		for (; done < n; done++) {
			auto found = backend->map.find(view(keys[done]));
			sb_pin pin = {};

			if (found != backend->map.end()) {
				pin.owner = new std::shared_ptr<const Value>(found->second);
				pin.value = slice(found->second->bytes);
				pin.expiry_ms = found->second->expiry_ms;
				pin.found = 1;
			}
			pins[done] = pin;
		}
	});

	if (status != SB_OK)
		backend_unpin(backend, done, pins); /* on failure no pin is held */
	return status;
}

/* All or nothing: what can fail happens in a map of its own, whose nodes are then moved over. */
int32_t backend_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	return sb::guard(err, [&] {
		Map changes; /* a value, or none for a deletion; of several operations on a key the last one stays */

		for (uint64_t i = 0; i < n; i++) {
			std::shared_ptr<const Value> value;

			if (ops[i].kind == SB_OP_PUT)
				value = std::make_shared<Value>(
					Value{std::string(view(ops[i].value)), ops[i].expiry_ms});
			else if (ops[i].kind != SB_OP_DELETE)
				throw sb::error(SB_ERR_INVALID, "an operation of unknown kind");
			changes[std::string(view(ops[i].key))] = std::move(value);
		}
		while (!changes.empty()) {
			auto node = changes.extract(changes.begin());

			backend->map.erase(node.key());
			if (node.mapped())
				backend->map.insert(std::move(node));
		}
	});
}

int32_t backend_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	return sb::guard(err, [&] {
		const Map &map = backend->map;

		*ret_iter = new sb_iter{map.lower_bound(view(options->lower)),
					options->upper.len ? map.lower_bound(view(options->upper)) : map.end()};
	});
}

/* Nothing is written while an iterator is open, because this backend does not promise SB_BACKEND_STABLE_ITER. */
int32_t backend_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *) noexcept
{
	uint64_t n = 0;

	for (; n < max && iter->next != iter->end; ++iter->next)
		entries[n++] = {slice(iter->next->first), slice(iter->next->second->bytes),
				iter->next->second->expiry_ms};
	*ret_count = n;
	return SB_OK;
}

void backend_iter_close(sb_iter *iter) noexcept
{
	delete iter;
}

/* Looks at budget entries and purges the expired ones, from where the last call stopped. */
int32_t backend_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	return sb::guard(err, [&] {
		const int64_t horizon_ms = backend->host->expiry_horizon_ms(backend->host);
		auto entry = backend->map.lower_bound(backend->sweep);
		uint64_t purged = 0;

		for (; entry != backend->map.end() && budget; budget--) {
			const int64_t expiry_ms = entry->second->expiry_ms;

			if (expiry_ms != SB_NO_EXPIRY && expiry_ms <= horizon_ms) {
				entry = backend->map.erase(entry);
				purged++;
			} else {
				++entry;
			}
		}
		if (entry == backend->map.end())
			backend->sweep.clear();
		else
			backend->sweep = entry->first;
		*ret_purged = purged;
	});
}

int32_t backend_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *) noexcept
{
	if (capacity)
		stats[0] = {"entries", static_cast<double>(backend->map.size()), "entries", SB_METRIC_GAUGE, 0};
	*ret_count = 1;
	return SB_OK;
}

/* sb.files/1 and the like would be found here. */
const void *backend_extension(const char *) noexcept
{
	return nullptr;
}

/* --- what the host is told: constants, so that nothing runs when the file is loaded --- */

constexpr sb_backend_ops make_ops()
{
	sb_backend_ops ops = {};

	ops.struct_size = sizeof(ops);
	ops.open = backend_open;
	ops.close = backend_close;
	ops.multi_get = backend_multi_get;
	ops.unpin = backend_unpin;
	ops.write_batch = backend_write_batch;
	ops.iter_open = backend_iter_open;
	ops.iter_next = backend_iter_next;
	ops.iter_close = backend_iter_close;
	ops.maintain = backend_maintain;
	ops.stats = backend_stats;
	ops.extension = backend_extension;
	return ops;
}
constexpr sb_backend_ops ops = make_ops();

constexpr sb_component make_component()
{
	sb_component component = {};

	component.struct_size = sizeof(component);
	component.kind = SB_KIND_BACKEND;
	component.flags = SB_BACKEND_ORDERED | SB_BACKEND_IN_MEMORY;
	component.threads = SB_THREADS_INSTANCE;
	component.id = NAME;
	component.title = "@title@";
	component.doc = "Keeps entries in a std::map in memory.";
	component.ops = &ops;
	return component;
}
constexpr sb_component component = make_component();
constexpr const sb_component *components[] = {&component};

constexpr sb_plugin make_plugin()
{
	sb_plugin plugin = {};

	plugin.struct_size = sizeof(plugin);
	plugin.abi_major = SB_ABI_MAJOR;
	plugin.abi_minor = SB_ABI_MINOR;
	plugin.name = NAME;
	plugin.version = VERSION;
	plugin.vendor = "you";
	plugin.license = "Apache-2.0";
	plugin.doc = "A state backend for sbhost.";
	plugin.components = components;
	plugin.component_count = 1;
	return plugin;
}
constexpr sb_plugin plugin = make_plugin();

} // namespace

SB_PLUGIN_REGISTER(plugin, NAME, VERSION);
