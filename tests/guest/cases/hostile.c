/*
 * A driver that lies: rings, descriptors, queue set-up, registers, and two CPUs on one ring. After
 * each attack the device must be resettable and then work for an honest driver, and a second disk,
 * which runs all the time, must not have noticed. Words of the command line: notifications=N;
 * console attacks the console, where results can only be told at the end; console streams a console
 * with the relay's ports, as a machine has that runs a command.
 *
 * The attacks on rings are the same for each queue of each device (targets); those that know a
 * device's requests, or PCI, follow; and memory goes to the balloon while requests and rings lie in
 * it. One name, one attack.
 */
#include "tests/guest/lib/hostile.h"

#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/pci.h"

static void for_each_attack(struct target *target)
{
	for (unsigned i = 0; i < hostile_ring_attack_count; i++)
		hostile_attack(target, &hostile_ring_attacks[i]);
	for (unsigned i = 0; i < hostile_setup_attack_count; i++)
		hostile_attack(target, &hostile_setup_attacks[i]);
	hostile_random(target);
	hostile_notifications(target);
}

static void for_each_target(uint16_t device_id)
{
	for (unsigned i = 0; i < hostile_target_count; i++)
		if (hostile_targets[i].device_id == device_id &&
		    hostile_is_here(&hostile_targets[i]))
			for_each_attack(&hostile_targets[i]);
}

int guest_main(void)
{
	static const uint16_t kinds[] = { VIRTIO_ID_BLOCK, VIRTIO_ID_NET, VIRTIO_ID_RNG,
					  VIRTIO_ID_BALLOON };

	hostile_begin();
	if (guest_cmdline_has("console")) {
		for_each_target(VIRTIO_ID_CONSOLE);
		/* Registers may be any queue's, and so lie on the relay's control port. */
		if (!guest_cmdline_has("streams"))
			hostile_registers(VIRTIO_ID_CONSOLE);
		hostile_end();
		return check_failures;
	}
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for_each_target(kinds[i]);
		hostile_requests(kinds[i]);
		hostile_registers(kinds[i]);
		hostile_pci(kinds[i]);
		hostile_races(kinds[i]);
	}
	hostile_pull();
	hostile_ports();
	hostile_end();
	return check_failures;
}
