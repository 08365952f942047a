/*
 * A plugin of the emulator that counts the instructions of every block of code that the emulated
 * host executes: its kernel's, its programs' and its machines' alike, exactly. Built and loaded by
 * `run --profile`; the interface is declared here, since Debian packs no header of it (QEMU 7.2,
 * version 1).
 *
 * A program marks what is to be counted by two instructions that do nothing (MARK_PROFILE_BEGIN
 * and _END in tests/bench/load.c): at the first all counts begin anew, at the second they are
 * written to OUT.N, N counting from 0. A line a block: where it is, "host" when it lies where the
 * host's kernel was seen first and "-" otherwise, its length in instructions, and how often it was
 * entered. A block that is left in its middle by an exception is counted whole; a string
 * instruction is a block that is entered for each of its steps.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC	    __attribute__((visibility("default")))
#define SLOTS	    (1u << 22)
#define KERNEL_TEXT 0xffffffff81000000ull
#define KERNEL_END  0xffffffffc0000000ull
#define MARK_LEN    8
#define MARK_AT	    6 /* two bytes before it tell which */

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
					   void (*fn)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *counter,
					      uint64_t more);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*fn)(unsigned, void *), int flags, void *opaque);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *insn);

PUBLIC int qemu_plugin_version = 1;
PUBLIC int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

struct block {
	uint64_t vaddr; /* as the code sees it */
	uint64_t haddr; /* in the emulator's memory: tells guests' addresses from the host's */
	uint64_t len;	/* 0: a free slot */
	uint64_t count;
};

static struct block *blocks;
static unsigned block_count;
static uint64_t kernel_offset;
static const char *out;

static struct block *block_of(uint64_t vaddr, uint64_t haddr, uint64_t len)
{
	uint64_t key = vaddr * 0x9e3779b97f4a7c15ull ^ haddr * 0xc2b2ae3d27d4eb4full ^ len;

	for (unsigned i = key >> 32 & (SLOTS - 1);; i = (i + 1) & (SLOTS - 1)) {
		struct block *block = &blocks[i];

		if (block->len &&
		    (block->vaddr != vaddr || block->haddr != haddr || block->len != len))
			continue;
		if (!block->len && ++block_count == SLOTS)
			abort();
		block->vaddr = vaddr;
		block->haddr = haddr;
		block->len = len;
		return block;
	}
}

static void begin(unsigned cpu, void *opaque)
{
	(void)cpu;
	(void)opaque;
	for (unsigned i = 0; i < SLOTS; i++)
		blocks[i].count = 0;
}

static void end(unsigned cpu, void *opaque)
{
	static unsigned number;
	char name[4096];
	FILE *file;

	(void)cpu;
	(void)opaque;
	snprintf(name, sizeof(name), "%s.%u", out, number++);
	file = fopen(name, "w");
	for (unsigned i = 0; file && i < SLOTS; i++) {
		const struct block *block = &blocks[i];

		if (block->count)
			fprintf(file, "%llx %s %llu %llu\n", (unsigned long long)block->vaddr,
				block->haddr - block->vaddr == kernel_offset ? "host" : "-",
				(unsigned long long)block->len, (unsigned long long)block->count);
	}
	if (!file || fclose(file))
		abort();
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	static const uint8_t mark[MARK_LEN] = { 0x0f, 0x1f, 0x84, 0, 0, 0, 0x5a, 0x3c };
	size_t len = qemu_plugin_tb_n_insns(tb);
	uint64_t vaddr = qemu_plugin_tb_vaddr(tb);
	uint64_t haddr = (uint64_t)qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0));

	(void)id;
	/* The host's kernel is there before any guest. */
	if (!kernel_offset && vaddr >= KERNEL_TEXT && vaddr < KERNEL_END)
		kernel_offset = haddr - vaddr;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &block_of(vaddr, haddr, len)->count, 1);
	for (size_t i = 0; i < len; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *data = qemu_plugin_insn_data(insn);

		if (qemu_plugin_insn_size(insn) == MARK_LEN && !memcmp(data, mark, 4) &&
		    !memcmp(data + MARK_AT, mark + MARK_AT, 2))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, data[4] ? end : begin, 0,
							       NULL);
	}
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			out = strdup(argv[i] + 4);
	blocks = calloc(SLOTS, sizeof(*blocks));
	if (!blocks || !out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
