"""The job as a service: a sandbox, what the service manager is told, and the unit that is installed."""

import sys

sys.dont_write_bytecode = True

import os
import re
import shutil
import socket
import subprocess
import unittest

import harness
from harness import events, numbered_events

UNIT = os.path.join(harness.SOURCE, "packaging", "sbhost@.service")


class Sandboxed(harness.Case):
    def run_in(self, *args, status=0):
        done = self.sbhost("--sandbox", *args, status=None)
        if "no Landlock" in done.err:
            self.skipTest("Skipping sandbox test (not available): this kernel has no Landlock")
        self.assertEqual(done.status, status, str(done))
        return done

    def test_jobs_run_restore_and_swap_in_the_sandbox(self):
        self.write("in.ndjson", numbered_events(0, 3000, users=700))
        for turn, backend in enumerate(harness.every_backend() + ["memory"]):
            done = self.run_in("--backend", backend, "--parallelism", str(1 + turn % 2), "--input", "in.ndjson", "--output", "out",
                               "--ttl", "0", "--max-events", "500", "--checkpoint-interval", "1ms")
            self.assertIn("Sandbox entered", done.err)
        self.run_in("--input", "in.ndjson", "--output", "out", "--ttl", "0", "--backend", "memory")
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "plain", "--ttl", "0", "--checkpoint-dir", "other",
                    "--state-dir", "other-state")
        self.assertEqual(sorted(self.read("out").splitlines()), sorted(self.read("plain").splitlines()))
        self.assertEqual(self.profiles(), self.profiles("--checkpoint-dir", "other"))

    def test_dead_letters_are_written(self):
        self.write("in.ndjson", "no event\n" + events(("a", "1.5", 1)))
        self.run_in("--backend", "memory", "--input", "in.ndjson", "--output", "none", "--dead-letter", "dead")
        self.assertEqual(len(self.read("dead").splitlines()), 1)

    def test_another_word_is_one_sentence(self):
        self.assertSays(self.sbhost("--sandbox=sand", status=3), "--sandbox", "local or net")


class Descriptors(harness.Case):
    def test_all_are_closed_on_exec(self):
        """As seen from outside, in the middle of a run with files of every kind open."""
        self.write("in.ndjson", "")
        for backend in harness.every_backend():
            with self.subTest(backend=backend):
                job = self.start("--backend", backend, "--input", "generator:users=50,rate=5000,seed=1", "--output", "out",
                                 "--checkpoint-interval", "5ms", "--checkpoint-dir", "c-" + backend, "--state-dir", "s-" + backend)
                job.saw("Checkpoint created", times=2)
                folder = "/proc/%d/fdinfo" % job.process.pid
                for fd in os.listdir(folder):
                    if int(fd) <= 2:
                        continue
                    try:
                        with open(os.path.join(folder, fd), encoding="ascii") as info:
                            flags = int(re.search(r"flags:\s*(\d+)", info.read()).group(1), 8)
                        target = os.readlink("/proc/%d/fd/%s" % (job.process.pid, fd))
                    except FileNotFoundError:
                        continue  # closed meanwhile
                    self.assertTrue(flags & os.O_CLOEXEC, "descriptor %s, %s, would be inherited" % (fd, target))
                job.kill()


class Manager(harness.Case):
    """Stands in for systemd."""

    def setUp(self):
        super().setUp()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(self.path("notify"))
        self.socket.settimeout(harness.PATIENCE_S)

    def start_job(self, **env):
        return self.start("--backend", "memory", "--input", "generator:users=5,rate=50,seed=1", "--output", "none",
                          env={"NOTIFY_SOCKET": self.path("notify"), **env})

    def told(self):
        return self.socket.recv(4096).decode()

    def test_is_told_when_the_job_is_ready_and_when_it_stops(self):
        job = self.start_job()
        self.assertEqual(self.told(), "READY=1")
        job.signal(15)
        self.assertEqual(self.told(), "STOPPING=1")
        self.assertEqual(job.wait().status, 0)

    def test_gets_pings_while_the_job_moves(self):
        job = self.start_job(WATCHDOG_USEC="20000")
        self.assertEqual(self.told(), "READY=1")
        self.assertEqual([self.told() for _ in range(5)], ["WATCHDOG=1"] * 5)
        job.kill()

    def test_gets_no_pings_that_are_meant_for_another(self):
        job = self.start_job(WATCHDOG_USEC="20000", WATCHDOG_PID="1")
        self.assertEqual(self.told(), "READY=1")
        job.signal(15)
        self.assertEqual(self.told(), "STOPPING=1")
        job.wait()

    def test_a_socket_that_is_gone_is_no_failure(self):
        self.write("in.ndjson", events(("a", "1.5", 1)))
        self.sbhost("--backend", "memory", "--input", "in.ndjson", "--output", "none", env={"NOTIFY_SOCKET": "/nonexistent"})


class Unit(unittest.TestCase):
    def test_exposes_little(self):
        analyze = shutil.which("systemd-analyze")
        if not analyze:
            self.skipTest("Skipping unit test (not available): systemd-analyze is not here")
        done = subprocess.run([analyze, "security", "--offline=true", "--no-pager", UNIT], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        said = done.stdout.decode()
        found = re.search(r"exposure level for \S+: (\d+\.\d+)", said)
        if not found:
            self.skipTest("Skipping unit test (not available): %s" % said.strip()[-200:])
        self.assertLess(float(found.group(1)), 2.0, said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
