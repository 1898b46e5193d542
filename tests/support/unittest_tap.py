"""Runs one file of Python tests and leaves a TAP line per test case.

    unittest_tap.py TEST_FILE TAP_FILE

Failures are printed as unittest prints them; the exit status is 1 when there are any.
"""

import importlib.util
import os
import sys
import unittest


class TapResult(unittest.TextTestResult):
    lines = []

    def stopTest(self, test):
        super().stopTest(test)
        failed = any(case is test for case, _ in self.failures + self.errors)
        failed = failed or any(getattr(case, "test_case", None) is test for case, _ in self.failures + self.errors)
        reasons = [reason for case, reason in self.skipped if case is test]
        line = f"{'not ok' if failed else 'ok'} - {test.id()}"
        self.lines.append(line + (f"  # SKIP {reasons[0]}" if reasons and not failed else ""))


def main(test_file, tap_file):
    sys.path.insert(0, os.path.dirname(os.path.abspath(test_file)))
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    name = os.path.splitext(os.path.basename(test_file))[0]
    spec = importlib.util.spec_from_file_location(name, test_file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(resultclass=TapResult, verbosity=2, stream=sys.stderr).run(suite)
    with open(tap_file, "w", encoding="utf-8") as out:
        out.writelines(line + "\n" for line in TapResult.lines)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
