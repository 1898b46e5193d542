"""sbhost bench: that it measures each backend, checks what it wrote, cleans up, and says what is wrong. Its figures are not judged:
machines differ."""

import sys

sys.dont_write_bytecode = True

import json
import os
import signal
import unittest

import harness
from harness import backends

SMALL = ("--keys", "2000", "--duration", "10ms")
LIST = os.path.join(harness.BUILD, "tests", "plugins", "liblist_backend.so")
PARTS = ("load", "uniform", "zipf", "state", "state_zipf", "walk")


class Bench(harness.Case):
    def bench(self, *args, status=0):
        os.makedirs(self.path("scratch"), exist_ok=True)
        result = self.sbhost("bench", "--dir", self.path("scratch"), *args, status=status)
        self.assertEqual(os.listdir(self.path("scratch")), [], str(result))
        return result

    def test_measures_ours_and_the_one_that_is_named(self):
        out = json.loads(self.bench(*SMALL, "--json", "--backend", LIST).out)
        self.assertEqual([one["backend"] for one in out["backends"]], ["list"] + backends())
        self.assertEqual(out["keys"], 2000)
        for one in out["backends"]:
            for part in PARTS:
                self.assertGreater(one[part], 0, one)

    def test_prints_a_table_with_ratios(self):
        lines = self.bench(*SMALL).out.decode().splitlines()
        self.assertIn("2000 entries", lines[0])
        self.assertEqual(lines[2].split(), "BACKEND LOAD GET+PUT ZIPF STATE STATE ZIPF WALK".split())
        self.assertEqual([line.split()[0] for line in lines[3:3 + len(backends())]], backends())
        for other in backends()[1:]:
            self.assertTrue(any(line.startswith("memory / %s " % other) for line in lines), lines)

    def test_a_backend_of_ours_with_options_stands_beside_itself(self):
        out = json.loads(self.bench(*SMALL, "--json", "--backend", "memory", "--backend-opt", "huge_pages=false").out)
        self.assertEqual([one["backend"] for one in out["backends"]], ["memory"] + backends())
        out = json.loads(self.bench(*SMALL, "--json", "--backend", "memory").out)
        self.assertEqual([one["backend"] for one in out["backends"]], backends())

    def test_what_is_wrong_is_said(self):
        self.assertSays(self.bench("--keys", "10", status=3), "--keys 10", "1000")
        self.assertSays(self.bench("--keys", "many", status=3), "--keys many")
        self.assertSays(self.bench("--keys", "1000000001", status=3), "--keys 1000000001")
        self.assertSays(self.bench("--duration", "soon", status=3), "--duration soon")
        self.assertSays(self.bench("--duration", "0s", status=3), "--duration 0s")
        self.assertSays(self.bench("--duration", "61m", status=3), "--duration 61m")
        self.assertSays(self.bench("--cache-size", "-1", status=3), "--cache-size")
        self.assertSays(self.bench("--bakend", "x", status=2), "--backend")
        self.assertSays(self.bench("quickly", status=2), "quickly")
        self.assertSays(self.bench("--backend-opt", "a=b", status=2), "--backend")
        self.assertSays(self.bench(*SMALL, "--backend", "memory", "--backend-opt", "hugepages=1", status=3), "huge_pages")
        self.assertSays(self.bench("--backend", "nowhere", status=4), "nowhere")
        self.assertSays(self.bench("--backend", "example-processor", status=4), "backend")
        self.assertSays(self.bench(*["--backend-opt", "a=b"] * 65, status=3), "fewer options")

    def test_what_is_not_installed_is_left_out(self):
        os.mkdir(self.path("none"))
        done = self.bench(*SMALL, "--plugin-dir", "none", "--backend", os.path.join(harness.BUILD, "plugins", "libmemory_backend.so"), "--json")
        self.assertEqual([one["backend"] for one in json.loads(done.out)["backends"]], ["memory"])
        self.assertIn("rocksdb is not installed, and is left out", done.err)

    def test_ctrl_c_leaves_nothing_behind(self):
        os.makedirs(self.path("scratch"))
        running = self.start("bench", "--dir", self.path("scratch"), "--duration", "1h", "--keys", "1000")
        running.wait_for(lambda: os.listdir(self.path("scratch")))
        running.signal(signal.SIGINT)
        done = running.wait()
        self.assertEqual(done.status, 1, str(done))
        self.assertSays(done, "interrupted")
        self.assertEqual(os.listdir(self.path("scratch")), [])


if __name__ == "__main__":
    unittest.main()
