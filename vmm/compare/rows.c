/*
 * Every task and every row, as data. A new row is a line here; where it needs a workload that is
 * not there yet, a task and a command of vmm/compare/workload/ as well. README.md of this room says
 * what the fields mean.
 */
#include "vmm/compare/compare.h"

#include <string.h>

#define MIB 1048576.0

#define FIO "fio --output-format=json --thread --filename=%F --size=%M --direct="
#define FIO_JOBS                                                                                   \
	" --ioengine=libaio --norandommap --stonewall --name=fill --rw=write --bs=1m --iodepth=1"  \
	" --name=random1 --rw=randread --bs=4k --iodepth=1 --number_ios=%N"                        \
	" --name=random32 --rw=randread --bs=4k --iodepth=32 --number_ios=%N"                      \
	" --name=write32 --rw=randwrite --bs=4k --iodepth=32 --number_ios=%N"                      \
	" --name=sequential --rw=read --bs=1m --iodepth=1"                                         \
	" --name=fsync --rw=write --bs=4k --iodepth=1 --fsync=1 --number_ios=%Y"

const struct compare_task compare_tasks[] = {
	{ .name = "life", .method = COMPARE_LIFE, .command = "vmm-load wait", .timeout_s = 30 },
	{ .name = "stages",
	  .method = COMPARE_STAGES,
	  .command = "vmm-load first",
	  .timeout_s = 30 },
	{ .name = "micro",
	  .method = COMPARE_PROGRAM,
	  .command = "vmm-load micro %S",
	  .timeout_s = 60 },
	{ .name = "compress",
	  .method = COMPARE_PROGRAM,
	  .command = "vmm-load compress %S",
	  .needs = "xz",
	  .timeout_s = 60 },
	{ .name = "sysbench",
	  .method = COMPARE_PROGRAM,
	  .level = COMPARE_NORMAL,
	  .command = "vmm-load sysbench %S",
	  .needs = "sysbench",
	  .timeout_s = 60 },
	{ .name = "stress",
	  .method = COMPARE_PROGRAM,
	  .level = COMPARE_FULL,
	  .command = "vmm-load stress %S",
	  .needs = "stress-ng",
	  .timeout_s = 60 },
	{ .name = "touch",
	  .method = COMPARE_TOUCH,
	  .command = "vmm-load touch 64",
	  .timeout_s = 30 },
	{ .name = "idle",
	  .method = COMPARE_IDLE,
	  .command = "vmm-load wait",
	  .limits = "--memory 128M",
	  .timeout_s = 30 },
	{ .name = "rate", .method = COMPARE_RATE, .command = "vmm-load first", .timeout_s = 30 },
	{ .name = "image", .method = COMPARE_IMAGE },
	{ .name = "fio-overlay",
	  .method = COMPARE_FIO,
	  .command = FIO "0" FIO_JOBS,
	  .needs = "fio",
	  .timeout_s = 90 },
	{ .name = "fio-volume",
	  .method = COMPARE_FIO,
	  .command = FIO "1" FIO_JOBS,
	  .place = COMPARE_PLACE_VOLUME,
	  .needs = "fio",
	  .timeout_s = 90 },
	{ .name = "fio-raw",
	  .method = COMPARE_FIO,
	  .level = COMPARE_NORMAL,
	  .command = FIO "1" FIO_JOBS,
	  .place = COMPARE_PLACE_RAW,
	  .needs = "fio",
	  .timeout_s = 90 },
	{ .name = "files-overlay",
	  .method = COMPARE_PROGRAM,
	  .command = "vmm-load files %P %S",
	  .timeout_s = 45 },
	{ .name = "files-volume",
	  .method = COMPARE_PROGRAM,
	  .command = "vmm-load files %P %S",
	  .place = COMPARE_PLACE_VOLUME,
	  .timeout_s = 45 },
	{ .name = "net-host",
	  .method = COMPARE_PROGRAM,
	  .level = COMPARE_NORMAL,
	  .command = "vmm-load net %H " COMPARE_PORT " %S",
	  .net = COMPARE_NET_HOST,
	  .timeout_s = 60 },
	{ .name = "net-nat",
	  .method = COMPARE_PROGRAM,
	  .level = COMPARE_NORMAL,
	  .command = "vmm-load net %H " COMPARE_PORT " %S",
	  .net = COMPARE_NET_NAT,
	  .timeout_s = 60 },
	{ .name = "net-user",
	  .method = COMPARE_PROGRAM,
	  .level = COMPARE_NORMAL,
	  .command = "vmm-load net %H " COMPARE_PORT " %S",
	  .net = COMPARE_NET_USER,
	  .timeout_s = 60 },
	{ .name = "redis",
	  .method = COMPARE_PROGRAM,
	  .level = COMPARE_NORMAL,
	  .command = "vmm-load redis %S",
	  .needs = "redis-server",
	  .timeout_s = 60 },
	{ .name = "oltp",
	  .method = COMPARE_PROGRAM,
	  .level = COMPARE_FULL,
	  .command = "vmm-load oltp %S",
	  .needs = "pgbench",
	  .timeout_s = 90 },
	{ .name = "probe", .method = COMPARE_PROBE, .command = "vmm-load probe", .timeout_s = 30 },
	{ .name = "suspend", .method = COMPARE_NEVER },
};
const size_t compare_task_count = ARRAY_SIZE(compare_tasks);

/* Words of a table, not expressions: NOLINTBEGIN(bugprone-macro-parentheses). */
#define RUSSELL "Russell 2014, quoted"
#define FELTER	"Felter et al., IBM RC25482, 2014"

#define BETWEEN(what, where, l, r, v, top)                                                         \
	.claim = { .text = what, .source = where, .left = l, .right = r, .low = v, .high = top }
#define AT_LEAST(what, where, l, r, v) BETWEEN(what, where, l, r, v, 0)
#define AT_MOST(what, where, l, r, v)  BETWEEN(what, where, l, r, 0, v)
#define NEAR_HOST(v)                                                                               \
	AT_LEAST("a machine has at least 97 % of bare metal", RUSSELL, "machine", "host", v)

#define TIME_ROW(n, t, u, s)                                                                       \
	.name = n, .title = t, .unit = u, .scale = s, .kind = COMPARE_TIME, .better = COMPARE_LESS
#define SPEED_ROW(n, t, u, s, p, ps)                                                               \
	.name = n, .title = t, .unit = u, .scale = s, .kind = COMPARE_SPEED,                       \
	.better = COMPARE_MORE, .per = p, .per_scale = ps
#define BYTES_ROW(n, t, u)                                                                         \
	.name = n, .title = t, .unit = u, .scale = MIB, .kind = COMPARE_BYTES,                     \
	.better = COMPARE_LESS
#define TEXT_ROW(n, t)                                                                             \
	.name = n, .title = t, .unit = "", .scale = 1, .kind = COMPARE_TEXT,                       \
	.better = COMPARE_NEITHER

#define DISK_ROWS(place, task_name, on)                                                            \
	{ TIME_ROW("disk." place ".random1", "4 KiB random read, depth 1, " on, "us", 1e3),        \
	  .timed = "fio: mean time from a request's submission to its end", .task = task_name,     \
	  .key = "random1_ns",                                                                     \
	  BETWEEN("reads take 2 to 3 times as long in a machine", FELTER, "machine", "host", 1.8,  \
		  3.3) },                                                                          \
		{ SPEED_ROW("disk." place ".random32", "4 KiB random read, depth 32, " on,         \
			    "1000/s", 1e3, "read", 1),                                             \
		  .timed = "fio: requests a second, 32 in flight", .task = task_name,              \
		  .key = "random32_ops",                                                           \
		  BETWEEN("a machine reaches half", FELTER, "machine", "host", 0.45, 0.55) },      \
		{ SPEED_ROW("disk." place ".write32", "4 KiB random write, depth 32, " on,         \
			    "1000/s", 1e3, "write", 1),                                            \
		  .timed = "fio: requests a second, 32 in flight", .task = task_name,              \
		  .key = "write32_ops",                                                            \
		  BETWEEN("a machine reaches half", FELTER, "machine", "host", 0.45, 0.55) },      \
		{ SPEED_ROW("disk." place ".sequential", "1 MiB sequential read, " on, "MiB/s",    \
			    MIB, "MiB", MIB),                                                      \
		  .timed = "fio: bytes a second, one request at a time", .task = task_name,        \
		  .key = "sequential_bytes",                                                       \
		  AT_LEAST("about equal", FELTER, "machine", "host", 0.95) },                      \
	{                                                                                          \
		TIME_ROW("disk." place ".fsync", "fsync after 4 KiB written, " on, "us", 1e3),     \
			.timed = "fio: mean time of fsync", .task = task_name,                     \
			.key = "fsync_sync_ns"                                                     \
	}

#define NET_ROWS(mode, task_name, way)                                                             \
	{ TIME_ROW("net." mode ".round-trip", "TCP round trip, " way, "us", 1e3),                  \
	  .timed = "the workload: one byte to a server on the host and back, mean",                \
	  .task = task_name, .key = "net_round_trip",                                              \
	  BETWEEN("a machine needs 80 % more", FELTER, "machine", "host", 1.62, 1.98) },           \
		{ SPEED_ROW("net." mode ".send", "TCP bulk out, " way, "MiB/s", MIB, "MiB", MIB),  \
		  .timed = "the workload: first byte written to the server's count of all",        \
		  .task = task_name, .key = "net_send",                                            \
		  AT_LEAST("equal", FELTER, "machine", "host", 0.95) },                            \
		{ SPEED_ROW("net." mode ".receive", "TCP bulk in, " way, "MiB/s", MIB, "MiB",      \
			    MIB),                                                                  \
		  .timed = "the workload: asking for it to its last byte", .task = task_name,      \
		  .key = "net_receive", AT_LEAST("equal", FELTER, "machine", "host", 0.95) },      \
	{                                                                                          \
		SPEED_ROW("net." mode ".datagrams", "64-byte UDP out, " way, "1000/s", 1e3,        \
			  "datagram", 1),                                                          \
			.timed = "the workload: datagrams that arrived over the time of sending",  \
			.task = task_name, .key = "net_datagrams"                                  \
	}

#define REDIS_ROW(clients, op, key_name)                                                           \
	{                                                                                          \
		SPEED_ROW("redis." op "." clients, "redis " op ", " clients " client(s)",          \
			  "1000/s", 1e3, "request", 1),                                            \
			.timed = "redis-benchmark: requests a second; server and clients in the "  \
				 "boundary",                                                       \
			.task = "redis", .key = key_name                                           \
	}

#define STREAM_ROW(loop)                                                                           \
	{                                                                                          \
		SPEED_ROW("memory." loop, "STREAM " loop, "GB/s", 1e9, "MiB", MIB),                \
			.timed =                                                                   \
				"the workload: best pass over arrays of 16 MiB; 4 in --quick and " \
				"in the lab, 64 in --full",                                        \
			.task = "micro", .key = "stream_" loop,                                    \
			AT_LEAST("a machine loses 1 to 3 %", FELTER, "machine", "host", 0.97)      \
	}

/* NOLINTEND(bugprone-macro-parentheses) */

const struct compare_row compare_rows[] = {
	{ TIME_ROW("start", "start", "ms", 1e6),
	  .timed = "exec of the tool to the first byte of the workload at our end of its pipe",
	  .task = "life", .key = "start",
	  AT_LEAST("containers boot 1.5 times faster", RUSSELL, "machine", "container", 1.5) },
	{ TIME_ROW("start.exec", "start: exec to main", "ms", 1e6),
	  .timed = "exec of vmm run -v to its first step", .task = "stages", .key = "stage_exec" },
	{ TIME_ROW("start.set-up", "start: main to entry", "ms", 1e6),
	  .timed = "vmm run -v: its first step to the vCPU's first entry, or to the child process",
	  .task = "stages", .key = "stage_set_up" },
	{ TIME_ROW("start.inside", "start: entry to the workload", "ms", 1e6),
	  .timed = "vmm run -v: from there to the workload's first byte", .task = "stages",
	  .key = "stage_inside" },
	{ TEXT_ROW("start.steps", "start: the steps, in ms"), .timed = "vmm run -v, the last run",
	  .task = "stages", .key = "stage_steps" },
	{ TIME_ROW("stop", "stop", "ms", 1e6),
	  .timed = "SIGTERM to the tool, to its end being seen", .task = "life", .key = "stop" },
	{ TIME_ROW("restart", "restart", "ms", 1e6),
	  .timed = "SIGTERM to the tool, to the first byte of the next one", .task = "life",
	  .key = "restart",
	  AT_LEAST("containers reboot 18.9 times faster", RUSSELL, "machine", "container", 18.9) },
	{ SPEED_ROW("rate", "instances started and ended", "1/s", 1, "instance", 1),
	  .timed = "first exec to last end of many, two a processor at a time; one with "
		   "--icount",
	  .task = "rate", .key = "rate" },

	{ SPEED_ROW("cpu.solver", "dense solver", "GFLOP/s", 1e9, "1000 flop", 1e3),
	  .timed = "the workload: Gauss's elimination of 160 rows, best", .task = "micro",
	  .key = "solver", NEAR_HOST(0.97) },
	{ SPEED_ROW("cpu.compress", "compressor", "MiB/s", MIB, "MiB", MIB),
	  .timed = "the workload: fork to end of xz -2 on made-up text in memory",
	  .task = "compress", .key = "compress",
	  BETWEEN("a machine loses 18 to 22 %", FELTER, "machine", "host", 0.76, 0.84) },
	{ SPEED_ROW("cpu.sysbench", "sysbench's primes", "1/s", 1, "event", 1),
	  .timed = "sysbench cpu: events a second, one thread", .task = "sysbench",
	  .key = "sysbench_cpu", NEAR_HOST(0.97) },
	{ SPEED_ROW("cpu.stress", "stress-ng's matrix products", "1/s", 1, "operation", 1),
	  .timed = "stress-ng --matrix 1: bogo operations a second of real time", .task = "stress",
	  .key = "stress_matrix", NEAR_HOST(0.97) },
	STREAM_ROW("copy"),
	STREAM_ROW("scale"),
	STREAM_ROW("add"),
	STREAM_ROW("triad"),
	{ TIME_ROW("memory.random", "random access", "ns", 1),
	  .timed = "the workload: one word of 32 MiB (8 in --quick and in the lab) read and "
		   "written, best mean",
	  .task = "micro", .key = "random",
	  AT_MOST("a machine loses 1 %", FELTER, "machine", "host", 1.03) },
	{ TIME_ROW("memory.fault", "page fault", "ns", 1),
	  .timed = "the workload: first write to a page of 4 KiB, with mapping and unmapping, best "
		   "mean",
	  .task = "micro", .key = "page_fault" },
	{ TIME_ROW("kernel.syscall", "system call", "ns", 1),
	  .timed = "the workload: getppid, best mean", .task = "micro", .key = "syscall" },
	{ TIME_ROW("kernel.switch", "context switch", "us", 1e3),
	  .timed = "the workload: a byte through a pipe to another process on the CPU, best mean",
	  .task = "micro", .key = "switch" },
	{ TIME_ROW("kernel.fork", "fork, exec and wait", "us", 1e3),
	  .timed = "the workload: itself, which ends at once, best mean", .task = "micro",
	  .key = "fork_exec" },

	{ BYTES_ROW("idle.pss", "memory of one more idle instance, PSS", "MiB"),
	  .timed = "slope over 1, 10 and 50 instances of 128 MiB (1, 4 in --quick) of the PSS of "
		   "all their processes",
	  .task = "idle", .key = "idle_pss",
	  AT_LEAST("containers take 3 times less", RUSSELL, "machine", "container", 3) },
	{ BYTES_ROW("idle.available", "memory of one more idle instance, MemAvailable", "MiB"),
	  .timed = "slope over 1, 10 and 50 instances of 128 MiB (1, 4 in --quick) of what the "
		   "host's MemAvailable lost",
	  .task = "idle", .key = "idle_available",
	  AT_LEAST("containers take 3 times less", RUSSELL, "machine", "container", 3) },
	{ .name = "idle.cpu",
	  .title = "processor time of one more idle instance",
	  .unit = "% of a CPU",
	  .scale = 1e7,
	  .kind = COMPARE_SHARE,
	  .better = COMPARE_LESS,
	  .timed = "slope over the instances of the processor time of all their processes",
	  .task = "idle",
	  .key = "idle_cpu",
	  AT_LEAST("containers take 26 times less", RUSSELL, "machine", "container", 26) },
	{ .name = "density",
	  .title = "idle instances in 1 GiB of memory",
	  .unit = "",
	  .scale = 1,
	  .kind = COMPARE_COUNT,
	  .better = COMPARE_MORE,
	  .timed = "1 GiB over the larger of the two slopes above; not started",
	  .task = "idle",
	  .key = "idle_fit",
	  AT_LEAST("100 times as many containers", "seen in the press", "container", "machine",
		   100) },
	{ BYTES_ROW("touch.before", "memory before the workload touches 64 MiB", "MiB"),
	  .timed = "PSS of the instance's processes, at rest", .task = "touch",
	  .key = "touch_before" },
	{ BYTES_ROW("touch.during", "memory while it holds 64 MiB", "MiB"),
	  .timed = "the same, after it has written to each page", .task = "touch",
	  .key = "touch_during" },
	{ BYTES_ROW("touch.after", "memory after it has freed them", "MiB"),
	  .timed = "the same, once it has unmapped them and no more is given back", .task = "touch",
	  .key = "touch_after" },

	{ BYTES_ROW("image.apparent", "image, apparent size", "MiB"),
	  .timed = "files of the root directory; of a machine its image and the kernel file",
	  .task = "image", .key = "apparent",
	  AT_LEAST("images of containers are 3.2 times smaller", RUSSELL, "machine", "container",
		   3.2) },
	{ BYTES_ROW("image.allocated", "image, allocated on disk", "MiB"),
	  .timed = "the same, in blocks allocated", .task = "image", .key = "allocated",
	  AT_LEAST("images of containers are 3.2 times smaller", RUSSELL, "machine", "container",
		   3.2) },

	DISK_ROWS("overlay", "fio-overlay", "root's overlay, page cache"),
	DISK_ROWS("volume", "fio-volume", "volume"),
	DISK_ROWS("raw", "fio-raw", "raw disk"),
	{ TIME_ROW("disk.overlay.files", "create and unlink a file, root's overlay", "us", 1e3),
	  .timed = "the workload: open with O_CREAT, close, later unlink, of 500 files, best mean",
	  .task = "files-overlay", .key = "create_unlink" },
	{ TIME_ROW("disk.volume.files", "create and unlink a file, volume", "us", 1e3),
	  .timed = "the workload: open with O_CREAT, close, later unlink, of 500 files, best mean",
	  .task = "files-volume", .key = "create_unlink" },

	NET_ROWS("host", "net-host", "host's network"),
	NET_ROWS("nat", "net-nat", "bridge or tap"),
	NET_ROWS("user", "net-user", "user mode"),
	REDIS_ROW("1", "GET", "redis_GET_1"),
	REDIS_ROW("20", "GET", "redis_GET_20"),
	REDIS_ROW("100", "GET", "redis_GET_100"),
	REDIS_ROW("1", "SET", "redis_SET_1"),
	REDIS_ROW("20", "SET", "redis_SET_20"),
	REDIS_ROW("100", "SET", "redis_SET_100"),
	{ SPEED_ROW("oltp", "PostgreSQL transactions", "1/s", 1, "transaction", 1),
	  .timed = "pgbench: transactions a second, 4 clients; server and clients in the boundary",
	  .task = "oltp", .key = "oltp",
	  AT_MOST("a machine loses more than 40 %", FELTER, "machine", "host", 0.6) },

	{ TEXT_ROW("sees.kernel", "kernel release"), .timed = "uname in the boundary",
	  .task = "probe", .key = "kernel" },
	{ TEXT_ROW("sees.own-kernel", "a kernel of its own"),
	  .timed = "whether the kernel's release or the time that it has been up differs",
	  .task = "probe", .key = "own_kernel" },
	{ TEXT_ROW("sees.processes", "processes the workload sees"),
	  .timed = "entries of its /proc", .task = "probe", .key = "processes" },
	{ TEXT_ROW("sees.devices", "device files the workload sees"),
	  .timed = "entries of its /dev", .task = "probe", .key = "devices" },
	{ TEXT_ROW("sees.calls", "of system calls that change a host, admitted"),
	  .timed = "each tried without effect; refused: not permitted, or no such call",
	  .task = "probe", .key = "calls" },
	{ TEXT_ROW("sees.refused", "refused among these"), .timed = "as for those admitted",
	  .task = "probe", .key = "calls_refused" },
	{ TEXT_ROW("host.sees", "what the host sees of the workload"),
	  .timed =
		  "processes below the tool while the workload runs, and whether it is one of them",
	  .task = "probe", .key = "host_sees" },

	{ TIME_ROW("suspend", "suspend to a file", "ms", 1e6),
	  .timed = "request, to nothing running", .task = "suspend", .key = "suspend" },
	{ TIME_ROW("resume", "resume from a file", "ms", 1e6),
	  .timed = "exec of the tool, to the workload going on", .task = "suspend",
	  .key = "resume" },
};
const size_t compare_row_count = ARRAY_SIZE(compare_rows);

const char *const compare_level_names[] = { "quick", "normal", "full" };

const struct compare_task *compare_row_task(const struct compare_row *row)
{
	for (size_t i = 0; i < compare_task_count; i++)
		if (strcmp(compare_tasks[i].name, row->task) == 0)
			return &compare_tasks[i];
	return NULL;
}
