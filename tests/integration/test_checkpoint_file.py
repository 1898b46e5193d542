"""A checkpoint is a file that anyone can open and verify, with nothing but a JSON parser, base64 and SHA-256."""

import sys

sys.dont_write_bytecode = True

import base64
import datetime
import json
import os
import re
import signal
import unittest

import harness
from harness import digest_of, numbered_events, state_data


class CheckpointFile(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("in.ndjson", numbered_events(0, 500, users=40))

    def job(self, *more):
        return self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out", *more)

    def test_the_known_fields_stand_first_and_offsets_are_exact_integers(self):
        self.job("--max-events", "123")
        path = self.checkpoints()[0]
        with open(path, encoding="utf-8") as file:
            checkpoint = json.load(file)
        self.assertEqual(list(checkpoint)[:3], ["ID", "Timestamp", "Offsets"])
        self.assertEqual(checkpoint["ID"] + ".json", os.path.basename(path))
        number = int(re.fullmatch(r"checkpoint-(\d+)", checkpoint["ID"]).group(1))
        self.assertRegex(checkpoint["Timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
        time = datetime.datetime.fromisoformat(checkpoint["Timestamp"][:19] + "+00:00").timestamp()
        self.assertLess(abs(number / 1e9 - time), 3600)
        offset = sum(len(line) for line in self.read("in.ndjson").splitlines(keepends=True)[:123])
        self.assertEqual(checkpoint["Offsets"], {"0": offset})
        self.assertEqual(checkpoint["Events"], 123)

    def test_state_data_is_base64_of_json_with_a_snapshot_for_each_task(self):
        for backend in harness.backends():
            for tasks in (1, 3):
                where = "%s-%d" % (backend, tasks)
                self.job("--backend", backend, "--parallelism", str(tasks), "--checkpoint-dir", where, "--state-dir",
                         where + "-state", "--checkpoint-mode", "full")
                checkpoint = self.newest(where)
                inner = state_data(checkpoint)
                self.assertEqual(list(inner), ["provider_state", "backend_snapshots"])
                self.assertEqual(list(inner["backend_snapshots"]), ["backend-%d" % i for i in range(tasks)])
                for snapshot in inner["backend_snapshots"].values():
                    self.assertGreater(len(base64.b64decode(snapshot, validate=True)), 0)
                self.assertEqual(checkpoint["StateDataBytes"], len(checkpoint["StateData"]))
                self.assertEqual(checkpoint["Entries"], 40)

    def test_the_digest_covers_every_byte_before_it(self):
        self.job()
        with open(self.checkpoints()[0], "rb") as file:
            said, computed = digest_of(file.read())
        self.assertEqual(said, computed)

    def test_keep_says_how_many_stay(self):
        for _ in range(5):
            self.job("--max-events", "50", "--keep", "3")
        self.assertEqual([harness.load_checkpoint(path)["Events"] for path in self.checkpoints()], [150, 200, 250])
        self.assertEqual(sorted(set(os.listdir(self.path("checkpoints")))),
                         sorted(["LOCK"] + [os.path.basename(path) for path in self.checkpoints()]))

    def test_a_start_with_nothing_new_writes_nothing_new(self):
        self.job()
        before = self.checkpoints()
        out = self.read("out")
        self.job()
        self.assertEqual(self.checkpoints(), before)
        self.assertEqual(self.read("out"), out)

    def test_export_reads_while_the_job_runs_and_an_older_one_by_its_id(self):
        job = self.start("--backend", "memory", "--input", "generator:users=3,rate=2000,seed=5", "--output", "none",
                         "--checkpoint-interval", "10ms", "--keep", "1000")
        self.assertTrue(job.saw("Checkpoint created", times=3), job.log)
        ids = re.findall(r"Checkpoint created  id=(\S+)", job.log)
        totals = [sum(entry["value"]["total_purchases"] for entry in self.profiles("--checkpoint", one).values())
                  for one in ids]
        self.assertEqual(totals, sorted(set(totals)), "each holds more than the one before")
        self.assertEqual(totals, [harness.load_checkpoint(self.path("checkpoints", one + ".json"))["Events"] for one in ids])
        self.assertIsNone(job.process.poll())
        job.signal(signal.SIGINT)
        self.assertEqual(job.wait().status, 0)

    def test_ids_grow_even_when_the_clock_goes_back(self):
        self.write("clock", "1900000000000")
        env = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}
        args = ["--backend", "memory", "--input", "in.ndjson", "--output", "out", "--max-events", "100"]
        self.sbhost(*args, env=env)
        self.write("clock", "1000000000000")
        self.sbhost(*args, env=env)
        ids = [harness.load_checkpoint(path)["ID"] for path in self.checkpoints()]
        self.assertEqual(ids, ["checkpoint-1900000000000000000", "checkpoint-1900000000000000001"])
        self.assertEqual([harness.load_checkpoint(path)["Events"] for path in self.checkpoints()], [100, 200])


if __name__ == "__main__":
    unittest.main(verbosity=2)
