"""Incremental checkpoints from outside: deltas of memory, files of RocksDB; restored at other widths, under the other backend,
after damage; and what retention leaves. The whole history is counted anew by an oracle, or compared with a run that was never interrupted."""

import sys

sys.dont_write_bytecode = True

import glob
import json
import os
import random
import shutil
import subprocess
import unittest

import harness
from harness import needs_rocksdb, numbered_events

WIDTHS = (1, 2, 3, 4, 8)
NOW_MS = 1700000000123
USERS = 900


class Incremental(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("clock", str(NOW_MS))
        self.env = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}
        self.write("in.ndjson", numbered_events(0, 4000, users=USERS))

    def step(self, backend, width, events, *more, status=0, directory="checkpoints", env=None):
        """Goes on for so many events, each stretch between two checkpoints being a run of its own."""
        return self.sbhost("--backend", backend, "--parallelism", str(width), "--input", "in.ndjson", "--output", "none",
                           "--checkpoint-dir", directory, "--state-dir", directory + "-state", "--max-events", str(events),
                           "--checkpoint-mode", "incremental", *more, status=status, env=env or self.env)

    def chain(self, backend, width, times, keep=5, directory="checkpoints"):
        """One run with so many checkpoints in it: stopped now and then by an input that grows."""
        reader, writer = os.pipe()
        job = self.start("--backend", backend, "--parallelism", str(width), "--input", "in.ndjson", "--output", "none",
                         "--checkpoint-dir", directory, "--state-dir", directory + "-state", "--keep", str(keep),
                         "--checkpoint-interval", "1ms", "--checkpoint-mode", "incremental", "--input", "-", stdin=reader, env=None)
        os.close(reader)
        rng = random.Random(7)
        for i in range(times):
            users = ["user-%d" % rng.randrange(USERS) for _ in range(20)]
            before = job.log.count("Checkpoint created")
            os.write(writer, harness.events(*((user, "1.25", 1700001000 + i) for user in users)).encode())
            self.assertTrue(job.saw("Checkpoint created", times=before + 1), job.log)
        job.signal(15)
        result = job.wait()
        os.close(writer)
        self.assertEqual(result.status, 0, job.log)
        return job.log

    def state(self, directory="checkpoints"):
        return sorted(self.export("--checkpoint-dir", directory))

    def straight(self):
        """The export of an uninterrupted run over everything, with full checkpoints."""
        self.step("memory", 1, 4000, "--checkpoint-mode", "full", directory="straight")
        return self.state("straight")

    def rescale(self, backend):
        self.step(backend, 1, 2000, directory="first")
        expected = self.straight()
        for before in WIDTHS:
            shutil.rmtree(self.path("chk"), ignore_errors=True)
            shutil.copytree(self.path("first"), self.path("chk"))
            self.step(backend, before, 500, directory="chk")
            for after in WIDTHS:
                shutil.rmtree(self.path("fork"), ignore_errors=True)
                shutil.copytree(self.path("chk"), self.path("fork"))
                result = self.step(backend, after, 4000, directory="fork")
                self.assertIn("Successfully restored", result.err)
                self.assertEqual(self.newest("fork")["Tasks"], after)
                self.assertEqual(self.state("fork"), expected, "from %d to %d" % (before, after))

    def test_memory_rescales_every_way(self):
        self.rescale("memory")

    @needs_rocksdb
    def test_rocksdb_rescales_every_way(self):
        self.rescale("rocksdb")

    @needs_rocksdb
    def test_native_files_are_taken_over_by_links(self):
        self.step("rocksdb", 2, 2000)
        files = self.newest()["Files"]
        self.assertEqual({file["Snapshot"] for file in files}, {"backend-0", "backend-1"})
        result = self.step("rocksdb", 2, 10)
        restored = [line for line in result.err.splitlines() if "Successfully restored" in line]
        self.assertIn("files=%d" % len(files), restored[0])
        before = {file["SHA256"] for file in files if file["Name"].endswith(".sst")}
        after = {file["SHA256"] for file in self.newest()["Files"]}
        self.assertTrue(before <= after, "tables were written again")

    @needs_rocksdb
    def test_native_goes_to_memory_and_deltas_to_rocksdb(self):
        expected = self.straight()
        self.step("rocksdb", 2, 2000)
        self.assertEqual(self.newest()["Kind"], "incremental")
        self.step("memory", 3, 1000)
        self.step("rocksdb", 1, 1000)
        self.assertEqual(self.state(), expected)

    def test_deltas_hold_what_changed_and_give_the_same_state(self):
        log = self.chain("memory", 2, 12, keep=3)
        deltas = [line for line in log.splitlines() if "kind=delta" in line]
        self.assertGreater(len(deltas), 5, log)
        for line in deltas[-3:]:
            self.assertLess(int(line.split("bytes=")[1].split()[0]), 10000, log)
        before = self.state()
        self.assertEqual(len(before), USERS)
        head = self.newest()
        self.assertEqual((head["Kind"], head["Depth"] > 0), ("incremental", True))
        # What an independent reader makes of the chain.
        witness = os.path.join(harness.SOURCE, "scripts", "read_checkpoint.py")
        out = subprocess.run([sys.executable, witness, self.checkpoints()[-1]], check=True, stdout=subprocess.PIPE).stdout
        self.assertEqual(sorted(bytes.fromhex(json.loads(line)["user_part"]).decode() for line in out.splitlines()),
                         sorted(json.loads(line)["key"] for line in before))

    def test_what_was_deleted_stays_deleted(self):
        """By a checkpoint of changes whose parent still has it."""
        reader, writer = os.pipe()
        plugin = os.path.join(harness.BUILD, "tests", "plugins", "libcounting_operator.so")
        job = self.start("--backend", "memory", "--operator", plugin, "--operator-opt", "forget=9", "--input", "-", "--output", "none",
                         "--ttl", "0", "--checkpoint-interval", "1ms", "--checkpoint-mode", "incremental", stdin=reader)
        os.close(reader)
        for turn, lines in enumerate(([("kept", 1), ("gone", 1)], [("other", 1)], [("gone", 9)], [("other", 2)])):
            for key, value in lines:
                os.write(writer, b'{"key":"%s","value":%d,"time":1700000000}\n' % (key.encode(), value))
            self.assertTrue(job.saw("Checkpoint created", times=turn + 1), job.log)
        os.close(writer)
        self.assertEqual(job.wait().status, 0, job.log)
        self.assertGreater(job.log.count("kind=delta"), 1, job.log)
        keys = {entry["key"] for entry in map(json.loads, self.export()) if entry["state"] == "counter"}
        self.assertEqual(keys, {"kept", "other"})

    def test_retention_keeps_the_whole_chain(self):
        self.chain("memory", 1, 10, keep=1)
        paths = self.checkpoints()
        head = harness.load_checkpoint(paths[-1])
        self.assertEqual(len(paths), head["Depth"] + 1)
        parent = head["Parent"]
        for path in reversed(paths[:-1]):
            member = harness.load_checkpoint(path)
            self.assertEqual(member["ID"], parent)
            parent = member["Parent"]
        self.assertIsNone(parent)

    @needs_rocksdb
    def test_retention_keeps_just_the_files_that_are_named(self):
        for _ in range(6):
            self.step("rocksdb", 2, 300, "--keep", "2")
        paths = self.checkpoints()
        self.assertEqual(len(paths), 2)
        named = {file["SHA256"] for path in paths for file in harness.load_checkpoint(path)["Files"]}
        self.assertEqual(set(os.listdir(self.path("checkpoints", "shared"))), named)
        self.assertEqual(glob.glob(self.path("checkpoints", "tmp-*")), [])

    @needs_rocksdb
    def test_damaged_shared_file_falls_back_to_the_older_checkpoint(self):
        expected = self.straight()
        self.step("rocksdb", 1, 1000)
        older = {file["SHA256"] for file in self.newest()["Files"]}
        self.step("rocksdb", 1, 1000)
        only = [file for file in self.newest()["Files"] if file["SHA256"] not in older and file["Name"].endswith(".sst")]
        path = self.path("checkpoints", "shared", only[0]["SHA256"])
        content = bytearray(self.read(path))
        for damage in ("flip", "missing"):
            shutil.copytree(self.path("checkpoints"), self.path("fork"))
            target = self.path("fork", "shared", only[0]["SHA256"])
            os.unlink(target)
            if damage == "flip":
                content[len(content) // 2] ^= 1
                self.write(target, bytes(content))
            result = self.step("rocksdb", 1, 4000, directory="fork")
            self.assertIn("Damaged checkpoint passed over", result.err)
            self.assertEqual(len(os.listdir(self.path("fork", "quarantine"))), 1)
            self.assertEqual(self.state("fork"), expected)
            shutil.rmtree(self.path("fork"))

    def test_damaged_parent_takes_its_children_with_it(self):
        self.chain("memory", 1, 6, keep=20)
        paths = self.checkpoints()
        heads = [harness.load_checkpoint(path) for path in paths]
        at = next(i for i, head in enumerate(heads) if head["Depth"] == 2)
        content = bytearray(self.read(paths[at]))
        content[len(content) // 2] ^= 4
        self.write(paths[at], bytes(content))
        lost = [head["ID"] for head in heads[at:] if head["Depth"] >= 2]
        good = next(head["ID"] for head in reversed(heads) if head["ID"] not in lost)
        result = self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "none", "--max-events", "1",
                             "--keep", "20", "--input", "-", "--state-dir", "checkpoints-state", status=None)
        self.assertIn("id=" + good, next(line for line in result.err.splitlines() if "Restoring from" in line), result)
        if not any(head["Depth"] == 0 for head in heads[at:]):
            self.assertEqual(self.quarantined(), sorted(id_ + ".json" for id_ in lost))

    def test_full_mode_writes_full_ones(self):
        for backend in harness.backends():
            self.step(backend, 1, 500, "--checkpoint-mode", "full", directory=backend)
            head = self.newest(backend)
            self.assertEqual((head["Kind"], head["Parent"], head["Depth"], head["Files"]), ("full", None, 0, []))


if __name__ == "__main__":
    unittest.main(verbosity=2)
