"""sbhost run --profile: every stage of every thread is told of, where the log goes, and nothing changes by being watched. How long
things took is not judged."""

import sys

sys.dont_write_bytecode = True

import json
import re
import unittest

import harness

EVENTS = 5000
STAGES = {
    "reader": {"read", "decode", "wait", "checkpoint", "idle", "processor"},
    "task": {"wait", "state", "operator", "encode", "output", "checkpoint", "idle", "processor"},
    "checkpoints": {"write"},
}
ROW = re.compile(r"^  (\d+ tasks|\w+) +(\w+) +(\d+\.\d{3}) +(\d+\.\d)% +(\d+\.\d)$")


class Profile(harness.Case):
    def setUp(self):
        super().setUp()
        with open(self.path("in.ndjson"), "w", encoding="ascii") as out:
            out.write(harness.numbered_events(0, EVENTS))

    def run_job(self, name, *args):
        return self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", name, "--state-dir", name + ".state",
                           "--checkpoint-dir", name + ".checkpoints", *args)

    def assert_rows(self, rows, task="task"):
        for thread, stages in STAGES.items():
            thread = task if thread == "task" else thread
            self.assertEqual({stage for name, stage in rows if name == thread}, stages, thread)

    def test_a_table_tells_of_every_stage(self):
        done = self.run_job("out", "--profile")
        lines = done.err.splitlines()
        head = lines.index(next(line for line in lines if line.startswith("Profile: ")))
        self.assertRegex(lines[head], r"^Profile: %d events in \d+\.\d{3} s, \d+ a second; 1 checkpoints$" % EVENTS)
        self.assertEqual(lines[head + 1].split(), ["THREAD", "STAGE", "SECONDS", "SHARE", "NS/EVENT"])
        rows = [ROW.match(line) for line in lines[head + 2:]]
        self.assertTrue(all(rows), done.err)
        self.assert_rows({(row.group(1), row.group(2)) for row in rows})

    def test_stages_add_up_to_the_whole(self):
        done = self.run_job("out", "--profile")
        elapsed = float(re.search(r"Profile: \d+ events in ([0-9.]+) s", done.err).group(1))
        for thread in ("reader", "task"):
            seconds = [float(row.group(3)) for row in map(ROW.match, done.err.splitlines())
                       if row and row.group(1) == thread and row.group(2) != "processor"]
            self.assertLessEqual(sum(seconds), elapsed + 0.001 * len(seconds), "each is rounded")

    def test_another_log_format_has_lines_of_its_own(self):
        done = self.run_job("out", "--profile", "--log-format", "json", "--parallelism", "2")
        rows = [entry for entry in map(json.loads, done.err.splitlines()) if entry["msg"] == "Profile"]
        self.assert_rows({(row["thread"], row["stage"]) for row in rows}, "2 tasks")
        self.assertEqual(list(rows[0])[3:], ["thread", "stage", "seconds", "share", "ns_per_event"])

    def test_being_watched_changes_nothing(self):
        self.assertNotIn("Profile", self.run_job("plain").err)
        self.run_job("watched", "--profile")
        with open(self.path("plain"), "rb") as plain, open(self.path("watched"), "rb") as watched:
            self.assertEqual(plain.read(), watched.read())


if __name__ == "__main__":
    unittest.main(verbosity=2)
