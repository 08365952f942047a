/*
 * What the lab's benchmarks run, one static program. As process 1 of a guest it runs the loads that
 * its arguments name (words of the kernel's command line behind "--"), each once to warm up and
 * once measured, says so on the console, and switches the machine off:
 *
 *   disk   Linux AIO with O_DIRECT on /dev/vda
 *   net    TCP from eth0 (10.9.0.2) to a server on the host (10.9.0.1)
 *
 * "begin ROW" is said a while before a measured load, "end ROW OPERATIONS NANOSECONDS" after it;
 * the time is the guest's own. On the host, `load server` is that server, and `load file PATH` runs
 * the disk's loads on a file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PORT	   5001
#define SERVER	   "10.9.0.1"
#define GUEST	   "10.9.0.2"
#define DEPTH_MAX  32
#define BUFFER_LEN (128 << 10)
#define CHUNK	   (64 << 10)
/* Time for whoever counts on the host to take his figures: the clock counts his instructions too.
 */
#define PAUSE_NS 100000000

/* Does nothing, but for the emulator when it counts what is executed between the two
 * (tests/lab/profile.c). */
#define MARK_PROFILE_BEGIN() __asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0, 0, 0, 0x5a, 0x3c")
#define MARK_PROFILE_END()   __asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0, 1, 0, 0x5a, 0x3c")

static __attribute__((noreturn)) void die(const char *what)
{
	printf("load: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	if (getpid() == 1)
		reboot(RB_POWER_OFF);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void begin(const char *row)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };

	printf("begin %s\n", row);
	fflush(stdout);
	nanosleep(&pause, NULL);
}

static void end(const char *row, unsigned operations, uint64_t ns)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };

	printf("end %s %u %llu\n", row, operations, (unsigned long long)ns);
	fflush(stdout);
	nanosleep(&pause, NULL);
}

/* ---- disk ---- */

struct disk_row {
	const char *name;
	size_t size;
	unsigned depth;
	unsigned count;
	bool write;
	bool random;
	bool flush; /* after each */
};

static const struct disk_row disk_rows[] = {
	{ .name = "4k-random-read-qd1", .size = 4096, .depth = 1, .count = 1500, .random = true },
	{ .name = "4k-random-read-qd32", .size = 4096, .depth = 32, .count = 6000, .random = true },
	{ .name = "4k-random-write-qd32",
	  .size = 4096,
	  .depth = 32,
	  .count = 6000,
	  .random = true,
	  .write = true },
	{ .name = "128k-sequential-read-qd8", .size = 128 << 10, .depth = 8, .count = 400 },
	{ .name = "4k-write-flush",
	  .size = 4096,
	  .depth = 1,
	  .count = 800,
	  .random = true,
	  .write = true,
	  .flush = true },
};

struct disk {
	int fd;
	uint64_t len;
	aio_context_t aio;
	uint8_t *buffers;
	struct iocb iocbs[DEPTH_MAX];
	uint64_t random;
	uint64_t next;
};

static uint64_t disk_place(struct disk *disk, const struct disk_row *row)
{
	if (!row->random)
		return disk->next++ % (disk->len / row->size) * row->size;
	disk->random = disk->random * 6364136223846793005ull + 1442695040888963407ull;
	return (disk->random >> 33) % (disk->len / row->size) * row->size;
}

static void disk_prepare(struct disk *disk, const struct disk_row *row, struct iocb *iocb)
{
	iocb->aio_offset = (int64_t)disk_place(disk, row);
	iocb->aio_nbytes = row->size;
	iocb->aio_lio_opcode = row->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
}

/* DEPTH in flight; what finished together is submitted again together. */
static void disk_load(struct disk *disk, const struct disk_row *row, unsigned count)
{
	struct iocb *batch[DEPTH_MAX];
	struct io_event events[DEPTH_MAX];
	unsigned submitted = 0, done = 0;
	long ready = row->depth;

	for (unsigned i = 0; i < row->depth; i++)
		batch[i] = &disk->iocbs[i];
	while (done < count) {
		long want = 0;

		for (; want < ready && submitted < count; want++, submitted++)
			disk_prepare(disk, row, batch[want]);
		if (want && syscall(SYS_io_submit, disk->aio, want, batch) != want)
			die("io_submit");
		ready = syscall(SYS_io_getevents, disk->aio, 1L, (long)row->depth, events, NULL);
		if (ready < 1)
			die("io_getevents");
		for (long i = 0; i < ready; i++, done++) {
			if (events[i].res != (int64_t)row->size)
				die("a request failed");
			batch[i] = (struct iocb *)(uintptr_t)events[i].obj;
		}
		if (row->flush && fdatasync(disk->fd) < 0)
			die("fdatasync");
	}
}

static void disk_all(const char *path)
{
	struct disk disk = { .fd = open(path, O_RDWR | O_DIRECT), .random = 1 };

	if (disk.fd < 0)
		die(path);
	disk.len = (uint64_t)lseek(disk.fd, 0, SEEK_END);
	disk.buffers = mmap(NULL, DEPTH_MAX * BUFFER_LEN, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (disk.buffers == MAP_FAILED || syscall(SYS_io_setup, DEPTH_MAX, &disk.aio) < 0)
		die("io_setup");
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		disk.iocbs[i] =
			(struct iocb){ .aio_fildes = (uint32_t)disk.fd,
				       .aio_buf = (uintptr_t)disk.buffers + i * BUFFER_LEN };
	for (unsigned i = 0; i < sizeof(disk_rows) / sizeof(disk_rows[0]); i++) {
		const struct disk_row *row = &disk_rows[i];
		uint64_t start;

		disk_load(&disk, row, row->count / 8);
		begin(row->name);
		start = now_ns();
		MARK_PROFILE_BEGIN();
		disk_load(&disk, row, row->count);
		MARK_PROFILE_END();
		end(row->name, row->count, now_ns() - start);
	}
}

/* ---- network ---- */

#define ROUND_TRIPS 800u
#define CHUNKS	    768u

static void all(int fd, void *buf, size_t len, bool write_it)
{
	for (size_t at = 0; at < len;) {
		ssize_t part = write_it ? send(fd, (char *)buf + at, len - at, MSG_NOSIGNAL)
					: recv(fd, (char *)buf + at, len - at, 0);

		if (part <= 0)
			die(write_it ? "send" : "recv");
		at += (size_t)part;
	}
}

/* COUNT chunks as a stream, without a small packet after each of them; the last is not held back.
 */
static void send_chunks(int fd, char *chunk, uint32_t count)
{
	int off = 0, on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &off, sizeof(off));
	for (uint32_t i = 0; i < count; i++) {
		if (i + 1 == count)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		all(fd, chunk, CHUNK, true);
	}
}

static void receive_chunks(int fd, char *chunk, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		all(fd, chunk, CHUNK, false);
}

/* A 'p' is answered; after an 's' a count of chunks is taken, then answered; after an 'r' chunks
 * are sent. */
static void serve(int fd)
{
	static char chunk[CHUNK];
	char what;
	uint32_t count;

	while (recv(fd, &what, 1, 0) == 1) {
		if (what == 'p') {
			all(fd, &what, 1, true);
			continue;
		}
		all(fd, &count, sizeof(count), false);
		if (what == 'r') {
			send_chunks(fd, chunk, count);
		} else {
			receive_chunks(fd, chunk, count);
			all(fd, &what, 1, true);
		}
	}
	close(fd);
}

static int server(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGCHLD, SIG_IGN);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 5) < 0)
		die("listen");
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			die("accept");
		/* A guest that was killed says no good-bye: the next is not to wait for it. */
		if (fork() == 0) {
			setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			serve(client);
			_exit(0);
		}
		close(client);
	}
}

static void net_load(int fd, char what, unsigned count)
{
	static char chunk[CHUNK];

	if (what == 'p') {
		for (unsigned i = 0; i < count; i++) {
			all(fd, &what, 1, true);
			all(fd, chunk, 1, false);
		}
		return;
	}
	all(fd, &what, 1, true);
	all(fd, &count, sizeof(count), true);
	if (what == 'r') {
		receive_chunks(fd, chunk, count);
	} else {
		send_chunks(fd, chunk, count);
		all(fd, chunk, 1, false);
	}
}

static void interface_up(int fd, const char *name, const char *ip)
{
	struct ifreq request = { 0 };
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	address->sin_family = AF_INET;
	inet_pton(AF_INET, ip, &address->sin_addr);
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		die(name);
	inet_pton(AF_INET, "255.255.255.0", &address->sin_addr);
	(void)!ioctl(fd, SIOCSIFNETMASK, &request);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		die(name);
}

static void net_all(void)
{
	static const struct {
		const char *name;
		char what;
		unsigned count;
	} rows[] = {
		{ "tcp-round-trip", 'p', ROUND_TRIPS },
		{ "tcp-send-64k", 's', CHUNKS },
		{ "tcp-receive-64k", 'r', CHUNKS },
	};
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int one = 1, tries = 0, fd = socket(AF_INET, SOCK_STREAM, 0);

	interface_up(fd, "eth0", GUEST);
	inet_pton(AF_INET, SERVER, &address.sin_addr);
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (tries++ == 50)
			die("connect");
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t start;

		net_load(fd, rows[i].what, rows[i].count / 2);
		begin(rows[i].name);
		start = now_ns();
		MARK_PROFILE_BEGIN();
		net_load(fd, rows[i].what, rows[i].count);
		MARK_PROFILE_END();
		end(rows[i].name, rows[i].count, now_ns() - start);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	if (getpid() != 1) {
		if (argc == 3 && strcmp(argv[1], "file") == 0)
			disk_all(argv[2]);
		else if (argc == 2 && strcmp(argv[1], "server") == 0)
			return server();
		return 0;
	}
	mkdir("/dev", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "disk") == 0)
			disk_all("/dev/vda");
		else if (strcmp(argv[i], "net") == 0)
			net_all();
	}
	reboot(RB_POWER_OFF);
	return 1;
}
