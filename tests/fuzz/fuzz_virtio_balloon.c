/*
 * A balloon device under a driver that offers anything as free. Checked: what is given back to the
 * host is whole pages of guest memory and never a file's; a device that is reset has nothing in
 * flight.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "devices/virtio/virtio_balloon.h"
#include "tests/fuzz/quiet_log.h"
#include "tests/support/fuzz_driver.h"

#define MIB	   (1ull << 20)
#define MEM_LEN	   (4 * MIB)
#define HIGH_GPA   (4096 * MIB)
#define FILE_GPA   MIB
#define FILE_LEN   0x10000ull
#define RING_GPA   0x1000ull
#define DATA_GPA   0x8000ull
#define QUEUE_SIZE 16
#define QUEUES	   5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct virtio_balloon *balloon;
	struct virtio_device *dev;
	struct fake_ring rings[QUEUES];
};

/* Of the input that runs. */
static const struct guest_mem *memory;

static bool is_guest_memory(uintptr_t at, size_t len)
{
	for (unsigned i = 0; i < memory->region_count; i++) {
		uintptr_t start = (uintptr_t)memory->regions[i].host;

		if (at >= start && at - start + len <= memory->regions[i].len)
			return true;
	}
	return false;
}

/* In place of the C library's. */
int madvise(void *addr, size_t len, int advice)
{
	uintptr_t at = (uintptr_t)addr;

	if (memory && advice == MADV_DONTNEED) {
		assert(len && !((at | len) & 4095) && is_guest_memory(at, len));
		for (unsigned i = 0; i < memory->file_count; i++)
			assert(at >= memory->files[i].end || at + len <= memory->files[i].start);
	}
	return (int)syscall(SYS_madvise, addr, len, advice);
}

static void bring_up(struct env *env, uint64_t features)
{
	fuzz_reset(env->dev);
	fake_bring_up(env->dev, features, env->rings, RING_GPA, QUEUE_SIZE);
}

/* Pages from anywhere in memory, or past it. */
static void report(struct env *env, struct input *in)
{
	struct fake_part parts[3];
	unsigned count = 1 + (unsigned)take(in, 1) % 3;

	for (unsigned i = 0; i < count; i++) {
		uint64_t gpa = take(in, 2) << 10;

		parts[i] = (struct fake_part){
			.gpa = gpa < 6 * MIB ? gpa : HIGH_GPA + gpa % (2 * MIB),
			.len = (uint32_t)take(in, 2) << 10,
			.writable = true,
		};
	}
	fake_ring_add(fuzz_ring(env->rings, QUEUES, in), parts, count);
}

static void inflate(struct env *env, struct input *in)
{
	uint32_t pfns[8];
	struct fake_part part = { DATA_GPA, 0, false };
	unsigned count = (unsigned)take(in, 1) % 9;

	for (unsigned i = 0; i < count; i++) {
		uint32_t pfn = (uint32_t)take(in, 2);

		pfns[i] = pfn & 0x8000 ? (uint32_t)(HIGH_GPA >> 12) + (pfn & 0x3ff) : pfn;
	}
	(void)!guest_mem_write(&env->mem, DATA_GPA, pfns, 4ull * count);
	part.len = 4 * count + (uint32_t)take(in, 1) % 4;
	fake_ring_add(&env->rings[0], &part, 1);
}

static void step(struct env *env, struct input *in)
{
	uint8_t config[32];

	switch (take(in, 1) % 10) {
	case 0:
		bring_up(env, take(in, 1) & 1 ? UINT64_MAX : ~(1ull << 4));
		break;
	case 1:
		fuzz_write_desc(fuzz_ring(env->rings, QUEUES, in), in);
		break;
	case 2:
		fake_ring_set_avail_idx(&env->rings[take(in, 1) % QUEUES], (uint16_t)take(in, 1));
		break;
	case 3:
		for (unsigned i = 0; i < 4; i++)
			config[i] = (uint8_t)take(in, 1);
		virtio_config_write(env->dev, take(in, 1), config, (uint32_t)take(in, 1) % 5);
		virtio_config_read(env->dev, take(in, 1), config, sizeof(config));
		break;
	case 4:
		virtio_queue_reset(virtio_queue_at(env->dev, (uint32_t)take(in, 1) % QUEUES));
		break;
	case 5:
		inflate(env, in);
		break;
	case 6:
		fuzz_add_chain(fuzz_ring(env->rings, QUEUES, in), DATA_GPA, in);
		break;
	case 7:
		report(env, in);
		break;
	default:
		fuzz_kick(env->dev, &env->loop, (unsigned)take(in, 1));
		break;
	}
}

static int a_file(void)
{
	static const uint8_t bytes[FILE_LEN] = { 1, 2, 3 };
	int fd = memfd_create("file", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
		abort();
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int fd = -1;
	struct input in = { data, len };
	struct env env = { 0 };

	if (fd < 0)
		fd = a_file();
	fake_loop_init(&env.loop);
	if (guest_mem_add(&env.mem, 0, MEM_LEN) < 0 ||
	    guest_mem_add(&env.mem, HIGH_GPA, 2 * MIB) < 0 ||
	    guest_mem_map_file(&env.mem, FILE_GPA, FILE_LEN, fd, 0) < 0 ||
	    virtio_balloon_create(&env.balloon, &env.mem, &env.loop) < 0)
		abort();
	memory = &env.mem;
	env.dev = virtio_balloon_device(env.balloon);
	bring_up(&env, UINT64_MAX);
	while (in.left > 0)
		step(&env, &in);
	virtio_balloon_destroy(env.balloon);
	memory = NULL;
	guest_mem_fini(&env.mem);
	return 0;
}
