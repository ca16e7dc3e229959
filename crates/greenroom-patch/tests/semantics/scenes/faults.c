/* Calls whose argument, or a part of it, is at an address of nothing. */

#include "scene.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* In the first page, which is never mapped; and not known to the compiler. */
static volatile uintptr_t at = 16;
#define NOWHERE ((void *)at)

#define REFUSED(answer) ((answer) == -1 && errno == EFAULT)

static int read_parts(struct scene *scene) {
    return REFUSED(readv(scene->a, NOWHERE, 1));
}

static int write_parts(struct scene *scene) {
    return REFUSED(writev(scene->a, NOWHERE, 1));
}

static int receive_by_header(struct scene *scene) {
    return REFUSED(recvmsg(scene->a, NOWHERE, MSG_WAITALL));
}

static int receive_parts(struct scene *scene) {
    struct msghdr header = {.msg_iov = NOWHERE, .msg_iovlen = 1};
    return REFUSED(recvmsg(scene->a, &header, MSG_WAITALL));
}

static int sleep_for(struct scene *scene) {
    (void)scene;
    return REFUSED(nanosleep(NOWHERE, NULL));
}

static int sleep_by_clock(struct scene *scene) {
    (void)scene;
    return clock_nanosleep(CLOCK_MONOTONIC, 0, NOWHERE, NULL) == EFAULT;
}

static int receive_for(struct scene *scene) {
    struct mmsghdr message = {{0}};
    return REFUSED(recvmmsg(scene->a, &message, 1, 0, NOWHERE));
}

static int send_from(struct scene *scene) {
    FILE *file = tmpfile();
    return REFUSED(sendfile(scene->a, fileno(file), NOWHERE, 1));
}

const struct row FAULTS[] = {
    {"readv", stream, read_parts, NULL},
    {"writev", stream, write_parts, NULL},
    {"recvmsg of a header", stream, receive_by_header, NULL},
    {"recvmsg of parts", stream, receive_parts, NULL},
    {"recvmmsg for a time", stream, receive_for, NULL},
    {"sendfile from a place", stream, send_from, NULL},
    {"nanosleep", nothing, sleep_for, NULL},
    {"clock_nanosleep", nothing, sleep_by_clock, NULL},
    {NULL, NULL, NULL, NULL},
};
