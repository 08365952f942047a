/*
 * The clock of a PC: time of day from the host, in UTC. No alarm and no interrupts.
 */
#ifndef DEVICES_RTC_H
#define DEVICES_RTC_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "vmm/bus.h"

#define RTC_PORT_LEN 2
#define RTC_RAM_LEN  128

/* All that a snapshot must hold. */
struct rtc_state {
	uint8_t index;
	uint8_t ram[RTC_RAM_LEN]; /* registers of the time itself are not kept here */
};

struct rtc {
	struct bus_device bus; /* on the port I/O bus, RTC_PORT_LEN wide */
	pthread_mutex_t lock;
	void (*now)(struct timespec *now); /* the time since 1970; tests put a fake here */
	struct rtc_state state;
};

void rtc_init(struct rtc *rtc);
void rtc_fini(struct rtc *rtc);
void rtc_reset(struct rtc *rtc);

#endif
