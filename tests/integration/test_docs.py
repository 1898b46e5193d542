"""The documentation says what is so: the reference is the header's, manual pages have no mistakes and every option, links lead
somewhere."""

import sys

sys.dont_write_bytecode = True

import glob
import os
import re
import shutil
import subprocess
import unittest

import harness


def source(*names):
    with open(os.path.join(harness.SOURCE, *names), encoding="utf-8") as file:
        return file.read()


def pages(pattern):
    return sorted(glob.glob(os.path.join(harness.SOURCE, pattern), recursive=True))


class Reference(harness.Case):
    def test_is_what_the_header_gives(self):
        done = subprocess.run([os.path.join(harness.SOURCE, "scripts", "make-reference"), "--check"], check=False,
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_has_every_struct_member_and_constant(self):
        """By the list that guards the layout, which the script does not read."""
        page = source("docs", "reference.md")
        listed = re.findall(r"^(STRUCT|MEMBER|CONSTANT)\((\w+)(?:, ([\w.]+))?\)", source("tests", "golden", "abi_members.h"), re.M)
        self.assertGreater(len(listed), 200)
        for kind, name, member in listed:
            text = {"STRUCT": "\n### %s\n" % name, "CONSTANT": "| `%s` |" % name}.get(kind)
            if text:
                self.assertTrue(text in page, text)
            else:
                section = page.split("\n### %s\n" % name)[1].split("\n### ")[0]
                first = member.split(".")[0]
                self.assertTrue("| `%s` |" % first in section or "#### %s.%s\n" % (name, first) in section, name + "." + member)


class ManualPages(harness.Case):
    def test_have_every_option_of_run_and_no_other(self):
        text = self.sbhost("run", "--help").out.decode()
        in_help = set(re.findall(r"^\s+--([a-z-]+)", text, re.M)) | set(re.findall(r", --([a-z-]+)", text))
        described = source("docs", "man", "sbhost.1").split(".Sh RUN OPTIONS")[1].split(".Sh OTHER")[0]
        self.assertEqual(set(re.findall(r"^\.It Fl -([a-z-]+)", described, re.M)), in_help - {"help", "usage"})

    def test_have_every_command(self):
        described = source("docs", "man", "sbhost.1").split(".Sh OTHER COMMANDS")[1].split(".Sh FILES")[0]
        have = {(line.split()[0], word) for line in re.findall(r"^\.It Cm (.*)$", described, re.M)
                for word in re.split(r"[ ,]+", line)[1:] or [""]}
        want = set()
        for group in re.findall(r"^  (\w+)  ", self.sbhost("--help").out.decode(), re.M):
            commands = re.findall(r"^  (\w+)", self.sbhost(group, "--help").out.decode().partition("Commands:")[2], re.M)
            want |= {(group, command) for command in commands or [""]}
        self.assertEqual(have, want - {("run", "")})

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not here: the manual pages are not checked")
    def test_have_no_mistakes(self):
        for page in pages("docs/man/*"):
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], check=False, stdout=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, ""))


class Links(harness.Case):
    def test_lead_somewhere(self):
        seen = 0
        for page in pages("*.md") + pages("docs/**/*.md") + pages("core/*/*.md") + pages("plugins/*/*.md"):
            with open(page, encoding="utf-8") as file:
                text = re.sub(r"```.*?```|`[^`\n]*`", "", file.read(), flags=re.S)
            for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
                if "://" not in link:
                    target = os.path.normpath(os.path.join(os.path.dirname(page), link))
                    self.assertTrue(os.path.exists(target), "%s: %s" % (page, link))
                    seen += 1
        self.assertGreater(seen, 40)


if __name__ == "__main__":
    unittest.main(verbosity=2)
