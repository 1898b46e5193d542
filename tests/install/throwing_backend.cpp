/* A backend in C++ that keeps nothing and throws at the first write, what its option says: whatever it is, the host must get a
 * status and a sentence. */
#include <cerrno>
#include <string>
#include <vector>

#include "sb_plugin.hpp"

struct sb_backend {
	std::string what;
};

struct sb_iter {
	std::vector<std::string> entries;
};

namespace
{

int32_t open_backend(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	return sb::guard(err, [&] {
		const sb_slice text = config->options[0].text;

		*ret_backend = new sb_backend{std::string(reinterpret_cast<const char *>(text.ptr), text.len)};
	});
}

void close_backend(sb_backend *backend) noexcept
{
	delete backend;
}

int32_t multi_get(sb_backend *, uint64_t n, const sb_slice *, sb_pin *pins, sb_error *)
{
	for (uint64_t i = 0; i < n; i++)
		pins[i] = sb_pin();
	return SB_OK;
}

int32_t write_batch(sb_backend *backend, uint64_t, const sb_op *, sb_error *err)
{
	return sb::guard(err, [&] {
		if (backend->what == "error")
			throw sb::error(SB_ERR_NO_SPACE, "the shelf is full; clear it");
		if (backend->what == "bad_alloc")
			throw std::bad_alloc();
		if (backend->what == "system_error")
			throw std::system_error(EROFS, std::generic_category(), "cannot write the shelf");
		if (backend->what == "exception")
			backend->what.at(1000);
		throw 42;
	});
}

int32_t iter_open(sb_backend *, const sb_iter_options *, sb_iter **ret_iter, sb_error *err)
{
	return sb::guard(err, [&] { *ret_iter = new sb_iter(); });
}

int32_t iter_next(sb_iter *, uint64_t, sb_entry *, uint64_t *ret_count, sb_error *)
{
	*ret_count = 0;
	return SB_OK;
}

void iter_close(sb_iter *iter) noexcept
{
	delete iter;
}

sb_option make_option()
{
	sb_option made = sb_option();

	made.struct_size = sizeof(made);
	made.type = SB_OPTION_STRING;
	made.name = "throw";
	made.default_text = "error";
	return made;
}

sb_backend_ops make_ops()
{
	sb_backend_ops made = sb_backend_ops();

	made.struct_size = sizeof(made);
	made.open = open_backend;
	made.close = close_backend;
	made.multi_get = multi_get;
	made.write_batch = write_batch;
	made.iter_open = iter_open;
	made.iter_next = iter_next;
	made.iter_close = iter_close;
	return made;
}

const sb_option option = make_option();
const sb_option *const options[] = {&option};
const sb_backend_ops operations = make_ops();

sb_component make_component()
{
	sb_component made = sb_component();

	made.struct_size = sizeof(made);
	made.kind = SB_KIND_BACKEND;
	made.id = "throwing";
	made.title = "Throwing";
	made.doc = "Keeps nothing and throws.";
	made.options = options;
	made.option_count = 1;
	made.ops = &operations;
	return made;
}

const sb_component component = make_component();
const sb_component *const components[] = {&component};

sb_plugin make_plugin()
{
	sb_plugin made = sb_plugin();

	made.struct_size = sizeof(made);
	made.abi_major = SB_ABI_MAJOR;
	made.abi_minor = SB_ABI_MINOR;
	made.name = "throwing-backend";
	made.version = "1.0.0";
	made.vendor = "sbhost";
	made.license = "Apache-2.0";
	made.doc = "For the test of sb_plugin.hpp.";
	made.components = components;
	made.component_count = 1;
	return made;
}

const sb_plugin plugin = make_plugin();

} // namespace

SB_PLUGIN_REGISTER(plugin, "throwing-backend", "1.0.0");
