/* virtio over PCI (virtio 1.2, 4.1): capabilities, registers, vectors, doorbells, the window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "devices/virtio/virtio_pci.h"
#include "tests/support/fake_device.h"
#include "tests/support/fake_driver.h"
#include "tests/support/fake_irq.h"
#include "tests/support/fake_loop.h"

#define MEM_LEN	   0x20000ull
#define DATA_GPA   0x10000ull
#define SIZE	   FAKE_DEVICE_QUEUE_SIZE
#define ECAM	   0xe0000000ull
#define CONFIG	   (ECAM + 0x8000) /* device 1 */
#define WINDOW	   0xc0000000ull
#define WINDOW_LEN 0x100000ull
#define VECTORS	   (FAKE_DEVICE_QUEUES + 1)
#define NO_VECTOR  0xffff

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct bus bus;
	struct fake_irq irq;
	struct pci_host *host;
	struct fake_device fake;
	struct virtio_pci *vp;
	struct fake_ring ring;
	/* As a driver finds them. */
	uint64_t bar, common, notify, isr, device, table, pba;
	uint32_t notify_multiplier;
	unsigned msix_cap, window_cap;
};

static const struct fake_part one_in = { DATA_GPA, 64, true };

static uint32_t cfg_get(struct env *env, unsigned reg, unsigned width)
{
	uint32_t value = 0;

	assert_true(bus_read(&env->bus, CONFIG + reg, width, &value));
	return value;
}

static void cfg_put(struct env *env, unsigned reg, unsigned width, uint32_t value)
{
	assert_true(bus_write(&env->bus, CONFIG + reg, width, &value));
}

static uint64_t get(struct env *env, uint64_t addr, unsigned width)
{
	uint64_t value = 0;

	bus_read(&env->bus, addr, width, &value);
	return value;
}

static void put(struct env *env, uint64_t addr, unsigned width, uint64_t value)
{
	bus_write(&env->bus, addr, width, &value);
}

/* Walks the capabilities as a driver does. */
static void discover(struct env *env)
{
	unsigned at = cfg_get(env, PCI_CAPABILITY_LIST, 1);

	env->bar = cfg_get(env, PCI_BASE_ADDRESS_0, 4) & 0xfffffff0;
	env->device = 0;
	for (unsigned count = 0; at && count < 48; at = cfg_get(env, at + 1, 1), count++) {
		uint64_t where = env->bar + cfg_get(env, at + VIRTIO_PCI_CAP_OFFSET, 4);

		if (cfg_get(env, at, 1) == PCI_CAP_ID_MSIX) {
			env->msix_cap = at;
			env->table = env->bar + (cfg_get(env, at + PCI_MSIX_TABLE, 4) & ~7u);
			env->pba = env->bar + (cfg_get(env, at + PCI_MSIX_PBA, 4) & ~7u);
			continue;
		}
		assert_int_equal(cfg_get(env, at, 1), PCI_CAP_ID_VNDR);
		switch (cfg_get(env, at + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
		case VIRTIO_PCI_CAP_COMMON_CFG:
			env->common = where;
			break;
		case VIRTIO_PCI_CAP_NOTIFY_CFG:
			env->notify = where;
			env->notify_multiplier = cfg_get(env, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
			break;
		case VIRTIO_PCI_CAP_ISR_CFG:
			env->isr = where;
			break;
		case VIRTIO_PCI_CAP_DEVICE_CFG:
			env->device = where;
			assert_int_equal(cfg_get(env, at + VIRTIO_PCI_CAP_LENGTH, 4),
					 FAKE_DEVICE_CONFIG_LEN);
			break;
		case VIRTIO_PCI_CAP_PCI_CFG:
			env->window_cap = at;
			break;
		default:
			fail_msg("a structure of unknown type");
		}
	}
	cfg_put(env, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));

	*state = env;
	fake_loop_init(&env->loop);
	fake_irq_init(&env->irq);
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 || bus_init(&env->bus, NULL, NULL) < 0 ||
	    fake_device_init(&env->fake, &env->mem, &env->loop) < 0 ||
	    pci_host_create(&env->host, &env->bus, ECAM, WINDOW, WINDOW_LEN) < 0 ||
	    virtio_pci_create(&env->vp, &env->fake.dev, env->host, &env->bus, &env->irq.router) < 0)
		return -1;
	discover(env);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_pci_destroy(env->vp);
	pci_host_destroy(env->host);
	assert_int_equal(env->bus.range_count, 0);
	assert_int_equal(env->bus.doorbell_count, 0);
	assert_int_equal(fake_irq_in_use(&env->irq), 0);
	virtio_device_fini(&env->fake.dev);
	bus_fini(&env->bus);
	guest_mem_fini(&env->mem);
	free(env);
	return 0;
}

static uint32_t status(struct env *env)
{
	return (uint32_t)get(env, env->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

static void negotiate(struct env *env)
{
	uint64_t common = env->common;

	put(env, common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
	put(env, common + VIRTIO_PCI_COMMON_STATUS, 1, 1);
	put(env, common + VIRTIO_PCI_COMMON_STATUS, 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		put(env, common + VIRTIO_PCI_COMMON_DFSELECT, 4, i);
		put(env, common + VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		put(env, common + VIRTIO_PCI_COMMON_GF, 4,
		    get(env, common + VIRTIO_PCI_COMMON_DF, 4));
	}
	put(env, common + VIRTIO_PCI_COMMON_STATUS, 1, 11);
	assert_int_equal(status(env), 11);
}

static void enable_queue(struct env *env, unsigned index, unsigned vector)
{
	uint64_t common = env->common;

	fake_ring_init(&env->ring, &env->mem, 0x1000, SIZE);
	env->ring.event_idx = true;
	put(env, common + VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_Q_SIZE, 2), SIZE);
	put(env, common + VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_Q_MSIX, 2), vector);
	put(env, common + VIRTIO_PCI_COMMON_Q_DESCLO, 4, env->ring.desc_gpa);
	put(env, common + VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0);
	put(env, common + VIRTIO_PCI_COMMON_Q_AVAILLO, 4, env->ring.avail_gpa);
	put(env, common + VIRTIO_PCI_COMMON_Q_USEDLO, 4, env->ring.used_gpa);
	put(env, common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

static void set_vector(struct env *env, unsigned v, bool masked)
{
	put(env, env->table + 16 * v + PCI_MSIX_ENTRY_LOWER_ADDR, 4, 0xfee00000);
	put(env, env->table + 16 * v + PCI_MSIX_ENTRY_UPPER_ADDR, 4, 0);
	put(env, env->table + 16 * v + PCI_MSIX_ENTRY_DATA, 4, 0x4000 + v);
	put(env, env->table + 16 * v + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, masked);
}

static void msix_control(struct env *env, uint16_t control)
{
	cfg_put(env, env->msix_cap + PCI_MSIX_FLAGS, 2, control);
}

/* Queue 2 on vector 2. */
static void bring_up(struct env *env)
{
	msix_control(env, PCI_MSIX_FLAGS_ENABLE);
	set_vector(env, 2, false);
	negotiate(env);
	enable_queue(env, 2, 2);
	put(env, env->common + VIRTIO_PCI_COMMON_STATUS, 1, 15);
	fake_loop_round(&env->loop);
}

static void ring_doorbell(struct env *env, unsigned index, unsigned width)
{
	put(env, env->notify + index * env->notify_multiplier, width, index);
	fake_loop_round(&env->loop);
}

/* The eventfd behind a vector: lines are handed out in order. */
static bool raised(struct env *env, unsigned vector)
{
	return fake_irq_raised(&env->irq, vector);
}

static void do_request(struct env *env)
{
	fake_ring_add(&env->ring, &one_in, 1);
	fake_ring_set_used_event(&env->ring, (uint16_t)(env->ring.avail_next - 1));
	ring_doorbell(env, 2, 2);
}

/* ---- what a driver finds ---- */

static void identifies_itself_as_a_modern_device(void **state)
{
	struct env *env = *state;

	assert_int_equal(cfg_get(env, PCI_VENDOR_ID, 4), 0x106a1af4); /* 0x1040 + 42 */
	assert_true(cfg_get(env, PCI_REVISION_ID, 1) >= 1);
	assert_int_equal(cfg_get(env, PCI_CLASS_REVISION, 4) >> 8, 0xff0000);
	assert_int_equal(cfg_get(env, PCI_INTERRUPT_PIN, 1), 0);
	assert_true(env->common && env->notify && env->isr && env->device && env->window_cap);
	assert_int_equal(cfg_get(env, env->msix_cap + PCI_MSIX_FLAGS, 2), VECTORS - 1);
	assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_NUMQ, 2), FAKE_DEVICE_QUEUES);
	for (unsigned i = 0; i < FAKE_DEVICE_QUEUES; i++) {
		put(env, env->common + VIRTIO_PCI_COMMON_Q_SELECT, 2, i);
		assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_Q_NOFF, 2), i);
		assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	}
}

static void request_goes_round_by_doorbell_and_vector(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	bring_up(env);
	do_request(env);
	assert_true(fake_ring_take(&env->ring, &head, &len));
	assert_int_equal(len, 64);
	assert_true(raised(env, 2));
	assert_false(raised(env, 1));
	assert_int_equal(get(env, env->isr, 1), 0); /* MSI-X does not touch it */
	assert_int_equal(env->irq.lines[2].addr, 0xfee00000);
	assert_int_equal(env->irq.lines[2].data, 0x4002);
}

static void doorbell_takes_any_width(void **state)
{
	struct env *env = *state;

	bring_up(env);
	for (unsigned width = 1; width <= 8; width *= 2) {
		fake_ring_add(&env->ring, &one_in, 1);
		ring_doorbell(env, 2, width);
		assert_int_equal(fake_ring_used_count(&env->ring), 1);
		env->ring.used_seen++;
	}
}

static void registers_read_back_what_was_written(void **state)
{
	struct env *env = *state;
	uint64_t common = env->common;

	put(env, common + VIRTIO_PCI_COMMON_DFSELECT, 4, 7);
	put(env, common + VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	put(env, common + VIRTIO_PCI_COMMON_GF, 4, 0x101);
	put(env, common + VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	put(env, common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 4);
	put(env, common + VIRTIO_PCI_COMMON_Q_USEDHI, 4, 0x1234);
	put(env, common + VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 0x5678);
	put(env, common + VIRTIO_PCI_COMMON_MSIX, 2, 3);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_DFSELECT, 4), 7);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_DF, 4), 0);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_GFSELECT, 4), 1);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_GF, 4), 0x101);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_Q_SELECT, 2), 1);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 4);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_Q_USEDHI, 4), 0x1234);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_Q_AVAILHI, 4), 0x5678);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_MSIX, 2), 3);
	put(env, common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_Q_SELECT, 2), 0);
	assert_int_equal(get(env, common + VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
}

static void device_configuration_is_reached_by_any_width(void **state)
{
	struct env *env = *state;
	uint64_t generation = get(env, env->common + VIRTIO_PCI_COMMON_CFGGENERATION, 1);

	for (unsigned i = 0; i < FAKE_DEVICE_CONFIG_LEN; i++)
		env->fake.config[i] = (uint8_t)(0x11 * i);
	assert_int_equal(get(env, env->device, 4), 0x33221100);
	assert_int_equal(get(env, env->device + 4, 8), 0xbbaa998877665544);
	assert_int_equal(get(env, env->device + 11, 1), 0xbb);
	assert_int_equal(get(env, env->device + 12, 4), 0);
	put(env, env->device + 2, 2, 0xabcd);
	assert_int_equal(env->fake.config[2], 0xcd);
	virtio_config_changed(&env->fake.dev);
	assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_CFGGENERATION, 1),
			 (generation + 1) & 0xff);
}

static void queue_reset_stops_one_queue_which_can_start_again(void **state)
{
	struct env *env = *state;

	bring_up(env);
	put(env, env->common + VIRTIO_PCI_COMMON_Q_SELECT, 2, 2);
	put(env, env->common + VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
	assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
	assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	do_request(env);
	assert_int_equal(env->fake.requests, 0);
	enable_queue(env, 2, 2);
	do_request(env);
	assert_int_equal(env->fake.requests, 1);
}

/* ---- interrupts ---- */

static void masked_vector_keeps_its_interrupt_pending(void **state)
{
	struct env *env = *state;

	bring_up(env);
	set_vector(env, 2, true);
	do_request(env);
	assert_false(raised(env, 2));
	assert_int_equal(get(env, env->pba, 8), 1 << 2);
	set_vector(env, 2, false);
	assert_true(raised(env, 2));
	assert_int_equal(get(env, env->pba, 4), 0);
}

static void function_mask_masks_all_vectors(void **state)
{
	struct env *env = *state;

	bring_up(env);
	msix_control(env, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	do_request(env);
	assert_false(raised(env, 2));
	assert_int_equal(get(env, env->pba, 4), 1 << 2);
	msix_control(env, PCI_MSIX_FLAGS_ENABLE);
	assert_true(raised(env, 2));
	assert_false(raised(env, 0));
}

static void programming_a_masked_vector_asks_nothing_of_the_router(void **state)
{
	struct env *env = *state;

	msix_control(env, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	for (unsigned v = 0; v < VECTORS; v++)
		set_vector(env, v, true);
	msix_control(env, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned v = 0; v < VECTORS; v++)
		assert_int_equal(env->irq.lines[v].sets, 0);
	put(env, env->table + 16 + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	assert_int_equal(env->irq.lines[1].sets, 1);
	assert_int_equal(env->irq.lines[1].data, 0x4001);
}

static void refused_message_leaves_the_vector_masked(void **state)
{
	struct env *env = *state;

	env->irq.set_result = -EINVAL;
	bring_up(env);
	do_request(env);
	assert_false(raised(env, 2));
	assert_int_equal(get(env, env->pba, 4), 1 << 2);
	env->irq.set_result = 0;
	set_vector(env, 2, false);
	assert_true(raised(env, 2));
}

static void isr_tells_a_poller_without_msix_and_clears_when_read(void **state)
{
	struct env *env = *state;

	bring_up(env);
	msix_control(env, 0);
	do_request(env);
	virtio_config_changed(&env->fake.dev);
	assert_int_equal(get(env, env->isr, 1), 3);
	assert_int_equal(get(env, env->isr, 1), 0);
	assert_false(raised(env, 2));
}

static void config_change_comes_by_its_own_vector(void **state)
{
	struct env *env = *state;

	bring_up(env);
	set_vector(env, 0, false);
	put(env, env->common + VIRTIO_PCI_COMMON_MSIX, 2, 0);
	virtio_config_changed(&env->fake.dev);
	assert_true(raised(env, 0));
}

static void vectors_that_do_not_exist_are_refused(void **state)
{
	struct env *env = *state;
	static const uint16_t bad[] = { VECTORS, 0x100, 0xfffe, NO_VECTOR };

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		put(env, env->common + VIRTIO_PCI_COMMON_MSIX, 2, bad[i]);
		assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
		put(env, env->common + VIRTIO_PCI_COMMON_Q_MSIX, 2, bad[i]);
		assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	}
	put(env, env->table + 16 * VECTORS, 4, 0xfee00000);
	assert_int_equal(get(env, env->table + 16 * VECTORS, 4), 0);
	virtio_config_changed(&env->fake.dev);
}

/* ---- the window, moves, resets ---- */

static void window_reaches_the_bar_from_configuration_space(void **state)
{
	struct env *env = *state;
	unsigned at = env->window_cap;

	cfg_put(env, at + VIRTIO_PCI_CAP_BAR, 1, 0);
	cfg_put(env, at + VIRTIO_PCI_CAP_OFFSET, 4,
		(uint32_t)(env->common - env->bar) + VIRTIO_PCI_COMMON_STATUS);
	cfg_put(env, at + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	cfg_put(env, at + 16, 1, 3);
	assert_int_equal(status(env), 3);
	cfg_put(env, at + VIRTIO_PCI_CAP_LENGTH, 4, 1); /* aimed again: read again */
	assert_int_equal(cfg_get(env, at + 16, 4), 3);
	cfg_put(env, at + VIRTIO_PCI_CAP_OFFSET, 4,
		(uint32_t)(env->common - env->bar) + VIRTIO_PCI_COMMON_NUMQ);
	cfg_put(env, at + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	assert_int_equal(cfg_get(env, at + 16, 4), FAKE_DEVICE_QUEUES);
}

static void window_aimed_outside_does_nothing(void **state)
{
	struct env *env = *state;
	unsigned at = env->window_cap;
	static const struct {
		uint32_t bar, offset, length;
	} bad[] = { { 1, 20, 1 },     { 0xff, 20, 1 },	    { 0, 20, 0 },
		    { 0, 20, 3 },     { 0, 20, 8 },	    { 0, 18, 4 },
		    { 0, 0x4000, 4 }, { 0, UINT32_MAX, 1 }, { 0, 20, 1u << 31 } };

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		cfg_put(env, at + VIRTIO_PCI_CAP_BAR, 1, bad[i].bar);
		cfg_put(env, at + VIRTIO_PCI_CAP_OFFSET, 4, bad[i].offset);
		cfg_put(env, at + VIRTIO_PCI_CAP_LENGTH, 4, bad[i].length);
		cfg_put(env, at + 16, 4, 0x03030303);
		assert_int_equal(status(env), 0);
		cfg_put(env, at + VIRTIO_PCI_CAP_LENGTH, 4, 0);
	}
}

static void window_can_ring_a_doorbell(void **state)
{
	struct env *env = *state;
	unsigned at = env->window_cap;

	bring_up(env);
	fake_ring_add(&env->ring, &one_in, 1);
	cfg_put(env, at + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	cfg_put(env, at + VIRTIO_PCI_CAP_OFFSET, 4,
		(uint32_t)(env->notify - env->bar) + 2 * env->notify_multiplier);
	cfg_put(env, at + 16, 2, 2);
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 1);
	/* And by way of the ports. */
	fake_ring_add(&env->ring, &one_in, 1);
	cfg_put(env, at + VIRTIO_PCI_CAP_BAR, 1, 1);
	cfg_put(env, at + VIRTIO_PCI_CAP_OFFSET, 4, 2 * env->notify_multiplier);
	cfg_put(env, at + 16, 2, 2);
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 2);
}

static void doorbells_move_with_the_bar(void **state)
{
	struct env *env = *state;
	uint64_t old_notify = env->notify;

	bring_up(env);
	cfg_put(env, PCI_BASE_ADDRESS_0, 4, (uint32_t)WINDOW + 0x40000);
	discover(env);
	assert_int_equal(env->bar, WINDOW + 0x40000);
	assert_int_equal(env->bus.doorbell_count, FAKE_DEVICE_QUEUES);
	fake_ring_add(&env->ring, &one_in, 1);
	put(env, old_notify + 2 * env->notify_multiplier, 2, 2);
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 0);
	ring_doorbell(env, 2, 2);
	assert_int_equal(env->fake.requests, 1);
}

static void machine_reset_resets_device_and_vectors(void **state)
{
	struct env *env = *state;

	bring_up(env);
	set_vector(env, 1, false);
	pci_host_reset(env->host);
	assert_int_equal(cfg_get(env, env->msix_cap + PCI_MSIX_FLAGS, 2), VECTORS - 1);
	assert_int_equal(cfg_get(env, PCI_COMMAND, 2), 0);
	assert_int_equal(env->fake.dev.status, 0);
	discover(env);
	assert_int_equal(status(env), 0);
	assert_int_equal(get(env, env->table + 16 + PCI_MSIX_ENTRY_VECTOR_CTRL, 4), 1);
	assert_int_equal(get(env, env->table + 16, 4), 0);
	bring_up(env);
	do_request(env);
	assert_true(raised(env, 2));
}

/* ---- nonsense ---- */

static void wrong_widths_neither_read_nor_write_common_fields(void **state)
{
	struct env *env = *state;

	put(env, env->common + VIRTIO_PCI_COMMON_STATUS, 4, 3);
	put(env, env->common + VIRTIO_PCI_COMMON_STATUS, 2, 3);
	assert_int_equal(status(env), 0);
	assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_NUMQ, 4), 0);
	assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_NUMQ, 1), 0);
	assert_int_equal(get(env, env->common + VIRTIO_PCI_COMMON_DF + 1, 4), 0);
	assert_int_equal(get(env, env->table, 2), 0);
	put(env, env->table, 1, 0xff);
	assert_int_equal(get(env, env->table, 4), 0);
}

static void queue_selector_out_of_range_reads_0_and_drops_writes(void **state)
{
	struct env *env = *state;

	put(env, env->common + VIRTIO_PCI_COMMON_Q_SELECT, 2, FAKE_DEVICE_QUEUES);
	for (unsigned offset = VIRTIO_PCI_COMMON_Q_SIZE; offset < 60; offset += 2) {
		assert_int_equal(get(env, env->common + offset, 2), 0);
		put(env, env->common + offset, 2, 1);
		put(env, env->common + offset, 4, 1);
	}
	assert_int_equal(status(env), 0);
}

static void every_register_survives_every_width_and_value(void **state)
{
	struct env *env = *state;
	static const uint64_t values[] = { 0, 1, 3, 0x8000, UINT32_MAX, UINT64_MAX };
	uint64_t bar = env->bar;

	bring_up(env);
	for (uint64_t offset = 0; offset < 0x4000; offset++) {
		if ((offset & 0xfff) > 0x60 && (offset & 0x3ff) > 0x60)
			continue;
		for (unsigned width = 1; width <= 8; width *= 2) {
			for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
				(void)get(env, bar + offset, width);
				put(env, bar + offset, width, values[i]);
			}
			fake_loop_round(&env->loop);
		}
	}
	for (unsigned reg = 0; reg < 256; reg++)
		for (unsigned width = 1; width <= 4; width *= 2)
			for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
				cfg_put(env, reg, width, (uint32_t)values[i]);
	pci_host_reset(env->host);
	discover(env);
	bring_up(env);
	do_request(env);
	assert_true(raised(env, 2));
}

static void ports_come_first_and_ring_as_well(void **state)
{
	struct env *env = *state;
	struct bus ports;
	uint32_t value = 0;
	unsigned notify_caps = 0;
	uint64_t port = 0;

	virtio_pci_destroy(env->vp);
	assert_int_equal(bus_init(&ports, NULL, NULL), 0);
	pci_host_set_ports(env->host, &ports, 0xc000, 0x100);
	assert_int_equal(
		virtio_pci_create(&env->vp, &env->fake.dev, env->host, &env->bus, &env->irq.router),
		0);
	discover(env);
	for (unsigned at = cfg_get(env, PCI_CAPABILITY_LIST, 1); at; at = cfg_get(env, at + 1, 1)) {
		unsigned bar = cfg_get(env, at + VIRTIO_PCI_CAP_BAR, 1);

		if (cfg_get(env, at, 1) != PCI_CAP_ID_VNDR ||
		    cfg_get(env, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) != VIRTIO_PCI_CAP_NOTIFY_CFG)
			continue;
		assert_int_equal(bar, notify_caps++ ? 0 : 1);
		assert_int_equal(cfg_get(env, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4), 4);
		assert_int_equal(cfg_get(env, at + VIRTIO_PCI_CAP_LENGTH, 4),
				 4 * FAKE_DEVICE_QUEUES);
	}
	assert_int_equal(notify_caps, 2);
	port = cfg_get(env, PCI_BASE_ADDRESS_1, 4) & ~3u;
	cfg_put(env, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	bring_up(env);
	for (unsigned width = 1; width <= 4; width *= 2) {
		fake_ring_add(&env->ring, &one_in, 1);
		bus_write(&ports, port + 4ull * 2, width, &value);
		fake_loop_round(&env->loop);
		assert_int_equal(fake_ring_used_count(&env->ring), 1);
		env->ring.used_seen++;
	}
	/* Memory rings still, what is no doorbell does nothing, and nothing can be read. */
	do_request(env);
	assert_int_equal(fake_ring_used_count(&env->ring), 1);
	bus_write(&ports, port + 1, 1, &value);
	bus_write(&ports, port + 4ull * FAKE_DEVICE_QUEUES, 4, &value);
	bus_read(&ports, port + 8, 4, &value);
	assert_int_equal(value, 0);
	virtio_pci_destroy(env->vp);
	assert_int_equal(ports.doorbell_count, 0);
	assert_int_equal(ports.range_count, 0);
	bus_fini(&ports);
	env->vp = NULL;
}

static void create_without_vectors_or_room_fails_cleanly(void **state)
{
	struct env *env = *state;
	struct fake_device other;
	struct virtio_pci *vp = NULL;

	assert_int_equal(fake_device_init(&other, &env->mem, &env->loop), 0);
	env->irq.fail_after = fake_irq_in_use(&env->irq) + 2;
	assert_int_equal(virtio_pci_create(&vp, &other.dev, env->host, &env->bus, &env->irq.router),
			 -ENOSPC);
	assert_null(vp);
	assert_int_equal(fake_irq_in_use(&env->irq), VECTORS);
	virtio_device_fini(&other.dev);
	virtio_pci_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(identifies_itself_as_a_modern_device),
		T(request_goes_round_by_doorbell_and_vector),
		T(doorbell_takes_any_width),
		T(registers_read_back_what_was_written),
		T(device_configuration_is_reached_by_any_width),
		T(queue_reset_stops_one_queue_which_can_start_again),
		T(masked_vector_keeps_its_interrupt_pending),
		T(function_mask_masks_all_vectors),
		T(programming_a_masked_vector_asks_nothing_of_the_router),
		T(refused_message_leaves_the_vector_masked),
		T(isr_tells_a_poller_without_msix_and_clears_when_read),
		T(config_change_comes_by_its_own_vector),
		T(vectors_that_do_not_exist_are_refused),
		T(window_reaches_the_bar_from_configuration_space),
		T(window_aimed_outside_does_nothing),
		T(window_can_ring_a_doorbell),
		T(doorbells_move_with_the_bar),
		T(machine_reset_resets_device_and_vectors),
		T(wrong_widths_neither_read_nor_write_common_fields),
		T(queue_selector_out_of_range_reads_0_and_drops_writes),
		T(every_register_survives_every_width_and_value),
		T(ports_come_first_and_ring_as_well),
		T(create_without_vectors_or_room_fails_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
