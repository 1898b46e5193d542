"""What the README says is what the program does: its backend, its options, its exit statuses."""

import os
import re
import subprocess
import tempfile
import unittest

from harness import BUILD, SOURCE, SBHOST


def readme():
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        return file.read()


class Readme(unittest.TestCase):
    def test_shows_the_example_backend_as_it_is(self):
        block = re.search(r"```c\n(.*?)```", readme(), re.S).group(1)
        with open(os.path.join(SOURCE, "docs/examples/list_backend.c"), encoding="utf-8") as file:
            self.assertEqual(block, file.read())

    def test_lists_exactly_the_options_of_run(self):
        text = subprocess.run([SBHOST, "run", "--help"], capture_output=True, text=True, check=True).stdout
        in_help = set(re.findall(r"^\s+--([a-z-]+)", text, re.M)) | set(re.findall(r", --([a-z-]+)", text))
        in_readme = set(re.findall(r"^\| `--([a-z-]+)", readme(), re.M))
        self.assertEqual(in_readme, in_help - {"help", "usage", "version"})

    def test_commands_for_the_example_backend_work(self):
        with tempfile.TemporaryDirectory() as directory:
            plugin = os.path.join(directory, "list_backend.so")
            os.chmod(directory, 0o700)
            subprocess.run(["cc", "-std=c11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden",
                            "-I" + os.path.join(SOURCE, "include"),
                            os.path.join(SOURCE, "docs/examples/list_backend.c"), "-o", plugin], check=True)
            os.chmod(plugin, 0o700)
            subprocess.run([SBHOST, "plugin", "info", plugin], check=True, capture_output=True)
            run = subprocess.run([SBHOST, "--backend", plugin, "--input", "generator:users=2,rate=0,seed=1",
                                  "--max-events", "3", "--output", "none"],
                                 cwd=directory, check=True, capture_output=True, text=True)
            self.assertIn("Checkpoint created", run.stderr)
            told = [line for line in run.stderr.splitlines() if "Every checkpoint will be a full one" in line]
            self.assertEqual(told, ["INFO  Every checkpoint will be a full one: this backend offers nothing else  backend=list"])

    def test_links_lead_somewhere(self):
        for page in ("README.md", "docs/architecture.md", "docs/HACKING.md"):
            with open(os.path.join(SOURCE, page), encoding="utf-8") as file:
                for link in re.findall(r"\]\(([^)#]+)\)", file.read()):
                    target = os.path.normpath(os.path.join(SOURCE, os.path.dirname(page), link))
                    self.assertTrue(os.path.exists(target), f"{page}: {link}")


if __name__ == "__main__":
    unittest.main()
