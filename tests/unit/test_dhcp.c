/* DHCP packets are as the RFCs say, and only answers to our own question are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "vmm/guest/dhcp.h"

static const uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 };
#define ID 0x12345678u

/* A server's answer, without options; its length. */
static size_t answer(uint8_t *packet, const uint8_t *options, size_t options_len)
{
	static const uint8_t magic[4] = { 99, 130, 83, 99 };
	uint32_t id = ID;

	memset(packet, 0, DHCP_PACKET_MAX);
	packet[0] = 0x45;
	packet[9] = 17;
	packet[20 + 1] = 67;
	packet[20 + 3] = 68;
	packet[28] = 2;
	memcpy(packet + 28 + 4, &id, 4);
	memcpy(packet + 28 + 16, "\xc0\x00\x02\x02", 4);
	memcpy(packet + 28 + 28, mac, 6);
	memcpy(packet + 28 + 236, magic, 4);
	memcpy(packet + 28 + 240, options, options_len);
	return 28 + 240 + options_len;
}

static const uint8_t options[] = {
	53, 1, 2, 0, 1, 4, 255, 255, 255, 0, 3, 4, 192, 0,  2, 1,    54,   4,	192,
	0,  2, 1, 6, 8, 9, 9,	9,   9,	  8, 8, 8, 8,	26, 2, 0x05, 0xdc, 255,
};

static void an_offer_is_read(void **state)
{
	uint8_t packet[DHCP_PACKET_MAX];
	size_t len = answer(packet, options, sizeof(options));
	struct dhcp_lease lease;

	(void)state;
	assert_int_equal(dhcp_read(packet, len, ID, mac, &lease), DHCP_OFFER);
	assert_int_equal(lease.address, inet_addr("192.0.2.2"));
	assert_int_equal(lease.mask, inet_addr("255.255.255.0"));
	assert_int_equal(lease.gateway, inet_addr("192.0.2.1"));
	assert_int_equal(lease.server, inet_addr("192.0.2.1"));
	assert_int_equal(lease.dns_count, 2);
	assert_int_equal(lease.dns[1], inet_addr("8.8.8.8"));
	assert_int_equal(lease.mtu, 1500);
}

static void what_is_not_for_us_is_passed_over(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {
		{ 0, 0x44 }, { 0, 0x65 }, { 0, 0x4f }, { 6, 0x20 }, { 9, 6 },	{ 21, 68 },
		{ 23, 67 },  { 28, 1 },	  { 32, 0 },   { 56, 3 },   { 264, 0 }, { 270, 1 }
	};
	uint8_t packet[DHCP_PACKET_MAX];
	struct dhcp_lease lease;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		size_t len = answer(packet, options, sizeof(options));

		packet[changes[i].at] = changes[i].value;
		assert_int_equal(dhcp_read(packet, len, ID, mac, &lease), 0);
	}
}

static void cut_packets_are_refused_or_read_in_part(void **state)
{
	uint8_t packet[DHCP_PACKET_MAX];
	size_t len = answer(packet, options, sizeof(options));
	struct dhcp_lease lease;

	(void)state;
	for (size_t part = 0; part < 28 + 240 + 3; part++)
		assert_int_equal(dhcp_read(packet, part, ID, mac, &lease), 0);
	for (size_t part = len - 5; part < len - 1; part++)
		assert_int_equal(dhcp_read(packet, part, ID, mac, &lease),
				 part == len - 5 ? DHCP_OFFER : 0);
}

static void more_servers_than_fit_are_left_out(void **state)
{
	uint8_t many[] = { 53, 1, 5, 6, 20, 1, 1, 1, 1, 2, 2, 2, 2,
			   3,  3, 3, 3, 4,  4, 4, 4, 5, 5, 5, 5, 255 };
	uint8_t packet[DHCP_PACKET_MAX];
	size_t len = answer(packet, many, sizeof(many));
	struct dhcp_lease lease;

	(void)state;
	assert_int_equal(dhcp_read(packet, len, ID, mac, &lease), DHCP_ACK);
	assert_int_equal(lease.dns_count, DHCP_DNS_MAX);
}

static void a_request_names_the_offer(void **state)
{
	struct dhcp_lease offer = { .address = inet_addr("192.0.2.2"),
				    .server = inet_addr("192.0.2.1") };
	static const uint8_t expected[] = { 53, 1, 3,	50, 4, 192, 0,	2, 2,
					    54, 4, 192, 0,  2, 1,   55, 4 };
	uint8_t packet[DHCP_PACKET_MAX];
	uint32_t sum = 0;

	(void)state;
	assert_int_equal(dhcp_write(packet, ID, mac, &offer), 328);
	assert_memory_equal(packet + 268, expected, sizeof(expected));
	assert_memory_equal(packet + 28 + 28, mac, 6);
	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)(packet[i] << 8 | packet[i + 1]);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	assert_int_equal(dhcp_write(packet, ID, mac, NULL), 328);
	assert_int_equal(packet[270], DHCP_DISCOVER);
	/* What we say ourselves is no answer. */
	assert_int_equal(dhcp_read(packet, 328, ID, mac, &offer), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offer_is_read),
		cmocka_unit_test(what_is_not_for_us_is_passed_over),
		cmocka_unit_test(cut_packets_are_refused_or_read_in_part),
		cmocka_unit_test(more_servers_than_fit_are_left_out),
		cmocka_unit_test(a_request_names_the_offer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
