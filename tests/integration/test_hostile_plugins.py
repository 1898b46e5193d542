"""Plugins that do what none may: files that are hardly any, calls of exit, threads and memory that stay behind. Looking at a
plugin runs nothing of it and never crashes; a job that one of them ended says so and fails, and its state is as it was."""

import sys

sys.dont_write_bytecode = True

import json
import os
import random
import shutil
import signal
import threading
import unittest

import harness

PLUGINS = os.path.join(harness.BUILD, "tests", "plugins")
SEED = 20241109


def fixture(name):
    return os.path.join(PLUGINS, "lib%s.so" % name)


class Files(harness.Case):
    def listed(self):
        return json.loads(self.sbhost("plugin", "list", "--json", "--plugin-dir", self.path("plugins")).out)

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("plugins"), 0o755)
        with open(fixture("good_backend"), "rb") as file:
            self.whole = file.read()

    def test_a_cut_file_is_no_plugin(self):
        lengths = range(0, len(self.whole), 1 + len(self.whole) // 400)
        for length in lengths:
            self.write("plugins/lib%d.so" % length, self.whole[:length])
        listed = self.listed()
        self.assertEqual(len(listed), len(lengths))
        self.assertEqual([entry for entry in listed if entry["status"] == "ok"], [])

    def test_flipped_bits_are_looked_at_and_not_run(self):
        """Where a bit means nothing to who looks, the file still passes; that is what a signed manifest is for."""
        rng = random.Random(SEED)
        for number in range(400):
            content = bytearray(self.whole)
            content[rng.randrange(len(content) if number % 2 else 512)] ^= 1 << rng.randrange(8)
            self.write("plugins/lib%d.so" % number, bytes(content))
        listed = self.listed()
        self.assertEqual(len(listed), 400)
        refused = [entry for entry in listed if entry["status"] != "ok"]
        self.assertTrue(refused, "seed %d" % SEED)


class Exchanged(harness.Case):
    """Plugins that somebody exchanges while they are looked at: what was vetted is what is loaded, or nothing is."""

    ROUNDS = 60

    def setUp(self):
        super().setUp()
        self.stop = threading.Event()

    def exchanging(self, exchange):
        """Until the end of the test, as fast as it goes."""
        def run():
            while not self.stop.is_set():
                exchange()

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.stop.set)

    def described(self, path):
        """The component's identity, or None when the file was refused."""
        done = self.sbhost("plugin", "info", "--json", path, status=None)
        if done.status == 0:
            return json.loads(done.out)["components"][0]["id"]
        self.assertGreater(done.status, 0, str(done))
        self.assertRegex(done.err, "chmod go-w|exchanged|changed|replaced|vanished|try again")
        return None

    def test_a_link_that_leads_to_an_untrusted_file_every_other_moment(self):
        os.mkdir(self.path("open"))
        shutil.copy(fixture("good_newer"), self.path("open", "evil.so"))
        os.chmod(self.path("open"), 0o777)
        trusted = self.described(fixture("good_backend"))
        targets = [self.path("open", "evil.so"), fixture("good_backend")]

        def turn():
            targets.reverse()
            os.symlink(targets[0], self.path("next"))
            os.rename(self.path("next"), self.path("link.so"))

        turn()
        self.exchanging(turn)
        seen = {self.described(self.path("link.so")) for _ in range(self.ROUNDS)}
        self.assertLessEqual(seen, {trusted, None})
        self.assertIn(trusted, seen)

    def test_a_file_that_is_replaced_every_other_moment(self):
        names = [fixture("good_backend"), fixture("counting_operator")]
        whole = {self.described(name) for name in names}
        self.assertEqual(len(whole), 2)

        def turn():
            names.reverse()
            shutil.copy(names[0], self.path("next.so"))
            os.rename(self.path("next.so"), self.path("plugin.so"))

        turn()
        self.exchanging(turn)
        seen = {self.described(self.path("plugin.so")) for _ in range(self.ROUNDS)}
        self.assertLessEqual(seen, whole | {None})
        self.assertTrue(seen & whole)


class Jobs(harness.Case):
    def job(self, backend, *more, status=0, **how):
        return self.sbhost("--backend", backend, "--input", "in.ndjson", "--output", "out", *more, status=status, **how)

    def test_a_plugin_that_ends_the_process_does_not_end_it_well(self):
        self.write("in.ndjson", harness.numbered_events(0, 60))
        self.job("memory", "--max-events", "20")
        before = {path: self.read(path) for path in self.checkpoints()}
        done = self.job(fixture("hostile_exits"), status=1)
        self.assertSays(done, "a plugin ended the process", "status 0", "sbhost plugin check")
        self.assertEqual({path: self.read(path) for path in self.checkpoints()}, before)
        self.job("memory")
        self.assertEqual(sum(p["value"]["total_purchases"] for p in self.profiles().values()), 60)
        self.assertEqual(self.read("out").count(b"\n"), 60)

    def test_a_plugin_that_crashes_takes_nothing_along_that_was_durable(self):
        """A bad address, abort, and an exception that nobody catches, which ends in abort."""
        for how, number in (("fault", signal.SIGSEGV), ("abort", signal.SIGABRT), ("throw", signal.SIGABRT)):
            with self.subTest(how=how):
                self.write("in.ndjson", harness.numbered_events(0, 60))
                self.job("memory", "--max-events", "20", "--restore", "none")
                before = {path: self.read(path) for path in self.checkpoints()}
                self.job(fixture("hostile_crashes"), status=-number, env={"HOSTILE_CRASH": how})
                self.assertEqual({path: self.read(path) for path in self.checkpoints()}, before)
                self.job("memory")
                self.assertEqual(sum(p["value"]["total_purchases"] for p in self.profiles().values()), 60)
                self.assertEqual(self.read("out").count(b"\n"), 60)
                os.unlink(self.path("out"))

    def test_a_plugin_that_ends_the_process_when_it_is_opened(self):
        zoo = os.path.join(harness.BUILD, "tests", "zoo", "libexiting.so")
        self.assertSays(self.sbhost("--backend", zoo, status=1), "a plugin ended the process", "status 0")

    def check_hang(self, call, *more, said=None):
        self.write("in.ndjson", harness.numbered_events(0, 60))
        self.job("memory", "--max-events", "20", "--restore", "none")
        before = {path: self.read(path) for path in self.checkpoints()}
        done = self.sbhost("--backend", fixture("hostile_hangs"), "--input", "in.ndjson", "--output", "out", "--plugin-timeout",
                           "200ms", "--log-format", "json", *more, status=1, env={"HOSTILE_HANG": call})
        last = json.loads(done.err.splitlines()[-1])
        self.assertEqual(last["call"], said or call)
        self.assertEqual(last["plugin"], fixture("hostile_hangs"))
        self.assertIn("the next start goes on from the last checkpoint", last["msg"])
        self.assertEqual(last["instance"], "backend-0")
        self.assertEqual({path: self.read(path) for path in self.checkpoints()}, before)
        self.job("memory")
        self.assertEqual(sum(p["value"]["total_purchases"] for p in self.profiles().values()), 60)
        self.assertEqual(self.read("out").count(b"\n"), 60)
        os.unlink(self.path("out"))
        return last

    def test_a_plugin_that_hangs_is_named(self):
        self.check_hang("open")
        self.assertEqual(self.check_hang("write_batch")["position"], -1, "while the state is restored nothing is read")

    def test_a_plugin_that_hangs_in_the_middle_is_named_with_the_position(self):
        last = self.check_hang("multi_get", "--cache-size", "0")
        self.assertGreater(last["position"], 0)
        self.check_hang("iter_next")
        self.check_hang("iter_close")
        self.check_hang("unpin", "--cache-size", "0")

    def operator(self, deed, *more):
        self.write("in.ndjson", harness.numbered_events(0, 5))
        done = self.sbhost("--operator", fixture("hostile_operator"), "--backend", "memory", "--input", "in.ndjson", "--output", "out",
                           *more, status=1, env={"HOSTILE_OPERATOR": deed})
        self.assertEqual(self.checkpoints(), [])
        return done

    def test_an_operator_stays_in_its_batch_and_its_states(self):
        for cache in ("0", "1MiB"):
            for deed, asked in (("outside", "state 0 of event 5"), ("far outside", "state 0 of event %d" % (2 ** 64 - 1)),
                                ("no such state", "state %d of event 0" % (2 ** 32 - 1)), ("raw", "as a raw state")):
                with self.subTest(deed=deed, cache=cache):
                    done = self.operator(deed, "--cache-size", cache)
                    self.assertSays(done, asked, "its batch has 5 events, and it declares 1 states")

    def test_an_operator_that_hangs_is_named(self):
        done = self.operator("hang", "--plugin-timeout", "200ms", "--log-format", "json")
        last = json.loads(done.err.splitlines()[-1])
        self.assertEqual((last["plugin"], last["call"]), (fixture("hostile_operator"), "process"))

    def test_a_call_that_comes_back_in_time_is_left_alone(self):
        self.write("in.ndjson", harness.numbered_events(0, 5))
        self.assertIn("Finished", self.job("memory", "--plugin-timeout", "1h").err)

    def test_what_a_plugin_leaves_behind_does_not_keep_the_job_from_ending(self):
        self.write("in.ndjson", harness.numbered_events(0, 5))
        self.assertIn("Finished", self.job(fixture("hostile_lingers")).err)


if __name__ == "__main__":
    unittest.main()
