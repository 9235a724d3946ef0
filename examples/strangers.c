/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects for processes that are no relatives: by the name of a segment, or over a UNIX socket.
 *
 *	strangers serve PATH	makes a counter and a named segment, and gives them to who connects
 *	strangers visit PATH	gets the counter over the socket, a queue by its name, uses both
 *
 * The server ends when three visitors have been there.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <brood.h>

#define VISITORS 3
#define MESSAGE_MAX 64

static int say(const char *what)
{
	perror(what);
	return 1;
}

static int address(struct sockaddr_un *to, const char *path)
{
	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(to->sun_path))
		return -1;
	strcpy(to->sun_path, path);
	return 0;
}

static int serve_at(int listener, const char *segment_name)
{
	struct brood_segment *segment = brood_segment_create(segment_name, NULL);
	struct brood_queue_opts opts = {
		.slots = 8, .max_bytes = MESSAGE_MAX, .segment = segment, .name = "guestbook",
	};
	struct brood_queue *book = segment ? brood_queue_create(&opts) : NULL;
	struct brood_counter *visitors = brood_counter_create(NULL);	/* in our family arena */
	char line[MESSAGE_MAX];
	int64_t count = 0;
	ssize_t length;

	if (!book || !visitors)
		return say("strangers");
	for (int i = 0; i < VISITORS; i++) {
		int visitor = accept(listener, NULL, NULL);

		if (visitor < 0 || brood_handle_send(visitor, visitors))
			return say("brood_handle_send");
		close(visitor);
		length = brood_queue_get(book, line, sizeof(line), brood_ms(10000));
		if (length < 0)
			return 1;
		printf("%.*s\n", (int)length, line);
	}
	brood_counter_get(visitors, &count);
	printf("%lld visitors\n", (long long)count);
	return 0;
}

static int serve(const char *path)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), result;
	char name[64];
	struct sockaddr_un at;

	snprintf(name, sizeof(name), "strangers-%ld", (long)getuid());
	if (listener < 0 || address(&at, path) ||
	    bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, VISITORS))
		return say(path);
	result = serve_at(listener, name);
	brood_segment_unlink(name);
	unlink(path);
	return result;
}

static int visit(const char *path)
{
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), length;
	char name[64], line[MESSAGE_MAX];
	struct brood_counter *visitors;
	struct brood_segment *segment;
	struct brood_queue *book;
	struct sockaddr_un at;
	int64_t count = 0;

	if (server < 0 || address(&at, path) || connect(server, (struct sockaddr *)&at, sizeof(at)))
		return say(path);
	visitors = brood_handle_recv(server);
	snprintf(name, sizeof(name), "strangers-%ld", (long)getuid());
	segment = brood_segment_open(name);
	book = segment ? brood_queue_open(segment, "guestbook") : NULL;
	if (!visitors || !book)
		return say("strangers");
	brood_counter_add(visitors, 1, &count);
	length = snprintf(line, sizeof(line), "visitor %lld was here", (long long)count);
	return brood_queue_put(book, line, (size_t)length, brood_ms(10000)) != 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2]);
	if (argc == 3 && strcmp(argv[1], "visit") == 0)
		return visit(argv[2]);
	fprintf(stderr, "usage: strangers serve|visit PATH\n");
	return 2;
}
