"""The backends beyond memory and RocksDB: a job on each agrees with the oracle, whatever ends it, whatever it is swapped with."""

import sys

sys.dont_write_bytecode = True

import random
import time
import unittest

import harness
import modes
import redis_server
from harness import CDNOW_OPTIONS, events
from oracle import Oracle, read_blank_separated

EVENTS = 60000
SEED = 20241125
START_MS = 1700000000123
HOUR_MS = 3600000


class Jobs:
    """What each backend is put through; NAME is its own."""

    NAME = None

    def setUp(self):
        super().setUp()
        if not harness.is_built(self.NAME):
            self.skipTest("Skipping %s test (not available): docs/dependencies.md names its package" % self.NAME)

    def backend(self, name=None):
        return ["--backend", name or self.NAME]

    def input(self):
        harness.write_cdnow_like(self.path("in.txt"), EVENTS, 3000, SEED)
        return Oracle(read_blank_separated(self.path("in.txt")))

    def arguments(self, *more):
        return [*self.backend(), "--input", "in.txt", *CDNOW_OPTIONS, "--output", "out", *more]

    def test_state_and_output_are_what_the_oracle_says(self):
        oracle = self.input()
        for tasks, cache in ((1, "0"), (2, "64KiB"), (1, "256MiB")):
            with self.subTest(tasks=tasks, cache=cache):
                where = "checkpoints-%d-%s" % (tasks, cache)
                self.sbhost(*self.arguments("--parallelism", str(tasks), "--cache-size", cache, "--checkpoint-dir", where,
                                            "--checkpoint-interval", "20ms", "--state-dir", where + "-state", "--output",
                                            "out-" + where))
                oracle.check_export(self.export("--checkpoint-dir", where))
                oracle.check_output(self.path("out-" + where), ordered=tasks == 1)

    def test_killed_and_restored_with_one_task_and_then_two(self):
        oracle = self.input()
        rng = random.Random(SEED)
        kills = 0
        for tasks in (1, 1, 2, 2, 1, 2):
            job = self.start(*self.arguments("--parallelism", str(tasks), "--checkpoint-interval", "5ms", "--cache-size",
                                             rng.choice(["0", "64KiB", "256MiB"])))
            job.saw("Checkpoint created")
            time.sleep(rng.random() * 0.02)  # not to wait for something: to strike at any moment
            kills += job.kill()
        done = self.sbhost(*self.arguments("--parallelism", "2"))
        self.assertNotIn("ERROR", done.err)
        harness.note("%s: %d kills" % (self.id(), kills))
        oracle.check_export(self.export())
        oracle.check_output(self.path("out"), ordered=False)

    def test_expiry_is_kept_to_the_millisecond_by_swaps_and_restarts(self):
        self.write("clock", str(START_MS))
        env = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}
        expected = {}
        bought = ""
        for turn, name in enumerate([self.NAME, "memory", self.NAME, self.NAME, "memory", self.NAME]):
            now_ms = START_MS + turn * (HOUR_MS // 2 + 1)
            modes.set_clock(self.path("clock"), now_ms)
            bought += events(("user-%d" % turn, "1.5", 1), ("kept", "2.5", 2))
            self.write("in.ndjson", bought)
            self.sbhost(*self.backend(name), "--parallelism", str(1 + turn % 2), "--input", "in.ndjson", "--output", "none",
                        "--ttl", "1h", env=env)
            expected = {user: expiry for user, expiry in expected.items() if expiry > now_ms}
            expected.update({"user-%d" % turn: now_ms + HOUR_MS, "kept": now_ms + HOUR_MS})
            self.assertEqual({key: entry["expiry_ms"] for key, entry in self.profiles().items()}, expected)


class OnRedis(Jobs):
    """Servers end with the test; backend() says where they are."""

    NAME = "redis"

    def setUp(self):
        super().setUp()
        if not redis_server.program():
            self.skipTest("Skipping redis test (not available): apt-get install redis-tools")
        self.servers = self.start_servers()
        for server in self.servers:
            self.addCleanup(server.kill)

    def backend(self, name=None):
        if name not in (None, "redis"):
            return ["--backend", name]
        return ["--backend", "redis", "--backend-opt", self.address()]


class Redis(OnRedis, harness.Case):
    def start_servers(self):
        return [redis_server.Server(self.path("redis"))]

    def address(self):
        return "socket=" + self.servers[0].socket

    def test_swapped_with_every_other_backend_half_way_and_back(self):
        for other in harness.every_backend():
            with self.subTest(other=other):
                oracle = self.input()
                where = ["--checkpoint-dir", "checkpoints-" + other, "--state-dir", "state-" + other]
                for turn, name in enumerate(("redis", other, "redis")):
                    self.sbhost(*self.backend(name), "--input", "in.txt", *CDNOW_OPTIONS, "--output", "out-" + other, *where,
                                "--parallelism", str(1 + turn % 2), *(["--max-events", str(EVENTS // 3)] if turn < 2 else []))
                oracle.check_export(self.export(*where[:2]))
                oracle.check_output(self.path("out-" + other), ordered=False)
        self.assertIn(":0\r\n", self.servers[0].ask("DBSIZE"))

    def test_server_that_loses_everything_ends_the_job_and_the_next_start_rebuilds_the_state(self):
        oracle = self.input()
        job = self.start(*self.arguments("--checkpoint-interval", "5ms", "--cache-size", "0"))
        job.wait_for(lambda: self.servers[0].keys() > 100)  # more than the lock: a server cannot lose what it has not got
        self.servers[0].ask("FLUSHALL")
        done = job.wait()
        self.assertEqual(done.status, 1, str(done))
        self.assertSays(done, "is not what was written")
        self.sbhost(*self.arguments())
        oracle.check_export(self.export())
        oracle.check_output(self.path("out"), ordered=True)

    def test_no_server_is_one_sentence(self):
        self.servers[0].kill()
        self.write("in.ndjson", events(("a", "1.5", 1)))
        done = self.sbhost(*self.backend(), "--backend-opt", "retries=1", "--input", "in.ndjson", "--output", "none", status=None)
        self.assertNotEqual(done.status, 0)
        self.assertSays(done, self.servers[0].socket, "see whether the server runs")


class RedisCluster(OnRedis, harness.Case):
    def start_servers(self):
        return redis_server.start_cluster(self.path("redis"))

    def address(self):
        return "port=%d" % self.servers[0].port


class Lmdb(Jobs, harness.Case):
    NAME = "lmdb"


class Fault(Jobs, harness.Case):
    NAME = "fault"

    def test_a_job_whose_backend_fails_now_and_then_comes_through_and_nothing_is_lost(self):
        """Each start goes on from the newest checkpoint, until one has no fault."""
        oracle = self.input()
        faults = ["--backend-opt", "fail_write_batch=0.006", "--backend-opt", "torn_batch=0.009", "--backend-opt",
                  "fail_multi_get=0.003", "--backend-opt", "fail_iter_next=0.003"]
        failed = 0
        for seed in range(1, 60):
            done = self.sbhost(*self.arguments("--cache-size", "0", "--checkpoint-interval", "3ms", *faults, "--backend-opt",
                                               "seed=%d" % seed), status=None)
            if done.status == 0:
                break
            failed += 1
            self.assertEqual(done.status, 1, str(done))
            self.assertSays(done, "the fault backend made this fail", "seed %d" % seed)
        self.assertEqual(done.status, 0, str(done))
        self.assertGreater(failed, 0)
        oracle.check_export(self.export())
        oracle.check_output(self.path("out"), ordered=True)

    def test_an_inner_backend_with_options_is_opened_as_the_user_says(self):
        self.write("in.ndjson", events(("a", "1.5", 1)))
        args = ["--input", "in.ndjson", "--output", "none", "--backend", "fault"]
        self.sbhost(*args, "--backend-opt", "inner_options=memory_limit=64MiB,huge_pages=no")
        self.assertSays(self.sbhost(*args, "--backend-opt", "inner=memroy", status=None), "memroy", "memory")


if __name__ == "__main__":
    unittest.main(verbosity=2)
