"""The zoo of broken plugins: each rule of the conformance kit has one that breaks it, and the kit catches every one of them.

A rule without an animal would be a check of which nobody knows whether it can fail; an animal that passes is a hole in the kit.
"""

import sys

sys.dont_write_bytecode = True

import json
import os
import re
import unittest

import harness

ZOO = os.path.join(harness.BUILD, "tests", "zoo")
GOOD = ("good", "good_operator")
# Not faults against one rule, but ways for a plugin to end badly.
ENDS = ("crashing", "exiting", "hanging")
# Worth a warning, and no reason to refuse a plugin.
WARNS = ("file.it_takes_no_static_tls",)


def animal(name):
    return os.path.join(ZOO, "lib%s.so" % name)


class Zoo(harness.Case):
    def check(self, path, *args, status=0):
        return json.loads(self.sbhost("plugin", "check", "--json", path, *args, status=status).out)

    def rules(self):
        """Every rule that there is: what the good ones are tried by."""
        found = []
        for name in GOOD:
            report = self.check(animal(name))
            self.assertEqual([r for r in report["results"] if r["outcome"] != "passed"], [])
            found += [r["rule"] for r in report["results"]]
        return sorted(set(found))

    def test_every_rule_has_an_animal_and_catches_it(self):
        rules = self.rules()
        animals = {name[len("lib"):-len(".so")] for name in os.listdir(ZOO) if name.endswith(".so")}
        self.assertEqual(sorted(animals - set(GOOD) - set(ENDS)), sorted(rule.split(".")[1] for rule in rules))
        missed = []
        for rule in rules:
            warns = rule in WARNS
            report = self.check(animal(rule.split(".")[1]), "--filter", rule, status=0 if warns else 4)
            outcomes = [r["outcome"] for r in report["results"] if r["rule"] == rule]
            if outcomes != ["warned" if warns else "failed"]:
                missed.append((rule, outcomes))
        self.assertEqual(missed, [])
        harness.note("%d rules, %d animals caught" % (len(rules), len(rules) - len(missed)))

    def test_every_rule_is_documented(self):
        with open(os.path.join(harness.SOURCE, "docs", "plugin-check.md"), encoding="utf-8") as file:
            documented = set(re.findall(r"^\| `(\w+)` \|", file.read(), re.M))
        self.assertEqual(sorted(documented), sorted(rule.split(".")[1] for rule in self.rules()))

    def sentence(self, name, *args):
        report = self.check(animal(name), "--filter", "iterators.iterator_bounds_are_half_open", *args, status=4)
        return report["results"][0]["sentence"]

    def test_a_crash_names_the_callback_and_the_signal(self):
        # A host that is built with a sanitizer takes the signal first, and aborts.
        signal = "SIGABRT" if os.environ.get("SBHOST_SANITIZE") else "SIGSEGV"
        self.assertEqual(self.sentence("crashing"), "crashed in iter_next: " + signal)
        self.assertEqual(self.sentence("exiting"), "ended the process in open, with status 0")

    def test_a_plugin_that_never_returns_is_given_up(self):
        report = self.check(animal("hanging"), "--filter", "values.absent_keys_are_not_found", "--timeout", "300ms", status=4)
        self.assertEqual(report["results"][0]["sentence"], "did not return from multi_get within 300 ms")

    def test_what_a_plugin_prints_is_in_the_report_and_nowhere_else(self):
        report = self.check(animal("nothing_is_printed"), "--filter", "nothing_is_printed", status=4)
        self.assertIn("the zoo is open", report["results"][0]["printed"])


if __name__ == "__main__":
    unittest.main()
