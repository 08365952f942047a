"""What `lab.py --profile` makes of the emulator's counts (tests/lab/profile.c): instructions by whose they are, which
become rows of the tables, and by function, in OUT/profile/PEER-LOAD/ROW.txt."""
import bisect
import collections
import json
import os
import re
import subprocess

HALF = 1 << 47  # kernels are above
KERNEL_TEXT, MODULES = 0xffffffff81000000, 0xffffffffc0000000
# Kernels' functions that copy and clear, an instruction a step.
BYTES = re.compile("rep_movs_alternative|clear_page_\\w+|rep_stos_alternative|memcpy(_orig)?|memset(_orig)?")
PARTS = ("guest's kernel", "host's kernel", "monitor", "server and the guest's program", "else",
         "copied and cleared by both kernels")


class Symbols:
    """Names by address; LINES are those of nm."""

    def __init__(self, lines):
        words = (line.split() for line in lines)
        self.known = sorted((int(word[0], 16), " ".join(word[2:])) for word in words
                            if len(word) > 2 and word[1] in "tTwW")
        self.addresses = [address for address, _ in self.known]

    def at(self, address):
        index = bisect.bisect(self.addresses, address) - 1
        return self.known[index][1] if index >= 0 else hex(address)


def regions(lines):
    """Of /proc/PID/maps, what is executed: (start, end, offset, file)."""
    for line in lines:
        words = line.split()
        if "x" in words[1]:
            start, end = (int(word, 16) for word in words[0].split("-"))
            yield start, end, int(words[2], 16), words[5] if len(words) > 5 else ""


class Reader:
    def __init__(self, spec, notes):
        self.host = Symbols(notes["symbols"])
        with open(os.path.join(os.path.dirname(spec["vmlinux"]), "System.map"), encoding="ascii") as file:
            self.guest = Symbols(file)
        self.vmm_path = spec["vmm"]
        self.vmm = Symbols(subprocess.run(["nm", spec["vmm"]], capture_output=True, text=True, check=True).stdout
                           .splitlines())
        self.load = os.path.basename(spec["load"])
        self.maps = {pid: list(regions(lines)) for pid, lines in notes["maps"].items()}

    def program(self, pid, address):
        for start, end, offset, path in self.maps[pid]:
            if start <= address < end:
                if path.endswith(self.vmm_path):
                    return PARTS[2], self.vmm.at(address - start + offset)
                return PARTS[2], os.path.basename(path)
        # Linked to fixed addresses, in the guest and beside it.
        return (PARTS[3], self.load) if 0x400000 <= address < 0x800000 else (PARTS[4], "program")

    def place(self, pid, address, is_host):
        if address < HALF:
            return self.program(pid, address)
        if address >= MODULES or is_host:
            return PARTS[1], self.host.at(address)
        if address >= KERNEL_TEXT:
            return PARTS[0], self.guest.at(address)
        return PARTS[4], "kernels' data"

    def count(self, path, pid):
        """Instructions by (part, function)."""
        seen = collections.Counter()
        with open(path, encoding="ascii") as file:
            for line in file:
                address, whose, length, count = line.split()
                seen[self.place(pid, int(address, 16), whose == "host")] += int(length) * int(count)
        return seen


def write(path, seen, operations):
    with open(path, "w", encoding="ascii") as file:
        for (part, name), count in seen.most_common(300):
            file.write(f"{count / operations:10.0f}  {part:16}  {name}\n")


def read(figures, spec, group):
    """Adds to FIGURES what the lab of SPEC has counted. Of several rounds the last one's functions are kept."""
    with open(os.path.join(spec["profile"], "notes.json"), encoding="ascii") as file:
        notes = json.load(file)
    reader = Reader(spec, notes)
    for number, (pid, peer, row, operations) in enumerate(notes["ends"]):
        path = os.path.join(spec["profile"], f"blocks.{number}")
        seen = reader.count(path, pid)
        parts = collections.Counter()
        for (part, name), count in seen.items():
            parts[part] += count
            if part in PARTS[:2] and BYTES.fullmatch(name):
                parts[PARTS[-1]] += count
        for part in PARTS:
            figures.add(group + ", counted exactly", f"{row}: {part}", "k instructions", "less", peer,
                        parts[part] / operations / 1e3)
        write(os.path.join(spec["profile"], row + ".txt"), seen, operations)
        os.remove(path)
