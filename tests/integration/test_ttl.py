"""Expiry, to the millisecond, by a wall clock that the test moves or by the events' own time."""

import sys

sys.dont_write_bytecode = True

import json
import random
import unittest

import harness
from harness import events
from oracle import Oracle, iso, read_ndjson

START_MS = 1700000000123
DAY_MS = 86400000


class WallClock(harness.Case):
    def setUp(self):
        super().setUp()
        self.lines = ""
        self.env = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}

    def buy(self, *users):
        self.lines += events(*((user, "10.50", 1600000000) for user in users))
        self.write("in.ndjson", self.lines)

    def run_at(self, ms, backend, *more):
        self.write("clock", str(ms))
        self.sbhost("--backend", backend, "--input", "in.ndjson", "--output", "out-" + backend, "--state-dir",
                    backend + "-state", "--checkpoint-dir", backend, "--keep", "100", *more, env=self.env)
        return self.profiles("--checkpoint-dir", backend)

    def seen(self, profiles):
        return {key: (entry["value"]["total_purchases"], entry["expiry_ms"]) for key, entry in profiles.items()}

    def test_profiles_expire_after_a_day_without_purchases(self):
        for backend in harness.backends():
            with self.subTest(backend=backend):
                self.lines = ""
                self.buy("early", "late", "never-again")
                self.assertEqual(self.seen(self.run_at(START_MS, backend)),
                                 {user: (1, START_MS + DAY_MS) for user in ("early", "late", "never-again")})
                self.buy("early")
                just_before = START_MS + DAY_MS - 1
                self.assertEqual(self.seen(self.run_at(just_before, backend)),
                                 {"early": (2, just_before + DAY_MS), "late": (1, START_MS + DAY_MS),
                                  "never-again": (1, START_MS + DAY_MS)})
                self.buy("late")
                exactly = START_MS + DAY_MS
                self.assertEqual(self.seen(self.run_at(exactly, backend)),
                                 {"early": (2, just_before + DAY_MS), "late": (1, exactly + DAY_MS)})
                last = json.loads(self.read("out-" + backend).splitlines()[-1])
                self.assertEqual((last["user_id"], last["total_purchases"], last["total_spent"]), ("late", 1, 10.5))

    def test_expiry_survives_a_change_of_backend_and_parallelism(self):
        self.buy(*("user-%d" % i for i in range(100)))
        for ms, backend, tasks in ((START_MS, "memory", "1"), (START_MS + 5, harness.backends()[-1], "2"),
                                   (START_MS + 9, "memory", "3")):
            self.buy("user-%d" % (ms - START_MS))
            self.write("clock", str(ms))
            self.sbhost("--backend", backend, "--parallelism", tasks, "--input", "in.ndjson", "--output", "none",
                        env=self.env)
        expected = {"user-%d" % i: START_MS + DAY_MS for i in range(100)}
        expected.update({"user-0": START_MS + DAY_MS, "user-5": START_MS + 5 + DAY_MS, "user-9": START_MS + 9 + DAY_MS})
        self.assertEqual({key: entry["expiry_ms"] for key, entry in self.profiles().items()}, expected)

    def test_another_ttl(self):
        self.buy("a", "b")
        self.assertEqual(self.seen(self.run_at(START_MS, "memory", "--ttl", "1500ms")),
                         {"a": (1, START_MS + 1500), "b": (1, START_MS + 1500)})
        self.buy("a")
        self.assertEqual(self.seen(self.run_at(START_MS + 1499, "memory", "--ttl", "250ms"))["a"], (2, START_MS + 1749))
        self.buy("a")
        self.assertEqual(self.seen(self.run_at(START_MS + 1749, "memory", "--ttl", "0")), {"a": (1, None)})

    def test_without_ttl_nothing_expires(self):
        for backend in harness.backends():
            with self.subTest(backend=backend):
                self.lines = ""
                self.buy("a", "b")
                self.assertEqual(self.seen(self.run_at(START_MS, backend, "--ttl", "0")), {"a": (1, None), "b": (1, None)})
                self.buy("a")
                self.assertEqual(self.seen(self.run_at(START_MS + 3650 * DAY_MS, backend, "--ttl", "0")),
                                 {"a": (2, None), "b": (1, None)})

    def test_the_log_says_whether_state_expires(self):
        self.buy("a")
        for ttl, said in (("0", "false"), ("1h", "true")):
            result = self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out", "--ttl", ttl, "--restore",
                                 "none")
            self.assertIn("ttl_enabled=" + said, result.err)


class EventClock(harness.Case):
    """Seeded purchases, roughly in order, with gaps around the TTL of an hour for many users."""

    EVENTS = 8000
    TTL_MS = 3600000

    def setUp(self):
        super().setUp()
        rng = random.Random(99)
        now = START_MS
        lines = []
        for _ in range(self.EVENTS):
            now += rng.choice([0, 1, 100, 2000, 3000])
            lines.append('{"user_id":"user-%d","amount":%d.%02d,"timestamp":"%s"}\n' % (
                rng.randrange(1500) if rng.random() < 0.9 else rng.randrange(5), rng.randrange(400), rng.randrange(100),
                iso(now - rng.choice([0, 0, 0, 7000]))))
        self.write("in.ndjson", "".join(lines))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")), ttl_ms=self.TTL_MS)
        self.assertGreater(self.EVENTS, self.oracle.purchases, "some profiles must have begun anew")

    def job(self, where, clock_ms, backend, *more):
        self.write("clock", str(clock_ms))
        self.sbhost("--backend", backend, "--input", "in.ndjson", "--output", where + "-out", "--checkpoint-dir", where,
                    "--state-dir", where + "-state", "--ttl", "1h", "--ttl-clock", "event", *more,
                    env={"SBHOST_FAKE_CLOCK_FILE": self.path("clock")})

    def test_the_same_state_whatever_the_wall_clock_backend_and_parallelism(self):
        digests = set()
        for i, (backend, tasks) in enumerate((b, t) for b in harness.backends() for t in (1, 2)):
            where = "%s-%d" % (backend, tasks)
            self.job(where, START_MS + i * 3650 * DAY_MS, backend, "--parallelism", str(tasks), "--checkpoint-mode", "full")
            self.oracle.check_export(self.export("--checkpoint-dir", where))
            self.oracle.check_output(self.path(where + "-out"), ordered=tasks == 1)
            digests.add(self.newest(where)["StateDigest"])
        self.assertEqual(len(digests), 1)

    def test_the_same_state_after_restarts_years_apart(self):
        for i in range(7):
            self.job("again", START_MS + i * 365 * DAY_MS, harness.backends()[i % len(harness.backends())],
                     "--parallelism", str(1 + i % 2), *(["--max-events", "1200"] if i < 6 else []))
        self.oracle.check_export(self.export("--checkpoint-dir", "again"))
        self.oracle.check_output(self.path("again-out"), ordered=False)


if __name__ == "__main__":
    unittest.main(verbosity=2)
