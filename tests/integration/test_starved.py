"""Every allocation of ours fails once, and from each on all fail: a sentence and a status, or success; and the next start goes on as if nothing had been.

In `make test` one allocation in many is tried, others each day; SBHOST_STARVE_EVERY=1 tries all."""

import sys

sys.dont_write_bytecode = True

import os
import shutil
import time
import unittest

import harness
from harness import numbered_events
from oracle import Oracle, read_ndjson

EVERY = int(os.environ.get("SBHOST_STARVE_EVERY") or 0)
CASES = 16  # when not all are tried, for each kind of job
EVENTS = 400
USERS = 30


class Starved(harness.Case):
    def setUp(self):
        super().setUp()
        self.preload = os.path.join(harness.BUILD, "tests", "libstarve.so")
        if not os.path.exists(self.preload):
            self.skipTest("Skipping starvation test (not available): a sanitizer has an allocator of its own")
        self.write("in.ndjson", numbered_events(0, EVENTS, users=USERS))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")))

    def arguments(self, backend, *more):
        return ["--backend", backend, "--input", "in.ndjson", "--output", "out", "--ttl", "0", "--checkpoint-interval", "1ms", "--keep", "1",
                "--log-level", "error", *more]

    def env(self, at, always):
        env = {"LD_PRELOAD": self.preload, "STARVE_AT": str(at), "STARVE_REPORT": self.path("reached")}
        if always:
            env["STARVE_ALWAYS"] = "1"
        return env

    def clear(self):
        for name in ("checkpoints", "state-data"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        for name in ("out", "reached", "dead-letters.ndjson"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))

    def starve(self, backend, at, always, restored):
        """One case; False when the job has fewer allocations."""
        self.clear()
        if restored:
            self.sbhost(*self.arguments(backend, "--max-events", "150"))
        done = self.sbhost(*self.arguments(backend), status=None, env=self.env(at, always))
        said = "allocation %d, always %s, restored %s: %s" % (at, always, restored, done)
        self.assertIn(done.status, (0, 1, 2, 3, 4, 5, 6), said)
        if done.status:
            self.assertTrue(done.err.strip().split("\n")[-1].startswith("sbhost"), said)
        reached = os.path.exists(self.path("reached"))
        again = self.sbhost(*self.arguments(backend), status=None)
        self.assertEqual(again.status, 0, "%s\nand then: %s" % (said, again))
        self.oracle.check_export(self.export())
        self.oracle.check_output(self.path("out"), ordered=True)
        return reached

    @staticmethod
    def allocations(starve):
        """About how many there are: starve tells whether the given one was reached."""
        low, high = 1, 2
        while starve(high):
            low, high = high, 2 * high
        while high - low > max(1, low // 50):
            middle = (low + high) // 2
            if starve(middle):
                low = middle
            else:
                high = middle
        return high

    def try_all(self, what, starve):
        """starve takes the number of an allocation, and whether all after it fail, too."""
        total = self.allocations(lambda at: starve(at, False))
        step = EVERY or max(1, total // CASES)
        cases = [(at, always) for always in (False, True) for at in range(1 + time.localtime().tm_yday % step, total, step)]
        for at, always in cases:
            starve(at, always)
        harness.note("%s, %s: about %d allocations, %d cases" % (self.id(), what, total, len(cases)))

    def try_jobs(self, backend):
        for restored in (False, True):
            self.try_all("restored %s" % restored, lambda at, always, restored=restored: self.starve(backend, at, always, restored))

    def test_memory(self):
        self.try_jobs("memory")

    @harness.needs_rocksdb
    def test_rocksdb(self):
        self.try_jobs("rocksdb")

    def test_lmdb(self):
        if not harness.is_built("lmdb"):
            self.skipTest("Skipping LMDB test (not available): install liblmdb-dev")
        self.try_jobs("lmdb")


if __name__ == "__main__":
    unittest.main(verbosity=2)
