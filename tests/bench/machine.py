"""A peer that runs the bare guest `bench`, driven over its serial port, and what it costs the host.

A peer is a script peers/NAME.sh; see README.md for what it is given. All peers are up at the same time, each with a
disk image and a tap of its own, and stopped by SIGSTOP while another one is measured.
"""
import os
import select
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Whoever runs this may be killed; then so are the machines.
TIED = ["setpriv", "--pdeathsig", "KILL", "--"]
PERF_EVENTS = {"system calls": "raw_syscalls:sys_enter", "exits to user space": "kvm:kvm_userspace_exit"}


class Failed(Exception):
    pass


class Lines:
    """Lines from a descriptor, with a time limit."""

    def __init__(self, fd):
        self.fd = fd
        self.rest = b""

    def read(self, seconds):
        until = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise Failed(f"nothing in {seconds} s after {self.rest!r}")
            part = os.read(self.fd, 65536)
            if not part:
                raise Failed(f"ended after {self.rest!r}")
            self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode(errors="replace").strip("\r")


class Counter:
    """perf(1) attached to a process, counting while told to."""

    def __init__(self, pid):
        self.ctl_read, self.ctl = os.pipe()
        self.ack, self.ack_write = os.pipe()
        self.perf = subprocess.Popen(
            ["perf", "stat", "-x,", "-D", "-1", "--control", f"fd:{self.ctl_read},{self.ack_write}", "-p", str(pid)] +
            [word for event in PERF_EVENTS.values() for word in ("-e", event)],
            pass_fds=(self.ctl_read, self.ack_write), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def tell(self, word):
        os.write(self.ctl, word.encode() + b"\n")
        if not select.select([self.ack], [], [], 5)[0]:
            raise Failed("perf does not answer")
        os.read(self.ack, 64)

    def end(self):
        self.perf.send_signal(signal.SIGINT)
        text = self.perf.communicate(timeout=10)[1].decode()
        for fd in (self.ctl_read, self.ctl, self.ack, self.ack_write):
            os.close(fd)
        counts = {}
        for line in text.splitlines():
            fields = line.split(",")
            for name, event in PERF_EVENTS.items():
                if len(fields) > 2 and fields[2] == event and fields[0].isdigit():
                    counts[name] = int(fields[0])
        return counts


class Machine:
    def __init__(self, name, kernel, directory, disk_len=None, tap=None, memory="128M", console="serial", cmdline="",
                 direct=False):
        env = dict(os.environ, KERNEL=kernel, CMDLINE=cmdline, MEMORY=memory, CONSOLE=console)
        if disk_len:
            env["DISK"] = os.path.join(directory, name + ".img")
            make_image(env["DISK"], disk_len)
            if direct:
                env["DIRECT"] = "1"
        if tap:
            env["TAP"] = tap
        self.name = name
        self.disk = env.get("DISK")
        self.tap = tap
        self.errors = open(os.path.join(directory, name + ".err"), "w+b")
        self.process = subprocess.Popen(TIED + [os.path.join(HERE, "peers", name + ".sh")], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors)
        self.lines = Lines(self.process.stdout.fileno())

    def say(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def expect(self, word, seconds):
        while True:
            line = self.lines.read(seconds)
            if line.startswith(word):
                return line
            if line.startswith("guest:"):
                raise Failed(line)

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def cpu_seconds(self):
        """(of the vCPUs' threads, of all others)"""
        vcpus = others = 0
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            try:
                with open(f"{tasks}/{task}/comm", encoding="utf-8") as file:
                    name = file.read()
                with open(f"{tasks}/{task}/schedstat", encoding="utf-8") as file:
                    spent = int(file.read().split()[0]) / 1e9
            except (FileNotFoundError, ProcessLookupError):
                continue
            if name.startswith("vcpu") or "/KVM" in name:
                vcpus += spent
            else:
                others += spent
        return vcpus, others

    def measure(self, command, count=False, timeout=30):
        """One measurement as the guest's `bench` knows it; a dict of what was seen."""
        self.say(command)
        self.expect("ready", timeout)
        counter = Counter(self.process.pid) if count else None
        if counter:
            counter.tell("enable")
        cpu = self.cpu_seconds()
        start = time.perf_counter()
        self.say("")
        line = self.expect("end", timeout)
        seconds = time.perf_counter() - start
        cpu_end = self.cpu_seconds()
        if counter:
            counter.tell("disable")
        operations, kicks, interrupts = (int(word) for word in line.split()[1:4])
        seen = {"seconds": seconds, "operations": operations, "kicks": kicks, "interrupts": interrupts,
                "vcpu_cpu": cpu_end[0] - cpu[0], "other_cpu": cpu_end[1] - cpu[1]}
        if counter:
            seen.update(counter.end())
        return seen

    def end(self):
        self.go_on()
        try:
            self.say("quit")
            self.process.wait(timeout=10)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.errors.seek(0)
        text = self.errors.read().decode(errors="replace").strip()
        self.errors.close()
        return text


def make_image(path, length):
    """Written in full, so that nobody measures holes."""
    with open(path, "wb") as file:
        block = os.urandom(1 << 20)
        for _ in range(length >> 20):
            file.write(block)
