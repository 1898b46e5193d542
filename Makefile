# A thin front for CMake: the two commands of the README, and their parts.
#
#   make run      installs what is missing, builds, and starts the demo on RocksDB
#   make test     installs what is missing, builds, and runs every test
#
# A machine without make starts with `sh scripts/setup`, which brings it.

BUILD   := build
BACKEND ?= $(BUILD)/plugins/librocksdb_backend.so
ARGS    ?=
JOBS    ?= $(shell nproc)

# Generated makefiles must see neither our variables nor our job server.
CMAKE := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL cmake

.PHONY: run test build setup setup-test check bench format clean
.NOTPARALLEL:

run: setup build
	./$(BUILD)/sbhost --backend $(BACKEND) $(ARGS)

test: setup-test build
	@scripts/run-tests $(BUILD)

build:
	@$(CMAKE) --preset release
	@$(CMAKE) --build $(BUILD) -j $(JOBS)

setup:
	@sh scripts/setup build

setup-test:
	@sh scripts/setup build test

check:
	@sh scripts/setup build test check
	@scripts/check

bench: setup
	@$(CMAKE) --preset release -DSBHOST_BUILD_BENCH=ON
	@$(CMAKE) --build $(BUILD) -j $(JOBS)
	@if [ -x scripts/bench ]; then scripts/bench $(BUILD); else echo "The programs are in $(BUILD)/bench."; fi

format:
	find include core plugins tests bench -name '*.[ch]' | xargs clang-format -i

clean:
	rm -rf build build-dev build-asan build-tsan build-clang build-norocksdb build-coverage build-package
