"""Machines started per second, and what many idle ones take of the host."""
import os
import signal
import subprocess
import sys
import time

from machine import HERE, make_image

ROOT = os.path.dirname(os.path.dirname(HERE))
GUESTS = os.path.join(ROOT, "build", os.uname().machine, "guest")
MEMORY = 128 << 20
START_PEERS = ["vmm-pci", "vmm-mmio", "qemu-microvm-io_uring"]
IDLE_PEERS = ["vmm-pci", "qemu-microvm-io_uring", "qemu-q35-io_uring"]
IDLE_COUNT = {"vmm-pci": 200, "qemu-microvm-io_uring": 40, "qemu-q35-io_uring": 40}
SETTLE_S, WATCH_S = 3, 10


def spawn(peer, guest, cmdline, disk=None, options=""):
    env = dict(os.environ, KERNEL=os.path.join(GUESTS, guest), CMDLINE=cmdline, MEMORY=f"{MEMORY >> 20}M",
               VMM_OPTIONS=options)
    if disk:
        env["DISK"] = disk
    return subprocess.Popen([os.path.join(HERE, "peers", peer + ".sh")], env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def starts_per_second(peer, at_once, total):
    """Whole lives: exec, boot of a guest that leaves at once, exit."""
    running, started = [], 0
    start = time.perf_counter()
    while started < total or running:
        while started < total and len(running) < at_once:
            running.append(spawn(peer, "hello", ""))
            started += 1
        pid, _ = os.waitpid(-1, 0)
        for process in running:
            if process.pid == pid:
                process.returncode = 0
        running = [process for process in running if process.pid != pid]
    return total / (time.perf_counter() - start)


def pss_outside_guest(pid):
    """KiB of proportional set size outside the guest's memory: mappings side by side, together of its length or more."""
    runs = []  # of neighbours: [end, length, KiB of PSS]
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            word = line.split(maxsplit=1)[0]
            if word == "Pss:":
                runs[-1][2] += int(line.split()[1])
            elif not word.endswith(":"):
                start, end = (int(part, 16) for part in word.split("-"))
                if not runs or runs[-1][0] != start:
                    runs.append([end, 0, 0])
                runs[-1][0] = end
                runs[-1][1] += end - start
    # The guest's memory can have other mappings right behind it, small ones.
    return sum(pss for _, length, pss in runs if not MEMORY <= length < 2 * MEMORY)


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def idle(figures, peer, directory):
    """Machines whose CPU sleeps for ever, all on one image: ours as overlays, QEMU's with snapshot=on's likes."""
    image = os.path.join(directory, "idle.img")
    make_image(image, 16 << 20)
    ours = peer.startswith("vmm")
    processes = []
    try:
        for i in range(IDLE_COUNT[peer]):
            disk = image + ",overlay" if ours else os.path.join(directory, f"idle{i}.img")
            if not ours:
                make_image(disk, 1 << 20)
            processes.append(spawn(peer, "end", "how=asleep", disk, "--net none" if ours else ""))
            time.sleep(0.02)
        time.sleep(SETTLE_S if "q35" not in peer else 10 * SETTLE_S)
        before = [cpu_seconds(process.pid) for process in processes]
        time.sleep(WATCH_S)
        after = [cpu_seconds(process.pid) for process in processes]
        group = f"idle machines ({IDLE_COUNT['vmm-pci']} of ours, {IDLE_COUNT[peer] if not ours else 40} of others)"
        for process, a, b in zip(processes, before, after):
            figures.add(group, "memory (PSS without the guest's)", "KiB each", "less", peer,
                        pss_outside_guest(process.pid))
            figures.add(group, "CPU", "% of a core each", "less", peer, (b - a) / WATCH_S * 100)
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
        for process in processes:
            process.wait()


def group_machines(figures, options, directory):
    for round_number in range(options.rounds):
        for peer in [p for p in START_PEERS if not options.peers or p in options.peers]:
            for at_once in (1, 8):
                figures.add("machines", f"started and ended, {at_once} at a time", "machines/s", "more", peer,
                            starts_per_second(peer, at_once, 40))
        print(f"bench: machines, round {round_number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    for peer in [p for p in IDLE_PEERS if not options.peers or p in options.peers]:
        idle(figures, peer, directory)
        print(f"bench: machines, {peer} idle", file=sys.stderr, flush=True)
