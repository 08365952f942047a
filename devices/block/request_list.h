/*
 * Requests of a block back end in the order in which they came, each in one list at most.
 */
#ifndef DEVICES_BLOCK_REQUEST_LIST_H
#define DEVICES_BLOCK_REQUEST_LIST_H

#include "devices/block/block.h"

struct request_list {
	struct block_request *head;
	struct block_request **tail;
};

static inline void request_list_init(struct request_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static inline void request_list_add(struct request_list *list, struct block_request *req)
{
	req->next = NULL;
	*list->tail = req;
	list->tail = &req->next;
}

static inline struct block_request *request_list_take(struct request_list *list)
{
	struct block_request *req = list->head;

	if (req) {
		list->head = req->next;
		if (!list->head)
			list->tail = &list->head;
	}
	return req;
}

static inline void request_list_remove(struct request_list *list, struct block_request *req)
{
	struct block_request **at = &list->head;

	while (*at != req)
		at = &(*at)->next;
	*at = req->next;
	if (!*at)
		list->tail = at;
}

#endif
