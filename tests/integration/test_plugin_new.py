"""What "sbhost plugin new" writes builds without a warning, passes its own test and runs jobs: each kind in each language, with
make and with CMake."""

import sys

sys.dont_write_bytecode = True

import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import unittest

import harness

STRICT = "-O1 -g -Wpedantic -Werror"
if "address" in os.environ.get("SBHOST_SANITIZE", ""):
    STRICT += " -fsanitize=address,undefined -fno-sanitize-recover=undefined"

SOURCES = {("backend", "c"): "fresh_one.c", ("backend", "c++"): "fresh_one.cpp",
           ("operator", "c"): "fresh_one.c", ("operator", "c++"): "fresh_one.cpp"}


class PluginNew(harness.Case):
    def new(self, *args, status=0, **more):
        return self.sbhost("plugin", "new", *args, status=status, **more)

    def call(self, *args, cwd):
        done = subprocess.run(args, cwd=self.path(cwd), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, env=self._env(None))
        self.assertEqual(done.returncode, 0, "%s\n%s" % (" ".join(args), done.stdout))
        return done.stdout

    def files(self, directory):
        return sorted(os.path.relpath(os.path.join(where, name), self.path(directory))
                      for where, _, names in os.walk(self.path(directory)) for name in names)

    def check_jobs(self, kind, plugin_dir):
        """By its name, from a directory of plugins, and beside the host's own."""
        for name in ("libmemory_backend.so", "libexample_processor.so"):
            shutil.copy(os.path.join(harness.BUILD, "plugins", name), self.path(plugin_dir))
        self.sbhost("--plugin-dir", plugin_dir, *(["--backend", "memory"] if kind == "operator" else []), "--" + kind,
                    "fresh-one", "--input", "generator:users=9,rate=0,seed=3,count=500", "--output", "out.ndjson")
        self.assertEqual(self.read("out.ndjson").count(b"\n"), 500)
        self.assertEqual(len(self.export()), 9)

    def test_each_builds_and_runs_with_make(self):
        for kind, lang in SOURCES:
            with self.subTest(kind=kind, lang=lang):
                self.new("fresh-one", "--kind", kind, "--lang", lang)
                said = self.call("make", "test", "CFLAGS=" + STRICT, "CXXFLAGS=" + STRICT, cwd="fresh-one")
                self.assertIn(" 0 failed", said)
                self.assertRegex(said, "fresh-one: .* what they should be")
                self.call("make", "install", "PLUGINDIR=" + self.path("installed"), cwd="fresh-one")
                self.check_jobs(kind, "installed")
                for directory in ("fresh-one", "installed", "checkpoints", "state-data"):
                    shutil.rmtree(self.path(directory))
                os.unlink(self.path("out.ndjson"))

    def test_each_builds_with_cmake(self):
        for kind, lang in SOURCES:
            with self.subTest(kind=kind, lang=lang):
                self.new("fresh-one", "--kind", kind, "--lang", lang)
                self.call("cmake", "-S", ".", "-B", "build", "-DCMAKE_C_FLAGS=" + STRICT, "-DCMAKE_CXX_FLAGS=" + STRICT,
                          cwd="fresh-one")
                self.call("cmake", "--build", "build", cwd="fresh-one")
                self.assertTrue(os.path.exists(self.path("fresh-one", "build", "plugins", "libfresh_one.so")))
                if (kind, lang) == ("operator", "c++"):
                    self.assertIn("100% tests passed", self.call("ctest", "--test-dir", "build", cwd="fresh-one"))
                shutil.rmtree(self.path("fresh-one"))

    def test_a_broken_backend_fails_its_test(self):
        self.new("fresh-one")
        source = self.path("fresh-one", "fresh_one.c")
        with open(source, encoding="utf-8") as file:
            text = file.read()
        broken = text.replace("entry->expiry_ms <= horizon_ms", "entry->expiry_ms >= horizon_ms")
        self.assertNotEqual(text, broken)
        with open(source, "w", encoding="utf-8") as file:
            file.write(broken)
        done = subprocess.run(["make", "test"], cwd=self.path("fresh-one"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, env=self._env(None))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("expiry.", done.stdout)

    def test_names_are_put_in_everywhere(self):
        for (kind, lang), source in SOURCES.items():
            with self.subTest(kind=kind, lang=lang):
                self.new("fresh-one", "--kind", kind, "--lang", lang)
                files = self.files("fresh-one")
                self.assertIn(source, files)
                self.assertEqual("sbhost/sb_plugin.hpp" in files, lang == "c++")
                for name in files:
                    self.assertNotRegex(self.read(os.path.join("fresh-one", name)).decode(), "@[a-z_]+@", name)
                for name in ("sb_plugin.h", "sb_plugin.hpp") if lang == "c++" else ("sb_plugin.h",):
                    with open(os.path.join(harness.SOURCE, "include", name), "rb") as header:
                        self.assertEqual(self.read("fresh-one/sbhost/" + name), header.read())
                shutil.rmtree(self.path("fresh-one"))

    def test_the_directory_can_be_chosen_and_is_open_to_others_to_read(self):
        os.mkdir(self.path("deep"))
        self.assertIn(b"cd deep/work && make test", self.new("fresh-one", "--dir", "deep/work").out)
        for name in [""] + self.files("deep/work"):
            mode = stat.S_IMODE(os.stat(self.path("deep/work", name)).st_mode)
            self.assertEqual(mode, 0o644 if name else 0o755, name)

    def test_what_is_there_is_not_touched(self):
        os.mkdir(self.path("taken"))
        self.write("file", "mine")
        os.symlink("nowhere", self.path("link"))
        for name in ("taken", "file", "link"):
            self.assertSays(self.new(name, status=3), name + " is there already", "--dir")
        self.assertEqual(os.listdir(self.path("taken")), [])
        self.assertEqual(self.read("file"), b"mine")
        self.assertFalse(os.path.exists(self.path("nowhere")))
        self.assertSays(self.new("fine", "--dir", "no/such/place", status=3), "no/such/place")

    def test_names_that_cannot_be(self):
        for name in ("", "Upper", "1st", "-dash", "under_score", "a/b", "../up", "sp ace", "caf\u00e9", "a" * 64, "test", "all", "edit-cache"):
            with self.subTest(name=name):
                self.assertSays(self.new("--", name, status=3), "name" if name not in ("test", "all", "edit-cache") else "keep")
        self.assertEqual(os.listdir(self.dir), [])
        self.new("a" * 63)

    def test_mistakes_name_what_would_be_right(self):
        self.assertSays(self.new("x", "--kind", "source", status=3), "--kind source", "backend or operator")
        self.assertSays(self.new("x", "--lang", "rust", status=3), "--lang rust", "c or c++")
        self.assertSays(self.new(status=2), "NAME")
        self.assertEqual(os.listdir(self.dir), [])

    @unittest.skipIf(os.environ.get("SBHOST_COVERAGE") == "1", "Skipping a limit on the size of files (not with coverage): it would cut the counters short")
    def test_a_failure_half_way_leaves_nothing(self):
        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

        self.assertSays(self.new("fresh-one", status=1, preexec_fn=small_files), "fresh_one.c")
        self.assertEqual(os.listdir(self.dir), [])

    def test_a_host_in_a_strange_place_is_named_without_its_path(self):
        os.mkdir(self.path("it's $here"))
        shutil.copy(harness.SBHOST, self.path("it's $here", "sbhost"))
        subprocess.run([self.path("it's $here", "sbhost"), "plugin", "new", "fresh-one"], cwd=self.dir, check=True,
                       stdout=subprocess.DEVNULL)
        self.assertIn(b"\nSBHOST ?= sbhost\n", self.read("fresh-one/Makefile"))
        self.new("usual")
        self.assertTrue(re.search(rb"\nSBHOST \?= %s\n" % re.escape(os.path.realpath(harness.SBHOST).encode()),
                                  self.read("usual/Makefile")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
