"""Redis servers of a test's own: one on a Unix socket, or three as a cluster on loopback ports that the system chose."""

import os
import shutil
import signal
import socket
import subprocess
import time

PATIENCE_S = 30
SLOTS = 16384


def program():
    """Debian's package redis-server starts a service; redis-tools has the same program, and what it is depends on its name."""
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")


class Server:
    def __init__(self, directory, port=0):
        os.makedirs(directory)
        self.socket = os.path.join(directory, "socket")
        self.port = port
        self.argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", self.socket, "--dir", directory,
                     "--save", "", "--appendonly", "no", "--logfile", "log", *(["--cluster-enabled", "yes"] if port else [])]
        self.process = None
        self.start()

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = subprocess.Popen(self.argv, executable=program(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.ask("PING")
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    def ask(self, command):
        """The reply as it comes over the wire; long enough for short ones."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(self.socket)
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(65536).decode("utf-8", "replace")

    def keys(self):
        return int(self.ask("DBSIZE").lstrip(":"))

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process = None


def free_port():
    """One whose neighbour for the cluster's own traffic, 10000 above, exists."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port <= 55535:
            return port


def start_cluster(directory, nodes=3):
    servers = []
    for i in range(nodes):
        servers.append(Server(os.path.join(directory, "node-%d" % i), free_port()))
        servers[i].ask("CLUSTER ADDSLOTSRANGE %d %d" % (SLOTS * i // nodes, SLOTS * (i + 1) // nodes - 1))
        servers[i].ask("CLUSTER SET-CONFIG-EPOCH %d" % (i + 1))
    for server in servers[1:]:
        servers[0].ask("CLUSTER MEET 127.0.0.1 %d" % server.port)
    deadline = time.monotonic() + PATIENCE_S
    while not all("cluster_state:ok" in said and "cluster_known_nodes:%d" % nodes in said
                  for said in (server.ask("CLUSTER INFO") for server in servers)):
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster does not come about")
        time.sleep(0.02)
    return servers
