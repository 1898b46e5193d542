"""The tutorials are run as their readers run them: each command, each change to the source, each line that is said to be printed.

    sh      run in a shell, in the directory where the block before left off
    text    what the sh block before it prints, with "…" for any text, and alone on a line for any lines
    diff    lines to be taken from and put into the source that "plugin new" wrote; "@@" stands between places
    c       an excerpt of that source as it is then
    cpp     an excerpt of the source in C++
"""

import sys

sys.dont_write_bytecode = True

import glob
import os
import re
import subprocess
import unittest

import harness

DOCS = os.path.join(harness.SOURCE, "docs")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)


def pattern_of(text):
    lines = [r"(?:[^\n]*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
             for line in text.rstrip("\n").split("\n")]
    return re.compile(r"\A" + "".join(lines) + r"\Z")


class Tutorials(harness.Case):
    def setUp(self):
        super().setUp()
        self.top = self.where = os.path.realpath(self.dir)
        self.said = None

    def run_sh(self, block):
        end = os.path.join(self.top, ".where")
        env = self._env({"PATH": harness.BUILD + ":" + os.environ["PATH"], "END": end})
        done = subprocess.run(["sh", "-e", "-c", block + 'pwd > "$END"\n'], cwd=self.where, env=env, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=4 * harness.PATIENCE_S)
        self.said = done.stdout.decode("utf-8", "replace")
        self.assertEqual(done.returncode, 0, block + "\nprinted:\n" + self.said)
        with open(end, encoding="utf-8") as file:
            self.where = file.read().strip()

    def check_text(self, block):
        self.assertIsNotNone(self.said, "nothing was run before:\n" + block)
        self.assertTrue(pattern_of(block).search(self.said), "printed:\n%s\nsaid to be:\n%s" % (self.said, block))
        self.said = None

    def source(self):
        found = glob.glob(os.path.join(self.top, "*", "*.c"))
        self.assertEqual(len(found), 1)
        return found[0]

    def check_c(self, block):
        with open(self.source(), encoding="utf-8") as file:
            self.assertTrue(block in file.read(), "not in the source as it is now:\n" + block)

    def check_cpp(self, block):
        with open(os.path.join(harness.SOURCE, "core", "cli", "templates", "backend.cpp"), encoding="utf-8") as file:
            self.assertTrue(block in file.read(), "not in backend.cpp:\n" + block)

    def apply_diff(self, block):
        with open(self.source(), encoding="utf-8") as file:
            text = file.read()
        for place in block.split("@@\n"):
            lines = place.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            self.assertEqual(text.count(old), 1, "where does this go?\n" + place)
            text = text.replace(old, new)
        with open(self.source(), "w", encoding="utf-8") as file:
            file.write(text)

    def follow(self, page):
        with open(os.path.join(DOCS, page), encoding="utf-8") as file:
            blocks = BLOCK.findall(file.read())
        self.assertGreater(len(blocks), 10)
        steps = {"sh": self.run_sh, "text": self.check_text, "c": self.check_c, "cpp": self.check_cpp, "diff": self.apply_diff}
        for kind, block in blocks:
            steps[kind](block)

    def test_writing_a_backend(self):
        self.follow("writing-a-backend.md")

    def test_writing_an_operator(self):
        self.follow("writing-an-operator.md")


if __name__ == "__main__":
    unittest.main(verbosity=2)
