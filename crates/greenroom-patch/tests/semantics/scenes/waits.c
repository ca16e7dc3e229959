/* Calls that wait, under each name of the table in the documents. Whoever calls waits until somebody
   else has ended it, or for a time that is in the call. */

#include "scene.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* No header has these names for programs. */
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
ssize_t __read(int, void *, size_t);
ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __send(int, const void *, size_t, int);
ssize_t __write(int, const void *, size_t);
int __connect(int, const struct sockaddr *, socklen_t);
int __poll(struct pollfd *, nfds_t, int);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
int __select(int, fd_set *, fd_set *, fd_set *, struct timeval *);
int __nanosleep(const struct timespec *, struct timespec *);
int __sched_yield(void);
pid_t __wait(int *);
pid_t __waitpid(pid_t, int *, int);

#define CALL(name) static int call_##name(struct scene *scene)

/* Receiving. */

static char room[64];

CALL(recv) { char room[8]; return recv(scene->a, room, 8, 0) == 4; }
CALL(recvfrom) { char room[8]; return recvfrom(scene->a, room, 8, 0, NULL, NULL) == 4; }
CALL(__recv_chk) { char room[8]; return __recv_chk(scene->a, room, 8, 8, 0) == 4; }
CALL(__recvfrom_chk) {
    char room[8];
    return __recvfrom_chk(scene->a, room, 8, 8, 0, NULL, NULL) == 4;
}
CALL(recvmsg) {
    char room[8];
    struct iovec part = {room, 8};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    return recvmsg(scene->a, &header, 0) == 4;
}
CALL(recvmmsg) {
    char room[8];
    struct iovec parts[] = {{room, 4}, {room + 4, 4}};
    struct mmsghdr headers[] = {{.msg_hdr = {.msg_iov = &parts[0], .msg_iovlen = 1}},
                                {.msg_hdr = {.msg_iov = &parts[1], .msg_iovlen = 1}}};
    return recvmmsg(scene->a, headers, 2, 0, NULL) == 2;
}
CALL(read) { char room[8]; return read(scene->a, room, 8) == 4; }
CALL(__read) { char room[8]; return __read(scene->a, room, 8) == 4; }
CALL(__read_chk) { char room[8]; return __read_chk(scene->a, room, 8, 8) == 4; }
CALL(readv) {
    char room[8];
    struct iovec parts[] = {{room, 2}, {room + 2, 6}};
    return readv(scene->a, parts, 2) == 4;
}

static void messages(struct scene *scene) {
    int ends[2];
    MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
    scene->a = ends[0];
    scene->b = ends[1];
}

static void feed_two(struct scene *scene) {
    feed(scene);
    feed(scene);
}

/* Sending. */

static struct iovec PART = {room, 4};

CALL(send) { return send(scene->a, "four", 4, 0) == 4; }
CALL(__send) { return __send(scene->a, "four", 4, 0) == 4; }
CALL(sendto) { return sendto(scene->a, "four", 4, 0, NULL, 0) == 4; }
CALL(sendmsg) {
    struct msghdr header = {.msg_iov = &PART, .msg_iovlen = 1};
    return sendmsg(scene->a, &header, 0) == 4;
}
CALL(sendmmsg) {
    struct mmsghdr header = {.msg_hdr = {.msg_iov = &PART, .msg_iovlen = 1}};
    return sendmmsg(scene->a, &header, 1, 0) == 1 && header.msg_len == 4;
}
CALL(write) { return write(scene->b, "four", 4) == 4; }
CALL(__write) { return __write(scene->b, "four", 4) == 4; }
CALL(writev) { return writev(scene->b, &PART, 1) == 4; }

/* Moving. */

static void file_to_full_stream(struct scene *scene) {
    full_stream(scene);
    scene->c = memfd_create("waits", MFD_CLOEXEC);
    MUST(pwrite(scene->c, "four", 4, 0) == 4);
}

CALL(sendfile) { return sendfile(scene->a, scene->c, NULL, 4) == 4; }
CALL(sendfile64) { return sendfile64(scene->a, scene->c, NULL, 4) == 4; }

static void two_pipes(struct scene *scene) {
    empty_pipe(scene);
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC) == 0);
    scene->c = ends[0];
    scene->d = ends[1];
}

CALL(splice) { return splice(scene->a, NULL, scene->d, NULL, 8, 0) == 4; }

/* Connections. */

static void listener(struct scene *scene) {
    struct sockaddr_un nameless = {.sun_family = AF_UNIX};
    scene->a = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    scene->b = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(bind(scene->a, (struct sockaddr *)&nameless, sizeof nameless.sun_family) == 0);
    MUST(listen(scene->a, 0) == 0);
}

static int connect_by(int (*by)(int, const struct sockaddr *, socklen_t), int from, int to) {
    struct sockaddr_un name;
    socklen_t length = sizeof name;
    MUST(getsockname(to, (struct sockaddr *)&name, &length) == 0);
    return by(from, (struct sockaddr *)&name, length);
}

static void full_listener(struct scene *scene) {
    listener(scene);
    scene->c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    scene->d = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    MUST(connect_by(connect, scene->c, scene->a) == 0);
    MUST(connect_by(connect, scene->d, scene->a) == -1 && errno == EAGAIN);
}

static void come(struct scene *scene) {
    MUST(connect_by(connect, scene->b, scene->a) == 0);
}

static void take_one(struct scene *scene) {
    int taken = accept(scene->a, NULL, NULL);
    MUST(taken >= 0);
    close(taken);
}

static int is_taken(struct scene *scene, int taken) {
    scene->c = taken;
    return taken >= 0;
}

CALL(accept) { return is_taken(scene, accept(scene->a, NULL, NULL)); }
CALL(accept4) { return is_taken(scene, accept4(scene->a, NULL, NULL, SOCK_CLOEXEC)); }
CALL(connect) { return connect_by(connect, scene->b, scene->a) == 0; }
CALL(__connect) { return connect_by(__connect, scene->b, scene->a) == 0; }

/* Several fds at once. */

#define QUESTION struct pollfd question = {.fd = scene->a, .events = POLLIN}

CALL(poll) { QUESTION; return poll(&question, 1, -1) == 1 && question.revents == POLLIN; }
CALL(__poll) { QUESTION; return __poll(&question, 1, -1) == 1; }
CALL(ppoll) { QUESTION; return ppoll(&question, 1, NULL, NULL) == 1; }
CALL(__poll_chk) { QUESTION; return __poll_chk(&question, 1, -1, sizeof question) == 1; }
CALL(__ppoll_chk) {
    QUESTION;
    return __ppoll_chk(&question, 1, NULL, NULL, sizeof question) == 1;
}

#define SET                                                                                        \
    fd_set set;                                                                                    \
    FD_ZERO(&set);                                                                                 \
    FD_SET(scene->a, &set)

CALL(select) { SET; return select(scene->a + 1, &set, NULL, NULL, NULL) == 1; }
CALL(__select) { SET; return __select(scene->a + 1, &set, NULL, NULL, NULL) == 1; }
CALL(pselect) { SET; return pselect(scene->a + 1, &set, NULL, NULL, NULL, NULL) == 1; }

static void watched_pipe(struct scene *scene) {
    empty_pipe(scene);
    scene->c = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    MUST(epoll_ctl(scene->c, EPOLL_CTL_ADD, scene->a, &event) == 0);
}

#define EVENT struct epoll_event event

CALL(epoll_wait) { EVENT; return epoll_wait(scene->c, &event, 1, -1) == 1; }
CALL(epoll_pwait) { EVENT; return epoll_pwait(scene->c, &event, 1, -1, NULL) == 1; }
CALL(epoll_pwait2) { EVENT; return epoll_pwait2(scene->c, &event, 1, NULL, NULL) == 1; }

/* Time. */

static const struct timespec SHORT = {0, 3000000};

CALL(sleep) { (void)scene; return sleep(1) == 0; }
CALL(usleep) { (void)scene; return usleep(3000) == 0; }
CALL(nanosleep) { (void)scene; return nanosleep(&SHORT, NULL) == 0; }
CALL(__nanosleep) { (void)scene; return __nanosleep(&SHORT, NULL) == 0; }
CALL(clock_nanosleep) {
    (void)scene;
    return clock_nanosleep(CLOCK_MONOTONIC, 0, &SHORT, NULL) == 0;
}
CALL(sched_yield) { (void)scene; return sched_yield() == 0; }
CALL(__sched_yield) { (void)scene; return __sched_yield() == 0; }

/* Names. Not numbers, for which nobody has to be asked. */

static const char NAME[] = "localhost";

static struct sockaddr_in local(void) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

CALL(getaddrinfo) {
    (void)scene;
    struct addrinfo *found = NULL;
    if (getaddrinfo(NAME, NULL, NULL, &found) != 0)
        return 0;
    freeaddrinfo(found);
    return 1;
}
CALL(getnameinfo) {
    (void)scene;
    char host[64];
    struct sockaddr_in address = local();
    return getnameinfo((struct sockaddr *)&address, sizeof address, host, sizeof host, NULL, 0, 0) == 0;
}
CALL(gethostbyname) { (void)scene; return gethostbyname(NAME) != NULL; }
CALL(gethostbyname2) { (void)scene; return gethostbyname2(NAME, AF_INET) != NULL; }
CALL(gethostbyaddr) {
    (void)scene;
    struct sockaddr_in address = local();
    return gethostbyaddr(&address.sin_addr, sizeof address.sin_addr, AF_INET) != NULL;
}

#define ENTRY                                                                                      \
    (void)scene;                                                                                   \
    struct hostent entry, *found = NULL;                                                           \
    char room[1024];                                                                               \
    int error = 0

CALL(gethostbyname_r) {
    ENTRY;
    return gethostbyname_r(NAME, &entry, room, sizeof room, &found, &error) == 0 && found;
}
CALL(gethostbyname2_r) {
    ENTRY;
    return gethostbyname2_r(NAME, AF_INET, &entry, room, sizeof room, &found, &error) == 0 && found;
}
CALL(gethostbyaddr_r) {
    ENTRY;
    struct sockaddr_in address = local();
    const void *asked = &address.sin_addr;
    return gethostbyaddr_r(asked, 4, AF_INET, &entry, room, sizeof room, &found, &error) == 0 && found;
}

/* Children, which end when they are told to. */

static void child(struct scene *scene) {
    empty_pipe(scene);
    scene->child = fork();
    MUST(scene->child >= 0);
    if (scene->child == 0) {
        char told;
        _exit(read(scene->a, &told, 1) == 1 ? 7 : 8);
    }
}

/* Any child is as good as another. */
#define ENDED(pid) (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 7)

CALL(wait) { int status = 0; (void)scene; return ENDED(wait(&status)); }
CALL(__wait) { int status = 0; (void)scene; return ENDED(__wait(&status)); }
CALL(waitpid) { int status = 0; return ENDED(waitpid(scene->child, &status, 0)); }
CALL(__waitpid) { int status = 0; return ENDED(__waitpid(scene->child, &status, 0)); }
CALL(wait3) { int status = 0; (void)scene; return ENDED(wait3(&status, 0, NULL)); }
CALL(wait4) {
    int status = 0;
    struct rusage usage;
    return ENDED(wait4(scene->child, &status, 0, &usage));
}
CALL(waitid) {
    siginfo_t info;
    return waitid(P_PID, (id_t)scene->child, &info, WEXITED) == 0 && info.si_status == 7;
}

#define ROW(name, set_up, end) {#name, set_up, call_##name, end}

const struct row WAITS[] = {
    ROW(recv, stream, feed),
    ROW(recvfrom, stream, feed),
    ROW(__recv_chk, stream, feed),
    ROW(__recvfrom_chk, stream, feed),
    ROW(recvmsg, stream, feed),
    ROW(recvmmsg, messages, feed_two),
    ROW(read, empty_pipe, feed),
    ROW(__read, stream, feed),
    ROW(__read_chk, empty_pipe, feed),
    ROW(readv, empty_pipe, feed),
    ROW(send, full_stream, drain_stream),
    ROW(__send, full_stream, drain_stream),
    ROW(sendto, full_stream, drain_stream),
    ROW(sendmsg, full_stream, drain_stream),
    ROW(sendmmsg, full_stream, drain_stream),
    ROW(write, full_pipe, drain_pipe),
    ROW(__write, full_pipe, drain_pipe),
    ROW(writev, full_pipe, drain_pipe),
    ROW(sendfile, file_to_full_stream, drain_stream),
    ROW(sendfile64, file_to_full_stream, drain_stream),
    ROW(splice, two_pipes, feed),
    ROW(accept, listener, come),
    ROW(accept4, listener, come),
    ROW(connect, full_listener, take_one),
    ROW(__connect, full_listener, take_one),
    ROW(poll, empty_pipe, feed),
    ROW(__poll, empty_pipe, feed),
    ROW(ppoll, empty_pipe, feed),
    ROW(__poll_chk, empty_pipe, feed),
    ROW(__ppoll_chk, empty_pipe, feed),
    ROW(select, empty_pipe, feed),
    ROW(__select, empty_pipe, feed),
    ROW(pselect, empty_pipe, feed),
    ROW(epoll_wait, watched_pipe, feed),
    ROW(epoll_pwait, watched_pipe, feed),
    ROW(epoll_pwait2, watched_pipe, feed),
    ROW(sleep, nothing, NULL),
    ROW(usleep, nothing, NULL),
    ROW(nanosleep, nothing, NULL),
    ROW(__nanosleep, nothing, NULL),
    ROW(clock_nanosleep, nothing, NULL),
    ROW(sched_yield, nothing, NULL),
    ROW(__sched_yield, nothing, NULL),
    ROW(getaddrinfo, nothing, NULL),
    ROW(getnameinfo, nothing, NULL),
    ROW(gethostbyname, nothing, NULL),
    ROW(gethostbyname2, nothing, NULL),
    ROW(gethostbyaddr, nothing, NULL),
    ROW(gethostbyname_r, nothing, NULL),
    ROW(gethostbyname2_r, nothing, NULL),
    ROW(gethostbyaddr_r, nothing, NULL),
    ROW(wait, child, feed),
    ROW(__wait, child, feed),
    ROW(waitpid, child, feed),
    ROW(__waitpid, child, feed),
    ROW(wait3, child, feed),
    ROW(wait4, child, feed),
    ROW(waitid, child, feed),
    {NULL, NULL, NULL, NULL},
};
