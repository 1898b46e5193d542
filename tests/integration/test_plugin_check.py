"""sbhost plugin check: the report, and that whatever a plugin does, its caller learns of it and lives."""

import sys

sys.dont_write_bytecode = True

import hashlib
import json
import os
import unittest

import harness

PLUGINS = os.path.join(harness.BUILD, "tests", "plugins")
GOOD = os.path.join(PLUGINS, "liblist_backend.so")
EMPTY = os.path.join(PLUGINS, "libgood_backend.so")  # keeps nothing
ABSENT = "values.absent_keys_are_not_found"
RANDOM = "random.random_operations_agree_with_the_model"


class PluginCheck(harness.Case):
    def check(self, *args, status=0):
        return json.loads(self.sbhost("plugin", "check", "--json", *args, status=status).out)

    def test_a_good_plugin_passes(self):
        report = self.check(GOOD)
        with open(GOOD, "rb") as file:
            self.assertEqual(report["sha256"], hashlib.sha256(file.read()).hexdigest())
        self.assertEqual((report["plugin"], report["name"]), (os.path.realpath(GOOD), "list-backend"))
        self.assertEqual(report["failed"], 0)
        self.assertGreater(report["passed"], 25)
        self.assertEqual(report["passed"] + report["warned"] + report["skipped"], len(report["results"]))
        for result in report["results"]:
            self.assertIn(result["component"], ("list", None))
            if result["outcome"] == "skipped":
                self.assertIn("not", result["sentence"])

    def test_what_fails_can_be_repeated(self):
        failed = {result["rule"]: result for result in self.check(EMPTY, status=4)["results"] if result["outcome"] == "failed"}
        self.assertIn(RANDOM, failed)
        self.assertIn(ABSENT, failed)
        for rule in (ABSENT, RANDOM):
            again = self.check(EMPTY, "--reproduce", failed[rule]["reproduce"], status=4)
            self.assertEqual([result["rule"] for result in again["results"]], [rule])
            for member in ("sentence", "steps", "reproduce"):
                self.assertEqual(again["results"][0][member], failed[rule][member], member)

    def test_random_operations_that_fail_are_made_few(self):
        report = self.check(EMPTY, "--filter", RANDOM, status=4)
        steps = report["results"][0]["steps"].splitlines()
        self.assertEqual(len(steps), 1, steps)
        self.assertRegex(steps[0], r"^put ")

    def test_another_seed_is_another_run_and_said(self):
        report = self.check(EMPTY, "--filter", RANDOM, "--seed", "7", status=4)
        self.assertEqual(report["seed"], 7)
        self.assertIn("@7:", report["results"][0]["reproduce"])

    def test_filters_take_parts_and_patterns(self):
        for text, count in (("values.", 10), ("pins.*order", 1), ("*empty_calls*", 1)):
            with self.subTest(text=text):
                self.assertEqual(len(self.check(GOOD, "--filter", text)["results"]), count)

    def test_text_names_the_rule_the_reason_and_the_way_back(self):
        result = self.sbhost("plugin", "check", EMPTY, "--filter", ABSENT, status=4)
        text = result.out.decode()
        self.assertIn("FAIL  " + ABSENT, text)
        self.assertIn("again: --reproduce %s@20240611" % ABSENT, text)
        self.assertIn("zoo 1.0.0: 0 passed, 1 failed", text)
        self.assertEqual(result.err, "")

    def test_mistakes(self):
        self.assertSays(self.sbhost("plugin", "check", GOOD, "--filter", "pinz.pins_are_released_in_any_order", status=2), "did you mean pins.")
        self.assertSays(self.sbhost("plugin", "check", GOOD, "--reproduce", "nothing@1", status=2), "--reproduce", "no such rule")
        for way in ("@x", "@1:x", "@1:1", "@1:1:1:", "@1:1:1:x", "@1:1:1:5-3", "@1:1:1:3;4", "@1:1:1:2-,4", "@1:0:1:100000"):
            with self.subTest(way=way):
                self.assertSays(self.sbhost("plugin", "check", GOOD, "--reproduce", RANDOM + way, status=2), "--reproduce")
        self.assertSays(self.sbhost("plugin", "check", "./absent.so", status=4), "absent.so")
        self.assertSays(self.sbhost("plugin", "check", GOOD, "--timeout", "0", status=3), "--timeout")
        self.assertSays(self.sbhost("plugin", "check", status=2), "--help")

    def test_what_is_no_plugin_is_refused_in_a_sentence(self):
        path = "./" + self.write("text.so", "no plugin\n")
        report = self.check(path, status=4)
        self.assertEqual(report["failed"], 1)
        self.assertIn("not a shared object", report["results"][0]["sentence"])

    def test_nothing_is_left_behind(self):
        os.mkdir(self.path("tmp"))
        self.sbhost("plugin", "check", EMPTY, status=4, env={"TMPDIR": self.path("tmp")})
        self.assertEqual(os.listdir(self.path("tmp")), [])


if __name__ == "__main__":
    unittest.main()
