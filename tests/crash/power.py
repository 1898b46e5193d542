"""Rounds of lives on a file system whose power is cut: all that was not flushed is gone when it is mounted again.

The job's directory is a file system of its own in an image. The cut is the shutdown that ext4 and XFS offer for such tests, without a
flush of their logs: from then on nothing reaches the image, not even what the kernel still holds, and unmounting drops it. Mounted again,
it holds what a disk would after a power failure. The rest is as with a kill (lives.py): what was reported must be there, and exact.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import time

import harness
import lives

SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), of ext4 and XFS alike
WITHOUT_LOG_FLUSH = 2
SYSTEMS = {"ext4": ("64M", ["mkfs.ext4", "-q", "-F"]), "xfs": ("320M", ["mkfs.xfs", "-q", "-f"])}


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=harness.PATIENCE_S, check=False)
    if done.returncode != 0:
        raise OSError("%s: %s" % (" ".join(argv), done.stdout.decode("utf-8", "replace").strip()))


class Disk:
    """An image, mounted on a directory."""

    def __init__(self, system, image, directory):
        self.system, self.image, self.dir = system, image, directory
        self.mounted = False
        size, make = SYSTEMS[system]
        run("truncate", "-s", size, image)
        run(*make, image)
        os.makedirs(directory)
        self.mount()

    def mount(self):
        run("mount", "-t", self.system, "-o", "loop", self.image, self.dir)
        self.mounted = True

    def unmount(self):
        if self.mounted:
            run("umount", self.dir)
            self.mounted = False

    def cut(self):
        fd = os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        finally:
            os.close(fd)


def obstacle(system, directory):
    """Why this file system cannot be tried here, or None: by trying."""
    if not shutil.which(SYSTEMS[system][1][0]):
        return "%s is not here" % SYSTEMS[system][1][0]
    disk = None
    try:
        disk = Disk(system, os.path.join(directory, "probe"), os.path.join(directory, "probe-" + system))
        disk.cut()
    except OSError as error:
        return str(error)
    finally:
        if disk:
            disk.unmount()
    return None


class PowerRound(lives.Round):
    """Every life is ended by a cut: at a chosen system call, as soon as a checkpoint is reported, at any moment, or when it has ended well."""

    def __init__(self, system, directory, course, seed, sabotage=None):
        super().__init__(directory, course, seed, sabotage)
        self.system, self.disk = system, None

    def run(self):
        os.makedirs(self.dir)
        self.course.write(os.path.join(self.dir, "in"))
        self.disk = Disk(self.system, os.path.join(self.dir, "image"), self.job_dir)
        try:
            self.live_on()
        finally:
            self.disk.unmount()

    def _backends(self):
        """What a server holds is not on the disk that loses its power."""
        return [name for name in lives.backends() if name != "redis"]

    def _rules(self, backend):
        phase, rules, _ = super()._rules(backend)
        if rules:
            return phase, rules, "end"
        return None, "", self.rng.choice(["end", "report-1", "report-2", self.rng.random() * lives.LIFE_S])

    def _end(self, process, moment):
        if moment == "end":
            self._wait(process)
        elif isinstance(moment, str):
            self._wait_for_reports(process, int(moment[-1]))
        else:
            time.sleep(moment)  # not to wait for something: to strike at any moment
        self.disk.cut()
        process.kill()
        status = self._wait(process)
        self.disk.unmount()
        self.disk.mount()
        return status

    def _wait_for_reports(self, process, count):
        """Or for its end."""
        while process.poll() is None:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                if len(lives.REPORTED.findall(log.read())) >= count:
                    return
            time.sleep(0.0002)

    def _check_peace(self, status):
        """After a cut a job may complain, since every call fails; before it, nothing was damaged."""
        if "quarantine" in self.log or "fresh-start" in self.log:
            raise lives.Diverged("a checkpoint was damaged by the cut before")


SABOTAGES = [
    lives.Sabotage("a checkpoint is not synced before it gets its name", "skip:fsync:0:*.json.tmp"),
    lives.Sabotage("the directory is not synced after it", "skip:fsync:0:*/checkpoints"),
    lives.Sabotage("the output is not synced before a checkpoint counts on it", "skip:fsync:0:*/out"),
    lives.Sabotage("shared files are not synced", "skip:fsync:0:*/checkpoints/shared/*"),
]


def play(system, directory, course, seed, sabotage=None):
    """(counts, None or what diverged). The directory stays when something did."""
    one = PowerRound(system, directory, course, seed, sabotage)
    try:
        one.run()
    except lives.Diverged as wrong:
        return one.counts, "life %d: %s" % (one.lives, wrong)
    shutil.rmtree(directory)
    return one.counts, None
