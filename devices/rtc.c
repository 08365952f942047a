/*
 * An MC146818 clock with the PC's century register (Motorola MC146818 datasheet, "address map",
 * "registers"; ACPI names the century's place). Port 0 selects a register, port 1 is its value.
 *
 * The time is the host's at each read; what a guest writes to it is dropped, so that a guest cannot
 * move its clock away from the host's. The alarm's registers and the battery-backed bytes are plain
 * storage. Reached from vCPU threads through the bus.
 */
#include "devices/rtc.h"

#include <string.h>

#define RTC_SECONDS	 0x00
#define RTC_MINUTES	 0x02
#define RTC_HOURS	 0x04
#define RTC_DAY_OF_WEEK	 0x06
#define RTC_DAY_OF_MONTH 0x07
#define RTC_MONTH	 0x08
#define RTC_YEAR	 0x09
#define RTC_A		 0x0a
#define RTC_B		 0x0b
#define RTC_C		 0x0c
#define RTC_D		 0x0d
#define RTC_CENTURY	 0x32

#define A_UIP		 0x80
#define A_DEFAULT	 0x26 /* 32768 Hz, 1024 Hz square wave */
#define B_24_HOURS	 0x02
#define B_BINARY	 0x04
#define B_INTERRUPTS	 0x70 /* PIE, AIE, UIE */
#define B_SET		 0x80
#define D_VALID		 0x80

#define HOURS_PM	 0x80
#define INDEX_MASK	 0x7f /* bit 7 masks a PC's NMI */

/* A guest that sees UIP clear has this long until the time changes (datasheet: 244 us). */
#define RTC_UPDATE_NSEC 244000
#define NSEC_PER_SEC	1000000000L

static void rtc_host_now(struct timespec *now)
{
	clock_gettime(CLOCK_REALTIME, now);
}

static uint8_t rtc_encode(const struct rtc *rtc, int value)
{
	if (rtc->state.ram[RTC_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static uint8_t rtc_hours(const struct rtc *rtc, int hour)
{
	if (rtc->state.ram[RTC_B] & B_24_HOURS)
		return rtc_encode(rtc, hour);
	return rtc_encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOURS_PM : 0);
}

static uint8_t rtc_read_time(const struct rtc *rtc, uint8_t index)
{
	struct timespec now;
	struct tm tm;

	rtc->now(&now);
	gmtime_r(&now.tv_sec, &tm);
	switch (index) {
	case RTC_SECONDS:
		return rtc_encode(rtc, tm.tm_sec);
	case RTC_MINUTES:
		return rtc_encode(rtc, tm.tm_min);
	case RTC_HOURS:
		return rtc_hours(rtc, tm.tm_hour);
	case RTC_DAY_OF_WEEK: /* Sunday is 1 */
		return rtc_encode(rtc, tm.tm_wday + 1);
	case RTC_DAY_OF_MONTH:
		return rtc_encode(rtc, tm.tm_mday);
	case RTC_MONTH:
		return rtc_encode(rtc, tm.tm_mon + 1);
	case RTC_YEAR:
		return rtc_encode(rtc, tm.tm_year % 100);
	case RTC_CENTURY:
	default:
		return rtc_encode(rtc, (tm.tm_year + 1900) / 100);
	}
}

static uint8_t rtc_read_a(const struct rtc *rtc)
{
	struct timespec now;

	rtc->now(&now);
	/* While SET is on, nothing is updated. */
	if (!(rtc->state.ram[RTC_B] & B_SET) && now.tv_nsec >= NSEC_PER_SEC - RTC_UPDATE_NSEC)
		return rtc->state.ram[RTC_A] | A_UIP;
	return rtc->state.ram[RTC_A];
}

static uint64_t rtc_read(struct bus_device *dev, uint64_t offset, unsigned width)
{
	const struct rtc *rtc = container_of(dev, struct rtc, bus);
	uint8_t index = rtc->state.index;

	(void)width;
	if (!offset)
		return 0xff; /* the index is write-only */
	switch (index) {
	case RTC_SECONDS:
	case RTC_MINUTES:
	case RTC_HOURS:
	case RTC_DAY_OF_WEEK:
	case RTC_DAY_OF_MONTH:
	case RTC_MONTH:
	case RTC_YEAR:
	case RTC_CENTURY:
		return rtc_read_time(rtc, index);
	case RTC_A:
		return rtc_read_a(rtc);
	case RTC_C: /* no interrupt is ever pending */
		return 0;
	case RTC_D:
		return D_VALID;
	default:
		return rtc->state.ram[index];
	}
}

static void rtc_write(struct bus_device *dev, uint64_t offset, unsigned width, uint64_t value)
{
	struct rtc *rtc = container_of(dev, struct rtc, bus);

	(void)width;
	if (!offset) {
		rtc->state.index = value & INDEX_MASK;
		return;
	}
	switch (rtc->state.index) {
	case RTC_A:
		rtc->state.ram[RTC_A] = (uint8_t)value & (uint8_t)~A_UIP;
		break;
	case RTC_B: /* SET also switches off the update-ended interrupt; there is none anyway */
		rtc->state.ram[RTC_B] = (uint8_t)value;
		break;
	default: /* the time registers' bytes are never read */
		rtc->state.ram[rtc->state.index] = (uint8_t)value;
		break;
	}
}

static const struct bus_device_ops rtc_bus_ops = {
	.name = "rtc",
	.widths = BUS_WIDTH_1,
	.read = rtc_read,
	.write = rtc_write,
};

void rtc_init(struct rtc *rtc)
{
	memset(rtc, 0, sizeof(*rtc));
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->bus = (struct bus_device){ .ops = &rtc_bus_ops, .lock = &rtc->lock };
	rtc->now = rtc_host_now;
	rtc->state.ram[RTC_A] = A_DEFAULT;
	rtc->state.ram[RTC_B] = B_24_HOURS;
}

void rtc_fini(struct rtc *rtc)
{
	pthread_mutex_destroy(&rtc->lock);
}

/* The battery keeps the bytes; a reset only disables interrupts. */
void rtc_reset(struct rtc *rtc)
{
	pthread_mutex_lock(&rtc->lock);
	rtc->state.ram[RTC_B] &= (uint8_t)~B_INTERRUPTS;
	pthread_mutex_unlock(&rtc->lock);
}
