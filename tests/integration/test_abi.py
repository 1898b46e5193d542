"""The ABI's promise: what was built when a version was frozen runs with this sbhost, source and binary.

tests/abi/v1.N holds the header, the source and the binary of each frozen version (scripts/freeze-abi, docs/abi.md).
"""

import sys

sys.dont_write_bytecode = True

import json
import os
import platform
import re
import shutil
import subprocess
import unittest

import harness

ABI = os.path.join(harness.SOURCE, "tests", "abi")
OURS = os.path.join(harness.SOURCE, "include", "sb_plugin.h")
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def versions():
    return sorted(name for name in os.listdir(ABI) if name.startswith("v"))


def frozen():
    return [name for name in versions() if os.path.exists(os.path.join(ABI, name, "sb_plugin.h"))]


def code_of(path):
    """A header without its comments and blanks: what a compiler sees of it."""
    with open(path, encoding="utf-8") as file:
        return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S))


class Abi(harness.Case):
    def compile(self, source, header_dir, name):
        path = self.path(name)
        subprocess.run([COMPILER, "-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-fvisibility=hidden",
                        "-I", header_dir, "-o", path, source], check=True)
        os.chmod(path, 0o755)
        return path

    def check(self, path):
        report = json.loads(self.sbhost("plugin", "check", "--json", path).out)
        self.assertEqual((report["failed"], report["warned"]), (0, 0))
        return {result["component"] for result in report["results"]} - {None}

    def run_job(self, path):
        self.write("in.ndjson", harness.numbered_events(0, 500))
        for first, more in ((200, ()), (300, ())):
            self.sbhost("--backend", path, "--operator", path, "--input", "in.ndjson", "--output", "out.ndjson", "--max-events", str(first),
                        "--ttl", "0", *more)
        records = [json.loads(line) for line in self.read("out.ndjson").splitlines()]
        self.assertEqual([record["events"] for record in records], list(range(1, 501)))
        visits = {}
        for i, record in enumerate(records):
            user = "user-%d" % (i % 7)
            visits[user] = visits.get(user, 0) + 1
            self.assertEqual((record["user_id"], record["visits"]), (user, visits[user]))

    @unittest.skipUnless(COMPILER, "no C compiler")
    def test_sources_compile_with_our_header_and_run(self):
        for version in versions():
            with self.subTest(version=version):
                path = self.compile(os.path.join(ABI, version, "plugin.c"), os.path.dirname(OURS), "ours-%s.so" % version)
                self.assertEqual(len(self.check(path)), 2)
                self.run_job(path)

    @unittest.skipUnless(COMPILER, "no C compiler")
    def test_sources_compile_with_their_own_header_and_run(self):
        if not frozen():
            self.skipTest("no version is frozen yet: scripts/freeze-abi")
        for version in frozen():
            with self.subTest(version=version):
                path = self.compile(os.path.join(ABI, version, "plugin.c"), os.path.join(ABI, version), "own-%s.so" % version)
                self.assertEqual(len(self.check(path)), 2)

    def test_binaries_run(self):
        if not frozen():
            self.skipTest("no version is frozen yet: scripts/freeze-abi")
        if platform.machine() != "x86_64":
            self.skipTest("the binaries are for x86-64, and this machine is %s" % platform.machine())
        for version in frozen():
            with self.subTest(version=version):
                kept = os.path.join(ABI, version, "plugin-x86-64.so")
                self.assertLessEqual(os.path.getsize(kept), 30 << 10)
                # A copy of our own: the working copy may be writable by others, whom the host does not trust.
                path = self.path("kept-%s.so" % version)
                shutil.copyfile(kept, path)
                os.chmod(path, 0o755)
                info = json.loads(self.sbhost("plugin", "info", "--json", path).out)
                self.assertEqual(version, "v%d.%d" % (info["abi_major"], info["abi_minor"]))
                self.assertEqual(len(self.check(path)), 2)
                self.run_job(path)

    def test_a_frozen_version_never_changes(self):
        """Comments may be made clearer; what a compiler sees stays, until the minor version is raised."""
        code = code_of(OURS)
        current = "v" + ".".join(re.search(r"#define SB_ABI_%s (\d+)" % part, code).group(1) for part in ("MAJOR", "MINOR"))
        if not frozen():
            self.skipTest("no version is frozen yet: scripts/freeze-abi")
        self.assertLessEqual(max(int(version.split(".")[1]) for version in frozen()), int(current.split(".")[1]))
        if current in frozen():
            self.assertEqual(code_of(os.path.join(ABI, current, "sb_plugin.h")), code)


if __name__ == "__main__":
    unittest.main()
