/* The tables of calls as the tests see them, and what the calls have in common. */

#include "scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What `errno` is before each call, and what others who run meanwhile make of it. */
enum { BEFORE = 4077, OF_OTHERS = 4078 };

static const struct row *row(int table, int at) {
    const struct row *const tables[] = {WAITS, PASSES, FAULTS};
    return tables[table] + at;
}

const char *scene_name(int table, int at) {
    return row(table, at)->name;
}

struct scene *scene_set_up(int table, int at) {
    struct scene *scene = malloc(sizeof *scene);
    MUST(scene);
    *scene = (struct scene){-1, -1, -1, -1, -1, {-1, -1, -1}};
    row(table, at)->set_up(scene);
    return scene;
}

/* 0 if all was as it should be, 1 if the answer was not, 2 if `errno` was touched. */
int scene_call(int table, int at, struct scene *scene) {
    errno = BEFORE;
    int answered = row(table, at)->call(scene);
    int after = errno;
    return !answered ? 1 : after != BEFORE ? 2 : 0;
}

void scene_end(int table, int at, struct scene *scene) {
    if (row(table, at)->end)
        row(table, at)->end(scene);
}

void scene_tear_down(struct scene *scene) {
    for (int fd = 0; fd < 3; fd++)
        if (scene->standard[fd] >= 0) {
            dup2(scene->standard[fd], fd);
            close(scene->standard[fd]);
        }
    int files[] = {scene->a, scene->b, scene->c, scene->d};
    for (int at = 0; at < 4; at++)
        if (files[at] >= 0)
            close(files[at]);
    free(scene);
}

/* What a sibling does that runs meanwhile. */
void scene_scribble(void) {
    errno = OF_OTHERS;
}

void must(int went_well, const char *what) {
    if (!went_well) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        abort();
    }
}

void nothing(struct scene *scene) {
    (void)scene;
}

void stream(struct scene *scene) {
    int ends[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    scene->a = ends[0];
    scene->b = ends[1];
}

void empty_pipe(struct scene *scene) {
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC) == 0);
    scene->a = ends[0];
    scene->b = ends[1];
}

static const char BYTES[4096];

void full_stream(struct scene *scene) {
    stream(scene);
    int room = 4096;
    MUST(setsockopt(scene->a, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    while (send(scene->a, BYTES, sizeof BYTES, MSG_DONTWAIT) > 0)
        ;
    MUST(errno == EAGAIN);
}

void full_pipe(struct scene *scene) {
    empty_pipe(scene);
    MUST(fcntl(scene->b, F_SETPIPE_SZ, 4096) == 4096);
    MUST(fcntl(scene->b, F_SETFL, O_WRONLY | O_NONBLOCK) == 0);
    while (write(scene->b, BYTES, sizeof BYTES) > 0)
        ;
    MUST(errno == EAGAIN);
    MUST(fcntl(scene->b, F_SETFL, O_WRONLY) == 0);
}

void feed(struct scene *scene) {
    MUST(write(scene->b, "four", 4) == 4);
}

void drain_stream(struct scene *scene) {
    char room[4096];
    while (recv(scene->b, room, sizeof room, MSG_DONTWAIT) > 0)
        ;
}

void drain_pipe(struct scene *scene) {
    char room[4096];
    MUST(read(scene->a, room, sizeof room) > 0);
}
