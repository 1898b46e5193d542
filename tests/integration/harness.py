"""Running sbhost from outside, as its users do: a directory of its own for each test, processes that are waited for by what
they print and ended when the test ends, and the file format of checkpoints as README.md describes it."""

import base64
import glob
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SOURCE = os.environ.get("SBHOST_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SBHOST_BUILD") or os.path.join(SOURCE, "build")
SBHOST = os.path.join(BUILD, "sbhost")
PATIENCE_S = 120  # for what should take milliseconds; under sanitizers and load it takes more

HAVE_ROCKSDB = os.path.exists(os.path.join(BUILD, "plugins", "librocksdb_backend.so"))
NO_ROCKSDB = "Skipping RocksDB test (not available): install librocksdb-dev"

CDNOW_OPTIONS = ["--format", "csv", "--delimiter", "whitespace", "--map", "user_id=customer_id", "--map",
                 "amount=dollar_value", "--map", "timestamp=date:yyyymmdd"]


def cdnow_file():
    """The real file, or None."""
    path = os.path.join(SOURCE, "..", "shared", "data", "cdnow_master.txt")
    return os.path.realpath(path) if os.path.exists(path) else None


def write_cdnow_like(path, events, users, seed):
    """A file of CDNOW's shape: few customers buy often, most once or twice."""
    rng = random.Random(seed)
    with open(path, "w", encoding="ascii") as out:
        out.write(" customer_id  date number_of_cds  dollar_value\n")
        for _ in range(events):
            user = int(users * rng.random() ** 2)
            cents = int(10000 * rng.random())
            out.write(" %05d 1997%02d%02d  1 %3d.%02d\n" % (user, 1 + int(12 * rng.random()), 1 + int(28 * rng.random()),
                                                         cents // 100, cents % 100))


class Finished:
    """A process that has ended: status, out (bytes), err (text)."""

    def __init__(self, args, status, out, err):
        self.args, self.status, self.out, self.err = args, status, out, err

    def __str__(self):
        return "%s\nended with %d and said:\n%s" % (" ".join(self.args), self.status, self.err)


class Running:
    """A process under way. Its log is read all the time, so that it never waits for us."""

    def __init__(self, args, cwd, env, stdin, stdout, preexec_fn=None):
        self.args = args
        self._lines = []
        self._ended = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(args, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
                                        preexec_fn=preexec_fn)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def log(self):
        with self._changed:
            return "\n".join(self._lines)

    def saw(self, text, times=1):
        """Waits until so many lines hold text, or the process has ended; True when they were there."""
        def count():
            return sum(text in line for line in self._lines)

        with self._changed:
            self._changed.wait_for(lambda: count() >= times or self._ended, PATIENCE_S)
            return count() >= times

    def wait_for(self, condition):
        """Waits for something that is seen outside, looking again and again while the process runs."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("it did not come about:\n" + self.log)
            time.sleep(0.002)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9; True when it still ran."""
        self.process.kill()
        return self.wait().status == -signal.SIGKILL

    def wait(self):
        status = self.process.wait(PATIENCE_S)
        self._thread.join(PATIENCE_S)
        return Finished(self.args, status, b"", self.log)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._thread.join(PATIENCE_S)
        self.process.stderr.close()
        if self.process.stdout:
            self.process.stdout.close()


class Case(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="sbhost-test-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, content):
        with open(self.path(name), "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        return name

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def _env(self, env):
        # A make of ours must not take the one that started the tests for its parent.
        foreign = ("SBHOST_FAKE_CLOCK_FILE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
        merged = {k: v for k, v in os.environ.items() if k not in foreign}
        merged["LC_ALL"] = "C"
        merged.update(env or {})
        return merged

    def sbhost(self, *args, status=0, env=None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=None, preexec_fn=None):
        """Runs to the end and checks the exit status (None: any)."""
        argv = [SBHOST, *args]
        done = subprocess.run(argv, cwd=cwd or self.dir, env=self._env(env), stdin=stdin, stdout=stdout,
                              stderr=subprocess.PIPE, timeout=PATIENCE_S, check=False, preexec_fn=preexec_fn)
        result = Finished(argv, done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))
        if status is not None:
            self.assertEqual(result.status, status, str(result))
        return result

    def start(self, *args, env=None, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=None):
        running = Running([SBHOST, *args], self.dir, self._env(env), stdin, stdout, preexec_fn)
        self.addCleanup(running.close)
        return running

    def assertSays(self, result, *texts):
        """The last line on standard error is one sentence with all these texts in it."""
        last = result.err.rstrip("\n").split("\n")[-1]
        self.assertTrue(last.startswith("sbhost"), str(result))
        for text in texts:
            self.assertIn(text, last, str(result))

    def export(self, *args, status=0):
        result = self.sbhost("state", "export", *args, status=status)
        return result.out.decode().splitlines()

    def profiles(self, *args):
        return {entry["key"]: entry for entry in map(json.loads, self.export(*args))}

    def checkpoints(self, directory="checkpoints"):
        """Paths, oldest first."""
        found = glob.glob(self.path(directory, "checkpoint-*.json"))
        return sorted(found, key=lambda path: int(re.search(r"checkpoint-(\d+)\.json$", path).group(1)))

    def newest(self, directory="checkpoints"):
        return load_checkpoint(self.checkpoints(directory)[-1])

    def quarantined(self):
        return sorted(os.listdir(self.path("checkpoints", "quarantine"))) if os.path.isdir(
            self.path("checkpoints", "quarantine")) else []


def load_checkpoint(path):
    with open(path, "rb") as file:
        return json.loads(file.read())


DIGEST = re.compile(rb'"Digest":"sha256:([0-9a-f]{64})"\}\n$')


def digest_of(content):
    """(what the file says, what its bytes give)."""
    match = DIGEST.search(content)
    return match.group(1).decode(), hashlib.sha256(content[:match.start(1)]).hexdigest()


def sign(content):
    """content with a digest that fits."""
    match = DIGEST.search(content)
    return (content[:match.start(1)] + hashlib.sha256(content[:match.start(1)]).hexdigest().encode() +
            content[match.end(1):])


def state_data(checkpoint):
    return json.loads(base64.b64decode(checkpoint["StateData"], validate=True))


def events(*records):
    """NDJSON of (user, amount, seconds since 1970)."""
    return "".join('{"user_id":"%s","amount":%s,"timestamp":%d}\n' % record for record in records)


def numbered_events(first, count, users=7):
    """Lines whose place can be told from their content."""
    return events(*(("user-%d" % (i % users), "%d.25" % i, 1700000000 + i) for i in range(first, first + count)))


def backends():
    return ["memory", "rocksdb"] if HAVE_ROCKSDB else ["memory"]


def every_backend():
    """Those that come with sbhost, that this build has, and that need no server."""
    return backends() + [name for name in ("lmdb", "fault") if is_built(name)]


def is_built(backend):
    return os.path.exists(os.path.join(BUILD, "plugins", "lib%s_backend.so" % backend))


needs_rocksdb = unittest.skipUnless(HAVE_ROCKSDB, NO_ROCKSDB)


def note(text):
    """For who reads the log: a seed, what was left out."""
    print(text, file=sys.stderr, flush=True)
