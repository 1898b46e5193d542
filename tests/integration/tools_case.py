"""What the tests of the tools share: three checkpoints whose content is known."""

import sys

sys.dont_write_bytecode = True

import json
import os
import re
import shutil
import subprocess

import harness
from harness import SBHOST
from oracle import Oracle, read_ndjson

START_MS = 1700000000123
HOUR_MS = 3600000
COUNTING = os.path.join(harness.BUILD, "tests", "plugins", "libcounting_operator.so")
NO_COUNTING = "Skipping counting-operator test (not available): build the tests"
SANITIZED = bool(os.environ.get("SBHOST_SANITIZE"))
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")

HOSTILE = "a\x1b[31mred\x07\n\t\x7f\u009b2J\\x41"
HOSTILE_PRINTED = r"a\x1b[31mred\x07\x0a\x09\x7f\xc2\x9b2J\\x41"


def record(user, amount, ms):
    return json.dumps({"user_id": user, "amount": amount, "timestamp": ms / 1000}) + "\n"


def full_mode():
    text = subprocess.run([SBHOST, "run", "--help"], stdout=subprocess.PIPE, check=True).stdout
    return ["--checkpoint-mode", "full"] if b"--checkpoint-mode" in text else []


class Tools(harness.Case):
    """Three checkpoints, each with its own known content: event time, TTL of an hour, so that profiles come, change and go."""

    USERS = 60
    CUTS = (700, 1400, 2000)

    def setUp(self):
        super().setUp()
        self.lines = [record("user-%d" % (i * 7 % self.USERS if i < 1200 else i * 3 % 100), (i * 37 % 900) + 0.25,
                             START_MS + i * 4000) for i in range(2000)]
        self.lines[5] = record(HOSTILE, 7.5, START_MS + 20000)
        self.lines[1990] = record(HOSTILE, 8.5, START_MS + 7960000)
        self.write("in.ndjson", "".join(self.lines))
        self.write("clock", str(START_MS + HOUR_MS))
        self.clock = {"SBHOST_FAKE_CLOCK_FILE": self.path("clock")}

    def take(self, backend="memory", *more):
        """Runs to each cut; the ids, oldest first."""
        done = 0
        for cut in self.CUTS:
            self.sbhost("--backend", backend, "--input", "in.ndjson", "--output", "out", "--ttl", "1h", "--ttl-clock",
                        "event", "--max-events", str(cut - done), *more, env=self.clock)
            done = cut
        return self.ids()

    def take_anew(self, backend, *more):
        for name in ("state-data", "checkpoints"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        return self.take(backend, *more)

    def ids(self, directory="checkpoints"):
        return [os.path.basename(path)[:-len(".json")] for path in self.checkpoints(directory)]

    def oracle(self, cut):
        self.write("part.ndjson", "".join(self.lines[:cut]))
        return Oracle(read_ndjson(self.path("part.ndjson")), ttl_ms=HOUR_MS)

    def check_export(self, cut, *args):
        oracle = self.oracle(cut)
        oracle.profiles = {HOSTILE_PRINTED if user == HOSTILE else user: p for user, p in oracle.profiles.items()}
        oracle.check_export(self.export(*args))

    def text(self, *args, status=0):
        out = self.sbhost(*args, status=status, env=self.clock).out
        self.assertIsNone(CONTROL.search(out), out)
        return out.decode()

    def json(self, *args, status=0):
        return json.loads(self.text(*args, "--json", status=status))

    def json_lines(self, *args, status=0):
        return [json.loads(line) for line in self.text(*args, "--json", status=status).splitlines()]

    def damage(self, checkpoint, offset=None):
        path = self.path("checkpoints", checkpoint + ".json")
        with open(path, "r+b") as file:
            content = bytearray(file.read())
            content[len(content) // 2 if offset is None else offset] ^= 1
            file.seek(0)
            file.write(content)
