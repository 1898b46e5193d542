"""Ways of taking checkpoints, and jobs that are fed through a pipe: the test sets the clock, writes some records, and waits for a
checkpoint that covers them, so that one run leaves a chain of checkpoints whose moments are all known."""

import os
import subprocess

import harness


def _help(*args):
    done = subprocess.run([harness.SBHOST, *args, "--help"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, timeout=harness.PATIENCE_S, check=False)
    return done.stdout.decode() if done.returncode == 0 else ""


def checkpoint_modes():
    """Values of --checkpoint-mode, full alone where this build has no other."""
    return ["full", "incremental"] if "--checkpoint-mode" in _help("run") else ["full"]


def mode_options(mode):
    return ["--checkpoint-mode", mode] if len(checkpoint_modes()) > 1 else []


def has_tool(*words):
    """Whether there is, say, "sbhost checkpoint export"."""
    return bool(_help(*words))


def set_clock(path, ms):
    """In one step, since a job may be reading."""
    with open(path + ".new", "w", encoding="ascii") as out:
        out.write(str(ms))
    os.rename(path + ".new", path)


class Fed:
    """A job whose input is a pipe; case is the test's, checkpoints go into directory."""

    def __init__(self, case, directory, *args, env):
        self.case, self.directory = case, directory
        known = case.checkpoints(directory)
        self.events = harness.load_checkpoint(known[-1])["Events"] if known else 0
        self.seen = len(known)
        self.job = case.start("--input", "-", "--checkpoint-dir", directory, "--state-dir", directory + "-state",
                              "--checkpoint-interval", "5ms", "--keep", "100000", *args, env=env,
                              stdin=subprocess.PIPE)

    def _covered(self):
        paths = self.case.checkpoints(self.directory)
        return len(paths) > self.seen and harness.load_checkpoint(paths[-1])["Events"] >= self.events

    def feed(self, text):
        """Waits for a checkpoint that covers it, and returns its id."""
        self.events += text.count("\n")
        self.job.process.stdin.write(text.encode())
        self.job.process.stdin.flush()
        self.job.wait_for(self._covered)
        paths = self.case.checkpoints(self.directory)
        self.seen = len(paths)
        return os.path.basename(paths[-1])[:-len(".json")]

    def finish(self):
        self.job.process.stdin.close()
        done = self.job.wait()
        self.case.assertEqual(done.status, 0, str(done))
        return done
