#!/usr/bin/python3
"""The part of bench-lab that runs on the emulated host: starts each peer with a Linux that runs `load`, takes the
host's own figures at "begin" and "end", and prints one JSON object. Called by lab.py."""
import json
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS = os.sysconf("SC_CLK_TCK")
KVM = "/sys/kernel/debug/kvm"
# How long a machine may neither say a line nor have anything to do with its devices: seconds of the host's processor,
# and of the host's time, which races while the machine outside is waited for.
QUIET_SECONDS, QUIET_SECONDS_IDLE = 0.9, 240
# In the emulator a guest now and then spins for ever, as if it had got an interrupt that it has switched off.
TRIES = 4
KVM_COUNTS = ("exits", "io_exits", "mmio_exits", "halt_exits", "irq_injections")


def threads(pid):
    """Seconds: of vCPU threads and of all others, exact; in the guest, in user space, in the kernel, by ticks."""
    seen = {"vcpu": 0.0, "others": 0.0, "guest": 0.0, "user": 0.0, "kernel": 0.0}
    for task in os.listdir(f"/proc/{pid}/task"):
        base = f"/proc/{pid}/task/{task}"
        try:
            with open(base + "/stat", encoding="ascii") as file:
                text = file.read()
            with open(base + "/schedstat", encoding="ascii") as file:
                spent = int(file.read().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, fields = text[text.index("("):text.rindex(")")], text[text.rindex(")") + 2:].split()
        user, kernel, guest = (int(fields[i]) / TICKS for i in (11, 12, 40))
        seen["guest"] += guest
        seen["user"] += user - guest
        seen["kernel"] += kernel
        seen["vcpu" if name.startswith("(vcpu") or "/KVM" in name else "others"] += spent
    return seen


def kvm(pid):
    for name in os.listdir(KVM):
        if name.startswith(f"{pid}-"):
            counts = {}
            for count in KVM_COUNTS:
                try:
                    with open(f"{KVM}/{name}/{count}", encoding="ascii") as file:
                        counts[count] = int(file.read())
                except OSError:
                    pass
            return counts
    return {}


def busy():
    """Seconds that the host's processor has worked."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(word) for word in file.readline().split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS


def watch(process, lines, ended):
    """Ends a machine that does nothing any more, and says what it was busy with."""
    seen = None
    while not ended.wait(0.3):
        counts = kvm(process.pid)
        now = len(lines), [counts.get(key) for key in KVM_COUNTS[1:]]
        if now != seen:
            seen, worked, start = now, busy(), time.monotonic()
        if busy() - worked < QUIET_SECONDS and time.monotonic() - start < QUIET_SECONDS_IDLE:
            continue
        before, then = snapshot(process.pid), time.monotonic()
        time.sleep(0.1)
        after, took = snapshot(process.pid), time.monotonic() - then
        text = ", ".join(f"{key} {(after[key] - before.get(key, 0)) / took:.2f}" for key in after)
        print(f"lab: the load does not end; a second of it: {text}", file=sys.stderr, flush=True)
        process.kill()
        return


def snapshot(pid):
    return {**threads(pid), **kvm(pid)}


def room(spec):
    """
    A root in memory with all that a peer needs. Opening a file of the machine outside is waiting for that machine,
    and while it waits the clock here jumps ahead from timer to timer.
    """
    root = "/dev/shm/root"
    programs = ["/usr/bin/bash", "/usr/bin/dirname", "/usr/bin/qemu-system-x86_64", spec["vmm"], spec["load"]]
    text = subprocess.run(["ldd", *programs[:4]], capture_output=True, text=True, check=False).stdout
    files = {word for line in text.splitlines() for word in line.split() if word.startswith("/") and ":" not in word}
    firmware = ["bios-256k.bin", "bios-microvm.bin", "kvmvapic.bin", "linuxboot_dma.bin", "pvh.bin",
                "multiboot_dma.bin", "qboot.rom"]
    files.update(path for name in firmware for path in (f"/usr/share/qemu/{name}", f"/usr/share/seabios/{name}")
                 if os.path.exists(path))
    files.update(programs, (spec["vmlinux"], spec["bzimage"], spec["initrd"]))
    for folder in ("proc", "sys", "dev", "tmp", "lib64", "bin"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    subprocess.run(["cp", "-rL", "--parents", *sorted(files), HERE, root], check=True)
    for folder in ("proc", "sys", "dev"):
        subprocess.run(["mount", "--rbind", f"/{folder}", f"{root}/{folder}"], check=True)
    for link, target in (("bin/bash", "/usr/bin/bash"),):
        if not os.path.exists(f"{root}/{link}"):
            os.symlink(target, f"{root}/{link}")
    return root


def note_maps(spec, pid):
    """What lies where in the monitor, for whoever reads the emulator's counts."""
    if str(pid) in spec["notes"]["maps"]:
        return
    with open(f"/proc/{pid}/maps", encoding="ascii") as file:
        spec["notes"]["maps"][str(pid)] = file.read().splitlines()


def run(spec, peer, load):
    name, _, extra = peer.partition("+")
    env = dict(os.environ, KERNEL=spec["bzimage"] if "q35" in name else spec["vmlinux"], INITRD=spec["initrd"],
               CMDLINE=("" if name.startswith("vmm") else "console=ttyS0 panic=-1 ") + f"quiet -- {load}",
               MEMORY="256M", VMM=spec["vmm"])
    if load == "disk":
        env["DISK"] = spec["disk"]
    if load == "net":
        env["TAP"] = "benchtap"
    if extra == "vhost":
        env["VHOST"] = "1"
    start = time.monotonic()
    rows, before, lines, ended = {}, None, [], threading.Event()
    with subprocess.Popen(["/usr/sbin/chroot", spec["root"], f"{HERE}/peers/{name}.sh"], env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        threading.Thread(target=watch, args=(process, lines, ended), daemon=True).start()
        for line in process.stdout:
            words = line.decode(errors="replace").split()
            lines.append(line.decode(errors="replace").rstrip())
            if words[:1] == ["begin"]:
                note_maps(spec, process.pid)
                before = snapshot(process.pid)
            elif words[:1] == ["end"] and before:
                after = snapshot(process.pid)
                spec["notes"]["ends"].append([str(process.pid), peer, words[1], int(words[2])])
                rows[words[1]] = {"operations": int(words[2]), "ns": int(words[3]),
                                  "spent": {key: after[key] - before.get(key, 0) for key in after}}
        ended.set()
    return {"peer": peer, "load": load, "rows": rows, "seconds": time.monotonic() - start,
            "status": process.returncode, "tail": lines[-20:] if process.returncode or (load and not rows) else []}


def main():
    spec = json.loads(sys.argv[1])
    spec["notes"] = {"maps": {}, "ends": []}
    runs = []
    subprocess.run(["mount", "-t", "debugfs", "none", "/sys/kernel/debug"], check=False,
                   stderr=subprocess.DEVNULL)
    spec["root"] = room(spec)
    spec["disk"] = "/dev/shm/disk.img"
    with open(spec["disk"], "wb") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    if "net" in spec["loads"]:
        subprocess.run("ip tuntap add dev benchtap mode tap vnet_hdr && ip addr add 10.9.0.1/24 dev benchtap && "
                       "ip link set benchtap up", shell=True, check=True)
        server = subprocess.Popen([spec["load"], "server"])
    for round_number in range(spec["rounds"] + 1):
        for load in spec["loads"]:
            for peer in spec["peers"]:
                if "+vhost" in peer and load != "net":
                    continue
                if round_number == 0 and load:
                    continue
                for _ in range(TRIES):
                    seen = run(spec, peer, load)
                    if seen["status"] == 0:
                        break
                    print(f"lab: {peer} {load or 'boot'}: status {seen['status']}: {' | '.join(seen['tail'])}",
                          file=sys.stderr, flush=True)
                # Round 0 warms the files' pages.
                if round_number:
                    runs.append(seen)
                for row, values in seen["rows"].items():
                    print(f"lab: {peer} {row}: {values['ns'] * 0.5 / values['operations'] / 1e3:.1f} k",
                          file=sys.stderr)
                print(f"lab: {peer} {load or 'boot'} {seen['seconds']:.2f} s", file=sys.stderr, flush=True)
    if "disk" in spec["loads"] and not spec["peers"]:
        out = subprocess.run([spec["load"], "file", spec["disk"]], capture_output=True, text=True, check=True).stdout
        rows = {line.split()[1]: {"operations": int(line.split()[2]), "ns": int(line.split()[3]), "spent": {}}
                for line in out.splitlines() if line.startswith("end")}
        runs.append({"peer": "host itself", "load": "disk", "rows": rows, "seconds": 0, "status": 0})
    if "net" in spec["loads"]:
        server.kill()
    if spec.get("profile"):
        with open("/proc/kallsyms", encoding="ascii") as file:
            spec["notes"]["symbols"] = file.read().splitlines()
        with open(os.path.join(spec["profile"], "notes.json"), "w", encoding="ascii") as file:
            json.dump(spec["notes"], file)
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
