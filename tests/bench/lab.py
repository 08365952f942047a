#!/usr/bin/python3
"""Benchmarks on the emulated host, which counts instructions. README.md says how each figure is taken.

usage: lab.py [--rounds N] [--loads boot,disk,net] [--peers A,B] [--kernel DIR] [--vmm FILE] [--merge] [--out DIR]
              [--profile]
Called by `make bench-lab`, which builds the monitor. DIR holds vmlinux and bzImage. Each load of each peer has an
emulated host of its own, and what is known is written after each. --merge keeps what an earlier run in the same
--out has measured, and this one does not. --profile counts by function besides (profile_lab.py), which takes longer.
"""
import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import profile_lab  # noqa: E402
import report  # noqa: E402
import run as wall  # noqa: E402

ROOT = wall.ROOT
HOST = "host itself"
PER_NS = 0.5  # instructions in a nanosecond of the lab's clock
PEERS = ["vmm-pci", "vmm-mmio", "qemu-q35-io_uring", "qemu-q35-threads", "qemu-microvm-io_uring",
         "vmm-pci+vhost", "qemu-q35-io_uring+vhost"]
# At most so many thousand instructions an operation.
TARGETS = {"4k-random-read-qd1": 36, "4k-random-read-qd32": 12.5, "4k-random-write-qd32": 12.8,
           "128k-sequential-read-qd8": 180, "4k-write-flush": 70, "tcp-round-trip": 80, "tcp-send-64k": 315,
           "tcp-receive-64k": 320}
PARTS = (("guest", "guest, by ticks"), ("user", "monitor in user space, by ticks"),
         ("kernel", "monitor in the kernel, by ticks"), ("vcpu", "vCPU's thread, guest included"),
         ("others", "monitor's other threads"))


def build(directory, kernel):
    """The program, an initramfs of it, and the kernel; the paths."""
    load = os.path.join(directory, "load")
    subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-s",
                    "-o", load, os.path.join(wall.HERE, "load.c")], check=True)
    initrd = os.path.join(directory, "initrd")
    subprocess.run("mkdir -p root && cp load root/init && cd root && echo init | "
                   "cpio -o -H newc --quiet --owner=0:0 >../initrd", shell=True, check=True, cwd=directory)
    kernel = wall.guest_kernel(kernel)
    return {"load": load, "initrd": initrd, "vmlinux": os.path.join(kernel, "vmlinux"),
            "bzimage": os.path.join(kernel, "bzImage")}


def add(figures, seen):
    peer = seen["peer"]
    if not seen["load"]:
        if seen["status"] == 0:
            figures.add("lab: boot", "exec to exit, switched off by init", "M instructions", "less", peer,
                        seen["seconds"] * 1e9 * PER_NS / 1e6)
        return
    for row, values in seen["rows"].items():
        n = values["operations"]
        group = "lab: " + seen["load"]
        figures.add(group, row, "k instructions", "less", peer, values["ns"] * PER_NS / n / 1e3)
        spent = values["spent"]
        for key, name in PARTS:
            if key in spent:
                figures.add(group + ", in parts", f"{row}: {name}", "k instructions", "less", peer,
                            spent[key] * 1e9 * PER_NS / n / 1e3)
        for key in spent:
            if key.endswith("exits") or key == "irq_injections":
                figures.add(group + ", counted per operation", f"{row}: {key.replace('_', ' ')}", "", "less", peer,
                            spent[key] / n)


def boot_in_detail(figures, spec):
    """Ours, without devices, by boot-icount.sh."""
    out = subprocess.run([os.path.join(wall.HERE, "boot-icount.sh"), "--json", spec["vmlinux"], spec["bzimage"],
                          spec["vmm"]], stdout=subprocess.PIPE, text=True, check=True).stdout
    for kernel, seen in json.loads(out).items():
        for key, name, unit in (("first_kvm_run_minstr", "exec to the first KVM_RUN", "M instructions"),
                                ("exit_minstr", "exec to exit", "M instructions"),
                                ("user_exits", "exits to user space", ""), ("exits", "all exits", ""),
                                ("page_faults", "page faults that KVM handled", "")):
            figures.add("lab: boot, ours without devices", f"{kernel}: {name}", unit, "less", wall.OURS, seen[key])


def targets(figures):
    lines = ["### targets in the lab: vmm-pci", "", "| figure | ours | wanted | best QEMU | |", "|---|---|---|---|---|"]
    for (group, row), entry in figures.rows.items():
        ours = entry["peers"].get(wall.OURS)
        if "," in group or not ours:
            continue
        ours = report.summary(ours)["median"]
        others = [report.summary(values)["median"] for peer, values in entry["peers"].items()
                  if peer.startswith("qemu") and "vhost" not in peer]
        best = min(others, default=None)
        limit = TARGETS.get(row)
        met = (limit is None or ours <= limit) and (best is None or ours < best)
        lines.append(f"| {row} | {ours:.1f} | {f'≤ {limit}' if limit else 'fewer'} | "
                     f"{f'{best:.1f}' if best else '-'} | {'met' if met else 'SHORT'} |")
    return "\n".join(lines) + "\n"


def labs(options):
    """What has a lab of its own: (load, peer); the host itself is the peer that is None."""
    for load in options.loads:
        for peer in options.peers:
            if load == "net" or "+vhost" not in peer:
                yield load, peer
        if load == "disk":
            yield load, None


def run_lab(spec, timeout):
    """What one lab has seen: a list of runs, empty when it has failed twice."""
    command = [os.path.join(ROOT, "tests", "lab", "run"), "--icount", "--timeout", timeout]
    if spec.get("profile"):
        os.makedirs(spec["profile"], exist_ok=True)
        command += ["--rw", spec["profile"], "--profile", os.path.join(spec["profile"], "blocks")]
    command += ["--", "/usr/bin/python3", os.path.join(wall.HERE, "lab_inside.py"), json.dumps(spec)]
    for _ in range(2):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0 and "[" in done.stdout:
            return json.loads(done.stdout[done.stdout.index("["):])
        print(f"lab: {spec['peers']} {spec['loads']}: the lab ended with {done.returncode}", file=sys.stderr, flush=True)
    return []


def write(figures, about, options, broken):
    """Into the files of --out what is known so far; the tables."""
    known = report.Figures()
    known.rows = copy.deepcopy(figures.rows)
    if options.merge:
        known.keep_peers(options.earlier)
    notes = targets(known)
    if broken:
        notes += "\nNothing could be measured of: " + "; ".join(broken) + ".\n"
    return wall.write(known, about, options.out, notes)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--loads", type=lambda text: text.split(","), default=["boot", "disk", "net"])
    parser.add_argument("--peers", type=lambda text: text.split(","), default=PEERS)
    parser.add_argument("--kernel", default=None)
    parser.add_argument("--vmm", default=os.path.join(wall.BUILD, "vmm"))
    parser.add_argument("--timeout", default="1500")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "bench-lab"))
    options = parser.parse_args()
    options.earlier = report.read(os.path.join(options.out, "bench.json")) if options.merge else []
    figures, broken = report.Figures(), []
    about = wall.facts(argparse.Namespace(rounds=options.rounds, seconds=None))
    # Not in /tmp, which the lab hides.
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-lab.", dir=os.path.join(ROOT, "build")) as directory:
        spec = build(directory, options.kernel)
        spec.update(vmm=os.path.abspath(options.vmm), rounds=options.rounds)
        for load, peer in labs(options):
            one = {**spec, "loads": ["" if load == "boot" else load], "peers": [peer] if peer else []}
            if options.profile and load != "boot" and peer:
                one["profile"] = os.path.join(os.path.abspath(options.out), "profile", f"{peer}-{load}")
            seen = run_lab(one, options.timeout)
            for run in seen:
                add(figures, run)
            if seen and "profile" in one:
                profile_lab.read(figures, one, "lab: " + load)
            if not any(run["rows"] or (run["status"] == 0 and not run["load"]) for run in seen):
                broken.append(f"{peer or HOST}, {load}")
            write(figures, about, options, broken)
    if "boot" in options.loads:
        boot_in_detail(figures, spec)
    print(write(figures, about, options, broken))


if __name__ == "__main__":
    main()
