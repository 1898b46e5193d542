"""What "cmake --install" puts into a prefix is enough: the program finds its plugins, and others build theirs against it, with
pkg-config and a plain Makefile, with CMake, in C and in C++, and run jobs on them. SBHOST_PREFIX names one that is there
already (scripts/check unpacks the Debian packages into it)."""

import sys

sys.dont_write_bytecode = True

import gzip
import json
import os
import shutil
import subprocess
import unittest

import harness

OUTSIDE = os.path.join(harness.SOURCE, "tests", "install")
INPUT = ["--input", "generator:users=3,rate=0,seed=5,count=200", "--output", "out.ndjson"]


class Install(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = harness.tempfile.mkdtemp(prefix="sbhost-install-")
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.prefix = os.environ.get("SBHOST_PREFIX")
        if not cls.prefix:
            cls.prefix = os.path.join(cls.shared, "prefix")
            call("cmake", "--install", harness.BUILD, "--prefix", cls.prefix)
        cls.libdir = subprocess.run(["find", cls.prefix, "-name", "sbhost.pc"], check=True, stdout=subprocess.PIPE,
                                    text=True).stdout.split("/pkgconfig/")[0]

    def outside(self):
        """A directory as an author of plugins would have it."""
        for name in os.listdir(OUTSIDE):
            shutil.copy(os.path.join(OUTSIDE, name), self.dir)
        shutil.copy(os.path.join(harness.SOURCE, "docs", "examples", "list_backend.c"), self.dir)

    def uninstall(self, *names):
        for name in names:
            os.unlink(os.path.join(self.libdir, "sbhost", "plugins", name))

    def installed(self, *args, prefix=None, status=0):
        done = subprocess.run([os.path.join(prefix or self.prefix, "bin", "sbhost"), *args], cwd=self.dir,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def check_exports(self, plugin):
        symbols = subprocess.run(["nm", "-D", "--defined-only", plugin], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual([line.split()[-1] for line in symbols.splitlines()], ["sb_plugin_entry_v1"])

    def check_job(self, backend):
        """The job gives under this backend what it gives under ours."""
        self.installed("--backend", "memory", *INPUT)
        expected = self.read("out.ndjson")
        self.assertEqual(expected.count(b"\n"), 200)
        self.installed("--backend", backend, "--restore", "none", *INPUT)
        self.assertEqual(self.read("out.ndjson"), expected)

    def check_throwing(self, backend):
        for what, sentence in (("error", "the shelf is full; clear it"), ("bad_alloc", "out of memory"),
                               ("system_error", "cannot write the shelf: Read-only file system"),
                               ("exception", "basic_string::at"), ("int", "no std::exception")):
            with self.subTest(throw=what):
                done = self.installed("--backend", backend, "--backend-opt", "throw=" + what, "--allow-fresh-start",
                                      "--cache-size", "0", *INPUT, status=1)
                self.assertIn(sentence, done.stderr)

    def test_the_program_finds_its_plugins_wherever_the_prefix_is(self):
        moved = self.path("elsewhere")
        shutil.copytree(self.prefix, moved)
        built = {name for name in os.listdir(os.path.join(harness.BUILD, "plugins")) if name.endswith(".so")}
        for prefix in (self.prefix, moved):
            listed = json.loads(self.installed("plugin", "list", "--json", prefix=prefix).stdout)
            self.assertEqual({entry["file"] for entry in listed if entry["status"] == "ok"}, built)
            self.installed("--backend", "memory", "--restore", "none", *INPUT, prefix=prefix)

    def test_a_plain_makefile_with_pkg_config(self):
        self.outside()
        env = dict(os.environ, PKG_CONFIG_PATH=os.path.join(self.libdir, "pkgconfig"))
        call("make", cwd=self.dir, env=env)
        for name in ("liblist_backend.so", "libthrowing_backend.so"):
            self.check_exports(self.path(name))
        self.check_job("./liblist_backend.so")
        self.check_throwing("./libthrowing_backend.so")
        call("make", "install", cwd=self.dir, env=env)
        self.addCleanup(self.uninstall, "liblist_backend.so", "libthrowing_backend.so")
        self.check_job("list")
        abi = subprocess.run(["pkg-config", "--variable=abi", "sbhost"], env=env, check=True, stdout=subprocess.PIPE, text=True)
        self.assertEqual(abi.stdout, "1.0\n")

    def test_a_cmake_project_with_find_package(self):
        self.outside()
        configured = call("cmake", "-S", ".", "-B", "build", "-DCMAKE_PREFIX_PATH=" + self.prefix, cwd=self.dir)
        self.assertIn("plugin directory: %s/sbhost/plugins, ABI 1.0" % self.libdir, configured)
        call("cmake", "--build", "build", cwd=self.dir)
        for name in ("liblist_backend.so", "libthrowing_backend.so"):
            self.check_exports(self.path("build", "plugins", name))
        self.check_job("build/plugins/liblist_backend.so")
        self.check_throwing("build/plugins/libthrowing_backend.so")

    def test_find_package_refuses_another_major_version(self):
        self.write("CMakeLists.txt", "cmake_minimum_required(VERSION 3.16)\nproject(outside LANGUAGES NONE)\n"
                                     "find_package(sbhost 1.0)\nmessage(STATUS \"found: ${sbhost_FOUND}\")\n")
        self.assertIn("found: 0", call("cmake", "-S", ".", "-B", "build", "-DCMAKE_PREFIX_PATH=" + self.prefix, cwd=self.dir))

    def test_manual_pages_are_installed_as_they_are_written(self):
        for section, name in ((1, "sbhost.1"), (3, "sbhost-plugin.3")):
            with gzip.open(os.path.join(self.prefix, "share", "man", "man%d" % section, name + ".gz")) as page:
                with open(os.path.join(harness.SOURCE, "docs", "man", name), "rb") as source:
                    self.assertEqual(page.read(), source.read())

    def test_exceptions_become_the_promised_statuses(self):
        program = self.path("guard")
        for standard in ("c++11", "c++20"):
            call("c++", "-std=" + standard, "-Wall", "-Wextra", "-Werror", "-I" + os.path.join(self.prefix, "include"),
                 os.path.join(harness.SOURCE, "tests", "golden", "header_guard.cpp"), "-o", program)
            call(program)


def call(*args, **more):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    if done.returncode:
        raise AssertionError("%s ended with %d and said:\n%s" % (" ".join(args), done.returncode, done.stdout))
    return done.stdout


if __name__ == "__main__":
    unittest.main(verbosity=2)
