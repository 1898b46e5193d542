"""Expiry to the millisecond wherever state goes: through every mode of checkpoint, another backend, another parallelism, export and
import. A model of four lines says what must be there; a clock that the tests move says when."""

import os
import sys

sys.dont_write_bytecode = True

import itertools
import random
import unittest

import harness
import modes
from harness import events
from oracle import Oracle, iso, read_ndjson

START_MS = 1700000000123
HOUR_MS = 3600000
YEAR_MS = 31557600000
MODES = modes.checkpoint_modes()
CONFIGURATIONS = list(itertools.product(harness.backends(), (1, 2, 3)))


class Model:
    """Who is there, with how many purchases, until when."""

    def __init__(self):
        self.users = {}

    def buy(self, user, now_ms, ttl_ms):
        count, expiry_ms = self.live(now_ms).get(user, (0, None))
        self.users[user] = (count + 1, now_ms + ttl_ms if ttl_ms else None)

    def live(self, now_ms):
        return {user: entry for user, entry in self.users.items() if entry[1] is None or entry[1] > now_ms}


class Ttl(harness.Case):
    def setUp(self):
        super().setUp()
        self.env = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}
        self.model = Model()
        self.now_ms = START_MS
        self.move_clock(START_MS)

    def move_clock(self, now_ms):
        self.now_ms = now_ms
        modes.set_clock(self.path("clock"), now_ms)

    def start_job(self, mode, backend="memory", tasks=1, ttl_ms=HOUR_MS, directory="checkpoints"):
        self.ttl_ms = ttl_ms
        return modes.Fed(self, directory, "--backend", backend, "--parallelism", str(tasks), "--output", "none", "--ttl",
                         "%dms" % ttl_ms if ttl_ms else "0", *modes.mode_options(mode), env=self.env)

    def buy(self, job, *users):
        """Purchases at this moment, and what a checkpoint that covers them then holds."""
        for user in users:
            self.model.buy(user, self.now_ms, self.ttl_ms)
        job.feed(events(*((user, "1.25", 1600000000) for user in users)))
        self.check(job.directory)

    def check(self, directory="checkpoints"):
        found = {key: (entry["value"]["total_purchases"], entry["expiry_ms"])
                 for key, entry in self.profiles("--checkpoint-dir", directory).items()}
        self.assertEqual(found, self.model.live(self.now_ms), "at %d" % self.now_ms)


class ToTheMillisecond(Ttl):
    def check_one_run(self, mode, backend):
        """Expiries at START + HOUR, and for b one second later."""
        job = self.start_job(mode, backend)
        self.buy(job, "a", "b", "c")
        self.move_clock(START_MS + 1000)
        self.buy(job, "b")
        self.move_clock(START_MS + HOUR_MS - 1)
        self.buy(job, "c", "d")
        self.assertEqual(set(self.model.live(self.now_ms)), {"a", "b", "c", "d"})
        self.move_clock(START_MS + HOUR_MS)
        self.buy(job, "e")
        self.assertEqual(set(self.model.live(self.now_ms)), {"b", "c", "d", "e"})
        self.buy(job, "a")
        self.assertEqual(self.model.users["a"], (1, START_MS + 2 * HOUR_MS))
        job.finish()

    def check_restore(self, mode, backend, tasks):
        """The next run, a millisecond before b's end, and then at it."""
        self.move_clock(START_MS + 1000 + HOUR_MS - 1)
        job = self.start_job(mode, backend, tasks)
        self.buy(job, "f")
        self.assertEqual(self.model.live(self.now_ms)["b"], (2, START_MS + 1000 + HOUR_MS))
        self.move_clock(START_MS + 1000 + HOUR_MS)
        self.buy(job, "g")
        self.assertNotIn("b", self.model.live(self.now_ms))
        self.buy(job, "b")
        self.assertEqual(self.model.users["b"], (1, START_MS + 1000 + 2 * HOUR_MS))
        job.finish()

    def test_in_one_run_and_the_next_under_another_backend_and_parallelism(self):
        for mode, first, (second, tasks) in itertools.product(MODES, harness.backends(), CONFIGURATIONS):
            with self.subTest(mode=mode, first=first, second=second, tasks=tasks):
                self.setUp()
                self.check_one_run(mode, first)
                self.check_restore(mode, second, tasks)

    def test_what_expired_while_the_job_was_down_is_gone_when_it_comes_back(self):
        for mode, (backend, tasks) in itertools.product(MODES, CONFIGURATIONS):
            with self.subTest(mode=mode, backend=backend, tasks=tasks):
                self.setUp()
                job = self.start_job(mode, backend)
                self.buy(job, *("user-%d" % i for i in range(50)))
                self.move_clock(START_MS + 1)
                self.buy(job, *("user-%d" % i for i in range(0, 50, 5)))
                job.finish()
                self.move_clock(START_MS + HOUR_MS)
                job = self.start_job(mode, harness.backends()[0], tasks)
                self.buy(job, "user-0", "user-1", "new")
                self.assertEqual(self.model.users["user-0"][0], 3)
                self.assertEqual(self.model.users["user-1"][0], 1)
                self.assertEqual(len(self.model.live(self.now_ms)), 12)
                job.finish()

    def test_any_course_of_purchases_restarts_swaps_and_rescales(self):
        for mode in MODES:
            seed = random.SystemRandom().randrange(10 ** 9)
            with self.subTest(mode=mode, seed=seed):
                self.setUp()
                self.check_course(mode, random.Random(seed))

    def moment(self, rng):
        """Mostly the edge of some entry's life, else a little later."""
        edges = [expiry + rng.choice([-1, 0, 1]) for _, expiry in self.model.users.values() if expiry]
        later = [edge for edge in edges if edge >= self.now_ms]
        return rng.choice(later) if later and rng.random() < 0.7 else self.now_ms + rng.randrange(HOUR_MS // 2)

    def check_course(self, mode, rng):
        for _ in range(8):
            backend, tasks = rng.choice(CONFIGURATIONS)
            job = self.start_job(mode, backend, tasks)
            for _ in range(rng.randrange(1, 7)):
                self.move_clock(min(self.moment(rng), self.now_ms + HOUR_MS))
                self.buy(job, *("user-%d" % rng.randrange(12) for _ in range(rng.randrange(1, 5))))
            job.finish()

    def test_incremental_checkpoints_are_really_met(self):
        """Else the tests above would prove nothing about them."""
        if "incremental" not in modes.checkpoint_modes():
            self.skipTest("this build has no --checkpoint-mode incremental")
        for backend in harness.backends():
            self.setUp()
            self.check_one_run("incremental", backend)
            kinds = {harness.load_checkpoint(path)["Kind"] for path in self.checkpoints()}
            self.assertNotEqual(kinds, {"full"}, backend)


class AnotherTtl(Ttl):
    def test_a_new_ttl_is_for_later_writes_only(self):
        for mode, (backend, tasks) in itertools.product(MODES, CONFIGURATIONS):
            with self.subTest(mode=mode, backend=backend, tasks=tasks):
                self.setUp()
                self.check_changes(mode, backend, tasks)

    def check_changes(self, mode, backend, tasks):
        job = self.start_job(mode, ttl_ms=HOUR_MS)
        self.buy(job, "hour", "renewed", "forever")
        job.finish()
        self.move_clock(START_MS + 10)
        job = self.start_job(mode, backend, tasks, ttl_ms=2500)
        self.buy(job, "renewed", "short")
        said = job.finish().err
        self.assertIn("INFO  TTL changed, for later writes only  state=profile from_ms=3600000 to_ms=2500", said)
        self.assertEqual(self.model.users["hour"], (1, START_MS + HOUR_MS))
        self.assertEqual(self.model.users["renewed"], (2, START_MS + 10 + 2500))
        self.move_clock(START_MS + 10 + 2500)
        job = self.start_job(mode, ttl_ms=0)
        self.buy(job, "forever")
        job.finish()
        self.assertEqual(self.model.live(self.now_ms), {"hour": (1, START_MS + HOUR_MS), "forever": (2, None)})
        self.move_clock(START_MS + 1000 * HOUR_MS)
        job = self.start_job(mode, backend, tasks, ttl_ms=HOUR_MS)
        self.buy(job, "late")
        job.finish()
        self.assertEqual(set(self.model.live(self.now_ms)), {"forever", "late"})


class EventClock(harness.Case):
    """Expiry by the events' own time: what the wall clock says while they are replayed makes no difference."""

    EVENTS = 4000

    def setUp(self):
        super().setUp()
        rng = random.Random(7)
        now_ms = START_MS
        lines = []
        for _ in range(self.EVENTS):
            now_ms += rng.choice([0, 1, 500, 4000])
            lines.append('{"user_id":"user-%d","amount":%d.5,"timestamp":"%s"}\n' % (
                rng.randrange(900), rng.randrange(300), iso(now_ms - rng.choice([0, 0, 0, 9000]))))
        self.write("in.ndjson", "".join(lines))
        self.oracle = Oracle(read_ndjson(self.path("in.ndjson")), ttl_ms=HOUR_MS)
        self.assertGreater(self.EVENTS, self.oracle.purchases, "some profiles must have begun anew")

    def arguments(self, mode, directory, backend, tasks, *more):
        return ["--backend", backend, "--parallelism", str(tasks), "--input", "in.ndjson", "--output", "none",
                "--checkpoint-dir", directory, "--state-dir", directory + "-state", "--keep", "100000", "--ttl", "1h",
                "--ttl-clock", "event", *modes.mode_options(mode), *more]

    def run_at(self, now_ms, *arguments):
        modes.set_clock(self.path("clock"), now_ms)
        self.sbhost(*self.arguments(*arguments), env={"SBHOST_FAKE_CLOCK_FILE": self.path("clock")})

    def check(self, directory):
        self.oracle.check_export(self.export("--checkpoint-dir", directory))
        # An incremental checkpoint has no digest of the whole state; packed into one file it has.
        if os.path.exists(self.path("packed.json")):
            os.unlink(self.path("packed.json"))
        self.sbhost("checkpoint", "export", "latest", "packed.json", "--checkpoint-dir", directory)
        return harness.load_checkpoint(self.path("packed.json"))["StateDigest"]

    def test_a_replay_gives_the_same_state_at_any_wall_clock(self):
        for mode in MODES:
            self.run_at(START_MS, mode, mode, "memory", 1)
            whole = self.check(mode)
            for years, (backend, tasks) in zip((-50, -1, 0, 1, 100, 200), CONFIGURATIONS):
                with self.subTest(mode=mode, backend=backend, tasks=tasks, years=years):
                    self.check_replay(whole, years * YEAR_MS, mode, backend, tasks)

    def check_replay(self, whole, shift_ms, mode, backend, tasks):
        """A part, the rest at another time, and the rest once more at yet another, from the checkpoint in the middle."""
        directory = "%s-%s-%d" % (mode, backend, tasks)
        self.run_at(START_MS, mode, directory, backend, tasks, "--max-events", "1700")
        middle = harness.load_checkpoint(self.checkpoints(directory)[-1])["ID"]
        self.run_at(START_MS + shift_ms, mode, directory, backend, tasks, "--checkpoint-interval", "5ms")
        self.assertEqual(self.check(directory), whole)
        other = harness.backends()[harness.backends().index(backend) - 1]
        self.run_at(START_MS - shift_ms, mode, directory, other, 4 - tasks, "--restore", middle)
        self.assertEqual(self.check(directory), whole)


@unittest.skipUnless(modes.has_tool("checkpoint", "export") and modes.has_tool("checkpoint", "import"),
                     "this build has no sbhost checkpoint export and import")
class ExportAndImport(Ttl):
    def test_expiry_survives_export_and_import(self):
        for mode, (backend, tasks) in itertools.product(MODES, CONFIGURATIONS):
            with self.subTest(mode=mode, backend=backend, tasks=tasks):
                self.setUp()
                self.check_round(mode, backend, tasks)

    def check_round(self, mode, backend, tasks):
        job = self.start_job(mode, backend)
        self.buy(job, "a", "b", "c")
        self.move_clock(START_MS + 7)
        self.buy(job, "b")
        self.move_clock(START_MS + HOUR_MS)
        self.buy(job, "d")
        job.finish()
        newest = self.newest()["ID"]
        self.sbhost("checkpoint", "export", newest, "packed.json", env=self.env)
        self.sbhost("checkpoint", "import", "packed.json", "--checkpoint-dir", "elsewhere", env=self.env)
        self.check("elsewhere")
        self.move_clock(START_MS + 7 + HOUR_MS - 1)
        job = self.start_job(mode, backend, tasks, directory="elsewhere")
        self.buy(job, "e")
        self.assertIn("b", self.model.live(self.now_ms))
        self.move_clock(START_MS + 7 + HOUR_MS)
        self.buy(job, "f")
        self.assertNotIn("b", self.model.live(self.now_ms))
        job.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
