"""Group "start": from exec of the monitor to its first KVM_RUN, for all peers; and ours by stage."""
import json
import os
import signal
import subprocess
import time

from machine import HERE, TIED

KVM_RUN = 0xae80
PEERS = ["vmm-pci", "vmm-mmio", "qemu-microvm-io_uring", "qemu-q35-io_uring"]
SECONDS = 4


def first_run(peer, kernel, directory):
    """Seconds from the exec of what the peer's script becomes to the first KVM_RUN; None when there was none."""
    data = os.path.join(directory, "perf.data")
    env = dict(os.environ, KERNEL=kernel, MEMORY="256M", CMDLINE="quiet console=ttyS0", INITRD="")
    command = ["perf", "record", "-q", "-e", "sched:sched_process_exec", "-e", "syscalls:sys_enter_ioctl", "--filter",
               f"cmd=={KVM_RUN}", "-o", data, "--", os.path.join(HERE, "peers", peer + ".sh")]
    with subprocess.Popen(TIED + command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, start_new_session=True) as process:
        # The machine is ended by hand as soon as it runs; perf then writes what it saw.
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and process.poll() is None and not has_run(process.pid):
            time.sleep(0.02)
        time.sleep(0.05)
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.wait()
    seen = subprocess.run(["perf", "script", "-i", data, "-F", "time,event"], capture_output=True, text=True,
                          check=False).stdout
    start = None
    for line in sorted(seen.splitlines()):
        at, event = line.split()[:2]
        if "exec" in event:
            start = float(at.rstrip(":"))
        elif start is not None:
            return float(at.rstrip(":")) - start
    return None


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def has_run(pid):
    """Whether a child has a thread that has been inside a guest."""
    for child in children(pid):
        try:
            tasks = os.listdir(f"/proc/{child}/task")
            for task in tasks:
                with open(f"/proc/{child}/task/{task}/comm", encoding="ascii", errors="replace") as file:
                    name = file.read()
                with open(f"/proc/{child}/task/{task}/schedstat", encoding="ascii") as file:
                    spent = int(file.read().split()[0])
                if (name.startswith("vcpu") or "/KVM" in name) and spent > 30000000:
                    return True
        except (FileNotFoundError, ProcessLookupError):
            pass
    return False


def group_start(figures, options, directory):
    kernel = os.path.join(options.kernel(), "vmlinux")
    for _ in range(options.rounds):
        for peer in options.peers or PEERS:
            seconds = first_run(peer, kernel, directory)
            if seconds is not None:
                figures.add("start", "exec to the first KVM_RUN", "ms", "less", peer, seconds * 1e3)
    out = subprocess.run([os.path.join(HERE, "start.sh"), "--json", "--runs", str(options.rounds), kernel,
                          os.environ["VMM"]], check=True, stdout=subprocess.PIPE, text=True).stdout
    seen = json.loads(out)
    figures.add("start", "resident memory without the guest's", "KiB", "less", "vmm-pci", seen["rss_without_guest_kib"])
    figures.add("start", "stripped program", "KiB", "less", "vmm-pci", seen["stripped_bytes"] / 1024)
    for step, took in seen["steps_ms"].items():
        figures.add("start, by stage", step, "ms", "less", "vmm-pci", took)
