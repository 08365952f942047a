/*
 * The board on one page: every device a machine has, built in the order in which it is written
 * here. The only file of the core that names devices. Main thread.
 */
#include "vmm/machine.h"

#include <assert.h>
#include <string.h>

#include ARCH_LAYOUT_H
#include "arch/arch.h"
#include "devices/debug_exit.h"
#include "devices/i8042.h"
#include "devices/pci.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "devices/rtc.h"
#include "devices/serial.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_mmio.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rng.h"
#include "vmm/beside.h"
#include "vmm/kvm_host.h"
#include "vmm/log.h"
#include "vmm/machine_host.h"
#include "vmm/machine_load.h"
#include "vmm/machine_stats.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

#define VIRTIO_DEVICES_MAX (CONFIG_DISKS_MAX + CONFIG_NETS_MAX + 3)
#define QUEUE_SIZE	   256
static_assert(VIRTIO_DEVICES_MAX <= MACHINE_STATS_DEVICES_MAX, "statistics hold every device");

/* One virtio device: the device itself, and the transport that carries it. */
struct virtio_slot {
	void *owner;
	void (*destroy)(void *owner);
	struct virtio_device *dev; /* inside owner */
	struct virtio_pci *pci;
	struct virtio_mmio *mmio;
	struct irq_line irq; /* mmio's */
};

struct machine {
	const struct config *config;
	struct kvm_host *kvm;	   /* borrowed */
	struct machine_host *host; /* borrowed */
	struct io_threads *io;	   /* borrowed */
	struct end *end;	   /* borrowed */
	struct timeline *timeline; /* borrowed */
	struct vm vm;
	struct serial serial;
	struct rtc rtc;
	struct i8042 i8042;
	struct pvpanic pvpanic;
	struct debug_exit debug_exit;
	struct power power;
	struct irq_line serial_irq;
	struct irq_line power_irq;
	struct pci_host *pci;
	struct virtio_slot virtio[VIRTIO_DEVICES_MAX];
	unsigned virtio_count;
	struct board_row rows[BOARD_ROWS_MAX];
	unsigned row_count;
	struct arch_boot boot;
	struct beside *beside;	    /* borrowed */
	struct beside_job creating; /* the vCPUs */
	struct vcpu vcpus[ARCH_CPUS_MAX];
	unsigned vcpu_count;
	bool platform_built;
};

/* ---- what devices tell the machine ---- */

static void machine_on_off(void *opaque)
{
	end_say(((struct machine *)opaque)->end, END_POWEROFF, 0);
}

static void machine_on_reset(void *opaque)
{
	end_say(((struct machine *)opaque)->end, END_RESET, 0);
}

static void machine_on_exit(void *opaque, unsigned status)
{
	end_say(((struct machine *)opaque)->end, END_STATUS, (int)status);
}

/* A guest whose own crash kernel takes over has not ended yet. */
static void machine_on_panic(void *opaque, unsigned events)
{
	const struct machine *m = opaque;

	if (events & PVPANIC_PANICKED)
		m->host->events.panicked(m->host->events.opaque);
}

static const struct power_ops power_ops = { .off = machine_on_off, .reset = machine_on_reset };
static const struct i8042_ops i8042_ops = { .reset = machine_on_reset };
static const struct debug_exit_ops debug_exit_ops = { .exit = machine_on_exit };
static const struct pvpanic_ops pvpanic_ops = { .event = machine_on_panic };

/* ---- platform devices ---- */

static void machine_row(struct machine *machine, enum board_kind kind, uint64_t base, uint64_t len,
			uint32_t irq)
{
	assert(machine->row_count < BOARD_ROWS_MAX);
	machine->rows[machine->row_count++] =
		(struct board_row){ .kind = kind, .base = base, .len = len, .irq = irq };
}

/* One device on the port bus, and its row. */
static int machine_add_port(struct machine *machine, enum board_kind kind, uint64_t base,
			    uint64_t len, uint32_t irq, struct bus_device *dev)
{
	machine_row(machine, kind, base, len, irq);
	return bus_add(&machine->vm.pio, base, len, dev);
}

static int machine_build_platform(struct machine *m)
{
	struct irq_router *router = &m->vm.irq.router;
	int ret = irq_wire(router, &m->serial_irq, LAYOUT_IRQ_SERIAL);

	if (ret == 0)
		ret = irq_wire(router, &m->power_irq, LAYOUT_IRQ_POWER);
	if (ret < 0)
		return ret;
	serial_init(&m->serial, &m->serial_irq, char_hub_serial_port(m->host->console));
	rtc_init(&m->rtc);
	i8042_init(&m->i8042, &i8042_ops, m);
	pvpanic_init(&m->pvpanic, &pvpanic_ops, m);
	debug_exit_init(&m->debug_exit, &debug_exit_ops, m);
	power_init(&m->power, &m->power_irq, &power_ops, m);
	m->platform_built = true;

	ret = machine_add_port(m, BOARD_SERIAL, LAYOUT_SERIAL_PORT, LAYOUT_SERIAL_PORT_LEN,
			       LAYOUT_IRQ_SERIAL, &m->serial.bus);
	if (ret == 0)
		ret = machine_add_port(m, BOARD_RTC, LAYOUT_RTC_PORT, LAYOUT_RTC_PORT_LEN,
				       LAYOUT_IRQ_RTC, &m->rtc.bus);
	if (ret == 0)
		ret = machine_add_port(m, BOARD_I8042, LAYOUT_I8042_COMMAND_PORT, 1, 0,
				       &m->i8042.command);
	if (ret == 0)
		ret = bus_add(&m->vm.pio, LAYOUT_I8042_DATA_PORT, 1, &m->i8042.data);
	if (ret == 0)
		ret = machine_add_port(m, BOARD_PVPANIC, LAYOUT_PVPANIC_PORT, PVPANIC_PORT_LEN, 0,
				       &m->pvpanic.bus);
	if (ret == 0)
		ret = machine_add_port(m, BOARD_DEBUG_EXIT, LAYOUT_DEBUG_EXIT_PORT,
				       DEBUG_EXIT_PORT_LEN, 0, &m->debug_exit.bus);
	if (ret == 0)
		ret = machine_add_port(m, BOARD_POWER, LAYOUT_POWER_PORT, LAYOUT_POWER_PORT_LEN,
				       LAYOUT_IRQ_POWER, &m->power.bus);
	return ret < 0 ? log_errno(ret, "place the platform devices") : 0;
}

/* ---- virtio devices ---- */

/*
 * The PCI host, where a device will need one: without it the guest does not look for PCI. Its
 * configuration space is read without exits where KVM has read-only memory slots; elsewhere the
 * host traps reads.
 */
static int machine_build_pci(struct machine *m)
{
	int ret;

	if (!config_has_pci(m->config))
		return 0;
	ret = pci_host_create(&m->pci, &m->vm.mmio, LAYOUT_PCI_ECAM_GPA, LAYOUT_PCI_WINDOW_GPA,
			      LAYOUT_PCI_WINDOW_LEN);
	if (ret < 0)
		return ret;
	pci_host_set_ports(m->pci, &m->vm.pio, LAYOUT_PCI_PORT, LAYOUT_PCI_PORT_LEN);
	if (vm_add_readonly_slot(&m->vm, LAYOUT_PCI_ECAM_GPA, PCI_ECAM_LEN, pci_host_ecam(m->pci)) <
	    0)
		log_debug("KVM has no read-only memory slots: PCI configuration reads are trapped");
	machine_row(m, BOARD_PCI_ECAM, LAYOUT_PCI_ECAM_GPA, LAYOUT_PCI_ECAM_LEN, 0);
	machine_row(m, BOARD_PCI_WINDOW, LAYOUT_PCI_WINDOW_GPA, LAYOUT_PCI_WINDOW_LEN, 0);
	machine_row(m, BOARD_PCI_PORTS, LAYOUT_PCI_PORT, LAYOUT_PCI_PORT_LEN, 0);
	return 0;
}

static int machine_attach_mmio(struct machine *m, struct virtio_slot *slot, unsigned index)
{
	uint64_t base = LAYOUT_VIRTIO_MMIO_GPA + index * LAYOUT_VIRTIO_MMIO_LEN;
	uint32_t gsi = LAYOUT_IRQ_VIRTIO_MMIO + index;
	int ret;

	if (index >= LAYOUT_VIRTIO_MMIO_COUNT_MAX) {
		log_err("--transport mmio has room for %d devices; use --transport pci",
			LAYOUT_VIRTIO_MMIO_COUNT_MAX);
		return -ENOSPC;
	}
	ret = irq_wire(&m->vm.irq.router, &slot->irq, gsi);
	if (ret == 0)
		ret = virtio_mmio_create(&slot->mmio, slot->dev, &m->vm.mmio, base, &slot->irq);
	if (ret == 0)
		machine_row(m, BOARD_VIRTIO_MMIO, base, LAYOUT_VIRTIO_MMIO_LEN, gsi);
	return ret;
}

/* Puts a device on the machine's transport. OWNER is destroyed with the machine, also when this
 * fails. */
static int machine_attach(struct machine *m, void *owner, void (*destroy)(void *),
			  struct virtio_device *dev)
{
	unsigned index = m->virtio_count++;
	struct virtio_slot *slot = &m->virtio[index];

	assert(index < VIRTIO_DEVICES_MAX);
	*slot = (struct virtio_slot){
		.owner = owner, .destroy = destroy, .dev = dev, .irq = IRQ_LINE_NONE
	};
	if (m->config->transport == CONFIG_TRANSPORT_MMIO)
		return machine_attach_mmio(m, slot, index);
	return virtio_pci_create(&slot->pci, dev, m->pci, &m->vm.mmio, &m->vm.irq.router);
}

static void destroy_console(void *owner)
{
	virtio_console_destroy(owner);
}

static void destroy_blk(void *owner)
{
	virtio_blk_destroy(owner);
}

static void destroy_net(void *owner)
{
	virtio_net_destroy(owner);
}

static void destroy_rng(void *owner)
{
	virtio_rng_destroy(owner);
}

static void destroy_balloon(void *owner)
{
	virtio_balloon_destroy(owner);
}

/* hvc0, and the ports of the machine's owner. */
static int machine_add_console(struct machine *m)
{
	const struct machine_ports *named = &m->host->ports;
	struct virtio_console_port ports[1 + MACHINE_PORTS_MAX] = {
		{ .port = char_hub_virtio_port(m->host->console) },
	};
	struct virtio_console *console;
	int ret;

	if (m->config->console != CONFIG_CONSOLE_VIRTIO && !named->count)
		return 0;
	for (unsigned i = 0; i < named->count; i++)
		ports[1 + i] = (struct virtio_console_port){ .name = named->port[i].name,
							     .port = named->port[i].port,
							     .in_size = named->port[i].in_size };
	ret = virtio_console_create(&console, &m->vm.mem, m->io->main_loop, ports,
				    1 + named->count);
	return ret < 0 ? ret
		       : machine_attach(m, console, destroy_console,
					virtio_console_device(console));
}

static int machine_add_disk(struct machine *m, unsigned index)
{
	const struct config_disk *disk = &m->config->disks[index];
	struct virtio_blk *blk;
	int ret =
		virtio_blk_create(&blk, m->host->disks[index], &m->vm.mem, m->io->loops,
				  m->io->loop_count, (uint16_t)disk->queues, QUEUE_SIZE, disk->id);

	if (ret < 0)
		return ret;
	virtio_blk_set_limit(blk, m->host->limits.disks[index]);
	return machine_attach(m, blk, destroy_blk, virtio_blk_device(blk));
}

static int machine_add_net(struct machine *m, unsigned index)
{
	const struct config_net *config = &m->config->nets[index];
	struct virtio_net_options options = {
		.net = m->host->nets[index],
		.mtu = config->mtu,
		.pairs = config->queues,
		.loops = m->io->loops,
		.loop_count = m->io->loop_count,
		.receive_limit = m->host->limits.receive[index],
		.send_limit = m->host->limits.send[index],
	};
	struct virtio_net *net;
	int ret;

	if (!options.net)
		return 0;
	memcpy(options.mac, config->mac, sizeof(options.mac));
	ret = virtio_net_create(&net, &m->vm.mem, &options);
	return ret < 0 ? ret : machine_attach(m, net, destroy_net, virtio_net_device(net));
}

static int machine_add_rng(struct machine *m)
{
	struct virtio_rng *rng;
	int ret = virtio_rng_create(&rng, &m->vm.mem, m->io->main_loop);

	return ret < 0 ? ret : machine_attach(m, rng, destroy_rng, virtio_rng_device(rng));
}

static int machine_add_balloon(struct machine *m)
{
	struct virtio_balloon *balloon;
	int ret;

	if (m->config->balloon != CONFIG_BALLOON_ON)
		return 0;
	ret = virtio_balloon_create(&balloon, &m->vm.mem, m->io->main_loop);
	return ret < 0 ? ret
		       : machine_attach(m, balloon, destroy_balloon,
					virtio_balloon_device(balloon));
}

static int machine_build_virtio(struct machine *m)
{
	int ret = machine_add_console(m);

	for (unsigned i = 0; ret == 0 && i < m->config->disk_count; i++)
		ret = machine_add_disk(m, i);
	for (unsigned i = 0; ret == 0 && i < m->config->net_count; i++)
		ret = machine_add_net(m, i);
	if (ret == 0)
		ret = machine_add_balloon(m);
	if (ret == 0 && m->virtio_count)
		ret = machine_add_rng(m); /* a machine without any device stays without PCI */
	return ret;
}

/* ---- vCPUs ---- */

static void machine_on_first_run(void *opaque)
{
	struct machine *m = opaque;

	timeline_mark(m->timeline, "first KVM_RUN");
	timeline_log(m->timeline);
}

/* Beside the loading of the kernel. */
static int machine_create_vcpus(void *opaque)
{
	struct machine *m = opaque;
	struct arch_cpu_model *model;
	int ret = kvm_host_cpu_model(m->kvm, m->config->cpus, &model);

	if (ret == 0)
		ret = arch_cpu_model_complete(model, m->vm.fd);
	for (; ret == 0 && m->vcpu_count < m->config->cpus; m->vcpu_count += ret == 0)
		ret = vcpu_create(&m->vcpus[m->vcpu_count], &m->vm, m->end, model, m->vcpu_count);
	return ret;
}

static int machine_enter_vcpus(struct machine *m)
{
	int ret = beside_join(m->beside, &m->creating);

	for (unsigned i = 0; ret == 0 && i < m->vcpu_count; i++)
		ret = vcpu_set_entry(&m->vcpus[i], &m->boot);
	if (ret == 0) {
		m->vcpus[0].on_first_run = machine_on_first_run;
		m->vcpus[0].first_run_opaque = m;
	}
	return ret;
}

/* ---- from nothing to ready, and back ---- */

static int machine_load_software(struct machine *m)
{
	const struct arch_board board = {
		.rows = m->rows,
		.row_count = m->row_count,
		.cpu_count = m->config->cpus,
		.name = m->config->name,
	};

	return machine_load(&m->vm.mem, m->config, &board, &m->boot, m->timeline);
}

static int machine_build_hardware(struct machine *m)
{
	int ret = vm_create(&m->vm, m->kvm, m->config->memory_len);

	if (ret == 0)
		ret = machine_build_pci(m);
	if (ret == 0)
		ret = vm_create_irqchip(&m->vm);
	timeline_mark(m->timeline, "virtual machine and memory");
	if (ret == 0)
		ret = machine_build_platform(m);
	if (ret == 0)
		ret = machine_build_virtio(m);
	timeline_mark(m->timeline, "devices");
	return ret;
}

static int machine_build(struct machine *m)
{
	int ret = machine_build_hardware(m);

	if (ret < 0)
		return ret;
	beside_do(m->beside, &m->creating, machine_create_vcpus, m);
	ret = machine_load_software(m);
	timeline_mark(m->timeline, "tables");
	if (ret == 0)
		ret = machine_enter_vcpus(m);
	timeline_mark(m->timeline, "vCPUs");
	if (ret == 0)
		log_debug("%s: entered at %#llx, %llu KiB mapped, %llu KiB copied", m->boot.what,
			  (unsigned long long)m->boot.entry_gpa,
			  (unsigned long long)m->boot.mapped_len >> 10,
			  (unsigned long long)m->boot.copied_len >> 10);
	return ret;
}

int machine_create(struct machine **out, const struct config *config,
		   const struct machine_base *base)
{
	struct machine *m = calloc(1, sizeof(*m));
	int ret;

	if (!m)
		return log_errno(ENOMEM, "build the machine");
	m->config = config;
	m->kvm = base->kvm;
	m->beside = base->beside;
	m->host = base->host;
	m->io = base->io;
	m->end = base->end;
	m->timeline = base->timeline;
	m->serial_irq = IRQ_LINE_NONE;
	m->power_irq = IRQ_LINE_NONE;
	ret = machine_build(m);
	if (ret < 0) {
		machine_destroy(m);
		return ret;
	}
	*out = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	struct irq_router *router;

	if (!m)
		return;
	beside_abandon(m->beside, &m->creating);
	while (m->vcpu_count)
		vcpu_destroy(&m->vcpus[--m->vcpu_count]);
	router = &m->vm.irq.router;
	while (m->virtio_count) {
		struct virtio_slot *slot = &m->virtio[--m->virtio_count];

		virtio_pci_destroy(slot->pci);
		virtio_mmio_destroy(slot->mmio);
		slot->destroy(slot->owner);
		irq_release(router, &slot->irq);
	}
	pci_host_destroy(m->pci);
	if (m->platform_built) {
		power_fini(&m->power);
		rtc_fini(&m->rtc);
		serial_fini(&m->serial);
	}
	irq_release(router, &m->power_irq);
	irq_release(router, &m->serial_irq);
	vm_destroy(&m->vm);
	char_hub_reset(m->host->console);
	free(m);
}

int machine_start(struct machine *m)
{
	int ret = 0;

	/* vCPU 0 last: whatever it starts is there. */
	for (unsigned i = m->vcpu_count; ret == 0 && i-- > 0;)
		ret = vcpu_start(&m->vcpus[i]);
	return ret;
}

void machine_stop(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_request_stop(&m->vcpus[i]);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_join(&m->vcpus[i]);
}

void machine_press_power_button(struct machine *m)
{
	power_button_press(&m->power);
}

int machine_write_statistics(struct machine *m, int fd)
{
	struct machine_stats stats = {
		.vm_fd = m->vm.fd,
		.vcpus = m->vcpus,
		.vcpu_count = m->vcpu_count,
		.io = m->io,
		.device_count = m->virtio_count,
	};

	for (unsigned i = 0; i < m->virtio_count; i++)
		stats.devices[i] = m->virtio[i].dev;
	machine_stats_log(&stats);
	return fd < 0 ? 0 : machine_stats_write(&stats, fd);
}
