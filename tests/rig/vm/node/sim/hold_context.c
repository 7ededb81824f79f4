/*
 * hold_context DEVICE - takes a context and a protection domain of an RDMA
 * device (DEVICE is /dev/infiniband/uverbsN), says "held", and keeps them until
 * it is killed, as a program that uses the device would.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <rdma/ib_user_verbs.h>

static void command(int fd, void *request, size_t size, __u32 number, size_t response_size)
{
	struct ib_uverbs_cmd_hdr *header = request;

	header->command = number;
	header->in_words = size / 4;
	header->out_words = response_size / 4;
	if (write(fd, request, size) != (ssize_t)size)
		err(1, "uverbs command %u", number);
}

int main(int argc, char **argv)
{
	struct ib_uverbs_get_context_resp context;
	struct ib_uverbs_alloc_pd_resp pd;
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_get_context body;
	} get_context = { .body.response = (uintptr_t)&context };
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_alloc_pd body;
	} alloc_pd = { .body.response = (uintptr_t)&pd };
	int fd;

	if (argc != 2)
		errx(2, "usage: hold_context /dev/infiniband/uverbsN");
	fd = open(argv[1], O_RDWR);
	if (fd < 0)
		err(1, "%s", argv[1]);
	command(fd, &get_context, sizeof(get_context), IB_USER_VERBS_CMD_GET_CONTEXT, sizeof(context));
	command(fd, &alloc_pd, sizeof(alloc_pd), IB_USER_VERBS_CMD_ALLOC_PD, sizeof(pd));
	puts("held");
	fflush(stdout);
	pause();
	return 0;
}
