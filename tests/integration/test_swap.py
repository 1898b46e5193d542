"""A checkpoint taken under one backend carries on under another, and what follows is the same to the byte."""

import sys

sys.dont_write_bytecode = True

import json
import shutil
import unittest

import harness
from harness import needs_rocksdb, numbered_events

NOW_MS = 1700000000123


class Swap(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("clock", str(NOW_MS))
        self.env = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}
        self.write("in.ndjson", numbered_events(0, 3000, users=700))

    def run_branch(self, branch, backend, parallelism, *more):
        self.sbhost("--backend", backend, "--parallelism", str(parallelism), "--input", "in.ndjson", "--output", "none",
                    "--checkpoint-dir", branch, "--state-dir", branch + "-state", "--checkpoint-mode", "full", *more, env=self.env)

    def check_branches_agree(self, first):
        self.run_branch("first", first, 1, "--max-events", "2500")
        branches = [(backend, parallelism) for backend in harness.every_backend() for parallelism in (1, 2)]
        seen = []
        for backend, parallelism in branches:
            branch = "%s-%d" % (backend, parallelism)
            shutil.copytree(self.path("first"), self.path(branch))
            self.run_branch(branch, backend, parallelism, "--max-events", "1")
            checkpoint = self.newest(branch)
            self.assertEqual((checkpoint["Backend"], checkpoint["Tasks"], checkpoint["Events"]),
                             (backend, parallelism, 2501))
            seen.append((checkpoint["StateDigest"], sorted(self.export("--checkpoint-dir", branch))))
        for other in seen[1:]:
            self.assertEqual(other, seen[0])
        self.assertEqual(len(seen[0][1]), 700)
        for line in seen[0][1]:
            self.assertEqual(json.loads(line)["expiry_ms"], NOW_MS + 86400000)

    def test_branches_from_a_checkpoint_of_any_backend_agree(self):
        for first in harness.every_backend():
            with self.subTest(first=first):
                self.setUp()
                self.check_branches_agree(first)

    @needs_rocksdb
    def test_there_and_back_changes_nothing(self):
        self.run_branch("there", "rocksdb", 2, "--max-events", "1000")
        self.run_branch("there", "memory", 1, "--max-events", "1000")
        self.run_branch("there", "rocksdb", 3, "--max-events", "1000")
        self.run_branch("straight", "memory", 1)
        self.assertEqual(self.newest("there")["StateDigest"], self.newest("straight")["StateDigest"])
        self.assertEqual(sorted(self.export("--checkpoint-dir", "there")),
                         sorted(self.export("--checkpoint-dir", "straight")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
