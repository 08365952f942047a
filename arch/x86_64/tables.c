/*
 * What a guest reads about its machine: the memory map in the boot information, ACPI and SMBIOS.
 * Called once on the main thread, after the kernel was loaded.
 */
#include <assert.h>

#include "arch/arch.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/smbios.h"
#include "vmm/log.h"

#define KVM_PAGES_LEN (LAYOUT_TSS_GPA + 0x3000 - LAYOUT_IDENTITY_MAP_GPA)

/* Rows: two of low memory with the tables between them, ECAM, KVM's own pages, high memory. */
#define MEMORY_MAP_MAX 8

struct memory_map {
	struct boot_ram_entry rows[MEMORY_MAP_MAX];
	unsigned count;
};

static void memory_map_add(struct memory_map *map, gpa_t gpa, uint64_t len, enum boot_ram_type type)
{
	map->rows[map->count++] = (struct boot_ram_entry){ .gpa = gpa, .len = len, .type = type };
}

static int tables_write_memory_map(struct guest_mem *mem, const struct arch_board *board,
				   const struct arch_boot *boot)
{
	const uint64_t low_end = mem->regions[0].len;
	struct memory_map map = { 0 };

	memory_map_add(&map, 0, LAYOUT_LOW_RAM_END, BOOT_RAM_USABLE);
	memory_map_add(&map, LAYOUT_ACPI_GPA, LAYOUT_ACPI_LEN, BOOT_RAM_ACPI);
	memory_map_add(&map, LAYOUT_SMBIOS_GPA, LAYOUT_KERNEL_MIN_GPA - LAYOUT_SMBIOS_GPA,
		       BOOT_RAM_RESERVED);
	memory_map_add(&map, LAYOUT_KERNEL_MIN_GPA, low_end - LAYOUT_KERNEL_MIN_GPA,
		       BOOT_RAM_USABLE);
	/* Linux uses a configuration window early only when the memory map reserves it. */
	for (unsigned i = 0; i < board->row_count; i++) {
		if (board->rows[i].kind == BOARD_PCI_ECAM) {
			memory_map_add(&map, board->rows[i].base, board->rows[i].len,
				       BOOT_RAM_RESERVED);
			break;
		}
	}
	memory_map_add(&map, LAYOUT_IDENTITY_MAP_GPA, KVM_PAGES_LEN, BOOT_RAM_RESERVED);
	for (unsigned i = 1; i < mem->region_count; i++)
		memory_map_add(&map, mem->regions[i].gpa, mem->regions[i].len, BOOT_RAM_USABLE);
	return boot_info_write_memory_map(mem, boot, map.rows, map.count, LAYOUT_ACPI_GPA);
}

/*
 * Linux on hardware-reduced ACPI resets through UEFI, and where there is none by a jump to the
 * reset vector in real mode. What lies there does as the reset register says.
 */
static int tables_write_reset_vector(struct guest_mem *mem, const struct arch_board *board)
{
	for (unsigned i = 0; i < board->row_count; i++) {
		uint64_t port = board->rows[i].base + ACPI_POWER_RESET;
		/* mov al, value; mov dx, port; out dx, al; cli; 1: hlt; jmp 1b */
		const uint8_t code[] = { 0xb0,
					 ACPI_POWER_RESET_VALUE,
					 0xba,
					 (uint8_t)port,
					 (uint8_t)(port >> 8),
					 0xee,
					 0xfa,
					 0xf4,
					 0xeb,
					 0xfd };

		static_assert(sizeof(code) <= LAYOUT_RESET_VECTOR_LEN,
			      "the last bytes below 1 MiB");
		if (board->rows[i].kind == BOARD_POWER)
			return guest_mem_write(mem, LAYOUT_RESET_VECTOR_GPA, code, sizeof(code));
	}
	return 0;
}

static int tables_write_acpi(struct guest_mem *mem, const struct arch_board *board)
{
	uint8_t *buf = guest_mem_ptr(mem, LAYOUT_ACPI_GPA, LAYOUT_ACPI_LEN);
	size_t len;
	int ret = -EFAULT;

	if (buf)
		ret = acpi_build(buf, LAYOUT_ACPI_LEN, LAYOUT_ACPI_GPA, board, &len);
	return ret ? log_errno(ret, "ACPI tables at 0x%llx", LAYOUT_ACPI_GPA) : 0;
}

static int tables_write_smbios(struct guest_mem *mem, const struct arch_board *board)
{
	uint8_t *buf = guest_mem_ptr(mem, LAYOUT_SMBIOS_GPA, LAYOUT_SMBIOS_LEN);
	size_t len;
	int ret = -EFAULT;

	if (buf)
		ret = smbios_build(buf, LAYOUT_SMBIOS_LEN, LAYOUT_SMBIOS_GPA, board, &len);
	if (ret == -ENOSPC) {
		log_err("OEM strings: more than %d, or longer than %llu bytes together",
			SMBIOS_OEM_STRINGS_MAX, LAYOUT_SMBIOS_LEN - 0x100);
		return -E2BIG;
	}
	return ret ? log_errno(ret, "SMBIOS tables at 0x%llx", LAYOUT_SMBIOS_GPA) : 0;
}

int arch_write_tables(struct guest_mem *mem, const struct arch_board *board, struct arch_boot *boot)
{
	int ret = tables_write_acpi(mem, board);

	if (!ret)
		ret = tables_write_smbios(mem, board);
	if (!ret)
		ret = tables_write_reset_vector(mem, board);
	if (!ret)
		ret = tables_write_memory_map(mem, board, boot);
	if (!ret)
		boot->tables_gpa = LAYOUT_ACPI_GPA;
	return ret;
}
