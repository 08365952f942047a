#!/usr/bin/python3
"""Benchmarks by wall clock on /dev/kvm at hand. README.md says how each figure is taken.

usage: run.py [--rounds N] [--seconds S] [--groups disk,real,net,console,start,machines] [--peers A,B] [--rows PATTERN]
              [--kernel DIR] [--merge] [--out DIR]
Called by `make bench`, which builds what is needed. Needs root for taps. DIR has a vmlinux, for the group "start".
--merge keeps the rows of an earlier run in the same --out, so that each can be measured at a quiet time of its own.
"""
import argparse
import contextlib
import datetime
import functools
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import machines  # noqa: E402
import report  # noqa: E402
import start  # noqa: E402
from machine import HERE, Failed, Machine, make_image  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", platform.machine())
GUEST = os.path.join(BUILD, "guest", "bench")
DISK_LEN = 256 << 20
OURS = "vmm-pci"
OURS_POLLING = "vmm-pci-poll"

# name, guest's pattern, size, depth, by interrupt, fio's rw=
DISK_ROWS = [(f"4 KiB random {kind}, depth {depth}", pattern, 4096, depth, 0, fio)
             for kind, pattern, fio in (("read", 0, "randread"), ("write", 1, "randwrite")) for depth in (1, 8, 32, 128)]
DISK_ROWS += [
    ("128 KiB sequential read, depth 8", 2, 131072, 8, 0, "read"),
    ("128 KiB sequential write, depth 8", 3, 131072, 8, 0, "write"),
    ("flush, depth 1", 4, 4096, 1, 0, None),
    ("4 KiB write, then flush", 5, 4096, 1, 0, None),
    ("4 KiB random read, depth 1, by interrupt", 0, 4096, 1, 1, None),
    ("4 KiB random read, depth 32, by interrupt", 0, 4096, 32, 1, None),
]
# 45 segments of 1448 bytes: what Linux makes of a 64 KiB write, and as much as a frame may carry.
BIG = 45 * 1448 + 54
NET_ROWS = [(f"{size if size < BIG else '64 Ki'} B frames, {way}", word, size, load)
            for way, word, load in (("guest to host", "send", False), ("host to guest", "receive", True))
            for size in (64, 1500, BIG)]
NET_ROWS.append(("64 B round trip", "ping", 64, "echo"))
DISK_PEERS = [OURS, OURS_POLLING, "vmm-mmio", "qemu-q35-io_uring", "qemu-q35-io_uring-nopoll", "qemu-q35-threads",
              "qemu-microvm-io_uring", "qemu-microvm-threads"]
NET_PEERS = [OURS, OURS_POLLING, "vmm-mmio", "qemu-q35-io_uring", "qemu-microvm-io_uring"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def tap_name(index):
    return f"vmmbench{index}"


@contextlib.contextmanager
def taps(count):
    names = [tap_name(i) for i in range(count)]
    for name in names:
        subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr"], check=True)
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as file:
            file.write("1")
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    try:
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "link", "del", name], check=False)


@contextlib.contextmanager
def machines_of(peers, directory, disk=False, with_taps=(), direct=False):
    """All peers up, with the guest waiting; those that do not come up are left out, and why is said."""
    up = []
    try:
        for i, peer in enumerate(peers):
            tap = with_taps[i] if with_taps else None
            machine = Machine(peer, GUEST, directory, DISK_LEN if disk else None, tap, direct=direct)
            try:
                machine.expect("bench", 60)
                machine.stop()
                up.append(machine)
            except Failed as error:
                say(f"bench: {peer} does not come up: {error} {machine.end()}")
        yield up
    finally:
        for machine in up:
            text = machine.end()
            if text:
                say(f"bench: {machine.name} says: {text}")


def ticks_of(machine, seconds):
    """The guest counts ticks of the time stamp counter: how many they are is measured once."""
    machine.go_on()
    seen = machine.measure("blk 0 4096 1 0 500000000" if machine.disk else "send 64 0 500000000")
    machine.stop()
    return int(500000000 / seen["seconds"] * seconds)


def measure(machine, command, counted):
    machine.go_on()
    try:
        return machine.measure(command, counted)
    finally:
        machine.stop()


def add_common(figures, group, row, peer, seen, size, unit):
    n = max(seen["operations"], 1)
    figures.add(group, row, unit, "more", peer, seen["operations"] / seen["seconds"])
    if size >= BIG:
        figures.add(group, row + ": bytes", "bytes/s", "more", peer, seen["operations"] * size / seen["seconds"])
    work = group + ", CPU per operation"
    figures.add(work, row + ": all threads", "us", "less", peer,
                (seen["vcpu_cpu"] + seen["other_cpu"]) / n * 1e6)
    figures.add(work, row + ": but the vCPU's", "us", "less", peer, seen["other_cpu"] / n * 1e6)


def add_counts(figures, group, row, peer, seen):
    n = max(seen["operations"], 1)
    for name in ("kicks", "interrupts", "system calls", "exits to user space"):
        if name in seen:
            figures.add(f"{group}, counted per operation", f"{row}: {name}", "", "less", peer, seen[name] / n)


def fio(path, rw, size, depth, seconds, direct=False):
    """The host itself, without a monitor: (operations/s, CPU us an operation)."""
    out = subprocess.run(
        ["fio", "--name=x", f"--filename={path}", f"--rw={rw}", f"--bs={size}", f"--iodepth={depth}",
         "--ioengine=io_uring", f"--runtime={seconds}", "--time_based", f"--size={DISK_LEN}", "--invalidate=0",
         "--allow_file_create=0", f"--direct={direct:d}", "--output-format=json"], check=True, capture_output=True, text=True).stdout
    job = json.loads(out[out.index("{"):])["jobs"][0]
    side = job["read" if "read" in rw else "write"]
    cpu = (job["usr_cpu"] + job["sys_cpu"]) / 100 * side["runtime"] * 1e3 / max(side["total_ios"], 1)
    return side["iops"], cpu


def measure_disks(figures, options, directory, group, rows, direct):
    host_image = os.path.join(directory, "host.img")
    make_image(host_image, DISK_LEN)
    with machines_of(options.peers or DISK_PEERS, directory, disk=True, direct=direct) as up:
        ticks = ticks_of(up[0], options.seconds)
        for round_number in range(-1, options.rounds):
            for row, pattern, size, depth, wait, fio_rw in rows:
                for machine in up:
                    # Round -1 counts, which slows system calls; the others are timed.
                    seen = measure(machine, f"blk {pattern} {size} {depth} {wait} {ticks}", round_number < 0)
                    if round_number < 0:
                        add_counts(figures, group, row, machine.name, seen)
                    else:
                        add_common(figures, group, row, machine.name, seen, size, "operations/s")
                if fio_rw and round_number >= 0 and not options.no_host:
                    iops, cpu = fio(host_image, fio_rw, size, depth, options.seconds, direct)
                    figures.add(group, row, "operations/s", "more", "host, fio", iops)
                    figures.add(group + ", CPU per operation", row + ": all threads", "us", "less", "host, fio", cpu)
                    if size >= 65536:
                        figures.add(group, row + ": bytes", "bytes/s", "more", "host, fio", iops * size)
            say(f"bench: {group}, round {round_number + 2} of {options.rounds + 1}")


def group_disk(figures, options, directory):
    rows = [row for row in DISK_ROWS if re.search(options.rows, row[0])]
    measure_disks(figures, options, directory, "disk", rows, False)


def group_real(figures, options, _):
    """The same on the disk that this machine has, past its page cache and through it."""
    rows = [row for row in DISK_ROWS if re.search(options.rows, row[0]) and row[1] < 2 and row[3] in (1, 32) and not row[4]]
    for direct in (True, False):
        with tempfile.TemporaryDirectory(prefix="bench-real.", dir=os.path.join(ROOT, "build")) as directory:
            measure_disks(figures, options, directory, "real disk " + ("direct" if direct else "cached"), rows, direct)


def frames_on(tap):
    with open(f"/sys/class/net/{tap}/statistics/rx_packets", encoding="ascii") as file:
        return int(file.read())


def group_net(figures, options, directory):
    rows = [row for row in NET_ROWS if re.search(options.rows, row[0])]
    peers = options.peers or NET_PEERS
    with taps(len(peers)) as names, machines_of(peers, directory, with_taps=names) as up:
        ticks = ticks_of(up[0], options.seconds)
        for round_number in range(-1, options.rounds):
            for row, word, size, load in rows:
                for machine in up:
                    sender = None
                    if load:
                        what = load if isinstance(load, str) else str(size)
                        sender = subprocess.Popen([os.path.join(BUILD, "bench", "netload"), machine.tap, what])
                    before = frames_on(machine.tap)
                    words = f"{word} 0 {ticks}" if word == "receive" else f"{word} {size} 0 {ticks}"
                    try:
                        seen = measure(machine, words, round_number < 0)
                    finally:
                        if sender:
                            sender.kill()
                            sender.wait()
                    if word == "send":
                        # What the host has got, not what was put into the ring.
                        seen["operations"] = frames_on(machine.tap) - before
                    if round_number < 0:
                        add_counts(figures, "net", row, machine.name, seen)
                    else:
                        unit = "round trips/s" if word == "ping" else "frames/s"
                        add_common(figures, "net", row, machine.name, seen, size, unit)
            say(f"bench: net, round {round_number + 2} of {options.rounds + 1}")


def group_console(figures, options, directory):
    """The guest floods its virtio console for a while; bytes are counted where the monitor's output is read."""
    for round_number in range(options.rounds):
        for peer in options.peers or NET_PEERS:
            machine = Machine(peer, GUEST, directory, console="virtio",
                              cmdline=f"flood={int(2.3e9 * options.seconds)}")
            total, first, last = 0, None, None
            while True:
                part = os.read(machine.process.stdout.fileno(), 1 << 20)
                if not part:
                    break
                last = time.perf_counter()
                first = first or last
                total += len(part)
            machine.end()
            if total and last > first:
                figures.add("console", "virtio console, guest to a pipe", "bytes/s", "more", peer,
                            total / (last - first))
        say(f"bench: console, round {round_number + 1} of {options.rounds}")


GROUPS = {"disk": group_disk, "real": group_real, "net": group_net, "console": group_console, "start": start.group_start,
          "machines": machines.group_machines}

# What is to be shown: row, ours against the best QEMU, at least or at most.
TARGETS = [
    ("disk", "4 KiB random read, depth 1", 1.3), ("disk", "4 KiB random read, depth 32", 1.3),
    ("disk", "4 KiB random write, depth 1", 1.3), ("disk", "4 KiB random write, depth 32", 1.3),
    ("disk, CPU per operation", "4 KiB random read, depth 1: all threads", 0.7),
    ("disk, CPU per operation", "4 KiB random read, depth 32: all threads", 0.7),
    ("disk, CPU per operation", "4 KiB random write, depth 1: all threads", 0.7),
    ("disk, CPU per operation", "4 KiB random write, depth 32: all threads", 0.7),
    ("start", "exec to the first KVM_RUN", 0.05),
]
# Row, at most so much of ours, whatever others take.
LIMITS = {"memory (PSS without the guest's)": 2048, "CPU": 0.1}


def quotients(figures, group, row):
    """Ours against the best QEMU: as both come; both looking for work before they sleep; neither."""
    # A start is held against the quickest machine that QEMU says it has, whichever was quicker this time.
    kind = "qemu-microvm" if group == "start" else "qemu"
    peers = [peer for peer in figures.rows[group, row]["peers"] if peer.startswith(kind)]
    polling = [peer for peer in peers if not peer.endswith("-nopoll")]
    return [report.ratio(figures, group, row, OURS, polling),
            report.ratio(figures, group, row, OURS_POLLING, polling),
            report.ratio(figures, group, row, OURS, [peer for peer in peers if peer not in polling])]


def verdict(met):
    if met[0]:
        return "met"
    return "met by polling, as QEMU does" if met[1] else "SHORT"


def targets(figures):
    lines = ["### targets: vmm-pci against the best QEMU, round by round", "",
             "| figure | as they come | both poll | neither polls | wanted | |", "|---|---|---|---|---|---|"]
    wanted = {(group, row): limit for group, row, limit in TARGETS}
    for (group, row), entry in figures.rows.items():
        if "counted" in group or row in LIMITS:
            continue
        seen = quotients(figures, group, row)
        if seen[0] is None:
            continue
        more = entry["better"] == "more"
        limit = wanted.get((group, row), 1)
        met = [value is not None and (value >= limit if more else value <= limit) for value in seen]
        texts = ["-" if value is None else f"{value:.2f}" for value in seen]
        lines.append(f"| {group}: {row} | {' | '.join(texts)} | {'≥' if more else '≤'} {limit} | {verdict(met)} |")
    lines += ["", "| figure | ours | wanted | |", "|---|---|---|---|"]
    for (group, row), entry in figures.rows.items():
        if row in LIMITS and entry["peers"].get(OURS):
            value = statistics.median(entry["peers"][OURS])
            lines.append(f"| {group}: {row}, {entry['unit']} | {value:.4g} | ≤ {LIMITS[row]} | "
                         f"{'met' if value <= LIMITS[row] else 'SHORT'} |")
    for row in ("128 KiB sequential read, depth 8", "128 KiB sequential write, depth 8"):
        quotient = report.ratio(figures, "disk", row, OURS, ["host, fio"])
        if quotient is not None:
            lines.append(f"| {row}, against the host's fio | {quotient:.2f} | ≥ 0.95 | "
                         f"{'met' if quotient >= 0.95 else 'SHORT'} |")
    return "\n".join(lines) + "\n"


def facts(options):
    def first(command):
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[0]
        except FileNotFoundError:
            return "not there"

    return {"time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "kernel": platform.release(), "cpus": os.cpu_count(), "load": os.getloadavg(),
            "commit": first(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]),
            "qemu": first(["qemu-system-x86_64", "--version"]), "rounds": options.rounds,
            "seconds": options.seconds}


def guest_kernel(directory):
    """The directory of our guest kernel, built when it is not there yet."""
    if directory:
        return directory
    return subprocess.run([os.path.join(ROOT, "guest-kernel-configs", "build.sh"), "full"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.split("\n")[-2]


def save(figures, about, out, extra=""):
    print(write(figures, about, out, extra))


def write(figures, about, out, extra=""):
    """The files of a run; the tables."""
    os.makedirs(out, exist_ok=True)
    report.write_json(figures, about, os.path.join(out, "bench.json"))
    text = "\n".join(report.table(figures, group) for group in figures.groups()) + extra
    with open(os.path.join(out, "bench.md"), "w", encoding="utf-8") as file:
        file.write(json.dumps(about) + "\n\nMedian (minimum–maximum, number of rounds).\n\n" + text)
    for group in figures.groups():
        path = os.path.join(out, group.replace(", ", "-").replace(" ", "-") + ".svg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(report.chart(figures, group))
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--groups", type=lambda text: text.split(","), default=list(GROUPS))
    parser.add_argument("--peers", type=lambda text: text.split(","), default=None)
    parser.add_argument("--rows", default="")
    parser.add_argument("--no-host", action="store_true")
    parser.add_argument("--kernel", default=None)
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "bench"))
    options = parser.parse_args()
    options.kernel = functools.partial(guest_kernel, options.kernel)
    os.environ.setdefault("VMM", os.path.join(BUILD, "vmm"))
    figures = report.Figures()
    about = facts(options)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        for group in options.groups:
            # In memory: the disk that the host has is not what is compared.
            with tempfile.TemporaryDirectory(prefix="vmm-bench.", dir="/dev/shm") as directory:
                try:
                    GROUPS[group](figures, options, directory)
                except Failed as error:
                    say(f"bench: {group} is incomplete: {error}")
    except KeyboardInterrupt:
        say("bench: interrupted; what there is so far follows")
    if options.merge:
        figures.keep(os.path.join(options.out, "bench.json"))
    save(figures, about, options.out, targets(figures))


if __name__ == "__main__":
    main()
