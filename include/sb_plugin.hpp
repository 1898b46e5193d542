/* SPDX-License-Identifier: Apache-2.0
 *
 * sb_plugin.hpp: what a plugin in C++ needs beside sb_plugin.h: no exception may leave a callback.
 *
 * The host is C; an exception that reaches it ends the process. So the body of each callback goes into sb::guard(),
 * which turns whatever is thrown into a status and a filled sb_error:
 *
 *     static int32_t my_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
 *     {
 *             return sb::guard(err, [&] { *ret_backend = new sb_backend(config); });
 *     }
 *
 *     thrown                                 status              message
 *     sb::error                              its own code        its own
 *     std::bad_alloc                         SB_ERR_NO_MEMORY    "out of memory"
 *     std::system_error, errno category      SB_ERR_IO (*)       what(), and sys_errno is set
 *     any other std::exception               SB_ERR_INTERNAL     what()
 *     anything else                          SB_ERR_INTERNAL     says that
 *
 *     (*) ENOSPC and EDQUOT: SB_ERR_NO_SPACE; ENOMEM: SB_ERR_NO_MEMORY; ENOENT: SB_ERR_NOT_FOUND
 *
 * Outputs must be untouched on failure: set them last, as the example does. A guarded body may also return a status: of
 * the host's own functions, which have filled the error they were given, or kept the cause themselves.
 *
 * Callbacks that return nothing (close, unpin, iter_close) cannot report: declare them noexcept and let destructors do
 * the work. sb_plugin.h's types and functions have C linkage; a callback may have either on every machine that the host runs on.
 *
 * Header only; C++11 or later. Nothing is allocated to report a failure, and nothing here is exported by a plugin that
 * is linked with the version script plugin.map.
 */
#ifndef SB_PLUGIN_HPP
#define SB_PLUGIN_HPP

#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "sb_plugin.h"

namespace sb
{

/* A failure with the status that the host is to see: throw sb::error(SB_ERR_CONFIG, "high is below low; raise the one or lower the other"). */
class error : public std::runtime_error
{
      public:
	error(int32_t code, const std::string &message, uint32_t flags = 0)
	    : std::runtime_error(message), code_(code), flags_(flags)
	{
	}

	/* SB_ERR_* */
	int32_t code() const noexcept
	{
		return code_;
	}
	/* SB_ERROR_* */
	uint32_t flags() const noexcept
	{
		return flags_;
	}

      private:
	int32_t code_;
	uint32_t flags_;
};

/* Fills err and returns code, so that "return sb::fail(err, SB_ERR_CONFIG, ...)" works where nothing is thrown. Line feeds become
 * spaces; what does not fit is cut, between two characters. */
inline int32_t fail(sb_error *err, int32_t code, const char *message, uint32_t flags = 0, int32_t sys_errno = 0) noexcept
{
	std::size_t length = std::strlen(message);

	if (length >= SB_ERROR_MESSAGE_BYTES) {
		length = SB_ERROR_MESSAGE_BYTES - 1;
		while (length && (static_cast<unsigned char>(message[length]) & 0xc0) == 0x80)
			length--;
	}
	for (std::size_t i = 0; i < length; i++)
		err->message[i] = message[i] == '\n' || message[i] == '\r' ? ' ' : message[i];
	err->message[length] = 0;
	err->code = code;
	err->flags = flags;
	err->sys_errno = sys_errno;
	return code;
}

inline int32_t code_of_errno(int sys_errno) noexcept
{
	switch (sys_errno) {
	case ENOSPC:
	case EDQUOT:
		return SB_ERR_NO_SPACE;
	case ENOMEM:
		return SB_ERR_NO_MEMORY;
	case ENOENT:
		return SB_ERR_NOT_FOUND;
	default:
		return SB_ERR_IO;
	}
}

/* Call only where an exception is being handled, "catch (...) { return sb::fail_by_exception(err); }"; guard() does. */
inline int32_t fail_by_exception(sb_error *err) noexcept
{
	try {
		throw;
	} catch (const error &e) {
		/* A code that says "no failure" would let the host read outputs that nobody has set. */
		return fail(err, e.code() < 0 ? e.code() : SB_ERR_INTERNAL, e.what(), e.flags());
	} catch (const std::bad_alloc &) {
		return fail(err, SB_ERR_NO_MEMORY, "out of memory");
	} catch (const std::system_error &e) {
		const std::error_category &category = e.code().category();

		if (category == std::generic_category() || category == std::system_category())
			return fail(err, code_of_errno(e.code().value()), e.what(), 0, e.code().value());
		return fail(err, SB_ERR_INTERNAL, e.what());
	} catch (const std::exception &e) {
		return fail(err, SB_ERR_INTERNAL, e.what());
	} catch (...) {
		return fail(err, SB_ERR_INTERNAL, "an exception that is no std::exception was thrown");
	}
}

namespace detail
{

template <class Body> int32_t run(Body &&body, std::true_type /* returns void */)
{
	std::forward<Body>(body)();
	return SB_OK;
}

template <class Body> int32_t run(Body &&body, std::false_type)
{
	return std::forward<Body>(body)();
}

} // namespace detail

/* Runs body, which returns nothing or a status; see above for what becomes of exceptions. */
template <class Body> int32_t guard(sb_error *err, Body &&body) noexcept
{
	try {
		return detail::run(std::forward<Body>(body), std::is_void<decltype(body())>());
	} catch (...) {
		return fail_by_exception(err);
	}
}

} // namespace sb

#endif /* SB_PLUGIN_HPP */
