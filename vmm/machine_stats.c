/*
 * Counts of a machine: exits, devices' requests, kicks and interrupts, the loops' rounds and system
 * calls, and KVM's own statistics (Linux, Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD).
 * Called by machine.c on the main thread after the machine has stopped.
 */
#include "vmm/machine_stats.h"

#include <jansson.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/log.h"

/* KVM has about 60 of a machine and 60 of a vCPU; a name has less than this. */
#define KVM_STATS_MAX	   256
#define KVM_STATS_NAME_MAX 128

struct queue_counts {
	uint64_t requests;
	uint64_t kicks;
	uint64_t interrupts;
};

static json_t *json_count(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* ---- KVM ---- */

static bool read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	return pread(fd, buf, len, (off_t)offset) == (ssize_t)len;
}

/* One statistic of one number; histograms are left out. */
static void kvm_add(json_t *object, int fd, const struct kvm_stats_header *header, unsigned index)
{
	union {
		struct kvm_stats_desc desc; /* its name follows it */
		char bytes[sizeof(struct kvm_stats_desc) + KVM_STATS_NAME_MAX];
	} entry = { .bytes = { 0 } };
	size_t len = sizeof(entry.desc) + header->name_size;
	uint64_t value;

	if (header->name_size >= KVM_STATS_NAME_MAX ||
	    !read_at(fd, &entry, len, header->desc_offset + index * len) || entry.desc.size != 1 ||
	    !read_at(fd, &value, sizeof(value), header->data_offset + entry.desc.offset))
		return;
	json_object_set_new(object, entry.bytes + sizeof(entry.desc), json_count(value));
}

/* What KVM has counted for the machine or the vCPU behind FD; empty where it does not tell. */
static json_t *kvm_stats(int fd)
{
	json_t *object = json_object();
	struct kvm_stats_header header;
	int stats_fd = ioctl(fd, KVM_GET_STATS_FD, NULL);

	if (stats_fd < 0)
		return object;
	if (read_at(stats_fd, &header, sizeof(header), 0))
		for (unsigned i = 0; i < header.num_desc && i < KVM_STATS_MAX; i++)
			kvm_add(object, stats_fd, &header, i);
	close(stats_fd);
	return object;
}

/* ---- ours ---- */

static json_t *vcpu_json(const struct vcpu *vcpu)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "exits", json_count(vcpu->stats.exits),
			 "port", json_count(vcpu->stats.pio), "mmio", json_count(vcpu->stats.mmio),
			 "interrupted", json_count(vcpu->stats.interrupted), "kvm",
			 kvm_stats(vcpu->fd));
}

static json_t *loop_json(const struct loop *loop)
{
	struct loop_stats stats;

	loop_get_stats(loop, &stats);
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "engine", loop_engine_name(loop), "rounds",
			 json_count(stats.rounds), "syscalls", json_count(stats.syscalls), "events",
			 json_count(stats.events), "operations", json_count(stats.ops));
}

static json_t *queue_json(const struct virtio_queue *queue)
{
	return json_pack("{s:o, s:o, s:o}", "requests", json_count(queue->request_count), "kicks",
			 json_count(queue->kick_count), "interrupts",
			 json_count(queue->interrupt_count));
}

static json_t *device_json(const struct virtio_device *dev)
{
	json_t *queues = json_array();

	for (uint16_t i = 0; i < dev->queue_count; i++)
		json_array_append_new(queues, queue_json(&dev->queues[i]));
	return json_pack("{s:s, s:o}", "device", dev->ops->name, "queues", queues);
}

static json_t *stats_json(const struct machine_stats *stats)
{
	json_t *vcpus = json_array(), *loops = json_array(), *devices = json_array();

	for (unsigned i = 0; i < stats->vcpu_count; i++)
		json_array_append_new(vcpus, vcpu_json(&stats->vcpus[i]));
	json_array_append_new(loops, loop_json(stats->io->main_loop));
	for (unsigned i = 0; stats->io->extra && i < stats->io->loop_count; i++)
		json_array_append_new(loops, loop_json(stats->io->loops[i]));
	for (unsigned i = 0; i < stats->device_count; i++)
		json_array_append_new(devices, device_json(stats->devices[i]));
	return json_pack("{s:o, s:o, s:o, s:o}", "vcpus", vcpus, "loops", loops, "devices", devices,
			 "kvm", kvm_stats(stats->vm_fd));
}

int machine_stats_write(const struct machine_stats *stats, int fd)
{
	json_t *object = stats_json(stats);
	int ret = 0;

	if (!object)
		return log_errno(ENOMEM, "count for --stats");
	/* A pipe has nothing to take back. */
	if (lseek(fd, 0, SEEK_SET) == 0 && ftruncate(fd, 0) < 0)
		ret = log_errno(errno, "empty the file of --stats");
	else if (json_dumpfd(object, fd, JSON_INDENT(2)) < 0 || write(fd, "\n", 1) != 1)
		ret = log_errno(errno ? errno : EIO, "write the file of --stats");
	json_decref(object);
	return ret;
}

void machine_stats_log(const struct machine_stats *stats)
{
	struct vcpu_stats sum = { 0 };

	for (unsigned i = 0; i < stats->vcpu_count; i++) {
		sum.exits += stats->vcpus[i].stats.exits;
		sum.pio += stats->vcpus[i].stats.pio;
		sum.mmio += stats->vcpus[i].stats.mmio;
	}
	log_debug("exits to user space: %llu (port %llu, MMIO %llu)", (unsigned long long)sum.exits,
		  (unsigned long long)sum.pio, (unsigned long long)sum.mmio);
	for (unsigned i = 0; i < stats->device_count; i++) {
		const struct virtio_device *dev = stats->devices[i];
		struct queue_counts counts = { 0 };

		for (uint16_t q = 0; q < dev->queue_count; q++) {
			counts.kicks += dev->queues[q].kick_count;
			counts.interrupts += dev->queues[q].interrupt_count;
			counts.requests += dev->queues[q].request_count;
		}
		log_debug("%s: %llu requests, %llu kicks, %llu interrupts", dev->ops->name,
			  (unsigned long long)counts.requests, (unsigned long long)counts.kicks,
			  (unsigned long long)counts.interrupts);
	}
}
