/*
 * Threads for loops. Called on the main thread.
 */
#include "vmm/io_threads.h"

#include <stdio.h>
#include <string.h>

#include "vmm/log.h"

#define IO_STACK_LEN (256ul * 1024)

int io_threads_create(struct io_threads *io, const struct loop_options *options,
		      unsigned thread_count)
{
	int ret;

	memset(io, 0, sizeof(*io));
	if (thread_count > IO_THREADS_MAX)
		return log_errno(EINVAL, "more than %d I/O threads", IO_THREADS_MAX);
	ret = loop_create(&io->main_loop, options);
	io->extra = thread_count > 0;
	while (ret == 0 && io->loop_count < thread_count) {
		ret = loop_create(&io->loops[io->loop_count], options);
		if (ret == 0)
			io->loop_count++;
	}
	if (ret < 0) {
		io_threads_destroy(io);
		return ret;
	}
	if (!io->extra)
		io->loops[io->loop_count++] = io->main_loop;
	return 0;
}

static void *io_thread(void *opaque)
{
	/* Failure was logged by the loop; requests on it then stay unanswered, which the guest's
	 * timeouts show. */
	(void)!loop_run(opaque);
	return NULL;
}

int io_threads_start(struct io_threads *io)
{
	pthread_attr_t attr;
	char name[16];
	int err = 0;

	if (!io->extra)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, IO_STACK_LEN);
	while (io->thread_count < io->loop_count && !err) {
		pthread_t *thread = &io->threads[io->thread_count];

		err = pthread_create(thread, &attr, io_thread, io->loops[io->thread_count]);
		if (err)
			break;
		snprintf(name, sizeof(name), "io%u", io->thread_count++);
		pthread_setname_np(*thread, name);
	}
	pthread_attr_destroy(&attr);
	if (err) {
		io_threads_stop(io);
		return log_errno(err, "start an I/O thread");
	}
	return 0;
}

void io_threads_stop(struct io_threads *io)
{
	for (unsigned i = 0; i < io->thread_count; i++)
		loop_stop(io->loops[i]);
	for (unsigned i = 0; i < io->thread_count; i++)
		pthread_join(io->threads[i], NULL);
	io->thread_count = 0;
}

void io_threads_destroy(struct io_threads *io)
{
	io_threads_stop(io);
	if (io->extra)
		for (unsigned i = 0; i < io->loop_count; i++)
			loop_destroy(io->loops[i]);
	loop_destroy(io->main_loop);
	memset(io, 0, sizeof(*io));
}
