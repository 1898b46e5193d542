"""The main job on real input: every figure, every profile, every output line, under each backend and parallelism."""

import sys

sys.dont_write_bytecode = True

import json
import os
import shutil
import tempfile
import unittest
from decimal import Decimal

import harness
from harness import CDNOW_OPTIONS, needs_rocksdb
from oracle import Oracle, read_blank_separated

INPUT = None
ORACLE = None
REAL = False
TEMPORARY = None


def setUpModule():
    global INPUT, ORACLE, REAL, TEMPORARY
    TEMPORARY = tempfile.mkdtemp(prefix="sbhost-cdnow-")
    INPUT = harness.cdnow_file()
    REAL = INPUT is not None
    if not REAL:
        harness.note("../shared/data/cdnow_master.txt is not there: a synthetic file of its shape (seed 1997) stands in")
        INPUT = os.path.join(TEMPORARY, "cdnow.txt")
        harness.write_cdnow_like(INPUT, 69659, 23570, 1997)
    ORACLE = Oracle(read_blank_separated(INPUT))


def tearDownModule():
    shutil.rmtree(TEMPORARY, ignore_errors=True)


class TheOracle(unittest.TestCase):
    def test_finds_the_figures_that_are_known_of_the_real_file(self):
        if not REAL:
            self.skipTest("the real file is not there")
        heaviest = max(ORACLE.profiles.items(), key=lambda item: item[1].purchases)
        self.assertEqual(len(ORACLE.profiles), 23570)
        self.assertEqual(ORACLE.purchases, 69659)
        self.assertEqual(ORACLE.spent, Decimal("2500315.63"))
        self.assertEqual((heaviest[0], heaviest[1].purchases), ("14048", 217))


class Cdnow(harness.Case):
    def arguments(self, backend, parallelism, *more):
        return ["--backend", backend, "--parallelism", str(parallelism), "--input", INPUT, *CDNOW_OPTIONS, "--output", "out",
                *more]

    def check_figures(self, lines):
        """Without the oracle: straight from what the host exports."""
        values = [json.loads(line) for line in lines]
        spent = sum(Decimal(repr(entry["value"]["total_spent"])).quantize(Decimal("0.01")) for entry in values)
        heaviest = max(values, key=lambda entry: entry["value"]["total_purchases"])
        self.assertEqual(len(values), 23570)
        self.assertEqual(sum(entry["value"]["total_purchases"] for entry in values), 69659)
        self.assertEqual(spent, Decimal("2500315.63"))
        self.assertEqual((heaviest["key"], heaviest["value"]["total_purchases"]), ("14048", 217))

    def check(self, ordered):
        lines = self.export()
        if REAL:
            self.check_figures(lines)
        ORACLE.check_export(lines)
        ORACLE.check_output(self.path("out"), ordered)
        self.assertFalse(os.path.exists(self.path("dead-letters.ndjson")), "no bad record, so no dead letters")

    def run_whole(self, backend, parallelism):
        self.sbhost(*self.arguments(backend, parallelism))
        self.check(ordered=parallelism == 1)

    def test_memory_with_one_task(self):
        self.run_whole("memory", 1)

    def test_memory_with_two_tasks(self):
        self.run_whole("memory", 2)

    @needs_rocksdb
    def test_rocksdb_with_one_task(self):
        self.run_whole("rocksdb", 1)

    @needs_rocksdb
    def test_rocksdb_with_two_tasks(self):
        self.run_whole("rocksdb", 2)

    @needs_rocksdb
    def test_rocksdb_without_a_cache(self):
        self.sbhost(*self.arguments("rocksdb", 1, "--cache-size", "0"))
        self.check(ordered=True)

    @needs_rocksdb
    def test_rocksdb_with_a_cache_that_always_evicts(self):
        self.sbhost(*self.arguments("rocksdb", 2, "--cache-size", "256KiB"))
        self.check(ordered=False)

    def swap_half_way(self, first, second, parallelism):
        self.sbhost(*self.arguments(first, parallelism, "--max-events", "35000"))
        self.assertEqual(self.newest()["Backend"], first)
        self.assertEqual(self.newest()["Events"], 35000)
        self.sbhost(*self.arguments(second, parallelism))
        self.assertEqual(self.newest()["Backend"], second)
        self.assertEqual(self.newest()["Events"], len(ORACLE.records))
        self.check(ordered=parallelism == 1)

    @needs_rocksdb
    def test_memory_takes_over_from_rocksdb_half_way(self):
        self.swap_half_way("rocksdb", "memory", 1)

    @needs_rocksdb
    def test_rocksdb_takes_over_from_memory_half_way(self):
        self.swap_half_way("memory", "rocksdb", 2)

    def test_parallelism_changes_half_way(self):
        self.sbhost(*self.arguments("memory", 2, "--max-events", "20000"))
        self.sbhost(*self.arguments("memory", 3, "--max-events", "20000"))
        self.sbhost(*self.arguments("memory", 1))
        self.check(ordered=False)

    def test_the_compression_of_checkpoints_does_not_matter(self):
        digests = set()
        for codec in ("none", "lz4", "zstd"):
            more = ["--checkpoint-compression", codec, "--checkpoint-dir", codec, "--state-dir", "state-" + codec,
                    "--ttl", "0"]
            self.sbhost(*self.arguments("memory", 1, *more))
            ORACLE.check_export(self.export("--checkpoint-dir", codec))
            self.assertEqual(self.newest(codec)["Codec"], codec)
            digests.add(self.newest(codec)["StateDigest"])
        self.assertEqual(len(digests), 1)


class Money(harness.Case):
    """Amounts are decimal, and so must be what follows from them: binary fractions may not show."""

    # Each row sums up to exactly 1000.00, but as doubles to 1000.0000000000001.
    EXACTLY_1000 = (("66.23", "175.33", "54.87", "703.57"), ("48.12", "396.80", "6.64", "548.44"),
                    ("23.25", "351.92", "39.88", "584.95"))

    def test_a_user_who_has_spent_exactly_the_limit_is_not_above_it(self):
        self.write("in.ndjson", harness.events(*(("user-%d" % i, amount, 1700000000)
                                                 for i, row in enumerate(self.EXACTLY_1000) for amount in row)))
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "out")
        last = {record["user_id"]: record for record in map(json.loads, self.read("out").splitlines())}
        for user in sorted(last):
            self.assertEqual((last[user]["total_spent"], last[user]["category"]), (1000, "Regular"), user)
            self.assertEqual(self.profiles()[user]["value"]["category"], "Regular", user)

    def test_an_emitted_sum_has_no_more_decimals_than_its_amounts(self):
        self.sbhost("--backend", "memory", "--input", INPUT, *CDNOW_OPTIONS, "--output", "out")
        wrong = [line for line in self.read("out").splitlines()
                 if len(json.loads(line)["total_spent"].__repr__().partition(".")[2]) > 2]
        self.assertEqual(len(wrong), 0, wrong[:1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
