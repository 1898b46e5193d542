"""The demonstration: what a newcomer sees first."""

import sys

sys.dont_write_bytecode = True

import json
import os
import re
import signal
import stat
import unittest

import harness

UPDATE = re.compile(r"^INFO  Updated user profile  user_id=user-([1-5]) total_purchases=(\d+) total_spent=(\d+\.\d\d) "
                    r"category=(Regular|Premium|VIP)$")
TITLE = {"memory": "Memory", "rocksdb": "RocksDB"}


class Demo(harness.Case):
    def check_order(self, log, patterns):
        lines = log.split("\n")
        at = 0
        for pattern in patterns:
            found = next((i for i in range(at, len(lines)) if re.fullmatch(pattern, lines[i])), None)
            self.assertIsNotNone(found, "no line %r from line %d on in:\n%s" % (pattern, at + 1, log))
            at = found + 1

    def updates(self, log):
        return [match.groups() for match in map(UPDATE.match, log.split("\n")) if match]

    def run_until_update_then(self, number, *args):
        job = self.start(*args)
        self.assertTrue(job.saw("Updated user profile"), job.log)
        job.signal(number)
        done = job.wait()
        self.assertEqual(done.status, 0, str(done))
        return done.err

    def begin_patterns(self, backend):
        return [r"INFO  Starting sbhost  version=\S+ backend=%s operator=example-processor" % backend,
                r"INFO  %s state backend initialized  path=\./state-data ttl_enabled=true" % TITLE[backend]]

    def check_interrupted_and_restored(self, backend, *args):
        first = self.run_until_update_then(signal.SIGINT, *args)
        self.check_order(first, self.begin_patterns(backend) + [
            r"INFO  No checkpoint found, starting fresh", UPDATE.pattern[1:-1],
            r"INFO  Checkpoint created  id=checkpoint-\d+( .*)?"])
        second = self.run_until_update_then(signal.SIGTERM, *args)
        newest_then = re.search(r"Checkpoint created  id=(\S+)", first).group(1)
        self.check_order(second, self.begin_patterns(backend) + [
            r"INFO  Restoring from checkpoint  id=" + newest_then, r"INFO  Successfully restored from checkpoint( .*)?",
            UPDATE.pattern[1:-1], r"INFO  Checkpoint created  id=checkpoint-\d+( .*)?"])
        updates = self.updates(first) + self.updates(second)
        counts = {}
        for user, purchases, _, _ in updates:
            counts[user] = counts.get(user, 0) + 1
            self.assertEqual(int(purchases), counts[user], "totals go on where they were: %s" % updates)
        profiles = self.profiles()
        self.assertEqual({key: entry["value"]["total_purchases"] for key, entry in profiles.items()},
                         {"user-" + user: count for user, count in counts.items()})
        self.assertFalse(os.path.exists(self.path("dead-letters.ndjson")))

    @harness.needs_rocksdb
    def test_without_arguments_it_runs_on_rocksdb_and_goes_on_after_an_interrupt(self):
        self.check_interrupted_and_restored("rocksdb")

    def test_it_runs_on_memory_and_goes_on_after_an_interrupt(self):
        self.check_interrupted_and_restored("memory", "--backend", "memory")

    def test_amounts_and_metrics(self):
        for backend in harness.backends():
            dirs = ["--state-dir", backend, "--checkpoint-dir", backend + "-checkpoints"]
            done = self.sbhost("--backend", backend, "--max-events", "2", "--metrics-every", "2", *dirs)
            updates = self.updates(done.err)
            self.assertEqual(len(updates), 2, done.err)
            for _, _, spent, _ in updates:
                self.assertTrue(10 <= float(spent) < 2 * 1010, spent)
            self.assertRegex(done.err, r"(?m)^INFO  %s metrics  gets=2 puts=2 deletes=0$" % TITLE[backend])
            self.assertEqual(done.out, b"", "the demonstration's data go nowhere")

    @harness.needs_rocksdb
    def test_the_directories_hold_what_users_know_and_nobody_else_may_read_them(self):
        self.run_until_update_then(signal.SIGINT)
        state = os.listdir(self.path("state-data"))
        for pattern in (r"CURRENT", r"IDENTITY", r"MANIFEST-\d+", r"OPTIONS-\d+", r"\d+\.sst", r"LOG"):
            self.assertTrue(any(re.fullmatch(pattern, name) for name in state), "%s in %s" % (pattern, state))
        self.assertEqual(len(self.checkpoints()), 1)
        for top in ("state-data", "checkpoints"):
            for directory, _, files in os.walk(self.path(top)):
                self.assertEqual(stat.S_IMODE(os.stat(directory).st_mode), 0o700, directory)
                for name in files:
                    path = os.path.join(directory, name)
                    self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, path)

    def test_log_formats_say_the_same(self):
        args = ["--backend", "memory", "--max-events", "1"]
        for line in self.sbhost(*args, "--log-format", "json").err.splitlines():
            entry = json.loads(line)
            self.assertEqual(list(entry)[:3], ["time", "level", "msg"])
        for line in self.sbhost(*args, "--log-format", "logfmt").err.splitlines():
            self.assertRegex(line, r'^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=info msg="[^"]+"( \S+=\S+)*$')
        self.assertEqual(self.sbhost(*args, "--log-level", "error").err, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
