/* sb_plugin.hpp compiles alone, and each sort of exception becomes the status that its comment promises. */
#include "sb_plugin.hpp"

#include <cstdio>

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                    \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

namespace
{

struct {
	std::string text = std::string(SB_ERROR_MESSAGE_BYTES - 2, 'a') + "\xc3\xa9"; /* a character across the end */
} too_long;

template <class Thrown> int32_t guarded(sb_error *err, const Thrown &thrown)
{
	return sb::guard(err, [&] { throw thrown; });
}

} // namespace

int main()
{
	sb_error err = sb_error();

	CHECK(sb::guard(&err, [] {}) == SB_OK);
	CHECK(sb::guard(&err, [] { return SB_ERR_DATA; }) == SB_ERR_DATA);
	CHECK(err.code == 0);

	CHECK(guarded(&err, sb::error(SB_ERR_BUSY, "one\ntwo", SB_ERROR_RETRYABLE)) == SB_ERR_BUSY);
	CHECK(err.code == SB_ERR_BUSY && err.flags == SB_ERROR_RETRYABLE && err.message == std::string("one two"));
	CHECK(guarded(&err, sb::error(SB_OK, "no failure")) == SB_ERR_INTERNAL);
	CHECK(err.flags == 0);

	CHECK(guarded(&err, std::bad_alloc()) == SB_ERR_NO_MEMORY);
	CHECK(guarded(&err, std::system_error(EIO, std::generic_category(), "read")) == SB_ERR_IO);
	CHECK(err.sys_errno == EIO && std::string(err.message).find("read") == 0);
	CHECK(guarded(&err, std::system_error(ENOSPC, std::system_category())) == SB_ERR_NO_SPACE);
	CHECK(guarded(&err, std::system_error(std::make_error_code(std::errc::no_such_file_or_directory))) ==
	      SB_ERR_NOT_FOUND);

	CHECK(guarded(&err, std::runtime_error(too_long.text)) == SB_ERR_INTERNAL);
	CHECK(err.sys_errno == 0 && std::strlen(err.message) == SB_ERROR_MESSAGE_BYTES - 2);
	CHECK(guarded(&err, 42) == SB_ERR_INTERNAL);
	CHECK(err.code == SB_ERR_INTERNAL);
	return 0;
}
