/* Calls that pass through on a green thread: those that answer at once, and those that keep the OS thread until
   somebody else has ended them. */

#include "scene.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* No header has it for programs. */
ssize_t __read_chk(int, void *, size_t, size_t);

/* Files and devices, which answer at once. */

static void opened(struct scene *scene, const char *path) {
    scene->a = open(path, O_RDWR | O_CLOEXEC);
    MUST(scene->a >= 0);
}

static void device_null(struct scene *scene) { opened(scene, "/dev/null"); }
static void device_zero(struct scene *scene) { opened(scene, "/dev/zero"); }
static void device_random(struct scene *scene) { opened(scene, "/dev/urandom"); }

static void regular(struct scene *scene) {
    char path[] = "/tmp/greenroom-passes-XXXXXX";
    scene->a = mkstemp(path);
    MUST(scene->a >= 0 && unlink(path) == 0);
    MUST(write(scene->a, "four and more", 13) == 13 && lseek(scene->a, 0, SEEK_SET) == 0);
}

static int do_read(struct scene *scene) {
    char room[4];
    return read(scene->a, room, 4) >= 0;
}

static int do_read_checked(struct scene *scene) {
    char room[4];
    return __read_chk(scene->a, room, 4, 4) >= 0;
}

static int do_readv(struct scene *scene) {
    char room[4];
    struct iovec part = {room, 4};
    return readv(scene->a, &part, 1) >= 0;
}

static int do_pread(struct scene *scene) {
    char room[4];
    return pread(scene->a, room, 4, 1) >= 0;
}

static int do_write(struct scene *scene) {
    return write(scene->b < 0 ? scene->a : scene->b, "four", 4) == 4;
}

static int do_writev(struct scene *scene) {
    struct iovec part = {"four", 4};
    return writev(scene->b < 0 ? scene->a : scene->b, &part, 1) == 4;
}

static int do_pwrite(struct scene *scene) {
    return pwrite(scene->a, "four", 4, 1) == 4;
}

/* Calls that ask for nobody's data. */

static int do_getrandom(struct scene *scene) {
    char room[4];
    (void)scene;
    return getrandom(room, 4, 0) == 4;
}

static int do_getentropy(struct scene *scene) {
    char room[4];
    (void)scene;
    return getentropy(room, 4) == 0;
}

static int do_open(struct scene *scene) {
    scene->a = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return scene->a >= 0;
}

static int do_openat(struct scene *scene) {
    scene->a = openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);
    return scene->a >= 0;
}

static int do_stat(struct scene *scene) {
    struct stat about;
    (void)scene;
    return stat("/dev/null", &about) == 0;
}

static int do_fstat(struct scene *scene) {
    struct stat about;
    return fstat(scene->a, &about) == 0;
}

/* The standard files, although there is something to wait for. */

static void becomes(struct scene *scene, int fd, int standard) {
    scene->standard[standard] = fcntl(standard, F_DUPFD_CLOEXEC, 3);
    MUST(dup2(fd, standard) == standard);
    close(fd);
}

static void empty_input(struct scene *scene) {
    empty_pipe(scene);
    becomes(scene, scene->a, 0);
    scene->a = -1;
}

static void empty_socket_input(struct scene *scene) {
    stream(scene);
    becomes(scene, scene->a, 0);
    scene->a = -1;
}

static void full_output(struct scene *scene) {
    full_pipe(scene);
    becomes(scene, scene->b, 1);
    scene->b = -1;
}

static void full_error(struct scene *scene) {
    full_pipe(scene);
    becomes(scene, scene->b, 2);
    scene->b = -1;
}

static int read_input(struct scene *scene) {
    char room[8];
    (void)scene;
    return read(0, room, 8) == 4;
}

static int read_input_in_parts(struct scene *scene) {
    char room[8];
    struct iovec part = {room, 8};
    (void)scene;
    return readv(0, &part, 1) == 4;
}

static int receive_input(struct scene *scene) {
    char room[8];
    (void)scene;
    return recv(0, room, 8, 0) == 4;
}

static int receive_all_input(struct scene *scene) {
    char room[4];
    (void)scene;
    return recv(0, room, 4, MSG_WAITALL) == 4;
}

static int poll_input(struct scene *scene) {
    struct pollfd question = {.fd = 0, .events = POLLIN};
    (void)scene;
    return poll(&question, 1, -1) == 1;
}

static int select_input(struct scene *scene) {
    fd_set set;
    (void)scene;
    FD_ZERO(&set);
    FD_SET(0, &set);
    return select(1, &set, NULL, NULL, NULL) == 1;
}

static int write_output(struct scene *scene) {
    (void)scene;
    return write(1, "four", 4) == 4;
}

static int write_output_in_parts(struct scene *scene) {
    struct iovec part = {"four", 4};
    (void)scene;
    return writev(1, &part, 1) == 4;
}

static int write_error(struct scene *scene) {
    (void)scene;
    return write(2, "four", 4) == 4;
}

static int write_error_in_parts(struct scene *scene) {
    struct iovec part = {"four", 4};
    (void)scene;
    return writev(2, &part, 1) == 4;
}

/* A terminal, whose user is slow. */

static void terminal(struct scene *scene) {
    scene->b = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    MUST(scene->b >= 0 && grantpt(scene->b) == 0 && unlockpt(scene->b) == 0);
    scene->a = open(ptsname(scene->b), O_RDWR | O_NOCTTY | O_CLOEXEC);
    MUST(scene->a >= 0);
}

static int read_line(struct scene *scene) {
    char room[8];
    return read(scene->a, room, 8) == 5;
}

static void type_line(struct scene *scene) {
    MUST(write(scene->b, "four\n", 5) == 5);
}

/* What cannot be waited for on a hub. */

static int sleep_by_another_clock(struct scene *scene) {
    struct timespec time = {0, 5000000};
    (void)scene;
    return clock_nanosleep(CLOCK_BOOTTIME, 0, &time, NULL) == 0;
}

static void room_for_one(struct scene *scene) {
    uint64_t most_but_one = UINT64_MAX - 2;
    scene->a = eventfd(0, EFD_CLOEXEC);
    MUST(write(scene->a, &most_but_one, 8) == 8);
}

static int add_five(struct scene *scene) {
    uint64_t five = 5;
    return write(scene->a, &five, 8) == 8;
}

static void take_count(struct scene *scene) {
    uint64_t count;
    MUST(read(scene->a, &count, 8) == 8);
}

/* Messages in a pipe, more than one call of the kernel's sends at once, and room for one message. */
enum { PACKETS = 24 };

static void room_for_one_message(struct scene *scene) {
    /* Not a pair: its ends have no queue that could be full. */
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t length = sizeof name;
    scene->a = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    scene->b = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(bind(scene->b, (struct sockaddr *)&name, sizeof name.sun_family) == 0);
    MUST(getsockname(scene->b, (struct sockaddr *)&name, &length) == 0);
    MUST(connect(scene->a, (struct sockaddr *)&name, length) == 0);
    int ends[2];
    char byte;
    while (send(scene->a, "x", 1, MSG_DONTWAIT) == 1)
        ;
    MUST(errno == EAGAIN && recv(scene->b, &byte, 1, 0) == 1);
    MUST(pipe2(ends, O_DIRECT | O_CLOEXEC) == 0);
    scene->c = ends[0];
    scene->d = ends[1];
    MUST(fcntl(scene->d, F_SETPIPE_SZ, 2 * PACKETS * 4096) >= PACKETS * 4096);
    for (int at = 0; at < PACKETS; at++)
        MUST(write(scene->d, "x", 1) == 1);
}

static int splice_messages(struct scene *scene) {
    return splice(scene->c, NULL, scene->a, NULL, PACKETS, 0) == PACKETS;
}

static void tcp_and_pipe(struct scene *scene) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];
    MUST(bind(listener, (struct sockaddr *)&name, sizeof name) == 0 && listen(listener, 1) == 0);
    MUST(getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    scene->b = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(connect(scene->b, (struct sockaddr *)&name, sizeof name) == 0);
    scene->a = accept(listener, NULL, NULL);
    MUST(scene->a >= 0 && close(listener) == 0);
    MUST(pipe2(ends, O_CLOEXEC) == 0);
    scene->c = ends[0];
    scene->d = ends[1];
}

static int thief_takes_from;

/* Strikes at the system call that the patch makes when `poll` has told of bytes: takes them, as a faster reader would,
   and then makes a call that the filter lets pass and that does the same. */
static void steal(int signal, siginfo_t *info, void *context) {
    char room[8];
    (void)signal;
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    greg_t *answer = machine->gregs + REG_RAX;
    greg_t arguments[] = {machine->gregs[REG_RDI], machine->gregs[REG_RSI], machine->gregs[REG_RDX],
                          machine->gregs[REG_R10], machine->gregs[REG_R8],  machine->gregs[REG_R9]};
#elif defined(__aarch64__)
    unsigned long long *answer = machine->regs, *arguments = machine->regs;
#else
#error "where this machine keeps the arguments of a call is not known"
#endif
    if (info->si_syscall == SYS_splice) {
        MUST(syscall(SYS_recvfrom, thief_takes_from, room, 8, MSG_DONTWAIT, NULL, NULL) == 4);
        *answer = syscall(SYS_splice, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                          arguments[5] | SPLICE_F_MORE);
    } else {
        const struct iovec *part = (const struct iovec *)arguments[1];
        MUST(syscall(SYS_read, thief_takes_from, room, 8) == 4);
        *answer = syscall(SYS_read, arguments[0], part->iov_base, part->iov_len);
    }
}

/* There are bytes, and a thief. */
static void thief(struct scene *scene) {
    struct pollfd question = {.fd = scene->a, .events = POLLIN};
    feed(scene);
    MUST(poll(&question, 1, -1) == 1);
    thief_takes_from = scene->a;
    struct sigaction action = {.sa_sigaction = steal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    MUST(sigaction(SIGSYS, &action, NULL) == 0);
    /* Of this OS thread alone. */
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_readv, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_splice, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SPLICE_F_MORE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof steps / sizeof steps[0], steps};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static void thief_at_socket(struct scene *scene) {
    tcp_and_pipe(scene);
    thief(scene);
}

/* To a named pipe no call can say that it does not wait. */
static void thief_at_named_pipe(struct scene *scene) {
    char folder[] = "/tmp/greenroom-XXXXXX", name[64];
    MUST(mkdtemp(folder) != NULL);
    snprintf(name, sizeof name, "%s/pipe", folder);
    MUST(mkfifo(name, 0600) == 0);
    MUST((scene->a = open(name, O_RDONLY | O_NONBLOCK)) >= 0);
    MUST((scene->b = open(name, O_WRONLY)) >= 0);
    MUST(fcntl(scene->a, F_SETFL, 0) == 0);
    MUST(unlink(name) == 0 && rmdir(folder) == 0);
    thief(scene);
}

static int splice_to_pipe(struct scene *scene) {
    return splice(scene->a, NULL, scene->d, NULL, 8, 0) == 4;
}

#define OF_FILE(name, set_up)                                                                      \
    {"read of " name, set_up, do_read, NULL},                                                      \
    {"__read_chk of " name, set_up, do_read_checked, NULL},                                        \
    {"readv of " name, set_up, do_readv, NULL},                                                    \
    {"pread of " name, set_up, do_pread, NULL},                                                    \
    {"write to " name, set_up, do_write, NULL},                                                    \
    {"writev to " name, set_up, do_writev, NULL},                                                  \
    {"pwrite to " name, set_up, do_pwrite, NULL},                                                  \
    {"fstat of " name, set_up, do_fstat, NULL}

const struct row PASSES[] = {
    OF_FILE("a regular file", regular),
    OF_FILE("/dev/null", device_null),
    OF_FILE("/dev/zero", device_zero),
    OF_FILE("/dev/urandom", device_random),
    {"getrandom", nothing, do_getrandom, NULL},
    {"getentropy", nothing, do_getentropy, NULL},
    {"open", nothing, do_open, NULL},
    {"openat", nothing, do_openat, NULL},
    {"stat", nothing, do_stat, NULL},
    {"read of fd 0", empty_input, read_input, feed},
    {"readv of fd 0", empty_input, read_input_in_parts, feed},
    {"recv from fd 0", empty_socket_input, receive_input, feed},
    {"recv of all from fd 0", empty_socket_input, receive_all_input, feed},
    {"read of fd 0, a socket", empty_socket_input, read_input, feed},
    {"poll of fd 0", empty_input, poll_input, feed},
    {"select of fd 0", empty_input, select_input, feed},
    {"write to fd 1", full_output, write_output, drain_pipe},
    {"writev to fd 1", full_output, write_output_in_parts, drain_pipe},
    {"write to fd 2", full_error, write_error, drain_pipe},
    {"writev to fd 2", full_error, write_error_in_parts, drain_pipe},
    {"read of a terminal", terminal, read_line, type_line},
    {"a sleep by another clock", nothing, sleep_by_another_clock, NULL},
    {"a write to an eventfd with room for less", room_for_one, add_five, take_count},
    {"a splice to a socket of messages", room_for_one_message, splice_messages, drain_stream},
    {"a splice from a socket whose bytes another takes", thief_at_socket, splice_to_pipe, feed},
    {"a read of a named pipe whose bytes another takes", thief_at_named_pipe, do_read, feed},
    {NULL, NULL, NULL, NULL},
};
