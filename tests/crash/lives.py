"""A round of lives: one job, started again and again on its own directories, killed each time, until it is through.

Every life chooses its backend, parallelism, mode of checkpoints, cache and compression anew, and would end well after some events if it
were not killed. After each end the newest checkpoint must be one that was reported, or a newer one; its offset, its whole state and
the output up to it are compared with a recomputation; and the next life must restore this one and no other. Since every life's first
checkpoint holds the whole state, what a restart made of an older one is looked at as well.
"""

import collections
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import harness
import redis_server
from course import Output

STRIKE = os.path.join(harness.BUILD, "tests", "libstrike.so")
PLUGINS = ["--plugin-dir", os.path.join(harness.BUILD, "plugins")]
LIFE_S = 0.02

# Where a life may be made to end, by phase: calls, pattern, and the backend that makes them if it is one alone. Before
# "restored" is logged all of them count as recovery.
POINTS = {
    "processing": [(("write",), "*/out", None)],
    "backend": [(("open", "write", "fsync", "link"), "*/state-data/*.sst", "rocksdb"),
                (("write", "fsync"), "*/state-data/*.mdb", "lmdb")],
    "checkpoint": [(("open", "write", "write", "fsync", "rename"), "*/checkpoints/checkpoint-*.json.tmp", None),
                   (("fsync",), "*/checkpoints", None),
                   (("fsync",), "*/out", None),
                   (("link", "rename", "write", "fsync"), "*/checkpoints/shared/*", "rocksdb"),
                   (("fsync",), "*/checkpoints/shared", "rocksdb")],
    "collection": [(("unlink",), "*/checkpoints/checkpoint-*.json", None),
                   (("unlink",), "*/checkpoints/shared/*", "rocksdb")],
    "recovery": [(("unlink", "link", "open", "mkdir", "rmdir"), "*/state-data*", None),
                 (("open",), "*/checkpoints/checkpoint-*.json", None),
                 (("ftruncate",), "*/out", None),
                 (("unlink",), "*.json.tmp", None),
                 (("open", "write", "ftruncate"), "*LOCK", None),
                 (("open", "write"), "*/.sbhost*", None)],
}
REPORTED = re.compile(r"Checkpoint created  id=(checkpoint-\d+)")
RESTORING = re.compile(r"Restoring from checkpoint  id=(checkpoint-\d+)")
READY = ("Successfully restored", "starting fresh")


class Diverged(Exception):
    """What a life left behind is not what it must be."""


def backends():
    return [name for name in ("memory", "rocksdb", "lmdb", "redis") if harness.is_built(name)
            and (name != "redis" or redis_server.program())]


def number_of(checkpoint_id):
    return int(checkpoint_id.rsplit("-", 1)[1]) if checkpoint_id else 0


class Round:
    """directory is new and the round's own; sabotage (for the self-test) has rules for the preload, or a change after a death."""

    def __init__(self, directory, course, seed, sabotage=None):
        self.dir, self.job_dir = directory, os.path.join(directory, "job")  # input and logs, what the job has made
        self.course, self.rng = course, random.Random(seed)
        self.sabotage = sabotage
        self.output = Output(course)
        self.server = None  # of Redis, from the first life that wants it
        self.counts = collections.Counter()
        self.reported = self.newest = None
        self.events = 0
        self.lives = 0

    def run(self):
        """Raises Diverged."""
        os.makedirs(self.job_dir)
        self.course.write(os.path.join(self.dir, "in"))
        try:
            self.live_on()
        finally:
            if self.server:
                self.server.kill()

    def live_on(self):
        while self.events < len(self.course.lines):
            status = self._live()
            if self.sabotage:
                self.sabotage.after_life(self)
            self._check_what_is_left(status)
        self.counts["through"] += 1

    def _backends(self):
        return backends()

    def _backend_options(self, backend):
        if backend != "redis":
            return ["--backend", backend]
        self.server = self.server or redis_server.Server(os.path.join(self.dir, "redis"))
        return ["--backend", "redis", "--backend-opt", "socket=" + self.server.socket]

    def _options(self, backend):
        rng, tasks = self.rng, self.rng.choice([1, 1, 2])
        self.output.ordered = self.output.ordered and tasks == 1
        ttl = ["--ttl", "%dms" % self.course.ttl_ms, "--ttl-clock", "event"] if self.course.ttl_ms else ["--ttl", "0"]
        return [*PLUGINS, *self._backend_options(backend), "--parallelism", str(tasks), "--input", "../in", "--output", "out",
                "--checkpoint-interval", rng.choice(["1ms", "2ms", "5ms"]), "--keep", str(rng.randint(1, 3)),
                "--checkpoint-mode", rng.choice(["full", "incremental", "incremental"]), "--cache-size",
                rng.choice(["0", "16KiB", "256MiB"]), "--checkpoint-compression", rng.choice(["none", "lz4", "zstd"]),
                "--progress", "off", "--max-events", str(rng.randint(100, 4000)), *ttl]

    def _rules(self, backend):
        """(phase, rules for the preload, how long to live or None). One life in three is ended by time alone."""
        rng = self.rng
        if rng.random() < 0.33:
            return None, "", rng.random() * LIFE_S
        points = [(phase, point) for phase, all_points in POINTS.items() for point in all_points if point[2] in (None, backend)]
        phase = rng.choice(sorted({phase for phase, _ in points}))
        calls, pattern, _ = rng.choice([point for its_phase, point in points if its_phase == phase])
        call = rng.choice(calls)
        nth = rng.choice([1, 1, 1, 2, 3, 5, 8])
        action = rng.choice(["before", "after", "half"] if call == "write" else ["before", "after"])
        return phase, "%s:%s:%d:%s" % (action, call, nth, pattern), None

    def _live(self):
        """One life, and how it ended."""
        backend = self.rng.choice(self._backends())
        argv = [harness.SBHOST, *self._options(backend)]
        phase, rules, moment = self._rules(backend)
        if self.sabotage and self.sabotage.rules:
            rules = ";".join(filter(None, (rules, self.sabotage.rules)))
        self.lives += 1
        self.log_path = os.path.join(self.dir, "life-%d.log" % self.lives)
        with open(self.log_path, "wb") as log:
            log.write(("%s\nSTRIKE=%s moment=%s\n" % (" ".join(argv), rules, moment)).encode())
            log.flush()
            env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
            if rules:
                env.update(LD_PRELOAD=STRIKE, STRIKE=rules)
            with subprocess.Popen(argv, cwd=self.job_dir, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
                status = self._end(process, moment)
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            self.log = log.read()
        self._check_log(status)
        self.counts[self._phase(phase) if status else "unharmed"] += 1
        return status

    def _end(self, process, moment):
        """Ends it at the moment (seconds), or lets it end; its status."""
        if moment is not None:
            time.sleep(moment)  # not to wait for something: to strike at any moment
            process.kill()
        return self._wait(process)

    @staticmethod
    def _wait(process):
        try:
            return process.wait(harness.PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Diverged("it hung") from None

    def _check_log(self, status):
        self._check_peace(status)
        restoring = RESTORING.search(self.log)
        fresh = "starting fresh" in self.log
        if (restoring and restoring.group(1) != self.newest) or (fresh and self.newest):
            raise Diverged("it restored %s, where %s was the newest" % (restoring and restoring.group(1), self.newest))
        self.reported = max([self.reported, *REPORTED.findall(self.log)], key=number_of)

    def _check_peace(self, status):
        if status not in (0, -signal.SIGKILL):
            raise Diverged("it ended with status %d" % status)
        for word in ("ERROR", "WARN", "quarantine"):
            if word in self.log:
                raise Diverged("a kill makes no damage and no failure, but its log has %s" % word)

    def _phase(self, struck_phase):
        """Where this life ended: by the point that was struck, else by what is there."""
        if not any(text in self.log for text in READY):
            return "recovery"
        if "STRUCK" in self.log:
            return "processing" if struck_phase == "recovery" else struck_phase
        return "checkpoint" if glob.glob(os.path.join(self.job_dir, "checkpoints", "*.tmp")) else "processing"

    def _load_newest(self):
        paths = glob.glob(os.path.join(self.job_dir, "checkpoints", "checkpoint-*.json"))
        self.newest = max((os.path.basename(path)[:-5] for path in paths), key=number_of, default=None)
        if number_of(self.newest) < number_of(self.reported):
            raise Diverged("%s was reported, and the newest is %s" % (self.reported, self.newest))
        try:
            return self.newest and harness.load_checkpoint(os.path.join(self.job_dir, "checkpoints", self.newest + ".json"))
        except ValueError as wrong:
            raise Diverged("%s is damaged: %s" % (self.newest, wrong)) from None

    def _check_what_is_left(self, status):
        checkpoint = self._load_newest()
        if not checkpoint:
            if status == 0:
                raise Diverged("it ended well without a checkpoint")
            return
        number = self.course.number_at(checkpoint["Offsets"]["0"])
        if number < self.events or checkpoint["Events"] != number:
            raise Diverged("offset of record %d, where %d events were counted, and %d before" % (number, checkpoint["Events"],
                                                                                       self.events))
        self.events = number
        length = next(o["Length"] for o in checkpoint["Outputs"] if o["Role"] == "output")
        if status == 0 and os.path.getsize(os.path.join(self.job_dir, "out")) != length:
            raise Diverged("it ended well, and its last checkpoint does not count on all of the output")
        self._check_content(number, length)

    def _check_content(self, number, length):
        done = subprocess.run([harness.SBHOST, "state", "export", *PLUGINS], cwd=self.job_dir, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE_S, check=False)
        if done.returncode != 0:
            raise Diverged("the state cannot be read: %s" % done.stderr.decode("utf-8", "replace"))
        with open(os.path.join(self.job_dir, "out"), "rb") as out:
            content = out.read(length)
        if len(content) != length:
            raise Diverged("the output is shorter than its checkpoint counts on")
        try:
            self.course.check_export(done.stdout.decode().splitlines(), number)
            self.output.check(content, number)
        except AssertionError as wrong:
            raise Diverged(str(wrong)) from None


def play(directory, course, seed, sabotage=None):
    """(counts, None or what diverged). The directory stays when something did."""
    one = Round(directory, course, seed, sabotage)
    try:
        one.run()
    except Diverged as wrong:
        return one.counts, "life %d: %s" % (one.lives, wrong)
    shutil.rmtree(directory)
    return one.counts, None


class Sabotage:
    """A setup that is broken on purpose, for the self-test."""

    def __init__(self, name, rules="", change=None):
        self.name, self.rules, self._change = name, rules, change

    def after_life(self, one):
        paths = sorted(glob.glob(os.path.join(one.job_dir, "checkpoints", "checkpoint-*.json")))
        if self._change and paths:
            self._change(one, paths[-1])


def _move_offset(one, path):
    """The offset of another record, under a digest that fits."""
    with open(path, "rb") as file:
        content = file.read()
    checkpoint = json.loads(content)
    number = one.course.number_at(checkpoint["Offsets"]["0"])
    moved = b'"Offsets":{"0":%d}' % one.course.ends[number - 1]
    content = content.replace(b'"Offsets":{"0":%d}' % checkpoint["Offsets"]["0"], moved, 1)
    content = content.replace(b'"Events":%d' % number, b'"Events":%d' % (number - 1), 1)
    with open(path, "wb") as file:
        file.write(harness.sign(content))


SABOTAGES = [
    Sabotage("the output is not cut to the checkpoint's length", "skip:ftruncate:0:*/out"),
    Sabotage("a checkpoint is reported that has not got its name", "skip:rename:0:*.json.tmp"),
    Sabotage("a write to the output is lost", "skip:write:1:*/out"),
    Sabotage("the newest checkpoint is gone", change=lambda one, path: os.unlink(path)),
    Sabotage("a checkpoint's offset is one record early", change=_move_offset),
]
