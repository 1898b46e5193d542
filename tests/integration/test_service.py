"""The job as a service: a sandbox, what the service manager is told, and the unit that is installed."""

import sys

sys.dont_write_bytecode = True

import hashlib
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
        # The leak sanitizer starts a process of its own at the end, which the sandbox does not let it.
        done = self.sbhost("--sandbox", *args, status=None, env={"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"})
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

    def test_the_option_may_stand_last_and_before_one_that_is_mistyped(self):
        self.write("in.ndjson", events(("a", "1.5", 1)))
        arguments = ["--backend", "memory", "--input", "in.ndjson", "--output", "none"]
        self.run_in(*arguments)  # or it is skipped
        self.sbhost(*arguments, "--sandbox", env={"ASAN_OPTIONS": "detect_leaks=0"})
        self.assertSays(self.sbhost("--sandbox", "--inptu", "in.ndjson", status=2), "--inptu", "--input")

    def test_another_word_is_one_sentence(self):
        self.assertSays(self.sbhost("--sandbox=sand", status=3), "--sandbox", "local or net")


class Signed(harness.Case):
    """--require-signed-manifest, signed with the key of a test vector by a signer that shares no code: openssl."""

    def setUp(self):
        super().setUp()
        if not shutil.which("openssl"):
            self.skipTest("Skipping manifest test (not available): openssl is not here")
        self.write("in.ndjson", events(("a", "1.5", 1)))
        self.plugins = [os.path.join(harness.BUILD, "plugins", name) for name in
                        ("libmemory_backend.so", "libfault_backend.so", "libexample_processor.so")]
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
        self.openssl("pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "key.der")
        self.write("key.pub", self.read("key.der")[-32:])
        self.sign("".join("%s  %s\n" % (self.sha256(path), path) for path in self.plugins))

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.dir, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @staticmethod
    def sha256(path):
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def sign(self, text):
        self.write("manifest", text)
        self.openssl("pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "manifest", "-out", "manifest.sig")

    def run_with(self, backend="memory", status=0, key="key.pub"):
        return self.sbhost("--backend", backend, "--input", "in.ndjson", "--output", "none", "--require-signed-manifest", "manifest",
                           "--manifest-key", key, status=status)

    def test_plugins_that_are_named_are_loaded(self):
        self.run_with()
        self.run_with(backend="fault")

    def test_a_plugin_that_is_not_named_is_refused(self):
        self.sign("%s  libexample_processor.so\n" % self.sha256(self.plugins[2]))
        self.assertSays(self.run_with(status=4), "libmemory_backend.so", "is not in", "manifest")

    def test_so_is_one_that_another_plugin_wants_to_open(self):
        self.sign("".join("%s  %s\n" % (self.sha256(path), os.path.basename(path)) for path in self.plugins[1:]))
        done = self.run_with(backend="fault", status=None)
        self.assertNotEqual(done.status, 0)
        self.assertSays(done, "libmemory_backend.so", "is not in")

    def test_another_file_of_that_name_is_refused(self):
        self.sign("%s *libmemory_backend.so\n" % ("0" * 64))
        self.assertSays(self.run_with(status=4), "is another file than", "vouches for")

    def test_a_manifest_that_was_changed_is_refused(self):
        self.write("manifest", self.read("manifest") + b"\n")
        self.assertSays(self.run_with(status=4), "is not what was signed")

    def test_a_missing_signature_or_key_is_one_sentence(self):
        self.assertSays(self.run_with(status=4, key="no-key"), "no-key")
        os.unlink(self.path("manifest.sig"))
        self.assertSays(self.run_with(status=4), "manifest.sig")

    def test_a_line_of_another_form_is_one_sentence(self):
        self.sign("hello\n")
        self.assertSays(self.run_with(status=4), "line 1", "sha256sum")


class SearchPath(harness.Case):
    """A plugin's libraries run with the host's rights, so the places that it looks for them in are vetted as its own is."""

    def setUp(self):
        super().setUp()
        if not shutil.which("cc"):
            self.skipTest("Skipping search path test (not available): cc is not here")

    def load(self, runpath, status):
        subprocess.run(["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-I", os.path.join(harness.SOURCE, "include"), "-Wl,-rpath," + runpath,
                        "-Wl,--version-script=" + os.path.join(harness.SOURCE, "cmake", "plugin.map"), "-o", self.path("plugin.so"),
                        os.path.join(harness.SOURCE, "tests", "abi", "v1.0", "plugin.c")], check=True)
        os.chmod(self.path("plugin.so"), 0o755)
        return self.sbhost("plugin", "info", self.path("plugin.so"), status=status)

    def test_a_directory_that_others_can_write_to_is_refused(self):
        os.mkdir(self.path("open"))
        os.chmod(self.path("open"), 0o777)
        for runpath in (self.path("open"), "$ORIGIN/open", "/usr/lib:" + self.path("open", "not", "there")):
            with self.subTest(runpath=runpath):
                self.assertSays(self.load(runpath, 4), "RUNPATH", "can be written by others")

    def test_so_is_one_that_depends_on_where_sbhost_is_started(self):
        for runpath in ("lib", "/usr/lib::/lib"):
            with self.subTest(runpath=runpath):
                self.assertSays(self.load(runpath, 4), "RUNPATH", "depends on where")

    def test_so_is_one_whose_meaning_depends_on_the_machine(self):
        for runpath in ("/usr/$LIB", "$ORIGIN/${PLATFORM}"):
            with self.subTest(runpath=runpath):
                self.assertSays(self.load(runpath, 4), "RUNPATH", "a leading $ORIGIN")

    def test_the_systems_and_its_own_are_fine(self):
        for runpath in ("/usr/lib", "$ORIGIN", "${ORIGIN}/lib", "/usr/lib:/usr/local/lib/not-there"):
            with self.subTest(runpath=runpath):
                self.load(runpath, 0)


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
