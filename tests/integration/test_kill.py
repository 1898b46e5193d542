"""kill -9 at random moments, again and again, until the job is through: state and output are as if nothing had happened.

The moments are seeded: a few checkpoints after the start (or none), and some milliseconds more. SBHOST_KILL_SEED sets
the seed, which each test prints.
"""

import sys

sys.dont_write_bytecode = True

import os
import random
import shutil
import tempfile
import time
import unittest

import harness
from harness import CDNOW_OPTIONS, needs_rocksdb
from oracle import Oracle, read_blank_separated

EVENTS = 150000
KILLS = 8
SEED = int(os.environ.get("SBHOST_KILL_SEED") or 20241109)
TEMPORARY = None
INPUT = None
ORACLE = None


def setUpModule():
    global TEMPORARY, INPUT, ORACLE
    TEMPORARY = tempfile.mkdtemp(prefix="sbhost-kill-")
    INPUT = os.path.join(TEMPORARY, "purchases.txt")
    harness.write_cdnow_like(INPUT, EVENTS, 8000, SEED)
    ORACLE = Oracle(read_blank_separated(INPUT))


def tearDownModule():
    shutil.rmtree(TEMPORARY, ignore_errors=True)


class Killed(harness.Case):
    """Every start chooses anew how checkpoints are taken: incremental, as by default, and full ones among them."""

    def begin(self, rng, backends, parallelisms):
        return self.start("--backend", rng.choice(backends), "--parallelism", str(rng.choice(parallelisms)), "--input",
                          INPUT, *CDNOW_OPTIONS, "--output", "out", "--checkpoint-interval", "%dms" % rng.randint(5, 30),
                          "--keep", str(rng.randint(1, 4)), "--checkpoint-mode",
                          rng.choice(["full", "incremental"]), "--cache-size", rng.choice(["0", "512KiB", "256MiB"]))

    def attempt(self, rng, backends, parallelisms):
        """One start; True when it was killed, False when it came through before."""
        job = self.begin(rng, backends, parallelisms)
        job.saw("Checkpoint created", times=rng.choice([0, 1, 1, 1, 2]))
        time.sleep(rng.random() * 0.03)  # not to wait for something: to strike at any moment
        if job.kill():
            self.assertNotIn("ERROR", job.log)
            return True
        self.assertEqual(job.wait().status, 0, job.log)
        return False

    def check(self, ordered):
        ORACLE.check_export(self.export())
        ORACLE.check_output(self.path("out"), ordered)

    def survive(self, name, backends, parallelisms):
        seed = "%s-%d" % (name, SEED)
        rng = random.Random(seed)
        kills = rounds = 0
        while kills < KILLS:
            for left_over in ("out", "checkpoints", "state-data"):
                shutil.rmtree(self.path(left_over), ignore_errors=True)
            if os.path.exists(self.path("out")):
                os.unlink(self.path("out"))
            rounds += 1
            while self.attempt(rng, backends, parallelisms):
                kills += 1
                if kills == KILLS:
                    last = self.begin(rng, backends, parallelisms)
                    self.assertEqual(last.wait().status, 0, last.log)
                    break
            self.check(ordered=parallelisms == [1])
        harness.note("%s: %d kills, the job came through %d time(s), seed %s" % (self.id(), kills, rounds, seed))

    def test_memory_with_one_task(self):
        self.survive("memory-1", ["memory"], [1])

    def test_memory_with_two_tasks(self):
        self.survive("memory-2", ["memory"], [2])

    @needs_rocksdb
    def test_rocksdb_with_one_task(self):
        self.survive("rocksdb-1", ["rocksdb"], [1])

    @needs_rocksdb
    def test_rocksdb_with_two_tasks(self):
        self.survive("rocksdb-2", ["rocksdb"], [2])

    def test_parallelism_and_backend_changing_from_start_to_start(self):
        self.survive("changing", harness.backends(), [1, 2, 3])


if __name__ == "__main__":
    unittest.main(verbosity=2)
